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
  FULL_BATCH,
  type Measured,
  measure,
  measureFailure,
  measureStorage,
  type Stored,
  usageOf,
  usagePerEvent,
  usagePerMonth,
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
import { busyGigabyteSeconds, storedGigabyteMonths } from "./cost/volumes.ts";
import type { Figure } from "./figure.ts";

const MILLION = 1e6;
const INTERRUPTED = 130;

/** Dollars per million events. */
const BARS = [
  { batch: FULL_BATCH, webhooks: 1, bar: 11 },
  { batch: FULL_BATCH, webhooks: 5, bar: 21 },
  { batch: FULL_BATCH, webhooks: 20, bar: 58 },
  { batch: FULL_BATCH, webhooks: 1, bar: 5.5, withoutKv: true },
  { batch: 1, webhooks: 1, bar: 16 },
  { batch: 1, webhooks: 5, bar: 39 },
  { batch: 1, webhooks: 20, bar: 125 },
];

/** What is measured: a relay each. */
const RELAYS = [
  { webhooks: 1 },
  { webhooks: 5 },
  { webhooks: 20 },
  { webhooks: 1, vars: { IDEMPOTENCY_TTL: "0" } },
];

type Costs = { cases: Case[]; relays: Measured[]; stored: Stored };

/** Of events that are delivered at the first attempt. */
async function costs(build: Build): Promise<Costs> {
  const stored = await measureStorage(build);
  const relays: Measured[] = [];
  for (const relay of RELAYS) relays.push(await measure(build, relay));
  const cases = BARS.map(({ batch, webhooks, bar, withoutKv = false }) => {
    const index = RELAYS.findIndex(
      (relay) => relay.webhooks === webhooks && "vars" in relay === withoutKv,
    );
    return caseOf(relays[index] as Measured, stored, { batch, bar, withoutKv });
  });
  const withKv = relays.filter((_, index) => !("vars" in (RELAYS[index] ?? {})));
  return { cases, relays: withKv, stored };
}

function caseOf(
  measured: Measured,
  stored: Stored,
  { batch, bar, withoutKv }: { batch: number; bar: number; withoutKv: boolean },
): Case {
  const { webhooks } = measured;
  const operations = times(MILLION, usagePerEvent(measured, batch));
  const overTime = usagePerMonth(measured);
  const gigabyteSeconds = MILLION * busyGigabyteSeconds(webhooks, batch);
  const gigabyteMonths = MILLION * storedGigabyteMonths(webhooks, stored);
  return {
    name: `${batch} × ${webhooks}${withoutKv ? " no KV" : ""}`,
    webhooks,
    batch,
    operations,
    overTime,
    dollars: listPrice(operations, OPERATIONS) + listPrice(overTime, OPERATIONS),
    bar,
    duration: listPrice({ ...operations, gigabyteSeconds }, ["gigabyteSeconds"]),
    storage: listPrice({ ...operations, gigabyteMonths }, ["gigabyteMonths"]),
    logs: logsOf(operations),
  };
}

/** Prints its tables, and gives the sums against their bars. */
export async function cost(): Promise<Figure[]> {
  const { cases, relays, stored } = await withBuild(costs);
  console.log("Columns: events in a batch × webhooks\n");
  printCounts(cases);
  printDollars(cases, stored);
  printMonths(relays, stored);
  return cases.map((each) => ({
    name: "cost",
    measured: `$ per million events, batches × webhooks: ${each.name}`,
    value: each.dollars,
    spread: null,
    runs: 1,
    bar: `<= $${each.bar.toFixed(2)}`,
    met: each.dollars <= each.bar,
    details: {
      operationsPerEvent: times(1 / MILLION, each.operations),
      overTimePerMonth: each.overTime,
      dollarsOutsideTheSum: {
        duration: each.duration,
        storage: each.storage,
        logs: each.logs.own,
        invocationLogs: each.logs.invocations,
      },
    },
  }));
}

/** Prints where each row and request of an event comes from that fails all six times. */
export async function retryCost(): Promise<Figure[]> {
  const failure = await withBuild(measureFailure);
  printFailure(failure);
  return [
    {
      name: "retry cost",
      measured: "$ per million events that fail 6 times, batches × webhooks: 1 × 1",
      value: MILLION * listPrice(usageOf(failure.total), OPERATIONS),
      spread: null,
      runs: 1,
      bar: "",
      met: null,
      details: { ...failure },
    },
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
