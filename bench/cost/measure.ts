/** What is counted: batches of a relay in its steady state, what the passing of time costs, and a delivery that fails. */
import type { Build } from "../../test/rig/workerd.ts";
import { type Counts, MeteredRelay } from "./metered-relay.ts";
import { add, times, type Usage } from "./prices.ts";
import { type Ends, FULL_BATCH, SMALL_BATCH, type Stored, usageAt } from "./volumes.ts";

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** The default: a Subscriber makes a table for each sixth of it, a Journal goes when it has passed. */
const RETENTION_MS = 30 * DAY_MS;
const PERIOD_MS = RETENTION_MS / 6;
/** Tables that a Subscriber has at the most. */
const PERIODS_KEPT = 7;
/** Begins a period, a day and an hour. */
const START_MS = Math.floor(Date.UTC(2026, 10, 1) / PERIOD_MS) * PERIOD_MS;
/** In this time everything that is due has gone out, and the alarm that stood meanwhile has rung. */
const SETTLING_MS = 12 * SECOND_MS;
/** The Registry looks again whether a registration has reached its Subscriber. */
const PUSHING_MS = 10 * SECOND_MS;

/** wrangler.toml: the cron trigger. */
const SWEEPS_PER_HOUR = 12;
const HOURS_PER_MONTH = 730.5;
const DAYS_PER_MONTH = HOURS_PER_MONTH / 24;
const PERIODS_PER_MONTH = (HOURS_PER_MONTH * HOUR_MS) / PERIOD_MS;

/** A Worker's invocation is taken to use so much; https://developers.cloudflare.com/workers/platform/pricing/ bills by the ms. */
const CPU_MS_PER_INVOCATION = 3;

export type Measured = {
  webhooks: number;
  /** Of one batch, delivered at the first attempt, by its size. */
  batches: ReadonlyMap<number, Counts>;
  /** Of one event when they come one at a time, by the seconds between them. */
  alone: ReadonlyMap<number, Counts>;
  /** What comes on top with the first batch in a new hour, day or period, and what the sweep costs. */
  over: { hour: Counts; day: Counts; period: Counts; sweep: Counts };
};

export type MeasureOptions = { webhooks: number; vars?: Readonly<Record<string, string>> };

const BATCH_SIZES = [FULL_BATCH, SMALL_BATCH, 1];
/** Seconds between events: as close as one alarm serves several, and so far apart that each pays for its own. */
export const APART = [1, 30] as const;
/** What is shared by several events is shared out over so many: the row of the run by each 32 that arrive leased. */
const ALONE_EVENTS = 64;

/** @throws when two batches of one size do not cost the same: the figures would be chance. */
export async function measure(
  build: Build,
  { webhooks, vars = {} }: MeasureOptions,
): Promise<Measured> {
  await using relay = await MeteredRelay.start(build, vars);
  await relay.setClock(START_MS);
  for (let index = 0; index < webhooks; index++) await relay.register();
  await relay.pass(PUSHING_MS);
  await liveForAMonth(relay);

  const batches = new Map<number, Counts>();
  for (const size of BATCH_SIZES) batches.set(size, await batch(relay, size));
  for (const size of BATCH_SIZES) mustEqual(batches.get(size) ?? {}, await batch(relay, size));

  const alone = new Map<number, Counts>();
  for (const seconds of APART) alone.set(seconds, await oneByOne(relay, seconds * SECOND_MS));

  const single = batches.get(1) ?? {};
  await relay.sweep();
  const sweep = await relay.read();
  await relay.setClock(relay.nowMs + HOUR_MS);
  const hour = difference(await batch(relay, 1), single);
  await relay.setClock(relay.nowMs + DAY_MS);
  const day = difference(await batch(relay, 1), single, hour);
  await relay.setClock(START_MS + PERIODS_KEPT * PERIOD_MS);
  const period = difference(await batch(relay, 1), single, hour, day);
  return { webhooks, batches, alone, over: { hour, day, period, sweep } };
}

/** Until there are as many tables as there ever are; it ends within a period, a day and an hour that have begun. */
async function liveForAMonth(relay: MeteredRelay): Promise<void> {
  for (let period = 1; period < PERIODS_KEPT; period++) {
    await relay.setClock(START_MS + period * PERIOD_MS - HOUR_MS);
    await batch(relay, 1);
  }
  await relay.setClock(START_MS + (PERIODS_KEPT - 1) * PERIOD_MS + DAY_MS + 12 * HOUR_MS);
  await batch(relay, 1);
}

/** @throws unless each event went to each webhook once, and was then done with. */
async function batch(relay: MeteredRelay, size: number): Promise<Counts> {
  await relay.send(size);
  await relay.pass(SETTLING_MS);
  const counts = await relay.read();
  const { "queue.delete": acknowledged = 0, attempts = 0 } = counts;
  if (acknowledged !== size || attempts !== size * relay.webhooks) {
    throw new Error(
      `a batch of ${size} for ${relay.webhooks} webhooks: ${acknowledged} acknowledged, ${attempts} attempts`,
    );
  }
  return counts;
}

/** What one event costs, on average. */
async function oneByOne(relay: MeteredRelay, apartMs: number): Promise<Counts> {
  const send = async () => {
    await relay.send(1);
    await relay.pass(apartMs);
  };
  await send();
  await relay.read();
  for (let left = ALONE_EVENTS; left > 0; left--) await send();
  const counts = await relay.read();
  if (counts.attempts !== ALONE_EVENTS * relay.webhooks) {
    throw new Error(`${counts.attempts} attempts for ${ALONE_EVENTS} events one by one`);
  }
  const average = Object.entries(counts).map(([what, count]) => [what, count / ALONE_EVENTS]);
  return Object.fromEntries(average);
}

