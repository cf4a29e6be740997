/** What a person sees who installed the project in another way than README says. */
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { processesWithFilesIn } from "../../scripts/processes.ts";
import { folderOfPackage, ROOT } from "../../scripts/wrangler.ts";
import { printed, runScript, SCRIPTS } from "./run.ts";

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
    "public",
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
function startOnOldNode(userAgent: string, byNpm = true) {
  const args = ["--no-strip-types", "--import", "./scripts/ready.mjs", "scripts/start.ts"];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: project,
    encoding: "utf8",
    env: {
      ...process.env,
      npm_config_user_agent: userAgent,
      npm_lifecycle_event: byNpm ? "start" : undefined,
    },
  });
  return { exitCode: status, stdout, said: stderr };
}

const NPM = "npm/11.19.1 node/v20.20.2 linux x64 workspaces/false";
const PNPM = "pnpm/12.21.0 npm/? node/v20.20.2 linux x64";
const YARN = "yarn/1.22.22 npm/? node/v20.20.2 linux x64";

// D3 of the cases from the field: whoever installs in another way gets a sentence.
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
    ["nothing is installed, with yarn", [], YARN, /\n {2}yarn install\n$/],
    [
      "yarn left the tools out",
      ["hono", "zod"],
      YARN,
      /NODE_ENV=production.*\n {2}yarn install --production=false\n$/,
    ],
    [
      "what is optional is left out, Cloudflare's runtime with it",
      ["hono", "wrangler", "node", "workerd"],
      NPM,
      /--omit=optional.*\n {2}npm install --include=optional\n$/,
    ],
    [
      "pnpm left the runtime out",
      ["hono", "wrangler", "node", "workerd"],
      PNPM,
      /--omit=optional.*\n {2}pnpm install\n$/,
    ],
    ["Node is too old, and there is no other", ["hono", "wrangler"], NPM, /^Node 22\.18 or newer/],
  ])("says what to run when %s", (_, packages, userAgent, sentence) => {
    install(project, ...packages);
    const { exitCode, stdout, said } = startOnOldNode(userAgent);
    expect(said).toMatch(sentence);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(said).not.toMatch(/\n {4}at /);
  });

  it.each(["node", "node.exe"])("says to run it by npm where the project's %s is there", (file) => {
    install(project, "hono", "wrangler", "node");
    mkdirSync(join(project, "node_modules/node/bin"));
    writeFileSync(join(project, "node_modules/node/bin", file), "");
    expect(startOnOldNode(NPM, false).said).toMatch(
      /^Node 22\.18 or newer runs these scripts, .* The project brings its own, which npm takes: run this by npm\.\n$/,
    );
    expect(startOnOldNode(NPM).said).toMatch(/npm rebuild node\n$/);
  });

  it("looks first, whichever script it is", () => {
    const scripts: Record<string, string> = JSON.parse(
      readFileSync(join(ROOT, "package.json"), "utf8"),
    ).scripts;
    const looks = (text = "") => /^node (--import \.\/)?scripts\/ready\.mjs/.test(text);
    const names = Object.keys(scripts);
    const blind = names.filter((name) => !looks(scripts[name]) && !looks(scripts[`pre${name}`]));
    expect(names.length).toBeGreaterThan(20);
    expect(blind).toEqual([]);
  });

  it("looks for packages as Node does: in a workspace they lie above it", () => {
    install(workspace, "hono", "wrangler", "node");
    expect(startOnOldNode(NPM).said).toMatch(/npm rebuild node\n$/);
  });
});

