/** `npm start` as a person runs it: npm, the script, wrangler and workerd, and what ends them. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { freePort } from "../../scripts/loopback.ts";
import { isAlive, processesWithFilesIn } from "../../scripts/processes.ts";
import { collect, ROOT } from "../../scripts/wrangler.ts";
import { printed, runScript, SCRIPTS } from "./run.ts";

const API_KEY = "rk_a$HOME_key_with_$5_and_$(date)";
const SIGNING_SECRET = "whsec_$PATH_of_the_test";
/** A proxy where nobody listens. */
const PROXY = {
  NODE_USE_ENV_PROXY: "1",
  HTTP_PROXY: "http://127.0.0.1:1",
  http_proxy: "http://127.0.0.1:1",
};
const AT_ONCE = 10;
/** How long the last process may take to go. */
const GONE_WITHIN = { timeout: 30_000, interval: 200 };

let directory: string;
let temporary: string;
let state: string;
let envFile: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "npm-start-"));
  temporary = mkdtempSync(join(directory, "tmp-"));
  state = join(directory, "state");
  envFile = join(directory, "relay.env");
  writeFileSync(
    envFile,
    `API_KEYS=${API_KEY}\nLEADTERRA_SIGNING_SECRETS='${SIGNING_SECRET}'\nALLOW_PRIVATE_DESTINATIONS=true\n`,
  );
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Problem = { name: string };
type Started = { npm: ChildProcess; url: string; said: string };

/** Starts it and waits until it says that it is there. */
async function startAt(port: number | null, ...args: string[]): Promise<Started> {
  const given = ["--port", String(port), "--persist-to", state, "--env-file", envFile, ...args];
  const npm = spawn("npm", ["start", "--", ...given], {
    cwd: ROOT,
    env: { ...process.env, ...PROXY, TMPDIR: temporary },
    detached: true,
  });
  const said = await printed(npm, "Its log follows.");
  return { npm, url: `http://127.0.0.1:${port}`, said };
}

const start = async (...args: string[]) => startAt(await freePort(), ...args);

async function expectAllGone(url: string): Promise<void> {
  await expect.poll(() => processesWithFilesIn(state), GONE_WITHIN).toEqual([]);
  await expect
    .poll(
      () =>
        fetch(url).then(
          () => "answers",
          () => "gone",
        ),
      GONE_WITHIN,
    )
    .toBe("gone");
  // What held the secrets of the run.
  const left = () => readdirSync(temporary).filter((name) => name.startsWith("leadterra-relay-"));
  await expect.poll(left, GONE_WITHIN).toEqual([]);
}

