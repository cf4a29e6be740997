/** What comes from a sender that signs, waits for its answer and sends again as Leadterra does. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exampleEvent, send } from "../../scripts/leadterra.ts";
import { GENUINE, silence, startReceiver, verdicts } from "../rig/receiver.ts";
import { type JourneyRelay, SIGNING_SECRET, startRelay } from "./relay.ts";

const DEFAULT_TIMEOUT_MS = 10_000;
const WAITS_MS = [10, 10, 10, 10, 10];

let relay: JourneyRelay;

beforeAll(async () => {
  relay = await startRelay();
});

afterAll(() => relay?.close());

const ingest = () => `${relay.url}/webhooks/leadterra`;

describe("an event that Leadterra sends again", () => {
  it("is accepted when the relay is back, and delivered once", async () => {
    const receiver = await startReceiver();
    const webhook = await relay.register({ url: receiver.url, events: ["message.sent"] });
    const body = JSON.stringify(exampleEvent("message.sent"));
    const url = ingest();
    await relay.kill();
    let waits = 0;
    const sent = await send(url, body, SIGNING_SECRET, {
      sleep: async () => {
        waits += 1;
        if (waits === 2) await relay.start();
      },
    });
    // It is back at another address: who sends goes on with that one.
    const { accepted, attempts } = sent.accepted
      ? sent
      : await send(ingest(), body, SIGNING_SECRET);
    expect(accepted).toBe(true);
    expect(sent.attempts.slice(0, 2).map(({ error }) => error)).toEqual([
      "connection",
      "connection",
    ]);
    const { id } = JSON.parse(attempts.at(-1)?.response ?? "{}");
    const again = await send(ingest(), body, SIGNING_SECRET, { waitsMs: WAITS_MS });
    expect(again).toMatchObject({ accepted: true, attempts: [{ status: 200 }] });
    expect(await relay.finished(webhook.id, id)).toMatchObject({
      status: "delivered",
      attempts: 1,
    });
    const [request] = receiver.requests;
    expect(receiver.requests).toHaveLength(1);
    expect(request?.body).toEqual(Buffer.from(body));
    expect(request && verdicts(request, webhook.signingSecret)).toEqual(GENUINE);
  });

  it("is refused each time by a secret that the relay does not know", async () => {
    const body = JSON.stringify(exampleEvent("message.sent"));
    const sent = await send(ingest(), body, "another-secret", { waitsMs: WAITS_MS });
    expect(sent.accepted).toBe(false);
    expect(sent.attempts.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 401]);
  });
});

describe("a service that never answers", () => {
  it("is given the ten seconds that are the default, and is hung up on", async () => {
    const receiver = await startReceiver(silence);
    const webhook = await relay.register({ url: receiver.url, events: ["never.answered"] });
    const event = { event: "never.answered", timestamp: new Date().toISOString(), data: {} };
    const id = await relay.accept(event);
    const { attemptLog } = await relay.attempted(webhook.id, id);
    expect(attemptLog).toMatchObject([{ number: 1, statusCode: null, error: "timeout" }]);
    expect(attemptLog[0]?.durationMs).toBeGreaterThanOrEqual(DEFAULT_TIMEOUT_MS);
    await receiver.disconnected();
  });
});
