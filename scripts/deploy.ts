/**
 * Checks the configuration, deploys, and says what is left to do.
 *
 *   npm run deploy
 *   npm run deploy -- --env staging --dry-run
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { styleText } from "node:util";
import { batchTimeoutAdvice } from "./batch-timeout.ts";
import { FAILED, refuseKept, refuseStray, runCommand } from "./command.ts";
import {
  type DeployConfig,
  problemsOfBindings,
  problemsOfSecrets,
  problemsOfVars,
  REQUIRED_SECRETS,
  readWranglerToml,
} from "./deploy-check.ts";
import { relayApi } from "./relay-api.ts";
import { removesAtExit, temporaryDirectory } from "./temporary.ts";
import {
  exitCodeOf,
  optionOf,
  ROOT,
  runWrangler,
  secretNamesIn,
  spawnWrangler,
  TEMPORARY_DIRECTORY,
} from "./wrangler.ts";

/** The binding of the KV namespace, which wrangler makes at the first deploy. */
const NAMESPACE = "IDEMPOTENCY";
/** Of REQUIRED_SECRETS, the one that nobody here can make up. */
const LEADTERRA_SECRET = "LEADTERRA_SIGNING_SECRETS";
/** Cloudflare's code for a KV namespace that there is already. */
const TITLE_TAKEN = 10_014;
/** Options that say which Worker is meant, for `wrangler secret` too. */
const WHICH_WORKER = [["--env", "-e"], ["--config", "-c"], ["--name"]] as const;

/** Options that npm must not keep: what changes where a deploy goes, and what it leaves there. */
const OPTIONS = {
  env: { type: "string", short: "e" },
  config: { type: "string", short: "c" },
  name: { type: "string" },
  route: { type: "string", multiple: true },
  routes: { type: "string", multiple: true },
  domain: { type: "string", multiple: true },
  domains: { type: "string", multiple: true },
  "dry-run": { type: "boolean" },
  "secrets-file": { type: "string" },
  var: { type: "string", multiple: true },
  "keep-vars": { type: "boolean" },
  strict: { type: "boolean" },
} as const;

/** `--keep-vars true` as `--keep-vars=true`: wrangler takes either. */
function joined(args: readonly string[]): string[] {
  const isSaid = (word = "") => word === "true" || word === "false";
  const mayBeSaid = (word = "") =>
    Object.entries(OPTIONS).some(([name, { type }]) => type === "boolean" && word === `--${name}`);
  return args.flatMap((word, index) => {
    const [before, after] = [args[index - 1], args[index + 1]];
    if (isSaid(word) && mayBeSaid(before)) return [];
    return mayBeSaid(word) && isSaid(after) ? [`${word}=${after}`] : [word];
  });
}

/** The words without these options and their values. */
function without(args: readonly string[], names: readonly string[]): string[] {
  return args.filter((word, index) => {
    const isValue = names.includes(args[index - 1] ?? "");
    return !isValue && !names.includes(word.replace(/=.*/s, ""));
  });
}

function whichAccount(args: readonly string[]): string[] {
  const config = optionOf(args, ["--config", "-c"]);
  return config === undefined ? [] : ["--config", config];
}

function whichWorker(args: readonly string[]): string[] {
  return WHICH_WORKER.flatMap((names) => {
    const value = optionOf(args, names);
    // No environment is an answer too: a variable may name one.
    if (value === "") return [`${names[0]}=`];
    return value === undefined ? [] : [names[0], value];
  });
}

type ReportEntry = { type: string; targets?: string[]; code?: number };

