/** What a month costs: from the counts of a batch, and the batches that a volume comes in. */
import { add, listPrice, monthlyBill, times, type Usage, usage } from "./prices.ts";

export const FULL_BATCH = 100;

export const SMALL_BATCH = 10;

/**
 * Operations of a relay with so many webhooks: of one event in full batches and alone, of a small batch, and of a
 * month without any.
 */
export type Ends = { webhooks: number; full: Usage; small: Usage; single: Usage; month: Usage };

/** Bytes that are kept for `RETENTION`. */
export type Stored = { perEvent: number; perDelivery: number };

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

/**
 * Operations of one event in batches of `size`: so much an event and so much a batch. One that can leave as it arrives
 * needs no lease of its own, so a batch is less then.
 */
export function usageAt(
  { full, small, single }: Pick<Ends, "full" | "small" | "single">,
  size: number,
): Usage {
  return usage((resource) => {
    const perEvent = (full[resource] * FULL_BATCH - small[resource]) / (FULL_BATCH - SMALL_BATCH);
    const perBatch =
      size > IN_FLIGHT ? small[resource] - SMALL_BATCH * perEvent : single[resource] - perEvent;
    return perEvent + perBatch / size;
  });
}

export type Month = {
  batch: number;
  /** Dollars for all of it at the price beyond the plan. */
  listPrice: number;
  /** Dollars on the bill of an account that has nothing else. */
  bill: number;
};

export function monthOf(
  ends: Ends,
  stored: Stored,
  { events, hours, timeout }: { events: number; hours: number; timeout: number },
): Month {
  const batch = batchAt(events / (hours * SECONDS_PER_HOUR), timeout);
  const perEvent = {
    ...usageAt(ends, batch),
    gigabyteSeconds: busyGigabyteSeconds(ends.webhooks, batch),
    gigabyteMonths: storedGigabyteMonths(ends.webhooks, stored),
  };
  const used = add(times(events, perEvent), ends.month);
  return { batch, listPrice: listPrice(used), bill: monthlyBill(used) };
}

/** A volume at each of `TIMEOUTS`, for relays with so many webhooks. */
export type MonthRow = {
  spread: string;
  events: number;
  timeouts: {
    timeout: number;
    batch: number;
    relays: (Omit<Month, "batch"> & { webhooks: number })[];
  }[];
};

export function monthsOf(relays: readonly Ends[], stored: Stored): MonthRow[] {
  return SPREADS.flatMap(({ name, hours }) =>
    VOLUMES.map((events) => ({
      spread: name,
      events,
      timeouts: TIMEOUTS.map((timeout) => {
        const months = relays.map((ends) => {
          const { batch, ...dollars } = monthOf(ends, stored, { events, hours, timeout });
          return { batch, webhooks: ends.webhooks, ...dollars };
        });
        const { batch = 1 } = months[0] ?? {};
        return { timeout, batch, relays: months.map(({ batch: _, ...rest }) => rest) };
      }),
    })),
  );
}

/** What counts as a saving, and how close two rates are that are looked at. */
const SAVING = 0.1;
const RATE_STEP = 1.01;
const LOWEST_RATE = 0.01;
const HIGHEST_RATE = 1_000;

/** Events a second, evenly round the clock, from which `max_batch_timeout` 1 takes a tenth off the list price. */
export function rateWhereCheaper(ends: Ends, stored: Stored): number {
  const [{ hours }] = SPREADS;
  for (let rate = LOWEST_RATE; rate < HIGHEST_RATE; rate *= RATE_STEP) {
    const events = rate * hours * SECONDS_PER_HOUR;
    const [now, after] = TIMEOUTS.map(
      (timeout) => monthOf(ends, stored, { events, hours, timeout }).listPrice,
    ) as [number, number];
    if (after <= now * (1 - SAVING)) return rate;
  }
  return Number.NaN;
}
