/** `npm run doctor` against a relay with faults: each is named, and gone once its remedy was taken as it is printed. */
import { createServer } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type ExamineOptions, examine, sendSample } from "../../scripts/doctor.ts";
import { closeServer, freePort, listen, readBody } from "../../scripts/loopback.ts";
import { relayApi } from "../../scripts/relay-api.ts";
import { temporaryDirectory } from "../../scripts/temporary.ts";
import { ROOT } from "../../scripts/wrangler.ts";
import { Api, PATIENCE_MS } from "../rig/api.ts";
import { eventually } from "../rig/eventually.ts";
import { type Answer, answering, Receiver, startReceiver } from "../rig/receiver.ts";
import { type Build, buildWorker, startWorkerd } from "../rig/workerd.ts";
import { runScript } from "../scripts/run.ts";
import { LATER_VERSION, laterCheckout } from "../upgrade/later.ts";
import { releasedBuild } from "../upgrade/released.ts";
import { API_KEY, JourneyRelay, relayOptions, SIGNING_SECRET, type Variables } from "./relay.ts";

const READS_ONLY_KEY = "doctor-key-that-only-reads";
const patient = { timeout: PATIENCE_MS, interval: 100 };
/** For what begins, or is over, a minute later. */
const MINUTES = { timeout: 240_000 };
const inMinutes = { timeout: 200_000, interval: 1_000 };

/** A service whose answers take so long makes late what it gets one by one: so many of them, in order. */
const SLOW = { answerMs: 15_000, events: 30 };

/** The relay, with ways to bring about what takes long, and to break something in it. */
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
async function lasting(answer: Answer): Promise<Receiver> {
  const server = createServer();
  return new Receiver(server, await listen(server), answer);
}

const answersSlowly: Answer = async (exchange) => {
  await sleep(SLOW.answerMs);
  await answering(200)(exchange);
};

