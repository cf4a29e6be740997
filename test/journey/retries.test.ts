import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Attempt, LoggedDelivery, RegisteredWebhook } from "../rig/api.ts";
import {
  answering,
  GENUINE,
  hungUp,
  inTurn,
  type Receiver,
  reset,
  silence,
  startReceiver,
  verdicts,
} from "../rig/receiver.ts";
import { type JourneyRelay, startRelay } from "./relay.ts";

const TIMEOUT_MS = 1_000;
const WAIT_MS = 1_000;
/** `RETRY_SCHEDULE` of the relay: two retries. */
const VARIABLES = { DELIVERY_TIMEOUT: "1s", RETRY_SCHEDULE: "1s 1s" };
/** A first wait that no slow machine needs for one call, and one that is over later than the first at the latest. */
const [LONG_WAIT, LONGER_WAIT] = ["8s", "10s"];
/** Two clocks that count whole milliseconds may differ so much. */
const CLOCK_SLACK_MS = 2;

let relay: JourneyRelay;

beforeAll(async () => {
  relay = await startRelay(VARIABLES);
});

afterAll(() => relay?.close());

let eventsMade = 0;

function newEvent() {
  const n = ++eventsMade;
  return { event: `test.event-${n}`, timestamp: new Date().toISOString(), data: { n } };
}

function endedAtMs({ startedAt, durationMs }: Attempt): number {
  return Date.parse(startedAt) + durationMs;
}

/** By its own record, the relay waited after each attempt at least as long as it should. */
function expectWaits({ attemptLog }: LoggedDelivery): void {
  for (const [index, attempt] of attemptLog.entries()) {
    const before = attemptLog[index - 1];
    if (before === undefined) continue;
    expect(Date.parse(attempt.startedAt) - endedAtMs(before)).toBeGreaterThanOrEqual(WAIT_MS);
  }
}

/** So it looked to the service, too. */
function expectWaitsAt({ requests }: Receiver): void {
  for (const [index, request] of requests.entries()) {
    const answeredAtMs = requests[index - 1]?.answeredAtMs;
    if (typeof answeredAtMs !== "number") continue;
    const waitedMs = request.receivedAtMs - answeredAtMs;
    expect(waitedMs).toBeGreaterThanOrEqual(WAIT_MS - CLOCK_SLACK_MS);
  }
}

