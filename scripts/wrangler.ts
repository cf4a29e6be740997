/** How the scripts run wrangler: the project's own, on the Node that runs the script. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
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

type WranglerOptions = Pick<SpawnOptions, "stdio" | "detached"> & {
  /** Added to this process's environment. */
  env?: Readonly<Record<string, string>>;
};

/** Starts wrangler in the project's root. */
export function spawnWrangler(args: readonly string[], options: WranglerOptions): ChildProcess {
  const entry = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
  return spawn(process.execPath, [entry, ...args], {
    cwd: ROOT,
    ...options,
    env: { ...process.env, ...options.env },
  });
}
