/**
 * A stand-in for Cloudflare's API on 127.0.0.1, as far as wrangler asks for it: it remembers what was made, refuses
 * to make a thing twice, and can be told to refuse a step. Whatever it does not know is kept in `unknown`.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { onTestFinished } from "vitest";
import { closeServer, listen, readBody } from "../../scripts/loopback.ts";

export const SUBDOMAIN = "team";

type Json = Record<string, unknown>;
export type Binding = Json & { type: string; name: string };
/** What an upload says about the Worker beside its code. */
export type Metadata = {
  bindings: Binding[];
  migrations?: { old_tag?: string; new_tag: string; steps: { new_sqlite_classes?: string[] }[] };
  code_update_strategy?: Json;
  observability?: Json;
  compatibility_date: string;
  compatibility_flags: string[];
  assets?: { jwt: string };
};
type Worker = {
  metadata: Metadata;
  /** In the order of their uploads. */
  versions: { id: string; metadata: Metadata }[];
  migrationTag: string | null;
  secrets: string[];
  crons: string[];
  workersDev: boolean;
};
export type Consumer = {
  id: string;
  script: string;
  dead_letter_queue?: string;
  settings: Json;
};
type Queue = { id: string; consumers: Consumer[] };

/** A request that changed something: `POST /queues {"queue_name":"leadterra-events"}`. */
export type Change = { method: string; path: string; body: unknown };

export type Cloudflare = {
  /** For the environment of wrangler. */
  env: Readonly<Record<string, string>>;
  workers: Map<string, Worker>;
  queues: Map<string, Queue>;
  /** Titles by id. */
  namespaces: Map<string, string>;
  /** Names of asset files that were uploaded. */
  assets: Set<string>;
  /** Paths that were asked for, without the account, names in capitals for what varies. */
  paths: Set<string>;
  changes: Change[];
  unknown: string[];
  deployments: Json[];
  /** Refuses the next request of this method that has this in `PATH BODY`, as the platform would: once. */
  refuse: (method: string, part: string, error?: { code: number; message: string }) => void;
};

