/**
 * Runs the relay on this machine, with what a person needs next on the screen, and its log.
 *
 *   npm start
 *   npm start -- --port 8788 --persist-to /tmp/relay-state
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs, styleText } from "node:util";
import {
  Misuse,
  onInterrupt,
  readPort,
  readWholeNumber,
  refuseKept,
  refuseStray,
  runCommand,
} from "./command.ts";
import { importConfig, readWranglerToml, unknownEnvironment } from "./deploy-check.ts";
import { DEV_VARS, DEV_VARS_EXAMPLE, makeDevVars, readVars } from "./dev-vars.ts";
import { onCrash, readableLog } from "./log-lines.ts";
import { DEFAULT_IP, type Relay, startRelay } from "./relay.ts";
import { optionOf, ROOT } from "./wrangler.ts";

const DEFAULT_PORT = 8787;
/** wrangler's option for a variable. */
const VAR = "--var";
/** The cron trigger in wrangler.toml, which `wrangler dev` never fires. */
const SCHEDULED_EVERY_MS = 5 * 60_000;

/** Options that are the script's own; every other one is wrangler's. */
const OWN = {
  port: { type: "string" },
  ip: { type: "string" },
  "env-file": { type: "string", multiple: true },
  "persist-to": { type: "string" },
  "raw-log": { type: "boolean" },
} as const;
/** Of wrangler's, what says which relay it is. */
const WRANGLERS = {
  env: { type: "string", short: "e" },
  config: { type: "string", short: "c" },
  var: { type: "string", multiple: true },
} as const;
/** Options of `wrangler dev` that cannot be had here, and why. */
const IMPOSSIBLE: Readonly<Record<string, string>> = {
  "local-protocol": "the relay speaks http: on this machine; put a proxy before it for https:",
  "https-key-path": "the relay speaks http: on this machine; put a proxy before it for https:",
  "https-cert-path": "the relay speaks http: on this machine; put a proxy before it for https:",
  remote: "the relay runs on this machine; npm run deploy brings it to Cloudflare",
  local: "the relay runs on this machine, always",
  "show-interactive-dev-session": "this command is no interactive session",
  cwd: "it runs in the project's own folder; --config names another wrangler.toml",
};

export type Arguments = {
  port: number;
  ip: string;
  /** Absolute; empty: `.dev.vars`. */
  envFiles: string[];
  persistTo: string;
  config: string;
  rawLog: boolean;
  /** For wrangler, as they were given. */
  passedOn: string[];
};

/** @throws Misuse for a value that is missing or wrong, and for what cannot be had. */
export function parseArguments(args: readonly string[]): Arguments {
  const { values, passedOn } = takeOwn(args);
  // Of wrangler's `--env-file` two may stand behind one; here each has its own.
  refuseStray(args, { ...OWN, ...WRANGLERS, "env-file": { type: "string" } });
  const config = resolve(ROOT, optionOf(passedOn, ["--config", "-c"]) ?? "wrangler.toml");
  const inspectorPort = optionOf(passedOn, ["--inspector-port"]);
  if (inspectorPort !== undefined) readWholeNumber("--inspector-port", inspectorPort, [0, 65_535]);
  const { port, ip, "persist-to": persistTo, "env-file": envFiles = [] } = values;
  return {
    port: port === undefined ? DEFAULT_PORT : readPort(String(port)),
    ip: String(ip ?? DEFAULT_IP),
    envFiles: envFiles.map((file) => resolve(ROOT, String(file))),
    persistTo: resolve(ROOT, String(persistTo ?? join(dirname(config), ".wrangler/state"))),
    config,
    rawLog: values["raw-log"] === true,
    passedOn,
  };
}

/** Takes the script's own options out; the others stay as they are, in their order. */
function takeOwn(args: readonly string[]) {
  const parsed = parseArgs({ args: [...args], options: OWN, strict: false, tokens: true });
  const taken = new Set<number>();
  for (const token of parsed.tokens) {
    if (token.kind !== "option") continue;
    const { name, index, value, inlineValue } = token;
    const why = IMPOSSIBLE[name.replace(/^no-/, "")];
    if (why !== undefined) throw new Misuse(`--${name} cannot be had here: ${why}.`);
    if (!(name in OWN)) continue;
    taken.add(index);
    if (name === "raw-log") continue;
    if (!value || value.startsWith("-")) throw new Misuse(`--${name} needs a value.`);
    if (!inlineValue) taken.add(index + 1);
  }
  return { values: parsed.values, passedOn: args.filter((_, index) => !taken.has(index)) };
}

