/** What the tests of the engine share: a service that answers as it is told, a clock, and a look into objects. */
import {
  createExecutionContext,
  createMessageBatch,
  getQueueResult,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, type MockInstance, vi } from "vitest";
import worker, { type Journal, type Registry, type Subscriber } from "../../src";
import { parseEvent } from "../../src/domain/event";
import { type EventId, eventIdOf } from "../../src/domain/ids";
import { journalName, REGISTRY_NAME } from "../../src/domain/placement";
import type { Webhook } from "../../src/domain/webhook";
import type { Arrival } from "../../src/storage/delivery-tables";
import { api, bytesOf } from "./fixtures";

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

// --- the service --------------------------------------------------------------------------------------------

/** A request as the service got it. */
export type Asked = {
  url: string;
  eventId: string;
  attempt: number;
  headers: Headers;
  body: Uint8Array;
  atMs: number;
};
type Answering = (asked: Asked) => Response | Promise<Response>;

export type Service = {
  requests: Asked[];
  /** The most requests that were open at the same time. */
  peak: number;
  answer: Answering;
  /** The event ids in the order in which they were sent. */
  ids(): string[];
};

export const answering = (status: number, init: ResponseInit = {}) => {
  return () => new Response(null, { ...init, status });
};

/** Every request of the relay goes to this service; until told otherwise it answers 204. */
export function startService(answer: Answering = answering(204)): Service {
  let open = 0;
  const service: Service = {
    requests: [],
    peak: 0,
    answer,
    ids: () => service.requests.map(({ eventId }) => eventId),
  };
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const headers = new Headers(init?.headers);
    const asked: Asked = {
      url: String(input),
      eventId: headers.get("webhook-id") ?? "",
      attempt: Number(headers.get("x-relay-attempt")),
      headers,
      body: bodyOf(init?.body),
      atMs: Date.now(),
    };
    service.requests.push(asked);
    open += 1;
    service.peak = Math.max(service.peak, open);
    try {
      return await service.answer(asked);
    } finally {
      open -= 1;
    }
  });
  return service;
}

function bodyOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body.slice();
  return typeof body === "string" ? bytesOf(body) : new Uint8Array();
}

/** Holds answers back until it is opened. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

// --- the clock ----------------------------------------------------------------------------------------------

export type Clock = { advance(ms: number): void; setTo(ms: number): void; nowMs(): number };

let spied: MockInstance<() => number> | null = null;

/**
 * A clock that runs an hour ahead, and further when told: what it arms lies in the platform's future, so alarms
 * run only when a test runs them.
 */
export function startClock(aheadMs = HOUR): Clock {
  spied?.mockRestore();
  const real = Date.now.bind(Date);
  let offsetMs = aheadMs;
  spied = vi.spyOn(Date, "now").mockImplementation(() => real() + offsetMs);
  return {
    advance: (ms) => {
      offsetMs += ms;
    },
    setTo: (ms) => {
      offsetMs = ms - real();
    },
    nowMs: () => real() + offsetMs,
  };
}

// --- webhooks and events ------------------------------------------------------------------------------------

export type ShownWebhook = {
  id: string;
  url: string;
  status: string;
  statusReason: string | null;
  signingSecret: string;
};

let routingVersion = 1_000;

/** A webhook registered through the API. */
export async function register(fields: Record<string, unknown> = {}): Promise<ShownWebhook> {
  const draft = { url: "https://crm.example.com/in", events: ["*"], ...fields };
  const response = await api("POST", "/v1/webhooks", draft);
  expect(response.status).toBe(201);
  await newRoutingVersion();
  return (await response.json<{ webhook: ShownWebhook }>()).webhook;
}

/** `reset()` starts versions anew while the consumer keeps its table: no version may come twice. */
export async function newRoutingVersion(): Promise<void> {
  routingVersion += 1_000;
  await runInDurableObject(registry(), (_, state) => {
    state.storage.sql.exec("UPDATE routing SET version = ?", routingVersion);
  });
}

export function registry(): DurableObjectStub<Registry> {
  return env.REGISTRY.getByName(REGISTRY_NAME);
}

export function subscriber(id: string): DurableObjectStub<Subscriber> {
  return env.SUBSCRIBER.getByName(id);
}

export function journal(atMs: number): DurableObjectStub<Journal> {
  return env.JOURNAL.getByName(journalName(atMs));
}

