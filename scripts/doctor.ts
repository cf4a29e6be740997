/**
 * Looks at a relay from outside, and says for each thing that is wrong what mends it. It changes nothing; `--send`
 * sends one event.
 *
 *   RELAY_API_KEY=… npm run doctor -- --relay https://my-relay.workers.dev --send
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import { DEAD_BECAUSE } from "../src/domain/vocabulary.ts";
import { FAILED, readOptions, runCommand } from "./command.ts";
import { DEV_VARS, firstOf, readVars } from "./dev-vars.ts";
import { DOCUMENTED_REPLY, exampleEvent, send } from "./leadterra.ts";
import { isLoopback } from "./loopback.ts";
import {
  type Answer,
  ownVersion,
  parseRelay,
  type RelayApi,
  readApiKey,
  relayApi,
  webhookPages,
} from "./relay-api.ts";
import { remedyOf, replayOf, whyOf } from "./remedy.ts";
import { ROOT } from "./wrangler.ts";

/** A signature's time may be off by 5 minutes; a clock that is off by less is no trouble yet. */
const MAX_CLOCK_DIFFERENCE_MS = 60_000;
const MAX_QUEUE_AGE_MS = 5 * 60_000;
const SILENCE_MS = 24 * 3_600_000;
const ARRIVES_WITHIN_MS = 60_000;
const POLL_MS = 500;
/** As many dead letters as are looked at. */
const LETTERS = 250;

/** What was looked at: it is well, wrong, or cannot be told. `remedy` is null unless it is wrong. */
export type Finding = { what: string; remedy: string | null; isTold: boolean };

const well = (what: string): Finding => ({ what, remedy: null, isTold: true });
const wrong = (what: string, remedy: string): Finding => ({ what, remedy, isTold: true });
const untold = (what: string): Finding => ({ what, remedy: null, isTold: false });

type Json = Record<string, unknown>;
const listOf = (value: unknown): Json[] => (Array.isArray(value) ? value : []);
const ageMs = (time: unknown, nowMs: number) =>
  typeof time === "string" ? nowMs - Date.parse(time) : null;

function spell(ms: number): string {
  const [size, unit] =
    ms < 120_000 ? [1_000, "s"] : ms < 7_200_000 ? [60_000, "minutes"] : [3_600_000, "hours"];
  return `${Math.round(ms / Number(size))} ${unit}`;
}

/** A call that was not answered as it should be; null where it was. */
function unanswered(call: string, { status, json }: Answer): Finding | null {
  if (status === 200 && json !== null) return null;
  const { code, detail, requestId } = json ?? {};
  const what = `${call} answered ${status}${code ? ` ${code}: ${String(detail).replace(/\.$/, "")}` : ""}`;
  if (code === "newer_data") {
    const remedy = `A newer release has run here: check it out, and npm run deploy (docs/operations.md, "Rolling back").`;
    return wrong(what, remedy);
  }
  const where = requestId ? `, with the requestId ${requestId}` : "";
  return wrong(what, `Look at the relay's log: npx wrangler tail${where}`);
}

export type ExamineOptions = { now?: () => number; own?: Release };

/**
 * Looks at one thing after the other; what cannot be looked at without a good key is left out.
 *
 * @returns one finding alone where there is no relay.
 */
export async function examine(
  api: RelayApi,
  { now = Date.now, own = ownRelease() }: ExamineOptions = {},
): Promise<Finding[]> {
  const health = await api.call("GET", "/healthz").catch((thrown: Error) => thrown);
  if (health instanceof Error) {
    return [
      wrong(
        health.message.replace(/\.$/, ""),
        "Is this its address? npm run deploy says it, and npm start for one on this machine. Else look at the network between.",
      ),
    ];
  }
  const { version } = health.json ?? {};
  if (typeof version !== "string") {
    return [
      wrong(
        `${api.origin}/healthz answered ${health.status}, and not as a relay does`,
        "Is this its address? npm run deploy says it. Does Cloudflare Access stand before all of it? It belongs before /dashboard alone.",
      ),
    ];
  }
  const found = [
    ...configurationFindings(health),
    versionFinding({ version, data: await storedVersion(api) }, own),
    clockFinding(api.origin, health.headers.get("date"), now()),
    await keyFinding(api),
  ];
  if (found.at(-1)?.remedy !== null) return found;
  return [...found, ...(await statsFindings(api, now())), ...(await deadLetterFindings(api))];
}

