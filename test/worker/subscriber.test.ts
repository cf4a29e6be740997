import { evictDurableObject } from "cloudflare:test";
import { describe, expect } from "vitest";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf,
  newEvent,
  newEvents,
  type Owed,
  register,
  resume,
  ring,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, gate, it, MINUTE, service } from "../rig/worker/fixture";
import { failStatements, inObject, tablesOf } from "../rig/worker/objects";
import { api, bytesOf } from "../rig/worker/requests";

describe("accept", () => {
  it("takes an id that is twice in a batch once, as it came first", async () => {
    const { id } = await register();
    const event = await newEvent();
    const again: Owed = { ...event, body: bytesOf("the same key with other content") };
    expect(await accept(id, [event, again])).toBe(1);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(1);
    expect(service.requests[0]?.body).toEqual(event.body);
  });
});

describe("a rate limit of almost nothing", () => {
  it("breaks neither accept nor the alarm", async () => {
    // The least that the API takes: one in 28 hours.
    const { id } = await register({ rateLimit: 0.00001 });
    await accept(id, await newEvents(1));
    await ring(subscriber(id));
    expect(service.requests).toHaveLength(1);
    await accept(id, await newEvents(1));
    await ring(subscriber(id));
    expect(service.requests).toHaveLength(1);
  });
});

describe("a retry", () => {
  it.each([-1_000, -1, 0, 1, 1_000])(
    "goes out at once, also right after another or the arrival, where who asks has a clock %i ms off",
    async (offMs) => {
      const { id } = await register();
      const event = await newEvent();
      service.answer = answering(503);
      await accept(id, [event]);
      await deliverAll(id, clock);
      const retry = { deliveries: [event], by: "retry" as const };
      for (const requests of [2, 3]) {
        const asked = { ...retry, atMs: clock.nowMs() + offMs, isAgain: false };
        expect(await subscriber(id).reopen(asked)).toEqual(["hastened"]);
        await deliverAll(id, clock);
        expect(service.requests).toHaveLength(requests);
      }
    },
  );
});

describe("a retry that is asked for once more after a restart", () => {
  it.each([-1_000, -20, 0, 20])(
    "goes out once, where who asks has a clock %i ms off",
    async (offMs) => {
      const { id } = await register();
      const event = await newEvent();
      await accept(id, [event]);
      await deliverAll(id, clock);
      clock.advance(MINUTE);
      const atMs = clock.nowMs() + offMs;
      const retry = { deliveries: [event], by: "retry" as const, atMs };
      expect(await subscriber(id).reopen({ ...retry, isAgain: false })).toEqual(["opened"]);
      await deliverAll(id, clock);
      expect(await subscriber(id).reopen({ ...retry, isAgain: true })).toEqual(["hastened"]);
      await deliverAll(id, clock);
      expect(service.requests).toHaveLength(2);
    },
  );
});

describe("a deleted webhook", () => {
  it("is emptied but for one row, however it was looked at before", async () => {
    const { id } = await register();
    await accept(id, await newEvents(20));
    await subscriber(id).deliveries({ limit: 2 });
    await subscriber(id).stats(0);
    expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(204);
    expect(await tablesOf(subscriber(id))).toEqual(["settings"]);
    expect(await alarmAt(subscriber(id))).toBeNull();
  });

  it("is one row too where its object had not heard of it before", async () => {
    const stub = subscriber("wh_01M85DJYQYHCP9439H47EDY17N");
    expect(await stub.remove(2)).toBe(2);
    expect(await tablesOf(stub)).toEqual(["settings"]);
  });

  it("takes nothing more, by whatever call", async () => {
    const { id } = await register();
    expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(204);
    const stub = subscriber(id);
    const event = await newEvent();
    expect(await stub.accept({ deliveries: [event] })).toEqual({ status: "deleted", added: 0 });
    expect(await stub.reopen({ deliveries: [event], by: "replay" })).toEqual(["unknown"]);
    await stub.cancel(event.id);
    await stub.eraseMany([event.id]);
    await stub.discard({ limit: 10 }, false);
    await stub.check();
    expect(await tablesOf(stub)).toEqual(["settings"]);
  });
});

describe("a lost alarm", () => {
  it.each([
    ["a start", "missing"],
    ["a list", "deliveries"],
    ["a count", "stats"],
  ])("is set again by %s", async (_, call) => {
    const { id } = await register();
    const stub = subscriber(id);
    const [event] = (await newEvents(1)) as [Owed];
    await accept(id, [event]);
    await inObject(stub, (state) => state.storage.deleteAlarm());
    await evictDurableObject(stub);
    if (call === "missing") await stub.missing([event.id]);
    else if (call === "deliveries") await stub.deliveries({ limit: 1 });
    else await stub.stats(0);
    expect(await alarmAt(stub)).not.toBeNull();
  });
});

