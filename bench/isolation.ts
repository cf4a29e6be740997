/**
 * What dead services cost the others: twenty good webhooks beside one that never answers, with thousands of events
 * waiting for it, and one that never answers and is tried again soon. They hang long enough for everything that
 * follows: time-outs, retries and probing. Windows without them come before and after, in the same run.
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
  median,
  percentile,
  summary,
} from "./figure.ts";
import { countsOf, fill, Stage } from "./stage.ts";

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
const ALONE_SECONDS = 25;
/** They hang for four windows, 100 s: ten time-outs of 10 s and the first probes a minute apart are within. */
const HANGING_WINDOWS = 4;
const HANGING_SECONDS = 25;
/** Events per second, each for every good webhook: it is the wait that counts, not the load. */
const RATE = 3;
/** Of the one without a backlog: its first attempts come again within the windows. */
const TRIED_SOON = { timeout: "1s", retrySchedule: "5s 10s 20s" };

/** From the moment an event is sent to the relay until a good service has it whole, in milliseconds. */
type Latency = { p50: number; p95: number };

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
    const { api } = await stage.start("relayFilled");
    const found = await measure(api, progress, closing);
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
  const ratio = (name: keyof Latency) => {
    const without = median(alone.map((latency) => latency[name]));
    return beside.map((latency) => latency[name] / without);
  };
  const all = (latencies: readonly Latency[]) => ({
    p50: summary(latencies.map(({ p50 }) => p50)),
    p95: summary(latencies.map(({ p95 }) => p95)),
  });
  const seconds = HANGING_WINDOWS * HANGING_SECONDS;
  const figure = figureOf(
    {
      name: "isolation",
      measured: `p95 of ${GOOD_WEBHOOKS} good webhooks beside two that hang for ${seconds} s ÷ without them`,
      changed: `the ${WAITING} that wait for one of them are put there without the way through ingest`,
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
  api: Api,
  progress: BenchmarkOptions["progress"],
  closing: AsyncDisposableStack,
): Promise<Isolation> {
  const services: GoodService[] = [];
  for (let index = 0; index < GOOD_WEBHOOKS; index++) {
    const arrivals = new Map<string, number>();
    const receiver = await startReceiver({
      onRequest: ({ eventId, atMs }) => {
        if (eventId !== null && !arrivals.has(eventId)) arrivals.set(eventId, atMs);
      },
    });
    closing.defer(receiver.close);
    const registration = { url: receiver.url, events: [MEASURED] };
    const webhook = await api.register(registration);
    services.push({ webhookId: webhook.id, arrivals });
  }
  const withBacklog = await HangingWebhook.register(api, {});
  const triedSoon = await HangingWebhook.register(api, TRIED_SOON);
  const dead = [withBacklog, triedSoon];
  for (const each of dead) closing.defer(() => each.close());
  await fill(api, withBacklog.id, WAITING);
  progress(`isolation: ${WAITING} events wait`);

  const found = { alone: [] as Latency[], beside: [] as Latency[] };
  const missing: string[] = [];
  const window = async (kind: keyof typeof found, seconds: number) => {
    const measured = await sendAll(api, { rate: RATE, seconds, services });
    const latency = latencyOf(measured.latencies);
    found[kind].push(latency);
    missing.push(...measured.missing);
    progress(`isolation: ${kind.padEnd(6)} p50 ${latency.p50} ms, p95 ${latency.p95} ms`);
  };
  await sendAll(api, { rate: RATE, seconds: WARM_UP_SECONDS, services });
  await window("alone", ALONE_SECONDS);
  for (const each of dead) await each.wake();
  for (let left = HANGING_WINDOWS; left > 0; left--) await window("beside", HANGING_SECONDS);
  const waiting = (await countsOf(api, withBacklog.id)).pending;
  const hung = {
    withBacklog: { ...(await withBacklog.hung()), waiting },
    triedSoon: await triedSoon.hung(),
  };
  for (const each of dead) await each.hold();
  await window("alone", ALONE_SECONDS);
  return { ...found, ...hung, missing };
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

  /** Ends the hanging: no attempt starts, and those under way are cut. */
  async hold(): Promise<void> {
    await this.#api.call(`/webhooks/${this.id}/pause`, {});
    await this.#api.call(`/webhooks/${this.id}`, { events: [UNSENT] }, "PATCH");
    await this.close();
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
  /** By event id, when it arrived first, Unix milliseconds. */
  arrivals: ReadonlyMap<string, number>;
};

type Sending = { rate: number; seconds: number; services: readonly GoodService[] };

/** Sends events evenly for so long, and waits until all have arrived everywhere. */
async function sendAll(
  api: Api,
  { rate, seconds, services }: Sending,
): Promise<{ latencies: number[]; missing: string[] }> {
  const startMs = Date.now();
  const posts = Array.from({ length: Math.round(rate * seconds) }, async (_, index) => {
    await sleep((index * 1_000) / rate);
    const body = Buffer.from(JSON.stringify(exampleEvent(MEASURED)));
    const sentAtMs = Date.now();
    return { id: await api.accept(body), sentAtMs };
  });
  const sent = await Promise.all(posts);
  const owed = sent.flatMap((event) => services.map((service) => ({ ...event, ...service })));
  const isMissing = ({ id, arrivals }: (typeof owed)[number]) => !arrivals.has(id);
  const endsAtMs = startMs + seconds * 1_000 + ARRIVES_WITHIN_MS;
  while (owed.some(isMissing) && Date.now() < endsAtMs) await sleep(LOOK_EVERY_MS);
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

function latencyOf(latencies: readonly number[]): Latency {
  return { p50: percentile(latencies, 0.5), p95: percentile(latencies, 0.95) };
}
