/**
 * The whole relay as wrangler runs it: the bundled Worker in workerd, with its own KV, queue and objects. It is
 * started with what `wrangler dev` is made of, and not with `createTestHarness`: there, requests to services leave
 * through Node's fetch, which makes a lost connection an answer of 500, refuses status 999 and never hangs up.
 */
import { createHmac } from "node:crypto";
import { onTestFinished } from "vitest";
import { unstable_DevEnv as DevEnv } from "wrangler";
import { QUIET } from "../../scripts/wrangler.ts";
import { PATIENCE_MS } from "./receiver.ts";

Object.assign(process.env, QUIET, { WRANGLER_LOG: "none" });

export const SIGNING_SECRET = "journey-signing-secret";
export const API_KEY = "journey-key-with-all-rights";
export const READ_ONLY_API_KEY = "journey-key-that-only-reads";

/** Every variable is set, so that a `.dev.vars` on this machine changes nothing. */
const VARIABLES = {
  LEADTERRA_SIGNING_SECRETS: SIGNING_SECRET,
  API_KEYS: API_KEY,
  READ_ONLY_API_KEYS: READ_ONLY_API_KEY,
  RETRY_SCHEDULE: "1m 5m 30m 2h 8h",
  DELIVERY_TIMEOUT: "10s",
  IDEMPOTENCY_TTL: "7d",
  RETENTION: "30d",
  ALLOW_PRIVATE_DESTINATIONS: "true",
  ALERT_URL: "",
  SILENCE_ALERT: "",
};
export type Variables = Partial<typeof VARIABLES>;

const POLL_MS = 20;

export type RegisteredWebhook = {
  id: string;
  url: string;
  signingSecret: string;
  [field: string]: unknown;
};

