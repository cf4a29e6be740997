/**
 * The relay with meters: runs in place of the bundled Worker, imports it unchanged, and counts every operation that
 * Cloudflare bills. Bindings, SQL cursors and alarms are wrapped; the clock, the alarms, the queue and the services
 * that webhooks point at belong to whoever drives it, so that two runs count the same.
 *
 * | call | does |
 * |---|---|
 * | `POST /meter/clock?at=` | sets the clock, Unix milliseconds |
 * | `POST /meter/answer?status=` | what services answer from here on; 204 to begin with |
 * | `POST /meter/consume?size=` | hands the next messages of the queue to `queue()` in one batch |
 * | `POST /meter/ring?until=` | moves the clock there, and lets every alarm ring on the way |
 * | `POST /meter/sweep` | runs the cron trigger |
 * | `POST /meter/read` | answers what was counted since the last reading |
 * | `POST /meter/sizes` | answers the bytes that the objects of each class hold |
 *
 * Everything else is the relay's own.
 */
import relay, * as actors from "../../src/index";

type Counts = Record<string, number>;
type MeteredNamespace = {
  getByName(name: string): { ring(): Promise<void>; size(): Promise<number> };
};
type Message = { id: string; timestamp: Date; body: ArrayBuffer };

/** https://developers.cloudflare.com/queues/platform/pricing/: an operation for each 64 KB, a KB is 1,000 bytes. */
const QUEUE_OPERATION_BYTES = 64_000;
const MESSAGE_OVERHEAD_BYTES = 100;

const BINDING_OF_CLASS: Readonly<Record<string, keyof Env>> = {
  Registry: "REGISTRY",
  Subscriber: "SUBSCRIBER",
  Journal: "JOURNAL",
  DeadLetters: "DEAD_LETTER_STORE",
  Lane: "LANE",
};

let counts: Counts = {};
let nowMs = 0;
let status = 204;
let sent = 0;
const queue: Message[] = [];
/** `Class/name` → when it rings. */
const alarms = new Map<string, number>();
/** `Class/name` of every object that has lived. */
const objects = new Set<string>();

Date.now = () => nowMs;
globalThis.fetch = async () => {
  count("attempts");
  return new Response(null, { status });
};

for (const level of ["log", "warn", "error"] as const) console[level] = () => count("log");

function count(what: string, amount = 1): void {
  counts[what] = (counts[what] ?? 0) + amount;
}

// --- bindings -----------------------------------------------------------------------------------------------

const meteredEnvs = new WeakMap<object, Env>();

/** One for each environment: the relay keeps its configuration by it. */
function metered(env: Env): Env {
  let wrapped = meteredEnvs.get(env);
  if (wrapped === undefined) {
    wrapped = { ...env, IDEMPOTENCY: meteredKv(env.IDEMPOTENCY), EVENTS: meteredQueue() };
    for (const [name, binding] of Object.entries(BINDING_OF_CLASS)) {
      Object.assign(wrapped, { [binding]: meteredNamespace(env, name) });
    }
    meteredEnvs.set(env, wrapped);
  }
  return wrapped;
}

function meteredKv(kv: KVNamespace): KVNamespace {
  return onCall(kv, (method) => count(method.startsWith("get") ? "kv.read" : "kv.write"));
}

/** A queue that holds what is sent until a batch is asked for. */
function meteredQueue(): Queue {
  const send = async (body: Uint8Array) => {
    count("queue.write", queueOperations(body.byteLength));
    sent += 1;
    queue.push({
      id: `message-${sent}`,
      timestamp: new Date(nowMs),
      body: body.slice().buffer as ArrayBuffer,
    });
  };
  return { send } as unknown as Queue;
}

function queueOperations(bytes: number): number {
  return Math.ceil((bytes + MESSAGE_OVERHEAD_BYTES) / QUEUE_OPERATION_BYTES);
}

/** Each call on a stub is a billed request. */
function meteredNamespace(env: Env, className: string) {
  return {
    getByName: (name: string) =>
      onCall(namespaceOf(env, className).getByName(name), () => count(`rpc.${className}`)),
  };
}

function namespaceOf(env: Env, className: string): MeteredNamespace {
  return env[BINDING_OF_CLASS[className] as "SUBSCRIBER"] as unknown as MeteredNamespace;
}

function onCall<T extends object>(target: T, called: (method: string) => void): T {
  return new Proxy(target, {
    get(_, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...given: unknown[]) => {
        called(String(name));
        return Reflect.apply(value, target, given);
      };
    },
  });
}

// --- storage ------------------------------------------------------------------------------------------------

/** Counts the rows of an object from its first statement on, and takes its alarm away from the platform. */
function watched(className: string, ctx: DurableObjectState): DurableObjectState {
  const key = `${className}/${ctx.id.name}`;
  objects.add(key);
  const { storage } = ctx;
  const exec = storage.sql.exec.bind(storage.sql);
  storage.sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
    const cursor = exec(query, ...bindings);
    if (query.startsWith("DROP")) count(`dropped.${className}`);
    // The relay reads a cursor to its end in the turn in which it opens it.
    queueMicrotask(() => countRows(className, query, cursor));
    return cursor;
  }) as typeof storage.sql.exec;
  storage.setAlarm = async (at) => {
    count(`written.${className}.setAlarm`);
    alarms.set(key, Number(at));
  };
  storage.getAlarm = async () => alarms.get(key) ?? null;
  const deleteAll = storage.deleteAll.bind(storage);
  storage.deleteAll = async () => {
    count(`dropped.${className}`);
    alarms.delete(key);
    await deleteAll();
  };
  storage.deleteAlarm = async () => {
    alarms.delete(key);
  };
  return ctx;
}

