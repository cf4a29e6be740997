/** What a person sees who installed the project in another way than README says. */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/wrangler.ts";
import { runScript } from "./run.ts";

let workspace: string;
let project: string;
beforeEach(() => {
  workspace = mkdtempSync(join(tmpdir(), "install-"));
  project = join(workspace, "relay");
  mkdirSync(project);
  for (const name of [
    "package.json",
    "bench",
    "scripts",
    "src",
    "wrangler.toml",
    ".dev.vars.example",
  ]) {
    cpSync(join(ROOT, name), join(project, name), { recursive: true });
  }
});
afterEach(() => rmSync(workspace, { recursive: true }));

/** Packages of which only this much is there. */
function install(folder: string, ...names: string[]): void {
  for (const name of names) {
    mkdirSync(join(folder, "node_modules", name), { recursive: true });
    writeFileSync(join(folder, "node_modules", name, "package.json"), JSON.stringify({ name }));
  }
}

/** `npm start` on a Node that runs no TypeScript, as an older one. */
function startOnOldNode(userAgent: string) {
  const args = ["--no-strip-types", "--import", "./scripts/ready.mjs", "scripts/start.ts"];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: project,
    encoding: "utf8",
    env: { ...process.env, npm_config_user_agent: userAgent },
  });
  return { exitCode: status, stdout, said: stderr };
}

const NPM = "npm/11.19.1 node/v20.20.2 linux x64 workspaces/false";
const PNPM = "pnpm/12.21.0 npm/? node/v20.20.2 linux x64";

describe("a script of a project that is not whole", () => {
  it.each([
    ["nothing is installed", [], NPM, /^Nothing is installed yet.*\n {2}npm install\n$/],
    ["nothing is installed, with pnpm", [], PNPM, /\n {2}pnpm install\n$/],
    [
      "the tools are left out",
      ["hono", "zod"],
      NPM,
      /NODE_ENV=production.*\n {2}npm install --include=dev\n$/,
    ],
    [
      "no install script was run",
      ["hono", "wrangler", "node"],
      NPM,
      /--ignore-scripts.*\n {2}npm rebuild node\n$/,
    ],
    ["pnpm was not allowed to", ["hono", "wrangler", "node"], PNPM, /\n {2}pnpm rebuild node\n$/],
    ["Node is too old, and there is no other", ["hono", "wrangler"], NPM, /^Node 22\.18 or newer/],
  ])("says what to run when %s", (_, packages, userAgent, sentence) => {
    install(project, ...packages);
    const { exitCode, stdout, said } = startOnOldNode(userAgent);
    expect(said).toMatch(sentence);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(said).not.toMatch(/\n {4}at /);
  });

  it("looks for packages as Node does: in a workspace they lie above it", () => {
    install(workspace, "hono", "wrangler", "node");
    expect(startOnOldNode(NPM).said).toMatch(/npm rebuild node\n$/);
  });
});

describe("a project in a workspace", () => {
  it("runs the wrangler that was hoisted above it", async () => {
    symlinkSync(join(ROOT, "node_modules"), join(workspace, "node_modules"));
    const { exitCode, stdout, stderr } = await runScript("deploy", ["--dry-run"], { cwd: project });
    expect(stdout + stderr).toContain("--dry-run: exiting now.");
    expect(exitCode).toBe(0);
  });
});

describe("a clone", () => {
  it("has the same line ends on every machine", () => {
    const git = (...args: string[]) => spawnSync("git", args, { encoding: "utf8", cwd: ROOT });
    const clone = join(workspace, "clone");
    const cloned = git(
      "clone",
      "--quiet",
      "--no-hardlinks",
      "-c",
      "core.autocrlf=true",
      ROOT,
      clone,
    );
    expect(cloned).toMatchObject({ status: 0 });
    for (const name of [
      "src/index.ts",
      "wrangler.toml",
      ".dev.vars.example",
      "scripts/ready.mjs",
      ".ci/run",
    ]) {
      expect(readFileSync(join(clone, name), "utf8")).not.toContain("\r");
    }
  });
});

describe("the builds that an install may run", () => {
  it("are the same for npm and for pnpm", () => {
    const { allowScripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const pnpm = readFileSync(join(ROOT, "pnpm-workspace.yaml"), "utf8");
    const entries = [...pnpm.matchAll(/^ {2}([\w-]+): (true|false)$/gm)];
    const allowBuilds = Object.fromEntries(entries.map(([, name, is]) => [name, is === "true"]));
    expect(allowBuilds).toEqual(allowScripts);
  });
});

describe("the lock file", () => {
  it("says what the bytes of every package must be, on every platform, and whence from of none", () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
    const locked = Object.entries<Record<string, unknown>>(packages).filter(([path]) => path);
    expect(locked.length).toBeGreaterThan(500);
    for (const [path, { integrity, resolved }] of locked) {
      expect({ path, integrity, resolved }).toEqual({
        path,
        integrity: expect.stringMatching(/^sha512-/),
        resolved: undefined,
      });
    }
  });
});