export type Delivery = {
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

export type Attempt = {
  number: number;
  trigger: string;
  startedAt: string;
  durationMs: number;
  statusCode: number | null;
  error: string | null;
  responseBody: string | null;
  responseTruncated: boolean;
};

export type LoggedDelivery = Delivery & { attemptLog: Attempt[] };

type ApiAnswer = { status: number; body: unknown; text: string };

type StartedWorker = Awaited<ReturnType<DevEnv["startWorker"]>>;

/**
 * Starts the relay with these variables, the defaults for the others. Takes a second or two: one for each file.
 *
 * @param entrypoint a Worker around the relay's own, for a test that needs what no request brings about.
 */
export async function startRelay(
  variables: Variables = {},
  { entrypoint }: { entrypoint?: string } = {},
): Promise<Relay> {
  const logs: string[] = [];
  const devEnv = new DevEnv();
  const failure = Promise.withResolvers<never>();
  // Requests wait for a build that succeeds, and there will be none.
  const fail = ({ cause }: { cause: unknown }) => failure.reject(cause);
  devEnv.once("buildFailed", fail).once("error", fail);
  const worker = await devEnv.startWorker({
    config: "./wrangler.toml",
    ...(entrypoint === undefined ? {} : { entrypoint }),
    bindings: bindingsOf(variables),
    dev: {
      server: { hostname: "127.0.0.1", port: 0 },
      inspector: false,
      logLevel: "none",
      persist: false,
      watch: false,
      structuredLogsHandler: ({ message }: { message: string }) => logs.push(message),
    },
  });
  const relay = new Relay(worker, await worker.url, logs);
  await Promise.race([relay.fetch("/healthz"), failure.promise]);
  return relay;
}

function bindingsOf(variables: Variables) {
  const entries = Object.entries({ ...VARIABLES, ...variables });
  return Object.fromEntries(
    entries.map(([name, value]) => [name, { type: "secret_text" as const, value }]),
  );
}

export class Relay {
  readonly origin: string;
  /** Every line that the Worker has logged. */
  readonly logs: readonly string[];
  readonly #worker: StartedWorker;

  constructor(worker: StartedWorker, url: URL, logs: readonly string[]) {
    this.#worker = worker;
    this.origin = url.origin;
    this.logs = logs;
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.origin}${path}`, init);
  }

  /** A call of the management API; `body` goes as JSON. */
  async api(method: string, path: string, body?: unknown, key = API_KEY): Promise<ApiAnswer> {
    const response = await this.fetch(path, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? null : JSON.parse(text), text };
  }

  /** Registers a webhook, which is deleted with the test. @throws when it is refused. */
  async register(draft: {
    url: string;
    events: string[];
    [field: string]: unknown;
  }): Promise<RegisteredWebhook> {
    const { status, body, text } = await this.api("POST", "/v1/webhooks", draft);
    if (status !== 201) throw new Error(`not registered: ${status} ${text}`);
    const { webhook } = body as { webhook: RegisteredWebhook };
    onTestFinished(async () => {
      await this.api("DELETE", `/v1/webhooks/${webhook.id}`);
    });
    return webhook;
  }

  /** @returns the webhook as the answer shows it. @throws when it is refused. */
  async change(id: string, changes: Record<string, unknown>): Promise<Record<string, unknown>> {
    const { status, body, text } = await this.api("PATCH", `/v1/webhooks/${id}`, changes);
    if (status !== 200) throw new Error(`not changed: ${status} ${text}`);
    return (body as { webhook: Record<string, unknown> }).webhook;
  }

  /** Posts an event as Leadterra does, signed. */
  async post(
    event: string | Uint8Array | object,
    signature?: string,
  ): Promise<{ status: number; body: { id: string; duplicate: boolean } }> {
    const body =
      typeof event === "string" || event instanceof Uint8Array ? event : JSON.stringify(event);
    const response = await this.fetch("/webhooks/leadterra", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-leadterra-signature":
          signature ?? createHmac("sha256", SIGNING_SECRET).update(body).digest("hex"),
      },
      body,
    });
    return { status: response.status, body: await response.json() };
  }

  /** Posts an event that must be accepted as new. @returns its id. */
  async accept(event: string | Uint8Array | object): Promise<string> {
    const { status, body } = await this.post(event);
    if (status !== 202) throw new Error(`not accepted: ${status} ${JSON.stringify(body)}`);
    return body.id;
  }

  async deliveries(webhookId: string, query = ""): Promise<Delivery[]> {
    const { body } = await this.api("GET", `/v1/webhooks/${webhookId}/deliveries${query}`);
    return (body as { data: Delivery[] }).data;
  }

  /** One delivery with its attempt log; null when the webhook has none of this event. */
  async delivery(webhookId: string, eventId: string): Promise<LoggedDelivery | null> {
    const path = `/v1/webhooks/${webhookId}/deliveries/${eventId}`;
    const { status, body } = await this.api("GET", path);
    return status === 200 ? (body as LoggedDelivery) : null;
  }

  /** The delivery as soon as it is as wanted. @throws when it does not get there. */
  async deliveryOnce(
    webhookId: string,
    eventId: string,
    isAsWanted: (delivery: LoggedDelivery) => boolean,
  ): Promise<LoggedDelivery> {
    let seen: LoggedDelivery | null = null;
    const endsAtMs = Date.now() + PATIENCE_MS;
    while (Date.now() < endsAtMs) {
      seen = await this.delivery(webhookId, eventId);
      if (seen !== null && isAsWanted(seen)) return seen;
      await pollPause();
    }
    throw new Error(`waited in vain; the delivery is ${JSON.stringify(seen)}`);
  }

  /** The delivery as soon as it is finished. */
  finished(webhookId: string, eventId: string): Promise<LoggedDelivery> {
    return this.deliveryOnce(webhookId, eventId, ({ status }) => status !== "pending");
  }

  /** The delivery as soon as so many attempts are in its log. */
  attempted(webhookId: string, eventId: string, count = 1): Promise<LoggedDelivery> {
    return this.deliveryOnce(webhookId, eventId, ({ attemptLog }) => attemptLog.length >= count);
  }

  /** Runs on with other variables and the same state, as after a deploy. */
  async redeploy(variables: Variables): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#worker.raw.once("reloadComplete", () => resolve());
    await this.#worker.patchConfig({ bindings: bindingsOf(variables) });
    await promise;
    await this.fetch("/healthz");
  }

  /** What cron does every five minutes. */
  async sweep(): Promise<void> {
    const { status } = await this.fetch("/cdn-cgi/local/scheduled");
    if (status !== 200) throw new Error(`not swept: ${status}`);
  }

  close(): Promise<void> {
    return this.#worker.dispose();
  }
}

function pollPause(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, POLL_MS);
  return promise;
}
