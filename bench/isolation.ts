/**
 * What a dead service costs the others: twenty good webhooks beside one that never answers, with thousands of
 * events waiting for it. Windows with and without it alternate within one run, so that a busy machine slows both.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { exampleEvent } from "../scripts/leadterra.ts";
import { hanging, type Receiver, startReceiver } from "../scripts/receiver.ts";
import { type Api, mapInParallel } from "../test/rig/api.ts";
import { atMost, type Benchmark, type Figure, figureOf, percentile, rounded } from "./figure.ts";
import { Stage } from "./stage.ts";

/** What the good webhooks want, and what is measured. */
const MEASURED = "message.sent";
/** What only the hanging one wants: its backlog. */
const BACKLOG = "campaign.started";
const WARM_UP_SECONDS = 3;
/** What has not arrived so long after the end of its window never will. */
const ARRIVES_WITHIN_MS = 15_000;
/** Between windows: the requests that hang are cut, what waits for the clock comes to rest. */
const PAUSE_MS = 1_000;
const PARALLEL_POSTS = 24;

/** Events that wait for the hanging webhook. */
const WAITING = 10_000;
const GOOD_WEBHOOKS = 20;
/** Windows of each kind. */
const PAIRS = 5;
const WINDOW_SECONDS = 8;
/** Events per second, each for every good webhook: it is the wait that counts, not the load. */
const RATE = 3;

/** From the moment an event is sent to the relay until a good service has it whole, in milliseconds. */
type Latency = { p50: number; p95: number; count: number };

type Isolation = {
  /** Of each window. */
  without: Latency[];
  with: Latency[];
  /** Events that still wait for the hanging webhook in the end. */
  waiting: number;
  /** Requests that it took and never answered. */
  hung: number;
  /** Arrivals that did not come in time, and what the relay says of each; anything but none is wrong. */
  missing: readonly string[];
};

export const isolation: Benchmark = {
  name: "isolation",
  async run({ progress }) {
    await using closing = new AsyncDisposableStack();
    const stage = closing.use(new Stage());
    const { api } = await stage.start("relay");
    return [figureOfIsolation(await measure(api, progress, closing))];
  },
};

function figureOfIsolation({ without, with: beside, ...rest }: Isolation): Figure {
  const ratio = (name: "p50" | "p95") =>
    beside.map((latency, pair) => latency[name] / (without[pair]?.[name] ?? Number.NaN));
  const all = (latencies: readonly Latency[]) => ({
    p50: rounded(
      percentile(
        latencies.map(({ p50 }) => p50),
        0.5,
      ),
    ),
    p95: rounded(
      percentile(
        latencies.map(({ p95 }) => p95),
        0.5,
      ),
    ),
    arrivals: latencies.reduce((sum, { count }) => sum + count, 0),
  });
  const figure = figureOf(
    {
      name: "isolation",
      measured: `p95 of ${GOOD_WEBHOOKS} good webhooks beside one that hangs ÷ without it`,
      bar: atMost(1.2),
    },
    ratio("p95"),
    {
      p50Ratio: rounded(percentile(ratio("p50"), 0.5)),
      withoutMs: all(without),
      besideMs: all(beside),
      waiting: rest.waiting,
      hung: rest.hung,
      missing: rest.missing,
    },
  );
  return { ...figure, met: figure.met && rest.missing.length === 0 };
}

async function measure(
  api: Api,
  progress: (text: string) => void,
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
  const dead = await HangingWebhook.register(api);
  closing.defer(() => dead.close());
  await fill(api, dead);
  progress(`isolation: ${WAITING} events wait`);
  const window = (seconds: number) => sendAll(api, { rate: RATE, seconds, services });
  await window(WARM_UP_SECONDS);

  const found = { with: [] as Latency[], without: [] as Latency[] };
  const missing: string[] = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    // Which one comes first changes: what drifts weighs on both.
    const kinds = pair % 2 === 0 ? (["without", "with"] as const) : (["with", "without"] as const);
    for (const kind of kinds) {
      if (kind === "with") await dead.wake();
      const measured = await window(WINDOW_SECONDS);
      if (kind === "with") await dead.hold();
      await sleep(PAUSE_MS);
      const latency = latencyOf(measured.latencies);
      found[kind].push(latency);
      missing.push(...measured.missing);
      progress(`isolation: ${kind.padEnd(7)} ${describe(latency)}`);
    }
  }
  return { ...found, waiting: await dead.countWaiting(), hung: dead.hung, missing };
}

