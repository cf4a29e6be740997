/** What an attempt's outcome makes of a delivery and of the counters: for the pump, and for what recovery closes. */
import {
  countDelivered,
  countFailedAttempt,
  countLatency,
  type HourCounters,
} from "../../domain/counters";
import { type Outcome, type Policy, settle, type Trigger } from "../../domain/delivery";
import { ASKED, type StoredDelivery } from "../../storage/delivery-tables";

/** Counts the last attempt in the log of `after`, and what became of the delivery. */
export function countAttempt(
  hour: HourCounters,
  before: StoredDelivery,
  after: StoredDelivery,
): void {
  const attempt = after.log.at(-1);
  if (attempt === undefined) return;
  const endedAtMs = attempt.startedAtMs + attempt.durationMs;
  if (attempt.error === null) countLatency(hour, attempt.durationMs);
  else if (attempt.error !== "interrupted") countFailedAttempt(hour, endedAtMs);
  if (before.status !== "pending") return;
  if (after.status === "delivered") countDelivered(hour, endedAtMs);
  else if (after.status === "undeliverable") hour.undeliverable += 1;
}

/** 1 when an attempt ended the delivery, else 0. */
export function endedBetween(before: StoredDelivery, after: StoredDelivery): number {
  return before.status === "pending" && after.status !== "pending" ? 1 : 0;
}

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
  // An answer to what was erased meanwhile may echo it.
  const responseBody = delivery.lastError === "erased" ? null : outcome.responseBody;
  const log = [...delivery.log, { ...outcome, responseBody, number, trigger }];
  if (delivery.status !== "pending") return { ...delivery, attempts: delivery.attempts + 1, log };
  const after = settle(
    delivery,
    { ...outcome, retryAfterMs },
    { ...policy, random: Math.random() },
  );
  return { ...delivery, ...after, asked: ASKED.bySchedule, log };
}