function configurationFindings(health: Answer): Finding[] {
  const problems = listOf(health.json?.problems).map(({ name, message }) =>
    wrong(
      String(message).replace(/\.$/, ""),
      `Set ${name} (docs/configuration.md), then deploy or put the secret; on this machine, npm start anew.`,
    ),
  );
  if (problems.length > 0) return problems;
  return [unanswered("/healthz", health) ?? well("The configuration is whole")];
}

/** A release, and the version of the data that its objects keep; null where that is not said. */
export type Release = { version: string; data: number | null };

/** @param document the description of an API: 0.1.0, whose data are version 1, says nothing of them. */
function storedVersionIn(document: Json): number {
  return Number(Object(document.info)["x-stored-data"] ?? 1);
}

async function storedVersion(api: RelayApi): Promise<number | null> {
  const { status, json } = await api.call("GET", "/openapi.json");
  return status === 200 && json !== null ? storedVersionIn(json) : null;
}

function ownRelease(): Release {
  const document = JSON.parse(readFileSync(join(ROOT, "public/openapi.json"), "utf8"));
  return { version: ownVersion(), data: storedVersionIn(document) };
}

/** What a deploy of this checkout would do to what the relay has stored. */
export function versionFinding(relay: Release, own: Release): Finding {
  const order = relay.version.localeCompare(own.version, "en", { numeric: true });
  const [from, to] = [relay.data, own.data ?? 0];
  if (order > 0 || (from ?? 0) > to) {
    return wrong(
      `It runs ${relay.version}, with data of version ${from ?? "unknown"}, and this checkout is older (${own.version}, version ${to})`,
      `Check out ${relay.version} before you deploy: older code leaves newer data alone and answers 503 newer_data.`,
    );
  }
  const what = `It runs ${relay.version}, and this checkout is ${own.version}: npm run deploy`;
  if (from === null) {
    return untold(`${what} does what cannot be told: /openapi.json does not say what is stored`);
  }
  if (from === to) {
    return well(
      `${what} leaves stored data as it is (version ${to})${order === 0 ? "" : ", and can be rolled back; CHANGELOG says what else changes"}`,
    );
  }
  const steps = `${what} takes each object's data from version ${from} to ${to} when it next starts, in one step however much there is`;
  return well(
    from === 1
      ? `${steps}; it cannot be rolled back, and dead letters older than RETENTION go with the first sweep (docs/operations.md, "From 0.1.0 to 0.2.0")`
      : `${steps}, and can be rolled back; CHANGELOG says what else changes`,
  );
}

/** The local runtime answers without a date: there the relay's clock is that of this machine. */
function clockFinding(origin: string, date: string | null, nowMs: number): Finding {
  const difference = Math.abs(Date.parse(date ?? "") - nowMs);
  if (Number.isNaN(difference)) {
    if (isLoopback(origin)) return well("The relay runs on this machine, by the same clock");
    return untold("Whether the clocks agree cannot be told: the relay's answers have no Date");
  }
  if (difference <= MAX_CLOCK_DIFFERENCE_MS) return well("The clocks agree");
  return wrong(
    `The clock of this machine and the relay's differ by ${spell(difference)}`,
    "Set the clock: services refuse signatures whose time is off by 5 minutes.",
  );
}

async function keyFinding(api: RelayApi): Promise<Finding> {
  // Changes nothing, and only a key that may change things may ask it.
  const event = JSON.parse(DOCUMENTED_REPLY);
  const answer = await api.call("POST", "/v1/filters/test", { filter: { event: "x" }, event });
  if (answer.status === 403 && answer.json?.code === "insufficient_scope") {
    return well("The key may look and change nothing");
  }
  if (answer.status === 401) {
    return wrong(
      "The relay does not know the key",
      isLoopback(api.origin)
        ? `Give RELAY_API_KEY one of API_KEYS in ${DEV_VARS}, or unset it: then that file is read.`
        : "Give RELAY_API_KEY one of its API_KEYS, or put them anew: npx wrangler secret put API_KEYS",
    );
  }
  return unanswered("POST /v1/filters/test", answer) ?? well("The key may change things");
}

