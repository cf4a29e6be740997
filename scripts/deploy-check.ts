/** What is wrong with a wrangler.toml, or with a file of secrets, found before anything is sent to Cloudflare. */
import { existsSync, readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { join, resolve } from "node:path";
import { DEV_VARS_EXAMPLE, readVars } from "./dev-vars.ts";
import { optionOf, ROOT } from "./wrangler.ts";

/** Without them the relay takes no event and answers no call. */
export const REQUIRED_SECRETS: readonly string[] = ["LEADTERRA_SIGNING_SECRETS", "API_KEYS"];
const SECRETS = [...REQUIRED_SECRETS, "READ_ONLY_API_KEYS", "ALERT_URL"];
/** Unless the variable of this name says otherwise. */
const DEAD_LETTER_QUEUE = "leadterra-dead-letters";

/** What the deploy has to know of wrangler.toml, of the environment that is meant. */
export type DeployConfig = {
  path: string;
  env: string | undefined;
  /** Those that the file has. */
  definedEnvironments?: readonly string[] | undefined;
  name?: string | undefined;
  vars: Readonly<Record<string, unknown>>;
  kv_namespaces: readonly { binding: string }[];
  queues: {
    producers?: readonly { binding: string; queue?: string }[] | undefined;
    consumers?: readonly { queue: string; dead_letter_queue?: string | undefined }[] | undefined;
  };
  durable_objects: { bindings: readonly { name: string; class_name: string }[] };
  assets?: { binding?: string | undefined } | undefined;
  migrations: readonly { new_sqlite_classes?: readonly string[] | undefined }[];
  triggers: { crons?: readonly string[] | undefined };
};

/** As often as the relay's sweep is meant to run. */
const CRON = "*/5 * * * *";
/** Options of wrangler that take the place of the file's. */
const CRONS = ["--triggers", "--schedule", "--schedules"];

/** The wrangler.toml that is meant, as wrangler reads it. @param args options of wrangler. */
export async function readWranglerToml(args: readonly string[]): Promise<DeployConfig> {
  const env = optionOf(args, ["--env", "-e"]);
  const path = resolve(ROOT, optionOf(args, ["--config", "-c"]) ?? "wrangler.toml");
  const { unstable_readConfig } = await import("wrangler");
  const config = unstable_readConfig({ config: path, ...(env === undefined ? {} : { env }) });
  const cron = optionOf(args, CRONS);
  const triggers = cron === undefined ? config.triggers : { crons: [cron] };
  // A variable may name it, too.
  return { ...config, path, env: config.targetEnvironment || undefined, triggers };
}

/** A sentence where the environment that is meant is none of the file's: wrangler would take the top of it, under another name. */
export function unknownEnvironment({ env, definedEnvironments }: DeployConfig): string[] {
  if (!env || definedEnvironments?.includes(env)) return [];
  return [`there is no environment ${env}: [env.${env}] would make it.`];
}

/** What is missing in wrangler.toml, of what the code needs: a sentence each. */
export function problemsOfBindings(config: DeployConfig): string[] {
  const { queues, durable_objects, migrations } = config;
  const bound = new Set([
    ...config.kv_namespaces.map(({ binding }) => binding),
    ...(queues.producers ?? []).map(({ binding }) => binding),
    ...durable_objects.bindings.map(({ name }) => name),
    ...(config.assets?.binding === undefined ? [] : [config.assets.binding]),
  ]);
  const where =
    config.env === undefined ? "" : ` for --env ${config.env}: environments inherit none`;
  const missing = requiredBindings().filter((name) => !bound.has(name));
  const classes = migrations.flatMap(({ new_sqlite_classes = [] }) => new_sqlite_classes);
  const unmade = durable_objects.bindings.filter(({ class_name }) => !classes.includes(class_name));
  return [
    ...unknownEnvironment(config),
    ...missing.map((name) => `the binding ${name} is missing${where}.`),
    ...(missing.length > 0 ? [] : problemsOfQueues(config)),
    ...unmade.map(({ class_name }) => `no [[migrations]] make the class ${class_name}.`),
    ...(config.triggers.crons?.length
      ? []
      : [
          `crons = ["${CRON}"] is missing below [triggers]: no alert would leave, and nothing that stopped would be woken.`,
        ]),
  ];
}

/** package.json describes each binding, and each secret, for those who deploy. */
function requiredBindings(): string[] {
  const { cloudflare } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  return Object.keys(cloudflare.bindings).filter((name) => !SECRETS.includes(name));
}

/** Both queues are consumed, and what is given up on goes from the one to the other. */
function problemsOfQueues({ queues, vars }: DeployConfig): string[] {
  const queueOf = (name: string) =>
    queues.producers?.find(({ binding }) => binding === name)?.queue ?? "";
  const consumerOf = (queue: string) => queues.consumers?.find((each) => each.queue === queue);
  const [events, deadLetters] = [queueOf("EVENTS"), queueOf("DEAD_LETTERS")];
  const named = String(vars.DEAD_LETTER_QUEUE ?? DEAD_LETTER_QUEUE);
  // Every event would be taken for one that was given up on.
  if (events === deadLetters) return ["EVENTS and DEAD_LETTERS must be bound to two queues."];
  return [
    ...[events, deadLetters]
      .filter((queue) => consumerOf(queue) === undefined)
      .map((queue) => `the queue ${queue} has no [[queues.consumers]].`),
    ...(consumerOf(events)?.dead_letter_queue === deadLetters
      ? []
      : [`dead_letter_queue of ${events} must be ${deadLetters}, which DEAD_LETTERS is bound to.`]),
    ...(named === deadLetters
      ? []
      : [`DEAD_LETTER_QUEUE must be "${deadLetters}": DEAD_LETTERS is bound to it.`]),
  ];
}

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

/** What is wrong with the secrets that are sent along: a sentence each, which shows none of them. */
export async function problemsOfSecrets(path: string): Promise<string[]> {
  const { readConfig } = await importConfig();
  const secrets = secretsIn(path);
  return readConfig(secrets)
    .problems.filter(({ name }) => SECRETS.includes(name) && Object.hasOwn(secrets, name))
    .map(({ message }) => message);
}

/** As wrangler reads it, JSON or in the form of `.env`; of a file that is not there it says so itself. */
function secretsIn(path: string): Record<string, unknown> {
  if (!existsSync(path)) return {};
  try {
    return Object(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return readVars(path);
  }
}

/** The Worker's own check; its files import each other without `.ts`, which Node has to be told. */
export async function importConfig(): Promise<typeof import("../src/config.ts")> {
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
