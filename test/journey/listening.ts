/**
 * What is minutes of work for `npm run listen`: a laptop that sleeps behind a half-open socket, and many events through
 * one listener. The command runs as a process of its own; the account is balanced by event id. Exits 0 only if it holds.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer as createHttpServer } from "node:http";
import { createServer, connect as dial, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { readOptions, readWholeNumber, runCommand } from "../../scripts/command.ts";
import { closeServer, listen } from "../../scripts/loopback.ts";
import { type Api, mapInParallel } from "../rig/api.ts";
import { answering, Receiver } from "../rig/receiver.ts";
import { Relay } from "../rig/relay.ts";
import { buildWorker } from "../rig/workerd.ts";

const NAME = "laptop";
const WHILE_ASLEEP = 20;
const TIMED = 100;
const POSTS_IN_FLIGHT = 20;
/** Without progress for so long it will not come any more. */
const PATIENCE_MS = 60_000;

/** The network between. Asleep, nothing passes over what is open, and neither side is told. */
async function startWire(relay: Api) {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const { hostname, port } = new URL(relay.url);
    const far = dial(Number(port), hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on("error", () => {}).on("close", () => open.delete(from));
      from.pipe(to);
    }
  });
  const port = await listen(server as never);
  return {
    url: `http://127.0.0.1:${port}`,
    silence: () => {
      for (const socket of open) socket.unpipe().pause();
    },
    close: async () => {
      for (const socket of open) socket.destroy();
      await closeServer(Object.assign(server, { closeAllConnections: () => {} }) as never);
    },
  };
}

/** The command, and what it says. */
async function startListener(relay: Api, url: string, forward: string) {
  const script = new URL("../../scripts/listen.ts", import.meta.url).pathname;
  const options = ["--relay", url, "--name", NAME, "--forward", forward];
  const child: ChildProcess = spawn(process.execPath, [...process.execArgv, script, ...options], {
    env: { ...process.env, RELAY_API_KEY: relay.apiKey },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: { text: string; atMs: number }[] = [];
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (text) => {
    lines.push({ text, atMs: performance.now() });
  });
  await until(() => lines.some(({ text }) => text.includes("Listening as")));
  return { child, lines };
}

/** From the beginning of a post to the line at the terminal, one event after the other; in rising order. */
async function timed(relay: Api, lines: readonly { text: string; atMs: number }[]) {
  const took: number[] = [];
  for (let index = 0; index < TIMED; index++) {
    const email = `timed-${index}@acme.example`;
    const startedMs = performance.now();
    await relay.accept(newEvent(`timed_${index}`, email));
    const line = () => lines.findLast(({ text }) => text.includes(email));
    await until(() => line() !== undefined);
    took.push((line()?.atMs ?? Number.NaN) - startedMs);
  }
  return took.sort((a, b) => a - b);
}

function newEvent(messageId: string, email = "ava@acme.example") {
  const data = { messageId, lead: { email } };
  return { event: "message.sent", timestamp: new Date().toISOString(), data };
}

/** @throws when nothing that `progress` counts goes on. */
async function until(done: () => boolean | Promise<boolean>, progress = () => 0): Promise<void> {
  let [seen, sinceMs] = [progress(), Date.now()];
  while (!(await done())) {
    if (progress() !== seen) [seen, sinceMs] = [progress(), Date.now()];
    if (Date.now() > sinceMs + PATIENCE_MS) throw new Error("nothing goes on any more");
    await sleep(20);
  }
}

async function post(relay: Api, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => index);
  return mapInParallel(ids, POSTS_IN_FLIGHT, (index) =>
    relay.accept(newEvent(`msg_${index}_${Date.now()}`)),
  );
}

type Account = { lost: number; repeated: number; unsaid: number };

