/** What an attempt's outcome makes of a delivery: for the pump, and for what recovery closes. */
import { type Outcome, type Policy, settle } from "../../domain/delivery";
import type { EventId } from "../../domain/ids";
import { errorText, logError, logInfo, logWarning } from "../../log";
import type { Attempted, DeliveryStore } from "../../storage/delivery-store";
import { ASKED, type StoredDelivery } from "../../storage/delivery-tables";
import type { LeasedAttempt } from "../../storage/run";
import type { Leased } from "./leases";

/** Attempts that succeeded share a log line, up to so many: a line costs more than an attempt's row. */
const MAX_LOGGED_TOGETHER = 50;

/** An attempt that came to an end, and is not on disk. */
export type Unwritten = { delivery: StoredDelivery; lease: LeasedAttempt; outcome: Outcome };

export type Written = { before: StoredDelivery; after: StoredDelivery };

/** The delivery with the attempt in its log; one that a person ended meanwhile stays ended. */
export function recorded(
  { delivery, lease: { number, trigger }, outcome }: Unwritten,
  policy: Policy,
): StoredDelivery {
  const { retryAfterMs: _, ranOut: __, ...said } = outcome;
  const log = [...delivery.log, { ...said, number, trigger }];
  if (delivery.status !== "pending") return { ...delivery, attempts: delivery.attempts + 1, log };
  const after = settle(delivery, outcome, { ...policy, random: Math.random() });
  return { ...delivery, ...after, asked: ASKED.bySchedule, log };
}

export function logNotWritten(
  webhookId: string,
  { id, number }: Pick<LeasedAttempt, "id" | "number">,
  thrown: unknown,
): void {
  const error = errorText(thrown);
  logError("outcome.not_written", { webhookId, eventId: id, attempt: number, error });
}

/** A Lane may answer an object that was restarted since the event was erased: what ended so says it still. */
export function withoutEcho(outcome: Outcome, { isErased = false, delivery }: Leased) {
  const { status, lastError } = delivery;
  const mayEcho = isErased || (status !== "pending" && lastError === "erased");
  return mayEcho ? { ...outcome, responseBody: null, responseHeaders: null } : outcome;
}

/** Attempts were recorded together: the list of them knows. Where the disk does not take that, it lacks them. */
export function listAttempts(
  store: DeliveryStore,
  webhookId: string,
  attempted: readonly Attempted[],
): void {
  try {
    store.listAttempts(attempted);
  } catch (thrown) {
    logError("attempts.not_listed", { webhookId, error: errorText(thrown) });
  }
}

/**
 * Where it is told what is on disk: in the list of attempts, and in the log, where a failed attempt has a line of its own
 * and those that succeeded share one.
 */
export class OutcomeNotes {
  readonly #store: DeliveryStore;
  readonly #webhookId: string;
  /** Events of attempts that succeeded and are not logged yet. */
  readonly #succeeded: EventId[] = [];

  constructor(store: DeliveryStore, webhookId: string) {
    this.#store = store;
    this.#webhookId = webhookId;
  }

  /** Call it once for each attempt, with those that were written together. */
  recorded(written: readonly Written[]): void {
    const attempted = written.map(({ after }) => after);
    listAttempts(this.#store, this.#webhookId, attempted);
    for (const { before, after } of written) {
      const attempt = after.log.at(-1);
      if (attempt?.error === null) this.#succeeded.push(after.id);
      else this.#logFailure(before, after);
    }
    if (this.#succeeded.length >= MAX_LOGGED_TOGETHER) this.flush();
  }

  /** Call it when the alarm has rung, which follows all that is sent within ten seconds. */
  flush(): void {
    const eventIds = this.#succeeded.splice(0);
    if (eventIds.length === 0) return;
    logInfo("attempts.succeeded", { webhookId: this.#webhookId, eventIds });
  }

  #logFailure(before: StoredDelivery, { id, event, status, log: attempts }: StoredDelivery): void {
    const isOver = before.status === "pending" && status === "undeliverable";
    const log = isOver ? logError : logWarning;
    const attempt = attempts.at(-1);
    log(isOver ? "delivery.undeliverable" : "attempt.failed", {
      webhookId: this.#webhookId,
      eventId: id,
      event,
      attempt: attempt?.number,
      statusCode: attempt?.statusCode,
      error: attempt?.error,
      durationMs: attempt?.durationMs,
      status,
    });
  }
}
