/**
 * Runs the relay on this machine: the same code as on Cloudflare, with queue, KV and objects inside wrangler.
 *
 *   npm start
 *   npm start -- --port 8788 --persist-to /tmp/relay-state
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters, styleText } from "node:util";
import {
  DEV_VARS,
  DEV_VARS_EXAMPLE,
  firstOf,
  makeDevVars,
  readVars,
  writeVars,
} from "./dev-vars.ts";
import { freePort } from "./loopback.ts";
import { QUIET, ROOT, spawnWrangler } from "./wrangler.ts";

const DEFAULT_PORT = 8787;
/** How long a start may take, on a slow machine with other work. */
const READY_TIMEOUT_MS = 90_000;
const POLL_MS = 100;
/** How long wrangler may take to stop by itself. */
const STOP_TIMEOUT_MS = 5_000;
/** The cron trigger in wrangler.toml, which `wrangler dev` never fires. */
const SCHEDULED_EVERY_MS = 5 * 60_000;
/** Where `wrangler dev` takes the call instead; `/cdn-cgi/handler/scheduled` is its older name. */
const SCHEDULED_PATH = "/cdn-cgi/local/scheduled";
/** Kept of wrangler's output, to be shown when it does not start. */
const OUTPUT_KEPT_CHARACTERS = 20_000;

/** A relay that runs on this machine. */
export type Relay = {
  url: string;
  /** Runs the scheduled handler once. */
  runScheduled(): Promise<void>;
  /** Ends every process of it, and waits until the port is free. */
  stop(): Promise<void>;
  /** The same by SIGKILL, as in a crash. */
  kill(): Promise<void>;
  /** The last of what wrangler and the relay printed. */
  output(): string;
  /** Resolves when wrangler ends, by itself or stopped. */
  ended: Promise<void>;
};

export type RelayOptions = {
  /** 0 or left out: any free one. */
  port?: number;
  /** Where state is kept; left out, in a temporary directory that goes when the relay stops. */
  persistTo?: string;
  /** Variables and secrets of the relay; `.dev.vars` is not read. */
  vars: Readonly<Record<string, string>>;
};

/**
 * Starts the relay and waits until `/healthz` answers, healthy or not.
 * @throws with wrangler's output when it does not start, and when the port is taken.
 */
export async function startRelay({ port = 0, persistTo, vars }: RelayOptions): Promise<Relay> {
  const directory = newDirectory();
  const envFile = join(directory, "vars.env");
  writeVars(envFile, vars);
  const args = ["--env-file", envFile, "--persist-to", persistTo ?? join(directory, "state")];
  return runWrangler({ port, args, directory });
}

function newDirectory(): string {
  return mkdtempSync(join(tmpdir(), "leadterra-relay-"));
}

type Run = {
  port: number;
  args: readonly string[];
  /** Temporary; removed when the relay has ended. */
  directory: string;
  /** Gets the output from when the relay is ready. */
  onOutput?: (text: string) => void;
};

async function runWrangler(run: Run): Promise<Relay> {
  const cleanUp = () => rmSync(run.directory, { recursive: true, force: true, maxRetries: 5 });
  const port = await freePort(run.port);
  if (port === null) {
    cleanUp();
    throw new Error(
      `Port ${run.port} is taken. End what listens there, or choose another port with --port.`,
    );
  }
  const own = ["--ip", "127.0.0.1", "--port", String(port), "--inspector-port", "0"];
  const child = spawnWrangler(
    ["dev", ...own, "--show-interactive-dev-session=false", ...run.args],
    {
      // A group of its own, so that workerd can be ended with wrangler, and a Ctrl-C reaches this process first.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      // The registry lets the Workers of a machine find each other; two relays must not.
      env: { ...QUIET, WRANGLER_REGISTRY_PATH: join(run.directory, "registry") },
    },
  );
  const relay = relayOf(child, port, cleanUp);
  const output = keepOutput(child);
  try {
    await whenReady(`${relay.url}/healthz`, child);
  } catch (thrown) {
    await relay.kill();
    throw new Error(`${(thrown as Error).message}\n\n${output.text()}`);
  }
  if (run.onOutput !== undefined) output.follow(run.onOutput);
  return { ...relay, output: output.text };
}

