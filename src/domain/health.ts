/**
 * How a webhook's service is doing: what the outcomes of attempts say, kept with the state of the engine, and the one
 * object that answers, pages, alerts and metrics take it from. Pure: the clock comes in as an argument.
 */
import * as z from "zod/mini";
import type { AttemptError, AttemptRecord, Outcome } from "./delivery";
import type { EventId } from "./ids";
import { latest } from "./time";
import * as t from "./tolerant";
import { STATUS_REASONS } from "./vocabulary";

/** Not without the event that it can be seen at. */
export type LastFailure = z.output<typeof lastFailure>;
const lastFailure = t.loose({
  atMs: t.number,
  eventId: z.custom<EventId>(t.isText),
  statusCode: t.numberOrNull,
  /** That of a newer release is shown as it is. */
  error: z.catch(z.custom<AttemptError>(t.isText), "status"),
  /** At most 1 KB; null without any, and once the event was erased. */
  responseBody: t.textOrNull,
});

/** What is remembered of the outcomes. Every time in Unix milliseconds; null for what did not happen yet. */
export type Health = z.output<typeof storedHealth>;
export const storedHealth = t.fields({
  /** Failures since the last success; interruptions do not count. */
  failuresInARow: t.number,
  /** The end of the first of the failures since the last success or resume. */
  failingSinceMs: t.numberOrNull,
  /** Failures since `failingSinceMs`. */
  failuresSince: t.number,
  /** Attempts go out one at a time until one succeeds. */
  probing: t.yes,
  /** The end of the last probe; null when the next may go at once. */
  lastProbeEndedAtMs: t.numberOrNull,
  /** A service asked for a pause until then. */
  postponedUntilMs: t.numberOrNull,
  disabled: z.catch(z.nullable(z.enum(STATUS_REASONS)), null),
  lastSuccessAtMs: t.numberOrNull,
  lastFailure: z.catch(z.nullable(lastFailure), null),
  /** When each state began: with the end of the attempt that brought it, or a person's doing. */
  failingFromMs: t.numberOrNull,
  probingFromMs: t.numberOrNull,
  postponedFromMs: t.numberOrNull,
  /** The end of the last answer that asked for a pause. */
  pauseAskedAtMs: t.numberOrNull,
  disabledFromMs: t.numberOrNull,
  lateFromMs: t.numberOrNull,
  /** The end of the last trouble. */
  wellFromMs: t.numberOrNull,
  /** What was told of this probing: that it began, or nothing because a person brought it about. */
  told: z.catch(z.nullable(z.enum(["failing", "resumed"])), null),
});

export const HEALTHY: Health = storedHealth.parse({});

/** Failures in a row after which a backlog is probed, not hammered. */
const FAILURES_BEFORE_PROBING = 10;
const GONE = 410;
const DISABLE_AFTER_MS = 5 * 86_400_000;
const DISABLE_AFTER_FAILURES = 10;
/** One failure among successes is no trouble yet: so many in a row are, or one without a success for so long. */
const FAILURES_BEFORE_FAILING = 3;
const FAILING_WITHOUT_SUCCESS_MS = 300_000;
const MAX_KEPT_BODY_BYTES = 1_024;
/** What was due so long ago is late. */
export const LATE_AFTER_MS = 60_000;

/** The delivery that an outcome belongs to. */
export type Subject = {
  eventId: EventId;
  /** The service lives and does not want this event: an answer of the webhook's `giveUpOn`. */
  givenUp?: boolean;
  /** It is one of the relay's own events. */
  isOwn?: boolean;
};