/** One attempt after another for one and the same event, each signed anew. */
function expectAttempts({ requests }: Receiver, signingSecret: string): void {
  expect(requests.map(({ headers }) => headers["x-relay-attempt"])).toEqual(
    requests.map((_, index) => String(index + 1)),
  );
  expect(new Set(requests.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
  expect(new Set(requests.map(({ body }) => body.toString("hex"))).size).toBe(1);
  const timestamps = requests.map(({ headers }) => Number(headers["webhook-timestamp"]));
  expect(timestamps).toEqual([...timestamps].sort());
  expect(new Set(timestamps).size).toBe(timestamps.length);
  for (const request of requests) expect(verdicts(request, signingSecret)).toEqual(GENUINE);
}

describe("a delivery that fails", () => {
  it("is tried again on the schedule until the service has it", async () => {
    const receiver = await startReceiver(inTurn(answering(500), answering(500), answering(200)));
    const event = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: [event.event] });

    const id = await relay.accept(event);
    const delivery = await relay.finished(webhook.id, id);

    expect(delivery).toMatchObject({
      status: "delivered",
      attempts: 3,
      nextAttemptAt: null,
      lastStatusCode: 200,
      lastError: null,
    });
    expect(delivery.attemptLog).toMatchObject([
      { number: 1, trigger: "scheduled", statusCode: 500, error: "status" },
      { number: 2, trigger: "scheduled", statusCode: 500, error: "status" },
      { number: 3, trigger: "scheduled", statusCode: 200, error: null },
    ]);
    expect(receiver.requests).toHaveLength(3);
    expectAttempts(receiver, webhook.signingSecret);
    expect(receiver.requests[0]?.headers["webhook-id"]).toBe(id);
    expectWaits(delivery);
    expectWaitsAt(receiver);
  });

  it("is undeliverable when the schedule is used up, and left alone", async () => {
    const [receiver, witness] = [
      await startReceiver(answering(500)),
      await startReceiver(answering(500)),
    ];
    const event = newEvent();
    const draft = { events: [event.event] };
    const webhook = await relay.register({ ...draft, url: receiver.url });
    const longer = await relay.register({
      ...draft,
      url: witness.url,
      retrySchedule: "1s 1s 1s 1s",
    });

    const id = await relay.accept(event);
    const [delivery, witnessed] = await Promise.all([
      relay.finished(webhook.id, id),
      relay.finished(longer.id, id),
    ]);

    for (const [each, attempts] of [
      [delivery, 3],
      [witnessed, 5],
    ] as const) {
      const last = each.attemptLog.at(-1);
      expect(each).toMatchObject({
        status: "undeliverable",
        attempts,
        nextAttemptAt: null,
        completedAt: last && new Date(endedAtMs(last)).toISOString(),
        lastStatusCode: 500,
        lastError: "status",
      });
      expect(each.attemptLog.map(({ number }) => number)).toEqual(
        Array.from({ length: attempts }, (_, index) => index + 1),
      );
      expectWaits(each);
    }
    expect(receiver.requests).toHaveLength(3);
    expect(witness.requests).toHaveLength(5);
    expectAttempts(receiver, webhook.signingSecret);
    expectAttempts(witness, longer.signingSecret);
    expectWaitsAt(receiver);
    expect(await relay.delivery(webhook.id, id)).toEqual(delivery);
  });

  it("times out when the service never answers, and is tried again on the schedule after that", async () => {
    const receiver = await startReceiver(inTurn(silence, silence, answering(200)));
    const event = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: [event.event] });

    const id = await relay.accept(event);
    const delivery = await relay.finished(webhook.id, id);

    expect(delivery).toMatchObject({ status: "delivered", attempts: 3 });
    expect(delivery.attemptLog).toMatchObject([
      { number: 1, statusCode: null, error: "timeout" },
      { number: 2, statusCode: null, error: "timeout" },
      { number: 3, statusCode: 200, error: null },
    ]);
    for (const { durationMs } of delivery.attemptLog.slice(0, 2)) {
      expect(durationMs).toBeGreaterThanOrEqual(TIMEOUT_MS);
    }
    expectAttempts(receiver, webhook.signingSecret);
    expectWaits(delivery);
  });

  it("is not tried again when the late answer to a timed-out attempt would have been a success", async () => {
    const receiver = await startReceiver(
      inTurn(
        async ({ response, socket }) => {
          await hungUp(socket);
          response.writeHead(200).end("late");
        },
        answering(200, { body: "in time" }),
      ),
    );
    const event = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: [event.event] });

    const id = await relay.accept(event);
    const delivery = await relay.finished(webhook.id, id);

    expect(delivery.attemptLog).toMatchObject([
      { number: 1, statusCode: null, error: "timeout", responseBody: null },
      { number: 2, statusCode: 200, error: null, responseBody: "in time" },
    ]);
    expect(receiver.requests).toHaveLength(2);
  });

  it("goes to a service that comes back after every kind of failure", async () => {
    const receiver = await startReceiver(
      inTurn(
        reset(),
        answering(503, { headers: { "retry-after": "1" } }),
        answering(307, { headers: { location: "/elsewhere" } }),
        answering(404),
        answering(204),
      ),
    );
    const event = newEvent();
    const webhook = await relay.register({
      url: receiver.url,
      events: [event.event],
      retrySchedule: "1s 1s 1s 1s 1s",
    });

    const id = await relay.accept(event);
    const delivery = await relay.finished(webhook.id, id);

    expect(delivery).toMatchObject({ status: "delivered", attempts: 5 });
    expect(delivery.attemptLog.map(({ statusCode, error }) => [statusCode, error])).toEqual([
      [null, "connection"],
      [503, "status"],
      [307, "redirect"],
      [404, "status"],
      [204, null],
    ]);
    expectAttempts(receiver, webhook.signingSecret);
    expectWaits(delivery);
  });

  it("is tried again at the URL and with the headers that are in force by then", async () => {
    const [before, after] = [await startReceiver(answering(500)), await startReceiver()];
    const event = newEvent();
    const webhook = await relay.register({
      url: before.url,
      events: [event.event],
      retrySchedule: LONG_WAIT,
    });
    const id = await relay.accept(event);
    await relay.attempted(webhook.id, id);

    const changed = await relay.change(webhook.id, {
      url: after.url,
      headers: { "x-team": "sales" },
    });
    const delivery = await relay.finished(webhook.id, id);

    expect(delivery).toMatchObject({ status: "delivered", attempts: 2 });
    const [request] = after.requests;
    expect(request?.headers).toMatchObject({
      "webhook-id": id,
      "x-relay-attempt": "2",
      "x-team": "sales",
    });
    expect(request && verdicts(request, String(changed.signingSecret))).toEqual(GENUINE);
    expect(before.requests).toHaveLength(1);
  });

  it("is not tried again once its webhook is deleted", async () => {
    const [receiver, witness] = [
      await startReceiver(answering(500)),
      await startReceiver(answering(500)),
    ];
    const event = newEvent();
    const webhook = await relay.register({
      url: receiver.url,
      events: [event.event],
      retrySchedule: LONG_WAIT,
    });
    const id = await relay.accept(event);
    await relay.attempted(webhook.id, id);

    const deleted = await relay.request("DELETE", `/v1/webhooks/${webhook.id}`);
    const other = newEvent();
    const longer = await relay.register({
      url: witness.url,
      events: [other.event],
      retrySchedule: LONGER_WAIT,
    });
    await relay.finished(longer.id, await relay.accept(other));

    expect(deleted.status).toBe(204);
    expect(witness.requests).toHaveLength(2);
    expect(receiver.requests).toHaveLength(1);
  });
});