describe("an event that is erased while its attempt is in flight", () => {
  it("leaves no echo of the answer in the log", async () => {
    const { id } = await register();
    const event = await newEvent({ lead: { email: "ava@acmecorp.com" } });
    await accept(id, [event]);
    const late = gate();
    service.answer = async ({ body }) => {
      await late.opened;
      return new Response(body.slice(), { status: 500 });
    };
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(1));
    expect(await subscriber(id).eraseMany([event.id])).toBe(1);
    late.open();
    await running;
    const delivery = await subscriber(id).delivery(event.id);
    expect(delivery).toMatchObject({ status: "cancelled", lastError: "erased", attempts: 1 });
    expect(JSON.stringify(delivery)).not.toContain("ava@acmecorp.com");
  });
});

describe("an answer that no secret can be taken out of", () => {
  it("is kept without its text, and its status counts all the same", async () => {
    // The longest header that there is, of characters that have many spellings: too much for one pattern.
    const token = `${"<".repeat(4_095)}A`;
    const { id } = await register({ headers: { "x-token": token } });
    service.answer = ({ headers }) =>
      new Response(`${headers.get("x-token")} is too long`, { status: 410 });
    const event = await newEvent();
    await accept(id, [event]);
    await deliverAll(id, clock);
    expect((await deliveryOf(id, event.id)).attemptLog).toMatchObject([
      { statusCode: 410, error: "status", responseBody: null },
    ]);
    expect(await (await api("GET", `/v1/webhooks/${id}`)).json()).toMatchObject({
      webhook: { status: "disabled", statusReason: "gone" },
    });
  });
});

describe("an object whose name is no webhook's", () => {
  it("takes nothing, and never says that its webhook is deleted", async () => {
    const stub = subscriber("wh_from_a_later_release");
    const deliveries = [await newEvent()];
    const answer = await stub.accept({ deliveries }).catch((thrown: unknown) => String(thrown));
    expect(answer).toContain("no webhook is served by an object named wh_from_a_later_release");
    expect(await tablesOf(stub)).toEqual([]);
  });
});

describe("a full Subscriber", () => {
  it("takes settings, though an outcome waits for room; and writes it when there is some", async () => {
    const { id } = await register();
    const event = await newEvent();
    await accept(id, [event]);
    await failStatements(subscriber(id), {
      start: "UPDATE",
      message: "database or disk is full: SQLITE_FULL",
      times: 3,
    });
    await ring(subscriber(id));
    expect(service.requests).toHaveLength(1);
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    expect((await api("POST", `/v1/webhooks/${id}/resume`)).status).toBe(200);
    for (let minutes = 0; minutes < 3; minutes++) {
      clock.advance(MINUTE);
      await deliverAll(id, clock);
    }
    expect(await subscriber(id).delivery(event.id)).toMatchObject({ status: "delivered" });
    expect(service.requests).toHaveLength(1);
  });

  it.each([
    ["cancel", { cancelled: 1, pending: 1 }],
    ["discard", { cancelled: 2 }],
    ["erasure", { cancelled: 1, pending: 1 }],
    ["retry", { pending: 2 }],
  ])("makes no %s that it has no room to count", async (what, made) => {
    const { id } = await register({ status: "paused" });
    const [one, two] = await newEvents(2);
    if (one === undefined || two === undefined) throw new Error("there are no events");
    await accept(id, [one, two]);
    const stub = () => subscriber(id);
    if (what === "retry") await stub().cancel(one.id);
    const doIt = async (): Promise<unknown> => {
      if (what === "cancel") return stub().cancel(one.id);
      if (what === "discard") return stub().discard({ limit: 10 }, false);
      if (what === "erasure") return stub().eraseMany([one.id]);
      return stub().reopen({ deliveries: [one], by: "retry" });
    };
    await failStatements(stub(), {
      start: "INSERT OR REPLACE INTO run",
      message: "database or disk is full: SQLITE_FULL",
      times: 10,
    });
    expect(String(await doIt().catch((thrown) => thrown))).toContain("SQLITE_FULL");
    const before = await tally(id);
    const pending = async () => (await stub().stats(clock.nowMs())).pending;
    expect(await pending()).toBe(before.pending ?? 0);
    await evictDurableObject(stub());
    expect(await pending()).toBe(before.pending ?? 0);
    await doIt();
    expect(await tally(id)).toEqual(made);
    expect(await pending()).toBe((await tally(id)).pending ?? 0);
    await resume(id);
    await deliverAll(id, clock);
    expect(await pending()).toBe(0);
  });

  it("takes deliveries again when there is some, though it was full in the middle of a new table", async () => {
    const { id } = await register();
    const events = await newEvents(2);
    await failStatements(subscriber(id), {
      start: "CREATE INDEX waiting_",
      message: "database or disk is full: SQLITE_FULL",
      times: 1,
    });
    expect(await subscriber(id).accept({ deliveries: events })).toMatchObject({ status: "full" });
    await accept(id, events.slice(0, 1));
    await evictDurableObject(subscriber(id));
    await accept(id, events.slice(1));
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 2 });
  });
});
