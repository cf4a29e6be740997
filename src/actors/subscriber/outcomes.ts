/** What an attempt's outcome makes of a delivery: for the pump, and for what recovery closes. */
import { type Outcome, type Policy, settle, type Trigger } from "../../domain/delivery";
import { errorText, logError } from "../../log";
import { ASKED, type StoredDelivery } from "../../storage/delivery-tables";
import type { LeasedAttempt } from "../../storage/run";

/** The delivery with the attempt in its log; one that a person ended meanwhile stays ended. */
export function recorded(
  {
    delivery,
    attempt: { number, trigger },
    outcome: { retryAfterMs, ...outcome },
  }: {
    delivery: StoredDelivery;
    attempt: { number: number; trigger: Trigger };
    outcome: Outcome;
  },
  policy: Policy,
): StoredDelivery {
  const log = [...delivery.log, { ...outcome, number, trigger }];
  if (delivery.status !== "pending") return { ...delivery, attempts: delivery.attempts + 1, log };
  const after = settle(
    delivery,
    { ...outcome, retryAfterMs },
    { ...policy, random: Math.random() },
  );
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
