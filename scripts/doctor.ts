/**
 * Looks at a relay from outside, and says for each thing that is wrong what mends it. It changes nothing; `--send`
 * sends one event.
 *
 *   RELAY_API_KEY=… npm run doctor -- --relay https://my-relay.workers.dev --send
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import { STATES } from "../src/domain/vocabulary.ts";
import { FAILED, readOptions, runCommand } from "./command.ts";
import { DEV_VARS, firstOf, readVars } from "./dev-vars.ts";
import { DOCUMENTED_REPLY, exampleEvent, send } from "./leadterra.ts";
import {
  ownVersion,
  parseRelay,
  type RelayApi,
  readApiKey,
  relayApi,
  webhookPages,
} from "./relay-api.ts";
import { ROOT } from "./wrangler.ts";

/** A signature's time may be off by 5 minutes; a clock that is off by less is no trouble yet. */
const MAX_CLOCK_DIFFERENCE_MS = 60_000;
const MAX_QUEUE_AGE_MS = 5 * 60_000;
const SILENCE_MS = 24 * 3_600_000;
const ARRIVES_WITHIN_MS = 60_000;
const POLL_MS = 500;

/** What was looked at; `remedy` is null when all is well. */
export type Finding = { what: string; remedy: string | null };

const well = (what: string): Finding => ({ what, remedy: null });
const wrong = (what: string, remedy: string): Finding => ({ what, remedy });

type Json = Record<string, unknown>;
const listOf = (value: unknown): Json[] => (Array.isArray(value) ? value : []);
const ageMs = (time: unknown, nowMs: number) =>
  typeof time === "string" ? nowMs - Date.parse(time) : null;

function spell(ms: number): string {
  const [size, unit] =
    ms < 120_000 ? [1_000, "s"] : ms < 7_200_000 ? [60_000, "minutes"] : [3_600_000, "hours"];
  return `${Math.round(ms / Number(size))} ${unit}`;
}

/** Looks at one thing after the other; what cannot be looked at without a good key is left out. */
export async function examine(api: RelayApi, now: () => number = Date.now): Promise<Finding[]> {
  const health = await api.call("GET", "/healthz");
  if (typeof health.json?.version !== "string") {
    const what = `${api.origin}/healthz answered ${health.status}, and not as a relay does`;
    return [wrong(what, "Is this its address? npm run deploy says it.")];
  }
  const configuration = listOf(health.json.problems).map(({ name, message }) =>
    wrong(String(message), `Set ${name} (docs/configuration.md), then deploy or put the secret.`),
  );
  const found = [
    ...(configuration.length === 0 ? [well("The configuration is whole")] : configuration),
    versionFinding(health.json.version),
    clockFinding(health.headers.get("date"), now()),
  ];
  const keys = await keyFinding(api);
  if (keys.remedy !== null) return [...found, keys];
  return [...found, keys, ...(await statsFindings(api, now())), await deadLetterFinding(api)];
}

/** What a deploy of this checkout would do to what the relay has stored. @param own of this checkout. */
export function versionFinding(version: string, own = ownVersion()): Finding {
  const order = version.localeCompare(own, "en", { numeric: true });
  if (order === 0) return well(`It runs ${version}, as this checkout`);
  if (order > 0) {
    return wrong(
      `It runs ${version}, and this checkout is older (${own})`,
      `Check out ${version} before you deploy: older code leaves newer data alone and answers 503 newer_data.`,
    );
  }
  const what = `It runs ${version}, and this checkout is ${own}: npm run deploy`;
  return well(
    version.startsWith("0.1.")
      ? `${what} takes each object's data from version 1 to 2 when it next starts, in one step however much there is; it cannot be rolled back, and dead letters older than RETENTION go with the first sweep (docs/operations.md, "From 0.1.0 to 0.2.0")`
      : `${what} takes stored data along, and can be rolled back; CHANGELOG says what else changes`,
  );
}

