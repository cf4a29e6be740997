/** The relay as Leadterra and its owner see it: ingest, and the management API. */
import { randomBytes } from "node:crypto";
import { sign } from "../../scripts/leadterra.ts";

const MAX_PAGE = 250;

export type Delivery = { eventId: string; status: string };

export class Api {
  readonly signingSecret = randomBytes(24).toString("hex");
  readonly apiKey = randomBytes(24).toString("hex");
  /** Where the relay listens; another port in every life. */
  url = "";

  /** A call below `/v1`: a GET, or a POST when there is a body. @throws unless it succeeds. */
  async call<T>(path: string, body?: unknown, method = body === undefined ? "GET" : "POST") {
    const response = await fetch(`${this.url}/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.apiKey}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status} ${text}`);
    return (text === "" ? null : JSON.parse(text)) as T;
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

  /** Posts an event as Leadterra does. @returns its id. @throws unless it is accepted. */
  async post(body: Buffer): Promise<string> {
    const response = await fetch(`${this.url}/webhooks/leadterra`, {
      method: "POST",
      headers: { "x-leadterra-signature": sign(body, this.signingSecret) },
      body,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`an event was answered ${response.status} ${text}`);
    return (JSON.parse(text) as { id: string }).id;
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
