/** What a webhook's attempts and deliveries came to, ever: these counters only grow. Pure. */
import * as z from "zod/mini";
import type { AttemptError, AttemptRecord, DeliveryStatus } from "./delivery";
import * as t from "./tolerant";

export type Outcome = "success" | AttemptError;
export type Ending = Exclude<DeliveryStatus, "pending">;

/** Upper bounds of the histogram's buckets, seconds; what took longer is in the last one, without a bound. */
export const DURATION_BOUNDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

export type Totals = z.output<typeof storedTotals>;
export const storedTotals = t.fields({
  /** By outcome; without tests. */
  attempts: t.counts as z.ZodMiniType<Partial<Record<Outcome, number>>>,
  /** By how they ended; one that is opened again and ends again is counted again. */
  deliveries: t.counts as z.ZodMiniType<Partial<Record<Ending, number>>>,
  /** Attempts that had an answer, by bucket (not cumulative), one more than there are bounds. */
  durations: z.catch(z.array(t.number), () => [0, ...DURATION_BOUNDS.map(() => 0)]),
  durationSumMs: t.number,
});

export function countOutcome(
  totals: Totals,
  { error, durationMs, statusCode }: Pick<AttemptRecord, "error" | "durationMs" | "statusCode">,
): void {
  const outcome = error ?? "success";
  totals.attempts[outcome] = (totals.attempts[outcome] ?? 0) + 1;
  if (statusCode === null) return;
  const bucket = DURATION_BOUNDS.findIndex((bound) => durationMs <= bound * 1_000);
  const index = bucket < 0 ? DURATION_BOUNDS.length : bucket;
  totals.durations[index] = (totals.durations[index] ?? 0) + 1;
  totals.durationSumMs += durationMs;
}

export function countEnding(totals: Totals, status: Ending): void {
  totals.deliveries[status] = (totals.deliveries[status] ?? 0) + 1;
}
