/**
 * Checks the configuration, deploys, and says what is left to do.
 *
 *   npm run deploy
 *   npm run deploy -- --env staging --dry-run
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { registerHooks } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { styleText } from "node:util";
import { runCommand } from "./command.ts";
import { DEV_VARS_EXAMPLE, readVars } from "./dev-vars.ts";
import {
  exitCodeOf,
  optionOf,
  ROOT,
  runWrangler,
  secretNamesIn,
  spawnWrangler,
} from "./wrangler.ts";

/** Without them the relay takes no event and answers no call. */
const REQUIRED_SECRETS = ["LEADTERRA_SIGNING_SECRETS", "API_KEYS"];
const SECRETS = [...REQUIRED_SECRETS, "READ_ONLY_API_KEYS", "ALERT_URL"];
/** Options that say which Worker is meant, for `wrangler secret` too. */
const WHICH_WORKER = [["--env", "-e"], ["--config", "-c"], ["--name"]] as const;

/** What is wrong with the `[vars]` of wrangler.toml: a sentence each. */
export async function problemsOfVars(vars: Readonly<Record<string, unknown>>): Promise<string[]> {
  const { readConfig } = await importConfig();
  const { problems } = readConfig(vars);
  const known = Object.keys(readVars(join(ROOT, DEV_VARS_EXAMPLE)));
  const isSecret = (name: string) => SECRETS.includes(name);
  const names = Object.keys(vars);
  return [
    ...problems.filter(({ name }) => !isSecret(name)).map(({ message }) => message),
    ...names
      .filter((name) => known.includes(name) && typeof vars[name] !== "string")
      .map((name) => `${name} must be text: put quotes around it.`),
    ...names
      .filter(isSecret)
      .map((name) => `${name} is a secret: take it out, and use "wrangler secret put ${name}".`),
    ...names
      .filter((name) => !known.includes(name))
      .map((name) => `${name} is not a variable of the relay; is it misspelt?`),
  ];
}

/** The Worker's own check; its files import each other without `.ts`, which Node has to be told. */
async function importConfig(): Promise<typeof import("../src/config.ts")> {
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      next(/^\.\.?\/(?!.*\.ts$)/.test(specifier) ? `${specifier}.ts` : specifier, context),
  });
  try {
    return await import("../src/config.ts");
  } finally {
    hooks.deregister();
  }
}

function whichWorker(args: readonly string[]): string[] {
  return WHICH_WORKER.flatMap((names) => {
    const value = optionOf(args, names);
    return value === undefined ? [] : [names[0], value];
  });
}

/** Addresses in the report that wrangler writes about a deploy (WRANGLER_OUTPUT_FILE_PATH, a JSON a line). */
export function addressesIn(report: string): string[] {
  const entries = report
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { type: string; targets?: string[] });
  const targets = entries.flatMap(({ type, targets = [] }) => (type === "deploy" ? targets : []));
  return targets.flatMap((target) => {
    const [, host] =
      /^(?:https:\/\/)?([\w-]+(?:\.[\w-]+)+)(?:$| \(custom domain)/.exec(target) ?? [];
    return host === undefined ? [] : [`https://${host}`];
  });
}

/** @returns the exit code, and the addresses at which the relay is now. */
async function deploy(args: readonly string[]): Promise<{ exitCode: number; addresses: string[] }> {
  const directory = mkdtempSync(join(tmpdir(), "leadterra-relay-deploy-"));
  const report = join(directory, "report.ndjson");
  try {
    const env = { WRANGLER_OUTPUT_FILE_PATH: report };
    const exitCode = await exitCodeOf(
      spawnWrangler(["deploy", ...args], { stdio: "inherit", env }),
    );
    return { exitCode, addresses: exitCode === 0 ? addressesIn(readFileSync(report, "utf8")) : [] };
  } finally {
    rmSync(directory, { recursive: true, force: true });
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
  const health = addresses.map((address) => `${address}/healthz`).join(" or ");
  console.log(
    `Look at ${styleText("bold", health || "/healthz")}: it answers 200 when nothing is missing, else it says what is.`,
  );
}

const USAGE = `Checks the configuration, deploys, and says what is left to do.

  npm run deploy -- [options of wrangler deploy]

  --env NAME     another environment of wrangler.toml
  --config FILE  another wrangler.toml
  --dry-run      checks and bundles, and sends nothing`;

async function main(args: readonly string[]): Promise<number> {
  const env = optionOf(args, ["--env", "-e"]);
  const config = optionOf(args, ["--config", "-c"]) ?? join(ROOT, "wrangler.toml");
  const { unstable_readConfig } = await import("wrangler");
  const { vars } = unstable_readConfig({ config, ...(env === undefined ? {} : { env }) });
  const problems = await problemsOfVars(vars);
  if (problems.length > 0) {
    console.error(styleText("red", "Not deployed. The [vars] of wrangler.toml:"));
    for (const problem of problems) console.error(`  ${problem}`);
    return 1;
  }
  if (vars.ALLOW_PRIVATE_DESTINATIONS === "true") {
    console.warn(
      styleText("yellow", "ALLOW_PRIVATE_DESTINATIONS is meant for local development only."),
    );
  }
  const { exitCode, addresses } = await deploy(args);
  if (exitCode === 0 && !args.includes("--dry-run"))
    await printWhatIsLeft(whichWorker(args), addresses);
  return exitCode;
}

if (import.meta.main) await runCommand(USAGE, main);