const USAGE = `Runs the relay on this machine with "wrangler dev".

  npm start -- [options] [options of wrangler dev]

  --port N           default ${DEFAULT_PORT}; 0 for any that is free
  --ip ADDRESS       where it listens; default ${DEFAULT_IP}, 0.0.0.0 for every address of the machine
  --env-file FILE    variables and secrets; default ${DEV_VARS}, which the first start makes
  --persist-to DIR   where events and webhooks are kept; default .wrangler/state
  --raw-log          the relay's log as it is on Cloudflare: a line of JSON for each happening`;

/** The environment of wrangler.toml that is meant: an option says it, or the variable that wrangler takes. */
function environmentOf({ passedOn }: Arguments): string | undefined {
  return (optionOf(passedOn, ["--env", "-e"]) ?? process.env.CLOUDFLARE_ENV) || undefined;
}

/** @throws Misuse when there is no such environment. Without one nothing is read: wrangler takes two seconds to load. */
async function refuseUnknownEnvironment(given: Arguments): Promise<void> {
  if (environmentOf(given) === undefined) return;
  const [problem] = unknownEnvironment(await readWranglerToml(given.passedOn));
  if (problem !== undefined) throw new Misuse(`In ${given.config}: ${problem}`);
}

/** @throws when wrangler could not write there what it bundles: of a folder that is only read it says nothing for 90 s. */
function refuseUnwritable(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
  } catch (thrown) {
    throw new Error(`wrangler has to write to ${folder}: ${(thrown as Error).message}.`);
  }
}

/** The file, or files, that hold the variables: named here, or the one that wrangler would take. */
function envFilesOf(given: Arguments): string[] {
  const { envFiles, config } = given;
  if (envFiles.length > 0) return envFiles;
  const plain = join(dirname(config), DEV_VARS);
  const env = environmentOf(given);
  const ofEnvironment = `${plain}.${env}`;
  return [env !== undefined && existsSync(ofEnvironment) ? ofEnvironment : plain];
}

/** What a person needs next, in at most ten lines. */
function printWelcome(url: string, made: boolean, files: readonly string[], key?: string): void {
  const devVars = join(ROOT, DEV_VARS);
  const isDefault = files.includes(devVars);
  const named = files.map((file) => (file === devVars ? DEV_VARS : file)).join(", ");
  const headers = `-H 'Authorization: Bearer ${key ?? "…"}' -H 'Content-Type: application/json'`;
  const webhook = `{"url":"http://127.0.0.1:9000/leadterra","events":["*"]}`;
  const elsewhere = url.endsWith(`:${DEFAULT_PORT}`) ? "" : ` --url ${url}/webhooks/leadterra`;
  const signedWith = isDefault ? "" : ` --secret "one of ${named}"`;
  const bold = (text: string) => styleText("bold", text);
  console.log(`${bold("Leadterra Relay")} runs at ${bold(url)}: ${url}/dashboard, and its API: ${url}/docs
  API key         ${key ?? `none: set API_KEYS in ${named}`}
  signing secret  LEADTERRA_SIGNING_SECRETS in ${named}${made ? ", made just now" : ""}
Next, in other terminals:
  1. a service    npm run receiver
  2. register it  curl -X PUT ${url}/v1/webhooks/my-service ${headers} -d '${webhook}'
  3. an event     npm run leadterra -- send${elsewhere}${signedWith}
Ctrl-C stops the relay; what it knows is kept. Its log follows.`);
}

type Problem = { name: string; message: string };

type Variables = { where: string; vars: Readonly<Record<string, string | undefined>> };

/** What is set, and where: of a name that stands in several places the last one counts. */
export function variablesOf(given: Arguments, files: readonly string[]): Variables[] {
  const { config, passedOn } = given;
  return [
    { where: config, vars: textsIn(config, environmentOf(given)) },
    ...files.map((file) => ({ where: file, vars: readVars(file) })),
    { where: VAR, vars: givenAs(VAR, passedOn) },
  ];
}

/** Where it is to be mended: a binding in the wrangler.toml, which is the first of them. null for a variable that is set nowhere. */
export function placeOf(name: string, set: readonly Variables[]): string | null {
  const setIn = set.findLast(({ vars }) => Object.hasOwn(vars, name));
  const isVariable = Object.hasOwn(readVars(join(ROOT, DEV_VARS_EXAMPLE)), name);
  return (setIn ?? (isVariable ? null : set[0]))?.where ?? null;
}

