/** What a person starts beside `npm start` ends with npm, whatever ends that, and leaves nothing behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { freePort } from "../../scripts/loopback.ts";
import { isAlive, processesWithFilesIn } from "../../scripts/processes.ts";
import { ROOT } from "../../scripts/wrangler.ts";
import { printed } from "./run.ts";

const SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"] as const;
const GONE_WITHIN = { timeout: 30_000, interval: 200 };

function run(temporary: string, ...args: string[]): ChildProcess {
  const env = { ...process.env, TMPDIR: temporary };
  const npm = spawn("npm", ["run", ...args], { cwd: ROOT, env, detached: true });
  onTestFinished(() => {
    if (isAlive(Number(npm.pid))) process.kill(-Number(npm.pid), "SIGKILL");
  });
  return npm;
}

/** A terminal sends a Ctrl-C to all that it runs; npm passes that one on to nobody. */
async function end(npm: ChildProcess, signal: (typeof SIGNALS)[number]): Promise<void> {
  process.kill(signal === "SIGINT" ? -Number(npm.pid) : Number(npm.pid), signal);
  if (npm.exitCode === null && npm.signalCode === null) await once(npm, "exit");
}

function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "signals-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe.each(SIGNALS)("%s", { timeout: 180_000 }, (signal) => {
  it("ends npm run receiver", async () => {
    const port = await freePort();
    const npm = run(ownFolder(), "receiver", "--", "--port", String(port));
    await printed(npm, String(port));
    await end(npm, signal);
    const answers = () =>
      fetch(`http://127.0.0.1:${port}`).then(
        () => true,
        () => false,
      );
    await expect.poll(answers, GONE_WITHIN).toBe(false);
  });

  it("ends npm run demo with all that it started", async () => {
    const temporary = ownFolder();
    const npm = run(temporary, "demo", "--", "--keep");
    await printed(npm, "retries after");
    await end(npm, signal);
    await expect.poll(() => processesWithFilesIn(temporary), GONE_WITHIN).toEqual([]);
    const left = () => readdirSync(temporary).filter((name) => name.startsWith("leadterra-relay-"));
    await expect.poll(left, GONE_WITHIN).toEqual([]);
  });
});