/** Webhooks that are late, each for a reason of its own, and alerts that are refused. */
async function startSlow() {
  const answers = [answering(200), answering(404), answering(410), answersSlowly];
  const receivers = await Promise.all(answers.map(lasting));
  const [service, alerts, gone, slowly] = receivers as [Receiver, Receiver, Receiver, Receiver];
  const started = await startRelay({ ALERT_URL: alerts.url });
  const register = (name: string, { url }: Receiver, fields = {}) =>
    started.call("/webhooks", { url, name, events: [`slow.${name}`], ...fields });
  await register("paced", service, { rateLimit: 0.01 });
  await register("ordered", slowly, { ordered: true, timeout: "60s" });
  await register("alone", slowly, { concurrency: 1, timeout: "60s" });
  await register("gone", gone);
  await post(started, "slow.gone");
  await post(started, "slow.paced", 3);
  for (const name of ["ordered", "alone"]) await post(started, `slow.${name}`, SLOW.events);
  const close = async () => {
    await started.close();
    await Promise.all(receivers.map((each) => each.close()));
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
  return eventually(async () => {
    const all = await faults(asked);
    const found = all.find(({ what }) => about.test(what));
    if (found === undefined) throw new Error(`not named: ${about} in ${JSON.stringify(all)}`);
    return { what: found.what, remedy: found.remedy ?? "" };
  }, patience);
}

async function isWell(about: RegExp, asked: Asked = {}, patience = patient) {
  await eventually(async () => {
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
    await eventually(async () => expect(await faults()).toEqual([]), patient);
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
    expect(remedy).toContain("Give RELAY_API_KEY one of API_KEYS in .dev.vars");
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
    await eventually(async () => expect(await faults()).toEqual([]), patient);
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
    const owed = await fault(/^1 dead letter \(full\)/);
    const unreadable = await fault(/^1 dead letter \(unreadable\)/);
    await take(owed.remedy);
    await receiver.received();
    await isWell(/dead letters? \(full\)/);
    await take(unreadable.remedy);
    await isWell(/dead letters?/);
  });

  it("names alerts that are refused, which another URL gets", MINUTES, async () => {
    const { relay: of, alerts, gone } = slow;
    const about = /^Alerts reach nobody since .*: ALERT_URL answers 404/;
    await fault(/^gone .*: disabled/, { of });
    expect((await fault(about, { of })).remedy).toContain("secret put ALERT_URL");
    const taking = await startReceiver();
    await of.redeploy({ ALERT_URL: taking.url });
    await isWell(about, { of });
    // Cron does it every five minutes.
    await of.sweep();
    const [alert] = await taking.received();
    expect(alert?.body.toString()).toContain("gone");
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

  it.each([
    ["paced", "If the service can take more than 0.01 a second: PATCH"],
    ["ordered", "If the order does not matter: PATCH"],
    ["alone", "If the service can take more at once: PATCH"],
  ])(
    "names one that is late, %s, which its remedies let go faster",
    async (name, remedy) => {
      const about = new RegExp(`^${name} .*: late since .*waiting`);
      const asked = { of: slow.relay };
      expect((await fault(about, asked, inMinutes)).remedy).toContain(remedy);
      await eventually(async () => {
        const [late] = (await faults(asked)).filter(({ what }) => about.test(what));
        if (late !== undefined) await take(late.remedy ?? "", slow.relay);
        expect(late).toBeUndefined();
      }, inMinutes);
    },
    MINUTES.timeout,
  );
});

/** Breaks something in the relay, or mends it. */
async function bringAbout(of: Api, path: string, given: unknown = {}): Promise<void> {
  const { status } = await of.fetch(path, { method: "POST", body: JSON.stringify(given) });
  expect(status).toBe(204);
}

const sample = (of: Api) => sendSample(relayApi(of.url, API_KEY), SIGNING_SECRET);

describe("the doctor of events that do not come", () => {
  it("names silence, which a sample event ends", async () => {
    const silent = await startRelay();
    onTestFinished(() => silent.close());
    const silence = async () => {
      const all = await examine(relayApi(silent.url, API_KEY));
      return all.filter(({ what, remedy }) => remedy !== null && /^No event/.test(what));
    };
    expect(await silence()).toMatchObject([{ what: "No event has come yet" }]);
    await bringAbout(silent, "/test/came-ago", 25 * 3_600_000);
    await post(silent, "doctor.yesterday");
    const what = "No event has come for 25 hours";
    const remedy = expect.stringContaining("--send tries the way from ingest on");
    await eventually(
      async () => expect(await silence()).toEqual([{ what, remedy, isTold: true }]),
      patient,
    );
    await bringAbout(silent, "/test/came-ago", 0);
    expect(await sample(silent)).toMatchObject({ remedy: null });
    expect(await silence()).toEqual([]);
  });

  it(
    "names a queue that stands and a sample event that stays in it, until what stops the consumer is mended",
    async () => {
      const receiver = await startReceiver();
      await relay.register({ url: receiver.url, events: ["doctor.stands"] });
      const about = /^The queue of events holds [1-9]\d*, the oldest for 6 minutes/;
      const asked = { now: () => Date.now() + 360_000 };
      await bringAbout(relay, "/test/broken", { journal: true });
      onTestFinished(() => bringAbout(relay, "/test/broken"));
      const lost = sample(relay);
      await post(relay, "doctor.stands", 3);
      expect((await fault(about, asked)).remedy).toContain("stops the consumer: npx wrangler tail");
      expect(await lost).toMatchObject({
        what: "A sample event was taken and is not in the journal after 60 s",
        remedy: expect.stringContaining("npx wrangler tail"),
      });
      // What the log says of it.
      expect(relay.logs.join("\n")).toContain("consumer.journal_unreachable");
      await bringAbout(relay, "/test/broken");
      await receiver.received(3);
      await isWell(/^The queue events/, asked);
      expect(await sample(relay)).toMatchObject({ remedy: null });
    },
    MINUTES.timeout,
  );

  it("names an ingest that takes nothing, until the secret is set that it names too", async () => {
    await relay.redeploy({ LEADTERRA_SIGNING_SECRETS: "" } as Variables);
    onTestFinished(() => relay.redeploy({}));
    expect(await sample(relay)).toMatchObject({
      what: expect.stringMatching(/^Ingest answered 503: .*not_configured/),
      remedy: expect.stringContaining("Mend what is named above"),
    });
    const named = await fault(/LEADTERRA_SIGNING_SECRETS/);
    expect(named.remedy).toContain("Set LEADTERRA_SIGNING_SECRETS");
    await relay.redeploy({});
    await isWell(/LEADTERRA_SIGNING_SECRETS/);
    expect(await sample(relay)).toMatchObject({ remedy: null });
  });

  it("names a sample event that cannot be signed, until the secret stands in the environment", async () => {
    expect(await sendSample(relayApi(relay.url, API_KEY), undefined)).toMatchObject({
      what: expect.stringContaining("no secret to sign it with"),
      remedy: expect.stringContaining("Put LEADTERRA_SIGNING_SECRETS in the environment"),
    });
    const env = { RELAY_API_KEY: API_KEY, LEADTERRA_SIGNING_SECRETS: SIGNING_SECRET };
    const { stdout } = await runScript("doctor", ["--relay", relay.url, "--send"], { env });
    expect(stdout).toContain("A sample event was in the journal after");
  });

  it("names an address at which nothing listens, and is content with the relay's", async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const about = /cannot be reached: nothing listens there/;
    expect((await fault(about, { url })).remedy).toContain("its address");
    await isWell(about);
    const env = { RELAY_API_KEY: API_KEY, LEADTERRA_SIGNING_SECRETS: SIGNING_SECRET };
    const said = await runScript("doctor", ["--relay", url, "--send"], { env });
    expect(said).toMatchObject({ exitCode: 1, stderr: "" });
    expect(said.stdout.split("✗")).toHaveLength(2);
  });
});

it("names a call that is answered with an error, whose cause the log tells by its requestId", async () => {
  const about = /^\/v1\/dead-letters answered 503 unavailable/;
  await bringAbout(relay, "/test/broken", { letters: true });
  onTestFinished(() => bringAbout(relay, "/test/broken"));
  const { remedy } = await fault(about);
  const [, requestId = ""] = /npx wrangler tail, with the requestId (\S+)$/.exec(remedy) ?? [];
  expect(requestId).not.toBe("");
  await eventually(() => {
    const told = relay.logs.filter((line) => line.includes(requestId));
    expect(told.join("\n")).toContain("the disk is broken");
  }, patient);
  await bringAbout(relay, "/test/broken");
  await isWell(about);
});

/** What is asked of a relay of this build, which stands on this state, and ends then. */
async function on<T>(of: Build, state: string, ask: (api: Api) => Promise<T>): Promise<T> {
  const api = new Api({ signingSecret: SIGNING_SECRET, apiKey: API_KEY });
  const vars = {
    LEADTERRA_SIGNING_SECRETS: SIGNING_SECRET,
    API_KEYS: API_KEY,
    ALLOW_PRIVATE_DESTINATIONS: "true",
  };
  const started = await startWorkerd({ build: of, stateDirectory: state, vars });
  try {
    api.url = started.url;
    return await ask(api);
  } finally {
    await started.kill();
  }
}

it(
  "names data of a newer release, and a checkout that is older, until that release is checked out and deployed",
  async () => {
    const checkout = laterCheckout();
    const state = temporaryDirectory("doctor");
    onTestFinished(checkout.remove);
    onTestFinished(state.remove);
    const later = await buildWorker({ config: join(checkout.directory, "wrangler.toml") });
    onTestFinished(later.remove);
    const receiver = await startReceiver();
    /** What the doctor of the newer checkout says. */
    const itsDoctor = (api: Api) =>
      runScript("doctor", ["--relay", api.url], {
        cwd: checkout.directory,
        env: { RELAY_API_KEY: API_KEY },
      });
    await on(later, state.directory, async (api) => {
      const { id } = await api.register({ url: receiver.url });
      await api.finished(id, await api.accept({ event: "x", timestamp: "", data: {} }));
      const { remedy } = await fault(/this checkout is older/, { of: api });
      expect(remedy).toContain(`Check out ${LATER_VERSION} `);
      expect(await itsDoctor(api)).toMatchObject({ exitCode: 0, stderr: "" });
    });
    await on(build, state.directory, async (api) => {
      for (const path of ["/v1/stats", "/v1/webhooks"]) {
        const { remedy } = await fault(new RegExp(`^${path} answered 503 newer_data`), { of: api });
        expect(remedy).toContain("A newer release has run here: check it out, and npm run deploy");
      }
    });
    await on(later, state.directory, async (api) => {
      expect(await itsDoctor(api)).toMatchObject({ exitCode: 0, stderr: "" });
    });
  },
  MINUTES.timeout,
);

it("tells a relay of 0.1.0 what a deploy does to its data, and that it is done afterwards", async () => {
  const released = releasedBuild("0.1.0");
  const state = temporaryDirectory("doctor");
  onTestFinished(released.remove);
  onTestFinished(state.remove);
  const told = (of: Build) =>
    on(of, state.directory, async ({ url }) => {
      const findings = await examine(relayApi(url, API_KEY));
      return findings.map(({ what }) => what).join("\n");
    });
  const before = await told(released);
  expect(before).toMatch(/data from version 1 to 2 .*; it cannot be rolled back/);
  expect(before).toContain("What the queue of events holds cannot be told");
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
