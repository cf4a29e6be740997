/** The relay on this machine: the same code as on Cloudflare, with queue, KV and objects inside wrangler. */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { writeVars } from "./dev-vars.ts";
import { freePort } from "./loopback.ts";
import { signalGroup } from "./processes.ts";
import { lockState } from "./state-lock.ts";
import { optionOf, QUIET, spawnWrangler, TEMPORARY_DIRECTORY } from "./wrangler.ts";

/** Where `wrangler dev` listens unless it is told otherwise. */
export const DEFAULT_IP = "127.0.0.1";
/** How long a start may take, on a slow machine with other work. */
const READY_TIMEOUT_MS = 90_000;
const POLL_MS = 100;
/** Every address of the machine, loopback among them. */
const ANY_IP: readonly string[] = ["0.0.0.0", "::", "*"];
/** How long wrangler may take to stop by itself. */
const STOP_TIMEOUT_MS = 5_000;
/** Where `wrangler dev` takes the call instead; `/cdn-cgi/handler/scheduled` is its older name. */
const SCHEDULED_PATH = "/cdn-cgi/local/scheduled";
/** What wrangler prints before it lets the first request in, which may be another one than this script's. */
const READY = /Ready on [^\n]*\n(.*)/s;
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
  /** Gives on what they print from when wrangler is ready, what it printed meanwhile first. */
  follow(on: (text: string) => void): void;
  /** Resolves when wrangler ends, by itself or stopped. */
  ended: Promise<void>;
};

export type RelayOptions = {
  /** 0 or left out: any free one. */
  port?: number;
  /** The address to listen on; default 127.0.0.1. */
  ip?: string;
  /** Where state is kept; left out, in a temporary directory that goes when the relay stops. */
  persistTo?: string;
  /** Variables and secrets of the relay; `.dev.vars` is not read unless they are left out. */
  vars?: Readonly<Record<string, string>>;
  /** More options of `wrangler dev`. */
  passedOn?: readonly string[];
  /** Gets what has to be said about the state before the start. */
  onNotice?: (sentence: string) => void;
};

/**
 * Starts the relay and waits until `/healthz` answers, healthy or not.
 * @throws with wrangler's output when it does not start, and when the port or the state is taken.
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { ip = DEFAULT_IP, vars, onNotice = () => {} } = options;
  const directory = mkdtempSync(join(tmpdir(), "leadterra-relay-"));
  const state = options.persistTo ?? join(directory, "state");
  let release = () => {};
  const cleanUp = () => {
    release();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const lock = lockState(state);
    release = lock.release;
    lock.notices.forEach(onNotice);
    const port = await freePort(options.port, ip).catch(({ code }: NodeJS.ErrnoException) => {
      throw new Error(cannotListen(String(code), ip, options.port ?? 0));
    });
    if (port === null) throw new Error(portTaken(options.port ?? 0));
    const envFile = join(directory, "vars.env");
    if (vars !== undefined) writeVars(envFile, vars);
    const { passedOn = [] } = options;
    // Any free one, unless somebody wants to debug.
    const hasInspector = optionOf(passedOn, ["--inspector-port"]) !== undefined;
    const args = [
      ...["--ip", ip, "--port", String(port), "--persist-to", state],
      ...(hasInspector ? [] : ["--inspector-port", "0"]),
      ...(vars === undefined ? [] : ["--env-file", envFile]),
      ...passedOn,
    ];
    return await runDev({ args, directory, ip, port, cleanUp });
  } catch (thrown) {
    cleanUp();
    throw thrown;
  }
}

function portTaken(port: number): string {
  return `Port ${port} is taken. End what listens there, or choose another port with --port.`;
}

function cannotListen(code: string, ip: string, port: number): string {
  return code === "EACCES"
    ? `Port ${port} is the system's (${code}). Choose another port with --port.`
    : `--ip: this machine has no address ${ip} (${code}).`;
}

type Run = {
  args: readonly string[];
  ip: string;
  port: number;
  /** Temporary, and gone when the relay has ended. */
  directory: string;
  cleanUp: () => void;
};

async function runDev({ args, ip, port, directory, cleanUp }: Run): Promise<Relay> {
  const child = spawnWrangler(["dev", "--show-interactive-dev-session=false", ...args], {
    // A group of its own, so that workerd can be ended with wrangler, and a Ctrl-C reaches this process first.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...QUIET,
      // The registry lets the Workers of a machine find each other; two relays must not.
      WRANGLER_REGISTRY_PATH: join(directory, "registry"),
      // The variables are those of the env file, whatever else the environment holds.
      CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV: "true",
      CLOUDFLARE_INCLUDE_PROCESS_ENV: "false",
      [TEMPORARY_DIRECTORY]: directory,
      // What wrangler and miniflare put there stays when they are killed; so does the next thing they think of.
      TMPDIR: directory,
    },
  });
  const relay = relayOf(child, { ip: ANY_IP.includes(ip) ? DEFAULT_IP : ip, port }, cleanUp);
  const output = keepOutput(child);
  try {
    await whenReady(`${relay.url}/healthz`, child);
  } catch (thrown) {
    await relay.kill();
    throw new Error(`${(thrown as Error).message}\n\n${output.text()}`);
  }
  return { ...relay, output: output.text, follow: output.follow };
}

/** @param cleanUp called once, when all processes have ended. */
function relayOf(
  child: ChildProcess,
  { ip, port }: { ip: string; port: number },
  cleanUp: () => void,
): Omit<Relay, "output" | "follow"> {
  const url = `http://${ip.includes(":") ? `[${ip}]` : ip}:${port}`;
  const ended = new Promise<void>((resolveEnded) => {
    child.once("exit", () => resolveEnded()).once("error", () => resolveEnded());
  });
  // For a script that ends without stopping the relay: its processes are gone by then.
  process.once("exit", cleanUp);

  const end = async (signal: NodeJS.Signals) => {
    signalGroup(child, signal);
    await Promise.race([ended, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    signalGroup(child, "SIGKILL");
    await ended;
    await whenFree(port, ip);
    process.off("exit", cleanUp);
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

/** Waits, for as long as a killed process may take to let go of a port. */
async function whenFree(port: number, ip: string): Promise<void> {
  const untilMs = Date.now() + STOP_TIMEOUT_MS;
  // An address that the machine has lost meanwhile holds nothing.
  const isTaken = async () => (await freePort(port, ip).catch(() => port)) === null;
  while (Date.now() < untilMs && (await isTaken())) await sleep(POLL_MS);
}

function keepOutput(child: ChildProcess): { text: Relay["output"]; follow: Relay["follow"] } {
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
      on(READY.exec(kept)?.[1] ?? "");
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