function difference(from: Counts, ...others: readonly Counts[]): Counts {
  const left = Object.entries(from).map(([what, count]) => {
    return [what, others.reduce((rest, other) => rest - (other[what] ?? 0), count)] as const;
  });
  return Object.fromEntries(left.filter(([, count]) => count !== 0));
}

function mustEqual(first: Counts, second: Counts): void {
  const differing = { ...difference(first, second), ...difference(second, first) };
  if (Object.keys(differing).length > 0) {
    throw new Error(`two batches did not cost the same: ${JSON.stringify(differing)}`);
  }
}

// --- storage --------------------------------------------------------------------------------------------------

/** Pages fill up: fewer would look as if each took more. */
const STORED_BATCHES = 10;

/** Of events of 1 KB, delivered to a service that answers without a body. */
export async function measureStorage(build: Build): Promise<Stored> {
  await using relay = await MeteredRelay.start(build, {});
  await relay.setClock(START_MS + 12 * HOUR_MS);
  await relay.register();
  await batch(relay, 1);
  const before = await relay.sizes();
  for (let index = 0; index < STORED_BATCHES; index++) await batch(relay, FULL_BATCH);
  const grown = difference(await relay.sizes(), before);
  const events = STORED_BATCHES * FULL_BATCH;
  return {
    perEvent: (grown.Journal ?? 0) / events,
    perDelivery: (grown.Subscriber ?? 0) / events,
  };
}

// --- a delivery that fails ------------------------------------------------------------------------------------

const ATTEMPTS = 6;
/** How long the waits are changes nothing but the hours that pass, which are counted on their own. */
const RETRY_SCHEDULE = "1m 1m 1m 1m 1m";
/** A wait with all of its jitter. */
const WAIT_MS = 70 * SECOND_MS;

export type MeasuredFailure = {
  /** Ingest, queue, Journal and accept with the first attempt; the alarm that joins it; then each other attempt. */
  steps: readonly { name: string; counts: Counts }[];
  total: Counts;
};

/** One event for one webhook, whose service answers 500 to each of six attempts. */
export async function measureFailure(build: Build): Promise<MeasuredFailure> {
  await using relay = await MeteredRelay.start(build, { RETRY_SCHEDULE });
  await relay.setClock(START_MS + 12 * HOUR_MS);
  await relay.register();
  await relay.pass(PUSHING_MS);
  // Its tables, its hour and its Journal are there.
  await batch(relay, 1);
  await relay.answer(500);
  await relay.send(1);
  const steps = [{ name: "attempt 1", counts: await relay.read() }];
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    await relay.pass(attempt === 1 ? SETTLING_MS : WAIT_MS);
    const name = attempt === 1 ? "its alarm" : `attempt ${attempt}`;
    steps.push({ name, counts: await relay.read() });
  }
  return { steps, total: totalOf(steps.map(({ counts }) => counts)) };
}

function totalOf(all: readonly Counts[]): Counts {
  const total: Record<string, number> = {};
  for (const counts of all) {
    for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + count;
  }
  return total;
}

// --- from counts to usage -------------------------------------------------------------------------------------

/** Everything whose name is `prefix` or begins with it and a dot. */
export function sumOf(counts: Counts, ...prefixes: readonly string[]): number {
  return Object.entries(counts)
    .filter(([what]) => prefixes.some((prefix) => `${what}.`.startsWith(`${prefix}.`)))
    .reduce((sum, [, count]) => sum + count, 0);
}

/** What is counted, without what only time costs. */
export function usageOf(counts: Counts): Usage {
  return {
    ingestRequests: sumOf(counts, "worker.fetch"),
    consumerRequests: sumOf(counts, "worker.queue", "worker.scheduled"),
    cpuMs: CPU_MS_PER_INVOCATION * sumOf(counts, "worker"),
    kvReads: sumOf(counts, "kv.read"),
    kvWrites: sumOf(counts, "kv.write"),
    queueOperations: sumOf(counts, "queue.write", "queue.read", "queue.delete"),
    objectRequests: sumOf(counts, "rpc", "alarm"),
    rowsWritten: sumOf(counts, "written"),
    rowsRead: sumOf(counts, "read"),
    gigabyteSeconds: 0,
    gigabyteMonths: 0,
    logLines: sumOf(counts, "log"),
  };
}

/** What is counted of a relay, as prices are computed from it. */
export function endsOf(measured: Measured): Ends {
  const { webhooks, batches } = measured;
  const single = usageOf(batches.get(1) ?? {});
  const full = times(1 / FULL_BATCH, usageOf(batches.get(FULL_BATCH) ?? {}));
  const small = usageOf(batches.get(SMALL_BATCH) ?? {});
  return { webhooks, full, small, single, month: usagePerMonth(measured) };
}

export function usagePerEvent(measured: Measured, size: number): Usage {
  return usageAt(endsOf(measured), size);
}

/** What a month costs however few events there are: hours, days and periods begin, and the sweep comes round. */
function usagePerMonth({ over }: Measured): Usage {
  return add(
    times(HOURS_PER_MONTH * SWEEPS_PER_HOUR, usageOf(over.sweep)),
    times(HOURS_PER_MONTH, usageOf(over.hour)),
    times(DAYS_PER_MONTH, usageOf(over.day)),
    times(PERIODS_PER_MONTH, usageOf(over.period)),
  );
}
