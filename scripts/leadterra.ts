/**
 * A stand-in for Leadterra as a sender, as its page "Register and Handle Leadterra Webhooks" describes it: it signs
 * events and sends them again until they are accepted. (Its API is in leadterra-api.ts, its command in send.ts.)
 */
import { createHmac, randomBytes, randomInt } from "node:crypto";
import { setTimeout as sleepFor } from "node:timers/promises";
import { causeOf } from "./command.ts";

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
  /** Why no answer came, in words; null when one did. */
  cause: string | null;
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
  /** Whether more attempts would be in vain; Leadterra itself never asks. */
  isHopeless?: (attempt: SendAttempt) => boolean;
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
    const wait = accepted ? null : (waitsMs[number - 1] ?? null);
    const isLast = wait === null || options.isHopeless?.({ number, ...answer, nextInMs: wait });
    const nextInMs = isLast ? null : wait;
    const attempt = { number, ...answer, nextInMs };
    attempts.push(attempt);
    options.onAttempt?.(attempt);
    if (nextInMs === null) return { accepted, attempts };
    await sleep(nextInMs);
  }
}

export function isAccepted(status: number | null): boolean {
  return status !== null && status >= 200 && status <= 299;
}

type Answer = Pick<SendAttempt, "status" | "error" | "cause" | "durationMs" | "response">;

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
    return {
      status: response.status,
      error: null,
      cause: null,
      durationMs: took(),
      response: text,
    };
  } catch (thrown) {
    const timedOut = thrown instanceof Error && thrown.name === "TimeoutError";
    const error = timedOut ? "timeout" : "connection";
    return { status: null, error, cause: causeOf(thrown), durationMs: took(), response: "" };
  }
}
