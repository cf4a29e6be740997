/** `listener:` webhooks: their deliveries go as frames over a socket, and everything else is as for any service. */
import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, onTestFinished, vi } from "vitest";
import { AlarmClock } from "../../src/actors/alarm-clock";
import { sweep } from "../../src/sweep";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf as delivery,
  newEvent,
  newEvents,
  patch,
  pause,
  register,
  resume,
  ring,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { clock, DAY, HOUR, it, MINUTE, SECOND, service, startClock } from "../rig/worker/fixture";
import {
  API_KEY,
  api,
  call,
  callWith,
  type Problem,
  READ_ONLY_API_KEY,
} from "../rig/worker/requests";

type Frame = {
  type: string;
  eventId: string;
  attempt: number;
  headers: Record<string, string>;
  body: string;
};

type Answer = (frame: Frame) => unknown;

const ok: Answer = ({ eventId, attempt }) => ({
  type: "outcome",
  eventId,
  attempt,
  statusCode: 200,
});
const silence: Answer = () => null;

/** Somebody who listens; what `answer` says is sent back. */
async function listen(ref: string, answer: Answer = ok) {
  const response = await call(`/v1/webhooks/${ref}/listen`, {
    headers: { authorization: `Bearer ${API_KEY}`, upgrade: "websocket" },
  });
  expect(response.status).toBe(101);
  const socket = response.webSocket;
  if (socket === null) throw new Error("there is no socket");
  socket.accept();
  const listener = {
    socket,
    frames: [] as Frame[],
    heard: [] as string[],
    closed: null as { code: number; reason: string } | null,
    answer,
    say: (frame: unknown) => socket.send(JSON.stringify(frame)),
  };
  socket.addEventListener("message", ({ data }) => {
    listener.heard.push(String(data));
    if (data === "pong") return;
    const frame: Frame = JSON.parse(String(data));
    listener.frames.push(frame);
    const said = listener.answer(frame);
    if (said !== null) listener.say(said);
  });
  socket.addEventListener("close", ({ code, reason }) => {
    listener.closed = { code, reason };
  });
  onTestFinished(() => {
    if (socket.readyState === WebSocket.OPEN) socket.close();
  });
  return listener;
}

const listener = (fields: Record<string, unknown> = {}) =>
  register({ url: "listener:", ...fields });

const health = async (id: string) =>
  (await api("GET", `/v1/webhooks/${id}/health`)).json<Record<string, unknown>>();

