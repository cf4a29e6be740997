/** Every command that starts something ends with npm, whatever ends that, and leaves nothing behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, type TestContext, vi } from "vitest";
import { findChromium } from "../../scripts/chromium.ts";
import { closeServer, listen } from "../../scripts/loopback.ts";
import { collect, ROOT } from "../../scripts/wrangler.ts";
import { SCRIPTS } from "./run.ts";

const SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"] as const;
type Signal = (typeof SIGNALS)[number];
const GONE_WITHIN = { timeout: 30_000, interval: 100 };
const STARTED_WITHIN = { timeout: 120_000, interval: 50 };
/** In the environment of all that a command starts, however far down. */
const MARK = "SIGNALS_TEST";
/** Node's own, for every process to use again. */
const KEPT = ["node-compile-cache"];

// Two of them start no slower side by side than one after the other; more do, on two cores.
vi.setConfig({ maxConcurrency: 3 });

/** A proxy where nobody listens: what is on this machine is reached all the same, or nothing below would run (D6). */
const PROXY = {
  NODE_USE_ENV_PROXY: "1",
  HTTP_PROXY: "http://127.0.0.1:1",
  http_proxy: "http://127.0.0.1:1",
  NO_PROXY: "example.com",
};

type Row = {
  args?: string[];
  /** Runs when a process that it started has this in its command, or it has printed this. */
  runs: { process: RegExp } | { says: string };
  skip?: boolean;
};

/** All of package.json that start other processes, or stay until they are ended. */
const ROWS: Record<string, Row> = {
  start: { args: ["--port", "0", "--persist-to", "STATE"], runs: { says: "Its log follows." } },
  demo: { args: ["--keep"], runs: { says: "retries after" } },
  receiver: { args: ["--port", "0"], runs: { says: "Ctrl-C" } },
  listen: { args: ["--relay", "SERVER"], runs: { says: "asked" } },
  apply: { args: ["FILE", "--relay", "SERVER"], runs: { says: "asked" } },
  doctor: { args: ["--relay", "SERVER"], runs: { says: "asked" } },
  leadterra: {
    args: ["send", "--url", "SERVER", "--secret", "whsec_x"],
    runs: { says: "asked" },
  },
  deploy: { runs: { process: /wrangler.* deploy/ } },
  register: { args: ["--relay", "https://relay.example"], runs: { says: "asked" } },
  licences: { runs: { process: /wrangler.* deploy/ } },
  screenshots: { runs: { says: "Sending events" }, skip: findChromium() === null },
  bench: { args: ["cold"], runs: { process: /wrangler.* deploy/ } },
  "test:crash": { runs: { process: /\bworkerd serve/ } },
  "test:upgrade": { runs: { process: /\bworkerd serve/ } },
  "test:listen": { runs: { process: /\bworkerd serve/ } },
  "test:mutants": { args: ["rotating"], runs: { process: /vitest/ } },
};

/** What they do is done at once, on this machine alone. */
const SHORT = ["inspect", "figures", "fixture"];

type Started = {
  child: ChildProcess;
  /** Commands of what runs of it, itself left out. */
  running: () => string[];
  temporary: string;
};

/** Takes every request and answers none. */
async function silentServer(test: TestContext, onRequest: () => void): Promise<string> {
  const server = createServer(onRequest);
  const port = await listen(server);
  test.onTestFinished(() => closeServer(server));
  return `http://127.0.0.1:${port}`;
}

