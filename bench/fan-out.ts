/** Whether the relay delivers as much in all, however many webhooks share it. */

import { mapInParallel } from "../test/rig/api.ts";
import { atLeast, type Benchmark, figureOf, interleave, summary } from "./figure.ts";
import type { Sink } from "./sink.ts";
import { FILLED, type Running, registerFilled, resume, Stage, settled } from "./stage.ts";

/** Of all webhooks together, so that every run does the same work. */
const DELIVERIES = 10_000;
const WEBHOOKS = [1, 10, 50] as const;
const RUNS = 5;
const PARALLEL_CALLS = 10;
const ARRIVE_WITHIN_MS = 120_000;

export const fanOut: Benchmark = {
  name: "fan-out",
  async run({ progress }) {
    await using stage = new Stage();
    const relay = await stage.start("relayFilled");
    const sink = await stage.sink();
    await deliverAll(relay, sink, 1);
    const sides = WEBHOOKS.map(String);
    const found = await interleave(sides, RUNS, async (side) => {
      const perSecond = await deliverAll(relay, sink, Number(side));
      progress(`fan-out: ${side.padStart(2)} webhooks ${perSecond.toFixed(0)}/s`);
      return perSecond;
    });
    const flatness = Array.from({ length: RUNS }, (_, run) => {
      const rates = sides.map((side) => found[side]?.[run] ?? Number.NaN);
      return Math.min(...rates) / Math.max(...rates);
    });
    const figure = {
      name: "fan-out",
      measured: `deliveries/s in all at ${WEBHOOKS.join(", ")} webhooks, lowest ÷ highest`,
      changed: FILLED,
      bar: atLeast(0.85),
    };
    const details = Object.fromEntries(
      sides.map((side) => [`perSecondAt${side}`, summary(found[side] ?? [])]),
    );
    return [figureOf(figure, flatness, details)];
  },
};

/** Deliveries per second of all webhooks, from when the last of them was released to the last arrival. */
async function deliverAll({ api }: Running, sink: Sink, webhooks: number): Promise<number> {
  const each = DELIVERIES / webhooks;
  const ids = await mapInParallel(Array(webhooks).fill(each), 1, (count: number) =>
    registerFilled(api, sink.url, count),
  );
  sink.clear();
  await mapInParallel(ids, PARALLEL_CALLS, (id) => resume(api, id));
  const releasedAtMs = performance.now();
  await sink.arrived(DELIVERIES, ARRIVE_WITHIN_MS);
  for (const id of ids) await settled(api, id, each);
  for (const id of ids) await api.call(`/webhooks/${id}`, undefined, "DELETE");
  const times = [...sink.arrivals.values()].filter((atMs) => atMs >= releasedAtMs);
  return (times.length * 1_000) / ((times.at(-1) ?? Number.NaN) - releasedAtMs);
}
