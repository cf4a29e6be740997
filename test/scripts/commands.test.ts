import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { BLOCKED_PORTS } from "../../scripts/command.ts";
import { startLeadterraApi } from "../../scripts/leadterra-api.ts";
import { closeServer, freePort, listen, readBody } from "../../scripts/loopback.ts";
import { type Behaviour, parseBehaviour, startReceiver } from "../../scripts/receiver.ts";
import { collect, exitCodeOf, ROOT } from "../../scripts/wrangler.ts";
import { startCloudflare } from "./cloudflare.ts";
import { printed, runScript, SCRIPTS } from "./run.ts";

const OWN = Object.entries(SCRIPTS).filter(([, command]) => /^node .*\.ts$/.test(command));
/** wrangler starts, builds and bundles, twice. */
const SLOW = { timeout: 300_000 };
/** A proxy where nobody listens: whatever is sent to it is lost. */
const PROXY = {
  NODE_USE_ENV_PROXY: "1",
  HTTP_PROXY: "http://127.0.0.1:1",
  HTTPS_PROXY: "http://127.0.0.1:1",
  http_proxy: "http://127.0.0.1:1",
  NO_PROXY: "example.com",
};

describe.each(OWN)("npm run %s", (name) => {
  it("explains itself, in commands that work as they are printed", async () => {
    const { exitCode, stdout, stderr } = await runScript(name, ["--help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const line = name === "start" ? "npm start" : `npm run ${name}`;
    expect(stdout).toMatch(new RegExp(`${line}($| -- \\S)`, "m"));
    expect(stdout).not.toMatch(/node (scripts|test|bench)\//);
  });
});

describe.each(OWN.filter(([name]) => name !== "start" && name !== "deploy"))(
  "npm run %s",
  (name) => {
    it("refuses an option that it does not know, in a sentence", async () => {
      const { exitCode, stdout, stderr } = await runScript(name, ["--nonsense"]);
      expect(stderr).toMatch(/^Unknown option '--nonsense'\.\n--help/);
      // Of apply, 2 is the word for a difference.
      expect({ exitCode, stdout }).toEqual({ exitCode: name === "apply" ? 1 : 2, stdout: "" });
    });
  },
);

describe.each(OWN.filter(([name]) => name !== "bench"))("npm run %s", (name) => {
  it("refuses words that it does not take, in a sentence", async () => {
    const { exitCode, stdout, stderr } = await runScript(name, ["one", "two", "three"]);
    expect(stderr).toMatch(/^"(one|two|three)" is one word too many\.\n--help/);
    expect({ exitCode, stdout }).toEqual({ exitCode: name === "apply" ? 1 : 2, stdout: "" });
  });
});

describe("npm run fixture", () => {
  it("leaves what a release wrote as it is, and says what to do", async () => {
    const { exitCode, stdout, stderr } = await runScript("fixture", []);
    expect(stderr).toMatch(
      /^test\/upgrade\/\S+ holds what \S+ wrote, and stays\. For a new release set/,
    );
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  });
});

describe("npm start", () => {
  it("says itself which env file is not there: Node would take the option for its own", async () => {
    const { exitCode, stderr } = await runScript("start", ["--env-file", "/nowhere/vars.env"]);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 2,
      stderr: expect.stringContaining("--env-file: there is no /nowhere/vars.env."),
    });
  });

  it("says where wrangler could not write, beside the wrangler.toml that is meant", async () => {
    const directory = mkdtempSync(join(tmpdir(), "unwritable-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const config = join(directory, "wrangler.toml");
    cpSync(join(ROOT, "wrangler.toml"), config);
    writeFileSync(join(directory, ".wrangler"), "no folder");
    const args = ["--port", "0", "--persist-to", join(directory, "state"), "--config", config];
    const { exitCode, stderr } = await runScript("start", args);
    expect(stderr).toMatch(/^wrangler has to write to \S+unwritable-\w+\/\.wrangler: E[A-Z]+: /);
    expect(exitCode).toBe(1);
  });

  it.each(["192.0.2.7", "no-such-host.invalid"])(
    "says that %s is no address of this machine",
    async (ip) => {
      const { exitCode, stderr } = await runScript("start", ["--port", "0", "--ip", ip]);
      expect(stderr).toMatch(`--ip: this machine has no address ${ip} (`);
      expect(exitCode).toBe(1);
    },
  );

  it.each<[string, string[], Record<string, string>]>([
    ["an option", ["--env", "nope"], {}],
    ["a short one", ["-e=nope"], {}],
    ["a variable", [], { CLOUDFLARE_ENV: "nope" }],
  ])("stops at an environment that there is not, named by %s", async (_, args, env) => {
    const given = ["--port", "0", "--persist-to", "/nowhere/state", ...args];
    const { exitCode, stdout, stderr } = await runScript("start", given, { env });
    expect(stderr).toContain("there is no environment nope: [env.nope] would make it.");
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  });
});

describe("npm run apply", () => {
  it.each([
    ["no file", []],
    ["a file that is not there", ["/nowhere/webhooks.json", "--dry-run"]],
    ["a word too many", ["a.json", "b.json", "--dry-run"]],
    ["an address that is none", ["a.json", "--dry-run", "--relay", "nonsense"]],
  ])("does not end as with a difference for %s", async (_, args) => {
    const env = { RELAY_API_KEY: "a-key-of-the-relay" };
    const { exitCode, stderr } = await runScript("apply", args, { env });
    expect(stderr).not.toBe("");
    expect(exitCode).toBe(1);
  });
});

/** Runs a command as npm does when these options stand before its `--`. */
function runWithoutDashes(
  name: string,
  args: readonly string[],
  { kept, env }: { kept: Readonly<Record<string, string>>; env?: Readonly<Record<string, string>> },
) {
  const left = Object.entries(kept).map(([option, value]) => [`npm_config_${option}`, value]);
  return runScript(name, args, {
    env: { ...env, npm_lifecycle_event: name, ...Object.fromEntries(left) },
  });
}

describe.each([
  ["apply", ["a.json"]],
  ["doctor", []],
  ["listen", []],
])("npm run %s %j", (name, args) => {
  it.each(["one-key-of-two\nother-key-of-two", "ключ-с-буквами-без-латиницы"])(
    "says of a key that no call can bring, %j, that it is none, and does not show it",
    async (key) => {
      const { exitCode, stderr } = await runScript(name, args, { env: { RELAY_API_KEY: key } });
      expect(stderr).toContain("RELAY_API_KEY has white space in it, or what no header can carry");
      expect(stderr).not.toContain(key.slice(0, 8));
      expect(exitCode).toBe(name === "apply" ? 1 : 2);
    },
  );
});

describe("an option that npm took for its own", () => {
  const key = { RELAY_API_KEY: "a-key-of-the-relay" };

  it("has npm run apply do nothing, run by npm itself", async () => {
    const relay = await relayThat(200, { data: [], next: null });
    const { origin } = new URL(relay.url);
    const args = ["other.json", "--export", "--dry-run", "--relay", origin];
    const child = spawn("npm", ["run", "apply", ...args], {
      cwd: ROOT,
      env: { ...process.env, ...key },
    });
    const stderr = collect(child.stderr);
    const exitCode = await exitCodeOf(child);
    expect(stderr()).toContain(
      `npm kept --relay and --dry-run and --export for itself, and nothing was done: write \`--\` before the options: npm run apply -- other.json --relay ${origin} --dry-run --export\n`,
    );
    expect({ exitCode, requests: relay.requests() }).toEqual({ exitCode: 1, requests: 0 });
  });

  it.each([
    ["apply", ["a.json"], { dry_run: "true" }, "npm run apply -- a.json --dry-run"],
    ["doctor", ["http://127.0.0.1:1"], { relay: "true" }, "-- --relay http://127.0.0.1:1"],
    ["doctor", ["--send"], { relay: "http://x" }, "npm run doctor -- --relay http://x --send"],
    ["listen", ["{}", "http://x"], { filter: "true", forward: "true" }, "--forward … --filter …"],
    ["listen", [], { filter: '{"event":"x"}' }, `--filter '{"event":"x"}'\n`],
    ["leadterra", ["send", "whsec_x"], { secret: "true" }, "leadterra -- send --secret …\n"],
    ["receiver", [], { gone: "true" }, "npm run receiver -- --gone"],
    ["start", ["6000"], { port: "true" }, "npm start -- --port 6000"],
    ["start", ["staging"], { env: "true" }, "npm start -- --env staging"],
    ["start", [], { call: "w.toml" }, "npm start -- --config w.toml"],
  ])("is refused by npm run %s %j with %j", async (name, args, kept, line) => {
    const { exitCode, stdout, stderr } = await runWithoutDashes(name, args, { kept, env: key });
    expect(stderr).toContain("for itself, and nothing was done: write `--` before the options: ");
    expect(stderr).toContain(line);
    expect({ exitCode, stdout }).toEqual({ exitCode: name === "apply" ? 1 : 2, stdout: "" });
  });

  it.each([
    [[], { dry_run: "true" }, "npm run deploy -- --dry-run"],
    [[], { env: "staging" }, "npm run deploy -- --env staging"],
    // npm's own -c is --call.
    [[], { call: "my/wrangler.json" }, "npm run deploy -- --config my/wrangler.json"],
  ])("deploys nothing: npm run deploy %j with %j", SLOW, async (args, kept, line) => {
    const cloudflare = await startCloudflare();
    const { exitCode, stderr } = await runWithoutDashes("deploy", args, {
      kept,
      env: cloudflare.env,
    });
    expect(stderr).toContain(line);
    expect({ exitCode, workers: cloudflare.workers.size }).toEqual({ exitCode: 2, workers: 0 });
  });

  it("is taken where it stands behind the dashes too, and what an .npmrc sets is npm's", async () => {
    const relay = await relayThat(200, { data: [], next: null });
    const args = ["a.json", "--export", "--dry-run", "--relay", new URL(relay.url).origin];
    const theirs = { registry: "https://npm.example/", tag: "next", call: "npm run apply" };
    const kept = { dry_run: "true", prune: "", ...theirs };
    expect(await runWithoutDashes("apply", args, { kept, env: key })).toMatchObject({
      exitCode: 0,
    });
  });
});

describe("a port that no browser and no fetch goes to", () => {
  const isBlocked = (port: number) => {
    // Nothing is sent: what a fetch refuses it refuses before.
    const dispatcher = {
      dispatch: () => {
        throw new Error("sent");
      },
    };
    return fetch(`http://127.0.0.1:${port}/`, { dispatcher } as unknown as RequestInit).then(
      () => false,
      (thrown: Error) => (thrown.cause as Error).message === "bad port",
    );
  };

  it("is on the list that Node's fetch goes by", async () => {
    const blocked: number[] = [];
    for (let port = 1; port <= 11_000; port++) if (await isBlocked(port)) blocked.push(port);
    expect(blocked).toEqual([...BLOCKED_PORTS]);
  });

  it.each([
    ["start", ["--port", "6000"]],
    ["receiver", ["--port", "6000"]],
    ["doctor", ["--relay", "http://127.0.0.1:6000"]],
    ["apply", ["a.json", "--relay", "https://relay.example:6000"]],
    ["listen", ["--relay", "http://127.0.0.1:6000"]],
    ["listen", ["--forward", "http://127.0.0.1:6000/hook"]],
    ["register", ["--relay", "https://relay.example:6000"]],
    ["register", ["--relay", "https://relay.example", "--api", "http://127.0.0.1:6000"]],
    ["leadterra", ["send", "--url", "http://127.0.0.1:6000/webhooks/leadterra"]],
  ])("is refused at once by npm run %s -- %j", async (name, args) => {
    const env = { RELAY_API_KEY: "a-key-of-the-relay", LEADTERRA_SIGNING_SECRETS: "whsec_x" };
    const { exitCode, stdout, stderr } = await runScript(name, args, { env });
    expect(stderr).toContain(`${args.at(-2)}: no browser and no fetch goes to port 6000`);
    expect({ exitCode, stdout }).toEqual({ exitCode: name === "apply" ? 1 : 2, stdout: "" });
  });
});

it("has npm run listen refuse a --forward with a user and a password in it, to which no fetch goes", async () => {
  const args = ["--forward", "http://user:password@127.0.0.1:3000/hook"];
  const env = { RELAY_API_KEY: "a-key-of-the-relay" };
  const { exitCode, stderr } = await runScript("listen", args, { env });
  expect({ exitCode, stderr }).toEqual({
    exitCode: 2,
    stderr: expect.stringContaining("--forward: no fetch goes to a URL with a user"),
  });
});

/** A relay that answers as it is told. */
async function relayThat(status: number, json: unknown) {
  let requests = 0;
  const server = createServer(async (request, response) => {
    await readBody(request);
    requests++;
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(json));
  });
  const port = await listen(server);
  onTestFinished(() => closeServer(server));
  return { url: `http://127.0.0.1:${port}/webhooks/leadterra`, requests: () => requests };
}

function sendTo(url: string, args: readonly string[] = [], env = {}) {
  const given = ["send", "--secret", "whsec_x", "--event", "message.sent", "--url", url, ...args];
  return runScript("leadterra", given, { env });
}

// D10 of the cases from the field: what no retry mends ends the command at once, with the cause by its name.
describe("npm run leadterra -- send", () => {
  it("says what was taken, and as what", async () => {
    const relay = await relayThat(202, { id: "evt_1", duplicate: false });
    const { exitCode, stdout } = await sendTo(relay.url);
    expect(stdout).toMatch(/message\.sent +202 +evt_1/);
    expect(exitCode).toBe(0);
  });

  it.each([
    "ftp://127.0.0.1/webhooks/leadterra",
    "127.0.0.1:8787",
    "http://user:password@127.0.0.1:8787/webhooks/leadterra",
    "file:///etc/passwd",
    "nonsense",
  ])("refuses --url %s at once", async (url) => {
    const { exitCode, stderr } = await sendTo(url);
    expect(stderr).toMatch(/^--url: /);
    expect(exitCode).toBe(2);
  });

  it("ends at the first refusal of the signature, and says whose secret it is", async () => {
    const relay = await relayThat(401, { code: "invalid_signature" });
    const { exitCode, stderr } = await sendTo(relay.url);
    expect(stderr).toContain("the secret is none of its LEADTERRA_SIGNING_SECRETS");
    expect({ exitCode, requests: relay.requests() }).toEqual({ exitCode: 2, requests: 1 });
  });

  it.each([
    [401, "there is no relay that takes events"],
    [404, "there is no relay that takes events"],
    [301, "it has moved"],
    [422, "does not take this event: invalid_event"],
  ])("ends at %i, which no retry changes", async (status, sentence) => {
    const relay = await relayThat(status, { code: "invalid_event" });
    const { exitCode, stderr } = await sendTo(relay.url);
    expect(stderr).toContain(sentence);
    expect({ exitCode, requests: relay.requests() }).toEqual({ exitCode: 2, requests: 1 });
  });

  it("says that there is no relay, by the cause's name", async () => {
    const { exitCode, stderr } = await sendTo(`http://127.0.0.1:${await freePort()}/`);
    expect(stderr).toContain(
      "nothing listens there, ECONNREFUSED. Is the relay running (npm start)",
    );
    expect(exitCode).toBe(2);
  });

  it("tries again where the waits are named, and at what may pass", async () => {
    const gone = await sendTo(`http://127.0.0.1:${await freePort()}/`, ["--waits", "1s"]);
    expect(gone.stdout.match(/connection/g)).toHaveLength(2);
    expect(gone.exitCode).toBe(1);
    const busy = await relayThat(503, { code: "queue_unavailable" });
    expect((await sendTo(busy.url, ["--waits", "1s"])).exitCode).toBe(1);
    expect(busy.requests()).toBe(2);
  });
});

/** A way to switch the proxy on that Node knows beside NODE_USE_ENV_PROXY. */
const BY_OPTION = { ...PROXY, NODE_USE_ENV_PROXY: "", NODE_OPTIONS: "--use-env-proxy" };

// D6 of the cases from the field: loopback never goes through a proxy, in every script (npm start and listen: npm-start.test.ts).
describe.each([
  ["NODE_USE_ENV_PROXY", PROXY],
  ["NODE_OPTIONS=--use-env-proxy", BY_OPTION],
])("what is on this machine, with a proxy by %s", (_, proxy) => {
  const env = { ...proxy, RELAY_API_KEY: "a-key-of-the-relay" };
  const originOf = ({ url }: { url: string }) => new URL(url).origin;

  it("is asked directly by the doctor", async () => {
    const relay = await relayThat(200, { hello: "nobody" });
    const { exitCode, stdout } = await runScript("doctor", ["--relay", originOf(relay)], { env });
    expect(stdout).toContain("/healthz answered 200, and not as a relay does");
    expect({ exitCode, requests: relay.requests() }).toEqual({ exitCode: 1, requests: 1 });
  });

  it("is asked directly by apply", async () => {
    const relay = await relayThat(200, { data: [], next: null });
    const args = ["webhooks.json", "--export", "--dry-run", "--relay", originOf(relay)];
    const { exitCode } = await runScript("apply", args, { env });
    expect({ exitCode, requests: relay.requests() }).toEqual({ exitCode: 0, requests: 1 });
  });

  it("is asked directly by leadterra", async () => {
    const relay = await relayThat(202, { id: "evt_1", duplicate: false });
    expect(await sendTo(relay.url, [], proxy)).toMatchObject({ exitCode: 0 });
  });

  it("is asked directly by register, and by the wrangler that it starts", SLOW, async () => {
    const cloudflare = await startCloudflare();
    expect(await runScript("deploy", [], { env: { ...cloudflare.env, ...proxy } })).toMatchObject({
      exitCode: 0,
    });
    const leadterra = await startLeadterraApi({
      apiKey: "sk_live_x",
      secret: { field: "secret", place: "webhook" },
    });
    onTestFinished(() => leadterra.close());
    const registered = await runScript(
      "register",
      ["--relay", "https://relay.example", "--api", leadterra.url],
      { env: { ...cloudflare.env, ...proxy, LEADTERRA_API_KEY: "sk_live_x" } },
    );
    expect(registered).toMatchObject({ exitCode: 0, stderr: "" });
    expect(cloudflare.workers.get("leadterra-relay")?.secrets).toEqual([
      "LEADTERRA_SIGNING_SECRETS",
    ]);
  });
});

/** What a behaviour answers to the request of this number. */
function answerOf(behaviour: Behaviour, number: number) {
  return behaviour({ number } as Parameters<Behaviour>[0]);
}

describe("npm run receiver", () => {
  it.each([
    [[], { status: 200, delayMs: 0 }],
    [["--status", "500"], { status: 500, delayMs: 0 }],
    [["--gone"], { status: 410, delayMs: 0 }],
    [["--delay", "300"], { status: 200, delayMs: 300 }],
    [["--fail", "2"], { status: 503, delayMs: 0 }],
    [["--fail", "2", "--status", "429"], { status: 429, delayMs: 0 }],
    [["--hang"], "hang"],
  ])("%j answers its first request with %j", (args, answer) => {
    expect(answerOf(parseBehaviour(args).behaviour, 1)).toEqual(answer);
  });

  it("recovers after --fail", () => {
    const { behaviour } = parseBehaviour(["--fail", "2", "--delay", "5"]);
    expect(answerOf(behaviour, 2)).toEqual({ status: 503, delayMs: 5 });
    expect(answerOf(behaviour, 3)).toEqual({ status: 200, delayMs: 5 });
  });

  it.each([
    [["--status", "99"], "--status must be a whole number from 200 to 599"],
    [["--delay", "soon"], "--delay must be a whole number"],
    [["--hang", "--gone"], "One of --status, --gone and --hang"],
    [["--port", "70000"], "--port must be a whole number"],
    [["--secret", "abc"], "--secret must start with whsec_"],
    [["--fail"], "Option '--fail <value>' argument missing"],
  ])("refuses %j", (args, sentence) => {
    expect(() => parseBehaviour(args)).toThrow(sentence);
  });

  it("prints a line with the status for each request", async () => {
    const child = spawn("npm", ["run", "receiver", "--", "--port", "0", "--status", "500"], {
      cwd: ROOT,
      detached: true,
    });
    onTestFinished(() => void process.kill(-Number(child.pid), "SIGKILL"));
    const [, url = ""] = /Receiving at (\S+)/.exec(await printed(child, "Ctrl-C")) ?? [];
    const line = printed(child, "→ 500");
    expect((await fetch(url, { method: "POST", body: "{}" })).status).toBe(500);
    expect(await line).toContain("signatures not checked");
  });

  it("ends in silence when nobody reads on, as behind head", async () => {
    const [, ...words] = (SCRIPTS.receiver ?? "").split(" ");
    const child = spawn(process.execPath, [...words, "--port", "0"], { cwd: ROOT });
    onTestFinished(() => void child.kill("SIGKILL"));
    const stderr = collect(child.stderr);
    const exitCode = exitCodeOf(child);
    const [, url = ""] = /Receiving at (\S+)/.exec(await printed(child, "Ctrl-C")) ?? [];
    child.stdout.destroy();
    await once(child.stdout, "close");
    await fetch(url, { method: "POST", body: "{}" }).catch(() => "it may be gone before");
    // As a shell counts an end by SIGHUP.
    expect({ exitCode: await exitCode, stderr: stderr() }).toEqual({ exitCode: 129, stderr: "" });
  });

  it("says that its port is taken", async () => {
    const { url, close } = await startReceiver();
    onTestFinished(close);
    const { exitCode, stderr } = await runScript("receiver", ["--port", new URL(url).port]);
    expect(stderr).toContain("cannot be used");
    expect(exitCode).toBe(2);
  });

  it("ends with npm, even when npm is killed", async () => {
    const child = spawn("npm", ["run", "receiver", "--", "--port", "0"], {
      cwd: ROOT,
      detached: true,
    });
    const [, url = ""] = /Receiving at (\S+)/.exec(await printed(child, "Ctrl-C")) ?? [];
    child.kill("SIGKILL");
    await once(child, "close");
    await expect(fetch(url)).rejects.toThrow("fetch failed");
  });
});
