/**
 * When a delivery goes next, and what it waits for. One look-up per delivery answers it: nothing is ever counted, so
 * of those that wait for the same thing only the one that goes next has a time. Pure.
 */
import { WAITS } from "./vocabulary";

export type WaitingFor = keyof typeof WAITS;
export const WAITING_FOR = Object.keys(WAITS) as WaitingFor[];

export type Waiting = {
  /** When the last gate opens that opens by time, Unix milliseconds; null where it depends on something else. */
  nextAttemptAtMs: number | null;
  /** null when it is finished. */
  waitingFor: WaitingFor | null;
};

export const NOTHING_TO_WAIT_FOR: Waiting = { nextAttemptAtMs: null, waitingFor: null };

/** What stands between a pending delivery and its next attempt. */
export type Gates = {
  inFlight: boolean;
  /** Paused, disabled, or a configuration that does not parse. */
  held: boolean;
  /** False for a `listener:` without a connection. */
  connected: boolean;
  /** The webhook is ordered, and another delivery comes first. */
  behind: boolean;
  /** Of all that may go next, the one that does. */
  isNext: boolean;
  /** A person asked for this one: neither probing nor a Retry-After keeps it. */
  byRetry: boolean;
  /** When its own wait ends. */
  dueAtMs: number;
  /** One at a time: when the next probe may go, null while one is under way. Null as a whole when not probing. */
  probe: { atMs: number | null } | null;
  /** The end of a pause that the service asked for; null without. */
  postponedUntilMs: number | null;
  /** When the rate limit lets the next attempt start; null without a limit. */
  rateAtMs: number | null;
};

export function waiting(gates: Gates, nowMs: number): Waiting {
  if (gates.inFlight) return { nextAttemptAtMs: null, waitingFor: "attempt" };
  if (gates.held) return { nextAttemptAtMs: null, waitingFor: "hold" };
  if (!gates.connected) return { nextAttemptAtMs: null, waitingFor: "listener" };
  if (gates.behind) return { nextAttemptAtMs: null, waitingFor: "order" };
  const { probe, byRetry, isNext } = gates;
  if (probe !== null && !byRetry && (!isNext || probe.atMs === null)) {
    return { nextAttemptAtMs: null, waitingFor: "probe" };
  }
  return lastGate(gates, nowMs);
}

/** The gate that opens last of those that open by time. Once all are open it waits for a slot. */
function lastGate(
  { byRetry, isNext, dueAtMs, probe, postponedUntilMs, rateAtMs }: Gates,
  nowMs: number,
): Waiting {
  const gates: { waitingFor: WaitingFor; atMs: number }[] = [
    { waitingFor: "schedule", atMs: dueAtMs },
    { waitingFor: "retry_after", atMs: byRetry ? 0 : (postponedUntilMs ?? 0) },
    { waitingFor: "rate_limit", atMs: rateAtMs ?? 0 },
  ];
  // Where a Retry-After is as long as the wait, it is what the delivery waits for.
  const last = gates.reduce((a, b) => (b.atMs >= a.atMs ? b : a));
  const isProbe = probe !== null && !byRetry;
  const atMs = Math.max(last.atMs, isProbe ? (probe.atMs ?? 0) : 0);
  if (atMs <= nowMs) return { nextAttemptAtMs: null, waitingFor: "turn" };
  if (isProbe) return { nextAttemptAtMs: atMs, waitingFor: "probe" };
  const isBehind = last.waitingFor === "rate_limit" && !isNext;
  return { nextAttemptAtMs: isBehind ? null : atMs, waitingFor: last.waitingFor };
}