/** The `[vars]` of a wrangler.toml that are text in one line; what is written in another way is told later. */
function textsIn(config: string, env: string | undefined): Record<string, string> {
  const table = env === undefined ? "[vars]" : `[env.${env}.vars]`;
  const tables = existsSync(config) ? readFileSync(config, "utf8").split(/^(?=[ \t]*\[)/m) : [];
  const lines = tables.find((each) => each.trimStart().startsWith(table)) ?? "";
  const texts = lines.matchAll(/^[ \t]*(\w+)[ \t]*=[ \t]*(?:"([^"\\\n]*)"|'([^'\n]*)')/gm);
  return Object.fromEntries([...texts].map(([, name, one, other]) => [name, one ?? other]));
}

/** `--var NAME:value NAME:value`, as often as it stands there. */
function givenAs(option: string, args: readonly string[]): Record<string, string> {
  const words = args.flatMap((word) =>
    word.startsWith(`${option}=`) ? [option, word.slice(option.length + 1)] : word,
  );
  let last = "";
  const pairs = words.flatMap((word) => {
    if (word.startsWith("-")) last = word;
    const [name = "", ...value] = word.split(":");
    return last === option && word !== last ? [[name, value.join(":")]] : [];
  });
  return Object.fromEntries(pairs);
}

/** The first key that counts, and what is wrong with what is set: that is known before the relay is there. */
async function readAll(set: readonly Variables[]) {
  const { readConfig } = await importConfig();
  const vars = Object.assign({}, ...set.map((each) => each.vars));
  const { apiKeys, problems } = readConfig(vars);
  return { key: apiKeys[0], wrong: problems.filter(({ name }) => Object.hasOwn(vars, name)) };
}

/** What `/healthz` says is wrong with the configuration. */
async function problemsOf(url: string): Promise<readonly Problem[]> {
  const health = await fetch(`${url}/healthz`).catch(() => null);
  const { problems = [] } = ((await health?.json().catch(() => null)) ?? {}) as {
    problems?: Problem[];
  };
  return problems;
}

async function main(args: string[]): Promise<number> {
  refuseKept(args, { ...OWN, ...WRANGLERS });
  const given = parseArguments(args);
  await refuseUnknownEnvironment(given);
  const files = envFilesOf(given);
  const made =
    given.envFiles.length === 0 &&
    files.includes(join(ROOT, DEV_VARS)) &&
    makeDevVars(join(ROOT, DEV_VARS), join(ROOT, DEV_VARS_EXAMPLE));
  const missing = given.envFiles.find((file) => !existsSync(file));
  if (missing !== undefined) throw new Misuse(`--env-file: there is no ${missing}.`);
  const vars: Record<string, string> = Object.assign({}, ...files.map(readVars));
  let relay: Relay | undefined;
  let interrupted = false;
  onInterrupt(async (counted) => {
    interrupted = true;
    await relay?.stop();
    return relay === undefined ? counted : 0;
  });
  const told = new Set<string>();
  const set = variablesOf(given, files);
  const tell = ({ name, message }: Problem) => {
    if (told.has(message)) return;
    told.add(message);
    const where = placeOf(name, set) ?? files.join(", ");
    console.log(styleText("red", `✗ ${message} Mend it in ${where}, and start again.`));
  };
  if (existsSync(given.config)) refuseUnwritable(join(dirname(given.config), ".wrangler"));
  console.log("Starting the relay …");
  const { key, wrong } = await readAll(set);
  for (const problem of wrong) tell(problem);
  relay = await startRelay({
    port: given.port,
    ip: given.ip,
    persistTo: given.persistTo,
    vars,
    passedOn: given.passedOn,
    onNotice: (sentence) => console.log(styleText("yellow", sentence)),
  });
  const { ended, follow, runScheduled, url } = relay;
  printWelcome(url, made, files, key);
  const { promise: crashed, resolve: crash } = Promise.withResolvers<void>();
  const print = (text: string) => process.stdout.write(text);
  const log = given.rawLog ? print : readableLog(print);
  const look = onCrash(crash);
  follow((text) => {
    log(text);
    look(text);
  });
  for (const problem of await problemsOf(url)) tell(problem);
  const sweep = () =>
    runScheduled().catch((thrown: Error) => console.error(`Scheduled run: ${thrown.message}`));
  setInterval(() => void sweep(), SCHEDULED_EVERY_MS).unref();
  const end = await Promise.race([ended.then(() => "wrangler"), crashed.then(() => "runtime")]);
  if (interrupted) return 0;
  await relay.stop();
  throw new Error(
    end === "wrangler"
      ? "wrangler has ended."
      : "Cloudflare's runtime on this machine (workerd) was killed or has crashed. Start again: what the relay knows is kept.",
  );
}

if (import.meta.main) await runCommand(USAGE, main);