async function statsFindings(api: RelayApi, nowMs: number): Promise<Finding[]> {
  const [stats, pages] = await Promise.all([api.call("GET", "/v1/stats"), webhookPages(api)]);
  const unlisted = pages.flatMap((page) => unanswered("/v1/webhooks", page) ?? []);
  const unmeasured = unanswered("/v1/stats", stats);
  const { lastEventAt, queues, alerts } = stats.json ?? {};
  const relay = unmeasured
    ? [unmeasured]
    : [silenceFinding(lastEventAt, nowMs), ...queueFindings(queues, nowMs), alertFinding(alerts)];
  if (unlisted.length > 0) return [...relay, ...unlisted];
  const figures = new Map(listOf(stats.json?.webhooks).map((each) => [each.id, each]));
  const webhooks = pages.flatMap(({ json }) => listOf(json?.data));
  const told = webhooks.map((webhook) => webhookFinding(webhook, figures.get(webhook.id)));
  if (told.length > 0) return [...relay, ...told];
  return [...relay, wrong("No webhook is registered", "Register one: POST /v1/webhooks (README).")];
}

function silenceFinding(lastEventAt: unknown, nowMs: number): Finding {
  const age = ageMs(lastEventAt, nowMs);
  if (age !== null && age <= SILENCE_MS) return well(`The last event came ${spell(age)} ago`);
  return wrong(
    age === null ? "No event has come yet" : `No event has come for ${spell(age)}`,
    "Is it registered at Leadterra (npm run register)? If the log has invalid_signature, the secret has changed there. --send tries the way from ingest on.",
  );
}

function queueFindings(queues: unknown, nowMs: number): Finding[] {
  return Object.entries({ events: "events", deadLetters: "dead letters" }).map(([name, held]) => {
    const { backlog, oldestAt } = Object(Object(queues)[name]) as Json;
    if (typeof backlog !== "number") {
      return untold(`What the queue of ${held} holds cannot be told: it does not say`);
    }
    const age = backlog === 0 ? 0 : (ageMs(oldestAt, nowMs) ?? 0);
    const what = `The queue of ${held} holds ${backlog}${age > 0 ? `, the oldest for ${spell(age)}` : ""}`;
    if (age <= MAX_QUEUE_AGE_MS) return well(what);
    return wrong(
      what,
      "Look for what stops the consumer: npx wrangler tail, and GET /v1/dead-letters. What it could not hand over goes on by itself within 15 minutes of the mending.",
    );
  });
}

/** @param alerts undefined where the release does not say. */
function alertFinding(alerts: unknown): Finding {
  if (alerts === undefined) return untold("Whether alerts are taken cannot be told");
  if (alerts === null) return well("No alert was refused");
  const { refusedSince, statusCode } = alerts as Json;
  const why = statusCode === null ? "does not answer" : `answers ${statusCode}`;
  const remedy =
    "Put a URL that takes them: npx wrangler secret put ALERT_URL. Within five minutes it gets what was not told.";
  return wrong(`Alerts reach nobody since ${refusedSince}: ALERT_URL ${why}`, remedy);
}

/** States of a webhook's health in which nobody has to do anything. */
const RESTFUL = ["healthy", "postponed", "paused", "unconnected"];

/** It is nobody's fault, and all is not well. */
const NOBODY =
  "nobody is connected (npm run listen): after 24 hours it is deleted, with what waits for it";

/** @param figures undefined where the relay did not say how it is doing. */
function webhookFinding(webhook: Json, figures: Json | undefined): Finding {
  const { id, name, url, status, statusReason } = webhook;
  const who = `${name ?? id} (${url})`;
  if (figures === undefined && status === "active")
    return untold(`${who}: how it is doing cannot be told`);
  const known: Json = { ...figures, ...Object(figures?.health) };
  const { pending = "?", undeliverable = "?", failingSince, since = failingSince } = known;
  const state = String(
    known.state ?? (status !== "active" ? status : failingSince ? "failing" : "healthy"),
  );
  const told = `${who}: ${state}${statusReason ? ` (${statusReason})` : ""}${since ? ` since ${since}` : ""}, ${pending} waiting, ${undeliverable} undeliverable`;
  const replay = replayOf(webhook, Number(undeliverable));
  if (!RESTFUL.includes(state)) {
    const figures = { ...known, pending };
    const remedy = remedyOf(state, webhook, { figures, replay });
    const why = whyOf(state, { ...figures, statusReason });
    if (remedy !== null) return wrong(`${told}; ${why}`, remedy);
  }
  if (replay !== null) return wrong(told, `When the service is mended: ${replay}`);
  return state === "unconnected" ? untold(`${told}; ${NOBODY}`) : well(told);
}

