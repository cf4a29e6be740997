/** When attempts of a webhook may start, and how many at once: rate limit, probing, pause, window. Pure. */
import type { Health } from "./health";

/** https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections */
export const MAX_IN_FLIGHT = 6;
/** What a crash may repeat: what is in flight, and as many answered but not yet on disk. */
const UNRECORDED_PER_SLOT = 2;
/** How many attempts one object may have to make. */
const MAX_PLANNED = 100;
/** Under a rate limit no more is leased than starts within this time. */
const PLAN_AHEAD_MS = 2_000;
/** A dead service is asked at least once a minute, and one that is back is found within a minute. */
const MAX_PROBE_GAP_MS = 60_000;
/** What a Lane has ahead it starts in about this time, and what is gathered for longer than the least comes on top. */
const AHEAD_MS = 800;
/** `share` of what an attempt takes, within bounds. */
type Gathered = { leastMs: number; mostMs: number; share: number };
/**
 * For how long outcomes in a Lane, reports of Lanes and shares for them are gathered. Each is a call or a commit, and the
 * many slots of a slow service come free one at a time.
 */
export const GATHERED = {
  inLane: { leastMs: 100, mostMs: 500, share: 1 / 2 },
  reported: { leastMs: 10, mostMs: 50, share: 1 / 20 },
  handedOut: { leastMs: 50, mostMs: 200, share: 1 / 5 },
} satisfies Record<string, Gathered>;
/** Between two attempts of a slot in a Lane: until it is reported that one has ended, and the next one has its time. */
const TURNAROUND_MS = 250;

/** An invocation may make 10,000 requests and use 30 s of CPU; the alarm goes on in a new one. */
export const MAX_ATTEMPTS_PER_RUN = 1_000;
export const MAX_RUN_MS = 60_000;
/** Under a rate limit an attempt that is later than this would come too close to the next, here or in a Lane. */
export const MAX_LATE_MS = 250;

/** What is in force for attempts that start now. */
export type Terms = {
  ordered: boolean;
  /** Attempts per second; null for no limit. */
  rateLimit: number | null;
  /** How many attempts may be in flight, in this object and in its Lanes. */
  concurrency: number;
  /** Attempts are frames on a listener's socket: the six do not bound them, and there are no Lanes. */
  frames: boolean;
};

export type Situation = {
  terms: Terms;
  health: Health;
  /** The earliest start of the next attempt under a rate limit, Unix milliseconds. */
  nextStartAtMs: number;
  /** The first wait of the retry schedule, in milliseconds. */
  firstWaitMs: number;
  /** How long attempts took lately, in milliseconds; null before the first. */
  meanDurationMs: number | null;
};

/**
 * How many attempts may be in flight, wherever they are made.
 *
 * @param asked for one that a person asked for by name: it goes beside a probe, and may be one more.
 */
export function concurrencyOf({ terms, health }: Situation, asked = false): number {
  if (terms.ordered) return 1;
  if (health.probing) return asked ? terms.concurrency + 1 : 1;
  return terms.concurrency;
}

/** How many of them in the Subscriber itself. @param asked as for `concurrencyOf`. */
export function slotsOf(situation: Situation, asked = false): number {
  return Math.min(concurrencyOf(situation, asked), mostOf(situation.terms));
}

/** How many attempts one object can have in flight. */
function mostOf({ frames }: Terms): number {
  return frames ? Number.POSITIVE_INFINITY : MAX_IN_FLIGHT;
}

/** Whether nothing but slots keeps what arrives: no order, no rate limit, no trouble with the service. */
export function isUnhindered(situation: Situation, nowMs: number): boolean {
  const { terms, health } = situation;
  const isPaced = terms.ordered || terms.rateLimit !== null;
  return !isPaced && health.failuresInARow === 0 && troubleEndsAtMs(situation) <= nowMs;
}

/** How many each Lane may have in flight; empty when the Subscriber itself has slots enough. */
export function lanesOf(situation: Situation): number[] {
  const { terms, meanDurationMs } = situation;
  if (terms.frames) return [];
  let wanted = concurrencyOf(situation);
  const { rateLimit } = terms;
  if (rateLimit !== null) {
    const atOnce = (takenMs: number) => Math.ceil((rateLimit * takenMs) / 1_000) + 1;
    if (meanDurationMs !== null && atOnce(meanDurationMs) <= MAX_IN_FLIGHT) return [];
    wanted = Math.min(wanted, atOnce((meanDurationMs ?? 0) + TURNAROUND_MS));
  }
  const count = Math.max(0, Math.ceil(wanted / MAX_IN_FLIGHT) - 1);
  return Array.from({ length: count }, (_, lane) =>
    Math.min(MAX_IN_FLIGHT, terms.concurrency - MAX_IN_FLIGHT * (lane + 1)),
  );
}

/** How many attempts an object with these slots is given beside those that it has in flight; not a whole number. */
export function aheadOf(slots: number, { meanDurationMs, terms }: Situation): number {
  // What has its time needs a slot that is free then.
  if (terms.rateLimit !== null) return 0;
  if (meanDurationMs === null) return slots;
  const { leastMs } = GATHERED.inLane;
  const aheadMs = AHEAD_MS + gatherMs(GATHERED.inLane, meanDurationMs) - leastMs;
  return Math.min(MAX_PLANNED - slots, (slots * aheadMs) / Math.max(1, meanDurationMs));
}

/** How long what is done at once for several attempts is put off where each takes so long, in milliseconds. */
export function gatherMs({ leastMs, mostMs, share }: Gathered, durationMs: number): number {
  return Math.min(mostMs, Math.max(leastMs, durationMs * share));
}

/**
 * Deals attempts to objects that have room, each to the one with most of it, so that all come to their end together; to
 * no more of them than have six each to make.
 *
 * @returns for each attempt the index of its object; there may be fewer than `count`.
 */
export function deal(count: number, rooms: readonly number[]): number[] {
  const left = [...rooms];
  const dealt: number[] = [];
  let used = Math.min(left.length, Math.ceil(count / MAX_IN_FLIGHT));
  while (dealt.length < count && used <= left.length) {
    const most = Math.max(...left.slice(0, used));
    const index = left.indexOf(most);
    if (most <= 0) used += 1;
    else {
      left[index] = most - 1;
      dealt.push(index);
    }
  }
  return dealt;
}

/**
 * How many attempts may have started without an outcome on disk. An ordered webhook has each outcome on disk before
 * the next attempt: a crash must not repeat out of order.
 */
export function windowOf({ terms }: Situation): number {
  return terms.ordered ? 1 : windowFor(Math.min(terms.concurrency, mostOf(terms)));
}

/** The same of an object with so many slots. */
export function windowFor(slots: number): number {
  return slots * UNRECORDED_PER_SLOT;
}

/** How many attempts may be leased at once, wherever they are made. @param asked as for `slotsOf`. */
export function leaseLimitOf({ terms: { rateLimit }, health }: Situation, asked = false): number {
  if (health.probing && !asked) return 1;
  if (rateLimit === null) return Number.POSITIVE_INFINITY;
  return Math.max(1, Math.floor((rateLimit * PLAN_AHEAD_MS) / 1_000));
}

/** The same in one object. */
export function planLimitOf(situation: Situation, asked = false): number {
  return Math.min(MAX_PLANNED, leaseLimitOf(situation, asked));
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
  return Math.max(probeOpensAtMs(situation), situation.health.postponedUntilMs ?? 0);
}

/** The least time between two starts, in milliseconds. */
export function spacingMs(rateLimit: number | null): number {
  return rateLimit === null ? 0 : 1_000 / rateLimit;
}