function call(url: string, path: string, body: unknown): Promise<Response> {
  const headers = { Authorization: `Bearer ${API_KEY}` };
  return fetch(`${url}/v1${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

// D1, D2, D5, D6 and D7 of the cases from the field, as a person meets them.
describe("npm start", { timeout: 180_000 }, () => {
  it("takes options of its own and of wrangler, values with dollar signs, and no detour by a proxy", async () => {
    const inspector = String(await freePort());
    const { npm, url, said } = await start("--ip", "0.0.0.0", "--inspector-port", inspector);
    expect(said).toContain(`API key         ${API_KEY}\n`);

    const webhook = { url: `http://127.0.0.1:${await freePort()}/`, events: ["*"] };
    expect((await call(url, "/webhooks", webhook)).status).toBe(201);
    const failure = printed(npm, "▲ attempt failed: connection");
    const sent = await runScript(
      "leadterra",
      [
        "send",
        "--event",
        "message.sent",
        "--secret",
        SIGNING_SECRET,
        "--url",
        `${url}/webhooks/leadterra`,
      ],
      { env: PROXY },
    );
    expect(sent).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await failure).not.toMatch(/\[(ERROR|WARNING)\]|"happening"/);

    const second = await runScript("start", ["--port", "0", "--persist-to", state]);
    expect(second.exitCode).toBe(1);
    const [, pid] = /^Process (\d+) runs a relay on/.exec(second.stderr) ?? [];
    expect(isAlive(Number(pid))).toBe(true);

    npm.kill("SIGKILL");
    await expectAllGone(url);
  });

  it("says what is wrong with a variable, and where to mend it, and shows the first key that counts", async () => {
    const wrong = join(directory, "wrong.env");
    writeFileSync(
      wrong,
      "RETENTION=1day\nSILENCE_ALERT=1h\nAPI_KEYS=short,rk_of_sixteen_and_more\n",
    );
    const { npm, url, said } = await start("--env-file", wrong, "--var", "SILENCE_ALERT:never");
    // Before wrangler is there, which takes a while.
    const [before = ""] = said.split(" runs at ");
    expect(before).toMatch(/✗ RETENTION must be .* Mend it in .*wrong\.env, and start again\.\n/);
    expect(before).toMatch(/✗ SILENCE_ALERT must be .* Mend it in --var, and start again\.\n/);
    expect(said).toContain("API key         rk_of_sixteen_and_more\n");
    const health = (await (await fetch(`${url}/healthz`)).json()) as { problems: Problem[] };
    expect(health.problems.map(({ name }) => name).sort()).toEqual([
      "API_KEYS",
      "RETENTION",
      "SILENCE_ALERT",
    ]);
    npm.kill("SIGTERM");
    await expectAllGone(url);
  });

  it("shows what happened before it said that it is there", async () => {
    const port = await freePort();
    const webhook = { url: "http://127.0.0.1:9/", events: ["*"] };
    // wrangler keeps what is asked until the relay can answer it, the question whether it can among them.
    const create = async () => {
      const status = () =>
        call(`http://127.0.0.1:${port}`, "/webhooks", webhook).then((made) => made.status, String);
      await expect.poll(status, { timeout: 90_000, interval: 10 }).toBe(201);
    };
    const created = Promise.all(Array.from({ length: AT_ONCE }, create));
    const { npm, url, said } = await startAt(port);
    let log = said;
    npm.stdout?.on("data", (chunk) => {
      log += chunk;
    });
    await created;
    await expect.poll(() => log.match(/webhook created: /g)?.length).toBe(AT_ONCE);
    npm.kill("SIGTERM");
    await expectAllGone(url);
  });

  it("ends when the runtime is killed, for nothing answers any more, and says that its state is kept", async () => {
    const { npm, url } = await start();
    await call(url, "/webhooks", { url: "http://127.0.0.1:9/", events: ["*"] });
    const said = printed(npm, "what the relay knows is kept.");
    for (const pid of processesWithFilesIn(join(state, "v3"))) process.kill(pid, "SIGKILL");
    expect(await said).toContain("workerd) was killed or has crashed. Start again:");
    await expectAllGone(url);
  });

  it("builds by the Node that runs it, whichever is on the PATH", async () => {
    const [, ...words] = (SCRIPTS.start ?? "").split(" ");
    const given = ["--port", "0", "--persist-to", state, "--env-file", envFile];
    const script = spawn(process.execPath, [...words, ...given], {
      cwd: ROOT,
      env: { ...process.env, PATH: directory, TMPDIR: temporary },
    });
    const said = await printed(script, "Its log follows.");
    script.kill("SIGTERM");
    await expectAllGone(/http:\S+:\d+/.exec(said)?.[0] ?? "");
  });

  it("ends in silence when nobody reads its log any more, as behind head", async () => {
    const { npm, url } = await start();
    const stderr = collect(npm.stderr);
    npm.stdout?.destroy();
    await expect
      .poll(() => call(url, "/webhooks", {}).then(String, () => "gone"), GONE_WITHIN)
      .toBe("gone");
    await expectAllGone(url);
    expect(stderr()).toBe("");
  });

  it("brings its events to who listens, over a start of its own", async () => {
    const first = await start();
    const env = { ...process.env, ...PROXY, RELAY_API_KEY: API_KEY };
    const args = ["run", "listen", "--", "--relay", first.url, "--name", "anna"];
    const anna = spawn("npm", args, { cwd: ROOT, env, detached: true });
    onTestFinished(() => {
      if (isAlive(Number(anna.pid))) process.kill(-Number(anna.pid), "SIGKILL");
    });
    await printed(anna, "Listening as anna.");
    const send = (url: string) => {
      const given = ["--event", "reply.received", "--secret", SIGNING_SECRET];
      const to = ["--url", `${url}/webhooks/leadterra`];
      return runScript("leadterra", ["send", ...given, ...to], { env: PROXY });
    };
    const [told] = await Promise.all([printed(anna, '{"event":"reply.received"'), send(first.url)]);
    expect(told).toMatch(/reply\.received.* \S+@\S+ .*200/);

    const lost = printed(anna, "The connection is lost");
    first.npm.kill("SIGTERM");
    await Promise.all([lost, expectAllGone(first.url)]);
    const connected = printed(anna, "Connected again.");
    const { npm, url } = await startAt(Number(new URL(first.url).port));
    await connected;
    await Promise.all([printed(anna, '{"event":"reply.received"'), send(url)]);
    const ended = printed(anna, "anna stays for 24 hours");
    process.kill(-Number(anna.pid), "SIGINT");
    await ended;
    npm.kill("SIGTERM");
    await expectAllGone(url);
  });

  it("takes wrangler and workerd along when it is killed itself, and starts again on the same state", async () => {
    const { url } = await start();
    const pids = processesWithFilesIn(state);
    expect(pids.length).toBeGreaterThanOrEqual(2);
    const { stderr } = await runScript("start", ["--port", "0", "--persist-to", state]);
    const [, pid] = /^Process (\d+)/.exec(stderr) ?? [];
    process.kill(Number(pid), "SIGKILL");
    await expectAllGone(url);

    const again = await start();
    again.npm.kill("SIGTERM");
    await expectAllGone(again.url);
    expect(existsSync(join(state, "v3"))).toBe(true);
  });
});
