/** The relay as Leadterra and its owner see it: ingest, and the management API. */
import { createHmac, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const MAX_PAGE = 250;
/** How long a caller waits for something that should happen at once, on a machine that is busy. */
export const PATIENCE_MS = 30_000;
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
  waitingFor: string | null;
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

/** A body as it is, or what becomes one as JSON. */
type EventBody = string | Uint8Array | object;

export type Keys = { signingSecret: string; apiKey: string };

export class Api {
  readonly signingSecret: string;
  readonly apiKey: string;
  /** Where the relay listens; another port in every life. */
  url = "";

  /** @param keys by chance, unless given. */
  constructor(keys: Partial<Keys> = {}) {
    this.signingSecret = keys.signingSecret ?? randomBytes(24).toString("hex");
    this.apiKey = keys.apiKey ?? randomBytes(24).toString("hex");
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, init);
  }

  /** A call of the management API, whatever it answers; `body` goes as JSON. */
  async request(method: string, path: string, body?: unknown, key = this.apiKey) {
    const response = await this.fetch(path, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const json: unknown = text === "" ? null : JSON.parse(text);
    return { status: response.status, body: json, text };
  }

  /** A call below `/v1`: a GET, or a POST when there is a body. @throws unless it succeeds. */
  async call<T>(path: string, body?: unknown, method = body === undefined ? "GET" : "POST") {
    const answer = await this.request(method, `/v1${path}`, body);
    if (answer.status < 300) return answer.body as T;
    throw new Error(`${method} ${path} answered ${answer.status} ${answer.text}`);
  }

  /** Everything that a list holds, page by page, in the order of the list. */
  async all<T>(path: string): Promise<T[]> {
    const found: T[] = [];
    let cursor = "";
    do {
      const separator = path.includes("?") ? "&" : "?";
      const page = await this.call<{ data: T[]; next: string | null }>(
        `${path}${separator}limit=${MAX_PAGE}${cursor}`,
      );
      found.push(...page.data);
      cursor = page.next === null ? "" : `&cursor=${encodeURIComponent(page.next)}`;
    } while (cursor !== "");
    return found;
  }

  // --- events -------------------------------------------------------------------------------------------------

  /** Posts an event as Leadterra does, signed. */
  async post(
    event: EventBody,
    signature?: string,
  ): Promise<{ status: number; body: { id: string; duplicate: boolean } }> {
    const body =
      typeof event === "string" || event instanceof Uint8Array ? event : JSON.stringify(event);
    const mac = () => createHmac("sha256", this.signingSecret).update(body).digest("hex");
    const response = await this.fetch("/webhooks/leadterra", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-leadterra-signature": signature ?? mac(),
      },
      body,
    });
    return { status: response.status, body: await response.json() };
  }

  /** Posts an event that must be accepted as new. @returns its id. */
  async accept(event: EventBody): Promise<string> {
    const { status, body } = await this.post(event);
    if (status !== 202) throw new Error(`not accepted: ${status} ${JSON.stringify(body)}`);
    return body.id;
  }

  // --- webhooks -----------------------------------------------------------------------------------------------

  /** Registers a webhook, for everything unless told otherwise. @throws when it is refused. */
  async register(draft: Record<string, unknown>): Promise<RegisteredWebhook> {
    const answer = await this.call<{ webhook: RegisteredWebhook }>("/webhooks", {
      events: ["*"],
      ...draft,
    });
    return answer.webhook;
  }

  /** @returns the webhook as the answer shows it. @throws when it is refused. */
  async change(id: string, changes: Record<string, unknown>): Promise<Record<string, unknown>> {
    const path = `/webhooks/${id}`;
    const answer = await this.call<{ webhook: Record<string, unknown> }>(path, changes, "PATCH");
    return answer.webhook;
  }

  // --- deliveries ---------------------------------------------------------------------------------------------

  async deliveries(webhookId: string, query = ""): Promise<Delivery[]> {
    const path = `/webhooks/${webhookId}/deliveries${query}`;
    return (await this.call<{ data: Delivery[] }>(path)).data;
  }

  /** One delivery with its attempt log; null when the webhook has none of this event. */
  async delivery(webhookId: string, eventId: string): Promise<LoggedDelivery | null> {
    const path = `/v1/webhooks/${webhookId}/deliveries/${eventId}`;
    const { status, body } = await this.request("GET", path);
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
      await sleep(POLL_MS);
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
}

/** Maps with a few calls at a time; the results in the order of `items`. */
export async function mapInParallel<T, R>(
  items: readonly T[],
  width: number,
  call: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const work = async () => {
    for (let index = next++; index < items.length; index = next++) {
      results[index] = await call(items[index] as T);
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  return results;
}
