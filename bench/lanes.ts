/**
 * What `concurrency` brings at a service that takes a while: deliveries a second against what so many at once allow,
 * what each of them costs beside one at six, and what a webhook at six has to bear beside one at three hundred.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { exampleEvent } from "../scripts/leadterra.ts";
import type { Api } from "../test/rig/api.ts";
import { exampleBody } from "./events.ts";
import {
  atLeast,
  atMost,
  type Bar,
  type Benchmark,
  type Figure,
  figureOf,
  median,
  percentile,
  ratios,
  rounded,
  summary,
} from "./figure.ts";
import { Connection, mustSucceed, wire } from "./load.ts";
import { processorMsOf } from "./process.ts";
import { arrivalsPerSecond, type Sink } from "./sink.ts";
import { FILLED, fill, type Running, resume, Stage, settled } from "./stage.ts";

const ANSWER_MS = 100;
/** As long as a run would take if everything possible were reached. */
const RUN_SECONDS = 4;
const RUNS = 3;
const MOST_AT_ONCE = 300;
const MAX_IN_FLIGHT = 6;
const BARE_REQUESTS = 6_000;
const LONGEST_RUN_MS = 6_000;
const LOOK_EVERY_MS = 10;
const MICROSECONDS_PER_MS = 1_000;
/** After a run: what was in flight has been answered. */
const PAUSE_MS = 5 * ANSWER_MS;
/** What has not come to the webhook at six so long after the last was sent never will. */
const ARRIVE_WITHIN_MS = 30_000;

type Case = { concurrency: number; bar: Bar };
const CASES: readonly Case[] = [
  { concurrency: 6, bar: atLeast(0.95) },
  { concurrency: 24, bar: atLeast(0.9) },
  { concurrency: 96, bar: atLeast(0.85) },
];
const PER_SECOND: Bar = { text: ">= 1200/s", isMet: (value) => value >= 1_200 };
/** Of what objects reach that record and sign nothing, as many at once. */
const OF_BARE = atLeast(0.5);

/** Where rows and calls are counted. */
const COSTED = 96;
const OBJECT_GB = 0.128;
/** A share that is handed over, and what is reported of it in groups: calls that six at once do not need. */
const REQUESTS = atMost(10);
/** As many objects more as there are deliveries a second more: what 96 at once do not reach is paid for. */
const DURATION = atMost(1.2);

/** What the webhook at six wants; the other one gets what is put into it. */
const MEASURED = "message.sent";
const UNASKED = "campaign.started";
const NEIGHBOUR_CONCURRENCY = 6;
const NEIGHBOUR_SECONDS = 4;
const NEIGHBOUR_RATE = 15;
/**
 * The busy one's service takes so long on average: 300 at once are 300/s, which one thread bears. All objects share that
 * thread here, and where it is full everybody waits in the same line, whatever the relay does; in production they do not.
 */
const BUSY_ANSWER_MS = 1_000;
/** A fraction that never repeats, and is spread evenly: answers take from half to three halves of that. */
const GOLDEN = 0.618_033_988_75;
/** More than the other one delivers meanwhile. */
const BACKLOG = 3_000;

export const lanes: Benchmark = {
  name: "lanes",
  async run({ progress }) {
    await using stage = new Stage();
    const relay = await stage.start("relayFilled");
    const sink = await stage.sink(() => ANSWER_MS);
    const figures: Figure[] = [];
    for (const { concurrency, bar } of CASES) {
      const { perSecond } = await reached({ relay, sink, concurrency, progress });
      const possible = (concurrency * 1_000) / ANSWER_MS;
      const measured = `deliveries/s at ${concurrency} at once to a service that takes ${ANSWER_MS} ms ÷ possible`;
      const shares = perSecond.map((value) => value / possible);
      const details = { perSecond: summary(perSecond) };
      figures.push(
        figureOf({ name: `lanes-${concurrency}`, measured, changed: FILLED, bar }, shares, details),
      );
    }
    figures.push(...(await most({ relay, sink, concurrency: MOST_AT_ONCE, progress }, stage)));
    figures.push(...(await costOf(stage, sink)));
    figures.push(...(await neighbours(relay, stage, progress)));
    return figures;
  },
};

type Reaching = {
  relay: Running;
  sink: Sink;
  concurrency: number;
  progress: (text: string) => void;
};

/** Deliveries a second of each run, and the share of the time in which each process was at work, of one core. */
async function reached({ relay, sink, concurrency, progress }: Reaching) {
  const perSecond: number[] = [];
  const [workerd, services]: [number[], number[]] = [[], []];
  const count = (concurrency * RUN_SECONDS * 1_000) / ANSWER_MS;
  for (let run = 0; run < RUNS; run++) {
    const webhookId = await held(relay.api, sink.url, { concurrency, count });
    const [startMs, before, ownBefore] = [
      performance.now(),
      processorMsOf(relay),
      process.cpuUsage(),
    ];
    const emptied = await emptyOut(relay.api, { webhookId, sink, count });
    const tookMs = performance.now() - startMs - PAUSE_MS;
    const { user, system } = process.cpuUsage(ownBefore);
    perSecond.push(emptied.perSecond);
    workerd.push((processorMsOf(relay) - before) / tookMs);
    services.push((user + system) / MICROSECONDS_PER_MS / tookMs);
    progress(`lanes: ${concurrency} at once, ${emptied.perSecond.toFixed(0)}/s`);
  }
  return { perSecond, workerd, services };
}