/** The dead service: while held, it is not asked; while awake, it takes six requests at a time and answers none. */
class HangingWebhook {
  readonly id: string;
  readonly #api: Api;
  #receiver: Receiver;
  #hungBefore = 0;

  private constructor(api: Api, id: string, receiver: Receiver) {
    this.#api = api;
    this.id = id;
    this.#receiver = receiver;
  }

  static async register(api: Api): Promise<HangingWebhook> {
    const receiver = await startReceiver({ behaviour: hanging });
    const webhook = await api.register({ url: receiver.url, events: [BACKLOG] });
    await api.call(`/webhooks/${webhook.id}/pause`, {});
    return new HangingWebhook(api, webhook.id, receiver);
  }

  get hung(): number {
    return this.#hungBefore + this.#receiver.requests.length;
  }

  /** Lets it hang. A new URL is a new service: the failures of the window before do not make it a probed one. */
  async wake(): Promise<void> {
    await this.close();
    this.#receiver = await startReceiver({ behaviour: hanging });
    const changes = { url: this.#receiver.url, events: [BACKLOG, MEASURED] };
    await this.#api.call(`/webhooks/${this.id}`, changes, "PATCH");
    await this.#api.call(`/webhooks/${this.id}/resume`, {});
  }

  /** Ends the hanging: no attempt starts, and those under way are cut. */
  async hold(): Promise<void> {
    await this.#api.call(`/webhooks/${this.id}/pause`, {});
    await this.#api.call(`/webhooks/${this.id}`, { events: [BACKLOG] }, "PATCH");
    await this.close();
  }

  async close(): Promise<void> {
    this.#hungBefore += this.#receiver.requests.splice(0).length;
    await this.#receiver.close();
  }

  async countWaiting(): Promise<number> {
    type Stats = { webhooks: { id: string; pending: number }[] };
    const { webhooks } = await this.#api.call<Stats>("/stats");
    return webhooks.find(({ id }) => id === this.id)?.pending ?? 0;
  }
}

async function fill(api: Api, dead: HangingWebhook): Promise<void> {
  const bodies = Array.from({ length: WAITING }, () => bodyOf(BACKLOG));
  await mapInParallel(bodies, PARALLEL_POSTS, (body) => api.accept(body));
  while ((await dead.countWaiting()) < WAITING) await sleep(PAUSE_MS);
}

function bodyOf(kind: typeof MEASURED | typeof BACKLOG): Buffer {
  return Buffer.from(JSON.stringify(exampleEvent(kind)));
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
    const body = bodyOf(MEASURED);
    const sentAtMs = Date.now();
    return { id: await api.accept(body), sentAtMs };
  });
  const sent = await Promise.all(posts);
  const owed = sent.flatMap((event) => services.map((service) => ({ ...event, ...service })));
  const isMissing = ({ id, arrivals }: (typeof owed)[number]) => !arrivals.has(id);
  const endsAtMs = startMs + seconds * 1_000 + ARRIVES_WITHIN_MS;
  while (owed.some(isMissing) && Date.now() < endsAtMs) await sleep(PAUSE_MS / 10);
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
  const [p50, p95] = [percentile(latencies, 0.5), percentile(latencies, 0.95)];
  return { p50, p95, count: latencies.length };
}

function describe({ p50, p95, count }: Latency): string {
  return `p50 ${p50} ms, p95 ${p95} ms of ${count}`;
}