function countRows(
  className: string,
  query: string,
  { rowsRead, rowsWritten }: { rowsRead: number; rowsWritten: number },
): void {
  const statement = `${className}.${nameOf(query)}`;
  if (rowsRead > 0) count(`read.${statement}`, rowsRead);
  if (rowsWritten > 0) count(`written.${statement}`, rowsWritten);
}

/** `INSERT INTO deliveries_1798761600000 (id, …` → `INSERT deliveries`; all that create something are one. */
function nameOf(query: string): string {
  const [verb = ""] = query.split(" ", 1);
  // Not json_each(…), but what is joined with it.
  const table = /(?:INTO|UPDATE|FROM|JOIN) ([a-z]+(?:_[a-z]+)*)(?![a-z_]*\()/.exec(query)?.[1];
  return verb === "CREATE" || table === undefined ? verb : `${verb} ${table}`;
}

export class Registry extends actors.Registry {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watched("Registry", ctx), metered(env));
  }
  ring(): Promise<void> {
    return this.alarm();
  }
  size(): number {
    return this.ctx.storage.sql.databaseSize;
  }
}

export class Subscriber extends actors.Subscriber {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watched("Subscriber", ctx), metered(env));
  }
  ring(): Promise<void> {
    return this.alarm();
  }
  size(): number {
    return this.ctx.storage.sql.databaseSize;
  }
}

export class Journal extends actors.Journal {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watched("Journal", ctx), metered(env));
  }
  ring(): Promise<void> {
    return this.alarm();
  }
  size(): number {
    return this.ctx.storage.sql.databaseSize;
  }
}

export class DeadLetters extends actors.DeadLetters {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watched("DeadLetters", ctx), metered(env));
  }
}

export class Lane extends actors.Lane {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watched("Lane", ctx), metered(env));
  }
  ring(): Promise<void> {
    return this.alarm();
  }
  size(): number {
    return this.ctx.storage.sql.databaseSize;
  }
}

// --- driving ------------------------------------------------------------------------------------------------

async function consume(size: number, env: Env): Promise<void> {
  const messages = queue.splice(0, size).map((message) => {
    count("queue.read", queueOperations(message.body.byteLength));
    const done = (how: string) => () => count(how, queueOperations(message.body.byteLength));
    return { ...message, attempts: 1, ack: done("queue.delete"), retry: done("queue.retry") };
  });
  count("worker.queue");
  const batch = { queue: "leadterra-events", messages } as unknown as MessageBatch<ArrayBuffer>;
  const afterwards: Promise<unknown>[] = [];
  const context = { waitUntil: (work: Promise<unknown>) => void afterwards.push(work) };
  await relay.queue(batch, metered(env), context as ExecutionContext);
  await Promise.all(afterwards);
}

async function ringUntil(untilMs: number, env: Env): Promise<void> {
  for (;;) {
    const [next] = [...alarms].sort(([a, atMs], [b, btMs]) => atMs - btMs || (a < b ? -1 : 1));
    if (next === undefined || next[1] > untilMs) break;
    const [key, atMs] = next;
    const [className = "", name = ""] = key.split("/");
    alarms.delete(key);
    nowMs = Math.max(nowMs, atMs);
    count(`alarm.${className}`);
    await namespaceOf(env, className).getByName(name).ring();
  }
  nowMs = Math.max(nowMs, untilMs);
}

async function sizes(env: Env): Promise<Counts> {
  const bytes: Counts = {};
  for (const key of objects) {
    const [className = "", name = ""] = key.split("/");
    const size = await namespaceOf(env, className).getByName(name).size();
    bytes[className] = (bytes[className] ?? 0) + size;
  }
  return bytes;
}

async function drive({ pathname, searchParams }: URL, env: Env): Promise<unknown> {
  switch (pathname) {
    case "/meter/clock":
      nowMs = Number(searchParams.get("at"));
      return null;
    case "/meter/answer":
      status = Number(searchParams.get("status"));
      return null;
    case "/meter/consume":
      return consume(Number(searchParams.get("size")), env);
    case "/meter/ring":
      return ringUntil(Number(searchParams.get("until")), env);
    case "/meter/sweep":
      count("worker.scheduled");
      return relay.scheduled({} as ScheduledController, metered(env));
    case "/meter/sizes":
      return sizes(env);
    case "/meter/read": {
      const read = counts;
      counts = {};
      return read;
    }
    default:
      throw new Error(`no such call: ${pathname}`);
  }
}

async function serve(request: Request<unknown, IncomingRequestCfProperties>, env: Env) {
  count("worker.fetch");
  const after: Promise<unknown>[] = [];
  const ctx = {
    waitUntil: (work: Promise<unknown>) => after.push(work),
    passThroughOnException: () => {},
    props: {},
  } as unknown as ExecutionContext;
  const response = await relay.fetch(request, metered(env), ctx);
  await Promise.all(after);
  return response;
}

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (!url.pathname.startsWith("/meter/")) return serve(request, env);
    return Response.json((await drive(url, env)) ?? null);
  },
} satisfies ExportedHandler<Env>;