/** The webhook's health after an attempt came to `outcome`; the same object when it says nothing. */
export function assess(before: Health, outcome: Outcome, subject: Subject): Health {
  if (outcome.error === "interrupted" || subject.givenUp) return before;
  if (outcome.error === null) return succeeded(before, outcome);
  const endedAtMs = endOf(outcome);
  const failingSinceMs = before.failingSinceMs ?? endedAtMs;
  const failuresInARow = before.failuresInARow + 1;
  const failuresSince = before.failuresSince + 1;
  const probing = before.probing || failuresInARow >= FAILURES_BEFORE_PROBING;
  const by = disabledBy(outcome.statusCode, endedAtMs - failingSinceMs, failuresSince);
  // Once the Registry has been told, the time of it alone stands here until a release, and another 410 is no news.
  const disabled = before.disabled ?? (before.disabledFromMs === null ? by : null);
  const isFailing =
    failuresInARow >= FAILURES_BEFORE_FAILING ||
    (before.lastSuccessAtMs ?? 0) < endedAtMs - FAILING_WITHOUT_SUCCESS_MS;
  return {
    ...before,
    failuresInARow,
    failingSinceMs,
    failuresSince,
    probing,
    lastProbeEndedAtMs: probing ? endedAtMs : null,
    postponedUntilMs: latest(before.postponedUntilMs, outcome.retryAfterMs),
    disabled,
    lastFailure: lastFailureOf(outcome, outcome.error, subject),
    failingFromMs: since(before.failingFromMs, isFailing, endedAtMs),
    probingFromMs: since(before.probingFromMs, probing, endedAtMs),
    postponedFromMs: postponedFromMs(before, outcome, endedAtMs),
    pauseAskedAtMs: outcome.retryAfterMs === null ? before.pauseAskedAtMs : endedAtMs,
    disabledFromMs: since(before.disabledFromMs, disabled !== null, endedAtMs),
    // That the relay's own events fail is no news, or there would be no end of it.
    told: before.told ?? (probing && !subject.isOwn ? "failing" : null),
  };
}

/** When a state began: known already, or with this attempt; null for one that is not so. */
function since(knownMs: number | null, isSo: boolean, endedAtMs: number): number | null {
  return knownMs ?? (isSo ? endedAtMs : null);
}

/** What is to be told after an outcome; null for nothing. */
export function newsOf(before: Health, after: Health): "failing" | "recovered" | null {
  if (before.told === after.told) return null;
  if (after.told === "failing") return "failing";
  return before.told === "failing" ? "recovered" : null;
}

/** A success ends the failing and a pause that the service asked for before the attempt began; a 410 stands. */
function succeeded(before: Health, outcome: Outcome): Health {
  const endedAtMs = endOf(outcome);
  const { postponedUntilMs, postponedFromMs, pauseAskedAtMs } = before;
  const { disabled, disabledFromMs, lastFailure, lateFromMs } = before;
  const stands = pauseAskedAtMs !== null && outcome.startedAtMs <= pauseAskedAtMs;
  const isPostponed = (postponedUntilMs ?? 0) > endedAtMs;
  const wasWell = before.failingFromMs === null && !before.probing && (stands || !isPostponed);
  return {
    ...HEALTHY,
    ...(stands && { postponedUntilMs, postponedFromMs, pauseAskedAtMs }),
    disabled,
    disabledFromMs,
    lastFailure,
    lateFromMs,
    lastSuccessAtMs: latest(before.lastSuccessAtMs, endedAtMs),
    wellFromMs: wasWell ? before.wellFromMs : endedAtMs,
  };
}

/** A success that was written after this was: nothing but its time is news, or it would have been written with it. */
export function noteSuccess(before: Health, { startedAtMs, durationMs }: AttemptRecord): Health {
  return { ...before, lastSuccessAtMs: latest(before.lastSuccessAtMs, startedAtMs + durationMs) };
}

/** Whether the difference is more than another success: that one is told by the deliveries' own rows too. */
export function isNotable(before: Health, after: Health): boolean {
  const { lastSuccessAtMs: _, lateFromMs: __, ...then } = before;
  return Object.entries(then).some(([key, value]) => after[key as keyof Health] !== value);
}