/** What this machine's workerd can send, 300 at once from objects that record nothing. */
async function bareFetches(stage: Stage, sink: Sink): Promise<number[]> {
  const { url } = await stage.start("bare");
  const connection = await Connection.open(url);
  const objects = MOST_AT_ONCE / MAX_IN_FLIGHT;
  const path = `/?count=${BARE_REQUESTS}&objects=${objects}&url=${encodeURIComponent(sink.url)}`;
  try {
    const perSecond: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      sink.clear();
      mustSucceed(await connection.send(wire({ method: "POST", path, body: exampleBody() })));
      perSecond.push(arrivalsPerSecond(sink.arrivals));
    }
    return perSecond;
  } finally {
    connection.close();
  }
}

/** At the most that a webhook may ask for; and which part is at work all the time, and so allows no more. */
async function most(reaching: Reaching, stage: Stage): Promise<Figure[]> {
  const bare = await bareFetches(stage, reaching.sink);
  const { perSecond, workerd, services } = await reached(reaching);
  const measured = `deliveries/s at ${MOST_AT_ONCE} at once`;
  const isWorkerd = median(workerd) >= median(services);
  const slowest = isWorkerd ? "workerd, whose objects share one thread here" : "the services";
  return [
    figureOf({ name: "lanes-300", measured, changed: FILLED, bar: PER_SECOND }, perSecond, {
      bareFetchesPerSecond: summary(bare),
    }),
    figureOf(
      {
        name: "lanes-300 ÷ bare",
        measured: `${measured} ÷ bare fetches of as many objects`,
        changed: FILLED,
        bar: OF_BARE,
      },
      ratios(perSecond, bare),
    ),
    figureOf(
      {
        name: "lanes-300 slowest",
        measured: `share of the time, of one core, in which the slowest part was at work: ${slowest}`,
        bar: null,
      },
      isWorkerd ? workerd : services,
      { workerd: summary(workerd), services: summary(services) },
    ),
  ];
}

/** A webhook that is paused, with so many deliveries waiting. @returns its id. */
async function held(
  api: Api,
  url: string,
  { concurrency, count }: { concurrency: number; count: number },
): Promise<string> {
  const { id } = await api.register({ url, concurrency, events: [UNASKED], status: "paused" });
  await fill(api, id, count);
  return id;
}

/**
 * Releases a webhook, until all went out or the time is over, and holds it again.
 *
 * @returns deliveries a second, from the first arrival to the last answer, and how many there were.
 */
async function emptyOut(
  api: Api,
  { webhookId, sink, count }: { webhookId: string; sink: Sink; count: number },
): Promise<{ perSecond: number; arrived: number }> {
  sink.clear();
  await resume(api, webhookId);
  const endsAtMs = performance.now() + LONGEST_RUN_MS;
  while (sink.arrivals.size < count && performance.now() < endsAtMs) await sleep(LOOK_EVERY_MS);
  const times = [...sink.arrivals.values()];
  const tookMs = Math.max(...times) - Math.min(...times) + ANSWER_MS;
  if (times.length === count) await settled(api, webhookId, count);
  await api.call(`/webhooks/${webhookId}/pause`, {});
  await sleep(PAUSE_MS);
  const { requests, arrivals } = sink;
  if (requests !== arrivals.size) throw new Error(`${requests} requests for ${arrivals.size}`);
  return { perSecond: (times.length * 1_000) / tookMs, arrived: arrivals.size };
}

/** What Subscriber and Lanes write and are called for a delivery, beside the same without Lanes. */
async function costOf(stage: Stage, sink: Sink): Promise<Figure[]> {
  const { api } = await stage.start("relayCounted");
  const [wide, atSix] = [await costAt(api, sink, COSTED), await costAt(api, sink, MAX_IN_FLIGHT)];
  const changed = `rows and calls are counted; ${FILLED}`;
  const figure = (what: keyof typeof wide, measured: string, bar: Bar, value: number) =>
    figureOf({ name: `lanes-${what}`, measured, changed, bar }, [value], {
      [`at${COSTED}`]: wide[what],
      [`at${MAX_IN_FLIGHT}`]: atSix[what],
    });
  const beside = `of a delivery at ${COSTED} at once ÷ at ${MAX_IN_FLIGHT}`;
  return [
    figure("rows", `rows a delivery at ${COSTED} at once`, atMost(2.1), wide.rows),
    figure("requests", `requests of objects ${beside}`, REQUESTS, wide.requests / atSix.requests),
    figure("duration", `GB-seconds of objects ${beside}`, DURATION, wide.duration / atSix.duration),
  ];
}