/** @param cleanUp called once, when all processes have ended. */
function relayOf(child: ChildProcess, port: number, cleanUp: () => void): Omit<Relay, "output"> {
  const url = `http://127.0.0.1:${port}`;
  const ended = new Promise<void>((resolveEnded) => {
    child.once("exit", () => resolveEnded()).once("error", () => resolveEnded());
  });
  // The last resort, for a script that ends without stopping the relay.
  const onExit = () => {
    signalGroup(child, "SIGKILL");
    cleanUp();
  };
  process.once("exit", onExit);

  const end = async (signal: NodeJS.Signals) => {
    signalGroup(child, signal);
    await Promise.race([ended, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    signalGroup(child, "SIGKILL");
    await ended;
    await whenFree(port);
    process.off("exit", onExit);
    cleanUp();
  };
  let ending: Promise<void> | undefined;
  const endOnce = (signal: NodeJS.Signals) => {
    ending ??= end(signal);
    return ending;
  };
  return {
    url,
    ended,
    stop: () => endOnce("SIGTERM"),
    kill: () => endOnce("SIGKILL"),
    runScheduled: async () => {
      const response = await fetch(url + SCHEDULED_PATH);
      const outcome = await response.text();
      if (!response.ok)
        throw new Error(`the scheduled handler answered ${response.status} ${outcome}`);
    },
  };
}

/** Reaches wrangler, its workerd and its esbuild: they share the group that wrangler leads. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Nobody left in the group.
  }
}

/** Waits, for as long as a killed process may take to let go of a port. */
async function whenFree(port: number): Promise<void> {
  const untilMs = Date.now() + STOP_TIMEOUT_MS;
  while (Date.now() < untilMs && (await freePort(port)) === null) await sleep(POLL_MS);
}

function keepOutput(child: ChildProcess): {
  text(): string;
  follow(on: (text: string) => void): void;
} {
  let kept = "";
  let forward: ((text: string) => void) | undefined;
  const take = (coloured: string) => {
    const chunk = process.stdout.isTTY ? coloured : stripVTControlCharacters(coloured);
    kept = (kept + chunk).slice(-OUTPUT_KEPT_CHARACTERS);
    forward?.(chunk);
  };
  child.stdout?.setEncoding("utf8").on("data", take);
  child.stderr?.setEncoding("utf8").on("data", take);
  return {
    text: () => kept,
    follow: (on) => {
      forward = on;
    },
  };
}

/** @throws when wrangler ends, or nothing answers in time. */
async function whenReady(url: string, child: ChildProcess): Promise<void> {
  const untilMs = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < untilMs) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      throw new Error("wrangler ended before the relay was ready.");
    }
    const answered = await fetch(url, { signal: AbortSignal.timeout(2_000) }).then(
      async (response) => {
        await response.body?.cancel();
        return true;
      },
      () => false,
    );
    if (answered) return;
    await sleep(POLL_MS);
  }
  throw new Error(`The relay was not ready after ${READY_TIMEOUT_MS / 1_000} s.`);
}

/**
 * Calls `stop` once when somebody asks this process to end, then ends it.
 * @param stop resolves to the exit code.
 */
export function onInterrupt(stop: () => Promise<number>): void {
  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      // A terminal and npm may both pass on one Ctrl-C.
      if (stopping) return;
      stopping = true;
      stop().then(
        (exitCode) => process.exit(exitCode),
        (thrown: unknown) => {
          console.error(thrown);
          process.exit(1);
        },
      );
    });
  }
}

export type Arguments = { port: number; envFiles: string[]; passedOn: string[]; help: boolean };