describe("a socket to listen", () => {
  it("is refused without Upgrade, to a key that only reads, and for a webhook with an address", async () => {
    const { id } = await listener({ name: "anna" });
    const asked = async (path: string, headers: Record<string, string>) => {
      const response = await call(path, { headers });
      return [response.status, (await response.json<Problem>()).code];
    };
    const authorization = `Bearer ${API_KEY}`;
    expect(await asked(`/v1/webhooks/${id}/listen`, { authorization })).toEqual([
      426,
      "upgrade_required",
    ]);
    const upgrade = "websocket";
    expect(
      await asked("/v1/webhooks/anna/listen", {
        authorization: `Bearer ${READ_ONLY_API_KEY}`,
        upgrade,
      }),
    ).toEqual([403, "insufficient_scope"]);
    const other = await register();
    expect(await asked(`/v1/webhooks/${other.id}/listen`, { authorization, upgrade })).toEqual([
      409,
      "not_a_listener",
    ]);
    expect(await asked("/v1/webhooks/nobody/listen", { authorization, upgrade })).toEqual([
      404,
      "not_found",
    ]);
    expect(await asked(`/v1/webhooks/${id}/listen`, { upgrade })).toEqual([401, "unauthorized"]);
  });

  it("is left alone by a HEAD, which connects nobody", async () => {
    const { id } = await listener();
    const connected = await listen(id);
    const headers = { authorization: `Bearer ${API_KEY}`, upgrade: "websocket" };
    const init = { method: "HEAD", headers };
    const status = await callWith({}, `/v1/webhooks/${id}/listen`, init).then(
      (answer) => answer.status,
      (thrown: Error) => thrown.message,
    );
    connected.socket.send("ping");
    await eventually(() => expect(connected.closed ?? connected.heard[0]).toBeTruthy());
    expect([status, connected.closed]).toEqual([426, null]);
  });

  it("gets each delivery as a frame with the headers and the bytes that a service would get", async () => {
    const { id, signingSecret } = await listener({ headers: { "X-Token": "a-token-of-its-own" } });
    const event = await newEvent();
    const anna = await listen(id);
    await accept(id, [event]);
    await deliverAll(id, clock);
    expect(anna.frames).toHaveLength(1);
    const [frame] = anna.frames as [Frame];
    expect(frame.type).toBe("delivery");
    expect(frame.headers).toMatchObject({
      "webhook-id": event.id,
      "x-relay-attempt": "1",
      "x-token": "a-token-of-its-own",
    });
    const bytes = Uint8Array.from(atob(frame.body), (char) => char.charCodeAt(0));
    expect(bytes).toEqual(event.body);
    expect(signingSecret).toMatch(/^whsec_/);
    expect(await delivery(id, event.id)).toMatchObject({
      status: "delivered",
      attempts: 1,
      lastStatusCode: 200,
    });
    expect(service.requests).toHaveLength(0);
  });

  it("takes what it answers as a service's answer: retries, the record, giving up", async () => {
    const { id } = await listener({ giveUpOn: [422], retrySchedule: "1m 5m" });
    const anna = await listen(id, ({ eventId, attempt }) => ({
      type: "outcome",
      eventId,
      attempt,
      statusCode: attempt === 1 ? 500 : 422,
      body: `no ${attempt}`,
    }));
    const event = await newEvent();
    await accept(id, [event]);
    await deliverAll(id, clock);
    expect(await delivery(id, event.id)).toMatchObject({
      status: "pending",
      waitingFor: "schedule",
      lastStatusCode: 500,
      lastError: "status",
    });
    clock.advance(70 * SECOND);
    anna.say({ type: "hello" });
    await deliverAll(id, clock);
    expect(anna.closed).toBeNull();
    const ended = await delivery(id, event.id);
    expect(ended).toMatchObject({ status: "undeliverable", attempts: 2, lastStatusCode: 422 });
    expect(ended.attemptLog.map(({ responseBody }) => responseBody)).toEqual(["no 1", "no 2"]);
  });

  it.for([100, 199, 204, 304, 599])("takes the status %i as it is", async (statusCode) => {
    const { id } = await listener();
    await listen(id, ({ eventId, attempt }) => ({
      type: "outcome",
      eventId,
      attempt,
      statusCode,
      body: "x",
    }));
    const event = await newEvent();
    await accept(id, [event]);
    await ring(subscriber(id));
    expect(await delivery(id, event.id)).toMatchObject({ lastStatusCode: statusCode });
  });

  it("passes over what is no outcome, and what answers something that is not under way", async () => {
    const { id } = await listener();
    const anna = await listen(id, silence);
    const event = await newEvent();
    await accept(id, [event]);
    const ringing = ring(subscriber(id));
    await eventually(() => expect(anna.frames).toHaveLength(1));
    const right = { type: "outcome", eventId: event.id, attempt: 1, statusCode: 200 };
    anna.socket.send("no json");
    anna.socket.send(new TextEncoder().encode(JSON.stringify(right)));
    anna.say(null);
    anna.say({ ...right, attempt: 2 });
    anna.say({ ...right, eventId: "evt_00000000000000000000000000" });
    anna.say({ ...right, statusCode: 99 });
    anna.say({ ...right, statusCode: "200" });
    anna.say({ ...right, body: { no: "text" } });
    anna.say({ ...right, type: "delivery" });
    anna.say({ ...right, statusCode: 503 });
    anna.say(right);
    await ringing;
    expect(await delivery(id, event.id)).toMatchObject({
      attempts: 1,
      lastStatusCode: 503,
    });
  });

  it("has as many frames under way as `concurrency` says, and no more", async () => {
    const { id } = await listener({ concurrency: 20 });
    const anna = await listen(id, silence);
    await accept(id, await newEvents(50));
    const ringing = ring(subscriber(id));
    await eventually(() => expect(anna.frames).toHaveLength(20));
    anna.answer = ok;
    for (const frame of [...anna.frames]) anna.say(ok(frame));
    await ringing;
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 50 });
    expect(new Set(anna.frames.map(({ eventId }) => eventId)).size).toBe(50);
    expect(anna.frames).toHaveLength(50);
  });

  it("keeps at most 16 KiB of what is answered", async () => {
    const { id } = await listener();
    await listen(id, ({ eventId, attempt }) => ({
      type: "outcome",
      eventId,
      attempt,
      statusCode: 500,
      body: "x".repeat(50_000),
    }));
    const event = await newEvent();
    await accept(id, [event]);
    await ring(subscriber(id));
    const [attempt] = (await delivery(id, event.id)).attemptLog ?? [];
    expect(attempt?.responseBody).toHaveLength(16 * 1024);
    expect(attempt?.responseTruncated).toBe(true);
  });
});

