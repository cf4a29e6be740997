/** How a webhook is doing, as one object: answers, pages, alerts and metrics all say it from here. Pure. */
import { caughtUpAtMs, type Health, LATE_AFTER_MS, type LastFailure } from "./health";
import { latest, shown } from "./time";
import { STATES, type WebhookStatus } from "./vocabulary";

export type HealthState = keyof typeof STATES;
export const HEALTH_STATES = Object.keys(STATES) as HealthState[];

/** Every time in Unix milliseconds. */
export type HealthReport = {
  state: HealthState;
  /** When the state began; null where that is not known, as of a webhook that never failed. */
  sinceMs: number | null;
  /** Of the delivery that goes next. */
  nextAttemptAtMs: number | null;
  /** What there is now, however old. */
  pending: number;
  undeliverable: number;
  /** By the waits of schedule and Retry-After: limits and slots are what makes a delivery late. */
  oldestDueAtMs: number | null;
  lastSuccessAtMs: number | null;
  lastFailure: LastFailure | null;
};

/** What decides about the state. */
export type Standing = {
  status: WebhookStatus;
  /** When `status` became what it is; null for one that was active from the start, and where that was not kept. */
  statusSinceMs: number | null;
  /** A variable that does not parse holds deliveries. */
  misconfigured: boolean;
  /** A `listener:` without a connection, and since when; null for every other webhook. */
  unconnected: { sinceMs: number | null } | null;
  health: Health;
};

export type Queue = Pick<
  HealthReport,
  "nextAttemptAtMs" | "pending" | "undeliverable" | "oldestDueAtMs"
>;

export function reportHealth(standing: Standing, queue: Queue, nowMs: number): HealthReport {
  const { lastSuccessAtMs, lastFailure } = standing.health;
  return {
    ...stateOf(standing, queue.oldestDueAtMs, nowMs),
    ...queue,
    lastSuccessAtMs,
    lastFailure,
  };
}

export function stateOf(standing: Standing, oldestDueAtMs: number | null, nowMs: number) {
  for (const state of HEALTH_STATES) {
    const sinceMs = RULES[state]?.(standing, oldestDueAtMs, nowMs);
    if (sinceMs !== undefined) return { state, sinceMs };
  }
  const sinceMs = latest(wellSinceMs(standing), caughtUpAtMs(standing.health));
  return { state: "healthy" as const, sinceMs };
}

/** Since when a state holds; undefined when it does not. They are asked in the order of the states. */
type Rule = (
  standing: Standing,
  oldestDueAtMs: number | null,
  nowMs: number,
) => number | null | undefined;

const RULES: { [State in HealthState]?: Rule } = {
  disabled({ status, statusSinceMs, health }) {
    // The Registry hears of it a moment later, or, where it does not answer, by alarm.
    if (status === "disabled") return health.disabledFromMs ?? statusSinceMs;
    return health.disabled === null ? undefined : health.disabledFromMs;
  },
  paused: ({ status, statusSinceMs }) => (status === "paused" ? statusSinceMs : undefined),
  misconfigured: ({ misconfigured }) => (misconfigured ? null : undefined),
  unconnected: ({ unconnected }) => unconnected?.sinceMs,
  probing: ({ health }) => (health.probing ? health.probingFromMs : undefined),
  postponed: ({ health: { postponedUntilMs, postponedFromMs } }, _, nowMs) =>
    (postponedUntilMs ?? 0) > nowMs ? postponedFromMs : undefined,
  failing: ({ health }) => health.failingFromMs ?? undefined,
  late(standing, oldestDueAtMs, nowMs) {
    const lateAtMs = (oldestDueAtMs ?? Number.POSITIVE_INFINITY) + LATE_AFTER_MS;
    if (lateAtMs > nowMs) return undefined;
    const isAnew = caughtUpAtMs(standing.health, lateAtMs) !== null;
    const lateFromMs = isAnew ? lateAtMs : (standing.health.lateFromMs ?? lateAtMs);
    return Math.max(lateFromMs, wellSinceMs(standing) ?? 0);
  },
};

/** After the last trouble, pause or postponement. */
function wellSinceMs({ health, statusSinceMs }: Standing): number | null {
  return latest(health.wellFromMs, health.postponedUntilMs, statusSinceMs);
}

/** The report as the relay's own events have it: without what services answered. */
export function toldHealth({ lastFailure, ...report }: HealthReport) {
  if (lastFailure === null) return shownHealth({ ...report, lastFailure });
  const { responseBody: _, ...failure } = lastFailure;
  return { ...shown(report), lastFailure: shown(failure) };
}

export function shownHealth({ lastFailure, ...report }: HealthReport) {
  return { ...shown(report), lastFailure: lastFailure && shown(lastFailure) };
}
