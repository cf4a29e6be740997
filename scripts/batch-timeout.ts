/** What `max_batch_timeout` 0 and 1 cost at the rate that a relay has seen, by the counts of `npm run bench -- cost`. */
import { type Usage, usage } from "../bench/cost/prices.ts";
import { type Ends, monthOf, type Stored } from "../bench/cost/volumes.ts";
import { readResults } from "../bench/results.ts";
import type { RelayApi } from "./relay-api.ts";

/** bench/results.json: has what an event costs alone and in full batches. */
const FIGURE = "cost timeout";
const DAY_HOURS = 24;
const DAYS_PER_MONTH = 365.25 / 12;
/** In dollars a month: what is cheaper by less is the same. */
const NOTABLE = 1;

/** A sentence; null when the relay has seen no event. */
export async function batchTimeoutAdvice(api: RelayApi): Promise<string | null> {
  try {
    const { status, json } = await api.call("GET", "/v1/stats");
    const { events, webhooks } = json ?? {};
    if (status !== 200 || typeof events !== "number" || !Array.isArray(webhooks)) {
      return `The relay did not say how many events it gets (/v1/stats answered ${status}).`;
    }
    return events === 0 ? null : adviceFor(events, webhooks.length);
  } catch (thrown) {
    return `The relay did not say how many events it gets: ${(thrown as Error).message}`;
  }
}

/** @param events of one day. */
export function adviceFor(events: number, webhooks: number): string {
  const [at0, at1] = [0, 1].map((timeout) => billOf(events, webhooks, timeout)) as [number, number];
  const verdict =
    at0 - at1 < NOTABLE
      ? "0 costs no more, and delivers at once"
      : "1 is cheaper, and delivers up to a second later";
  const by = `${webhooks} webhook${webhooks === 1 ? "" : "s"}`;
  return (
    `In the last day the relay took ${events.toLocaleString("en")} events for ${by}. At that rate a month costs ` +
    `about $${at0.toFixed(0)} with max_batch_timeout 0 and $${at1.toFixed(0)} with 1; ${verdict}.`
  );
}

/** Dollars on a month's bill in an account with nothing else. */
function billOf(eventsADay: number, webhooks: number, timeout: number): number {
  const { details } = readResults().find(({ name }) => name === FIGURE) ?? {};
  const { relays, stored } = details as { relays: Ends[]; stored: Stored };
  const volume = {
    events: eventsADay * DAYS_PER_MONTH,
    hours: DAYS_PER_MONTH * DAY_HOURS,
    timeout,
  };
  return monthOf(endsFor(relays, webhooks), stored, volume).bill;
}

/** On the line through the relays with the fewest and the most webhooks that were counted. */
function endsFor(relays: readonly Ends[], webhooks: number): Ends {
  const [few, many] = [relays[0], relays.at(-1)] as [Ends, Ends];
  const share = (webhooks - few.webhooks) / (many.webhooks - few.webhooks);
  const between = (from: Usage, to: Usage) =>
    usage((resource) => from[resource] + share * (to[resource] - from[resource]));
  return {
    webhooks,
    full: between(few.full, many.full),
    small: between(few.small, many.small),
    single: between(few.single, many.single),
    month: between(few.month, many.month),
  };
}
