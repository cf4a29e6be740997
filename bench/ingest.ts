/**
 * How many events a second ingest takes, beside a Worker that does by hand what cannot be left out, and beside the
 * release before.
 */
import { signedRequests } from "./events.ts";
import { atLeast, type Benchmark, figureOf, interleave, ratios, summary } from "./figure.ts";
import { saturate } from "./load.ts";
import { processorMsOf, quiet } from "./process.ts";
import { type Running, Stage, type WorkerName } from "./stage.ts";

const CONNECTIONS = 32;
const RUNS = 5;
const WARM_UP_REQUESTS = 1_000;

type Pair = {
  name: string;
  /** In both: what differs from the Worker as it is deployed. */
  changed: string;
  least: number;
  /** Of what 0.1.0 takes. */
  leastOfReleased: number;
  relay: WorkerName;
  released: WorkerName;
  reference: WorkerName;
  /** Requests of one run. */
  requests: number;
};

const WITHOUT_CONSUMER =
  "on each side the consumer does nothing; in production it runs elsewhere, here it would share the thread";

export const ingest: Benchmark = benchmarkOf({
  name: "ingest",
  changed: WITHOUT_CONSUMER,
  least: 0.85,
  leastOfReleased: 0.95,
  relay: "relayIngest",
  released: "releasedIngest",
  reference: "reference",
  requests: 3_000,
});

export const ingestCode: Benchmark = benchmarkOf({
  name: "ingest-code",
  changed: "on each side KV and queue are in memory, and there is no consumer",
  least: 0.75,
  leastOfReleased: 0.95,
  relay: "relayInMemory",
  released: "releasedInMemory",
  reference: "referenceInMemory",
  requests: 15_000,
});

const SIDES = ["relay", "reference", "released", "empty"] as const;
type Side = (typeof SIDES)[number];

function benchmarkOf({
  name,
  changed,
  requests,
  least,
  leastOfReleased,
  ...pair
}: Pair): Benchmark {
  const workerOf: Record<Side, WorkerName> = { ...pair, empty: "empty" };
  return {
    name,
    async run({ progress }) {
      await using stage = new Stage();
      const runningOf = {} as Record<Side, Running>;
      for (const side of SIDES) runningOf[side] = await stage.start(workerOf[side]);
      const generatorShares: number[] = [];
      const processorMs: Record<Side, number[]> = {
        relay: [],
        reference: [],
        released: [],
        empty: [],
      };
      const run = async (side: Side, count: number) => {
        const running = runningOf[side];
        const ready = signedRequests(count, running.api.signingSecret);
        const before = processorMsOf(running);
        const { perSecond, generatorShare } = await saturate(running.url, ready, CONNECTIONS);
        // What no answer waited for is not to weigh on the next run.
        await quiet(running);
        processorMs[side].push((processorMsOf(running) - before) / count);
        generatorShares.push(generatorShare);
        progress(`${name}: ${side.padEnd(9)} ${perSecond.toFixed(0)}/s`);
        return perSecond;
      };
      for (const side of SIDES) await run(side, WARM_UP_REQUESTS);
      for (const side of SIDES) processorMs[side] = [];
      const found = await interleave(SIDES, RUNS, (side) => run(side, requests));
      const what = `requests/s at ${CONNECTIONS} connections`;
      return [
        figureOf(
          { name, measured: `${what} ÷ reference Worker`, changed, bar: atLeast(least) },
          ratios(found.relay, found.reference),
          {
            requestsPerSecond: summary(found.relay),
            referencePerSecond: summary(found.reference),
            releasedPerSecond: summary(found.released),
            emptyWorkerPerSecond: summary(found.empty),
            loadGeneratorShareOfACore: summary(generatorShares),
            processorMsARequest: {
              relay: summary(processorMs.relay),
              reference: summary(processorMs.reference),
              released: summary(processorMs.released),
            },
          },
        ),
        figureOf(
          {
            name: `${name} ÷ 0.1.0`,
            measured: `${what} ÷ 0.1.0's`,
            changed,
            bar: atLeast(leastOfReleased),
          },
          ratios(found.relay, found.released),
        ),
      ];
    },
  };
}
