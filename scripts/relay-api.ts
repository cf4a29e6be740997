/** A relay as the commands call it: its address and a key of its API. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { causeOf, Misuse, readUrl } from "./command.ts";
import { DEV_VARS, firstOf, readVars } from "./dev-vars.ts";
import { ROOT } from "./wrangler.ts";

const DEFAULT_RELAY = "http://127.0.0.1:8787";
const ANSWER_TIMEOUT_MS = 30_000;
const PAGE = 250;

export type Answer = {
  status: number;
  headers: Headers;
  /** null when the body is no JSON object. */
  json: Record<string, unknown> | null;
};

export type RelayApi = {
  origin: string;
  /** @throws an Error with a sentence when no answer comes. */
  call: (method: string, path: string, body?: unknown) => Promise<Answer>;
};

/** @throws Misuse when the text is no address of a relay. */
export function parseRelay(text: string = DEFAULT_RELAY): string {
  return readUrl("--relay", text, "https://my-relay.workers.dev").origin;
}

export const UNKNOWN_KEY = `The relay does not know the key: RELAY_API_KEY, or without it the first of API_KEYS in ${DEV_VARS}.`;

/** A key is never an option: other users of the machine would see it. @throws Misuse when there is none, or no call can bring it. */
export function readApiKey(env: NodeJS.ProcessEnv = process.env): string {
  const key = env.RELAY_API_KEY?.trim() || firstOf(readVars(join(ROOT, DEV_VARS)).API_KEYS);
  if (key === undefined) {
    throw new Misuse(
      `RELAY_API_KEY must be in the environment: a key of the relay, one of its API_KEYS.`,
    );
  }
  // Of what a header takes, Latin-1, the relay counts nothing with white space in it.
  if (/[\s\p{C}]|[^\0-\xff]/u.test(key)) {
    const from = env.RELAY_API_KEY?.trim()
      ? "RELAY_API_KEY"
      : `The first of API_KEYS in ${DEV_VARS}`;
    throw new Misuse(
      `${from} has white space in it, or what no header can carry: it is no key of a relay.`,
    );
  }
  return key;
}

/** @param ended aborts a call that is under way. */
export function relayApi(origin: string, apiKey: string, ended?: AbortSignal): RelayApi {
  return {
    origin,
    call: async (method, path, body) => {
      const response = await fetch(origin + path, {
        method,
        headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: "manual",
        signal: AbortSignal.any([
          AbortSignal.timeout(ANSWER_TIMEOUT_MS),
          ...(ended ? [ended] : []),
        ]),
      }).catch((thrown: unknown) => {
        throw new Error(`${origin} cannot be reached: ${causeOf(thrown)}.`);
      });
      const { status, headers } = response;
      return { status, headers, json: objectOf(await response.json().catch(() => null)) };
    },
  };
}

/** What a relay answers for its webhooks, page by page. */
export async function webhookPages(api: RelayApi): Promise<Answer[]> {
  const pages: Answer[] = [];
  let cursor = "";
  do {
    const page = await api.call("GET", `/v1/webhooks?limit=${PAGE}${cursor}`);
    pages.push(page);
    cursor = typeof page.json?.next === "string" ? `&cursor=${page.json.next}` : "";
  } while (cursor !== "");
  return pages;
}

function objectOf(value: unknown): Record<string, unknown> | null {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Record<string, unknown>) : null;
}

/** The version of this checkout. */
export function ownVersion(): string {
  return JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).version;
}
