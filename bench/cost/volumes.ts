/** What a month costs: from the counts of a batch, and the batches that a volume comes in. */
import { FULL_BATCH, type Measured, type Stored, usagePerEvent, usagePerMonth } from "./measure.ts";
import { add, listPrice, monthlyBill, times, type Usage } from "./prices.ts";

/** How long a service takes to answer. */
export const ANSWER_SECONDS = 0.1;
/** A Registry, a Journal or an `accept` is busy for so long with one call. */
export const CALL_SECONDS = 0.005;
/** src/actors/subscriber/pump.ts: attempts of a Subscriber at the same time. */
export const IN_FLIGHT = 6;
/** https://developers.cloudflare.com/durable-objects/platform/pricing/: whatever an object uses. */
const OBJECT_GIGABYTES = 0.128;

const GIGABYTE = 1e9;
const SECONDS_PER_HOUR = 3_600;

/** From the arrival of a message until the consumer takes the next batch: three calls, one after the other. */
export const TURNAROUND_SECONDS = 0.1;

/** When the events of a month come. */
export const SPREADS = [
  { name: "evenly, round the clock", hours: 730.5 },
  { name: "in 22 days of 8 hours", hours: 22 * 8 },
] as const;
export const VOLUMES = [1e6, 10e6, 100e6] as const;
/** `max_batch_timeout` in wrangler.toml, seconds. */
export const TIMEOUTS = [0, 1] as const;

/** GB-s for which objects are busy with one event: every object by itself, with nothing else to do. */
export function busyGigabyteSeconds(webhooks: number, batch: number): number {
  const calls = (2 + webhooks) * CALL_SECONDS;
  const sending = webhooks * Math.max(1, batch / IN_FLIGHT) * ANSWER_SECONDS;
  return (OBJECT_GIGABYTES * (calls + sending)) / batch;
}

/** GB-months of one event: it is kept for 30 days. */
export function storedGigabyteMonths(webhooks: number, { perEvent, perDelivery }: Stored): number {
  return (perEvent + webhooks * perDelivery) / GIGABYTE;
}

/**
 * A batch is the message that opens it, and what arrives until the consumer takes it.
 *
 * @param rate events per second.
 * @param timeoutSeconds `max_batch_timeout`.
 */
export function batchAt(rate: number, timeoutSeconds: number): number {
  return Math.min(FULL_BATCH, 1 + rate * Math.max(timeoutSeconds, TURNAROUND_SECONDS));
}

export type Month = {
  events: number;
  batch: number;
  usage: Usage;
  /** Dollars for all of it at the price beyond the plan. */
  listPrice: number;
  /** Dollars on the bill of an account that has nothing else. */
  bill: number;
};

export function monthOf(
  measured: Measured,
  stored: Stored,
  { events, hours, timeout }: { events: number; hours: number; timeout: number },
): Month {
  const batch = batchAt(events / (hours * SECONDS_PER_HOUR), timeout);
  const operations = usagePerEvent(measured, batch);
  const perEvent = {
    ...operations,
    gigabyteSeconds: busyGigabyteSeconds(measured.webhooks, batch),
    gigabyteMonths: storedGigabyteMonths(measured.webhooks, stored),
  };
  const usage = add(times(events, perEvent), usagePerMonth(measured));
  return { events, batch, usage, listPrice: listPrice(usage), bill: monthlyBill(usage) };
}
