import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { isAlive } from "../../scripts/processes.ts";
import { lockState } from "../../scripts/state-lock.ts";
import { ROOT } from "../../scripts/wrangler.ts";
import { printed } from "./run.ts";

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), "state-lock-"));
});
afterEach(() => rmSync(state, { recursive: true }));

/** A process that does this and then stays; `said` is what it printed. */
async function startNode(code: string, options: { detached?: boolean; name?: string } = {}) {
  const { detached = false, name = "holder" } = options;
  const program = `${code}; setInterval(() => {}, 1_000); console.log("up " + process.pid)`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program, name], {
    cwd: ROOT,
    detached,
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await printed(child, "up");
  return child;
}

const openFile = (path: string) =>
  `import { openSync } from "node:fs"; openSync(${JSON.stringify(path)}, "a")`;

// D2 of the cases from the field: a second relay on the same state is refused, whoever runs the first, by whatever name.
describe("the lock of a state directory", () => {
  it("is for one process at a time, and names the one that has it", async () => {
    const lock = `import { lockState } from "./scripts/state-lock.ts"; lockState(${JSON.stringify(state)})`;
    const holder = await startNode(lock);
    expect(() => lockState(state)).toThrow(
      `Process ${holder.pid} runs a relay on ${state} already`,
    );
    holder.kill("SIGKILL");
    await once(holder, "exit");
    const { notices, release } = lockState(state);
    expect(notices).toEqual([]);
    release();
    lockState(state).release();
  });

  it("is one within a process too, and by whichever name the directory is called", () => {
    const { release } = lockState(state);
    onTestFinished(release);
    const named = `${state}-link`;
    symlinkSync(state, named);
    onTestFinished(() => rmSync(named));
    for (const name of [state, named]) {
      expect(() => lockState(name)).toThrow(`Process ${process.pid} runs a relay`);
    }
  });

  it("is refused to whoever comes while somebody else's wrangler works there", async () => {
    writeFileSync(join(state, "object.sqlite"), "");
    const holder = await startNode(openFile(join(state, "object.sqlite")), {
      detached: true,
      name: "wrangler",
    });
    expect(() => lockState(state)).toThrow(`Process ${holder.pid} runs a relay`);
    expect(isAlive(Number(holder.pid))).toBe(true);
  });

  it.each([
    ["", ""],
    [", by whichever name the directory is called", "-link"],
  ])("ends a workerd that a relay which is no more had left, and says so%s", async (_, suffix) => {
    const path = JSON.stringify(join(state, "object.sqlite"));
    const orphan = `import { openSync } from "node:fs"; openSync(${path}, "a"); console.log("orphan " + process.pid); setInterval(() => {}, 1_000)`;
    // It leads a group of its own, and whoever started it ends.
    const starter = `import { spawn } from "node:child_process";
      const child = spawn(process.execPath, ["--input-type=module", "-e", ${JSON.stringify(orphan)}, "workerd"], { detached: true, stdio: ["ignore", "inherit", "inherit"] });
      child.unref()`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", starter], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [, pid = ""] = /orphan (\d+)/.exec(await printed(child, "orphan")) ?? [];
    onTestFinished(() => {
      if (isAlive(Number(pid))) process.kill(Number(pid), "SIGKILL");
    });
    const named = state + suffix;
    if (suffix !== "") {
      symlinkSync(state, named);
      onTestFinished(() => rmSync(named));
    }
    const { notices, release } = lockState(named);
    release();
    expect(notices).toEqual([expect.stringContaining(`Ended process ${pid}`)]);
    await expect.poll(() => isAlive(Number(pid))).toBe(false);
  });
});
