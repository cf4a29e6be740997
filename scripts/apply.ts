/**
 * Makes the webhooks of a relay what a file says: it looks first, prints what differs, and changes only that.
 *
 *   RELAY_API_KEY=… npm run apply -- webhooks.json --relay https://my-relay.workers.dev --dry-run
 */
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import { configurationOf } from "../src/contract/configured.ts";
import { maskQuery, sameOrigin } from "../src/domain/target.ts";
import { FAILED, Misuse, readOptions, runCommand } from "./command.ts";
import { type Configured, readConfiguration, wrongIn } from "./configuration-file.ts";
import { DEV_VARS } from "./dev-vars.ts";
import {
  type Answer,
  parseRelay,
  type RelayApi,
  readApiKey,
  relayApi,
  UNKNOWN_KEY,
  webhookPages,
} from "./relay-api.ts";

/** Of a dry run: a pipeline can tell. */
const DIFFERS = 2;
const LISTENER = "listener:";
/** As many as a relay has. */
const MAX_WEBHOOKS = 500;
/** A change that is stored but not in force yet is asked for again. */
const PUSHES = 3;
const PUSH_WAIT_MS = 5_000;
/** Of this folder; an editor completes by it. */
const SCHEMA = "./webhooks.schema.json";

type Webhook = {
  id: string;
  name: string | null;
  url: string;
  headers: string[];
  status: string;
  updatedAt: string;
  signingSecret?: string;
  [field: string]: unknown;
};

/** What is to be done about one webhook. */
type Step =
  | { kind: "create" | "change"; wanted: Configured; lines: string[] }
  | { kind: "delete"; name: string; lines: string[] };

// --- what differs ---

async function registered(api: RelayApi): Promise<Webhook[]> {
  const pages = await webhookPages(api);
  return pages.flatMap((page) => answerOf(page).data as Webhook[]);
}

/** @throws with a sentence unless it went well. */
function answerOf({ status, json }: Answer): Record<string, unknown> {
  if (status >= 200 && status <= 299 && json !== null) return json;
  if (status === 401) throw new Error(UNKNOWN_KEY);
  if (status === 403) throw new Error("To apply takes a key that may change things.");
  throw new Error(mistakesOf({ status, json }).join("; "));
}

function mistakesOf({ status, json }: Pick<Answer, "status" | "json">): string[] {
  const errors = (json?.errors ?? []) as { path: string; message: string }[];
  if (errors.length === 0) return [`the relay answered ${status}: ${json?.detail ?? "no reason"}`];
  return errors.map(({ path, message }) => `${path} ${message}`);
}

/** Asks the relay itself, which changes nothing: it knows every rule, and the values of headers. */
async function difference(
  api: RelayApi,
  wanted: Configured,
  mistakes: string[],
): Promise<Step | null> {
  const { name, ...fields } = wanted;
  const path = `/v1/webhooks/${name}`;
  const [before, after] = [
    await api.call("GET", path),
    await api.call("PUT", path, { ...fields, dryRun: true }),
  ];
  const isFull = after.json?.code === "too_many_webhooks";
  if (after.status === 422 || (after.status === 409 && !isFull)) {
    mistakes.push(...mistakesOf(after).map((mistake) => `${name}: ${mistake}`));
    return null;
  }
  // There may be room once others are gone: that is reckoned when all steps are known.
  if (isFull) return { kind: "create", wanted, lines: linesOf({}, withoutValues(fields)) };
  const now = answerOf(after).webhook as Webhook;
  if (before.status === 404) {
    const { status } = now;
    const made = { ...shown(now), ...(status === "paused" && { status }) };
    return { kind: "create", wanted, lines: linesOf({}, made) };
  }
  const old = answerOf(before).webhook as Webhook;
  if (old.updatedAt === now.updatedAt) return null;
  const lines = linesOf(shown(old), shown(now));
  if (old.url !== now.url && maskQuery(old.url) === maskQuery(now.url))
    lines.push("url: another query (queries are never shown)");
  if (!sameOrigin(old.url, now.url) && fields.sameService !== true)
    lines.push(
      "a new signing secret at once, as of another service (sameService keeps the old one)",
    );
  if (lines.length === 0) lines.push("headers: another value (values are never shown)");
  return { kind: "change", wanted, lines };
}

/** As the file would have it, with headers by name and the URL without its query: a pipeline keeps what is printed. */
function shown(webhook: Webhook): Record<string, unknown> {
  const { name: _, status: __, ...fields } = configurationOf(webhook);
  const url = maskQuery(webhook.url);
  return { ...fields, url, ...(fields.headers !== undefined && { headers: webhook.headers }) };
}

function withoutValues(fields: Record<string, unknown>): Record<string, unknown> {
  const { signingSecret: _, url, headers, ...told } = fields;
  const names = headers !== undefined && { headers: Object.keys(Object(headers)) };
  return { url: maskQuery(String(url)), ...told, ...names };
}

