/** From the first byte of an event into the relay to the headers of its delivery at the service, on one clock. */
import { eventIdOf, signedRequests } from "./events.ts";
import { atMost, type Benchmark, figureOf, percentile, summary } from "./figure.ts";
import { pace } from "./load.ts";
import type { Sink } from "./sink.ts";
import { type Running, register, Stage } from "./stage.ts";

const RATE = 50;
const SECONDS = 10;
const RUNS = 5;
const WARM_UP_SECONDS = 3;
const ARRIVE_WITHIN_MS = 15_000;

/** In milliseconds: until it was taken, and until it was delivered. */
type Latencies = { answered: number[]; delivered: number[] };

export const latency: Benchmark = {
  name: "latency",
  async run({ progress }) {
    await using stage = new Stage();
    const relay = await stage.start("relay");
    const sink = await stage.sink();
    await register(relay.api, sink.url);
    await measure(relay, sink, { rate: RATE, seconds: WARM_UP_SECONDS });
    const runs: Latencies[] = [];
    for (let run = 0; run < RUNS; run++) {
      const found = await measure(relay, sink, { rate: RATE, seconds: SECONDS });
      runs.push(found);
      const [p50, p99] = [0.5, 0.99].map((share) => percentile(found.delivered, share).toFixed(1));
      progress(`latency: p50 ${p50} ms, p99 ${p99} ms`);
    }
    const answered = (share: number) => summary(runs.map((run) => percentile(run.answered, share)));
    const bars = [
      [0.5, "p50", 8],
      [0.99, "p99", 25],
    ] as const;
    return bars.map(([share, name, limitMs]) =>
      figureOf(
        {
          name: `latency ${name}`,
          measured: `ingest to receiver at ${RATE} events/s, ${name}, ms`,
          bar: atMost(limitMs, " ms"),
        },
        runs.map(({ delivered }) => percentile(delivered, share)),
        { eventsPerRun: RATE * SECONDS, untilAnsweredMs: answered(share) },
      ),
    );
  },
};

/** Sends so long at this rate and waits for every delivery. */
export async function measure(
  { api, url }: Running,
  sink: Sink,
  { rate, seconds }: { rate: number; seconds: number },
): Promise<Latencies> {
  const requests = signedRequests(Math.round(rate * seconds), api.signingSecret);
  sink.clear();
  const sent = await pace(url, requests, rate);
  await sink.arrived(requests.length, ARRIVE_WITHIN_MS);
  return {
    answered: sent.map(({ sentAtMs, answer }) => answer.atMs - sentAtMs),
    delivered: sent.map(({ sentAtMs, answer }) => {
      const atMs = sink.arrivals.get(eventIdOf(answer));
      if (atMs === undefined) throw new Error("an event was not delivered");
      return atMs - sentAtMs;
    }),
  };
}
