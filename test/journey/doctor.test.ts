/** `npm run doctor` against a relay with faults: each is named, and gone once its remedy was taken as it is printed. */
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { type ExamineOptions, examine, sendSample } from "../../scripts/doctor.ts";
import { closeServer, listen, readBody } from "../../scripts/loopback.ts";
import { relayApi } from "../../scripts/relay-api.ts";
import { ROOT } from "../../scripts/wrangler.ts";
import { type Api, PATIENCE_MS } from "../rig/api.ts";
import { answering, Receiver, startReceiver } from "../rig/receiver.ts";
import { type Build, buildWorker, startWorkerd, temporaryDirectory } from "../rig/workerd.ts";
import { runScript } from "../scripts/run.ts";
import { releasedBuild } from "../upgrade/released.ts";
import { API_KEY, JourneyRelay, relayOptions, SIGNING_SECRET, type Variables } from "./relay.ts";

const READS_ONLY_KEY = "doctor-key-that-only-reads";
const patient = { timeout: PATIENCE_MS, interval: 100 };
/** For what begins, or is over, a minute later. */
const MINUTES = { timeout: 240_000 };
const inMinutes = { timeout: 200_000, interval: 1_000 };

/** The relay, with a way to bring about a dead letter. */
let build: Build;
let relay: JourneyRelay;
/** Another one, on which what takes a minute to begin begins with the file. */
let slow: Awaited<ReturnType<typeof startSlow>>;

async function startRelay(variables: Variables = {}): Promise<JourneyRelay> {
  const started = new JourneyRelay({ ...relayOptions(variables), build });
  await started.start();
  return started;
}

beforeAll(async () => {
  build = await buildWorker({ entry: join(ROOT, "test/browser/worker.ts") });
  [relay, slow] = await Promise.all([startRelay(), startSlow()]);
});
afterAll(async () => {
  await relay?.close();
  await slow?.close();
  build?.remove();
});

/** A receiver that is there for the whole file. */
async function lasting(status: number): Promise<Receiver> {
  const server = createServer();
  return new Receiver(server, await listen(server), answering(status));
}

/** A webhook that is late, and alerts that are refused. */
async function startSlow() {
  const [service, alerts, gone] = await Promise.all([lasting(200), lasting(404), lasting(410)]);
  const started = await startRelay({ ALERT_URL: alerts.url });
  await started.call("/webhooks", { url: service.url, events: ["slow.late"], rateLimit: 0.01 });
  await started.call("/webhooks", { url: gone.url, events: ["slow.gone"], name: "slow-gone" });
  for (const event of ["slow.late", "slow.late", "slow.late", "slow.gone"])
    await post(started, event);
  const close = async () => {
    await started.close();
    await Promise.all([service, alerts, gone].map((each) => each.close()));
  };
  return { relay: started, alerts, gone, close };
}

let count = 0;

async function post(to: Api, event: string, events = 1): Promise<void> {
  for (let each = 0; each < events; each++) {
    const data = { messageId: `doctor_${++count}` };
    await to.post({ event, timestamp: new Date().toISOString(), data });
  }
}

type Asked = ExamineOptions & { of?: Api; apiKey?: string; url?: string };

/** What is wrong; a relay without events is silent, which is no part of most of this. */
async function faults({ of = relay, apiKey = API_KEY, url = of.url, ...options }: Asked = {}) {
  const findings = await examine(relayApi(url, apiKey), options);
  const wrong = findings.filter(({ remedy }) => remedy !== null);
  return wrong.filter(({ what }) => !/^No event has come/.test(what));
}

/** The one that is about this, once it is there. */
async function fault(about: RegExp, asked: Asked = {}, patience = patient) {
  return vi.waitFor(async () => {
    const all = await faults(asked);
    const found = all.find(({ what }) => about.test(what));
    if (found === undefined) throw new Error(`not named: ${about} in ${JSON.stringify(all)}`);
    return { what: found.what, remedy: found.remedy ?? "" };
  }, patience);
}

async function isWell(about: RegExp, asked: Asked = {}, patience = patient) {
  await vi.waitFor(async () => {
    expect((await faults(asked)).filter(({ what }) => about.test(what))).toEqual([]);
  }, patience);
}

/** Does what a remedy says, as it is printed: `POST /v1/… {…}`. */
async function take(remedy: string, of: Api = relay) {
  const [, method = "", path = "", body] =
    /(POST|PATCH|DELETE) (\/v1\/[^\s,]*[^\s,.])(?: (\{.*?\}))?/.exec(remedy) ?? [];
  const { status } = await of.request(
    method,
    path,
    body === undefined ? undefined : JSON.parse(body),
  );
  expect(status).toBeLessThan(300);
}

/** A service that answers so until it is mended, and its webhook. */
async function service(status: number, draft: { name: string; [field: string]: unknown }) {
  const receiver = await startReceiver();
  receiver.answer = answering(status);
  await relay.register({ url: receiver.url, events: [`doctor.${draft.name}`], ...draft });
  const mend = () => {
    receiver.answer = answering(200);
  };
  return { receiver, mend, post: (events: number) => post(relay, `doctor.${draft.name}`, events) };
}

