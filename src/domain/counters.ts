/** What a webhook's deliveries came to within an hour, and how percentiles are read from it. */
import * as z from "zod/mini";
import { HOUR_MS, hourOf, MINUTE_MS } from "./time";
import * as t from "./tolerant";

/** The steps in which the last hour is shown. */
export const STEP_MS = 5 * MINUTE_MS;
const STEPS_PER_HOUR = HOUR_MS / STEP_MS;
/** Buckets grow by this factor: a percentile is right within some 7 %. */
const BUCKET_GROWTH = 1.15;

export type HourCounters = z.output<typeof storedHour>;
export const storedHour = t.fields({
  /** Unix milliseconds of the hour's start. */
  atMs: t.number,
  delivered: t.number,
  undeliverable: t.number,
  cancelled: t.number,
  failedAttempts: t.number,
  /** Successful attempts by duration: bucket number → how many. */
  latency: t.counts,
  /** By step of the hour. Hours that were counted before there were steps have none. */
  steps: t.list(z.tuple([z.number(), z.number()])),
});

/** Delivered, then failed attempts. */
type Step = HourCounters["steps"][number];

export function emptyHour(nowMs: number): HourCounters {
  const steps = Array.from({ length: STEPS_PER_HOUR }, (): Step => [0, 0]);
  return { ...storedHour.parse({}), atMs: hourOf(nowMs), steps };
}

/** Counts one, in its step too. */
export function countOne(
  counters: HourCounters,
  what: "delivered" | "failedAttempts",
  atMs: number,
): void {
  counters[what] += 1;
  // What is counted a little late or early belongs to the hour's last or first step.
  const index = Math.floor((atMs - counters.atMs) / STEP_MS);
  const step = counters.steps[Math.min(Math.max(index, 0), STEPS_PER_HOUR - 1)];
  if (step !== undefined) step[what === "delivered" ? 0 : 1] += 1;
}

export function countLatency(counters: HourCounters, durationMs: number): void {
  const bucket = Math.round(Math.log(durationMs + 1) / Math.log(BUCKET_GROWTH));
  counters.latency[bucket] = (counters.latency[bucket] ?? 0) + 1;
}

/** Of several hours together. */
export type HourSums = Omit<HourCounters, "atMs" | "steps">;

export function sum(hours: readonly HourCounters[]): HourSums {
  const { atMs: _, steps: __, ...total } = emptyHour(0);
  for (const hour of hours) {
    total.delivered += hour.delivered;
    total.undeliverable += hour.undeliverable;
    total.cancelled += hour.cancelled;
    total.failedAttempts += hour.failedAttempts;
    for (const [bucket, count] of Object.entries(hour.latency)) {
      total.latency[bucket] = (total.latency[bucket] ?? 0) + count;
    }
  }
  return total;
}

/** The duration in milliseconds that the share `p` of successful attempts did not exceed; null without any. */
export function percentile(latency: Readonly<Record<string, number>>, p: number): number | null {
  const buckets = Object.entries(latency)
    .map(([bucket, count]) => ({ bucket: Number(bucket), count }))
    .sort((a, b) => a.bucket - b.bucket);
  const total = buckets.reduce((all, { count }) => all + count, 0);
  let seen = 0;
  for (const { bucket, count } of buckets) {
    seen += count;
    if (seen >= total * p) return Math.round(BUCKET_GROWTH ** bucket - 1);
  }
  return null;
}