/** Notes whether what is sent now is late. @param dueAtMs when what of it has been due longest became due. */
export function noteLateness(before: Health, dueAtMs: number, nowMs: number): Health {
  const lateAtMs = dueAtMs + LATE_AFTER_MS;
  const isLate = lateAtMs <= nowMs;
  const wasLate = before.lateFromMs !== null;
  const overMs = caughtUpAtMs(before, lateAtMs);
  if (isLate === wasLate && overMs === null) return before;
  const lateFromMs = isLate ? lateAtMs : null;
  if (!wasLate) return { ...before, lateFromMs };
  return { ...before, lateFromMs, wellFromMs: latest(before.wellFromMs, overMs ?? nowMs) };
}

/**
 * When the last of what was late had gone out, if nothing that is not has been sent since; null while it lasts.
 *
 * @param lateAtMs when what waits longest is late.
 */
export function caughtUpAtMs(
  { lateFromMs, lastSuccessAtMs }: Health,
  lateAtMs = Number.POSITIVE_INFINITY,
): number | null {
  if (lateFromMs === null || lastSuccessAtMs === null) return null;
  return lateFromMs <= lastSuccessAtMs && lastSuccessAtMs < lateAtMs ? lastSuccessAtMs : null;
}

/** The webhook's health after a person released it: the failure clock starts anew, and the next probe goes at once. */
export function release(before: Health, wasDisabled: boolean, nowMs: number): Health {
  const probing = wasDisabled || before.probing;
  return {
    ...before,
    failingSinceMs: null,
    failuresSince: 0,
    probing,
    lastProbeEndedAtMs: null,
    probingFromMs: before.probingFromMs ?? (probing ? nowMs : null),
    disabled: null,
    disabledFromMs: null,
    told: before.told ?? (probing ? "resumed" : null),
  };
}

/** The webhook got another URL: what the service of before did says nothing about this one. */
export function renew(before: Health, wasDisabled: boolean, nowMs: number): Health {
  const { lastSuccessAtMs, lastFailure } = before;
  return release({ ...HEALTHY, lastSuccessAtMs, lastFailure }, wasDisabled, nowMs);
}

/** A test was answered: the service is there, so the next probe need not wait. */
export function answeredTest(before: Health): Health {
  return before.probing ? { ...before, lastProbeEndedAtMs: null } : before;
}

/** What the last failure's answer said goes with its event, erased or past its retention. */
export function forgetAnswer(before: Health, isGone: (failure: LastFailure) => boolean): Health {
  const { lastFailure } = before;
  if (lastFailure === null || lastFailure.responseBody === null || !isGone(lastFailure)) {
    return before;
  }
  return { ...before, lastFailure: { ...lastFailure, responseBody: null } };
}

function lastFailureOf(outcome: Outcome, error: AttemptError, { eventId }: Subject): LastFailure {
  const { statusCode, responseBody } = outcome;
  const kept = responseBody === null ? null : firstBytes(responseBody, MAX_KEPT_BODY_BYTES);
  return { atMs: endOf(outcome), eventId, statusCode, error, responseBody: kept };
}

/** Whole characters only. */
function firstBytes(text: string, bytes: number): string {
  const buffer = new Uint8Array(bytes);
  const { read } = new TextEncoder().encodeInto(text, buffer);
  return text.slice(0, read);
}

function postponedFromMs(before: Health, outcome: Outcome, endedAtMs: number): number | null {
  if (outcome.retryAfterMs === null) return before.postponedFromMs;
  const isPostponed = (before.postponedUntilMs ?? 0) > endedAtMs;
  return isPostponed ? (before.postponedFromMs ?? endedAtMs) : endedAtMs;
}

function disabledBy(statusCode: number | null, failingForMs: number, failuresSince: number) {
  if (statusCode === GONE) return "gone";
  return failingForMs >= DISABLE_AFTER_MS && failuresSince >= DISABLE_AFTER_FAILURES
    ? "failing"
    : null;
}

function endOf({ startedAtMs, durationMs }: Outcome): number {
  return startedAtMs + durationMs;
}