describe("a listener that is not there", () => {
  it("has its deliveries wait for it, uncounted and without an alarm", async () => {
    const { id } = await listener();
    const event = await newEvent();
    await accept(id, [event]);
    expect(await delivery(id, event.id)).toMatchObject({
      status: "pending",
      attempts: 0,
      nextAttemptAt: null,
      waitingFor: "listener",
    });
    const { state, since } = await health(id);
    expect(state).toBe("unconnected");
    expect(Date.parse(String(since))).toBeLessThanOrEqual(clock.nowMs());
    // Only for the end of its retention.
    expect(await alarmAt(subscriber(id))).toBeGreaterThan(clock.nowMs() + 20 * DAY);
  });

  it("gets what waited when it comes", async () => {
    const { id } = await listener();
    await accept(id, await newEvents(8));
    const anna = await listen(id);
    await deliverAll(id, clock);
    expect(anna.frames).toHaveLength(8);
    expect(await tally(id)).toEqual({ delivered: 8 });
    expect(await health(id)).toMatchObject({ state: "healthy", pending: 0 });
  });

  it("waits behind a hold", async () => {
    const { id } = await listener();
    await pause(id);
    const event = await newEvent();
    await accept(id, [event]);
    expect(await delivery(id, event.id)).toMatchObject({ waitingFor: "hold" });
    expect(await health(id)).toMatchObject({ state: "paused" });
    const anna = await listen(id);
    await deliverAll(id, clock);
    expect(anna.frames).toHaveLength(0);
    expect(anna.closed).toBeNull();
    await resume(id);
    await deliverAll(id, clock);
    expect(anna.frames).toHaveLength(1);
  });

  it("fails a test with `connection`", async () => {
    const { id } = await listener();
    const tested = await api("POST", `/v1/webhooks/${id}/test`);
    expect(tested.status).toBe(200);
    expect(await tested.json()).toEqual({
      number: 1,
      trigger: "test",
      startedAt: expect.any(String),
      durationMs: expect.any(Number),
      error: "connection",
      statusCode: null,
      responseHeaders: null,
      responseBody: null,
      responseTruncated: false,
    });
    await listen(id);
    const again = await api("POST", `/v1/webhooks/${id}/test`);
    expect(await again.json()).toMatchObject({ error: null, statusCode: 200, trigger: "test" });
  });

  it("is deleted after 24 hours, with an audit line that says what waited", async () => {
    const { id } = await listener({ name: "anna" });
    const other = await register();
    await accept(id, await newEvents(3));
    clock.advance(DAY - MINUTE);
    await sweep(env);
    expect((await api("GET", "/v1/webhooks/anna")).status).toBe(200);
    clock.advance(2 * MINUTE);
    await sweep(env);
    expect((await api("GET", "/v1/webhooks/anna")).status).toBe(404);
    expect((await api("GET", `/v1/webhooks/${other.id}`)).status).toBe(200);
    const { data } = await (await api("GET", "/v1/audit")).json<{ data: unknown[] }>();
    expect(data[0]).toMatchObject({
      key: null,
      action: "webhook.deleted",
      webhookId: id,
      before: { name: "anna", url: "listener:" },
      after: { pending: 3, reason: "nobody listened for 24 hours" },
    });
  });

  it("is counted from when it went away", async () => {
    const { id } = await listener();
    clock.advance(HOUR);
    const anna = await listen(id);
    expect(await health(id)).toMatchObject({ state: "healthy" });
    anna.socket.close();
    await eventually(async () => expect((await health(id)).state).toBe("unconnected"));
    clock.advance(DAY - HOUR);
    await sweep(env);
    expect((await api("GET", `/v1/webhooks/${id}`)).status).toBe(200);
    clock.advance(HOUR);
    await sweep(env);
    expect((await api("GET", `/v1/webhooks/${id}`)).status).toBe(404);
  });
});

