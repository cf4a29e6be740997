/**
 * What dead services cost the others: twenty good webhooks beside one that never answers, with thousands of events
 * waiting for it, and one that never answers and is tried again soon. They hang long enough for everything that
 * follows: time-outs, retries and probing. A second relay without them gets as much at the same time, so that a busy
 * machine slows both.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { exampleEvent } from "../scripts/leadterra.ts";
import { hanging, type Receiver, startReceiver } from "../scripts/receiver.ts";
import { type Api, mapInParallel } from "../test/rig/api.ts";
import {
  atMost,
  type Benchmark,
  type BenchmarkOptions,
  type Figure,
  figureOf,
  percentile,
  ratios,
  summary,
} from "./figure.ts";
import { processorMsOf } from "./process.ts";
import { countsOf, FILLED, fill, type Running, register, Stage } from "./stage.ts";

/** What the good webhooks want, and what is measured. */
const MEASURED = "message.sent";
/** What is never sent: a hanging one wants it while it is held. */
const UNSENT = "message.bounced";
const WARM_UP_SECONDS = 3;
/** What has not arrived so long after the end of its window never will. */
const ARRIVES_WITHIN_MS = 15_000;
const LOOK_EVERY_MS = 100;

/** Events that wait for the hanging webhook. */
const WAITING = 10_000;
const GOOD_WEBHOOKS = 20;
/** 100 s: time-outs of 10 s and the first probe a minute later are within. */
const WINDOWS = 4;
const WINDOW_SECONDS = 25;
const SECOND_MS = 1_000;
/** Events per second, each for every good webhook: it is the wait that counts, not the load. */
const RATE = 3;
/** Of the one without a backlog: its first attempts come again within the windows. */
const TRIED_SOON = { timeout: "1s", retrySchedule: "5s 10s 20s" };

/**
 * In milliseconds: from the moment an event is sent to the relay until a good service has it whole, and what the relay
 * takes of the processor for each such delivery, whatever else it does meanwhile.
 */
type Latency = { p50: number; p95: number; processor: number };

/** What followed from the hanging. */
type Hung = { requests: number; retried: number; state: string; lastError: string | null };

type Isolation = {
  alone: Latency[];
  beside: Latency[];
  withBacklog: Hung & { waiting: number };
  triedSoon: Hung;
  /** Arrivals that did not come in time, and what the relay says of each; anything but none is wrong. */
  missing: readonly string[];
};

export const isolation: Benchmark = {
  name: "isolation",
  async run({ progress }) {
    await using closing = new AsyncDisposableStack();
    const stage = closing.use(new Stage());
    const found = await measure(stage, progress, closing);
    mustHaveFollowed(found);
    return [figureOfIsolation(found)];
  },
};

/** @throws when something that the benchmark is about did not happen. */
function mustHaveFollowed({ withBacklog, triedSoon }: Isolation): void {
  const followed = [withBacklog, triedSoon].every(
    ({ state, lastError }) => state === "probing" && lastError === "timeout",
  );
  if (followed && triedSoon.retried > 0) return;
  throw new Error(`too little followed: ${JSON.stringify({ withBacklog, triedSoon })}`);
}

function figureOfIsolation({ alone, beside, missing, ...hung }: Isolation): Figure {
  const ratio = (name: keyof Latency) =>
    ratios(
      beside.map((latency) => latency[name]),
      alone.map((latency) => latency[name]),
    );
  const all = (latencies: readonly Latency[]) => ({
    p50: summary(latencies.map(({ p50 }) => p50)),
    p95: summary(latencies.map(({ p95 }) => p95)),
    processorADelivery: summary(latencies.map(({ processor }) => processor)),
  });
  const seconds = WINDOWS * WINDOW_SECONDS;
  const figure = figureOf(
    {
      name: "isolation",
      measured: `p95 of ${GOOD_WEBHOOKS} good webhooks beside two that hang for ${seconds} s, one with ${WAITING} waiting ÷ of a relay without them`,
      changed: FILLED,
      bar: atMost(1.2),
    },
    ratio("p95"),
    {
      p50Ratio: summary(ratio("p50")),
      aloneMs: all(alone),
      besideMs: all(beside),
      hangingWithBacklog: hung.withBacklog,
      hangingTriedSoon: hung.triedSoon,
      missing,
    },
  );
  return { ...figure, met: figure.met && missing.length === 0 };
}

