/**
 * What a dead service costs the others: twenty good webhooks beside one that never answers, with thousands of
 * events waiting for it. Windows with and without it alternate within one run, so that a busy machine slows both.
 *
 *   node bench/isolation.ts
 *   node bench/isolation.ts --waiting 2000 --pairs 2
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { exampleEvent } from "../scripts/leadterra.ts";
import { hanging, type Receiver, startReceiver } from "../scripts/receiver.ts";
import { Api, mapInParallel } from "../test/crash/api.ts";
import { buildWorker, startWorkerd, temporaryDirectory } from "../test/crash/workerd.ts";

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
const SHOWN_MISSING = 5;

export type IsolationOptions = {
  /** Events that wait for the hanging webhook; default 10,000. */
  waiting?: number;
  /** Good webhooks; default 20. */
  good?: number;
  /** Windows of each kind; default 4. */
  pairs?: number;
  windowSeconds?: number;
  /** Events per second, each for every good webhook; default 3: it is the wait that counts, not the load. */
  rate?: number;
  onProgress?: (text: string) => void;
};

/** From the moment an event is sent to the relay until a good service has it whole, in milliseconds. */
export type Latency = { p50: number; p95: number; count: number };

export type Isolation = {
  without: Latency;
  with: Latency;
  /** The p95 with the hanging webhook as a multiple of that without; `ratioP50` the same for the p50. */
  ratio: number;
  ratioP50: number;
  /** Events that still wait for the hanging webhook in the end. */
  waiting: number;
  /** Requests that it took and never answered. */
  hung: number;
  /** Arrivals that did not come in time, and what the relay says of each; anything but none is wrong. */
  missing: readonly string[];
};

/** Runs for about `2 × pairs × windowSeconds` and half a minute. */
export async function isolation(options: IsolationOptions = {}): Promise<Isolation> {
  const state = temporaryDirectory("isolation");
  const closing: (() => Promise<unknown> | unknown)[] = [state.remove];
  try {
    const build = await buildWorker();
    closing.push(build.remove);
    const api = new Api();
    const vars = {
      LEADTERRA_SIGNING_SECRETS: api.signingSecret,
      API_KEYS: api.apiKey,
      ALLOW_PRIVATE_DESTINATIONS: "true",
    };
    const relay = await startWorkerd({ build, stateDirectory: state.directory, vars });
    closing.push(relay.kill);
    api.url = relay.url;
    return await measure(api, options, closing);
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

async function measure(
  api: Api,
  options: IsolationOptions,
  closing: (() => unknown)[],
): Promise<Isolation> {
  const { waiting = 10_000, good = 20, pairs = 4, onProgress = () => {} } = options;
  const { windowSeconds = 8, rate = 3 } = options;
  const services: GoodService[] = [];
  for (let index = 0; index < good; index++) {
    const arrivals = new Map<string, number>();
    const receiver = await startReceiver({
      onRequest: ({ eventId, atMs }) => {
        if (eventId !== null && !arrivals.has(eventId)) arrivals.set(eventId, atMs);
      },
    });
    closing.push(receiver.close);
    const registration = { url: receiver.url, events: [MEASURED] };
    const { webhook } = await api.call<{ webhook: { id: string } }>("/webhooks", registration);
    services.push({ webhookId: webhook.id, arrivals });
  }
  const dead = await HangingWebhook.register(api);
  closing.push(() => dead.close());
  const startedMs = Date.now();
  await fill(api, dead, waiting);
  onProgress(`${waiting} events wait after ${((Date.now() - startedMs) / 1_000).toFixed(0)} s`);
  const window = (seconds: number) => sendAll(api, { rate, seconds, services });
  await window(WARM_UP_SECONDS);

  const found = { with: [] as number[], without: [] as number[] };
  const missing: string[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    // Which one comes first changes: what drifts weighs on both.
    const kinds = pair % 2 === 0 ? (["without", "with"] as const) : (["with", "without"] as const);
    for (const kind of kinds) {
      if (kind === "with") await dead.wake();
      const measured = await window(windowSeconds);
      if (kind === "with") await dead.hold();
      await sleep(PAUSE_MS);
      found[kind].push(...measured.latencies);
      missing.push(...measured.missing);
      onProgress(`window ${kind.padEnd(7)}  ${describe(latencyOf(measured.latencies))}`);
    }
  }
  const [withIt, without] = [latencyOf(found.with), latencyOf(found.without)];
  return {
    with: withIt,
    without,
    ratio: withIt.p95 / without.p95,
    ratioP50: withIt.p50 / without.p50,
    waiting: await dead.countWaiting(),
    hung: dead.hung,
    missing,
  };
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
    const { webhook } = await api.call<{ webhook: { id: string } }>("/webhooks", {
      url: receiver.url,
      events: [BACKLOG],
    });
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

async function fill(api: Api, dead: HangingWebhook, waiting: number): Promise<void> {
  const bodies = Array.from({ length: waiting }, () => bodyOf(BACKLOG));
  await mapInParallel(bodies, PARALLEL_POSTS, (body) => api.post(body));
  while ((await dead.countWaiting()) < waiting) await sleep(PAUSE_MS);
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
    return { id: await api.post(body), sentAtMs };
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
  const sorted = [...latencies].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
  return { p50: at(0.5), p95: at(0.95), count: sorted.length };
}

function describe({ p50, p95, count }: Latency): string {
  return `p50 ${p50} ms, p95 ${p95} ms of ${count}`;
}

function printTable({ without, with: withIt, ratio, ratioP50, ...rest }: Isolation): void {
  const rows = [
    ["good webhooks", "arrivals", "p50 ms", "p95 ms"],
    ["without the hanging one", without.count, without.p50, without.p95],
    ["beside the hanging one", withIt.count, withIt.p50, withIt.p95],
    ["ratio", "", ratioP50.toFixed(2), ratio.toFixed(2)],
  ];
  console.log();
  for (const [name, ...cells] of rows) {
    console.log(
      `${String(name).padEnd(24)}${cells.map((cell) => String(cell).padStart(10)).join("")}`,
    );
  }
  console.log(
    `\n${rest.waiting} events wait for the hanging webhook; it took ${rest.hung} requests and answered none; ${rest.missing.length} arrivals are missing`,
  );
  for (const delivery of rest.missing.slice(0, SHOWN_MISSING))
    console.log(`  missing: ${delivery}`);
}

async function main(): Promise<void> {
  const number = { type: "string" } as const;
  const { values } = parseArgs({
    options: { waiting: number, good: number, pairs: number, windowSeconds: number, rate: number },
  });
  const options = Object.fromEntries(
    Object.entries(values).map(([name, text]) => {
      if (!(Number(text) > 0)) throw new Error(`--${name} must be a number greater than 0.`);
      return [name, Number(text)];
    }),
  );
  const found = await isolation({ ...options, onProgress: (text) => console.log(text) });
  printTable(found);
  if (found.missing.length > 0) process.exitCode = 1;
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => process.exit(130));
  }
  await main().catch((thrown: Error) => {
    console.error(thrown.message);
    process.exitCode = 2;
  });
}
