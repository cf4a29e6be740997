/**
 * The relay in a workerd that can be killed: the Worker is bundled once, as a deploy would bundle it, and run by
 * miniflare in a process group of its own, so that one SIGKILL ends it with its workerd. KV and the objects with
 * their SQLite live in a directory and survive; the local queue lives in memory and does not.
 *
 * `wrangler dev` would not do: it bundles anew whenever a source file changes, and needs seconds to start.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, parse } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endsWithUs, signalGroup } from "../../scripts/processes.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../scripts/temporary.ts";
import { QUIET, ROOT, spawnWrangler } from "../../scripts/wrangler.ts";

/** How long a start may take, on a slow machine with other work. */
const READY_TIMEOUT_MS = 60_000;
const KEPT_LINES = 200;
/** What the lines of happenings that went well contain. */
const INFO = '"level":"info"';
/** In a build: the bundle and its bindings. */
export const OPTIONS_FILE = "options.json";
/** What lies beside the modules that are deployed. */
const NO_MODULE = /^(options\.json|README\.md|.*\.map)$/;
const CONFIG = join(ROOT, "wrangler.toml");

/** A bundled Worker with its bindings. */
export type Build = TemporaryDirectory;

export type BuildOptions = {
  /** A wrangler.toml, absolute; default the relay's own. */
  config?: string;
  /** A module to begin with in place of the `main` of the configuration, absolute. */
  entry?: string;
  /** Names stay as they are in the sources. */
  readable?: boolean;
};

/** A relay that runs. */
export type Workerd = {
  url: string;
  /** Of the process that holds miniflare; workerd is its child. */
  processId: number;
  /** When it began to listen, Unix milliseconds. */
  upAtMs: number;
  /** Where its processor time can be watched, a WebSocket; null unless that was asked for. */
  inspectorUrl: string | null;
  /** SIGKILL to all of it at once; resolves when it is gone. */
  kill(): Promise<void>;
  /** The last of what it logged as an error or a warning, and of what was never caught. */
  complaints: readonly string[];
};

export type WorkerdOptions = {
  build: Pick<Build, "directory">;
  /** Where KV and objects are kept. */
  stateDirectory: string;
  vars: Readonly<Record<string, string>>;
  /** Everything that the Worker fetches goes there, `host:port`; `x-asked-host` says whom it meant. */
  outbound?: string;
  /**
   * `url` is then a socket of the Worker's own: without the hop through miniflare's entry Worker, and without those in
   * front of it that stand in for Cloudflare's static files.
   */
  directSocket?: boolean;
  inspected?: boolean;
  /** Called with every line that it logs; without it, what went well is not passed on. */
  onLine?: (line: string) => void;
  /** Called with the process as soon as it exists: for a kill before it is up. */
  onSpawn?: (kill: () => Promise<void>) => void;
};