describe("a webhook that is listened to", () => {
  it("is healthy since the listener came, not since before there was none", async () => {
    const { id } = await listener();
    clock.advance(HOUR);
    const anna = await listen(id);
    const first = await health(id);
    expect(first.state).toBe("healthy");
    expect(clock.nowMs() - Date.parse(String(first.since))).toBeLessThan(MINUTE);
    await listen(id);
    await eventually(() => expect(anna.closed).toMatchObject({ code: 4000 }));
    expect((await health(id)).since).toBe(first.since);
  });
});

describe("a listener that goes", () => {
  it("leaves what was under way interrupted and uncounted, however often", async () => {
    const { id } = await listener({ retrySchedule: "1m" });
    const event = await newEvent();
    await accept(id, [event]);
    for (let round = 1; round <= 6; round++) {
      const anna = await listen(id, silence);
      const ringing = ring(subscriber(id));
      await eventually(() => expect(anna.frames).toHaveLength(1));
      anna.socket.close();
      await ringing;
      expect(await delivery(id, event.id)).toMatchObject({
        status: "pending",
        attempts: round,
        lastError: "interrupted",
        waitingFor: "listener",
      });
    }
    expect(await health(id)).toMatchObject({ state: "unconnected", lastFailure: null });
    const anna = await listen(id);
    await deliverAll(id, clock);
    expect(anna.frames.map(({ attempt }) => attempt)).toEqual([7]);
    expect(await tally(id)).toEqual({ delivered: 1 });
  });

  it("makes way for a newer one, which gets what was under way", async () => {
    const { id } = await listener();
    const old = await listen(id, silence);
    const event = await newEvent();
    await accept(id, [event]);
    const ringing = ring(subscriber(id));
    await eventually(() => expect(old.frames).toHaveLength(1));
    const young = await listen(id);
    await ringing;
    await deliverAll(id, clock);
    await eventually(() => expect(old.closed).toMatchObject({ code: 4000 }));
    expect(young.frames.map(({ attempt }) => attempt)).toEqual([2]);
    expect(await delivery(id, event.id)).toMatchObject({ status: "delivered" });
  });

  it("is closed when its webhook is deleted, or gets an address", async () => {
    const first = await listener();
    const anna = await listen(first.id);
    await api("DELETE", `/v1/webhooks/${first.id}`);
    await eventually(() => expect(anna.closed).toMatchObject({ code: 4001 }));
    const second = await listener();
    const berta = await listen(second.id);
    await patch(second.id, { url: "https://crm.example.com/in" });
    await eventually(() => expect(berta.closed).toMatchObject({ code: 4001 }));
    await accept(second.id, await newEvents(1));
    await deliverAll(second.id, clock);
    expect(service.requests).toHaveLength(1);
  });

  it("is closed once it was silent for 60 seconds, and is no connection from then on", async () => {
    const { id } = await listener();
    const anna = await listen(id);
    clock.advance(59 * SECOND);
    expect(await health(id)).toMatchObject({ state: "healthy" });
    clock.advance(2 * SECOND);
    expect(await health(id)).toMatchObject({ state: "unconnected" });
    await accept(id, await newEvents(1));
    await ring(subscriber(id));
    await eventually(() => expect(anna.closed).toMatchObject({ code: 4002 }));
    expect(anna.frames).toHaveLength(0);
  });

  it("has an alarm a minute only while it is there", async () => {
    const { id } = await listener();
    expect(await alarmAt(subscriber(id))).toBeNull();
    const anna = await listen(id);
    const atMs = await alarmAt(subscriber(id));
    expect(atMs).toBeGreaterThan(clock.nowMs() + 55 * SECOND);
    expect(atMs).toBeLessThanOrEqual(clock.nowMs() + MINUTE);
    anna.socket.close();
    await eventually(async () => expect((await health(id)).state).toBe("unconnected"));
    await ring(subscriber(id));
    expect(await alarmAt(subscriber(id))).toBeNull();
  });

  it("whose attempt runs out is late when it is heard of, and interrupted when it is not", async () => {
    const { id } = await listener({ timeout: "1s" });
    const anna = await listen(id, silence);
    const event = await newEvent();
    await accept(id, [event]);
    const ringing = ring(subscriber(id));
    await eventually(() => expect(anna.frames).toHaveLength(1));
    anna.answer = ok;
    await ringing;
    await deliverAll(id, clock);
    const said = await delivery(id, event.id);
    expect(said.attemptLog[0]).toMatchObject({ error: "interrupted" });
    expect(said).toMatchObject({ status: "delivered" });

    const other = await newEvent();
    anna.answer = silence;
    await accept(id, [other]);
    const again = ring(subscriber(id));
    await eventually(() => expect(anna.frames.at(-1)?.eventId).toBe(other.id));
    anna.say({ type: "still here" });
    await again;
    expect(await delivery(id, other.id)).toMatchObject({
      status: "pending",
      lastError: "timeout",
      waitingFor: "schedule",
    });
  });
});

