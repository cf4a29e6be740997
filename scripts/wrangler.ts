/** How the scripts run wrangler: the project's own, on the Node that runs the script. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

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

/** In the environment of wrangler's processes: a directory with secrets in it, which goes when they end. */
export const TEMPORARY_DIRECTORY = "LEADTERRA_RELAY_DIRECTORY";

type WranglerOptions = Pick<SpawnOptions, "stdio" | "detached"> & {
  /** Added to this process's environment. */
  env?: Readonly<Record<string, string>>;
  /** Modules that Node loads before wrangler. */
  preload?: readonly string[];
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

/** Starts wrangler in the project's root. */
export function spawnWrangler(
  args: readonly string[],
  { preload = [], env, ...options }: WranglerOptions,
): ChildProcess {
  const entry = join(folderOfPackage("wrangler"), "bin/wrangler.js");
  const node = preload.flatMap((module) => ["--import", module]);
  return spawn(process.execPath, [...node, entry, ...args], {
    cwd: ROOT,
    ...options,
    env: { ...process.env, ...env },
  });
}

export type Finished = { exitCode: number; stdout: string; stderr: string };

/** Runs wrangler to its end, with `input` as its standard input; what it says is read and not shown. */
export async function runWrangler(args: readonly string[], input?: string): Promise<Finished> {
  const child = spawnWrangler(args, { stdio: ["pipe", "pipe", "pipe"], env: QUIET });
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
