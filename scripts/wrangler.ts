/** How the scripts run wrangler: the project's own, on the Node that runs the script. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { endsWithUs } from "./processes.ts";

/** The project. */
export const ROOT = resolve(import.meta.dirname, "..");

/** No telemetry, no error reports, no look for a newer version, no questions, no log files outside the project. */
export const QUIET: Readonly<Record<string, string>> = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
  WRANGLER_WRITE_LOGS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  // Local traces would keep a copy of every request on disk, secrets and all.
  X_LOCAL_OBSERVABILITY: "false",
};

/** In the environment of wrangler's processes: a directory that goes when this process is gone. */
export const TEMPORARY_DIRECTORY = "LEADTERRA_RELAY_DIRECTORY";

/** In the environment of wrangler's processes: whether each ends alone, or the whole group that is theirs. */
export const GUARDED = "LEADTERRA_RELAY_GUARDED";
/** Likewise: the process that started them, by its id. */
export const STARTED_BY = "LEADTERRA_RELAY_STARTED_BY";

type Stream = "pipe" | "ignore" | "inherit";
type WranglerOptions = {
  /** Standard input, output and error. */
  stdio: readonly [Stream, Stream, Stream];
  /** A group of its own. Without it wrangler can ask at the terminal. */
  detached?: boolean;
  /** Added to this process's environment. */
  env?: Readonly<Record<string, string>>;
};

/**
 * The folder of a package, wherever Node finds it from a folder: a workspace hoists it above the project.
 * @throws when it is not installed.
 */
export function folderOfPackage(name: string, from: string = ROOT): string {
  const places = createRequire(join(from, "package.json")).resolve.paths(name) ?? [];
  const folders = places.map((place) => join(place, name));
  const found = folders.find((folder) => existsSync(join(folder, "package.json")));
  if (found === undefined) throw new Error(`The package ${name} is not installed.`);
  return found;
}

/** Starts wrangler in the project's root. It ends with this process, however that ends (guard.ts). */
export function spawnWrangler(
  args: readonly string[],
  { stdio, detached = false, env }: WranglerOptions,
): ChildProcess {
  const entry = join(folderOfPackage("wrangler"), "bin/wrangler.js");
  const guard = pathToFileURL(join(import.meta.dirname, "guard.ts")).href;
  const child = spawn(process.execPath, ["--import", guard, entry, ...args], {
    cwd: ROOT,
    detached,
    // The channel is there for its end: it tells wrangler's processes that this one is gone.
    stdio: [...stdio, "ipc"],
    env: {
      ...process.env,
      // What wrangler starts as `node`, the build, gets the same one.
      PATH: [dirname(process.execPath), process.env.PATH].filter(Boolean).join(delimiter),
      ...env,
      [GUARDED]: detached ? "group" : "alone",
      [STARTED_BY]: String(process.pid),
    },
  });
  if (detached) endsWithUs(child);
  return child;
}

export type Finished = { exitCode: number; stdout: string; stderr: string };

/** Runs wrangler to its end, with `input` as its standard input; what it says is read and not shown. */
export async function runWrangler(args: readonly string[], input?: string): Promise<Finished> {
  const child = spawnWrangler(args, {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    env: QUIET,
  });
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  // A wrangler that ends without having read its input says why by its exit code.
  child.stdin?.on("error", () => {}).end(input ?? "");
  return { exitCode: await exitCodeOf(child), stdout: stdout(), stderr: stderr() };
}

/** Resolves when the process has ended and all that it printed is read. */
export function exitCodeOf(child: ChildProcess): Promise<number> {
  return new Promise((resolveCode, reject) => {
    child.once("error", reject).once("close", (code) => resolveCode(code ?? 1));
  });
}

/** All that comes out of a stream so far. */
export function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = "";
  stream?.setEncoding("utf8");
  stream?.on("data", (part: string) => {
    text += part;
  });
  return () => text;
}

/** The value of one of its options: `--env x` or `--env=x`. */
export function optionOf(args: readonly string[], names: readonly string[]): string | undefined {
  for (const [index, word] of args.entries()) {
    if (names.includes(word)) return args[index + 1];
    const [name = "", value] = word.split(/=(.*)/s);
    if (value !== undefined && names.includes(name)) return value;
  }
  return undefined;
}

/** The names of the secrets that the Worker has; null when wrangler's output is no such list. */
export function secretNamesIn(output: string): string[] | null {
  try {
    const secrets: { name: string }[] = JSON.parse(output.slice(output.indexOf("[")));
    return secrets.map(({ name }) => name);
  } catch {
    return null;
  }
}
