/**
 * The delivery state machine: `pending → delivered | undeliverable | cancelled`. Pure: the clock and chance come in as
 * arguments. What outcomes mean for the webhook as a whole is in `health.ts`.
 */
import * as z from "zod/mini";
import type { EventId } from "./ids";
import { retryWaitMs } from "./schedule";
import { shown } from "./time";
import * as t from "./tolerant";
import type { Waiting } from "./waiting";

/** In the order of the numbers that stand for them where deliveries are stored. */
export const DELIVERY_STATUSES = ["pending", "delivered", "undeliverable", "cancelled"] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

const ATTEMPT_ERRORS = [
  "timeout",
  "connection",
  "redirect",
  "status",
  "forbidden_target",
  "interrupted",
] as const;
export type AttemptError = (typeof ATTEMPT_ERRORS)[number];

/** The last two end a delivery without an attempt. */
export const DELIVERY_ERRORS = [...ATTEMPT_ERRORS, "expired", "erased"] as const;
export type DeliveryError = (typeof DELIVERY_ERRORS)[number];

export const TRIGGERS = ["scheduled", "manual", "test"] as const;
export type Trigger = (typeof TRIGGERS)[number];

/** One line of an attempt log. It is stored as a tuple, whose places are in this order; a new one comes last. */
export type AttemptRecord = z.output<typeof storedAttempt>;
export const storedAttempt = z.object({
  number: t.number,
  trigger: z.catch(z.enum(TRIGGERS), "scheduled"),
  startedAtMs: t.number,
  durationMs: t.number,
  statusCode: t.numberOrNull,
  /** null on success: a status from 200 to 299. That of a newer release is shown as it is. */
  error: z.catch(z.nullable(z.custom<AttemptError>(t.isText)), null),
  /** Text, at most 16 KiB of a failure and 1 KiB of a success, with secrets replaced. */
  responseBody: t.textOrNull,
  responseTruncated: z.catch(
    t.turned(z.literal(1), () => true),
    false,
  ),
  /** Of a failure, 1 KiB in all, without `set-cookie` and with secrets replaced; null for a success or no answer. */
  responseHeaders: z.catch(z.nullable(t.record(z.string())), null),
});

/** What came of one attempt. */
export type Outcome = Omit<AttemptRecord, "number" | "trigger"> & {
  /** Unix milliseconds before which the service does not want to be asked again (429 and 503 only). */
  retryAfterMs: number | null;
  /** Its time was over before anything was answered. */
  ranOut?: boolean;
};

/** A delivery as it is read, with every time in Unix milliseconds. */
export type DeliveryView = Waiting &
  Omit<Progress, "failures" | "interruptions" | "dueAtMs"> & {
    webhookId: string;
    eventId: EventId;
    event: string;
    createdAtMs: number;
  };

/** Which deliveries a list shows; times are those of arrival, both ends included. */
export type DeliveryFilter = {
  status?: DeliveryStatus;
  event?: string;
  sinceMs?: number;
  untilMs?: number;
  /** Whether it was ever tried. */
  attempted?: boolean;
  /** Of the last attempt. */
  statusCode?: number;
  error?: DeliveryError;
  /** Opened again or backfilled since then; an object of the release before does not look at it, nor at the next. */
  openedSinceMs?: number;
  endedSinceMs?: number;
};

/** As it is told outside, and no more than that. An object of the release before does not say what it waits for. */
export function shownDelivery(view: DeliveryView) {
  const { webhookId, eventId, event, status, attempts, createdAtMs, nextAttemptAtMs } = view;
  const { waitingFor = null, completedAtMs, lastStatusCode, lastError } = view;
  return shown({
    webhookId,
    eventId,
    event,
    status,
    attempts,
    createdAtMs,
    nextAttemptAtMs,
    waitingFor,
    completedAtMs,
    lastStatusCode,
    lastError,
  });
}

/** A first attempt by the schedule: they start in the order of arrival. */
export function isInOrder({ number, trigger }: Pick<AttemptRecord, "number" | "trigger">): boolean {
  return number === 1 && trigger === "scheduled";
}

/** With its attempts, oldest first. */
export type LoggedDelivery = DeliveryView & { attemptLog: AttemptRecord[] };

/** The part of a delivery that an outcome changes. */
export type Progress = {
  status: DeliveryStatus;
  /** Requests that may have left, ever. */
  attempts: number;
  /** Failed attempts that count towards the schedule since the delivery was opened. */
  failures: number;
  /** Interrupted attempts in a row, without those that a listener which went away left behind. */
  interruptions: number;
  /** When the next attempt is due, Unix milliseconds; null when it is finished. */
  dueAtMs: number | null;
  completedAtMs: number | null;
  lastStatusCode: number | null;
  lastError: DeliveryError | null;
};

/** An interrupted attempt is repeated at once this often in a row; after that it counts as a failure. */
const MAX_FREE_INTERRUPTIONS = 3;
const GONE = 410;

/** What a webhook says about failed attempts. */
export type Policy = {
  /** The waits after failed attempts, in milliseconds. */
  schedule: readonly number[];
  /** Statuses after which nothing is tried again. */
  giveUpOn: readonly number[];
  /** However often an attempt is cut short, it does not count: a listener comes and goes. One that runs out is not. */
  interruptible: boolean;
};

/** Whether the service said that it does not want this event: it lives, and nothing is tried again. */
export function isGivenUp(
  { statusCode }: Pick<Outcome, "statusCode">,
  { giveUpOn }: Pick<Policy, "giveUpOn">,
): boolean {
  return statusCode !== null && giveUpOn.includes(statusCode);
}

/**
 * The delivery after its next attempt came to `outcome`.
 *
 * @param random in [0, 1).
 */
export function settle(
  before: Progress,
  outcome: Outcome,
  { schedule, giveUpOn, interruptible, random }: Policy & { random: number },
): Progress {
  const endedAtMs = outcome.startedAtMs + outcome.durationMs;
  const isCutShort = interruptible && !outcome.ranOut;
  const after: Progress = {
    ...before,
    attempts: before.attempts + 1,
    interruptions:
      outcome.error === "interrupted" ? before.interruptions + (isCutShort ? 0 : 1) : 0,
    lastStatusCode: outcome.statusCode,
    lastError: outcome.error,
  };
  if (outcome.error === null) {
    return { ...after, status: "delivered", dueAtMs: null, completedAtMs: endedAtMs };
  }
  const isFree = isCutShort || after.interruptions <= MAX_FREE_INTERRUPTIONS;
  if (isUncounted(outcome, isFree)) return { ...after, dueAtMs: endedAtMs };
  const failures = before.failures + 1;
  const isOver = isGivenUp(outcome, { giveUpOn });
  const wait = isOver ? null : retryWaitMs(schedule, failures, random);
  if (wait === null) {
    return { ...after, failures, status: "undeliverable", dueAtMs: null, completedAtMs: endedAtMs };
  }
  return { ...after, failures, dueAtMs: Math.max(endedAtMs + wait, outcome.retryAfterMs ?? 0) };
}

/** A free interruption, and a 410, which speaks about the webhook and not about this delivery. */
function isUncounted(outcome: Outcome, isFree: boolean): boolean {
  if (outcome.error === "interrupted") return isFree;
  return outcome.statusCode === GONE;
}

/** A finished delivery opened again by a person: a fresh schedule, attempt numbers going on. */
export function reopen(before: Progress, nowMs: number): Progress {
  return {
    ...before,
    status: "pending",
    failures: 0,
    interruptions: 0,
    dueAtMs: nowMs,
    completedAtMs: null,
  };
}
