/**
 * Every command that README and docs/leadterra.md print, in blocks and within sentences, run as it is printed in a folder of its own; only addresses stand for others:
 * a relay and services on this machine, a stand-in of Cloudflare's API, one of Leadterra's.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { type LeadterraApi, startLeadterraApi } from "../../scripts/leadterra-api.ts";
import { freePort } from "../../scripts/loopback.ts";
import { collect, exitCodeOf, type Finished, ROOT } from "../../scripts/wrangler.ts";
import { type Cloudflare, startCloudflare } from "./cloudflare.ts";
import { printed } from "./run.ts";

const WORKER = "leadterra-relay";
const SIGNING_SECRETS = "LEADTERRA_SIGNING_SECRETS";
/** What cannot be run here: the tests themselves run on what the first one installed, the second opens a browser. */
const LEFT_OUT = ["npm install && ", "npx wrangler login\n"];
/** npm, wrangler and workerd start, several times. */
const SLOW = { timeout: 300_000 };

const blocks = ["README.md", "docs/leadterra.md"].flatMap((page) =>
  [...readFileSync(join(ROOT, page), "utf8").matchAll(/^```sh\n(.*?)^```/gms)].map(
    ([, commands = ""]) => commands,
  ),
);
const taken = new Set<string>();

const README = readFileSync(join(ROOT, "README.md"), "utf8");
/** Commands within README's sentences. */
const inline = [
  ...README.replaceAll(/^```.*?^```/gms, "").matchAll(/`((?:npm|npx|node|curl) [^`]+)`/g),
].map(([, command = ""]) => command.replaceAll(/\s+/g, " "));
/** Where those are run, or held, that are not run here. */
const ELSEWHERE: Readonly<Record<string, [file: string, text: string]>> = {
  "npm test": [".ci/run", "\nnpm test -- "],
  "npm install express standardwebhooks": [
    "test/scripts/readme.test.ts",
    '"npm install express standardwebhooks"',
  ],
};

let project: string;
let port: string;
beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), "readme-commands-"));
  const files = execFileSync("git", ["ls-files", "-z"], { cwd: ROOT, encoding: "utf8" });
  for (const file of files
    .split("\0")
    .filter((name) => /^[^/]+$|^(src|scripts|public|bench)\//.test(name))) {
    cpSync(join(ROOT, file), join(project, file), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(project, "node_modules"));
  port = String(await freePort());
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

/** The block that begins with these words, with some of its words for others. */
function block(begins: string, words: Readonly<Record<string, string>> = {}): string {
  const found = blocks.filter((commands) => commands.startsWith(begins));
  expect(found, begins).toHaveLength(1);
  const [commands = ""] = found;
  taken.add(commands);
  const given = { ...Object.fromEntries(LEFT_OUT.map((left) => [left, ""])), ...words };
  return Object.entries(given).reduce((all, [from, to]) => all.replaceAll(from, to), commands);
}

/** A command from within a sentence, and what comes behind it so that it means the relay of this test. */
function within(command: string, options = ""): string {
  expect(inline, command).toContain(command);
  taken.add(command);
  return command + options;
}

function shell(commands: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  // What npx finds is the project's own.
  const path = `${join(ROOT, "node_modules/.bin")}:${dirname(process.execPath)}:${process.env.PATH}`;
  return spawn("bash", ["-euo", "pipefail", "-c", commands], {
    cwd: project,
    env: { ...process.env, PATH: path, ...env },
    detached: true,
  });
}

async function run(
  commands: string,
  env?: Readonly<Record<string, string>>,
  input = "",
): Promise<Finished> {
  const child = shell(commands, env);
  child.stdin?.on("error", () => {}).end(input);
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  const exitCode = await exitCodeOf(child);
  return { exitCode, stdout: stdout(), stderr: stderr() };
}

/** Runs until the test ends. */
function runAside(commands: string): ChildProcess {
  const child = shell(commands);
  onTestFinished(async () => {
    const ended = exitCodeOf(child);
    process.kill(-Number(child.pid), "SIGINT");
    await ended;
  });
  return child;
}

async function startRelay(): Promise<void> {
  const begun = block("npm start", { "npm start": `npm start -- --port ${port}` });
  await printed(runAside(begun), "Its log follows.");
}

const here = () => ({ "https://YOUR_RELAY": `http://localhost:${port}` });

it("shows the whole thing", SLOW, async () => {
  const demo = await run(block("npm install && npm run demo"));
  expect(demo).toMatchObject({ exitCode: 0 });
});