describe("the doctor of a relay", () => {
  it("names one without a webhook, until one is registered", async () => {
    expect((await fault(/^No webhook is registered/)).remedy).toContain("POST /v1/webhooks");
    const receiver = await startReceiver();
    await relay.register({ url: receiver.url, events: ["x"] });
    await vi.waitFor(async () => expect(await faults()).toEqual([]), patient);
  });

  it("names an address of something else, and is content with the relay's", async () => {
    const other = await startReceiver();
    const about = /not as a relay does/;
    expect((await fault(about, { url: other.url.replace(/\/$/, "") })).remedy).toContain(
      "its address",
    );
    await isWell(about);
  });

  it("names a key that is none, and is content with one of API_KEYS", async () => {
    const about = /does not know the key/;
    const { remedy } = await fault(about, { apiKey: "a-key-that-nobody-knows" });
    expect(remedy).toContain("Give RELAY_API_KEY one of its API_KEYS");
    await isWell(about);
    // The other half of the remedy: the key is put into the relay.
    await relay.redeploy({ READ_ONLY_API_KEYS: READS_ONLY_KEY });
    onTestFinished(() => relay.redeploy({}));
    await isWell(about, { apiKey: READS_ONLY_KEY });
  });

  it("names a clock that is off, until it is set", async () => {
    const about = /clock of this machine/;
    // Cloudflare answers with a date, which a workerd alone does not.
    const front = createServer(async (request, response) => {
      const body = await readBody(request);
      const { method = "", url: path = "", headers } = request;
      const { authorization = "" } = headers;
      const init = { method, headers: { authorization }, ...(method === "POST" && { body }) };
      const answer = await relay.fetch(path, init);
      response.writeHead(answer.status).end(await answer.text());
    });
    const url = `http://127.0.0.1:${await listen(front)}`;
    onTestFinished(() => closeServer(front));
    await fault(about, { url, now: () => Date.now() - 240_000 });
    await isWell(about, { url });
  });

  it("names a checkout that is older than the relay or its data, until another is checked out", async () => {
    const about = /this checkout is older/;
    const version = String(
      ((await (await relay.fetch("/healthz")).json()) as { version: string }).version,
    );
    expect((await fault(about, { own: { version: "0.0.9", data: 1 } })).remedy).toContain(
      `Check out ${version} `,
    );
    await fault(about, { own: { version, data: 1 } });
    await isWell(about);
  });

  it("names silence, which a sample event ends", async () => {
    const receiver = await startReceiver();
    await relay.register({ url: receiver.url, events: ["message.sent"] });
    const silence = async (now = Date.now) =>
      (await examine(relayApi(relay.url, API_KEY), { now })).filter(({ what }) =>
        /^No event has come/.test(what),
      );
    const later = () => Date.now() + 25 * 3_600_000;
    expect(await sendSample(relayApi(relay.url, API_KEY), SIGNING_SECRET)).toMatchObject({
      remedy: null,
    });
    expect(await silence()).toEqual([]);
    expect(await silence(later)).toMatchObject([
      { what: "No event has come for 25 hours", remedy: expect.stringContaining("--send") },
    ]);
  });

  it("names every variable that is of no use and the webhook that is held, until they are set", async () => {
    const receiver = await startReceiver();
    await relay.register({ url: receiver.url, events: ["x"], name: "held" });
    const bad = {
      RETRY_SCHEDULE: "soon",
      DELIVERY_TIMEOUT: "ten",
      IDEMPOTENCY_TTL: "1s",
      RETENTION: "long",
      ALLOW_PRIVATE_DESTINATIONS: "perhaps",
      ALERT_URL: "nowhere",
      SILENCE_ALERT: "never",
      READ_ONLY_API_KEYS: "short",
      DASHBOARD_ACCESS: "sometimes",
      LEADTERRA_SIGNING_SECRETS: "",
    } as Variables;
    await relay.redeploy(bad);
    onTestFinished(() => relay.redeploy({}));
    const all = await faults();
    for (const name of Object.keys(bad)) {
      const remedies = all.filter(({ remedy }) => remedy?.startsWith(`Set ${name} (`));
      expect(remedies.length, name).toBeGreaterThan(0);
    }
    expect((await fault(/^held .*: misconfigured/)).remedy).toContain("named above");
    await relay.redeploy({});
    await vi.waitFor(async () => expect(await faults()).toEqual([]), patient);
  });
});