export type Owed = { id: EventId; event: string; body: Uint8Array };

let eventsMade = 0;

/** Events that nobody has had yet, as the consumer hands them over. */
export function newEvents(count: number, fields: Record<string, unknown> = {}): Promise<Owed[]> {
  return Promise.all(Array.from({ length: count }, () => newEvent(fields)));
}

export async function newEvent({
  event = "message.sent",
  ...data
}: Record<string, unknown> = {}): Promise<Owed> {
  const messageId = `msg_${++eventsMade}`;
  const body = bytesOf({
    event,
    timestamp: new Date().toISOString(),
    data: { messageId, sequenceStep: 1, ...data },
  });
  return { id: await eventIdOf(String(event), messageId), event: String(event), body };
}

/** Hands events over as the consumer does. */
export async function accept(id: string, deliveries: Owed[]): Promise<number> {
  const { status, added } = await subscriber(id).accept({ deliveries });
  expect(status).toBe("accepted");
  return added;
}

// --- deliveries ---------------------------------------------------------------------------------------------

export type ShownDelivery = {
  webhookId: string;
  eventId: string;
  event: string;
  status: string;
  attempts: number;
  createdAt: string;
  nextAttemptAt: string | null;
  completedAt: string | null;
  lastStatusCode: number | null;
  lastError: string | null;
};
export type ShownAttempt = {
  number: number;
  trigger: string;
  startedAt: string;
  durationMs: number;
  statusCode: number | null;
  error: string | null;
  responseBody: string | null;
  responseTruncated: boolean;
};

export async function deliveryOf(
  webhookId: string,
  eventId: string,
): Promise<ShownDelivery & { attemptLog: ShownAttempt[] }> {
  const response = await api("GET", `/v1/webhooks/${webhookId}/deliveries/${eventId}`);
  expect(response.status).toBe(200);
  return response.json();
}

/** How many deliveries there are of each status. */
export async function tally(webhookId: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let before: { seq: number; index: number } | null | undefined; before !== null; ) {
    const query: { limit: number; before?: { seq: number; index: number } } = { limit: 100_000 };
    if (before !== undefined) query.before = before;
    const { deliveries, next } = await subscriber(webhookId).deliveries(query);
    for (const { status } of deliveries) counts[status] = (counts[status] ?? 0) + 1;
    before = next;
  }
  return counts;
}

/** Runs the alarm of an object once, as the platform would; whether one was set. */
export function ring(stub: Stub): Promise<boolean> {
  return runDurableObjectAlarm(stub as DurableObjectStub);
}

/** When the alarm is set, Unix milliseconds. */
export function alarmAt(stub: Stub): Promise<number | null> {
  return inObject(stub, (state) => state.storage.getAlarm());
}

/** Rings as long as the next alarm is due: what can go out has gone out. */
export async function deliverAll(webhookId: string, clock: Clock): Promise<void> {
  const stub = subscriber(webhookId);
  for (let rounds = 0; rounds < 50; rounds++) {
    const atMs = await alarmAt(stub);
    if (atMs === null || atMs > clock.nowMs() + 50) return;
    await ring(stub);
  }
  throw new Error("the alarm does not come to rest");
}

// --- a look into objects ------------------------------------------------------------------------------------

/** Any object of the relay; its methods do not matter here, and their types are deep. */
type Stub = Pick<DurableObjectStub, "id">;

export function inObject<R>(
  stub: Stub,
  look: (state: DurableObjectState) => R | Promise<R>,
): Promise<R> {
  return runInDurableObject(stub as DurableObjectStub, (_, state) => look(state));
}

/** The object's own tables. */
export function tablesOf(stub: Stub): Promise<string[]> {
  return inObject(stub, (state) =>
    state.storage.sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
      .toArray()
      .map(({ name }) => name)
      .filter((name) => !name.startsWith("_cf_") && !name.startsWith("sqlite_")),
  );
}

/** Gives an object other variables than those that are bound, until it is evicted. */
export async function withVariables(
  stub: Stub,
  variables: Partial<Record<keyof Env, string>>,
): Promise<void> {
  await runInDurableObject(stub as DurableObjectStub, (instance) => {
    const object = instance as unknown as { env: Env };
    object.env = { ...object.env, ...variables } as Env;
  });
}