/** Rows, billed requests of objects, and their GB-seconds by 128 MB each while they are busy: for each delivery. */
async function costAt(api: Api, sink: Sink, concurrency: number) {
  const count = (concurrency * RUN_SECONDS * 1_000) / ANSWER_MS;
  const webhookId = await held(api, sink.url, { concurrency, count });
  const accepting = (await counted(api)).rows / count;
  const { arrived, perSecond } = await emptyOut(api, { webhookId, sink, count });
  const { rows, calls } = await counted(api);
  const objects = Math.ceil(concurrency / MAX_IN_FLIGHT);
  return {
    rows: rounded(accepting + rows / arrived),
    requests: rounded(calls / arrived),
    duration: rounded((objects * OBJECT_GB) / perSecond),
  };
}

async function counted(api: Api): Promise<{ rows: number; calls: number }> {
  const response = await fetch(`${api.url}/bench/counts`, { method: "POST" });
  return (await response.json()) as { rows: number; calls: number };
}

/**
 * From ingest to the service of a webhook at six, in windows with and without one at three hundred that is busy: whose
 * answers take more or less, as those of a service do, and whose answers all take the same, so that three hundred of them
 * come in one moment.
 */
async function neighbours(
  relay: Running,
  stage: Stage,
  progress: (text: string) => void,
): Promise<Figure[]> {
  const own = await stage.sink(() => ANSWER_MS);
  let answers = 0;
  const spread = await stage.sink(() => BUSY_ANSWER_MS * (0.5 + ((++answers * GOLDEN) % 1)));
  const inStep = await stage.sink(() => BUSY_ANSWER_MS);
  const { api } = relay;
  await api.register({ url: own.url, events: [MEASURED], concurrency: NEIGHBOUR_CONCURRENCY });
  await p95(api, own);
  const beside = { relay, own, progress };
  const name = "lanes-neighbour";
  const measured = `p95 of a webhook at ${NEIGHBOUR_CONCURRENCY} beside one at ${MOST_AT_ONCE} ÷ alone`;
  return [
    await neighbour({ name, measured, bar: atMost(1.2) }, { ...beside, busy: spread }),
    await neighbour(
      {
        name: `${name} in step`,
        measured: `${measured}, when all answers of the latter take the same`,
        bar: null,
      },
      { ...beside, busy: inStep },
    ),
  ];
}

async function neighbour(
  figure: { name: string; measured: string; bar: Bar | null },
  beside: { relay: Running; own: Sink; busy: Sink; progress: (text: string) => void },
): Promise<Figure> {
  const { relay, own, busy, progress } = beside;
  const { api } = relay;
  const details: Record<"aloneMs" | "besideMs" | "busyPerSecond" | "workerd", number[]> = {
    aloneMs: [],
    besideMs: [],
    busyPerSecond: [],
    workerd: [],
  };
  for (let pair = 0; pair < RUNS; pair++) {
    const busyId = await held(api, busy.url, { concurrency: MOST_AT_ONCE, count: BACKLOG });
    details.aloneMs.push(await p95(api, own));
    await resume(api, busyId);
    await sleep(BUSY_ANSWER_MS);
    const [requests, startMs, atWork] = [busy.requests, performance.now(), processorMsOf(relay)];
    details.besideMs.push(await p95(api, own));
    const tookMs = performance.now() - startMs;
    details.busyPerSecond.push(((busy.requests - requests) * 1_000) / tookMs);
    details.workerd.push((processorMsOf(relay) - atWork) / tookMs);
    await api.call(`/webhooks/${busyId}/pause`, {});
    await sleep(2 * BUSY_ANSWER_MS + PAUSE_MS);
    const [alone, loud] = [details.aloneMs.at(-1), details.besideMs.at(-1)];
    progress(`${figure.name}: p95 ${alone?.toFixed(0)} ms alone, ${loud?.toFixed(0)} beside`);
  }
  const summaries = Object.fromEntries(
    Object.entries(details).map(([name, values]) => [name, summary(values)]),
  );
  const { besideMs, aloneMs } = details;
  return figureOf({ ...figure, changed: FILLED }, ratios(besideMs, aloneMs), summaries);
}

/** Sends events evenly to the relay. @returns the p95 until they arrive, in milliseconds. */
async function p95(api: Api, sink: Sink): Promise<number> {
  sink.clear();
  const count = NEIGHBOUR_RATE * NEIGHBOUR_SECONDS;
  const posts = Array.from({ length: count }, async (_, index) => {
    await sleep((index * 1_000) / NEIGHBOUR_RATE);
    const sentAtMs = performance.now();
    const id = await api.accept(Buffer.from(JSON.stringify(exampleEvent(MEASURED))));
    return { id, sentAtMs };
  });
  const sent = await Promise.all(posts);
  await sink.arrived(count, ARRIVE_WITHIN_MS);
  const latencies = sent.map(
    ({ id, sentAtMs }) => (sink.arrivals.get(id) ?? Number.NaN) - sentAtMs,
  );
  return percentile(latencies, 0.95);
}