class Refusal extends Error {
  readonly status: number;
  readonly code: number;
  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const ACCOUNT = "account-of-the-test";
const NO_WORKER = new Refusal(404, 10_007, "This Worker does not exist on your account.");
const newId = (text: string) => createHash("md5").update(text).digest("hex");

type Request = {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  body: Buffer;
};
type Route = [method: string, path: RegExp, answer: (request: Request, names: string[]) => unknown];

/** Ends with the test. */
export async function startCloudflare(): Promise<Cloudflare> {
  const cloudflare: Cloudflare = {
    env: {},
    workers: new Map(),
    queues: new Map(),
    namespaces: new Map(),
    assets: new Set(),
    paths: new Set(),
    changes: [],
    unknown: [],
    deployments: [],
    refuse: (method, part, error) => {
      refusals.push({ method, part, ...(error === undefined ? {} : { error }) });
    },
  };
  const refusals: { method: string; part: string; error?: { code: number; message: string } }[] =
    [];
  const routes = routesOf(cloudflare);
  const server = createServer((incoming, response) => {
    void read(incoming).then((request) => {
      const answer = answerTo(request);
      const json = { success: answer.errors.length === 0, messages: [], ...answer };
      response
        .writeHead(answer.status, { "Content-Type": "application/json" })
        .end(JSON.stringify({ ...json, status: undefined }));
    });
  });

  function answerTo(request: Request) {
    try {
      refuseIfTold(request);
      const result = resultFor(request);
      return { status: 200, result, errors: [] as Json[], ...pageOf(result) };
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      const { status, code, message } = thrown;
      return { status, result: null, errors: [{ code, message }] };
    }
  }

  function refuseIfTold({ method, path, body }: Request): void {
    const asked = `${path} ${body}`;
    const index = refusals.findIndex((each) => each.method === method && asked.includes(each.part));
    if (index < 0) return;
    const [{ error } = {}] = refusals.splice(index, 1);
    throw new Refusal(400, error?.code ?? 10_000, error?.message ?? "refused by the test");
  }

  function resultFor(request: Request): unknown {
    const { method, path } = request;
    for (const [wanted, form, answer] of routes) {
      const names = wanted === method ? form.exec(path) : null;
      if (names === null) continue;
      cloudflare.paths.add(`${method} ${nameOf(form)}`);
      const result = firstPage(request, answer(request, names.slice(1)));
      if (method !== "GET") cloudflare.changes.push({ method, path, body: bodyOf(request) });
      return result;
    }
    cloudflare.unknown.push(`${method} ${path}`);
    throw new Refusal(404, 7_003, "Could not route to this path.");
  }

  const port = await listen(server);
  onTestFinished(() => closeServer(server));
  cloudflare.env = {
    CLOUDFLARE_API_BASE_URL: `http://127.0.0.1:${port}`,
    CLOUDFLARE_API_TOKEN: "token-of-the-test",
    CLOUDFLARE_ACCOUNT_ID: ACCOUNT,
    // Nothing of the person whose machine this is.
    CI: "true",
  };
  return cloudflare;
}

async function read(incoming: IncomingMessage): Promise<Request> {
  const body = await readBody(incoming);
  const url = new URL(incoming.url ?? "/", "http://x");
  const path = url.pathname.replace(`/accounts/${ACCOUNT}`, "");
  return {
    method: incoming.method ?? "GET",
    path,
    query: url.searchParams,
    headers: incoming.headers,
    body,
  };
}

/** wrangler does not always say that its JSON is JSON. */
function bodyOf({ body }: Request): unknown {
  return /^\s*[[{]/.test(body.toString()) ? JSON.parse(body.toString()) : null;
}

/** `/queues/NAME/consumers` */
function nameOf({ source }: RegExp): string {
  return source.replaceAll(/\([^)]*\)/g, "NAME").replaceAll(/[$^\\]/g, "");
}

/** All of a list is on its first page; some of wrangler's commands ask until a page is empty. */
function firstPage({ query }: Request, result: unknown): unknown {
  return Array.isArray(result) && Number(query.get("page") ?? 1) > 1 ? [] : result;
}

/** Lists come in pages; wrangler asks until a page is not full. */
function pageOf(result: unknown): Json {
  if (!Array.isArray(result)) return {};
  const { length } = result;
  return {
    result_info: { page: 1, per_page: 100, count: length, total_count: length, total_pages: 1 },
  };
}

/** The part `metadata` of a multipart upload. */
function metadataIn(request: Request): Metadata {
  const [, json = "{}"] =
    /name="metadata"(?:; [^\r]*)?\r\n(?:[^\r]+\r\n)*\r\n(.*?)\r\n--/s.exec(
      request.body.toString(),
    ) ?? [];
  return JSON.parse(json);
}

function routesOf(cloudflare: Cloudflare): Route[] {
  const { workers, queues, namespaces } = cloudflare;
  const workerOf = (name = "") => {
    const worker = workers.get(name);
    if (worker === undefined) throw NO_WORKER;
    return worker;
  };
  const queueOf = (id = "") => {
    const found = [...queues].find(([, queue]) => queue.id === id);
    if (found === undefined) throw new Refusal(404, 11_000, "Queue does not exist.");
    return { name: found[0], queue: found[1] };
  };
  const shownQueue = (name: string, { id, consumers }: Queue) => ({
    queue_id: id,
    queue_name: name,
    consumers: consumers.map((consumer) => ({
      ...consumer,
      consumer_id: consumer.id,
      type: "worker",
    })),
    producers: [],
  });
  return [
    ...workerRoutes(cloudflare, workerOf),
    [
      "GET",
      /^\/storage\/kv\/namespaces$/,
      () => [...namespaces].map(([id, title]) => ({ id, title })),
    ],
    [
      "POST",
      /^\/storage\/kv\/namespaces$/,
      (request) => {
        const { title } = bodyOf(request) as { title: string };
        if ([...namespaces.values()].includes(title)) {
          throw new Refusal(
            400,
            10_014,
            "a namespace with this account ID and title already exists",
          );
        }
        namespaces.set(newId(title), title);
        return { id: newId(title), title };
      },
    ],
    [
      "GET",
      /^\/queues$/,
      ({ query }) => {
        const names = query.getAll("name");
        return [...queues]
          .filter(([name]) => names.length === 0 || names.includes(name))
          .map(([name, queue]) => shownQueue(name, queue));
      },
    ],
    [
      "POST",
      /^\/queues$/,
      (request) => {
        const { queue_name: name } = bodyOf(request) as { queue_name: string };
        if (queues.has(name)) throw new Refusal(409, 11_009, "Queue name is already taken.");
        const queue = { id: newId(name), consumers: [] };
        queues.set(name, queue);
        return shownQueue(name, queue);
      },
    ],
    [
      "PATCH",
      /^\/queues\/(\w+)$/,
      (_, [id]) => {
        const { name, queue } = queueOf(id);
        return shownQueue(name, queue);
      },
    ],
    ["GET", /^\/queues\/(\w+)\/consumers$/, (_, [id]) => queueOf(id).queue.consumers],
    [
      "POST",
      /^\/queues\/(\w+)\/consumers$/,
      (request, [id]) => {
        const { queue } = queueOf(id);
        const body = bodyOf(request) as {
          script_name: string;
          dead_letter_queue?: string;
          settings: Json;
        };
        if (queue.consumers.length > 0)
          throw new Refusal(400, 11_004, "Queue already has a consumer.");
        const { script_name: script, ...rest } = body;
        queue.consumers.push({ id: newId(`${id}-consumer`), script, ...rest });
        return queue.consumers[0];
      },
    ],
    [
      "PUT",
      /^\/queues\/(\w+)\/consumers\/(\w+)$/,
      (request, [id]) => {
        const [consumer] = queueOf(id).queue.consumers;
        return Object.assign(consumer ?? {}, bodyOf(request));
      },
    ],
    ["GET", /^\/workers\/subdomain$/, () => ({ subdomain: SUBDOMAIN })],
  ];
}

/** They go on from where they were, and make no class twice. */
function checkMigrations(
  { old_tag, steps }: NonNullable<Metadata["migrations"]>,
  worker: Worker | undefined,
): void {
  const before = worker?.migrationTag ?? undefined;
  const made = steps.flatMap(({ new_sqlite_classes = [] }) => new_sqlite_classes);
  const again = made.find((name) =>
    worker?.metadata.bindings.some(({ class_name }) => class_name === name),
  );
  if (again !== undefined) {
    throw new Refusal(400, 10_074, `new_sqlite_classes: ${again} is there already`);
  }
  if (old_tag !== before) {
    throw new Refusal(400, 10_079, `The expected migration tag is ${before}, not ${old_tag}`);
  }
}

function workerRoutes(cloudflare: Cloudflare, workerOf: (name?: string) => Worker): Route[] {
  const { workers, queues } = cloudflare;

  /** As the platform checks an upload: what is bound must be there. */
  function check(metadata: Metadata, worker: Worker | undefined): void {
    for (const binding of metadata.bindings) {
      if (binding.type === "queue" && !queues.has(String(binding.queue_name))) {
        throw new Refusal(400, 10_021, `Queue ${binding.queue_name} does not exist`);
      }
      const isKnown = worker?.metadata.bindings.some(({ name }) => name === binding.name);
      if (binding.type === "inherit" && !isKnown) {
        throw new Refusal(400, 10_021, `Binding ${binding.name} cannot be inherited`);
      }
    }
    if (metadata.migrations !== undefined) checkMigrations(metadata.migrations, worker);
  }

  function upload(name: string, metadata: Metadata) {
    const before = workers.get(name);
    check(metadata, before);
    const worker: Worker = before ?? {
      metadata,
      versions: [],
      migrationTag: null,
      secrets: [],
      crons: [],
      workersDev: false,
    };
    // What is inherited is bound as it was.
    const bound = metadata.bindings.map((binding) =>
      binding.type === "inherit"
        ? (before?.metadata.bindings.find(({ name: old }) => old === binding.name) ?? binding)
        : binding,
    );
    const id = `00000000-0000-4000-8000-${String(worker.versions.length + 1).padStart(12, "0")}`;
    worker.metadata = { ...metadata, bindings: bound };
    worker.versions.push({ id, metadata });
    worker.migrationTag = metadata.migrations?.new_tag ?? worker.migrationTag;
    workers.set(name, worker);
    return { id, worker };
  }

  return [
    [
      "GET",
      /^\/workers\/services\/([\w-]+)$/,
      (_, [name]) => ({
        id: name,
        default_environment: {
          script: {
            id: name,
            tag: newId(name ?? ""),
            tags: [],
            last_deployed_from: "wrangler",
            ...(workerOf(name).migrationTag === null
              ? {}
              : { migration_tag: workerOf(name).migrationTag }),
          },
        },
      }),
    ],
    [
      "GET",
      /^\/workers\/scripts$/,
      () =>
        [...workers].map(([id, { migrationTag }]) => ({
          id,
          ...(migrationTag === null ? {} : { migration_tag: migrationTag }),
        })),
    ],
    ["GET", /^\/workers\/scripts\/([\w-]+)\/settings$/, (_, [name]) => workerOf(name).metadata],
    [
      "PUT",
      /^\/workers\/scripts\/([\w-]+)$/,
      (request, [name = ""]) => {
        const { id } = upload(name, metadataIn(request));
        return {
          id: name,
          etag: "e",
          pipeline_hash: "p",
          deployment_id: id.replaceAll("-", ""),
          startup_time_ms: 5,
        };
      },
    ],
    [
      "POST",
      /^\/workers\/scripts\/([\w-]+)\/versions$/,
      (request, [name = ""]) => {
        workerOf(name);
        const { id } = upload(name, metadataIn(request));
        return { id, startup_time_ms: 5, resources: { script: { etag: "e" } } };
      },
    ],
    [
      "GET",
      /^\/workers\/scripts\/([\w-]+)\/deployments$/,
      (_, [name]) => ({
        deployments: workerOf(name)
          .versions.toReversed()
          .map(({ id }) => ({
            id,
            source: "wrangler",
            strategy: "percentage",
            created_on: new Date(0).toISOString(),
            author_email: "",
            versions: [{ version_id: id, percentage: 100 }],
          })),
      }),
    ],
    [
      "POST",
      /^\/workers\/scripts\/([\w-]+)\/deployments$/,
      (request, [name]) => {
        workerOf(name);
        cloudflare.deployments.push(bodyOf(request) as Json);
        return { id: newId(String(cloudflare.deployments.length)) };
      },
    ],
    ["PATCH", /^\/workers\/scripts\/([\w-]+)\/script-settings$/, (request) => bodyOf(request)],
    [
      "GET",
      /^\/workers\/scripts\/([\w-]+)\/secrets$/,
      (_, [name]) =>
        workerOf(name).secrets.map((secret) => ({ name: secret, type: "secret_text" })),
    ],
    [
      "PUT",
      /^\/workers\/scripts\/([\w-]+)\/secrets$/,
      (request, [name]) => {
        const { name: secret } = bodyOf(request) as { name: string };
        workerOf(name).secrets.push(secret);
        return { name: secret, type: "secret_text" };
      },
    ],
    [
      "GET",
      /^\/workers\/workers\/([\w-]+)$/,
      (_, [name]) => ({
        id: name,
        name,
        subdomain: { enabled: workerOf(name).workersDev, previews_enabled: false },
      }),
    ],
    [
      "POST",
      /^\/workers\/scripts\/([\w-]+)\/subdomain$/,
      (request, [name]) => {
        const { enabled } = bodyOf(request) as { enabled: boolean };
        workerOf(name).workersDev = enabled;
        return { enabled, previews_enabled: false };
      },
    ],
    [
      "GET",
      /^\/workers\/scripts\/([\w-]+)\/schedules$/,
      (_, [name]) => ({ schedules: workerOf(name).crons.map((cron) => ({ cron })) }),
    ],
    [
      "PUT",
      /^\/workers\/scripts\/([\w-]+)\/schedules$/,
      (request, [name]) => {
        const crons = bodyOf(request) as { cron: string }[];
        workerOf(name).crons = crons.map(({ cron }) => cron);
        return { schedules: crons };
      },
    ],
    [
      "POST",
      /^\/workers\/scripts\/([\w-]+)\/assets-upload-session$/,
      (request) => {
        const { manifest } = bodyOf(request) as { manifest: Record<string, { hash: string }> };
        const missing = Object.entries(manifest).filter(([name]) => !cloudflare.assets.has(name));
        for (const [name] of missing) cloudflare.assets.add(name);
        const buckets = missing.length === 0 ? [] : [missing.map(([, { hash }]) => hash)];
        return { jwt: "jwt-of-the-session", buckets };
      },
    ],
    ["POST", /^\/workers\/assets\/upload$/, () => ({ jwt: "jwt-of-the-upload" })],
  ];
}
