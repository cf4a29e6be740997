/** What an attempt's outcome makes of a delivery: for the pump, and for what recovery closes. */
import { type Outcome, type Policy, settle } from "../../domain/delivery";
import { errorText, logError } from "../../log";
import { ASKED, type StoredDelivery } from "../../storage/delivery-tables";
import type { LeasedAttempt } from "../../storage/run";

/** An attempt that came to an end, and is not on disk. */
export type Unwritten = { delivery: StoredDelivery; lease: LeasedAttempt; outcome: Outcome };

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

/** An answer to what was erased meanwhile may echo it. */
export function withoutEcho(outcome: Outcome, { lastError }: StoredDelivery): Outcome {
  return lastError === "erased"
    ? { ...outcome, responseBody: null, responseHeaders: null }
    : outcome;
}
