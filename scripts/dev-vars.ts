/** `.dev.vars`: the variables and secrets of the relay that runs on this machine. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { parseEnv } from "node:util";

/** File names in the project's root. */
export const DEV_VARS = ".dev.vars";
export const DEV_VARS_EXAMPLE = ".dev.vars.example";

const HEADER = `# Local secrets, made by "npm start". Never committed; delete this file to get new ones.
# A line that starts with # shows a default: take the # away to change it.
`;

/** What a new file sets; every other name of the example is written as a comment. */
const LOCAL_VALUES: Record<string, () => string> = {
  LEADTERRA_SIGNING_SECRETS: () => `whsec_${randomToken()}`,
  API_KEYS: () => `rk_${randomToken()}`,
  READ_ONLY_API_KEYS: () => `rk_${randomToken()}`,
  ALLOW_PRIVATE_DESTINATIONS: () => "true",
};

/**
 * Makes the file at `path` with random secrets, readable by its owner only, after the names in the example.
 * @returns false when there is one already: it is left as it is.
 */
export function makeDevVars(path: string, examplePath: string): boolean {
  const names = Object.entries(parseEnv(readFileSync(examplePath, "utf8")));
  const lines = names.map(([name, example]) => {
    const make = LOCAL_VALUES[name];
    return make === undefined ? `# ${name}=${example}` : `${name}=${make()}`;
  });
  return makePrivateFile(path, `${HEADER}${lines.join("\n")}\n`);
}

/**
 * Writes variables in the form that `wrangler dev --env-file` reads, so that each comes out as it went in: wrangler
 * puts other variables in place of `$NAME`, unless a backslash stands before the dollar sign.
 */
export function writeVars(path: string, vars: Readonly<Record<string, string>>): void {
  const lines = Object.entries(vars).map(([name, value]) => `${name}=${quote(name, value)}`);
  makePrivateFile(path, `${lines.join("\n")}\n`);
}

/** The variables of a file, which some editors begin with a byte order mark; none when there is no such file. */
export function readVars(path: string): Record<string, string | undefined> {
  try {
    return parseEnv(readFileSync(path, "utf8").replace(/^\uFEFF/, ""));
  } catch (thrown) {
    if (isErrno(thrown, "ENOENT")) return {};
    throw thrown;
  }
}

/** The first of a list separated by commas or line ends. */
export function firstOf(list: string | undefined): string | undefined {
  return list
    ?.split(/[,\r\n]/)
    .map((item) => item.trim())
    .find((item) => item !== "");
}

/** Created in one step, so that two starts at once cannot overwrite each other's secrets. */
function makePrivateFile(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: "wx", mode: 0o600 });
    return true;
  } catch (thrown) {
    if (isErrno(thrown, "EEXIST")) return false;
    throw thrown;
  }
}

function isErrno(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === code;
}

/** Letters, digits, hyphens and underscores: nothing that a shell or an env file would change. */
function randomToken(): string {
  return randomBytes(32).toString("base64url");
}

function quote(name: string, value: string): string {
  const mark = ["'", "`", '"'].find((candidate) => !value.includes(candidate));
  // A backslash before the closing mark would hide it; within "…" any would act.
  const isSafe = !value.endsWith("\\") && !(mark === '"' && value.includes("\\"));
  if (mark === undefined || !isSafe || value.includes("\r")) {
    throw new Error(
      `${name} cannot be written to an env file: it ends with a backslash, or has all of ' " and \` in it.`,
    );
  }
  return mark + value.replaceAll("$", "\\$") + mark;
}
