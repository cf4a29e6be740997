/**
 * Whether what waits makes a delivery slower. Both webhooks do the same work: they deliver, and as much arrives as
 * leaves, so that the number that waits stays what it is.
 */
import { atMost, type Benchmark, figureOf, interleave, ratios, summary } from "./figure.ts";
import { Connection, mustSucceed } from "./load.ts";
import type { Sink } from "./sink.ts";
import {
  countsOf,
  FILLED,
  fill,
  fillRequest,
  type Running,
  register,
  resume,
  Stage,
} from "./stage.ts";

const LARGE = 100_000;
const SMALL = 100;
const DELIVERIES = 2_000;
const RUNS = 7;
/** So many arrive together whenever so many have left. */
const REFILL = 25;
const ARRIVE_WITHIN_MS = 60_000;

export const backlog: Benchmark = {
  name: "backlog",
  async run({ progress }) {
    await using stage = new Stage();
    const relay = await stage.start("relayFilled");
    const sink = await stage.sink();
    const webhooks = {
      large: { id: await registerHeld(relay, sink), waiting: LARGE },
      small: { id: await registerHeld(relay, sink), waiting: SMALL },
    };
    const run = (side: keyof typeof webhooks) => deliverFrom(relay, sink, webhooks[side]);
    for (const side of ["large", "small"] as const) await run(side);
    const found = await interleave(["large", "small"], RUNS, async (side) => {
      const ms = await run(side);
      progress(`backlog: ${side} ${ms.toFixed(3)} ms a delivery`);
      return ms;
    });
    const figure = {
      name: "backlog",
      measured: `time per delivery with ${LARGE} waiting ÷ with ${SMALL}`,
      changed: FILLED,
      bar: atMost(1.3),
    };
    const details = {
      msWithLargeBacklog: summary(found.large),
      msWithSmallBacklog: summary(found.small),
    };
    return [figureOf(figure, ratios(found.large, found.small), details)];
  },
};

async function registerHeld({ api }: Running, sink: Sink): Promise<string> {
  const id = await register(api, sink.url);
  await api.call(`/webhooks/${id}/pause`, {});
  return id;
}

/** Milliseconds per delivery, from the first to the last; so many wait all the time. */
async function deliverFrom(
  { api, url }: Running,
  sink: Sink,
  { id, waiting }: { id: string; waiting: number },
): Promise<number> {
  await fill(api, id, waiting - (await countsOf(api, id)).pending);
  const connection = await Connection.open(url);
  const request = fillRequest(id, REFILL);
  const refills: Promise<void>[] = [Promise.resolve()];
  const times: number[] = [];
  sink.clear();
  sink.onArrival = () => {
    times.push(performance.now());
    if (times.length % REFILL !== 0 || times.length > DELIVERIES) return;
    const before = refills.at(-1);
    refills.push(
      Promise.resolve(before).then(async () => mustSucceed(await connection.send(request))),
    );
  };
  try {
    await resume(api, id);
    await sink.arrived(DELIVERIES, ARRIVE_WITHIN_MS);
    sink.onArrival = null;
    await Promise.all(refills);
    await api.call(`/webhooks/${id}/pause`, {});
  } finally {
    sink.onArrival = null;
    connection.close();
  }
  const [first = Number.NaN, last = Number.NaN] = [times[0], times[DELIVERIES - 1]];
  return (last - first) / (DELIVERIES - 1);
}
