/** How many events a second go the whole way, from ingest to the service, as fast as they are taken: beside 0.1.0. */
import { setTimeout as sleep } from "node:timers/promises";
import { signedRequests } from "./events.ts";
import { atLeast, type Benchmark, figureOf, interleave, ratios, summary } from "./figure.ts";
import { saturate } from "./load.ts";
import { processorMsOf, quiet } from "./process.ts";
import { type Running, register, Stage } from "./stage.ts";

const SIDES = ["relay", "released"] as const;
type Side = (typeof SIDES)[number];

const CONNECTIONS = 32;
const RUNS = 5;
const WARM_UP_EVENTS = 500;
const EVENTS = 3_000;
const ARRIVE_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 5;

/** Of one run: events per second until the last was taken, and until the last had arrived; milliseconds of processor for each. */
type Run = { taken: number; arrived: number; processor: number };

export const through: Benchmark = {
  name: "through",
  async run({ progress }) {
    await using stage = new Stage();
    const sink = await stage.sink();
    const runningOf = {} as Record<Side, Running>;
    for (const side of SIDES) {
      runningOf[side] = await stage.start(side);
      await register(runningOf[side].api, sink.url);
    }
    const measure = async (side: Side, count: number): Promise<Run> => {
      const running = runningOf[side];
      await quiet(running);
      let arrivals = 0;
      sink.clear();
      sink.onArrival = () => {
        arrivals += 1;
      };
      const requests = signedRequests(count, running.api.signingSecret);
      const before = processorMsOf(running);
      const startMs = performance.now();
      const { perSecond } = await saturate(running.url, requests, CONNECTIONS);
      while (arrivals < count) {
        if (performance.now() > startMs + ARRIVE_WITHIN_MS)
          throw new Error(`${arrivals} arrived in time`);
        await sleep(LOOK_EVERY_MS);
      }
      const tookMs = performance.now() - startMs;
      await quiet(running);
      const processor = (processorMsOf(running) - before) / count;
      return { taken: perSecond, arrived: (count * 1_000) / tookMs, processor };
    };
    for (const side of SIDES) await measure(side, WARM_UP_EVENTS);
    const runs: Record<Side, Run[]> = { relay: [], released: [] };
    await interleave(SIDES, RUNS, async (side) => {
      const found = await measure(side, EVENTS);
      runs[side].push(found);
      progress(
        `through: ${side.padEnd(8)} ${found.taken.toFixed(0)}/s taken, ${found.arrived.toFixed(0)}/s arrived, ${found.processor.toFixed(2)} ms of processor an event`,
      );
      return found.arrived;
    });
    const of = (side: Side, what: keyof Run) => runs[side].map((each) => each[what]);
    return [
      figureOf(
        {
          name: "through",
          measured: `events/s from ingest to arrival at one webhook, ${CONNECTIONS} connections ÷ 0.1.0's`,
          bar: atLeast(0.95),
        },
        ratios(of("relay", "arrived"), of("released", "arrived")),
        {
          perSecond: summary(of("relay", "arrived")),
          releasedPerSecond: summary(of("released", "arrived")),
          takenPerSecond: summary(of("relay", "taken")),
          releasedTakenPerSecond: summary(of("released", "taken")),
          processorMs: summary(of("relay", "processor")),
          releasedProcessorMs: summary(of("released", "processor")),
        },
      ),
    ];
  },
};