function clockFinding(date: string | null, nowMs: number): Finding {
  const difference = date === null ? 0 : Math.abs(Date.parse(date) - nowMs);
  if (difference <= MAX_CLOCK_DIFFERENCE_MS) return well("The clocks agree");
  return wrong(
    `The clock of this machine and the relay's differ by ${spell(difference)}`,
    "Set the clock: services refuse signatures whose time is off by 5 minutes.",
  );
}

async function keyFinding(api: RelayApi): Promise<Finding> {
  // Changes nothing, and only a key that may change things may ask it.
  const event = JSON.parse(DOCUMENTED_REPLY);
  const { status } = await api.call("POST", "/v1/filters/test", { filter: { event: "x" }, event });
  if (status === 200) return well("The key may change things");
  if (status === 403) return well("The key may look and change nothing");
  if (status === 401) {
    return wrong(
      "The relay does not know the key",
      "Give RELAY_API_KEY one of its API_KEYS, or put them anew: npx wrangler secret put API_KEYS",
    );
  }
  return wrong(`The API answered ${status}`, "Look at the relay's log: npx wrangler tail");
}

async function statsFindings(api: RelayApi, nowMs: number): Promise<Finding[]> {
  const [stats, pages] = await Promise.all([api.call("GET", "/v1/stats"), webhookPages(api)]);
  const refused = pages.find(({ json }) => json === null);
  if (stats.json === null || refused !== undefined) {
    const what = `/v1/stats answered ${stats.status}, /v1/webhooks ${refused?.status ?? 200}`;
    return [wrong(what, "Look at the relay's log: npx wrangler tail")];
  }
  const figures = new Map(listOf(stats.json.webhooks).map((each) => [each.id, each]));
  const registered = pages.flatMap(({ json }) => listOf(json?.data));
  return [
    silenceFinding(stats.json.lastEventAt, nowMs),
    ...queueFindings(stats.json.queues as Json | undefined, nowMs),
    ...alertFindings(stats.json.alerts as Json | null | undefined),
    ...(registered.length === 0
      ? [wrong("No webhook is registered", "Register one: README says how.")]
      : registered.map((webhook) => webhookFinding(webhook, figures.get(webhook.id) ?? {}))),
  ];
}

function silenceFinding(lastEventAt: unknown, nowMs: number): Finding {
  const age = ageMs(lastEventAt, nowMs);
  if (age !== null && age <= SILENCE_MS) return well(`The last event came ${spell(age)} ago`);
  const what = age === null ? "No event has come yet" : `No event has come for ${spell(age)}`;
  return wrong(
    what,
    "Is it registered at Leadterra (npm run register)? If the log has invalid_signature, the secret has changed there. --send tries the way from ingest on.",
  );
}

function queueFindings(queues: Json | undefined, nowMs: number): Finding[] {
  return Object.entries(queues ?? {}).map(([name, value]) => {
    const { backlog, oldestAt } = (value ?? {}) as Json;
    const age = ageMs(oldestAt, nowMs) ?? 0;
    const what = `The queue ${name} holds ${backlog ?? 0}${age > 0 ? `, the oldest for ${spell(age)}` : ""}`;
    if (age <= MAX_QUEUE_AGE_MS) return well(what);
    return wrong(
      what,
      "Look for what stops the consumer: npx wrangler tail, and /v1/dead-letters.",
    );
  });
}

function alertFindings(alerts: Json | null | undefined): Finding[] {
  if (!alerts) return [];
  const { refusedSince, statusCode } = alerts;
  const why = statusCode === null ? "does not answer" : `answers ${statusCode}`;
  const remedy = "Put a URL that takes them: npx wrangler secret put ALERT_URL";
  return [wrong(`Alerts reach nobody since ${refusedSince}: ALERT_URL ${why}`, remedy)];
}

/** States of a webhook's health in which nobody has to do anything. */
const RESTFUL = ["healthy", "postponed", "paused", "unconnected"];

