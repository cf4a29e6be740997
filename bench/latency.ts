/**
 * Events one at a time, as most relays get them: from the first byte of an event to each of its deliveries, on one
 * clock, and the processor that one takes. In turns with the release before, with a Worker that makes the same
 * requests and stores nothing, with one that does so behind the same KV and queue, and with one that stores what cannot be
 * left out besides.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { eventIdOf, exampleBody, signedRequest } from "./events.ts";
import {
  atMost,
  type Bar,
  type Benchmark,
  figureOf,
  interleave,
  percentile,
  ratios,
  summary,
} from "./figure.ts";
import { pace, wire } from "./load.ts";
import { processorMsOf, quiet } from "./process.ts";
import type { Sink } from "./sink.ts";
import { type Running, register, Stage } from "./stage.ts";

const SIDES = ["relay", "released", "bare", "queued", "stored"] as const;
type Side = (typeof SIDES)[number];

const RUNS = 3;
const WARM_UP_EVENTS = 60;
const ARRIVE_WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 20;
const ID_DIGITS = 26;

/** Of one run, in milliseconds: the processor's for each delivery, `answered` until an event was taken. */
type Run = { p50: number; p95: number; p99: number; processor: number; answered: number };

type Load = {
  name: string;
  webhooks: number;
  /** Events per second. */
  rate: number;
  seconds: number;
  /** What is held against 0.1.0's. */
  bars: Partial<Record<keyof Run, Bar>>;
};

export const latency = benchmarkOf({
  name: "latency",
  webhooks: 1,
  rate: 50,
  seconds: 10,
  bars: { p50: atMost(0.6), p99: atMost(1) },
});

/** The most usual relay. */
export const small = benchmarkOf({
  name: "small",
  webhooks: 20,
  rate: 20,
  seconds: 8,
  bars: { p50: atMost(1), p95: atMost(0.2), processor: atMost(0.5) },
});

function benchmarkOf(load: Load): Benchmark {
  const { name, webhooks, rate, seconds, bars } = load;
  return {
    name,
    async run({ progress }) {
      await using stage = new Stage();
      const sink = await stage.sink();
      const runningOf = {} as Record<Side, Running>;
      for (const side of ["relay", "released", "bare"] as const) {
        runningOf[side] = await stage.start(side);
      }
      const fan = { FAN: String(webhooks), SINK: sink.url };
      runningOf.queued = await stage.start("referenceFan", fan);
      runningOf.stored = await stage.start("stored", fan);
      for (const side of ["relay", "released"] as const) {
        for (let left = webhooks; left > 0; left--) await register(runningOf[side].api, sink.url);
      }
      const run = (side: Side, count: number) =>
        measure(runningOf[side], sink, { ...load, count, isBare: side === "bare" });
      for (const side of SIDES) await run(side, WARM_UP_EVENTS);
      const runs: Record<Side, Run[]> = {
        relay: [],
        released: [],
        bare: [],
        queued: [],
        stored: [],
      };
      await interleave(SIDES, RUNS, async (side) => {
        const found = await run(side, rate * seconds);
        runs[side].push(found);
        const { p50, p95, p99, processor } = found;
        const shown = [p50, p95, p99].map((ms) => ms.toFixed(1)).join(" / ");
        progress(
          `${name}: ${side.padEnd(8)} p50 / p95 / p99 ${shown} ms, ${processor.toFixed(2)} ms of processor a delivery`,
        );
        return p50;
      });
      const of = (side: Side, what: keyof Run) => runs[side].map((each) => each[what]);
      return (Object.entries(bars) as [keyof Run, Bar][]).map(([what, bar]) => {
        const text =
          what === "processor" ? "processor time of a delivery" : `${what} until delivered`;
        const measured = `${text}, ${webhooks} webhook${webhooks === 1 ? "" : "s"}, ${rate} events/s ÷ 0.1.0's`;
        return figureOf(
          { name: `${name} ${what}`, measured, bar },
          ratios(of("relay", what), of("released", what)),
          {
            relayMs: summary(of("relay", what)),
            releasedMs: summary(of("released", what)),
            bareFetchesMs: summary(of("bare", what)),
            queuedFetchesMs: summary(of("queued", what)),
            storedFetchesMs: summary(of("stored", what)),
            ...(what === "p50" ? { untilAnsweredMs: summary(of("relay", "answered")) } : {}),
          },
        );
      });
    },
  };
}

type Measuring = { webhooks: number; rate: number; count: number; isBare: boolean };

/** Sends so many events evenly, and waits for every delivery. */
async function measure(
  running: Running,
  sink: Sink,
  { webhooks, rate, count, isBare }: Measuring,
): Promise<Run> {
  await quiet(running);
  const arrivals: { id: string; atMs: number }[] = [];
  sink.clear();
  sink.onArrival = (id) => arrivals.push({ id, atMs: performance.now() });
  const requests = Array.from({ length: count }, (_, event) =>
    isBare ? fanRequest(sink.url, webhooks, event) : signedRequest(running.api.signingSecret),
  );
  const before = processorMsOf(running);
  const sent = await pace(running.url, requests, rate);
  const endsAtMs = performance.now() + ARRIVE_WITHIN_MS;
  while (arrivals.length < count * webhooks) {
    if (performance.now() > endsAtMs) throw new Error(`${arrivals.length} arrived in time`);
    await sleep(LOOK_EVERY_MS);
  }
  await quiet(running);
  const processor = (processorMsOf(running) - before) / (count * webhooks);
  const sentAtMs = new Map(
    sent.map((each, event) => [isBare ? bareId(event) : eventIdOf(each.answer), each.sentAtMs]),
  );
  const tookMs = arrivals.map(({ id, atMs }) => atMs - (sentAtMs.get(id) ?? Number.NaN));
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => percentile(tookMs, share)) as [
    number,
    number,
    number,
  ];
  const answered = percentile(
    sent.map(({ sentAtMs: fromMs, answer }) => answer.atMs - fromMs),
    0.5,
  );
  return { p50, p95, p99, processor, answered };
}

function fanRequest(url: string, webhooks: number, event: number): Buffer {
  const path = `/?fan=${webhooks}&event=${event}&url=${encodeURIComponent(url)}`;
  return wire({ method: "POST", path, body: exampleBody() });
}

function bareId(event: number): string {
  return `evt_${String(event).padStart(ID_DIGITS, "0")}`;
}