describe("a listener that is there and answers nothing", () => {
  it("gets a delivery again at once three times, and then on the schedule", async () => {
    const { id } = await listener({ timeout: "1s" });
    const anna = await listen(id, silence);
    const event = await newEvent();
    await accept(id, [event]);
    for (let times = 0; times < 5; times++) await ring(subscriber(id));
    expect(anna.frames.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(await delivery(id, event.id)).toMatchObject({
      status: "pending",
      attempts: 4,
      lastError: "interrupted",
      waitingFor: "schedule",
    });
  });
});

describe("an object with an idle listener", () => {
  it("hibernates: pings are answered without it, and the socket outlives it", async () => {
    startClock(0);
    const { id } = await listener();
    const anna = await listen(id);
    await evictDurableObject(subscriber(id), { webSockets: "hibernate" });
    const starts = vi.spyOn(AlarmClock.prototype, "load");
    anna.socket.send("ping");
    await eventually(() => expect(anna.heard).toEqual(["pong"]));
    expect(anna.closed).toBeNull();
    expect(starts).not.toHaveBeenCalled();
    expect(await health(id)).toMatchObject({ state: "healthy" });
    expect(starts).toHaveBeenCalledOnce();
    await accept(id, await newEvents(2));
    await runDurableObjectAlarm(subscriber(id));
    await eventually(async () => expect(await tally(id)).toEqual({ delivered: 2 }));
    expect(anna.frames).toHaveLength(2);
  });
});