function webhookFinding(webhook: Json, figures: Json): Finding {
  const { id, name, url, status, statusReason } = webhook;
  const health = (figures.health ?? {}) as Json;
  const { pending = 0, undeliverable = 0, failingSince } = { ...figures, ...health };
  const state =
    health.state ?? (status !== "active" ? status : failingSince ? "failing" : "healthy");
  const since = health.since ?? failingSince;
  const reason = statusReason ? ` (${statusReason})` : "";
  const meaning = STATES[state as keyof typeof STATES];
  const told = `${name ?? id} (${url}): ${state}${reason}${since ? ` since ${since}` : ""}, ${pending} waiting, ${undeliverable} undeliverable`;
  const remedy = remedyOf(String(state), id, health.lastFailure as Json | null | undefined);
  if (remedy !== null) return wrong(meaning === undefined ? told : `${told}; ${meaning}`, remedy);
  if (Number(undeliverable) > 0) {
    const body = `{"since": "…", "only": "undeliverable"}`;
    return wrong(told, `When the service is mended: POST /v1/webhooks/${id}/replay ${body}`);
  }
  return well(told);
}

/** What to do about a webhook in this state; null where nobody has to do anything. */
function remedyOf(state: string, id: unknown, lastFailure: Json | null | undefined) {
  if (RESTFUL.includes(state)) return null;
  if (state === "disabled") {
    return `When the service is mended: POST /v1/webhooks/${id}/resume. What was held goes out.`;
  }
  if (state === "misconfigured") {
    return "Mend the variable that is named above: deliveries are held until then.";
  }
  if (state === "late") {
    return `The service answers, but not fast enough: PATCH /v1/webhooks/${id} with more "concurrency", or a higher "rateLimit".`;
  }
  const said = lastFailure ? `It said ${lastFailure.statusCode ?? lastFailure.error}. ` : "";
  return `${said}Its last answers: GET /v1/webhooks/${id}/deliveries, or /dashboard/webhooks/${id}`;
}

async function deadLetterFinding(api: RelayApi): Promise<Finding> {
  const { json } = await api.call("GET", "/v1/dead-letters?limit=1");
  const [letter] = listOf(json?.data);
  if (letter === undefined) return well("There are no dead letters");
  return wrong(
    `There are dead letters, the newest of ${letter.failedAt} (${letter.reason})`,
    "GET /v1/dead-letters says why; POST /v1/dead-letters/{id}/redrive hands one over again.",
  );
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
    return wrong(`Ingest answered ${status ?? cause}: ${response.slice(0, 200)}`, "See above.");
  }
  const { id } = JSON.parse(response);
  while (Date.now() < startedMs + ARRIVES_WITHIN_MS) {
    const { status: found } = await api.call("GET", `/v1/events/${id}`);
    const took = Date.now() - startedMs;
    if (found === 200) return well(`A sample event was in the journal after ${took} ms (${id})`);
    await sleep(POLL_MS);
  }
  const what = `A sample event was taken and is not in the journal after ${spell(ARRIVES_WITHIN_MS)}`;
  return wrong(
    what,
    "The queue or its consumer stands still: npx wrangler tail, GET /v1/dead-letters",
  );
}

const USAGE = `Looks at a relay from outside, and says for each thing that is wrong what mends it.

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
  if (values.send) {
    const secret =
      firstOf(process.env.LEADTERRA_SIGNING_SECRETS) ??
      firstOf(readVars(join(ROOT, DEV_VARS)).LEADTERRA_SIGNING_SECRETS);
    findings.push(await sendSample(api, secret));
    for (const finding of findings.slice(-1)) print(finding);
  }
  return findings.every(({ remedy }) => remedy === null) ? 0 : FAILED;
}

function print({ what, remedy }: Finding): void {
  if (remedy === null) console.log(`${styleText("green", "✓")} ${what}.`);
  else console.log(`${styleText("red", "✗")} ${what}.\n  ${remedy}`);
}

if (import.meta.main) await runCommand(USAGE, main);