function linesOf(before: Record<string, unknown>, after: Record<string, unknown>): string[] {
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return fields.flatMap((field) => {
    const [old, now] = [JSON.stringify(before[field]), JSON.stringify(after[field])];
    if (old === now) return [];
    if (old === undefined) return [`${field}: ${now}`];
    return [`${field}: ${old} → ${now ?? "its default"}`];
  });
}

/** Webhooks with a name that the file does not have; those of a person who listens are hers. */
async function superfluous(
  api: RelayApi,
  { wanted, all }: { wanted: readonly Configured[]; all: readonly Webhook[] },
): Promise<Step[]> {
  const names = new Set(wanted.map(({ name }) => name));
  const extra = all.flatMap(({ name, url }) =>
    name === null || url === LISTENER || names.has(name) ? [] : [name],
  );
  return Promise.all(
    extra.map(async (name): Promise<Step> => {
      const health = answerOf(await api.call("GET", `/v1/webhooks/${name}/health`));
      return { kind: "delete", name, lines: whatGoesToo(health) };
    }),
  );
}

function whatGoesToo({ pending, undeliverable }: Record<string, unknown>): string[] {
  const some = Object.entries({ waiting: Number(pending), undeliverable: Number(undeliverable) });
  const told = some.filter(([, count]) => count > 0);
  if (told.length === 0) return [];
  const isOne = told.length === 1 && told[0]?.[1] === 1;
  const counts = told.map(([what, count]) => `${count} ${what}`).join(" and ");
  return [`${counts} ${isOne ? "delivery goes" : "deliveries go"} too`];
}

/**
 * In an order in which the relay has room for each: what is made comes before what goes, so that of a webhook with a new
 * name no event is missed, unless there is no room for both.
 *
 * @returns a mistake where there is room in no order.
 */
function ordered(steps: readonly Step[], existing: number): Step[] | string {
  const [gone, others] = [true, false].map((goes) =>
    steps.filter(({ kind }) => (kind === "delete") === goes),
  ) as [Step[], Step[]];
  const made = others.filter(({ kind }) => kind === "create").length;
  const total = existing + made - gone.length;
  if (made > 0 && total > MAX_WEBHOOKS) {
    return `there would be ${total} webhooks, and a relay has ${MAX_WEBHOOKS} at most`;
  }
  return existing + made > MAX_WEBHOOKS ? [...gone, ...others] : [...others, ...gone];
}

const MARKS = {
  create: ["green", "+"],
  change: ["yellow", "~"],
  delete: ["red", "-"],
} as const;

function print(step: Step): void {
  const [colour, mark] = MARKS[step.kind];
  console.log(styleText(colour, `${mark} ${nameOf(step)}`));
  for (const line of step.lines) console.log(`    ${line}`);
}

function nameOf(step: Step): string {
  return step.kind === "delete" ? step.name : step.wanted.name;
}

// --- what is done ---

type Secrets = { file: string; command: string | undefined };

async function carryOut(api: RelayApi, step: Step, secrets: Secrets): Promise<void> {
  const path = `/v1/webhooks/${nameOf(step)}`;
  if (step.kind === "delete") {
    const { status } = await api.call("DELETE", path);
    if (status !== 204)
      throw new Error(`${step.name} was not deleted: the relay answered ${status}`);
    return;
  }
  const { name, ...fields } = step.wanted;
  for (let push = 1; ; push++) {
    const answer = await api.call("PUT", path, fields);
    const { signingSecret = Object(answer.json?.webhook).signingSecret } = answer.json ?? {};
    // One of the file's own counts when the webhook is made; another origin gets a new one all the same.
    if (signingSecret && signingSecret !== fields.signingSecret) {
      keep(name, String(signingSecret), secrets);
    }
    if (answer.json?.code !== "not_yet_in_force") {
      answerOf(answer);
      return;
    }
    if (push === PUSHES) throw new Error(`${name} is stored, and not in force yet: apply again.`);
    await sleep(PUSH_WAIT_MS);
  }
}

/** @throws when a new secret could not be kept: it is shown once, and what it is for would be changed by then. */
function proveWritable(file: string): void {
  const isNew = !existsSync(file);
  try {
    closeSync(openSync(file, "a", 0o600));
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    throw new Error(`Nothing was changed: ${file}, for new secrets, cannot be written (${code}).`);
  }
  if (isNew) rmSync(file);
}

