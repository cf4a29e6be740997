/** When attempts of a webhook may start, and how many at once: rate limit, probing, pause, window. Pure. */
import type { Health } from "./health";

/** https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections */
const MAX_IN_FLIGHT = 6;
/** What a crash may repeat: what is in flight, and as many answered but not yet on disk. */
const UNRECORDED_PER_SLOT = 2;
const MAX_PLANNED = 100;
/** Under a rate limit no more is leased than starts within this time. */
const PLAN_AHEAD_MS = 2_000;
/** A dead service is asked once a minute, and one that is back is found within a minute. */
const MAX_PROBE_GAP_MS = 60_000;

/** What is in force for attempts that start now. */
export type Terms = {
  ordered: boolean;
  /** Attempts per second; null for no limit. */
  rateLimit: number | null;
};

export type Situation = {
  terms: Terms;
  health: Health;
  /** The earliest start of the next attempt under a rate limit, Unix milliseconds. */
  nextStartAtMs: number;
  /** The first wait of the retry schedule, in milliseconds. */
  firstWaitMs: number;
};

/**
 * How many attempts may be in flight.
 *
 * @param asked for one that a person asked for by name: it goes beside a probe.
 */
export function slotsOf({ terms, health }: Situation, asked = false): number {
  return terms.ordered || (health.probing && !asked) ? 1 : MAX_IN_FLIGHT;
}

/**
 * How many attempts may have started without an outcome on disk. An ordered webhook has each outcome on disk before
 * the next attempt: a crash must not repeat out of order.
 */
export function windowOf({ terms }: Situation): number {
  return terms.ordered ? 1 : MAX_IN_FLIGHT * UNRECORDED_PER_SLOT;
}

/** How many attempts may be leased at once. @param asked as for `slotsOf`. */
export function planLimitOf({ terms: { rateLimit }, health }: Situation, asked = false): number {
  if (health.probing && !asked) return 1;
  if (rateLimit === null) return MAX_PLANNED;
  return Math.min(MAX_PLANNED, Math.max(1, Math.floor((rateLimit * PLAN_AHEAD_MS) / 1_000)));
}

/** When the next probe may go, Unix milliseconds; 0 for at once, and for no probing. */
export function probeOpensAtMs({ health, firstWaitMs }: Situation): number {
  const { probing, lastProbeEndedAtMs } = health;
  return probing && lastProbeEndedAtMs !== null
    ? lastProbeEndedAtMs + Math.min(firstWaitMs, MAX_PROBE_GAP_MS)
    : 0;
}

/** When the rate limit lets the next attempt start, Unix milliseconds; 0 without a limit. */
export function rateOpensAtMs({ terms, nextStartAtMs }: Situation): number {
  return terms.rateLimit === null ? 0 : nextStartAtMs;
}

/** When the pause ends that the service asked for, Unix milliseconds; 0 without one. */
export function pauseEndsAtMs({ health }: Situation): number {
  return health.postponedUntilMs ?? 0;
}

/**
 * When the gates open that keep every attempt, Unix milliseconds.
 *
 * @param asked a person asked for it by name: then neither probing nor a pause keeps it.
 */
export function opensAtMs(situation: Situation, asked: boolean): number {
  return Math.max(rateOpensAtMs(situation), asked ? 0 : troubleEndsAtMs(situation));
}

/** When neither probing nor a pause keeps an attempt of the schedule, Unix milliseconds. */
export function troubleEndsAtMs(situation: Situation): number {
  return Math.max(probeOpensAtMs(situation), pauseEndsAtMs(situation));
}

/** The least time between two starts, in milliseconds. */
export function spacingMs(rateLimit: number | null): number {
  return rateLimit === null ? 0 : 1_000 / rateLimit;
}