/** The report that wrangler writes about a deploy (WRANGLER_OUTPUT_FILE_PATH): a JSON a line. */
function entriesIn(report: string): ReportEntry[] {
  return report
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

function failureCodeIn(report: string): number | null {
  return entriesIn(report).find(({ type }) => type === "command-failed")?.code ?? null;
}

/** Addresses in wrangler's report. */
export function addressesIn(report: string): string[] {
  const targets = entriesIn(report).flatMap(({ type, targets = [] }) =>
    type === "deploy" ? targets : [],
  );
  return targets.flatMap((target) => {
    const [, host] =
      /^(?:https:\/\/)?([\w-]+(?:\.[\w-]+)+)(?:$| \(custom domain)/.exec(target) ?? [];
    return host === undefined ? [] : [`https://${host}`];
  });
}

type Outcome = {
  exitCode: number;
  /** At which the relay is now. */
  addresses: string[];
  /** Of Cloudflare's API, where it refused a step. */
  code: number | null;
};

/** Runs `wrangler deploy`, which says for itself what it does. */
async function deploy(args: readonly string[]): Promise<Outcome> {
  const { directory, remove } = temporaryDirectory("deploy");
  const file = join(directory, "report.ndjson");
  try {
    // Killed, it goes after this process, and may have made the directory again.
    const env = { WRANGLER_OUTPUT_FILE_PATH: file, [TEMPORARY_DIRECTORY]: directory };
    const child = spawnWrangler(["deploy", ...args], {
      stdio: ["inherit", "inherit", "inherit"],
      env,
    });
    const exitCode = await exitCodeOf(child);
    const report = existsSync(file) ? readFileSync(file, "utf8") : "";
    return { exitCode, addresses: addressesIn(report), code: failureCodeIn(report) };
  } finally {
    remove();
  }
}

/**
 * Deploys; where an earlier try was refused after it had made the KV namespace, with that one. (wrangler makes it by
 * title without looking whether it is there.)
 */
async function deployWhole(args: readonly string[], config: DeployConfig): Promise<Outcome> {
  const outcome = await deploy(args);
  if (outcome.code !== TITLE_TAKEN) return outcome;
  const title = `${optionOf(args, ["--name"]) ?? config.name}-${NAMESPACE.toLowerCase()}`;
  const id = await namespaceId(title, whichAccount(args));
  if (id === null) return outcome;
  console.log(`The KV namespace ${title} was made by an earlier deploy: going on with it.`);
  return withNamespace(config, id, (path) =>
    deploy([...without(args, ["--config", "-c"]), "--config", path]),
  );
}

async function namespaceId(title: string, which: readonly string[]): Promise<string | null> {
  const { exitCode, stdout } = await runWrangler(["kv", "namespace", "list", ...which]);
  if (exitCode !== 0) return null;
  const all: { id: string; title: string }[] = JSON.parse(stdout.slice(stdout.indexOf("[")));
  return all.find((namespace) => namespace.title === title)?.id ?? null;
}

/**
 * Calls with a copy of the configuration that names the namespace. It lies beside the original, since paths are
 * relative, and is JSON: wrangler changes no TOML with comments in it.
 */
async function withNamespace<T>(
  { path, env }: DeployConfig,
  id: string,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const { experimental_readRawConfig } = await import("wrangler");
  const { rawConfig } = experimental_readRawConfig({ config: path });
  const scope = env === undefined ? rawConfig : rawConfig.env?.[env];
  const namespace = scope?.kv_namespaces?.find(
    (each: { binding: string }) => each.binding === NAMESPACE,
  );
  if (namespace !== undefined) namespace.id = id;
  const copy = join(dirname(path), `wrangler.deploy-${process.pid}.json`);
  writeFileSync(copy, JSON.stringify(rawConfig));
  const remove = removesAtExit(copy);
  try {
    return await use(copy);
  } finally {
    remove();
  }
}

/** @returns null when wrangler cannot tell. */
async function deployedSecrets(worker: readonly string[]): Promise<string[] | null> {
  const { exitCode, stdout } = await runWrangler(["secret", "list", "--format", "json", ...worker]);
  return exitCode === 0 ? secretNamesIn(stdout) : null;
}

async function printWhatIsLeft(
  worker: readonly string[],
  addresses: readonly string[],
): Promise<void> {
  const present = await deployedSecrets(worker);
  const missing = REQUIRED_SECRETS.filter((name) => !present?.includes(name));
  console.log();
  if (missing.length > 0) {
    const unsure = present === null ? ", unless they are there already" : "";
    console.log(styleText("bold", `Secrets that the relay still needs${unsure}:`));
    for (const name of missing) {
      console.log(`  ${["npx wrangler secret put", name, ...worker].join(" ")}`);
    }
  }
  if (missing.includes(LEADTERRA_SECRET)) {
    const relay = addresses[0] ?? "https://YOUR_RELAY";
    console.log(
      `Leadterra makes ${LEADTERRA_SECRET} when the relay is registered there; this does both:`,
    );
    console.log(
      `  ${["LEADTERRA_API_KEY=sk_live_YOUR_KEY npm run register -- --relay", relay, ...worker].join(" ")}`,
    );
  }
  const health = addresses.map((address) => `${address}/healthz`).join(" or ");
  console.log(
    `Look at ${styleText("bold", health || "/healthz")}: it answers 200 when nothing is missing, else it says what is.`,
  );
  const [address] = addresses;
  const apiKey = process.env.RELAY_API_KEY?.trim();
  // Not a key of .dev.vars: what is deployed has its own.
  if (address === undefined || !apiKey) return;
  const advice = await batchTimeoutAdvice(relayApi(address, apiKey));
  if (advice !== null) console.log(advice);
}

const USAGE = `Checks the configuration, deploys, and says what is left to do.

  npm run deploy -- [options of wrangler deploy]

  --env NAME     another environment of wrangler.toml, "" for none of those that it has; never -e without -- before it: npm
                 drops it, and the value
  --config FILE  another wrangler.toml
  --dry-run      checks and bundles, and sends nothing
  --secrets-file FILE
                 secrets that are sent along, as JSON or as in .env; they are checked too

With RELAY_API_KEY in the environment, a key of the relay, it also says what max_batch_timeout 0 and 1 cost at the rate of
its last day.`;

function tell(file: string, problems: readonly string[]): void {
  if (problems.length > 0) console.error(styleText("red", `In ${file}:`));
  for (const problem of problems) console.error(`  ${problem}`);
}

async function main(given: string[]): Promise<number> {
  const args = joined(given);
  refuseKept(args, OPTIONS);
  refuseStray(args, OPTIONS);
  const config = await readWranglerToml(args);
  const problems = [...problemsOfBindings(config), ...(await problemsOfVars(config.vars))];
  const secrets = optionOf(args, ["--secrets-file"]);
  const wrong = secrets === undefined ? [] : await problemsOfSecrets(resolve(ROOT, secrets));
  if (problems.length + wrong.length > 0) {
    console.error(styleText("red", "Nothing was sent."));
    tell(basename(config.path), problems);
    tell(basename(secrets ?? ""), wrong);
    return FAILED;
  }
  if (config.vars.ALLOW_PRIVATE_DESTINATIONS === "true") {
    console.warn(
      styleText("yellow", "ALLOW_PRIVATE_DESTINATIONS is meant for local development only."),
    );
  }
  const { exitCode, addresses } = await deployWhole(args, config);
  if (exitCode !== 0) {
    console.error(
      "Not deployed, or not whole; wrangler says why above. What was made stays: when that is mended, the same command goes on from there.",
    );
  } else if (!args.some((word) => /^--dry-run(=true)?$/.test(word))) {
    await printWhatIsLeft(whichWorker(args), addresses);
  }
  return exitCode;
}

if (import.meta.main) await runCommand(USAGE, main);
