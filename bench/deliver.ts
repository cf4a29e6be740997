/** How fast one Subscriber empties what waits for it, beside the same requests made by an object that does nothing else. */
import { exampleBody } from "./events.ts";
import { atLeast, type Benchmark, figureOf, interleave, ratios, summary } from "./figure.ts";
import { Connection, mustSucceed, wire } from "./load.ts";
import { arrivalsPerSecond, type Sink } from "./sink.ts";
import { type Running, registerFilled, resume, Stage, settled } from "./stage.ts";

const WAITING = 5_000;
const RUNS = 5;
const WARM_UP = 1_000;
const ARRIVE_WITHIN_MS = 60_000;

export const deliver: Benchmark = {
  name: "deliver",
  async run({ progress }) {
    await using stage = new Stage();
    const relay = await stage.start("relayFilled");
    const bare = await stage.start("bare");
    const sink = await stage.sink();
    const sides = {
      relay: (count: number) => emptyOut(relay, sink, count),
      bare: (count: number) => postAll(bare, sink, count),
    };
    for (const run of Object.values(sides)) await run(WARM_UP);
    const found = await interleave(["relay", "bare"], RUNS, async (side) => {
      const perSecond = await sides[side](WAITING);
      progress(`deliver: ${side.padEnd(5)} ${perSecond.toFixed(0)}/s`);
      return perSecond;
    });
    const figure = {
      name: "deliver",
      measured: `deliveries/s of one Subscriber with ${WAITING} waiting ÷ bare fetches`,
      bar: atLeast(0.6),
    };
    const details = {
      deliveriesPerSecond: summary(found.relay),
      bareFetchesPerSecond: summary(found.bare),
    };
    return [figureOf(figure, ratios(found.relay, found.bare), details)];
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
