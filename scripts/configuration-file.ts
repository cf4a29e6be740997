/** The file of `npm run apply`: the webhooks that a relay is to have. */
import { readFileSync } from "node:fs";

const NAME = /^[a-z][a-z0-9-]{0,62}$/;

export type Configured = { name: string; [field: string]: unknown };

/** @throws with everything that is wrong with the file: then nothing is done. */
export function readConfiguration(path: string, env: NodeJS.ProcessEnv): Configured[] {
  let text: string;
  try {
    // Some editors begin a file with a byte order mark.
    text = readFileSync(path, "utf8").replace(/^\uFEFF/, "");
  } catch (thrown) {
    throw new Error(`${path} cannot be read: ${(thrown as NodeJS.ErrnoException).code}.`);
  }
  const mistakes: string[] = [];
  const webhooks = listOf(path, text).map((given, index) => {
    const at = `webhooks[${index}]`;
    const webhook = Object(given) as Configured;
    if (typeof webhook.name !== "string" || !NAME.test(webhook.name)) {
      mistakes.push(`${at}.name must be lower-case letters, digits and hyphens, such as crm`);
      return webhook;
    }
    // `PUT` knows it, and would do nothing and say that all is well.
    if ("dryRun" in webhook) mistakes.push(`${webhook.name}: dryRun is not a known field`);
    return withValues(webhook, env, mistakes);
  });
  const names = webhooks.map(({ name }) => name);
  for (const name of new Set(names.filter((name, index) => names.indexOf(name) !== index))) {
    mistakes.push(`${name} stands in the file more than once`);
  }
  if (mistakes.length > 0) throw new Error(wrongIn(path, mistakes));
  return webhooks;
}

function listOf(path: string, text: string): unknown[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (thrown) {
    throw new Error(`${path} is no JSON: ${flawOf(text, (thrown as Error).message)}`);
  }
  const { $schema: _, webhooks, ...others } = Object(parsed) as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (!Array.isArray(webhooks) || unknown !== undefined) {
    throw new Error(
      `${path} must be {"webhooks": [{"name": …, "url": …, "events": […]}]}${unknown ? `, without "${unknown}"` : ""}.`,
    );
  }
  return webhooks;
}

/** What `JSON.parse` says, with the line in place of what stands there: that may be a secret, and a pipeline keeps what is printed. */
function flawOf(text: string, message: string): string {
  const [, said, around] =
    /^(.*?), (?:\.{3})?"(.*)"(?:\.{3})? is not valid JSON$/s.exec(message) ?? [];
  if (said === undefined || around === undefined) return message;
  const [before = ""] = text.split(around);
  const upTo = before + around.slice(0, around.length / 2);
  return `${said} in line ${upTo.split("\n").length}`;
}

/** Headers that are named by a variable get its value. */
function withValues(given: Configured, env: NodeJS.ProcessEnv, mistakes: string[]): Configured {
  const { headers } = given;
  if (typeof headers !== "object" || headers === null) return given;
  const values = Object.entries(headers).map(([header, value]) => {
    const { $env } = Object(value) as { $env?: unknown };
    if (typeof $env !== "string") return [header, value];
    const found = env[$env];
    if (!found) mistakes.push(`${given.name}: ${$env} is not in the environment (${header})`);
    return [header, found];
  });
  return { ...given, headers: Object.fromEntries(values) };
}

/** What is said of a file that is not applied. */
export function wrongIn(path: string, mistakes: readonly string[]): string {
  return [`${path} is not applied, and nothing was changed:`, ...mistakes]
    .join("\n  ")
    .concat("\n");
}