/** The settings of a webhook as its Subscriber would be given them. */
export async function settingsOf(id: string): Promise<Webhook> {
  const webhook = (await registry().get(id)) as Webhook | null;
  if (webhook === null) throw new Error(`there is no webhook ${id}`);
  return webhook;
}

/** Gives an object other bindings, until it is evicted. */
export async function withBindings(
  stub: Stub,
  change: (env: Env) => { [Name in keyof Env]?: unknown },
): Promise<void> {
  await runInDurableObject(stub as DurableObjectStub, (instance) => {
    const object = instance as unknown as { env: Env };
    object.env = { ...object.env, ...change(object.env) } as Env;
  });
}

/** Calls to an object of this namespace that go elsewhere: `methods` of the objects named in `only`, or of all. */
export function diverted<N extends { getByName(name: string): object }>(
  namespace: N,
  methods: Record<string, (...parameters: never[]) => unknown>,
  only?: readonly string[],
): N {
  const getByName = (name: string) => {
    const stub = namespace.getByName(name);
    if (only !== undefined && !only.includes(name)) return stub;
    return new Proxy(stub, {
      get: (target, key) => methods[String(key)] ?? Reflect.get(target, key),
    });
  };
  return { getByName } as unknown as N;
}

/** The next `times` statements of an object's SQL that begin with `start` fail with `message`, until it is evicted. */
export async function failStatements(
  stub: Stub,
  { start, message, times }: { start: string; message: string; times: number },
): Promise<void> {
  await inObject(stub, (state) => {
    const { sql } = state.storage;
    const exec = sql.exec.bind(sql);
    let left = times;
    sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
      if (query.startsWith(start) && left-- > 0) throw new Error(message);
      return exec(query, ...bindings);
    }) as typeof sql.exec;
  });
}

// --- the queue ----------------------------------------------------------------------------------------------

/** An event as Leadterra would have it, with the id that the relay gives it. */
export async function eventOf(
  event: string,
  data: Record<string, unknown>,
  timestamp = new Date().toISOString(),
): Promise<Owed> {
  const body = bytesOf({ event, timestamp, data });
  const parsed = await parseEvent(body);
  if (!parsed.ok) throw new Error(parsed.failure.code);
  return { id: parsed.value.id, event, body };
}

export type Consumed = {
  /** The ids of the messages that were acknowledged. */
  acked: string[];
  /** The delay in seconds of each message that is to come again. */
  retried: Record<string, number | undefined>;
};

/** Runs one batch of the queue; messages are `m0`, `m1`, … unless named. */
/** Attempts begin when the test rings, not when events are handed over. */
export function leavingItToTheAlarm(given: Env): Env {
  const getByName = (name: string) => {
    const stub = given.SUBSCRIBER.getByName(name);
    return { accept: ({ deliveries }: { deliveries: Arrival[] }) => stub.accept({ deliveries }) };
  };
  return { ...given, SUBSCRIBER: { getByName } as unknown as Env["SUBSCRIBER"] };
}

export async function consume(
  bodies: readonly (Uint8Array | { body: Uint8Array })[],
  options: { atMs?: number; attempts?: number; env?: Env; queue?: string; name?: string } = {},
): Promise<Consumed> {
  const { atMs = Date.now(), attempts = 1, queue = "leadterra-events", name = "m" } = options;
  const messages = bodies.map((given, index) => ({
    id: `${name}${index}`,
    timestamp: new Date(atMs),
    attempts,
    body: (given instanceof Uint8Array ? given : given.body).slice().buffer as ArrayBuffer,
  }));
  const batch = createMessageBatch<ArrayBuffer>(queue, messages);
  // The result of a batch does not tell the delay.
  const delays: Record<string, number | undefined> = {};
  for (const message of batch.messages) {
    const retry = message.retry.bind(message);
    message.retry = (retryOptions) => {
      delays[message.id] = retryOptions?.delaySeconds;
      retry(retryOptions);
    };
  }
  const context = createExecutionContext();
  await worker.queue(batch, leavingItToTheAlarm(options.env ?? env));
  const { explicitAcks, retryMessages } = await getQueueResult(batch, context);
  const retried = retryMessages.map(({ msgId }) => [msgId, delays[msgId]]);
  return { acked: [...explicitAcks].sort(), retried: Object.fromEntries(retried) };
}
