/**
 * Registers the deployed relay with Leadterra, and puts the signing secret of the answer into the Worker. The
 * secret goes from the answer to wrangler's standard input and nowhere else.
 *
 *   LEADTERRA_API_KEY=sk_live_… npm run register -- --relay https://my-relay.workers.dev
 */
import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import {
  causeOf,
  Misuse,
  onInterrupt,
  readNames,
  readOptions,
  refuseBlocked,
  runCommand,
} from "./command.ts";
import { EVENT_KINDS, type EventKind } from "./leadterra.ts";
import { type Finished, runWrangler, secretNamesIn } from "./wrangler.ts";

const LEADTERRA_API = "https://app.leadterra.co";
const INGEST_PATH = "/webhooks/leadterra";
const SECRET_NAME = "LEADTERRA_SIGNING_SECRETS";
/** Leadterra's page says that the secret is in the answer, and its sample shows no such field: what it may be. */
const SECRET_FIELDS = ["signingSecret", "signing_secret", "secret"] as const;
const ANSWER_TIMEOUT_MS = 30_000;
/** Leadterra shows the secret once, so a failed `wrangler secret put` is repeated, after these waits. */
const PUT_AGAIN_AFTER_MS = [2_000, 5_000];
const MAX_REASON_CHARACTERS = 200;

export type RegisterCommand = {
  /** The relay's origin. */
  relay: string;
  /** The origin of Leadterra's API. */
  api: string;
  events: readonly EventKind[];
  /** Whether a secret that the Worker has already may be replaced. */
  replace: boolean;
  /** Options that tell wrangler which Worker is meant. */
  worker: readonly string[];
};

/** Runs wrangler to its end, with `input` as its standard input. */
export type Wrangler = (args: readonly string[], input?: string) => Promise<Finished>;

export type Surroundings = {
  apiKey: string;
  wrangler: Wrangler;
  say: (line: string) => void;
  putAgainAfterMs?: readonly number[];
};

/**
 * Nothing is registered unless wrangler can reach the Worker: Leadterra shows the secret once.
 *
 * @throws an Error that says what to do, with nothing secret in it.
 */
export async function register(command: RegisterCommand, around: Surroundings): Promise<void> {
  await checkWorker(command, around);
  const answer = await registerAtLeadterra(command, around.apiKey);
  around.say(`Registered at Leadterra${inParentheses(idOf(answer))}: ${urlOf(command)}`);
  await putSecret(secretIn(answer, command), command, around);
  around.say(`${SECRET_NAME} is in the Worker. Look at ${command.relay}/healthz.`);
}

// --- the Worker ---------------------------------------------------------------------------------------------

async function checkWorker({ replace, worker }: RegisterCommand, around: Surroundings) {
  const list = await around.wrangler(["secret", "list", "--format", "json", ...worker]);
  const names = list.exitCode === 0 ? secretNamesIn(list.stdout) : null;
  if (names === null) {
    throw new Error(
      `Nothing was registered: wrangler cannot tell which secrets the Worker has. Is it deployed (npm run deploy), and are you logged in (npx wrangler login)?\n${list.stderr || list.stdout}`.trimEnd(),
    );
  }
  if (!names.includes(SECRET_NAME)) return;
  if (!replace) {
    throw new Error(
      `Nothing was registered: the Worker has ${SECRET_NAME} already. It would be replaced, and events signed with a secret that is in it now would be refused.\nTo replace it, add --replace. To keep both, register by hand (README, "Connect Leadterra") and give ${SECRET_NAME} all secrets, separated by commas.`,
    );
  }
  around.say(
    styleText(
      "yellow",
      `Replacing ${SECRET_NAME}: events signed with a secret that is in it now will be refused.`,
    ),
  );
}

async function putSecret(
  secret: string,
  { worker }: RegisterCommand,
  { wrangler, say, putAgainAfterMs = PUT_AGAIN_AFTER_MS }: Surroundings,
): Promise<void> {
  const args = ["secret", "put", SECRET_NAME, ...worker];
  for (const waitMs of [...putAgainAfterMs, null]) {
    const { exitCode, stdout, stderr } = await wrangler(args, secret);
    if (exitCode === 0) return;
    const output = [secret, JSON.stringify(secret).slice(1, -1)].reduce(
      (text, spelling) => text.replaceAll(spelling, "***"),
      stderr || stdout,
    );
    if (waitMs === null) {
      throw new Error(
        `The webhook is registered, and its secret is not in the Worker: wrangler failed. Leadterra may show the secret once only, and it was not kept. Put it in by hand if you can see it at Leadterra:\n  ${byHand(worker)}\nElse delete the webhook at Leadterra and run this again.\n${output}`.trimEnd(),
      );
    }
    say(`wrangler failed; again in ${waitMs / 1_000} s.`);
    await sleep(waitMs);
  }
}

function byHand(worker: readonly string[]): string {
  return ["npx wrangler secret put", SECRET_NAME, ...worker].join(" ");
}

// --- Leadterra ----------------------------------------------------------------------------------------------

type Json = Record<string, unknown>;

function urlOf({ relay }: RegisterCommand): string {
  return relay + INGEST_PATH;
}

