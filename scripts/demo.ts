/**
 * Shows the whole thing: a relay, a stand-in for Leadterra and three services; what happens, as it happens; and
 * the account. Exits 0 only if every event arrived exactly where it should.
 *
 *   npm run demo
 *   npm run demo -- --keep
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import { accountOf, type ReportedDelivery, type SentEvent, type SideAccount } from "./account.ts";
import { FAILED, onInterrupt, readOptions, runCommand } from "./command.ts";
import { type EventKind, exampleEvent, type LeadterraEvent, send } from "./leadterra.ts";
import {
  type Behaviour,
  describeSignatures,
  failingEachEvent,
  good,
  type ReceivedRequest,
  type Receiver,
  startReceiver,
} from "./receiver.ts";
import { type Relay, startRelay } from "./relay.ts";

/** Short, so that nobody has to wait for a minute. */
const RETRY_SCHEDULE = "1s 1s 2s 4s 8s";
/** Before Leadterra sends again, in the demo. */
const LEADTERRA_WAITS_MS = [500, 1_000, 2_000];
const DELIVERED_WITHIN_MS = 20_000;
const POLL_MS = 200;
/** A pause, for those who watch. */
const BETWEEN_EVENTS_MS = 300;
/** Time for a delivery that should not be to show itself. */
const SETTLE_MS = 1_000;

/** A service: how it behaves, and what it asks the relay for. */
type Service = {
  name: string;
  about: string;
  behaviour: Behaviour;
  /** The statuses that it gives to each event. */
  answers: readonly number[];
  wants: { events: string[]; filter?: Record<string, unknown> };
  /** What `wants` means, in code. */
  isWanted: (event: LeadterraEvent) => boolean;
};

const SERVICES: readonly Service[] = [
  {
    name: "crm",
    about: "wants everything",
    behaviour: good,
    answers: [200],
    wants: { events: ["*"] },
    isWanted: () => true,
  },
  {
    name: "mailer",
    about: "wants message.sent and message.bounced; fails twice on each, then recovers",
    behaviour: failingEachEvent(2),
    answers: [503, 503, 200],
    wants: { events: ["message.sent", "message.bounced"] },
    isWanted: ({ event }) => event.startsWith("message."),
  },
  {
    name: "booking",
    about: "wants reply.received, and only classified as interested",
    behaviour: good,
    answers: [200],
    wants: { events: ["reply.received"], filter: { "data.reply.classification": "interested" } },
    isWanted: (event) =>
      event.event === "reply.received" && classificationOf(event) === "interested",
  },
];

function classificationOf({ data }: LeadterraEvent): unknown {
  return (data.reply as Record<string, unknown> | undefined)?.classification;
}

/** The stage: what runs, and what was sent. */
type Demo = {
  relay: Relay;
  apiKey: string;
  signingSecret: string;
  services: { service: Service; receiver: Receiver; webhookId: string }[];
  events: { sent: SentEvent; event: LeadterraEvent }[];
  say: (who: string, what: string) => void;
};