/** A secret is shown once: whatever the command makes of it, it is not lost. */
function keep(name: string, secret: string, { file, command }: Secrets): void {
  if (command !== undefined) {
    const { status } = spawnSync(command, {
      shell: true,
      input: `${secret}\n`,
      env: { ...process.env, WEBHOOK: name },
      stdio: ["pipe", "inherit", "inherit"],
    });
    if (status === 0) {
      console.log(`    its new signing secret went to --secret-command`);
      return;
    }
    process.exitCode = FAILED;
    console.error(`    --secret-command ended with ${status}: the secret is kept in ${file}`);
  }
  appendFileSync(file, `${name} ${secret}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  console.log(`    its new signing secret is in ${file}`);
}

/** All that is to be done, looked at before any of it is. @throws with what cannot be. */
async function differences(
  api: RelayApi,
  path: string,
  { wanted, prune }: { wanted: readonly Configured[]; prune: boolean },
): Promise<Step[]> {
  const mistakes: string[] = [];
  const steps: Step[] = [];
  for (const each of wanted) {
    const step = await difference(api, each, mistakes);
    if (step !== null) steps.push(step);
  }
  if (mistakes.length > 0) throw new Error(wrongIn(path, mistakes));
  const all = await registered(api);
  if (prune) steps.push(...(await superfluous(api, { wanted, all })));
  const inOrder = ordered(steps, all.length);
  if (typeof inOrder === "string") throw new Error(wrongIn(path, [inOrder]));
  return inOrder;
}

async function apply(
  api: RelayApi,
  path: string,
  options: { dryRun: boolean; prune: boolean; secretCommand: string | undefined },
): Promise<number> {
  const wanted = readConfiguration(path, process.env);
  const steps = await differences(api, path, { wanted, prune: options.prune });
  if (steps.length === 0) console.log(`${counted(wanted.length, "is", "are")} as ${path} says.`);
  const secrets = { file: `${path}.secrets`, command: options.secretCommand };
  if (!options.dryRun && steps.some(({ kind }) => kind !== "delete")) proveWritable(secrets.file);
  for (const step of steps) {
    print(step);
    if (!options.dryRun) await carryOut(api, step, secrets);
  }
  if (options.dryRun && steps.length > 0) {
    console.log("Nothing was changed: --dry-run.");
    return DIFFERS;
  }
  return Number(process.exitCode ?? 0);
}

function counted(webhooks: number, one: string, many: string): string {
  return webhooks === 1 ? `1 webhook ${one}` : `${webhooks} webhooks ${many}`;
}

// --- the other way ---

async function exportTo(api: RelayApi, path: string, dryRun: boolean): Promise<number> {
  const all = await registered(api);
  const named = all.filter(({ name, url }) => name !== null && url !== LISTENER);
  const whole = await Promise.all(
    // A list does not show the query of a URL.
    named.map(async ({ id }) => answerOf(await api.call("GET", `/v1/webhooks/${id}`)).webhook),
  );
  const webhooks = (whole as Webhook[])
    .map(configurationOf)
    .sort((a, b) => String(a.name).localeCompare(String(b.name)));
  const text = `${JSON.stringify({ $schema: SCHEMA, webhooks }, null, 2)}\n`;
  if (dryRun) process.stdout.write(text);
  else writeNew(path, text);
  const told = dryRun ? console.error : console.log;
  const [is, are] = dryRun ? ["would be", "would be"] : ["is", "are"];
  told(`${counted(webhooks.length, is, are)} in ${path}.`);
  for (const { id, name, url } of all.filter((each) => !named.includes(each))) {
    const why =
      name === null
        ? `without a name; PATCH /v1/webhooks/${id} {"name": "…"} gives it one`
        : "a listener";
    told(`Left out: ${name ?? id} (${url}), ${why}.`);
  }
  return 0;
}

function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: "wx" });
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    throw new Error(
      `${path} ${code === "EEXIST" ? "is there already: remove it, or give another name; --dry-run prints without writing" : `cannot be written: ${code}`}.`,
    );
  }
}

// --- the command ---

const USAGE = `Makes the webhooks of a relay what a file says, and changes only what differs.

  RELAY_API_KEY=… npm run apply -- webhooks.json [options]

  --relay URL             default http://127.0.0.1:8787
  --dry-run               prints what differs and changes nothing; ends with ${DIFFERS} when something does,
                          and with 1 only for what went wrong, an unknown option too
  --prune                 deletes webhooks with a name that the file does not have, but for listeners
  --secret-command CMD    gets each new signing secret on standard input, and the name in $WEBHOOK; without it they are
                          appended to webhooks.json.secrets, readable by you only
  --export                writes the file from the relay instead; with --dry-run it is printed and not written

The file is {"webhooks": [{"name", "url", "events", …}]}, with the fields of PUT /v1/webhooks/{name}; the value of a header
may be {"$env": "CRM_TOKEN"}. webhooks.schema.json is its schema. What is not in it has its default.
The key comes from RELAY_API_KEY, else it is the first of API_KEYS in ${DEV_VARS}. A file with a mistake changes nothing.`;

async function main(args: string[]): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    {
      relay: { type: "string" },
      "dry-run": { type: "boolean", default: false },
      prune: { type: "boolean", default: false },
      "secret-command": { type: "string" },
      export: { type: "boolean", default: false },
    },
    { words: 1 },
  );
  const [path] = positionals;
  if (path === undefined) throw new Misuse("Which file? npm run apply -- webhooks.json");
  const api = relayApi(parseRelay(values.relay), readApiKey());
  if (values.export) return exportTo(api, path, values["dry-run"]);
  return apply(api, path, {
    dryRun: values["dry-run"],
    prune: values.prune,
    secretCommand: values["secret-command"],
  });
}

if (import.meta.main) await runCommand(USAGE, main, FAILED);
