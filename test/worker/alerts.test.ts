import {
  createExecutionContext,
  createMessageBatch,
  evictDurableObject,
  getQueueResult,
  waitOnExecutionContext,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, vi } from "vitest";
import worker from "../../src";
import { sweep } from "../../src/sweep";
import {
  accept,
  deliverAll,
  newEvent,
  newEvents,
  register,
  registry,
  ring,
  subscriber,
} from "../rig/worker/engine";
import { answering, clock, DAY, gate, HOUR, it, MINUTE, service } from "../rig/worker/fixture";
import { inObject, withVariables } from "../rig/worker/objects";
import { leavingItToTheAlarm } from "../rig/worker/queue";
import { api, bytesOf } from "../rig/worker/requests";

const ALERT_URL = "https://alerts.example.com/hook/secret-part";

beforeEach(async () => {
  await withVariables(registry(), { ALERT_URL });
});

/** What was posted to `ALERT_URL`. */
function alerts(): string[] {
  return service.requests
    .filter(({ url }) => url === ALERT_URL)
    .map(({ body }) => JSON.parse(new TextDecoder().decode(body)).text);
}

async function consume(bodies: Uint8Array[]): Promise<void> {
  const messages = bodies.map((body, index) => ({
    id: `alert-${index}-${crypto.randomUUID()}`,
    timestamp: new Date(clock.nowMs()),
    attempts: 1,
    body: body.slice().buffer,
  }));
  const batch = createMessageBatch<ArrayBuffer>("leadterra-events", messages);
  const context = createExecutionContext();
  await worker.queue(batch, leavingItToTheAlarm(env), context);
  await waitOnExecutionContext(context);
  await getQueueResult(batch, context);
}

describe("an alert", () => {
  it("leaves once for many dead letters of one batch, however long it takes", async () => {
    const slow = gate();
    service.answer = async () => {
      await slow.opened;
      return answering(200)();
    };
    const consumed = consume(Array.from({ length: 5 }, (_, index) => bytesOf(`no JSON ${index}`)));
    await vi.waitFor(() => expect(alerts()).not.toEqual([]));
    await vi.waitFor(async () =>
      expect((await env.DEAD_LETTER_STORE.getByName("dead-letters").stats()).count).toBe(5),
    );
    await registry().all();
    slow.open();
    await consumed;
    expect(alerts()).toHaveLength(1);
    expect(alerts()[0]).toMatch(/dead-letters/);
  });

  it("leaves once an hour for each cause", async () => {
    const unreadable = () => consume([bytesOf(`not JSON ${crypto.randomUUID()}`)]);
    await unreadable();
    clock.advance(HOUR - MINUTE);
    await unreadable();
    expect(alerts()).toHaveLength(1);
    clock.advance(2 * MINUTE);
    await unreadable();
    expect(alerts()).toHaveLength(2);
  });

  it("that could not leave is sent by the next sweep, and then no more", async () => {
    service.answer = answering(500);
    await consume([bytesOf("not JSON")]);
    expect(alerts()).toHaveLength(1);
    service.answer = answering(200);
    await sweep(env);
    expect(alerts()).toHaveLength(2);
    await sweep(env);
    expect(alerts()).toHaveLength(2);
  });

  it("names an object with data of a newer release, to the consumer and to the sweep", async () => {
    const { id } = await register();
    await inObject(subscriber(id), ({ storage }) => {
      storage.sql.exec("UPDATE version SET number = number + 1");
    });
    await evictDurableObject(subscriber(id));
    const { body } = await newEvent();
    await consume([body]);
    expect(alerts()).toEqual([expect.stringContaining(`Subscriber ${id}`)]);
    clock.advance(2 * HOUR);
    await sweep(env);
    expect(alerts()).toHaveLength(2);
  });

  it("says that a webhook is disabled, once, and keeps its query to itself", async () => {
    const { id } = await register({ url: "https://crm.example.com/in?token=hidden" });
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 410 });
    await accept(id, await newEvents(3));
    await deliverAll(id, clock);
    await ring(subscriber(id));
    await sweep(env);
    expect(alerts()).toEqual([expect.stringContaining(id)]);
    expect(alerts()[0]).not.toContain("hidden");
  });

  it("says that a delivery is overdue by an hour, and not before", async () => {
    const { id } = await register({ retrySchedule: "10d" });
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 500 });
    await accept(id, await newEvents(1));
    clock.advance(HOUR - MINUTE);
    await sweep(env);
    expect(alerts()).toEqual([]);
    clock.advance(2 * MINUTE);
    await sweep(env);
    expect(alerts()).toEqual([expect.stringContaining(id)]);
  });

  it("warns a day before held deliveries expire, and not earlier", async () => {
    const { id } = await register({ retrySchedule: "1h 1h" });
    clock.setTo((Math.floor(clock.nowMs() / (5 * DAY)) + 1) * 5 * DAY + 4 * DAY);
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 500 });
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    for (const waited of [25 * DAY + HOUR, 4 * DAY - 2 * HOUR]) {
      clock.advance(waited);
      await sweep(env);
      expect(alerts()).toEqual([]);
    }
    clock.advance(2 * HOUR);
    await sweep(env);
    expect(alerts()).toEqual([expect.stringMatching(/expire/)]);
  });
});

describe("SILENCE_ALERT", () => {
  const sweepWith = () => sweep({ ...env, SILENCE_ALERT: "24h" });

  it("says that no event came for so long, and is quiet while nobody has registered a webhook", async () => {
    clock.advance(2 * DAY);
    await sweepWith();
    expect(alerts()).toEqual([]);
    await register();
    await sweepWith();
    expect(alerts()).toEqual([]);
    clock.advance(DAY + MINUTE);
    await sweepWith();
    expect(alerts()).toEqual([expect.stringMatching(/no event/)]);
  });
});
