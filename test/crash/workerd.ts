/**
 * The relay in a workerd that can be killed: the Worker is bundled once, as a deploy would bundle it, and run by
 * miniflare in a process group of its own, so that one SIGKILL ends it with its workerd. KV and the objects with
 * their SQLite live in a directory and survive; the local queue lives in memory and does not.
 *
 * `wrangler dev` would not do: it bundles anew whenever a source file changes, and needs seconds to start.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { QUIET, ROOT, spawnWrangler } from "../../scripts/wrangler.ts";

/** How long a start may take, on a slow machine with other work. */
const READY_TIMEOUT_MS = 60_000;
const KEPT_LINES = 200;
const OPTIONS_FILE = "options.json";

/** A directory that is removed when this process ends, if not before. */
export type TemporaryDirectory = { directory: string; remove(): void };

/** A bundled Worker with its bindings. */
export type Build = TemporaryDirectory;

/** A relay that runs. */
export type Workerd = {
  url: string;
  /** When it began to listen, Unix milliseconds. */
  upAtMs: number;
  /** SIGKILL to all of it at once; resolves when it is gone. */
  kill(): Promise<void>;
  /** The last of what it logged as an error or a warning, and of what was never caught. */
  complaints: readonly string[];
};

export type WorkerdOptions = {
  build: Build;
  /** Where KV and objects are kept. */
  stateDirectory: string;
  vars: Readonly<Record<string, string>>;
  /** Called with the process as soon as it exists: for a kill before it is up. */
  onSpawn?: (kill: () => Promise<void>) => void;
};

export function temporaryDirectory(name: string): TemporaryDirectory {
  const directory = mkdtempSync(join(tmpdir(), `leadterra-relay-${name}-`));
  const remove = () => {
    process.off("exit", remove);
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once("exit", remove);
  return { directory, remove };
}

/** Bundles the Worker as it is now; what happens to the sources afterwards changes nothing. */
export async function buildWorker(): Promise<Build> {
  const build = temporaryDirectory("build");
  const { directory } = build;
  try {
    const wrangler = spawnWrangler(["deploy", "--dry-run", "--outdir", directory], {
      stdio: ["ignore", "ignore", "pipe"],
      env: QUIET,
    });
    let errors = "";
    wrangler.stderr?.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    const [exitCode] = await once(wrangler, "exit");
    if (exitCode !== 0) throw new Error(`the Worker could not be bundled\n${errors}`);
    Object.assign(process.env, QUIET);
    const { unstable_getMiniflareWorkerOptions: optionsOf } = await import("wrangler");
    const { workerOptions } = optionsOf(join(ROOT, "wrangler.toml"));
    writeFileSync(join(directory, OPTIONS_FILE), JSON.stringify(workerOptions));
    return build;
  } catch (thrown) {
    build.remove();
    throw thrown;
  }
}

/** Starts the relay on a free port, and resolves when it listens. @throws when it does not. */
export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  const child = spawn(process.execPath, [import.meta.filename], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...process.env, ...QUIET },
  });
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve()).once("error", () => resolve());
  });
  const kill = async () => {
    killGroup(child);
    await ended;
  };
  const onExit = () => killGroup(child);
  process.prependOnceListener("exit", onExit);
  void ended.then(() => process.off("exit", onExit));
  options.onSpawn?.(kill);
  const complaints = keepComplaints(child);
  child.send({
    build: options.build.directory,
    stateDirectory: options.stateDirectory,
    vars: options.vars,
  } satisfies Order);
  const waiting = new AbortController();
  const up = await Promise.race([
    once(child, "message", { signal: waiting.signal }).then(([message]) => message as Up),
    ended.then(() => null),
    sleep(READY_TIMEOUT_MS, null, { signal: waiting.signal }),
  ]).finally(() => waiting.abort());
  if (up === null) {
    await kill();
    throw new Error(`workerd did not start\n${complaints.join("\n")}`);
  }
  return { ...up, kill, complaints };
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // Nobody left in the group.
  }
}

/** The Worker logs one line of JSON per happening; deliveries that went well are not of interest here. */
function keepComplaints(child: ChildProcess): string[] {
  const kept: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.trim() !== "" && !line.includes('"level":"info"')) kept.push(line);
      }
      kept.splice(0, kept.length - KEPT_LINES);
    });
  }
  return kept;
}

// --- the process that is killed -------------------------------------------------------------------------------

type Order = { build: string; stateDirectory: string; vars: Readonly<Record<string, string>> };
type Up = Pick<Workerd, "url" | "upAtMs">;

async function runWorkerd({ build, stateDirectory, vars }: Order): Promise<Up> {
  const { convertV4MiniflareOptions, Miniflare } = await import("miniflare");
  const { modulesRules: _, ...worker } = JSON.parse(
    readFileSync(join(build, OPTIONS_FILE), "utf8"),
  );
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      ...worker,
      name: "leadterra-relay",
      rootPath: build,
      modules: [{ type: "ESModule", path: join(build, "index.js") }],
      bindings: { ...worker.bindings, ...vars },
      host: "127.0.0.1",
      port: 0,
      cf: false,
      resourcePersistencePath: stateDirectory,
      handleStructuredLogs: ({ message }: { message: string }) => {
        process.stdout.write(`${message}\n`);
      },
    }),
  );
  const url = (await miniflare.ready).origin;
  return { url, upAtMs: Date.now() };
}

if (import.meta.main) {
  // Whoever started this is gone: so is the reason to run.
  process.once("disconnect", () => process.kill(-process.pid, "SIGKILL"));
  process.once("message", (order: Order) => {
    void runWorkerd(order).then((up) => process.send?.(up));
  });
}
