/**
 * How many events a second ingest takes, beside a Worker that does by hand what cannot be left out. On both sides
 * the queue has a consumer that does nothing: in production it runs elsewhere, here it would share the thread.
 */
import { signedRequests } from "./events.ts";
import { atLeast, type Benchmark, figureOf, interleave, ratios, summary } from "./figure.ts";
import { saturate } from "./load.ts";
import { quiet } from "./process.ts";
import { Stage, type WorkerName } from "./stage.ts";

const CONNECTIONS = 32;
const RUNS = 7;
const WARM_UP_REQUESTS = 1_000;

type Pair = {
  name: string;
  measured: string;
  least: number;
  relay: WorkerName;
  reference: WorkerName;
  /** Requests of one run. */
  requests: number;
};

export const ingest: Benchmark = benchmarkOf({
  name: "ingest",
  measured: `requests/s at ${CONNECTIONS} connections ÷ reference Worker`,
  least: 0.85,
  relay: "relayIngest",
  reference: "reference",
  requests: 3_000,
});

export const ingestCode: Benchmark = benchmarkOf({
  name: "ingest-code",
  measured: "the same, KV and queue in memory on both sides",
  least: 0.75,
  relay: "relayInMemory",
  reference: "referenceInMemory",
  requests: 15_000,
});

function benchmarkOf(pair: Pair): Benchmark {
  return {
    name: pair.name,
    async run({ progress }) {
      await using stage = new Stage();
      const running = {
        relay: await stage.start(pair.relay),
        reference: await stage.start(pair.reference),
        empty: await stage.start("empty"),
      };
      const run = async (side: keyof typeof running, count: number) => {
        const { api, url } = running[side];
        const found = await saturate(url, signedRequests(count, api.signingSecret), CONNECTIONS);
        // What no answer waited for is not to weigh on the next run.
        await quiet(running[side]);
        return found;
      };
      const sides = ["relay", "reference", "empty"] as const;
      for (const side of sides) await run(side, WARM_UP_REQUESTS);
      const generatorShares: number[] = [];
      const found = await interleave(sides, RUNS, async (side) => {
        const { perSecond, generatorShare } = await run(side, pair.requests);
        generatorShares.push(generatorShare);
        progress(`${pair.name}: ${side.padEnd(9)} ${perSecond.toFixed(0)}/s`);
        return perSecond;
      });
      const figure = { name: pair.name, measured: pair.measured, bar: atLeast(pair.least) };
      const details = {
        requestsPerSecond: summary(found.relay),
        referencePerSecond: summary(found.reference),
        emptyWorkerPerSecond: summary(found.empty),
        loadGeneratorShareOfACore: summary(generatorShares),
      };
      return [figureOf(figure, ratios(found.relay, found.reference), details)];
    },
  };
}