async function call<T>(
  { relay, apiKey }: Pick<Demo, "relay" | "apiKey">,
  path: string,
  body?: unknown,
): Promise<T> {
  const response = await fetch(`${relay.url}/v1${path}`, {
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} answered ${response.status} ${text}`);
  return JSON.parse(text) as T;
}

/** What has to be ended when the demo ends, the last started first. */
const closing: (() => Promise<void>)[] = [];

async function closeAll(): Promise<void> {
  for (const close of closing.splice(0).reverse()) await close();
}

/** Starts a receiver for the service and registers it as a webhook. */
async function openService(demo: Demo, service: Service): Promise<void> {
  const receiver = await startReceiver({
    behaviour: service.behaviour,
    onRequest: (request) => demo.say(service.name, describeRequest(request)),
  });
  closing.push(() => receiver.close());
  const { webhook } = await call<{ webhook: { id: string; signingSecret: string } }>(
    demo,
    "/webhooks",
    {
      url: `${receiver.url}/leadterra`,
      description: service.about,
      ...service.wants,
    },
  );
  receiver.secret = webhook.signingSecret;
  demo.services.push({ service, receiver, webhookId: webhook.id });
  console.log(`  ${styleText("bold", service.name.padEnd(11))}${service.about}`);
}

function describeRequest({ headers, eventId, signatures, answer }: ReceivedRequest): string {
  const attempt = `attempt ${headers["x-relay-attempt"]}, ${describeSignatures(signatures)}`;
  return describe(String(headers["x-leadterra-event"]), eventId, Number(answer), attempt);
}

const STATUS_COLOURS = { 2: "green", 4: "red", 5: "yellow" } as const;

/** `reply.received    evt_QNH783WW…  → 200  attempt 1` */
function describe(event: string, eventId: string | null, status: number, note: string): string {
  const id = eventId === null ? "" : `${eventId.slice(0, 12)}…`;
  const family = Math.floor(status / 100) as keyof typeof STATUS_COLOURS;
  const answered = styleText(STATUS_COLOURS[family] ?? "red", `→ ${status}`);
  return `${event.padEnd(17)} ${id.padEnd(13)}  ${answered}  ${styleText("dim", note)}`.trimEnd();
}

type RelayAnswer = { status: number; id: string | null };

/** Sends as Leadterra does, until it is accepted; a forger tries once. */
async function sendBody(
  demo: Demo,
  event: LeadterraEvent,
  { body, secret, note = "" }: { body: string; secret: string; note?: string },
): Promise<RelayAnswer> {
  const waitsMs = secret === demo.signingSecret ? LEADTERRA_WAITS_MS : [];
  const { attempts } = await send(`${demo.relay.url}/webhooks/leadterra`, body, secret, {
    waitsMs,
  });
  const last = attempts.at(-1);
  const status = last?.status ?? 0;
  const { id = null, duplicate, code } = JSON.parse(last?.response || "{}");
  const notes = [note, duplicate ? "seen before" : "", code ?? ""].filter((text) => text !== "");
  demo.say("Leadterra", describe(event.event, id, status, notes.join(", ")));
  await sleep(BETWEEN_EVENTS_MS);
  return { status, id };
}

async function sendNew(demo: Demo, kind: EventKind, classification?: string): Promise<SentEvent> {
  const event = exampleEvent(kind, classification === undefined ? {} : { classification });
  // Indented, so that a relay that parses and prints again would be caught.
  const body = JSON.stringify(event, null, 2);
  const note = classification === undefined ? {} : { note: classification };
  const { status, id } = await sendBody(demo, event, { body, secret: demo.signingSecret, ...note });
  if (status !== 202 || id === null)
    throw new Error(`The relay answered ${kind} with ${status}, not 202.`);
  const sent = { id, event: kind, body };
  demo.events.push({ sent, event });
  return sent;
}

/** Each kind, a duplicate, a forgery. @returns what was wrong with the answers. */
async function sendEverything(demo: Demo): Promise<string[]> {
  await sendNew(demo, "campaign.started");
  await sendNew(demo, "message.sent");
  await sendNew(demo, "message.bounced");
  const { id, body } = await sendNew(demo, "reply.received", "interested");
  await sendNew(demo, "reply.received", "not_interested");

  const secret = demo.signingSecret;
  const again = await sendBody(demo, JSON.parse(body), {
    body,
    secret,
    note: "the same once more",
  });
  const forged = exampleEvent("reply.received");
  const forgery = { body: JSON.stringify(forged), secret: "not Leadterra's", note: "a forgery" };
  const { status } = await sendBody(demo, forged, forgery);
  return [
    ...(again.id === id ? [] : ["the duplicate was given another event id"]),
    ...(status === 401 ? [] : [`the forgery was answered with ${status}, not 401`]),
  ];
}

/** Waits until nothing is pending, and then a little. */
async function whenDelivered(demo: Demo): Promise<void> {
  const untilMs = Date.now() + DELIVERED_WITHIN_MS;
  const isDone = async ({ service, webhookId }: Demo["services"][number]) => {
    const { data } = await call<{ data: ReportedDelivery[] }>(
      demo,
      `/webhooks/${webhookId}/deliveries`,
    );
    const wanted = demo.events.filter(({ event }) => service.isWanted(event)).length;
    return data.length >= wanted && data.every(({ status }) => status !== "pending");
  };
  while (Date.now() < untilMs) {
    const done = await Promise.all(demo.services.map(isDone));
    if (done.every(Boolean)) break;
    await sleep(POLL_MS);
  }
  await sleep(SETTLE_MS);
}

/** Holds what each service got against what the relay says about its deliveries. */
async function accounts(demo: Demo): Promise<SideAccount[]> {
  const sides = demo.services.map(async ({ service, receiver, webhookId }) => {
    const path = `/webhooks/${webhookId}/deliveries`;
    const { data } = await call<{ data: ReportedDelivery[] }>(demo, path);
    const each = data.map(({ eventId }) => call<ReportedDelivery>(demo, `${path}/${eventId}`));
    const wanted = demo.events.filter(({ event }) => service.isWanted(event));
    return accountOf({
      name: service.name,
      answers: service.answers,
      expected: wanted.map(({ sent }) => sent),
      requests: receiver.requests,
      reported: await Promise.all(each),
    });
  });
  return Promise.all(sides);
}

/** The relay's record has the events that it accepted, each once, and no forgery. */
async function problemsOfJournal(demo: Demo): Promise<string[]> {
  const { data } = await call<{ data: { id: string }[] }>(demo, "/events");
  const recorded = data.map(({ id }) => id).sort();
  const accepted = demo.events.map(({ sent }) => sent.id).sort();
  if (recorded.join() === accepted.join()) return [];
  return [`the relay recorded ${recorded.length} events: not just the ${accepted.length} accepted`];
}

const COLUMNS = [11, 10, 12, 13, 13, 13] as const;

function row(...cells: string[]): string {
  return `  ${cells.map((cell, index) => cell.padEnd(COLUMNS[index] ?? 0)).join("")}`.trimEnd();
}

function printAccount(sides: readonly SideAccount[], problems: readonly string[]): void {
  console.log();
  console.log(
    styleText("dim", row("", "events", "attempts", "duplicates", "signatures", "same bytes")),
  );
  for (const { name, received, expected, requests, duplicates, verified, identical } of sides) {
    const of = (part: number, all: number) => `${part} of ${all}`;
    const counts = [of(received, expected), String(requests), String(duplicates)];
    console.log(row(name, ...counts, of(verified, requests), of(identical, requests)));
  }
  console.log();
  for (const problem of problems) console.log(styleText("red", `  ✗ ${problem}`));
  if (problems.length > 0) return;
  const others = "The duplicate arrived once, the forgery nowhere.";
  console.log(styleText("green", `  ✓ Every event arrived exactly where it should. ${others}`));
}

function printInvitation({ relay, apiKey, signingSecret, services }: Demo): void {
  const curl = `curl -H 'Authorization: Bearer ${apiKey}' ${relay.url}/v1`;
  const send = `npm run leadterra -- send --url ${relay.url}/webhooks/leadterra --secret ${signingSecret}`;
  console.log(`
The relay stays up at ${styleText("bold", relay.url)} until Ctrl-C; its API key is ${apiKey}
  ${curl}/events
  ${curl}/stats
  ${curl}/webhooks/${services[0]?.webhookId}/deliveries
  ${curl}/webhooks/${services[0]?.webhookId}/test -X POST
  ${send}
`);
}

async function setStage(): Promise<Demo> {
  const signingSecret = randomBytes(32).toString("hex");
  const apiKey = `rk_${randomBytes(24).toString("hex")}`;
  console.log("Starting the relay …");
  const relay = await startRelay({
    vars: {
      LEADTERRA_SIGNING_SECRETS: signingSecret,
      API_KEYS: apiKey,
      ALLOW_PRIVATE_DESTINATIONS: "true",
      RETRY_SCHEDULE,
    },
  });
  closing.push(relay.stop);
  const startedMs = Date.now();
  const say = (who: string, what: string) => {
    const at = `${((Date.now() - startedMs) / 1_000).toFixed(1)} s`;
    console.log(
      `${styleText("dim", at.padStart(7))}  ${styleText("bold", who.padEnd(10))} ${what}`,
    );
  };
  return { relay, apiKey, signingSecret, services: [], events: [], say };
}

/** @returns whether everything was as it should be. */
async function play(demo: Demo): Promise<boolean> {
  console.log(
    `  ${styleText("bold", "relay".padEnd(11))}${demo.relay.url}, retries after ${RETRY_SCHEDULE}`,
  );
  for (const service of SERVICES) await openService(demo, service);
  console.log();
  const wrongAnswers = await sendEverything(demo);
  await whenDelivered(demo);
  const sides = await accounts(demo);
  const problems = [
    ...wrongAnswers,
    ...sides.flatMap((side) => side.problems),
    ...(await problemsOfJournal(demo).catch((thrown: Error) => [thrown.message])),
  ];
  printAccount(sides, problems);
  return problems.length === 0;
}

const USAGE = `Shows the whole thing: a relay, a stand-in for Leadterra and three services; and balances the account.

  npm run demo -- [--keep]

  --keep  leaves it running at the end, to look around`;

async function main(args: string[]): Promise<number> {
  const { values } = readOptions(args, { keep: { type: "boolean", default: false } });
  let ended: number | null = null;
  let isStopped = false;
  onInterrupt(async (counted) => {
    isStopped = true;
    await closeAll();
    return ended ?? counted;
  });
  try {
    const demo = await setStage();
    const ok = await play(demo).catch((thrown: Error) => {
      if (!isStopped) console.error(styleText("red", `  ✗ ${thrown.message}`));
      return false;
    });
    if (!ok && !isStopped)
      console.error(`\nThe last of the relay's log:\n${demo.relay.output().slice(-2_000)}`);
    if (values.keep) {
      ended = ok ? 0 : FAILED;
      printInvitation(demo);
      await demo.relay.ended;
    }
    return ok ? 0 : FAILED;
  } finally {
    await closeAll();
  }
}

if (import.meta.main) await runCommand(USAGE, main);
