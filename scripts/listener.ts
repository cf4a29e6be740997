/**
 * A `listener:` webhook of a relay, from its other end: its deliveries come over a WebSocket and go to a handler on this
 * machine. The connection is made again for as long as there is something to connect to.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import { parseDuration } from "../src/domain/schedule.ts";
import { maskQuery } from "../src/domain/target.ts";
import { causeOf } from "./command.ts";
import { type RelayApi, UNKNOWN_KEY } from "./relay-api.ts";

/**
 * A socket without a pong in time is dead, whatever the operating system believes of it. One that the relay closed ends when
 * its object rests, which a newer listener may keep busy for ever.
 */
const PACE = { pingEveryMs: 20_000, pongWithinMs: 10_000, closesWithinMs: 15_000 };
const SLEPT_MS = 30_000;
const MIN_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 15_000;
/**
 * What a webhook without a timeout of its own gets: DELIVERY_TIMEOUT is not known here, and an answer that comes after it
 * would be none. A little less, so that the answer is there in time.
 */
const TIMEOUT = "10s";
const ANSWER_BEFORE_MS = 500;
/** As much of an answer as counts. */
const MAX_BODY_BYTES = 16 * 1024;
export const UNREACHABLE = 502;
export const LATE = 504;
const UNAUTHORIZED = 401;
/** Close codes of the relay. */
const REPLACED = 4000;
const ENDED = 4001;

export type Listening = {
  api: RelayApi;
  apiKey: string;
  name: string;
  /** null: as the webhook has them; of a new one all. */
  events: string[] | null;
  /** undefined: as the webhook has it. */
  filter: unknown;
  /** null: events are printed, and answered with `status`. */
  forward: string | null;
  status: number;
  /** What of this time the webhook never had comes first. */
  sinceMs: number | null;
  once: boolean;
  write: (line: string) => void;
  /** How often it pings, how long it waits for the answer, and for the end of what was closed. */
  pace?: Partial<typeof PACE>;
  /** Aborts when a person ends it. */
  signal: AbortSignal;
};

/** Why it cannot go on. */
class Ended extends Error {}

type Webhook = {
  id: string;
  url: string;
  timeout: string | null;
  status: string;
  signingSecret?: string;
};
type Frame = {
  type: string;
  eventId: string;
  attempt: number;
  headers: Record<string, string>;
  body: string;
};
type Outcome = { statusCode: number; body: string };

// --- the webhook ---

/** The listener of this name as the options want it; made where there is none. */
async function prepare({ api, name, events, filter, write }: Listening): Promise<Webhook> {
  const path = `/v1/webhooks/${name}`;
  const found = await api.call("GET", path);
  const wanted = { ...(events && { events }), ...(filter !== undefined && { filter }) };
  if (found.status === 404) {
    const draft = { url: "listener:", events: ["*"], timeout: TIMEOUT, ...wanted };
    const made = await api.call("PUT", path, draft);
    const webhook = webhookOf(made);
    write(`Registered ${name}. Its signing secret, kept for this name and not shown again:`);
    write(`  ${webhook.signingSecret}`);
    return webhook;
  }
  const webhook = webhookOf(found);
  if (webhook.url !== "listener:") {
    const address = maskQuery(webhook.url);
    throw new Ended(`The webhook ${name} has an address (${address}): give another --name.`);
  }
  if (webhook.status !== "active") {
    write(`${name} is ${webhook.status}: what comes waits until POST ${path}/resume.`);
  }
  const changes = { ...wanted, ...(webhook.timeout === null && { timeout: TIMEOUT }) };
  if (Object.keys(changes).length === 0) return webhook;
  return webhookOf(await api.call("PATCH", path, changes));
}

/** @throws Ended for what no other try can mend. */
function webhookOf({ status, json }: Awaited<ReturnType<RelayApi["call"]>>): Webhook {
  if (status === 200 || status === 201) return json?.webhook as Webhook;
  if (status === 401) throw new Ended(UNKNOWN_KEY);
  if (status === 403) throw new Ended("To listen takes a key that may change things.");
  if (status === 404) {
    throw new Ended("The webhook is gone: it was deleted, or nobody listened for 24 hours.");
  }
  if (status >= 500) throw new Error(`the relay answered ${status}`);
  const [first] = (json?.errors ?? []) as { path: string; message: string }[];
  const why = first === undefined ? json?.detail : `${first.path} ${first.message}`;
  throw new Ended(`The relay refused it (${status}): ${why}`);
}

/** Has the relay send what the webhook never had. */
async function catchUp({ api, name, write }: Listening, since: string): Promise<void> {
  let count = 0;
  let cursor: unknown;
  do {
    const asked = { since, only: "missing", ...(cursor ? { cursor } : {}) };
    const { status, json } = await api.call("POST", `/v1/webhooks/${name}/replay`, asked);
    if (status !== 202) throw new Ended(`--since: the relay answered ${status}: ${json?.detail}`);
    count += Number(json?.replayed);
    cursor = json?.next;
  } while (cursor);
  write(`On their way: ${count} ${count === 1 ? "event" : "events"} since ${since}.`);
}

