/**
 * What the relay costs on Cloudflare: every billed operation is counted where it is made, in the Worker as it is
 * deployed, and priced. The clock, the queue, the alarms and the services are the benchmark's own, so that each run
 * counts the same (`cost/metered-worker.ts`).
 *
 *   node bench/cost.ts
 *   node bench/cost.ts retry-cost
 */
import type { Build } from "../test/rig/workerd.ts";
import {
  endsOf,
  type Measured,
  measure,
  measureFailure,
  measureStorage,
  sumOf,
  usageOf,
} from "./cost/measure.ts";
import { buildMeteredWorker } from "./cost/metered-relay.ts";
import { listPrice, OPERATIONS, times } from "./cost/prices.ts";
import {
  type Case,
  logsOf,
  printCounts,
  printDollars,
  printFailure,
  printMonths,
} from "./cost/report.ts";
import {
  busyGigabyteSeconds,
  type Ends,
  FULL_BATCH,
  type MonthRow,
  monthsOf,
  rateWhereCheaper,
  type Stored,
  storedGigabyteMonths,
  usageAt,
} from "./cost/volumes.ts";
import { atMost, type Bar, type Figure, figureOf, rounded } from "./figure.ts";

const MILLION = 1e6;
const INTERRUPTED = 130;

/** Dollars per million events: in full batches, and one at a time, so many seconds apart. */
const BARS = [
  { batch: FULL_BATCH, webhooks: 1, bar: 11 },
  { batch: FULL_BATCH, webhooks: 5, bar: 21 },
  { batch: FULL_BATCH, webhooks: 20, bar: 58 },
  { batch: FULL_BATCH, webhooks: 1, bar: 5.5, withoutKv: true },
  { apart: 1, webhooks: 1, bar: 13.3 },
  { apart: 1, webhooks: 5, bar: 27 },
  { apart: 1, webhooks: 20, bar: 78 },
  { apart: 30, webhooks: 1, bar: 16 },
  { apart: 30, webhooks: 5, bar: 39 },
  { apart: 30, webhooks: 20, bar: 125 },
] as const;

/** Rows that a delivery writes in its Subscriber, from accept to delivered. */
const ROW_BARS = [
  { name: "rows full", measured: "in batches of 100", batch: FULL_BATCH, bar: atMost(2.03) },
  { name: "rows alone", measured: "one event a second", apart: 1, bar: atMost(3.2) },
  { name: "rows apart", measured: "one event in 30 s", apart: 30, bar: null },
] as const;

/** What is measured: a relay each. */
const RELAYS = [
  { webhooks: 1 },
  { webhooks: 5 },
  { webhooks: 20 },
  { webhooks: 1, vars: { IDEMPOTENCY_TTL: "0" } },
];

const CHANGED =
  "clock, queue, alarms and services are the benchmark's own, so that each run counts the same";

type Costs = { cases: Case[]; relays: Measured[]; stored: Stored };

/** Of events that are delivered at the first attempt. */
async function costs(build: Build): Promise<Costs> {
  const stored = await measureStorage(build);
  const relays: Measured[] = [];
  for (const relay of RELAYS) relays.push(await measure(build, relay));
  const cases = BARS.map((bar) => {
    const index = RELAYS.findIndex(
      (relay) => relay.webhooks === bar.webhooks && "vars" in relay === "withoutKv" in bar,
    );
    return caseOf(relays[index] as Measured, stored, bar);
  });
  const withKv = relays.filter((_, index) => !("vars" in (RELAYS[index] ?? {})));
  return { cases, relays: withKv, stored };
}

function caseOf(measured: Measured, stored: Stored, given: (typeof BARS)[number]): Case {
  const { webhooks } = measured;
  const isBatch = "batch" in given;
  const batch = isBatch ? given.batch : 1;
  const ends = endsOf(measured);
  const perEvent = isBatch ? usageAt(ends, batch) : usageOf(measured.alone.get(given.apart) ?? {});
  const operations = times(MILLION, perEvent);
  const overTime = ends.month;
  const gigabyteSeconds = MILLION * busyGigabyteSeconds(webhooks, batch);
  const gigabyteMonths = MILLION * storedGigabyteMonths(webhooks, stored);
  const withoutKv = "withoutKv" in given;
  const by = `${webhooks} webhook${webhooks === 1 ? "" : "s"}`;
  const come = isBatch ? `in batches of ${batch}` : `one in ${given.apart} s`;
  return {
    name: `${isBatch ? batch : `1/${given.apart} s`} × ${webhooks}${withoutKv ? " no KV" : ""}`,
    measured: `$ per million events, ${come}, ${by}${withoutKv ? ', `IDEMPOTENCY_TTL = "0"`' : ""}`,
    operations,
    overTime,
    dollars: listPrice(operations, OPERATIONS) + listPrice(overTime, OPERATIONS),
    bar: given.bar,
    duration: listPrice({ ...operations, gigabyteSeconds }, ["gigabyteSeconds"]),
    storage: listPrice({ ...operations, gigabyteMonths }, ["gigabyteMonths"]),
    logs: logsOf(operations),
  };
}