// D4: a workspace's packages lie above the project, or some of them.
describe("a project in a workspace", () => {
  const hoist = () => symlinkSync(join(ROOT, "node_modules"), join(workspace, "node_modules"));

  it("runs the wrangler that was hoisted above it", async () => {
    hoist();
    const { exitCode, stdout, stderr } = await runScript("deploy", ["--dry-run"], { cwd: project });
    expect(stdout + stderr).toContain("--dry-run: exiting now.");
    expect(exitCode).toBe(0);
  });

  it("starts, with a wrangler whose processes end with it", async () => {
    hoist();
    const [, ...words] = (SCRIPTS.start ?? "").split(" ");
    const start = spawn(process.execPath, [...words, "--port", "0"], { cwd: project });
    onTestFinished(() => void start.kill("SIGKILL"));
    const said = await printed(start, "Its log follows.");
    const [, url = ""] = /runs at (\S+):/.exec(said) ?? [];
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    start.kill("SIGKILL");
    const state = join(project, ".wrangler/state");
    await expect.poll(() => processesWithFilesIn(state), { timeout: 30_000 }).toEqual([]);
  });

  it("takes each package from where it lies, and names what a deploy brings of them", async () => {
    hoist();
    mkdirSync(join(project, "node_modules"));
    for (const name of ["hono", "esbuild"]) {
      cpSync(folderOfPackage(name), join(project, "node_modules", name), { recursive: true });
    }
    expect(await runScript("licences", [], { cwd: project })).toMatchObject({
      exitCode: 0,
      stderr: "",
    });
    const [own, theirs] = [ROOT, project].map((folder) =>
      readFileSync(join(folder, "LICENCES.md"), "utf8"),
    );
    expect(theirs).toBe(own);
  });
});

// A checkout that only the one who installed it may write to.
describe("a build", () => {
  it("leaves what it would write as it is already", async () => {
    symlinkSync(join(ROOT, "node_modules"), join(project, "node_modules"));
    const run = () => spawnSync(process.execPath, ["scripts/public.mjs"], { cwd: project });
    const written = [
      ...["public/reference/scalar.js", "public/openapi.json"],
      ...["webhooks.schema.json", "event-schemas.json"],
    ];
    const paths = written.map((name) => join(project, name));
    expect(run().status).toBe(0);
    for (const path of paths) utimesSync(path, 1, 1);
    expect(run().status).toBe(0);
    expect(paths.map((path) => statSync(path).mtimeMs)).toEqual(written.map(() => 1_000));
    rmSync(paths[0] ?? "");
    expect(run().status).toBe(0);
    expect(statSync(paths[0] ?? "").size).toBeGreaterThan(1_000_000);
  });
});

// D8: what is checked out is the same on a machine that would write CRLF, and so is what is checked in.
describe("a clone", () => {
  const git = (cwd: string, ...args: string[]) => spawnSync("git", args, { encoding: "utf8", cwd });

  function clone(...settings: string[]): string {
    const folder = join(workspace, "clone");
    const configured = settings.flatMap((setting) => ["-c", setting]);
    const cloned = git(ROOT, "clone", "--quiet", "--no-hardlinks", ...configured, ROOT, folder);
    expect(cloned).toMatchObject({ status: 0 });
    return folder;
  }

  /** Files of text that stand in the folder with other line ends than LF. */
  function otherLineEnds(folder: string): string[] {
    const { stdout } = git(folder, "ls-files", "--eol");
    const lines = stdout.split("\n").filter(Boolean);
    expect(lines.length).toBeGreaterThan(300);
    return lines.filter((line) => !/^i\/(lf|none|-text) +w\/(lf|none|-text) /.test(line));
  }

  it.each([
    [["core.autocrlf=true"]],
    [["core.eol=crlf"]],
    [["core.autocrlf=false", "core.eol=crlf"]],
  ])("has the same line ends with %j", (settings) => {
    expect(otherLineEnds(clone(...settings))).toEqual([]);
  });

  it("is checked in with LF, whatever an editor wrote", () => {
    const folder = clone("core.autocrlf=false");
    writeFileSync(join(folder, "src/new.ts"), "export const a = 1;\r\n");
    git(folder, "add", "src/new.ts");
    expect(git(folder, "show", ":src/new.ts").stdout).toBe("export const a = 1;\n");
  });

  it("is the same as an archive, which nobody's git has touched", () => {
    const { stdout } = git(
      ROOT,
      "-c",
      "core.autocrlf=true",
      "archive",
      "--format=tar",
      "HEAD",
      ".ci/run",
      "src/index.ts",
    );
    expect(stdout).toContain("#!/usr/bin/env bash\n");
    expect(stdout).not.toContain("\r");
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