/** Starts it, and waits until it has started what it starts. */
async function start(
  test: TestContext,
  command: string[],
  { args = [], runs }: Row,
): Promise<Started> {
  const folder = mkdtempSync(join(tmpdir(), "signals-"));
  const temporary = mkdtempSync(join(folder, "tmp-"));
  const file = join(folder, "webhooks.json");
  writeFileSync(file, '{"webhooks":[]}');
  let said = "";
  const server = await silentServer(test, () => {
    said += "asked";
  });
  const words: Record<string, string> = {
    STATE: join(folder, "state"),
    SERVER: server,
    FILE: file,
  };
  const mark = join(folder, "mark");
  const [program = "", ...rest] = [...command, ...args.map((word) => words[word] ?? word)];
  const child = spawn(program, rest, {
    cwd: ROOT,
    detached: true,
    env: {
      ...process.env,
      TMPDIR: temporary,
      [MARK]: mark,
      ...PROXY,
      RELAY_API_KEY: "a-key-of-the-relay",
      LEADTERRA_API_KEY: "sk_live_x",
      // Whom wrangler asks: nobody answers.
      CLOUDFLARE_API_BASE_URL: server,
      CLOUDFLARE_API_TOKEN: "token-of-the-test",
      CLOUDFLARE_ACCOUNT_ID: "account-of-the-test",
    },
  });
  const take = (chunk: Buffer) => {
    said += chunk.toString();
  };
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
  const running = () =>
    marked(mark)
      .filter(({ pid }) => pid !== child.pid)
      .map((each) => each.command);
  test.onTestFinished(() => {
    for (const { pid } of marked(mark)) process.kill(pid, "SIGKILL");
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  const isRunning = () =>
    "says" in runs ? said.includes(runs.says) : running().some((each) => runs.process.test(each));
  await test.expect
    .poll(() => isRunning() || (child.exitCode !== null && said), STARTED_WITHIN)
    .toBe(true);
  return { child, running, temporary };
}

/** Processes whose environment carries the mark. */
function marked(mark: string): { pid: number; command: string }[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").includes(`${MARK}=${mark}\0`)) return [];
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      return [{ pid: Number(pid), command }];
    } catch {
      // Gone meanwhile, or somebody else's.
      return [];
    }
  });
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.signalCode === null
    ? child.exitCode
    : 128 + Number(constants.signals[child.signalCode]);
}

async function expectNothingLeft(
  { expect }: TestContext,
  { running, temporary }: Started,
): Promise<void> {
  await expect.poll(running, GONE_WITHIN).toEqual([]);
  const left = () => readdirSync(temporary).filter((name) => !KEPT.includes(name));
  await expect.poll(left, GONE_WITHIN).toEqual([]);
}

const CASES = Object.entries(ROWS).flatMap(([name, row]) =>
  row.skip ? [] : SIGNALS.map((signal) => [name, signal, row] as const),
);

// D1 of the cases from the field. Processes are found by their environment, which Linux shows.
describe.skipIf(process.platform !== "linux")("with npm end", { timeout: 240_000 }, () => {
  it.concurrent.for(CASES)("npm run %s on %s", async ([name, signal, row], test) => {
    const started = await start(test, ["npm", "run", name, "--"], row);
    const { pid } = started.child;
    // A terminal sends a Ctrl-C to all that it runs; npm passes that one on to nobody.
    process.kill(signal === "SIGINT" ? -Number(pid) : Number(pid), signal);
    test.expect(await exitOf(started.child)).toBe(128 + constants.signals[signal]);
    await expectNothingLeft(test, started);
  });
});

describe.skipIf(process.platform !== "linux")("by themselves end", { timeout: 240_000 }, () => {
  const SOME: [string, Signal][] = [
    ["receiver", "SIGTERM"],
    ["listen", "SIGHUP"],
    ["doctor", "SIGINT"],
    ["bench", "SIGTERM"],
  ];
  it.concurrent.for(SOME)("%s on %s, as a shell counts it", async ([name, signal], test) => {
    const [, ...words] = (SCRIPTS[name] ?? "").split(" ");
    const row = ROWS[name] as Row;
    const started = await start(test, [process.execPath, ...words], row);
    process.kill(Number(started.child.pid), signal);
    test.expect(await exitOf(started.child)).toBe(128 + constants.signals[signal]);
    await expectNothingLeft(test, started);
  });
});

// It begins to work with its relay, and its relay ends with it.
it.skipIf(process.platform !== "linux")(
  "npm run demo ends in silence when nobody reads on, as behind head",
  { timeout: 240_000 },
  async (test) => {
    const [, ...words] = (SCRIPTS.demo ?? "").split(" ");
    const row = { runs: { says: "Starting the relay" } };
    const started = await start(test, [process.execPath, ...words], row);
    const stderr = collect(started.child.stderr);
    const closed = once(started.child, "close");
    started.child.stdout?.destroy();
    await closed;
    expect(stderr()).toBe("");
    await expectNothingLeft(test, started);
  },
);

it("has a row for every command that there is", () => {
  const own = Object.keys(SCRIPTS).filter((name) => /^node .*\.ts$/.test(SCRIPTS[name] ?? ""));
  expect([...Object.keys(ROWS), ...SHORT].sort()).toEqual(own.sort());
});