describe("the same event again", () => {
  it("starts no attempt of its own while the first one is being retried", async () => {
    const receiver = await startReceiver(inTurn(answering(500), answering(500), answering(200)));
    const event = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: [event.event] });
    const id = await relay.accept(event);
    await relay.attempted(webhook.id, id);

    const again = await relay.post(event);
    const delivery = await relay.finished(webhook.id, id);
    const onceMore = await relay.post(event);

    expect([again.body.id, onceMore.body]).toEqual([id, { id, duplicate: true }]);
    expect(delivery.attemptLog).toHaveLength(3);
    expectWaits(delivery);
    expectAttempts(receiver, webhook.signingSecret);
    expect(receiver.requests).toHaveLength(3);
    expect(await relay.deliveries(webhook.id)).toHaveLength(1);
  });
});

describe("a retry schedule that does not parse", () => {
  it("holds deliveries while events are accepted, is named by /healthz, and once corrected lets them go", async () => {
    const receiver = await startReceiver();
    const [first, second] = [newEvent(), newEvent()];
    const webhook = await relay.register({
      url: receiver.url,
      events: [first.event, second.event],
    });
    const ownSchedule = await relay.register({
      url: receiver.url,
      events: [first.event],
      retrySchedule: "1s",
    });
    let owed: [RegisteredWebhook, string][];

    await relay.redeploy({ ...VARIABLES, RETRY_SCHEDULE: "1s, 1s" });
    try {
      const ids = [await relay.accept(first), await relay.accept(second)] as const;
      owed = [
        [webhook, ids[0]],
        [webhook, ids[1]],
        [ownSchedule, ids[0]],
      ];
      for (const [{ id }, eventId] of owed) await relay.deliveryOnce(id, eventId, () => true);
      await relay.sweep();

      for (const [{ id }, eventId] of owed) {
        expect(await relay.delivery(id, eventId)).toMatchObject({
          status: "pending",
          attempts: 0,
          nextAttemptAt: null,
          attemptLog: [],
        });
      }
      const health = await relay.fetch("/healthz");
      expect(health.status).toBe(503);
      const message = expect.stringContaining('"1m 5m 30m 2h 8h"');
      expect(await health.json()).toMatchObject({
        problems: [{ name: "RETRY_SCHEDULE", message }],
      });
      expect(receiver.requests).toEqual([]);
    } finally {
      await relay.redeploy(VARIABLES);
    }

    expect((await relay.fetch("/healthz")).status).toBe(200);
    await relay.sweep();
    for (const [{ id }, eventId] of owed) {
      expect(await relay.finished(id, eventId)).toMatchObject({ status: "delivered", attempts: 1 });
    }
    expect(receiver.requests).toHaveLength(3);
  });
});
