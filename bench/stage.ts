/** What a benchmark needs around it: Workers that run, services that receive; and all of it gone at the end. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Api } from "../test/rig/api.ts";
import { Relay } from "../test/rig/relay.ts";
import { type Build, type BuildOptions, buildWorker } from "../test/rig/workerd.ts";
import { exampleBody } from "./events.ts";
import { Connection, mustSucceed, wire } from "./load.ts";
import { buildReleased } from "./released.ts";
import { type Sink, startSink } from "./sink.ts";

/** The Workers that are measured, and what they are measured against. */
const WORKERS = {
  relay: {},
  relayIngest: { entry: "relay-ingest.ts" },
  relayInMemory: { entry: "relay-in-memory.ts" },
  relayFilled: { entry: "relay-filled.ts" },
  relayCounted: { entry: "relay-counted.ts" },
  /** With the names of its sources, so that a profile can be read. */
  relayReadable: { entry: "relay-filled.ts", readable: true },
  reference: { config: "reference.toml" },
  referenceFan: { config: "reference.toml", entry: "reference-fan.ts" },
  stored: { config: "stored.toml" },
  referenceInMemory: { config: "reference.toml", entry: "reference-in-memory.ts" },
  bare: { config: "bare.toml" },
  empty: { config: "empty.toml" },
  loader: { config: "loader.toml" },
  /** The bundle of the release before. */
  released: { released: true },
  releasedIngest: { released: true, entry: "relay-ingest.ts" },
  releasedInMemory: { released: true, entry: "relay-in-memory.ts" },
  releasedFilled: { released: true, entry: "relay-filled.ts" },
} as const satisfies Record<string, WorkerFiles>;

type WorkerFiles = { config?: string; entry?: string; readable?: boolean; released?: boolean };

export type WorkerName = keyof typeof WORKERS;

/** What `relayFilled` changes, for the figures. */
export const FILLED = "what waits is put into the Subscriber without the way through ingest";
/** Deliveries that one request puts into a Subscriber. */
const FILLED_AT_ONCE = 5_000;
const LOOK_EVERY_MS = 20;

const builds = new Map<WorkerName, Promise<Build>>();

/** Bundled once; removed when this process ends. */
export function build(name: WorkerName): Promise<Build> {
  let made = builds.get(name);
  if (made === undefined) {
    made = bundled(name);
    builds.set(name, made);
  }
  return made;
}

async function bundled(name: WorkerName): Promise<Build> {
  const { readable = false, released = false, config, entry }: WorkerFiles = WORKERS[name];
  const pathOf = (file: string) => join(import.meta.dirname, "workers", file);
  const main = entry === undefined ? undefined : pathOf(entry);
  if (released) return buildReleased(main);
  const options: BuildOptions = { readable };
  if (config !== undefined) options.config = pathOf(config);
  if (main !== undefined) options.entry = main;
  return buildWorker(options);
}

/** A Worker that runs. */
export type Running = { api: Api; url: string; processId: number; inspectorUrl: string | null };

export class Stage implements AsyncDisposable {
  readonly #closing = new AsyncDisposableStack();

  /** Starts a Worker behind a socket of its own. @param vars added to what every Worker here is given. */
  async start(name: WorkerName, vars: Readonly<Record<string, string>> = {}): Promise<Running> {
    const inspected = name === "relayReadable";
    const options = { build: await build(name), variables: vars, directSocket: true, inspected };
    const relay = this.#closing.use(await Relay.start(options));
    const { url, processId, inspectorUrl } = relay;
    return { api: relay, url, processId, inspectorUrl };
  }

  /** @param delayMs how long it takes to answer. */
  async sink(delayMs?: () => number): Promise<Sink> {
    const sink = await startSink(delayMs);
    this.#closing.defer(sink.close);
    return sink;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing.disposeAsync();
  }
}

/** Registers a webhook for everything. @returns its id. */
export async function register(api: Api, url: string): Promise<string> {
  return (await api.register({ url })).id;
}

/** Registers a webhook that is held, with so many deliveries waiting; the relay must be `relayFilled`. */
export async function registerFilled(api: Api, url: string, count: number): Promise<string> {
  const id = await register(api, url);
  await api.call(`/webhooks/${id}/pause`, {});
  await fill(api, id, count);
  return id;
}

/** Puts deliveries into a Subscriber in batches of 100, as the consumer does; the relay must be `relayFilled`. */
export async function fill(api: Api, webhookId: string, count: number): Promise<void> {
  const connection = await Connection.open(api.url);
  try {
    for (let left = count; left > 0; left -= FILLED_AT_ONCE) {
      const request = fillRequest(webhookId, Math.min(left, FILLED_AT_ONCE));
      mustSucceed(await connection.send(request));
    }
  } finally {
    connection.close();
  }
}

export function fillRequest(webhookId: string, count: number): Buffer {
  const path = `/bench/fill?webhook=${webhookId}&count=${count}`;
  return wire({ method: "POST", path, body: exampleBody() });
}

export function resume(api: Api, webhookId: string): Promise<unknown> {
  return api.call(`/webhooks/${webhookId}/resume`, {});
}

type Stats = { events: number; webhooks: { id: string; pending: number; delivered: number }[] };

export async function countsOf(api: Api, webhookId: string) {
  const { webhooks } = await api.call<Stats>("/stats");
  const counts = webhooks.find(({ id }) => id === webhookId);
  if (counts === undefined) throw new Error(`no counts of ${webhookId}`);
  return counts;
}

/** Resolves when everything that waits for this webhook is recorded as delivered. */
export async function settled(api: Api, webhookId: string, delivered: number): Promise<void> {
  for (;;) {
    const counts = await countsOf(api, webhookId);
    if (counts.pending === 0 && counts.delivered === delivered) return;
    if (counts.pending === 0) {
      throw new Error(`${counts.delivered} of ${delivered} deliveries are recorded as delivered`);
    }
    await sleep(LOOK_EVERY_MS);
  }
}
