/**
 * The most usual relay: 20 webhooks, and 20 events a second one at a time. From the first byte of an event to each of
 * its deliveries, and the processor that one takes; in turns with the release before, and with a Worker that makes the
 * twenty requests and stores nothing.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { eventIdOf, exampleBody, signedRequest } from "./events.ts";
import {
  atMost,
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

const WEBHOOKS = 20;
const RATE = 20;
const SECONDS = 8;
const RUNS = 3;
const ARRIVE_WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 20;
const ID_DIGITS = 26;
const COUNT = RATE * SECONDS;

type Run = { p50: number; p95: number; processorMs: number };

export const small: Benchmark = {
  name: "small",
  async run({ progress }) {
    await using stage = new Stage();
    const sink = await stage.sink();
    const runningOf = {
      relay: await stage.start("relay"),
      released: await stage.start("released"),
      bare: await stage.start("bare"),
    };
    for (const side of ["relay", "released"] as const) {
      for (let index = 0; index < WEBHOOKS; index++) await register(runningOf[side].api, sink.url);
    }
    const runs: Record<keyof typeof runningOf, Run[]> = { relay: [], released: [], bare: [] };
    await interleave(["relay", "released", "bare"], RUNS + 1, async (side, time) => {
      const found = await measure(runningOf[side], sink, side === "bare");
      // The first is the warm-up.
      if (time > 0) runs[side].push(found);
      const { p50, p95, processorMs } = found;
      progress(
        `small: ${side.padEnd(8)} p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, ${processorMs.toFixed(2)} ms of processor a delivery`,
      );
      return p95;
    });
    const figures = [
      ["p50", atMost(1), "p50 until delivered, 20 webhooks, 20 events/s"],
      ["p95", atMost(0.2), "p95 of the same"],
      ["processorMs", atMost(0.5), "processor time of one delivery"],
    ] as const;
    return figures.map(([what, bar, text]) => {
      const of = (side: keyof typeof runs) => runs[side].map((run) => run[what]);
      return figureOf(
        {
          name: `small ${what === "processorMs" ? "processor" : what}`,
          measured: `${text} ÷ 0.1.0's`,
          bar,
        },
        ratios(of("relay"), of("released")),
        {
          relayMs: summary(of("relay")),
          releasedMs: summary(of("released")),
          bareMs: summary(of("bare")),
        },
      );
    });
  },
};

async function measure(running: Running, sink: Sink, isBare: boolean): Promise<Run> {
  await quiet(running);
  const arrivals: { id: string; atMs: number }[] = [];
  sink.clear();
  sink.onArrival = (id) => arrivals.push({ id, atMs: performance.now() });
  const requests = Array.from({ length: COUNT }, (_, event) =>
    isBare ? fanRequest(sink.url, event) : signedRequest(running.api.signingSecret),
  );
  const before = processorMsOf(running);
  const sent = await pace(running.url, requests, RATE);
  const endsAtMs = performance.now() + ARRIVE_WITHIN_MS;
  while (arrivals.length < COUNT * WEBHOOKS) {
    if (performance.now() > endsAtMs) throw new Error(`${arrivals.length} arrived in time`);
    await sleep(LOOK_EVERY_MS);
  }
  await quiet(running);
  const processorMs = (processorMsOf(running) - before) / (COUNT * WEBHOOKS);
  const sentAtMs = new Map(
    sent.map((each, event) => [isBare ? bareId(event) : eventIdOf(each.answer), each.sentAtMs]),
  );
  const tookMs = arrivals.map(({ id, atMs }) => atMs - (sentAtMs.get(id) ?? Number.NaN));
  return { p50: percentile(tookMs, 0.5), p95: percentile(tookMs, 0.95), processorMs };
}

function fanRequest(url: string, event: number): Buffer {
  const path = `/?fan=${WEBHOOKS}&event=${event}&url=${encodeURIComponent(url)}`;
  return wire({ method: "POST", path, body: exampleBody() });
}

function bareId(event: number): string {
  return `evt_${String(event).padStart(ID_DIGITS, "0")}`;
}
