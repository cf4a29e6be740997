/** What an attempt's outcome makes of a delivery and of the counters: for the pump, and for what recovery closes. */
import { countDelivered, countFailedAttempt, countLatency } from "../../domain/counters";
import {
  type AttemptRecord,
  type DeliveryStatus,
  type Outcome,
  type Policy,
  settle,
  type Trigger,
} from "../../domain/delivery";
import { countEnding, countOutcome } from "../../domain/totals";
import { ASKED, type StoredDelivery } from "../../storage/delivery-tables";
import type { Run } from "../../storage/run-store";

/** Counts what became of a delivery: by an attempt, by a person, or because it expired. */
export function countChange(run: Run, before: StoredDelivery, after: StoredDelivery): void {
  const attempt = after.attempts > before.attempts ? after.log.at(-1) : undefined;
  const endedAtMs = attempt === undefined ? Date.now() : attempt.startedAtMs + attempt.durationMs;
  if (attempt !== undefined) countAttempt(run, attempt);
  if (before.status === after.status) return;
  if (before.status === "pending") countEnd(run, after.status, endedAtMs);
  else if (after.status === "pending") run.ended -= 1;
  countUndeliverable(run, before, -1);
  countUndeliverable(run, after, 1);
}

function countAttempt({ hour, totals }: Run, attempt: AttemptRecord): void {
  const { error, durationMs, startedAtMs, statusCode } = attempt;
  countOutcome(totals, { error, durationMs, answered: statusCode !== null });
  if (error === null) countLatency(hour, durationMs);
  else if (error !== "interrupted") countFailedAttempt(hour, startedAtMs + durationMs);
}

function countEnd(run: Run, status: DeliveryStatus, endedAtMs: number): void {
  if (status === "pending") return;
  run.ended += 1;
  countEnding(run.totals, status);
  if (status === "delivered") countDelivered(run.hour, endedAtMs);
  else run.hour[status] += 1;
}

/** By period: what goes with its table is not counted any more. */
function countUndeliverable({ undeliverable }: Run, of: StoredDelivery, by: 1 | -1): void {
  if (undeliverable === null || of.status !== "undeliverable") return;
  undeliverable[of.period] = (undeliverable[of.period] ?? 0) + by;
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
  const log = [...delivery.log, { ...outcome, number, trigger }];
  if (delivery.status !== "pending") return { ...delivery, attempts: delivery.attempts + 1, log };
  const after = settle(
    delivery,
    { ...outcome, retryAfterMs },
    { ...policy, random: Math.random() },
  );
  return { ...delivery, ...after, asked: ASKED.bySchedule, log };
}