async function measure(
  stage: Stage,
  progress: BenchmarkOptions["progress"],
  closing: AsyncDisposableStack,
): Promise<Isolation> {
  const sides = {
    alone: await startSide(stage),
    beside: await startSide(stage),
  };
  const { api } = sides.beside.relay;
  const withBacklog = await HangingWebhook.register(api, {});
  const triedSoon = await HangingWebhook.register(api, TRIED_SOON);
  for (const each of [withBacklog, triedSoon]) closing.defer(() => each.close());
  await fill(api, withBacklog.id, WAITING);
  progress(`isolation: ${WAITING} events wait`);

  const found = { alone: [] as Latency[], beside: [] as Latency[] };
  const missing: string[] = [];
  const window = async (name: keyof typeof sides) => {
    const { relay } = sides[name];
    const before = processorMsOf(relay);
    const { latencies, missing: late } = await sendAll(sides[name], WINDOW_SECONDS);
    const [p50, p95] = [percentile(latencies, 0.5), percentile(latencies, 0.95)];
    const processor = (processorMsOf(relay) - before) / latencies.length;
    found[name].push({ p50, p95, processor });
    missing.push(...late);
    const shown = `p50 ${p50.toFixed(0)} ms, p95 ${p95.toFixed(0)} ms, ${processor.toFixed(2)} ms of processor a delivery`;
    progress(`isolation: ${name.padEnd(6)} ${shown}`);
  };
  await Promise.all(Object.values(sides).map((side) => sendAll(side, WARM_UP_SECONDS)));
  for (const each of [withBacklog, triedSoon]) await each.wake();
  for (let left = WINDOWS; left > 0; left--) {
    // Never both at once.
    await Promise.all([window("alone"), sleep(SECOND_MS / RATE / 2).then(() => window("beside"))]);
  }
  const waiting = (await countsOf(api, withBacklog.id)).pending;
  const hung = {
    withBacklog: { ...(await withBacklog.hung()), waiting },
    triedSoon: await triedSoon.hung(),
  };
  return { ...found, ...hung, missing };
}

/** A relay with its good webhooks. */
type Side = { relay: Running; services: GoodService[] };

async function startSide(stage: Stage): Promise<Side> {
  const relay = await stage.start("relayFilled");
  const services: GoodService[] = [];
  for (let index = 0; index < GOOD_WEBHOOKS; index++) {
    const { url, arrivals } = await stage.sink();
    services.push({ webhookId: await register(relay.api, url), arrivals });
  }
  return { relay, services };
}

/** A dead service: while held, it is not asked; awake, it takes what comes and answers nothing. */
class HangingWebhook {
  readonly id: string;
  readonly #api: Api;
  readonly #receiver: Receiver;

  private constructor(api: Api, id: string, receiver: Receiver) {
    this.#api = api;
    this.id = id;
    this.#receiver = receiver;
  }

  static async register(api: Api, settings: object): Promise<HangingWebhook> {
    const receiver = await startReceiver({ behaviour: hanging });
    const registration = { url: receiver.url, events: [UNSENT], status: "paused", ...settings };
    const { id } = await api.register(registration);
    return new HangingWebhook(api, id, receiver);
  }

  async wake(): Promise<void> {
    await this.#api.call(`/webhooks/${this.id}`, { events: [MEASURED] }, "PATCH");
    await this.#api.call(`/webhooks/${this.id}/resume`, {});
  }

  close(): Promise<void> {
    return this.#receiver.close();
  }

  async hung(): Promise<Hung> {
    type Health = { state: string; lastFailure: { error: string | null } | null };
    const health = await this.#api.call<Health>(`/webhooks/${this.id}/health`);
    const { requests } = this.#receiver;
    return {
      requests: requests.length,
      retried: requests.filter(({ numberOfEvent }) => numberOfEvent > 1).length,
      state: health.state,
      lastError: health.lastFailure?.error ?? null,
    };
  }
}

type GoodService = {
  webhookId: string;
  /** By event id, when it arrived first, `performance.now()`. */
  arrivals: ReadonlyMap<string, number>;
};

/** Sends events evenly for so long, and waits until all have arrived everywhere. */
async function sendAll(
  { relay: { api }, services }: Side,
  seconds: number,
): Promise<{ latencies: number[]; missing: string[] }> {
  const startMs = performance.now();
  const posts = Array.from({ length: RATE * seconds }, async (_, index) => {
    await sleep((index * SECOND_MS) / RATE);
    const body = Buffer.from(JSON.stringify(exampleEvent(MEASURED)));
    const sentAtMs = performance.now();
    return { id: await api.accept(body), sentAtMs };
  });
  const sent = await Promise.all(posts);
  const owed = sent.flatMap((event) => services.map((service) => ({ ...event, ...service })));
  const isMissing = ({ id, arrivals }: (typeof owed)[number]) => !arrivals.has(id);
  const endsAtMs = startMs + seconds * SECOND_MS + ARRIVES_WITHIN_MS;
  while (owed.some(isMissing) && performance.now() < endsAtMs) await sleep(LOOK_EVERY_MS);
  const latencies = owed.flatMap(({ id, sentAtMs, arrivals }) => {
    const atMs = arrivals.get(id);
    return atMs === undefined ? [] : [atMs - sentAtMs];
  });
  const missing = await mapInParallel(owed.filter(isMissing), 1, async ({ id, webhookId }) => {
    const path = `/webhooks/${webhookId}/deliveries/${id}`;
    const delivery = await api.call<object>(path).catch((thrown: Error) => thrown.message);
    return JSON.stringify(delivery);
  });
  return { latencies, missing };
}