describe("the doctor of what reached nobody", () => {
  it("names dead letters by their reason, which its remedies hand over or remove", async () => {
    const receiver = await startReceiver();
    const { id } = await relay.register({ url: receiver.url, events: ["x"] });
    const letters = [
      { id: "dl_owed", event: "x", reason: "full", webhookIds: [id] },
      { id: "dl_else", event: null, reason: "unreadable", webhookIds: null },
    ];
    for (const letter of letters) {
      const body = JSON.stringify(letter);
      expect((await relay.fetch("/test/dead-letters", { method: "POST", body })).status).toBe(204);
    }
    const owed = await fault(/^1 dead letters \(full\)/);
    const unreadable = await fault(/^1 dead letters \(unreadable\)/);
    await take(owed.remedy);
    await receiver.received();
    await isWell(/dead letters \(full\)/);
    await take(unreadable.remedy);
    await isWell(/dead letters/);
  });

  it("names alerts that are refused, which another URL gets", MINUTES, async () => {
    const { relay: of, alerts, gone } = slow;
    const about = /^Alerts reach nobody since .*: ALERT_URL answers 404/;
    await fault(/^slow-gone .*: disabled/, { of });
    expect((await fault(about, { of })).remedy).toContain("secret put ALERT_URL");
    const taking = await startReceiver();
    await of.redeploy({ ALERT_URL: taking.url });
    await isWell(about, { of });
    // Cron does it every five minutes.
    await of.sweep();
    const [alert] = await taking.received();
    expect(alert?.body.toString()).toContain("slow-gone");
    expect([alerts, gone].every(({ requests }) => requests.length > 0)).toBe(true);
  });
});

describe("the doctor of a webhook", () => {
  it("names a disabled one, which its remedy resumes", async () => {
    const { mend, post: events } = await service(410, { name: "gone" });
    await events(1);
    const { remedy } = await fault(/^gone .*: disabled \(gone\) since .*, 1 waiting/);
    mend();
    await take(remedy);
    await isWell(/^gone/);
  });

  it("names undeliverable ones, which its remedy sends again", async () => {
    const { mend, post: events } = await service(422, { name: "refused", giveUpOn: [422] });
    await events(3);
    const { remedy } = await fault(/^refused .*3 undeliverable/);
    mend();
    await take(remedy);
    await isWell(/^refused/);
  });

  it.each([
    ["failing", 3],
    ["probing", 10],
  ])("names a %s one with its last answer, which its remedy tries again", async (state, events) => {
    const { mend, post: fail } = await service(503, { name: state });
    await fail(events);
    const { remedy } = await fault(
      new RegExp(`^${state} .*: ${state} since .*, ${events} waiting`),
    );
    expect(remedy).toContain("It said 503. When the service is mended: POST /v1/webhooks/");
    mend();
    await take(remedy);
    await isWell(new RegExp(`^${state}`));
  });

  it("names a late one, which its remedy lets go faster", MINUTES, async () => {
    const about = /late since .*waiting/;
    const { remedy } = await fault(about, { of: slow.relay }, inMinutes);
    expect(remedy).toContain("more than 0.01 a second");
    // Doubled again and again until it is fast enough.
    for (let rateLimit = 0.02; rateLimit < 1; rateLimit *= 2) {
      const again = (await faults({ of: slow.relay })).find(({ what }) => about.test(what));
      if (again === undefined) break;
      await take(again.remedy ?? "", slow.relay);
    }
    await isWell(about, { of: slow.relay }, inMinutes);
  });
});

it("tells a relay of 0.1.0 what a deploy does to its data, and that it is done afterwards", async () => {
  const released = releasedBuild("0.1.0");
  const state = temporaryDirectory("doctor");
  onTestFinished(released.remove);
  onTestFinished(state.remove);
  const vars = { LEADTERRA_SIGNING_SECRETS: SIGNING_SECRET, API_KEYS: API_KEY };
  const told = async (of: Build) => {
    const started = await startWorkerd({ build: of, stateDirectory: state.directory, vars });
    try {
      const findings = await examine(relayApi(started.url, API_KEY));
      return findings.map(({ what }) => what).join("\n");
    } finally {
      await started.kill();
    }
  };
  const before = await told(released);
  expect(before).toMatch(/data from version 1 to 2 .*; it cannot be rolled back/);
  expect(before).toContain("What the queue events holds cannot be told");
  expect(await told(build)).toMatch(/leaves stored data as it is \(version 2\)/);
});

it("shows nothing secret, whatever it finds", async () => {
  const receiver = await startReceiver();
  receiver.answer = answering(500, { body: "the-body-of-the-answer" });
  const headers = { Authorization: "Bearer value-of-a-header" };
  const url = `${receiver.url}?token=query-of-an-address`;
  const webhook = await relay.register({
    url,
    events: ["doctor.secret"],
    headers,
    name: "secretive",
  });
  await post(relay, "doctor.secret", 3);
  await fault(/^secretive .*failing/);
  const env = { RELAY_API_KEY: API_KEY, LEADTERRA_SIGNING_SECRETS: SIGNING_SECRET };
  const args = ["--relay", relay.url.replace("//", "//user:password@"), "--send"];
  const { exitCode, stdout, stderr } = await runScript("doctor", args, { env });
  expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: "" });
  expect(stdout).toContain("secretive");
  const secrets = [API_KEY, SIGNING_SECRET, webhook.signingSecret, "password", "whsec_"];
  for (const secret of [...secrets, "value-of-a-header", "query-of-an-address", "the-body-of"]) {
    expect(stdout).not.toContain(secret);
  }
});