/** Takes out `--port`; everything else is wrangler's. */
export function parseArguments(given: readonly string[]): Arguments {
  const parsed: Arguments = { port: DEFAULT_PORT, envFiles: [], passedOn: [], help: false };
  const words = given.flatMap((word) => {
    const [, name, value] = /^(--port|--env-file)=(.*)$/.exec(word) ?? [];
    return name === undefined ? [word] : [name, value ?? ""];
  });
  for (const [index, word] of words.entries()) {
    if (word === "--help" || word === "-h") parsed.help = true;
    if (words[index - 1] === "--port") parsed.port = parsePort(word);
    else if (word !== "--port") parsed.passedOn.push(word);
    if (words[index - 1] === "--env-file") parsed.envFiles.push(resolve(ROOT, word));
  }
  return parsed;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new Error(`--port must be a number up to 65535, not ${text}.`);
}

const USAGE = `Runs the relay on this machine with "wrangler dev".

  npm start -- [--port N] [options of wrangler dev]

  --port N           default ${DEFAULT_PORT}
  --env-file FILE    variables and secrets; default ${DEV_VARS}, which the first start makes
  --persist-to DIR   where events and webhooks are kept; default .wrangler/state`;

/** What a person needs next, in at most ten lines. */
function printWelcome(url: string, made: boolean, envFiles: readonly string[]): void {
  const vars = Object.assign({}, ...envFiles.map(readVars)) as ReturnType<typeof readVars>;
  const key = firstOf(vars.API_KEYS);
  const devVars = join(ROOT, DEV_VARS);
  const files = envFiles.map((file) => (file === devVars ? DEV_VARS : file)).join(", ");
  const headers = `-H 'Authorization: Bearer ${key ?? "…"}' -H 'Content-Type: application/json'`;
  const webhook = `{"url":"http://127.0.0.1:9000/","events":["*"]}`;
  const elsewhere = url.endsWith(`:${DEFAULT_PORT}`) ? "" : ` --url ${url}/webhooks/leadterra`;
  const signedWith = envFiles.includes(devVars) ? "" : ` --secret "one of ${files}"`;
  const bold = (text: string) => styleText("bold", text);
  console.log(`${bold("Leadterra Relay")} runs at ${bold(url)}: ${url}/dashboard, and its API: ${url}/docs
  API key         ${key ?? `none: set API_KEYS in ${files}`}
  signing secret  LEADTERRA_SIGNING_SECRETS in ${files}${made ? ", made just now" : ""}
Next, in other terminals:
  1. a service    npm run receiver
  2. register it  curl ${url}/v1/webhooks ${headers} -d '${webhook}'
  3. an event     npm run leadterra -- send${elsewhere}${signedWith}
Ctrl-C stops the relay; what it knows is kept. Its log follows.`);
}

async function main(): Promise<void> {
  const { port, envFiles, passedOn, help } = parseArguments(process.argv.slice(2));
  if (help) {
    console.log(USAGE);
    return;
  }
  const devVars = join(ROOT, DEV_VARS);
  const made = envFiles.length === 0 && makeDevVars(devVars, join(ROOT, DEV_VARS_EXAMPLE));
  let relay: Relay | undefined;
  let interrupted = false;
  onInterrupt(async () => {
    interrupted = true;
    await relay?.stop();
    return 0;
  });
  console.log("Starting the relay …");
  relay = await runWrangler({
    port,
    args: passedOn,
    directory: newDirectory(),
    onOutput: (text) => process.stdout.write(text),
  });
  const { ended, runScheduled, url } = relay;
  printWelcome(url, made, envFiles.length === 0 ? [devVars] : envFiles);
  const sweep = () =>
    runScheduled().catch((thrown: Error) => console.error(`Scheduled run: ${thrown.message}`));
  setInterval(() => void sweep(), SCHEDULED_EVERY_MS).unref();
  await ended;
  if (interrupted) return;
  await relay.stop();
  console.error("wrangler has ended.");
  process.exitCode = 1;
}

if (import.meta.main) {
  await main().catch((thrown: unknown) => {
    console.error(thrown instanceof Error ? thrown.message : thrown);
    process.exitCode = 1;
  });
}