/** @returns what Leadterra answered, an empty object if that is none. */
async function registerAtLeadterra(command: RegisterCommand, apiKey: string): Promise<Json> {
  const response = await fetch(`${command.api}/v1/webhooks`, {
    method: "POST",
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    body: JSON.stringify({ url: urlOf(command), events: command.events }),
    redirect: "manual",
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  }).catch((thrown: unknown) => {
    throw new Error(`Leadterra cannot be reached at ${command.api} (${causeOf(thrown)}).`);
  });
  const json = objectOf(await response.json().catch(() => null));
  if (response.ok) return json;
  const what = `Leadterra answered ${response.status}${inParentheses(reasonIn(json, apiKey))}`;
  const refused = response.status === 401 || response.status === 403;
  throw new Error(
    `Nothing was registered: ${what}.${refused ? " Is LEADTERRA_API_KEY right?" : ""}`,
  );
}

/** The sentence of an error, wherever APIs put it; no other part of the answer, which may hold anything. */
function reasonIn(json: Json, apiKey: string): string | null {
  const error = objectOf(json.error);
  const reason = [error.message, json.message, json.detail, json.error].find(
    (text) => typeof text === "string",
  );
  if (reason === undefined) return null;
  return plain(String(reason).replaceAll(apiKey, "***")).slice(0, MAX_REASON_CHARACTERS);
}

/** @throws when there is none that the relay can take: the names that were there instead, and no values. */
function secretIn(answer: Json, { worker }: RegisterCommand): string {
  const webhook = objectOf(answer.webhook);
  const secret = [webhook, answer]
    .flatMap((holder) => SECRET_FIELDS.map((field) => holder[field]))
    .find((value) => typeof value === "string" && value !== "");
  if (typeof secret === "string" && /^[^\s,]+$/.test(secret)) return secret;
  const names = [
    ...Object.keys(answer),
    ...Object.keys(webhook).map((name) => `webhook.${name}`),
  ].map(plain);
  const missing =
    secret === undefined
      ? `its answer has no signing secret under a name that is known here. It has: ${names.join(", ") || "nothing that can be read"}`
      : "its answer has a signing secret with a comma or a space in it, which the relay cannot take";
  throw new Error(
    `The webhook is registered at Leadterra, but ${missing}.\nFind the secret at Leadterra and put it into the Worker:\n  ${byHand(worker)}`,
  );
}

function idOf(answer: Json): string | null {
  const { id } = objectOf(answer.webhook);
  return typeof id === "string" && /^[\w-]{1,64}$/.test(id) ? id : null;
}

function objectOf(value: unknown): Json {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Json) : {};
}

/** Without what could steer a terminal. */
function plain(text: string): string {
  return text.replaceAll(/\p{C}/gu, "?");
}

function inParentheses(text: string | null): string {
  return text === null ? "" : ` (${text})`;
}

// --- the command line ---------------------------------------------------------------------------------------

const USAGE = `Registers the deployed relay with Leadterra, and puts the signing secret into the Worker.

  LEADTERRA_API_KEY=sk_live_… npm run register -- --relay https://my-relay.workers.dev

  --relay URL            where the relay is; npm run deploy says it
  --events NAMES         separated by commas, default all: ${EVENT_KINDS.join(", ")}
  --replace              also when the Worker has ${SECRET_NAME} already
  --api URL              default ${LEADTERRA_API}
  --env, --config, --name  which Worker is meant, as for wrangler`;

/** @throws Misuse when the arguments make no sense. */
export function parseCommand(args: readonly string[]): RegisterCommand {
  const { values } = readOptions(args, {
    relay: { type: "string" },
    events: { type: "string", default: EVENT_KINDS.join(",") },
    replace: { type: "boolean", default: false },
    api: { type: "string", default: LEADTERRA_API },
    env: { type: "string", short: "e" },
    config: { type: "string", short: "c" },
    name: { type: "string" },
  });
  const { relay, api, events, replace } = values;
  if (relay === undefined) throw new Misuse("--relay is missing: https://my-relay.workers.dev");
  return {
    relay: parseOrigin("--relay", relay, false),
    api: parseOrigin("--api", api, true),
    events: readNames("--events", events, EVENT_KINDS),
    replace,
    worker: (["env", "config", "name"] as const).flatMap((option) => {
      const value = values[option];
      return value === undefined ? [] : [`--${option}`, value];
    }),
  };
}

/** @param loopback whether `http:` will do on this machine. */
function parseOrigin(option: string, text: string, loopback: boolean): string {
  const url = URL.parse(text);
  const local = loopback && url?.protocol === "http:" && url.hostname === "127.0.0.1";
  if (url?.protocol !== "https:" && !local) throw new Misuse(`${option} must start with https://`);
  if (url === null || url.href !== `${url.origin}/`) {
    throw new Misuse(`${option} must be an origin such as ${url?.origin}, and nothing behind it.`);
  }
  refuseBlocked(option, Number(url.port));
  return url.origin;
}

/** @throws when it is missing, or holds what no header can carry. */
export function parseApiKey(text: string | undefined): string {
  const key = text?.trim() ?? "";
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new Misuse("LEADTERRA_API_KEY must be in the environment: the key of Leadterra's API.");
}

async function main(args: string[]): Promise<number> {
  const command = parseCommand(args);
  const apiKey = parseApiKey(process.env.LEADTERRA_API_KEY);
  onInterrupt(async (counted) => {
    console.error(
      "\nInterrupted. Is the webhook at Leadterra already, its secret may be lost: delete it there and run this again.",
    );
    return counted;
  });
  await register(command, { apiKey, wrangler: runWrangler, say: (line) => console.log(line) });
  return 0;
}

if (import.meta.main) await runCommand(USAGE, main);