// --- the handler ---

async function answerTo(frame: Frame, options: Listening, timeoutMs: number): Promise<Outcome> {
  if (options.forward === null) return { statusCode: options.status, body: "" };
  try {
    const response = await fetch(options.forward, {
      method: "POST",
      headers: frame.headers,
      body: Buffer.from(frame.body, "base64"),
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const bytes = await response.bytes().catch(() => new Uint8Array());
    const body = new TextDecoder().decode(bytes.subarray(0, MAX_BODY_BYTES));
    return { statusCode: response.status <= 599 ? response.status : UNREACHABLE, body };
  } catch (thrown) {
    const isLate = (thrown as Error).name === "TimeoutError";
    return { statusCode: isLate ? LATE : UNREACHABLE, body: causeOf(thrown) };
  }
}

/** `12:00:03 reply.received ava@acmecorp.com 200 12 ms` */
function lineOf(frame: Frame, { statusCode, body }: Outcome, durationMs: number): string {
  const event = parse(Buffer.from(frame.body, "base64").toString());
  const { lead } = Object(Object(event).data) as { lead?: { email?: unknown } };
  const said = statusCode === UNREACHABLE || statusCode === LATE ? ` ${harmless(body)}` : "";
  const email = typeof lead?.email === "string" ? lead.email.replaceAll(/\s+/g, " ") : null;
  return [
    styleText("dim", new Date().toLocaleTimeString("en-GB")),
    styleText("bold", frame.headers["x-leadterra-event"] ?? "event"),
    email === null ? frame.eventId : harmless(email),
    styleText(statusCode >= 200 && statusCode < 300 ? "green" : "red", String(statusCode)),
    `${durationMs} ms${said}`,
    ...(frame.attempt > 1 ? [styleText("yellow", `attempt ${frame.attempt}`)] : []),
  ].join(" ");
}

/** A stranger wrote it: what would steer the terminal, or turn its lines around, is spelled out as JSON writes it. */
function harmless(text: string): string {
  const steering = /(?!\n|\t|\r\n)[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;
  return text.replaceAll(
    steering,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** @returns null for what is no JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// --- the socket ---

/** Node's own takes headers, which the standard's does not. */
const HeaderSocket = WebSocket as unknown as new (
  url: string,
  options: { headers: Record<string, string> },
) => WebSocket;

/**
 * One connection, from its beginning to its end.
 *
 * @returns the close code; null when it never opened, or its end was not heard of.
 */
async function connection(
  options: Listening,
  {
    webhook,
    opened,
    answered,
  }: { webhook: Webhook; opened: () => void; answered: (outcome: Outcome) => void },
): Promise<number | null> {
  const url = `${options.api.origin.replace(/^http/, "ws")}/v1/webhooks/${webhook.id}/listen`;
  const headers = { authorization: `Bearer ${options.apiKey}` };
  const socket = new HeaderSocket(url, { headers });
  const { promise, resolve } = Promise.withResolvers<number | null>();
  const timeoutMs = Number(parseDuration(webhook.timeout ?? TIMEOUT));
  const { pingEveryMs, pongWithinMs, closesWithinMs } = { ...PACE, ...options.pace };
  // To open is the answer to the first.
  let pingedAtMs = Date.now();
  let heardAtMs = pingedAtMs - 1;
  let tickedAtMs = pingedAtMs;
  let closedAtMs = Number.POSITIVE_INFINITY;
  const tend = setInterval(() => {
    const nowMs = Date.now();
    // It was closed, and why is known when the connection ends, some seconds later.
    if (socket.readyState === WebSocket.CLOSING) {
      closedAtMs = Math.min(closedAtMs, nowMs);
      if (nowMs >= closedAtMs + closesWithinMs) resolve(CLOSED);
      return;
    }
    const isUnanswered = heardAtMs < pingedAtMs && nowMs >= pingedAtMs + pongWithinMs;
    // A machine that slept has not heard what happened to its sockets.
    if (isUnanswered || nowMs > tickedAtMs + SLEPT_MS) resolve(null);
    else if (nowMs >= pingedAtMs + pingEveryMs) {
      pingedAtMs = nowMs;
      socket.send("ping");
    }
    tickedAtMs = nowMs;
  }, pongWithinMs / 10);
  const end = () => resolve(null);
  options.signal.addEventListener("abort", end);
  socket.addEventListener("open", () => {
    heardAtMs = Date.now();
    opened();
  });
  socket.addEventListener("error", end);
  socket.addEventListener("close", ({ code }) => resolve(code));
  socket.addEventListener("message", ({ data }) => {
    heardAtMs = Date.now();
    const frame = parse(String(data)) as Frame | null;
    if (frame?.type !== "delivery") return;
    void handle(frame, options, timeoutMs - ANSWER_BEFORE_MS).then((outcome) => {
      answered(outcome);
      const { eventId, attempt } = frame;
      const isOpen = socket.readyState === WebSocket.OPEN;
      if (isOpen) socket.send(JSON.stringify({ type: "outcome", eventId, attempt, ...outcome }));
      else
        options.write(
          `  … the connection was lost before the relay heard of it: ${eventId} comes again.`,
        );
      if (isOpen && options.once) resolve(ONCE);
    });
  });
  try {
    return await promise;
  } finally {
    clearInterval(tend);
    options.signal.removeEventListener("abort", end);
    if (socket.readyState <= WebSocket.OPEN) socket.close();
  }
}

/** No close codes: the one event was answered; the relay closed it, and why is not heard of. */
const ONCE = 0;
const CLOSED = -1;
/** In these nobody can tell whether a listener is connected, or none is. */
const UNHEARD = ["disabled", "paused", "misconfigured", "unconnected"];

async function handle(frame: Frame, options: Listening, timeoutMs: number): Promise<Outcome> {
  const startedMs = Date.now();
  const outcome = await answerTo(frame, options, timeoutMs);
  options.write(lineOf(frame, outcome, Date.now() - startedMs));
  if (options.forward === null)
    options.write(harmless(Buffer.from(frame.body, "base64").toString()));
  return outcome;
}

/**
 * Listens until a person ends it, through sleep, lost networks and deploys.
 *
 * @returns whether the webhook stays.
 * @throws Error with a sentence when it cannot go on.
 */
export async function listen(options: Listening): Promise<boolean> {
  const { signal, write, name } = options;
  let webhook = await prepare(options);
  let failures = 0;
  let isLost = false;
  // Asked for until the relay has taken it: null then.
  let since =
    options.sinceMs === null ? null : new Date(Date.now() - options.sinceMs).toISOString();
  const catchesUp = async () => {
    if (since === null) return;
    await catchUp(options, since);
    since = null;
  };
  const answered = asksForSecret(options, webhook.signingSecret !== undefined);
  while (!signal.aborted) {
    const opened = () => {
      failures = 0;
      const target = options.forward === null ? "" : `, to ${options.forward}`;
      write(styleText("dim", `${isLost ? "Connected again" : `Listening as ${name}`}${target}.`));
      isLost = false;
      catchesUp().catch((thrown: Error) => {
        if (!signal.aborted) write(thrown.message);
      });
    };
    const end = await connection(options, { webhook, opened, answered });
    const code = end === CLOSED ? await whyClosed(options) : end;
    if (signal.aborted) break;
    if (code === ONCE) {
      await options.api.call("DELETE", `/v1/webhooks/${webhook.id}`);
      return false;
    }
    if (code === REPLACED) throw new Ended(`A newer listener has the name ${name}.`);
    if (code === ENDED) throw new Ended(`The webhook ${name} was deleted, or has an address now.`);
    if (!isLost) write(styleText("yellow", "The connection is lost; what comes meanwhile waits."));
    isLost = true;
    const backoffMs = Math.min(MIN_BACKOFF_MS * 2 ** failures, MAX_BACKOFF_MS);
    await sleep(backoffMs, undefined, { signal }).catch(() => {});
    failures += 1;
    webhook = (await check(options)) ?? webhook;
  }
  return true;
}

/** At the first 401 of a handler: most often it checks signatures with another secret. */
function asksForSecret({ forward, name, write }: Listening, wasPrinted: boolean) {
  let isAsked = forward === null;
  return ({ statusCode }: Outcome) => {
    if (isAsked || statusCode !== UNAUTHORIZED) return;
    isAsked = true;
    const where = wasPrinted
      ? "above"
      : `when ${name} was registered; POST /v1/webhooks/${name}/rotate-secret makes a new one`;
    write(`  Does the handler have the secret of this name? It was printed ${where}.`);
  };
}

/** Why the relay has closed this connection, as its state now tells: its code; null where it does not. */
async function whyClosed(options: Listening): Promise<number | null> {
  const { api, name } = options;
  const webhook = await check(options);
  if (webhook === null) return null;
  if (webhook.url !== "listener:") return ENDED;
  const health = await api.call("GET", `/v1/webhooks/${name}/health`).catch(() => null);
  const state = health?.json?.state;
  return typeof state === "string" && !UNHEARD.includes(state) ? REPLACED : null;
}

/** Whether there is still something to connect to; null when the relay cannot be asked now. */
async function check({ api, name, signal }: Listening): Promise<Webhook | null> {
  if (signal.aborted) return null;
  try {
    return webhookOf(await api.call("GET", `/v1/webhooks/${name}`));
  } catch (thrown) {
    if (thrown instanceof Ended) throw thrown;
    return null;
  }
}