/** Of the relay with most webhooks: what all of them write, by deliveries. */
function rowsOf(relays: readonly Measured[]): Figure[] {
  const widest = relays.toSorted((a, b) => b.webhooks - a.webhooks)[0] as Measured;
  return ROW_BARS.map(({ name, measured, bar, ...of }) => {
    const counts = "batch" in of ? widest.batches.get(of.batch) : widest.alone.get(of.apart);
    const deliveries = widest.webhooks * ("batch" in of ? of.batch : 1);
    return counted({
      name,
      measured: `rows that a delivery writes in its Subscriber, ${measured}`,
      value: sumOf(counts ?? {}, "written.Subscriber") / deliveries,
      bar,
    });
  });
}

/** What is kept for `RETENTION`. */
function bytesOf({ perEvent, perDelivery }: Stored): Figure[] {
  const figure = (name: string, value: number, what: string) =>
    counted({ name: `bytes ${name}`, measured: `bytes that ${what}`, value, bar: null });
  return [
    figure("event", perEvent, "an event of 1 KB takes in its Journal"),
    figure("delivery", perDelivery, "a delivery takes in its Subscriber, answered without a body"),
  ];
}

type Counted = { name: string; measured: string; value: number; bar: Bar | null };

/** A figure that comes out the same in every run. */
function counted({ value, ...named }: Counted, details?: Record<string, unknown>): Figure {
  return figureOf({ ...named, changed: CHANGED }, [rounded(value)], details);
}

/** Prints its tables, and gives the sums against their bars. */
export async function cost(): Promise<Figure[]> {
  const { cases, relays, stored } = await withBuild(costs);
  console.log("Columns: events in a batch, or one in so many seconds, × webhooks\n");
  printCounts(cases);
  printDollars(cases, stored);
  const ends = relays.map(endsOf);
  const months = monthsOf(ends, stored);
  printMonths(months);
  return [
    ...cases.map(dollarsOf),
    ...rowsOf(relays),
    ...bytesOf(stored),
    timeoutsOf(ends, stored, months),
  ];
}

function dollarsOf({ name, measured, dollars, bar, operations, overTime, ...rest }: Case): Figure {
  const { duration, storage, logs } = rest;
  return counted(
    {
      name: `cost ${name}`,
      measured,
      value: dollars,
      bar: { text: `<= $${bar.toFixed(2)}`, isMet: (value) => value <= bar },
    },
    {
      operationsPerEvent: times(1 / MILLION, operations),
      overTimePerMonth: overTime,
      dollarsOutsideTheSum: {
        duration,
        storage,
        logs: logs.own,
        invocationLogs: logs.invocations,
      },
    },
  );
}

/**
 * What `max_batch_timeout` changes: months at 0 and at 1, and by webhooks what an event costs at both ends, from which
 * a deploy tells what the rate of its relay costs.
 */
function timeoutsOf(relays: readonly Ends[], stored: Stored, months: readonly MonthRow[]): Figure {
  return counted(
    {
      name: "cost timeout",
      measured: "events a second from which max_batch_timeout 1 takes a tenth off, with 1 webhook",
      value: rateWhereCheaper(relays[0] as Ends, stored),
      bar: null,
    },
    { stored, relays, months },
  );
}

/** Prints where each row and request of an event comes from that fails all six times. */
export async function retryCost(): Promise<Figure[]> {
  const failure = await withBuild(measureFailure);
  printFailure(failure);
  return [
    counted(
      {
        name: "retry cost",
        measured: "$ per million events that fail 6 times, batches × webhooks: 1 × 1",
        value: MILLION * listPrice(usageOf(failure.total), OPERATIONS),
        bar: null,
      },
      { ...failure },
    ),
  ];
}

async function withBuild<T>(work: (build: Build) => Promise<T>): Promise<T> {
  const build = await buildMeteredWorker();
  try {
    return await work(build);
  } finally {
    build.remove();
  }
}

async function main(): Promise<void> {
  const figures = process.argv[2] === "retry-cost" ? await retryCost() : await cost();
  for (const { measured, value, bar, met } of figures) {
    const verdict = met === null ? "" : met ? "met" : "MISSED";
    console.log(`${measured.padEnd(66)} ${value.toFixed(2).padStart(8)}  ${bar} ${verdict}`);
  }
  if (figures.some(({ met }) => met === false)) process.exitCode = 1;
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => process.exit(INTERRUPTED));
  }
  await main();
}
