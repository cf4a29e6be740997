/**
 * Minutes at half of what the relay can take: whether memory and latency stay what they are, and whether every event
 * that was accepted arrived, and arrived once.
 */
import { mapInParallel } from "../test/rig/api.ts";
import { eventIdOf, signedRequest, signedRequests } from "./events.ts";
import {
  atMost,
  type Bar,
  type Benchmark,
  type Figure,
  figureOf,
  median,
  percentile,
  rounded,
} from "./figure.ts";
import { type Paced, pace, saturate } from "./load.ts";
import { memoryOf, quiet } from "./process.ts";
import type { Sink } from "./sink.ts";
import { type Running, register, Stage } from "./stage.ts";

/** What shows how much the relay takes, from ingest to the service. */
const PROBE_EVENTS = 5_000;
const CONNECTIONS = 32;
const SHARE_OF_MAXIMUM = 0.5;
const SAMPLE_EVERY_MS = 2_000;
const ARRIVE_WITHIN_MS = 60_000;
const MAX_LISTED = 50;
/** Of the time after the first third. */
const SLICES = 10;

/** Resident memory of workerd, in MB, and when; `performance.now()`. */
type Sample = { atMs: number; memory: number };
/** An event that was accepted; `latencyMs` null when it never arrived. */
type Sent = { id: string; sentAtMs: number; latencyMs: number | null };

export const soak: Benchmark = {
  name: "soak",
  async run({ progress, minutes }) {
    await using stage = new Stage();
    const relay = await stage.start("relay");
    const sink = await stage.sink();
    const webhookId = await register(relay.api, sink.url);
    await maximumOf(relay, sink);
    const maximum = await maximumOf(relay, sink);
    const rate = maximum * SHARE_OF_MAXIMUM;
    progress(`soak: ${minutes} min at ${rate.toFixed(0)} of ${maximum.toFixed(0)} events/s`);
    sink.clear();
    const samples: Sample[] = [];
    const sampling = setInterval(
      () => samples.push({ atMs: performance.now(), memory: memoryOf(relay) }),
      SAMPLE_EVERY_MS,
    );
    try {
      const count = Math.round(rate * minutes * 60);
      const answered = await pace(relay.url, requests(count, relay), rate);
      // What has not arrived by then is listed.
      await sink.arrived(count, ARRIVE_WITHIN_MS).catch(() => {});
      const sent = answered.map((paced) => sentOf(paced, sink));
      const missing = sent.filter(({ latencyMs }) => latencyMs === null);
      const listed = await mapInParallel(missing.slice(0, MAX_LISTED), 1, ({ id }) =>
        relay.api
          .call<object>(`/webhooks/${webhookId}/deliveries/${id}`)
          .catch((thrown: Error) => ({ id, error: thrown.message })),
      );
      const accounts = {
        accepted: sent.length,
        missing: missing.length,
        listed,
        repeated: sink.requests - sink.arrivals.size,
      };
      return figuresOf({ sent, samples, accounts, rate, maximum });
    } finally {
      clearInterval(sampling);
    }
  },
};

/** Events per second from the first request until the relay has nothing left to do. */
async function maximumOf(relay: Running, sink: Sink): Promise<number> {
  const { api, url } = relay;
  sink.clear();
  const ready = signedRequests(PROBE_EVENTS, api.signingSecret);
  const startMs = performance.now();
  await saturate(url, ready, CONNECTIONS);
  await sink.arrived(PROBE_EVENTS, ARRIVE_WITHIN_MS);
  const arrivedMs = performance.now();
  const restedMs = await quiet(relay);
  return (PROBE_EVENTS * 1_000) / (arrivedMs + restedMs - startMs);
}

/** Made one by one: all of them at once would not fit. */
function* requests(count: number, { api }: Running): Generator<Buffer> {
  for (let left = count; left > 0; left--) yield signedRequest(api.signingSecret);
}

function sentOf({ sentAtMs, answer }: Paced, sink: Sink): Sent {
  const id = eventIdOf(answer);
  const atMs = sink.arrivals.get(id);
  return { id, sentAtMs, latencyMs: atMs === undefined ? null : atMs - sentAtMs };
}

/** Of equal slices of the time, the median of each. */
function overTime(samples: readonly Sample[]): number[] {
  const length = Math.max(1, Math.ceil(samples.length / SLICES));
  return Array.from({ length: Math.ceil(samples.length / length) }, (_, slice) => {
    const within = samples.slice(slice * length, (slice + 1) * length);
    return Math.round(median(within.map(({ memory }) => memory)));
  });
}

type Soaked = {
  sent: readonly Sent[];
  samples: readonly Sample[];
  accounts: { accepted: number; missing: number; listed: readonly object[]; repeated: number };
  rate: number;
  maximum: number;
};

function figuresOf({ sent, samples, accounts, rate, maximum }: Soaked): Figure[] {
  const startMs = sent[0]?.sentAtMs ?? Number.NaN;
  const endMs = sent.at(-1)?.sentAtMs ?? Number.NaN;
  const [firstUntilMs, lastFromMs] = [1, 2].map(
    (third) => startMs + ((endMs - startMs) * third) / 3,
  ) as [number, number];
  const latencies = (isIn: (atMs: number) => boolean) =>
    sent.flatMap(({ sentAtMs, latencyMs }) =>
      latencyMs !== null && isIn(sentAtMs) ? [latencyMs] : [],
    );
  const isFirst = (atMs: number) => atMs < firstUntilMs;
  const isLast = (atMs: number) => atMs >= lastFromMs;
  const [first, last] = [latencies(isFirst), latencies(isLast)];
  const drift = (share: number, bar: Bar): Figure => {
    const [before, after] = [percentile(first, share), percentile(last, share)];
    const measured = `ingest to receiver at ${rate.toFixed(0)} events/s, p${share * 100}, last third ÷ first`;
    const details = { firstMs: rounded(before), lastMs: rounded(after) };
    return figureOf({ name: `soak p${share * 100}`, measured, bar }, [after / before], details);
  };
  // Once the first third is over, everything that is made once has been made.
  const megabytes = overTime(samples.filter(({ atMs }) => atMs >= firstUntilMs && atMs <= endMs));
  const [begun = Number.NaN, ended = Number.NaN] = [megabytes[0], megabytes.at(-1)];
  return [
    figureOf(
      {
        name: "soak memory",
        measured: "resident memory of workerd, at the end ÷ after the first third",
        bar: atMost(1.1),
      },
      [ended / begun],
      { megabytes, begunMegabytes: begun, endedMegabytes: ended },
    ),
    drift(0.5, atMost(1.3)),
    drift(0.99, atMost(1.3)),
    figureOf(
      {
        name: "soak accounts",
        measured: "accepted events that did not arrive, or not once",
        bar: { text: "0", isMet: (value) => value === 0 },
      },
      [accounts.missing + accounts.repeated],
      {
        ...accounts,
        eventsPerSecond: rounded(rate),
        maximumPerSecond: rounded(maximum),
        seconds: Math.round((endMs - startMs) / 1_000),
      },
    ),
  ];
}
