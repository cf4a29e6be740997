/**
 * How fast one Subscriber empties what waits for it, beside the same requests made by an object that does
 * nothing else, and beside the release before.
 */
import { exampleBody } from "./events.ts";
import { atLeast, type Benchmark, figureOf, interleave, ratios, summary } from "./figure.ts";
import { Connection, mustSucceed, wire } from "./load.ts";
import { processorMsOf, quiet } from "./process.ts";
import { arrivalsPerSecond, type Sink } from "./sink.ts";
import { FILLED, type Running, registerFilled, resume, Stage, settled } from "./stage.ts";

const WAITING = 5_000;
const RUNS = 5;
const WARM_UP = 1_000;
const ARRIVE_WITHIN_MS = 60_000;
const SIDES = ["relay", "bare", "released"] as const;
type Side = (typeof SIDES)[number];

export const deliver: Benchmark = {
  name: "deliver",
  async run({ progress }) {
    await using stage = new Stage();
    const runningOf = {
      relay: await stage.start("relayFilled"),
      released: await stage.start("releasedFilled"),
      bare: await stage.start("bare"),
    };
    const sink = await stage.sink();
    const processorMs: Record<Side, number[]> = { relay: [], bare: [], released: [] };
    const run = async (side: Side, count: number) => {
      const running = runningOf[side];
      const before = processorMsOf(running);
      const perSecond = await (side === "bare" ? postAll : emptyOut)(running, sink, count);
      await quiet(running);
      processorMs[side].push((processorMsOf(running) - before) / count);
      progress(`deliver: ${side.padEnd(8)} ${perSecond.toFixed(0)}/s`);
      return perSecond;
    };
    for (const side of SIDES) await run(side, WARM_UP);
    for (const side of SIDES) processorMs[side] = [];
    const found = await interleave(SIDES, RUNS, (side) => run(side, WAITING));
    const what = `deliveries/s of one Subscriber with ${WAITING} waiting`;
    return [
      figureOf(
        {
          name: "deliver",
          measured: `${what} ÷ bare fetches`,
          changed: FILLED,
          bar: atLeast(0.7),
        },
        ratios(found.relay, found.bare),
        {
          deliveriesPerSecond: summary(found.relay),
          bareFetchesPerSecond: summary(found.bare),
          releasedPerSecond: summary(found.released),
          processorMsADelivery: {
            relayWithFilling: summary(processorMs.relay),
            releasedWithFilling: summary(processorMs.released),
            bare: summary(processorMs.bare),
          },
        },
      ),
      figureOf(
        {
          name: "deliver ÷ 0.1.0",
          measured: `${what} ÷ 0.1.0's`,
          changed: FILLED,
          bar: atLeast(1),
        },
        ratios(found.relay, found.released),
      ),
    ];
  },
};

/** Deliveries per second of a webhook that is released, from the first arrival to the last. */
async function emptyOut({ api }: Running, sink: Sink, count: number): Promise<number> {
  const webhookId = await registerFilled(api, sink.url, count);
  sink.clear();
  await resume(api, webhookId);
  await sink.arrived(count, ARRIVE_WITHIN_MS);
  await settled(api, webhookId, count);
  mustBeExact(sink, count);
  return arrivalsPerSecond(sink.arrivals);
}

async function postAll({ url }: Running, sink: Sink, count: number): Promise<number> {
  const connection = await Connection.open(url);
  try {
    sink.clear();
    const path = `/?count=${count}&url=${encodeURIComponent(sink.url)}`;
    mustSucceed(await connection.send(wire({ method: "POST", path, body: exampleBody() })));
    mustBeExact(sink, count);
    return arrivalsPerSecond(sink.arrivals);
  } finally {
    connection.close();
  }
}

function mustBeExact({ requests }: Sink, count: number): void {
  if (requests !== count) throw new Error(`${requests} requests came for ${count} deliveries`);
}
