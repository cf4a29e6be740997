/** `npm run doctor` against a relay with faults: each is named, and gone once its remedy was taken. */
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from "vitest";
import { examine } from "../../scripts/doctor.ts";
import { relayApi } from "../../scripts/relay-api.ts";
import { PATIENCE_MS } from "../rig/api.ts";
import { answering, startReceiver } from "../rig/receiver.ts";
import { API_KEY, type JourneyRelay, startRelay } from "./relay.ts";

let relay: JourneyRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay?.close());

let count = 0;

/** What is wrong; a relay without events is silent, which is no part of this. */
async function faults(apiKey = API_KEY) {
  const findings = await examine(relayApi(relay.url, apiKey));
  const wrong = findings.filter(({ remedy }) => remedy !== null);
  return wrong.filter(({ what }) => !/^No event has come/.test(what));
}

async function until(count: number) {
  const patient = { timeout: PATIENCE_MS, interval: 100 };
  await vi.waitFor(async () => expect(await faults()).toHaveLength(count), patient);
  return faults();
}

/** Does what a remedy says: `POST /v1/… {…}`. */
async function take(remedy: string | null) {
  const [, method = "", path = "", body] =
    /(POST|PATCH) (\/v1\/[^\s.]+)(?: (\{.*\}))?/.exec(remedy ?? "") ?? [];
  const since = new Date(Date.now() - 600_000).toISOString();
  const given = body === undefined ? undefined : JSON.parse(body.replace("…", since));
  const { status } = await relay.request(method, path, given);
  expect(status).toBeLessThan(300);
}

async function post(event: string, events = 1): Promise<void> {
  for (let each = 0; each < events; each++) {
    const data = { messageId: `doctor_${++count}` };
    await relay.post({ event, timestamp: new Date().toISOString(), data });
  }
}

it("names a relay without a webhook, and finds nothing once one is registered", async () => {
  expect(await until(1)).toMatchObject([{ what: "No webhook is registered" }]);
  const receiver = await startReceiver();
  await relay.register({ url: receiver.url, events: ["x"] });
  await until(0);
});

it("names a key that is none", async () => {
  expect(await faults("a-key-that-nobody-knows")).toMatchObject([
    { what: "The relay does not know the key", remedy: expect.stringContaining("RELAY_API_KEY") },
  ]);
});

it("names a disabled webhook, which its remedy resumes", async () => {
  const receiver = await startReceiver();
  receiver.answer = answering(410);
  await relay.register({ url: receiver.url, events: ["doctor.gone"], name: "doctor-gone" });
  await post("doctor.gone");
  const [fault] = await until(1);
  expect(fault?.what).toMatch(/doctor-gone .*: disabled \(gone\) since .*, 1 waiting/);
  receiver.answer = answering(200);
  await take(fault?.remedy ?? null);
  await until(0);
});

it("names undeliverable ones, which its remedy sends again", async () => {
  const receiver = await startReceiver();
  receiver.answer = answering(422);
  const given = { events: ["doctor.no"], name: "doctor-no", giveUpOn: [422] };
  await relay.register({ url: receiver.url, ...given });
  await post("doctor.no", 3);
  const patient = { timeout: PATIENCE_MS, interval: 100 };
  await vi.waitFor(
    async () => expect((await faults())[0]?.what).toContain("3 undeliverable"),
    patient,
  );
  const [fault] = await faults();
  receiver.answer = answering(200);
  await take(fault?.remedy ?? null);
  await until(0);
});

it("names a failing webhook with its last answer, and finds nothing once it is retried", async () => {
  const receiver = await startReceiver();
  receiver.answer = answering(503);
  await relay.register({ url: receiver.url, events: ["doctor.fails"], name: "doctor-fails" });
  await post("doctor.fails", 3);
  const [fault] = await until(1);
  expect(fault).toMatchObject({
    what: expect.stringMatching(/doctor-fails .*: failing since /),
    remedy: expect.stringContaining("It said 503."),
  });
  receiver.answer = answering(200);
  const listed = await relay.request("GET", "/v1/webhooks/doctor-fails/deliveries");
  for (const { eventId } of (listed.body as { data: { eventId: string }[] }).data) {
    await relay.request("POST", `/v1/webhooks/doctor-fails/deliveries/${eventId}/retry`);
  }
  await until(0);
});

it("names a variable that does not parse and the webhook that it holds, until it is mended", async () => {
  const receiver = await startReceiver();
  await relay.register({ url: receiver.url, events: ["x"], name: "doctor-held" });
  await relay.redeploy({ DELIVERY_TIMEOUT: "ten" });
  onTestFinished(() => relay.redeploy({}));
  expect(await until(2)).toMatchObject([
    { what: expect.stringContaining("DELIVERY_TIMEOUT must be"), remedy: expect.any(String) },
    { what: expect.stringMatching(/doctor-held .*: misconfigured/) },
  ]);
  await relay.redeploy({});
  await until(0);
});
