/**
 * A stand-in for Leadterra as a sender, as its page "Register and Handle Leadterra Webhooks" describes it: it signs
 * events and sends them again until they are accepted. (Its API is in leadterra-api.ts.)
 *
 *   node scripts/leadterra.ts send --event reply.received --count 3
 */
import { createHmac, randomBytes, randomInt } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleepFor } from "node:timers/promises";
import { parseArgs, styleText } from "node:util";
import { parseSchedule } from "../src/domain/schedule.ts";
import { DEV_VARS, firstOf, readVars } from "./dev-vars.ts";
import { ROOT } from "./wrangler.ts";

export const EVENT_KINDS = [
  "campaign.started",
  "message.sent",
  "message.bounced",
  "reply.received",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** The envelope that every event has. */
export type LeadterraEvent = {
  event: string;
  timestamp: string;
  webhookId: string;
  data: Record<string, unknown>;
};

/** The waits before the five retries: 1 m, 5 m, 30 m, 2 h, 8 h ("Retries and delivery"). */
export const RETRY_WAITS_MS: readonly number[] = [60, 300, 1_800, 7_200, 28_800].map(
  (s) => s * 1_000,
);
/** How long Leadterra waits for an answer ("Retries and delivery"). */
const ANSWER_TIMEOUT_MS = 10_000;

/** The example of the page, letter for letter ("Webhook payload format"). */
export const DOCUMENTED_REPLY = `{
  "event": "reply.received",
  "timestamp": "2025-06-11T09:14:35Z",
  "webhookId": "wh_01HZC7RQNP4XT2KM",
  "data": {
    "campaignId": "camp_01HZA1TPNQ8RD4KF",
    "lead": {
      "email": "ava@acmecorp.com",
      "firstName": "Ava",
      "lastName": "Chen",
      "company": "Acme Corp",
      "jobTitle": "VP Sales"
    },
    "reply": {
      "id": "rpl_01HZB3MNPW6XT8QA",
      "classification": "interested",
      "receivedAt": "2025-06-11T09:14:32Z",
      "threadSnippet": "Hey, this actually looks relevant — can we jump on a call Thursday afternoon?"
    }
  }
}`;

/** The value of `X-Leadterra-Signature`: hex HMAC-SHA256 of the raw body, keyed with the signing secret. */
export function sign(body: string | Uint8Array, secret: string): string {
  return createHmac("sha256", secret).update(body).digest("hex");
}

const LEADS = [
  ["Ava", "Chen", "Acme Corp", "VP Sales"],
  ["Jonas", "Weber", "Northwind", "Head of Growth"],
  ["Inés", "Ortega", "Globex", "CTO"],
  ["Priya", "Nair", "Initech", "Founder"],
] as const;

export type ExampleOptions = {
  /** Of a reply; default `interested`. */
  classification?: string;
  /** Of a bounce; default `hard`. */
  bounceType?: "hard" | "soft";
  nowMs?: number;
};

/** A new event of this kind: no two have the same ids. */
export function exampleEvent(kind: EventKind, options: ExampleOptions = {}): LeadterraEvent {
  const timestamp = new Date(options.nowMs ?? Date.now()).toISOString();
  const campaignId = newId("camp");
  return {
    event: kind,
    timestamp,
    webhookId: "wh_01HZC7RQNP4XT2KM",
    data: { campaignId, ...EXAMPLE_DATA[kind](timestamp, options) },
  };
}

type ExampleData = (timestamp: string, options: ExampleOptions) => Record<string, unknown>;

const EXAMPLE_DATA: Record<EventKind, ExampleData> = {
  "campaign.started": (startedAt) => ({ name: "Autumn outreach", startedAt }),
  "message.sent": () => ({ lead: newLead(), messageId: newId("msg"), sequenceStep: 1 }),
  "message.bounced": (_timestamp, { bounceType = "hard" }) => ({
    lead: newLead(),
    messageId: newId("msg"),
    bounceType,
    bounceReason:
      bounceType === "hard"
        ? "550 5.1.1 The address does not exist"
        : "452 4.2.2 The mailbox is full",
  }),
  "reply.received": (receivedAt, { classification = "interested" }) => ({
    lead: newLead(),
    reply: {
      id: newId("rpl"),
      classification,
      receivedAt,
      threadSnippet: "Thanks for writing – could you tell me more? 👍",
    },
  }),
};

function newLead(): Record<string, string> {
  const [firstName, lastName, company, jobTitle] = LEADS[randomInt(LEADS.length)] ?? LEADS[0];
  const host = company.toLowerCase().replaceAll(" ", "-");
  return {
    email: `lead-${newId("x").slice(-6)}@${host}.example`,
    firstName,
    lastName,
    company,
    jobTitle,
  };
}

/** An id in the form of Leadterra's: `rpl_` and 16 characters. */
export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(8).toString("hex").toUpperCase()}`;
}

/** One request of Leadterra's for an event. */
export type SendAttempt = {
  number: number;
  /** null when no answer came. */
  status: number | null;
  error: "timeout" | "connection" | null;
  durationMs: number;
  /** The body of the answer. */
  response: string;
  /** The wait before the next attempt; null when there is none. */
  nextInMs: number | null;
};

export type Sent = { accepted: boolean; attempts: SendAttempt[] };

export type SendOptions = {
  /** The waits before the retries; the number of waits is the number of retries. */
  waitsMs?: readonly number[];
  timeoutMs?: number;
  sleep?: (ms: number) => Promise<unknown>;
  onAttempt?: (attempt: SendAttempt) => void;
};

/**
 * Sends an event as Leadterra does: signed with `secret`, and again after each wait while the answer is not
 * 2xx or does not come within 10 seconds. Resolves when the event is accepted or given up on; never rejects.
 */
export async function send(
  url: string,
  body: string | Uint8Array,
  secret: string,
  options: SendOptions = {},
): Promise<Sent> {
  const { waitsMs = RETRY_WAITS_MS, timeoutMs = ANSWER_TIMEOUT_MS, sleep = sleepFor } = options;
  const signature = sign(body, secret);
  const attempts: SendAttempt[] = [];
  for (let number = 1; ; number++) {
    const answer = await post(url, body, signature, timeoutMs);
    const accepted = isAccepted(answer.status);
    const nextInMs = accepted ? null : (waitsMs[number - 1] ?? null);
    const attempt = { number, ...answer, nextInMs };
    attempts.push(attempt);
    options.onAttempt?.(attempt);
    if (nextInMs === null) return { accepted, attempts };
    await sleep(nextInMs);
  }
}

function isAccepted(status: number | null): boolean {
  return status !== null && status >= 200 && status <= 299;
}

type Answer = Pick<SendAttempt, "status" | "error" | "durationMs" | "response">;

async function post(
  url: string,
  body: string | Uint8Array,
  signature: string,
  timeoutMs: number,
): Promise<Answer> {
  const startedMs = performance.now();
  const took = () => Math.round(performance.now() - startedMs);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Leadterra-Signature": signature },
      body,
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text().catch(() => "");
    return { status: response.status, error: null, durationMs: took(), response: text };
  } catch (thrown) {
    const timedOut = thrown instanceof Error && thrown.name === "TimeoutError";
    const error = timedOut ? "timeout" : "connection";
    return { status: null, error, durationMs: took(), response: "" };
  }
}

const USAGE = `Sends signed events to the relay, as Leadterra would.

  node scripts/leadterra.ts send [options]

  --url URL              where to; default http://127.0.0.1:8787/webhooks/leadterra
  --secret SECRET        signs; default: the first of LEADTERRA_SIGNING_SECRETS, from the environment or .dev.vars
  --event NAME           ${EVENT_KINDS.join(", ")}, or all (the default)
  --count N              so many of each; default 1
  --rate N/s             at most so many a second; default: one after the other
  --classification NAME  of replies; default interested
  --documented           send the example of Leadterra's page, always the same event
  --waits "1s 2s"        before the retries, or none; default 1m 5m 30m 2h 8h`;

type SendCommand = {
  url: string;
  secret: string;
  bodies: string[];
  /** null: each starts when the one before has ended. */
  gapMs: number | null;
  waitsMs: readonly number[];
};

/** @throws Error with a sentence for the terminal when the arguments make no sense. */
function parseCommand(args: string[]): SendCommand | null {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      url: { type: "string", default: "http://127.0.0.1:8787/webhooks/leadterra" },
      secret: { type: "string" },
      event: { type: "string", default: "all" },
      count: { type: "string", default: "1" },
      rate: { type: "string" },
      classification: { type: "string" },
      documented: { type: "boolean", default: false },
      waits: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help || positionals.join() !== "send") return null;
  const secret =
    values.secret ??
    firstOf(process.env.LEADTERRA_SIGNING_SECRETS) ??
    firstOf(readVars(join(ROOT, DEV_VARS)).LEADTERRA_SIGNING_SECRETS);
  if (secret === undefined)
    throw new Error("--secret is missing, and there is no .dev.vars to read it from.");
  const { classification } = values;
  const make = (kind: EventKind) =>
    JSON.stringify(exampleEvent(kind, classification === undefined ? {} : { classification }));
  const kinds = parseKinds(values.event);
  const rounds = Array.from({ length: parseNumber("--count", values.count, /^\d+$/) });
  return {
    url: values.url,
    secret,
    bodies: rounds.flatMap(() => (values.documented ? [DOCUMENTED_REPLY] : kinds.map(make))),
    gapMs:
      values.rate === undefined
        ? null
        : 1_000 / parseNumber("--rate", values.rate, /^[\d.]+(?:\/s)?$/),
    waitsMs: parseWaits(values.waits),
  };
}

function parseKinds(text: string): readonly EventKind[] {
  if (text === "all") return EVENT_KINDS;
  return text.split(",").map((name) => {
    const kind = EVENT_KINDS.find((known) => known === name.trim());
    if (kind === undefined)
      throw new Error(`--event: ${EVENT_KINDS.join(", ")} or all, not ${name}.`);
    return kind;
  });
}

function parseNumber(option: string, text: string, form: RegExp): number {
  const number = form.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (number > 0) return number;
  throw new Error(`${option} must be a number greater than 0, not ${text}.`);
}

function parseWaits(text: string | undefined): readonly number[] {
  if (text === undefined) return RETRY_WAITS_MS;
  const waits = text === "none" ? [] : parseSchedule(text);
  if (waits === null) throw new Error(`--waits must be like "1m 5m 30m", or none; not ${text}.`);
  return waits;
}

/** @returns whether every event was accepted. */
async function runCommand({ url, secret, bodies, gapMs, waitsMs }: SendCommand): Promise<boolean> {
  const sending: Promise<Sent>[] = [];
  for (const body of bodies) {
    const sent = send(url, body, secret, {
      waitsMs,
      onAttempt: (attempt) => printAttempt(body, attempt),
    });
    sending.push(sent);
    await (gapMs === null ? sent : sleepFor(gapMs));
  }
  const outcomes = await Promise.all(sending);
  return outcomes.every(({ accepted }) => accepted);
}

function printAttempt(body: string, attempt: SendAttempt): void {
  const accepted = isAccepted(attempt.status);
  const time = new Date().toLocaleTimeString("en-GB");
  const status = styleText(accepted ? "green" : "red", String(attempt.status ?? attempt.error));
  const took = styleText("dim", `${attempt.durationMs} ms${retryText(accepted, attempt)}`);
  const cells = [time, nameOf(body).padEnd(16), status, describeAnswer(attempt.response), took];
  console.log(cells.filter((cell) => cell !== "").join("  "));
}

function nameOf(body: string): string {
  return JSON.parse(body).event;
}

function retryText(accepted: boolean, { nextInMs }: SendAttempt): string {
  if (accepted) return "";
  return nextInMs === null ? ", given up" : `, again in ${nextInMs / 1_000} s`;
}

/** `evt_… duplicate` of the relay's answer, or its error code. */
function describeAnswer(response: string): string {
  try {
    const { id, duplicate, code } = JSON.parse(response);
    return id === undefined ? String(code ?? "") : `${id}${duplicate ? " duplicate" : ""}`;
  } catch {
    return response.slice(0, 80).replaceAll(/\s+/g, " ");
  }
}

if (import.meta.main) {
  try {
    const command = parseCommand(process.argv.slice(2));
    if (command === null) console.log(USAGE);
    else if (!(await runCommand(command))) process.exitCode = 1;
  } catch (thrown) {
    console.error(thrown instanceof Error ? thrown.message : thrown);
    process.exitCode = 2;
  }
}