/** Bundles the Worker as it is now; what happens to the sources afterwards changes nothing. */
export async function buildWorker(options: BuildOptions = {}): Promise<Build> {
  const { config = CONFIG, entry, readable = false } = options;
  const build = temporaryDirectory("build");
  const { directory } = build;
  try {
    const main = entry === undefined ? [] : [entry];
    const args = ["deploy", ...main, "--config", config, "--dry-run", "--outdir", directory];
    if (readable) args.push("--no-minify");
    const wrangler = spawnWrangler(args, {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
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
    const { workerOptions, main: configured } = optionsOf(config);
    const bundle = `${parse(entry ?? configured ?? "").name}.js`;
    writeFileSync(join(directory, OPTIONS_FILE), JSON.stringify({ bundle, worker: workerOptions }));
    return build;
  } catch (thrown) {
    build.remove();
    throw thrown;
  }
}

/** What would be deployed: the bundle first, then the files that it imports as text. */
export function modulesOf(build: string) {
  const { bundle } = optionsIn(build);
  const texts = readdirSync(build).filter((name) => name !== bundle && !NO_MODULE.test(name));
  return [
    { type: "ESModule" as const, path: join(build, bundle) },
    ...texts.map((name) => ({ type: "Text" as const, path: join(build, name) })),
  ];
}

function optionsIn(build: string): {
  bundle: string;
  worker: { bindings: object };
} {
  const { worker, ...rest } = JSON.parse(readFileSync(join(build, OPTIONS_FILE), "utf8"));
  delete worker.modulesRules;
  return { ...rest, worker };
}

/** Starts the relay on a free port, and resolves when it listens. @throws when it does not. */
export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  // Miniflare's own files: killed, it leaves them behind.
  const scratch = temporaryDirectory("miniflare");
  const child = spawn(process.execPath, [import.meta.filename], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...process.env, ...QUIET, TMPDIR: scratch.directory },
  });
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve()).once("error", () => resolve());
  }).finally(scratch.remove);
  const kill = async () => {
    signalGroup(child, "SIGKILL");
    await ended;
  };
  endsWithUs(child);
  options.onSpawn?.(kill);
  const complaints = keepComplaints(child, options.onLine);
  const { build, stateDirectory, vars, onLine, outbound = null } = options;
  const { directSocket = false, inspected = false } = options;
  const order: Order = {
    build: build.directory,
    stateDirectory,
    vars,
    directSocket,
    inspected,
    passesAll: onLine !== undefined,
    outbound,
  };
  child.send(order);
  const waiting = new AbortController();
  const up = await Promise.race([
    once(child, "message", { signal: waiting.signal }).then(([message]) => message as Up),
    ended.then(() => null),
    sleep(READY_TIMEOUT_MS, null, { signal: waiting.signal }),
  ]).finally(() => waiting.abort());
  if (up === null || child.pid === undefined) {
    await kill();
    throw new Error(`workerd did not start\n${complaints.join("\n")}`);
  }
  return { ...up, processId: child.pid, kill, complaints };
}

/** The Worker logs one line of JSON per happening; deliveries that went well are not of interest here. */
function keepComplaints(child: ChildProcess, onLine?: (line: string) => void): string[] {
  const kept: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.trim() === "") continue;
        onLine?.(line);
        if (!line.includes(INFO)) kept.push(line);
      }
      kept.splice(0, kept.length - KEPT_LINES);
    });
  }
  return kept;
}

// --- the process that is killed -------------------------------------------------------------------------------

type Order = {
  build: string;
  stateDirectory: string;
  vars: Readonly<Record<string, string>>;
  directSocket: boolean;
  inspected: boolean;
  passesAll: boolean;
  outbound: string | null;
};
type Up = Pick<Workerd, "url" | "upAtMs" | "inspectorUrl">;

async function runWorkerd(order: Order): Promise<Up> {
  const { build, stateDirectory, vars, directSocket, inspected, passesAll, outbound } = order;
  const { convertV4MiniflareOptions, fetch: toward, Miniflare } = await import("miniflare");
  const { worker } = optionsIn(build);
  if (directSocket) Reflect.deleteProperty(worker, "assets");
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      ...worker,
      name: "leadterra-relay",
      rootPath: build,
      modules: modulesOf(build),
      unsafeDirectSockets: directSocket ? [{ host: "127.0.0.1", port: 0 }] : [],
      bindings: { ...worker.bindings, ...vars },
      host: "127.0.0.1",
      port: 0,
      cf: false,
      ...(inspected && { inspectorPort: 0 }),
      unsafeTriggerHandlers: true,
      ...(outbound !== null && {
        outboundService: async (request: Request) => {
          const { host, pathname, search } = new URL(request.url);
          const headers = new Headers(request.headers);
          headers.delete("host");
          headers.set("x-asked-host", host);
          return toward(`http://${outbound}${pathname}${search}`, {
            method: request.method,
            headers: Object.fromEntries(headers),
            body: await request.arrayBuffer(),
          });
        },
      }),
      resourcePersistencePath: stateDirectory,
      handleStructuredLogs: ({ message }: { message: string }) => {
        if (passesAll || !message.includes(INFO)) process.stdout.write(`${message}\n`);
      },
    }),
  );
  const { origin } = await miniflare.ready;
  const url = directSocket ? (await miniflare.unsafeGetDirectURL()).origin : origin;
  const inspectorUrl = inspected ? (await miniflare.getInspectorURL()).href : null;
  return { url, upAtMs: Date.now(), inspectorUrl };
}

if (import.meta.main) {
  // Whoever started this is gone: so is the reason to run.
  process.once("disconnect", () => process.kill(-process.pid, "SIGKILL"));
  process.once("message", (order: Order) => {
    void runWorkerd(order).then((up) => process.send?.(up));
  });
}