it(
  "delivers an event to a service, takes a webhook, and the doctor finds nothing that is broken",
  SLOW,
  async () => {
    const service = String(await freePort());
    await startRelay();
    const receiver = runAside(block("npm run receiver", { "9000": service }));
    await printed(receiver, service);

    const arrived = printed(receiver, "reply.received");
    const sending = `send --url http://localhost:${port}/webhooks/leadterra --event`;
    const words = { "9000": service, "8787": port, "send --event": sending };
    const sent = await run(block("API_KEY=", words));
    expect(sent).toMatchObject({ exitCode: 0 });
    expect(sent.stdout).toContain('"signingSecret":"whsec_');
    await arrived;

    const key =
      /^API_KEYS=(.*)$/m.exec(readFileSync(join(project, ".dev.vars"), "utf8"))?.[1] ?? "";
    const registered = await run(block("curl -X POST https://YOUR_RELAY/v1/webhooks", here()), {
      API_KEY: key,
    });
    expect(JSON.parse(registered.stdout)).toMatchObject({
      webhook: { filter: { "data.reply.classification": "interested" } },
    });

    expect(await testOfOwnService(key)).toMatchObject({ statusCode: 204 });

    const doctor = await run(block("RELAY_API_KEY=", here()), { API_KEY: key });
    expect(doctor).toMatchObject({ exitCode: 0, stderr: "" });

    const relay = ` -- --relay http://localhost:${port}`;
    expect(await run(within("npm run doctor", relay))).toMatchObject({ exitCode: 0, stderr: "" });
    await printed(runAside(within("npm run listen", relay)), "Listening as listen-");
    writeFileSync(join(project, "webhooks.json"), '{"webhooks":[]}');
    const applied = await run(within("npm run apply", `${relay} webhooks.json`));
    expect(applied).toMatchObject({ exitCode: 0, stderr: "" });
  },
);

/** What the service that README writes answers to the relay's test, started as README says. */
async function testOfOwnService(key: string): Promise<unknown> {
  const own = String(await freePort());
  const post = async (path: string, body: object) => {
    const response = await fetch(`http://localhost:${port}/v1/webhooks${path}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${key}` },
      body: JSON.stringify(body),
    });
    return response.json();
  };
  const url = `http://127.0.0.1:${own}/leadterra`;
  const { webhook } = Object(await post("", { url, events: ["message.sent"] }));
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  writeFileSync(join(project, "server.mjs"), /^```js\n(.*?)^```/ms.exec(readme)?.[1] ?? "");
  const words = {
    whsec_YOUR_SECRET: webhook.signingSecret,
    "node server": `PORT=${own} node server`,
  };
  runAside(block("RELAY_SECRET=", words));
  const isUp = () =>
    fetch(url).then(
      () => true,
      () => false,
    );
  await expect.poll(isUp, { timeout: 30_000 }).toBe(true);
  return post(`/${webhook.id}/test`, {});
}

it("deploys, and makes the queues keep what they hold", SLOW, async () => {
  const cloudflare = await startCloudflare();
  const deployed = await run(block("npx wrangler login"), cloudflare.env);
  expect(deployed).toMatchObject({ exitCode: 0 });
  expect(deployed.stdout).toMatch(/^[0-9a-f]{64}$/m);
  expect(cloudflare.workers.get(WORKER)?.secrets).toEqual(["API_KEYS"]);

  const kept = await run(block("npx wrangler queues update"), cloudflare.env);
  expect(kept).toMatchObject({ exitCode: 0 });
  const asked = cloudflare.changes.filter(
    ({ method, path }) => method === "PATCH" && /^\/queues\//.test(path),
  );
  expect(asked.map(({ body }) => body)).toEqual(
    ["leadterra-events", "leadterra-dead-letters"].map((queue_name) =>
      expect.objectContaining({ queue_name, settings: { message_retention_period: 1_209_600 } }),
    ),
  );
});

async function deployed(): Promise<Cloudflare> {
  const cloudflare = await startCloudflare();
  expect(await run("npm run deploy", cloudflare.env)).toMatchObject({ exitCode: 0 });
  return cloudflare;
}

async function leadterraOfTest(): Promise<LeadterraApi> {
  const leadterra = await startLeadterraApi({
    apiKey: "sk_live_YOUR_KEY",
    secret: { field: "signingSecret", place: "webhook" },
  });
  onTestFinished(() => leadterra.close());
  return leadterra;
}

it("registers the relay at Leadterra, by command and by hand", SLOW, async () => {
  const cloudflare = await deployed();
  const leadterra = await leadterraOfTest();
  const byCommand = `--relay https://my-relay.example --api ${leadterra.url}`;
  const command = block("LEADTERRA_API_KEY=", { "--relay https://YOUR_RELAY": byCommand });
  expect(await run(command, cloudflare.env)).toMatchObject({ exitCode: 0 });
  expect(cloudflare.workers.get(WORKER)?.secrets).toEqual([SIGNING_SECRETS]);

  const words = { "https://app.leadterra.co": leadterra.url, YOUR_RELAY: "my-relay.example" };
  const byHand = await run(
    block("curl -X POST https://app.leadterra.co", words),
    cloudflare.env,
    "whsec_x",
  );
  expect(byHand).toMatchObject({ exitCode: 0 });
  expect(byHand.stdout).toContain("https://my-relay.example/webhooks/leadterra");
});

it("has no command that was not run", () => {
  expect(blocks.filter((commands) => !taken.has(commands))).toEqual([]);
  const lines = blocks.flatMap((commands) => commands.split("\n"));
  const isHeld = (command: string) => {
    const [file, text] = ELSEWHERE[command] ?? [];
    return file !== undefined && readFileSync(join(ROOT, file), "utf8").includes(String(text));
  };
  expect(inline).toContain("npm test");
  expect(
    inline.filter((each) => !taken.has(each) && !lines.includes(each) && !isHeld(each)),
  ).toEqual([]);
});