/** One for each reason: what mends them differs. */
async function deadLetterFindings(api: RelayApi): Promise<Finding[]> {
  const answer = await api.call("GET", `/v1/dead-letters?limit=${LETTERS}`);
  const unlisted = unanswered("/v1/dead-letters", answer);
  if (unlisted !== null) return [unlisted];
  const letters = listOf(answer.json?.data);
  if (letters.length === 0) return [well("There are no dead letters")];
  const more = answer.json?.next ? "or more " : "";
  return [...Map.groupBy(letters, ({ reason }) => String(reason))].map(([reason, some]) => {
    const cause = DEAD_BECAUSE[reason as keyof typeof DEAD_BECAUSE];
    const newest = some[0] ?? {};
    const one = some.length === 1 && more === "" ? "letter" : "letters";
    const what = `${some.length} ${more}dead ${one} (${reason}), the newest of ${newest.failedAt}. ${cause?.why ?? ""}`;
    const call =
      reason === "unreadable"
        ? `DELETE /v1/dead-letters/${newest.id} removes the newest.`
        : `POST /v1/dead-letters/redrive {"reason": "${reason}"} does so for all of them.`;
    return wrong(what.trim().replace(/\.$/, ""), `${cause?.advice ?? ""} ${call}`.trim());
  });
}

/** Sends one event as Leadterra would, and waits until the journal has it. */
export async function sendSample(api: RelayApi, secret: string | undefined): Promise<Finding> {
  if (secret === undefined) {
    return wrong(
      "No event was sent: there is no secret to sign it with",
      `Put LEADTERRA_SIGNING_SECRETS in the environment, or in ${DEV_VARS}.`,
    );
  }
  const startedMs = Date.now();
  const body = JSON.stringify(exampleEvent("message.sent"));
  const { attempts } = await send(`${api.origin}/webhooks/leadterra`, body, secret, {
    waitsMs: [],
  });
  const { status, response, cause } = attempts[0] ?? { status: null, response: "", cause: null };
  if (status === 401) {
    return wrong(
      "The relay refused the signature of a sample event",
      "The secret is none of its LEADTERRA_SIGNING_SECRETS: npx wrangler secret put LEADTERRA_SIGNING_SECRETS",
    );
  }
  if (status !== 202) {
    return wrong(
      `Ingest answered ${status ?? cause}: ${response.slice(0, 200)}`,
      "Mend what is named above; else look at the relay's log, npx wrangler tail, and run this again.",
    );
  }
  const { id } = JSON.parse(response);
  while (Date.now() < startedMs + ARRIVES_WITHIN_MS) {
    const found = await api.call("GET", `/v1/events/${id}`);
    const refused = found.status === 404 ? null : unanswered(`/v1/events/${id}`, found);
    if (refused !== null) return refused;
    if (found.status === 200) {
      return well(`A sample event was in the journal after ${Date.now() - startedMs} ms (${id})`);
    }
    await sleep(POLL_MS);
  }
  return wrong(
    `A sample event was taken and is not in the journal after ${spell(ARRIVES_WITHIN_MS)}`,
    "The queue or its consumer stands still: npx wrangler tail, GET /v1/dead-letters",
  );
}

const USAGE = `Looks at a relay from outside, and says for each thing that is wrong what mends it.
✓ is well, ✗ is wrong, ? is neither: it could not be told, or nobody listens.

  RELAY_API_KEY=… npm run doctor -- [options]

  --relay URL  default http://127.0.0.1:8787
  --send       sends one signed sample event and follows it to the journal; it is delivered like any other.
               LEADTERRA_SIGNING_SECRETS comes from the environment or ${DEV_VARS}

The key comes from RELAY_API_KEY, else it is the first of API_KEYS in ${DEV_VARS}. Ends with 1 when anything is wrong.`;

async function main(args: string[]): Promise<number> {
  const { values } = readOptions(args, {
    relay: { type: "string" },
    send: { type: "boolean", default: false },
  });
  const api = relayApi(parseRelay(values.relay), readApiKey());
  const findings = await examine(api);
  for (const finding of findings) print(finding);
  if (values.send && findings.length > 1) {
    const secret =
      firstOf(process.env.LEADTERRA_SIGNING_SECRETS) ??
      firstOf(readVars(join(ROOT, DEV_VARS)).LEADTERRA_SIGNING_SECRETS);
    findings.push(await sendSample(api, secret));
    for (const finding of findings.slice(-1)) print(finding);
  }
  return findings.every(({ remedy }) => remedy === null) ? 0 : FAILED;
}

function print({ what, remedy, isTold }: Finding): void {
  if (!isTold) console.log(`${styleText("yellow", "?")} ${what}.`);
  else if (remedy === null) console.log(`${styleText("green", "✓")} ${what}.`);
  else console.log(`${styleText("red", "✗")} ${what}.\n  ${remedy}`);
}

if (import.meta.main) await runCommand(USAGE, main);