/** What the handler got of the events, and which repeat the relay did not call one: no later attempt than before. */
export function balance(
  { requests }: Pick<Receiver, "requests">,
  owed: readonly string[],
): Account {
  const lastAttempts = new Map(owed.map((eventId) => [eventId, 0]));
  const account: Account = { lost: 0, repeated: 0, unsaid: 0 };
  for (const { headers } of requests) {
    const eventId = String(headers["webhook-id"]);
    const before = lastAttempts.get(eventId);
    if (before === undefined) continue;
    const attempt = Number(headers["x-relay-attempt"]);
    if (before > 0) account.repeated++;
    if (!(attempt > before)) account.unsaid++;
    lastAttempts.set(eventId, Math.max(before, attempt || before));
  }
  account.lost = [...lastAttempts.values()].filter((attempt) => attempt === 0).length;
  return account;
}

async function pending(relay: Api): Promise<number> {
  return (await relay.call<{ pending: number }>(`/webhooks/${NAME}/health`)).pending;
}

/** Deliveries of the listener that were given up on. */
async function troubles(relay: Api): Promise<number> {
  const all = await relay.all<{ status: string }>(
    `/webhooks/${NAME}/deliveries?status=undeliverable`,
  );
  return all.length;
}

async function run(events: number, asleepSeconds: number, print: (line: string) => void) {
  const build = await buildWorker();
  const relay = new Relay({ build, variables: { SILENCE_ALERT: "off" } });
  const server = createHttpServer();
  const handler = new Receiver(server, await listen(server), answering(200));
  await relay.start();
  const wire = await startWire(relay);
  const { child, lines } = await startListener(relay, wire.url, handler.url);
  try {
    child.kill("SIGSTOP");
    wire.silence();
    const asleep = await post(relay, WHILE_ASLEEP);
    await sleep(asleepSeconds * 1_000);
    const { length: early } = handler.requests;
    const undeliverable = await troubles(relay);
    const wokeAtMs = Date.now();
    child.kill("SIGCONT");
    await until(
      async () => (await pending(relay)) === 0,
      () => handler.requests.length,
    );
    const slept = balance(handler, asleep);
    print(
      `asleep for ${asleepSeconds} s: ${WHILE_ASLEEP} events, ${early} came meanwhile, ${undeliverable} undeliverable, ` +
        `all there ${Date.now() - wokeAtMs} ms after it woke; ${words(slept)}`,
    );
    for (const { text } of lines.filter((each) => /is lost|Connected again/.test(each.text)))
      print(`  ${text}`);

    const took = await timed(relay, lines);
    const [p50, p95, max] = [0.5, 0.95, 1].map((share) =>
      took[Math.ceil(share * took.length) - 1]?.toFixed(0),
    );
    print(`from a post to its line, ${TIMED} events: p50 ${p50} ms, p95 ${p95} ms, max ${max} ms`);

    const startedMs = Date.now();
    const many = await post(relay, events);
    await until(
      async () => (await pending(relay)) === 0,
      () => handler.requests.length,
    );
    const passed = balance(handler, many);
    print(
      `${events} events in ${Math.round((Date.now() - startedMs) / 1_000)} s; ${words(passed)}`,
    );
    return [slept, passed].every(({ lost, unsaid }) => lost === 0 && unsaid === 0) && early === 0;
  } finally {
    child.kill("SIGKILL");
    await wire.close();
    await handler.close();
    await relay.close();
    build.remove();
  }
}

function words({ lost, repeated, unsaid }: Account): string {
  return `lost ${lost}, repeated ${repeated}, of these not said ${unsaid}`;
}

const USAGE = `Puts a laptop that listens to sleep, measures from a post to its line at the terminal, and sends many events through one
listener.

  npm run test:listen -- [options]

  --asleep SECONDS   default 600
  --events N         default 10000`;

async function main(args: string[]): Promise<number> {
  const { values } = readOptions(args, {
    asleep: { type: "string", default: "600" },
    events: { type: "string", default: "10000" },
  });
  const asleep = readWholeNumber("--asleep", values.asleep, [1, 86_400]);
  const events = readWholeNumber("--events", values.events, [1, 1_000_000]);
  const holds = await run(events, asleep, (line) => process.stdout.write(`${line}\n`));
  // The receiver's server has nothing more to do.
  process.exit(holds ? 0 : 1);
}

if (import.meta.main) await runCommand(USAGE, main);
