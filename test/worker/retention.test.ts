import { beforeEach, describe, expect } from "vitest";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf,
  newEvent,
  newEvents,
  pause,
  register,
  resume,
  ring,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, DAY, HOUR, it, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { failStatements, inObject, tablesOf, withVariables } from "../rig/worker/objects";
import { api } from "../rig/worker/requests";

const RETENTION = 30 * DAY;
/** A sixth of it. */
const PERIOD = 5 * DAY;

beforeEach(() => {
  clock.setTo((Math.floor(clock.nowMs() / PERIOD) + 1) * PERIOD + HOUR);
});

describe("retention that fails", () => {
  it("keeps no due delivery waiting, and is told by the sweep when it goes on failing", async () => {
    const { id } = await register();
    await accept(id, await newEvents(2));
    await deliverAll(id, clock);
    clock.advance(RETENTION + PERIOD + HOUR);
    const disk = { start: "DROP TABLE", message: "disk I/O error", times: 1_000 };
    await failStatements(subscriber(id), disk);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(3);
    for (let sweeps = 0; sweeps < 3; sweeps++) await subscriber(id).check();
    expect(await subscriber(id).check()).toMatchObject({ cannotRetain: true });
  });
});

describe("a pending delivery past RETENTION", () => {
  it("ends as expired, keeps its record and loses its body", async () => {
    const { id } = await register();
    await pause(id);
    const [event] = [await newEvent()];
    await accept(id, [event]);
    expect(await alarmAt(subscriber(id))).toBeGreaterThan(clock.nowMs() + RETENTION - MINUTE);
    clock.advance(RETENTION - MINUTE);
    await ring(subscriber(id));
    expect(await deliveryOf(id, event.id)).toMatchObject({ status: "pending" });
    clock.advance(2 * MINUTE);
    await ring(subscriber(id));
    expect(await deliveryOf(id, event.id)).toMatchObject({
      status: "cancelled",
      lastError: "expired",
    });
    await resume(id);
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
  });

  it("ends as expired too when the sweep comes before a late alarm", async () => {
    const { id } = await register();
    await pause(id);
    const event = await newEvent();
    await accept(id, [event]);
    clock.advance(RETENTION + PERIOD + HOUR);
    await subscriber(id).check();
    await ring(subscriber(id));
    expect(await tally(id)).toEqual({ cancelled: 1 });
    expect(await deliveryOf(id, event.id)).toMatchObject({ lastError: "expired" });
  });
});

describe("the tables of a Subscriber", () => {
  it("are at most seven, and the oldest goes whole", async () => {
    const { id } = await register();
    for (let period = 0; period < 10; period++) {
      await accept(id, await newEvents(2));
      await deliverAll(id, clock);
      clock.advance(PERIOD);
      await subscriber(id).check();
      const tables = (await tablesOf(subscriber(id))).filter((name) => name.startsWith("deliver"));
      expect(tables.length).toBeLessThanOrEqual(7);
    }
    expect((await tally(id)).delivered).toBeLessThan(20);
  });

  it("keep what is younger than a RETENTION that was made shorter", async () => {
    const { id } = await register();
    await pause(id);
    await accept(id, await newEvents(1));
    clock.advance(4 * DAY);
    const event = await newEvent();
    await accept(id, [event]);
    clock.advance(3 * DAY + HOUR);
    await withVariables(subscriber(id), { RETENTION: "6d" });
    await subscriber(id).check();
    await ring(subscriber(id));
    expect(await deliveryOf(id, event.id)).toMatchObject({ status: "pending" });
  });

  it("move on what was opened again, and what has just expired, however much it is", async () => {
    const { id } = await register();
    await pause(id);
    await accept(id, await newEvents(1));
    const many = 12_000;
    await inObject(subscriber(id), (state) => {
      const { sql } = state.storage;
      const [table] = sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name LIKE 'deliveries_%'")
        .toArray();
      sql.exec(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO ${table?.name} (id, seq, position, event, status, created_at, kept_from, asked, attempts, failures, interruptions) SELECT printf('evt_%026d', i), 1, i, 'a', 3, ?, ?, 0, 0, 0, 0 FROM n`,
        many,
        clock.nowMs(),
        clock.nowMs() + 20 * DAY,
      );
    });
    clock.advance(RETENTION + PERIOD);
    await subscriber(id).check();
    const first = await subscriber(id).deliveries({ limit: 5, status: "cancelled" });
    expect(first.deliveries).toHaveLength(5);
    const response = await api(
      "GET",
      `/v1/webhooks/${id}/deliveries?limit=1&cursor=${first.next?.seq}.${first.next?.index}`,
    );
    expect(response.status).toBe(200);
  });

  it("take events that still go out after all were dropped", async () => {
    const { id } = await register();
    await accept(id, await newEvents(3));
    await deliverAll(id, clock);
    clock.advance(RETENTION + 2 * PERIOD);
    await subscriber(id).check();
    expect((await tablesOf(subscriber(id))).filter((name) => name.startsWith("del"))).toEqual([]);
    await accept(id, await newEvents(2));
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(5);
  });

  it("go too when the webhook is never idle while the sweep looks", async () => {
    const { id } = await register();
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    clock.advance(RETENTION + 2 * PERIOD);
    await accept(id, await newEvents(1));
    service.answer = async () => {
      await subscriber(id).check();
      return answering(204)();
    };
    await ring(subscriber(id));
    await ring(subscriber(id));
    expect((await tablesOf(subscriber(id))).filter((name) => name.startsWith("del"))).toHaveLength(
      1,
    );
  });
});

describe("a delivery that was opened again", () => {
  it("is still found by the time of its arrival when it has moved on", async () => {
    const { id } = await register();
    const event = await newEvent();
    await accept(id, [event]);
    await deliverAll(id, clock);
    const untilMs = clock.nowMs() + HOUR;
    clock.advance(29 * DAY);
    expect(await subscriber(id).reopen({ deliveries: [event], by: "replay" })).toEqual(["opened"]);
    await deliverAll(id, clock);
    const find = () => subscriber(id).deliveries({ untilMs, limit: 10 });
    expect((await find()).deliveries).toHaveLength(1);
    clock.advance(PERIOD + 2 * DAY);
    await subscriber(id).check();
    expect(await deliveryOf(id, event.id)).toMatchObject({ attempts: 2 });
    expect((await find()).deliveries).toHaveLength(1);
  });

  it("is kept for RETENTION from then on, and the next expiry is counted from then", async () => {
    const { id } = await register();
    const event = await newEvent();
    await accept(id, [event]);
    await deliverAll(id, clock);
    clock.advance(29 * DAY);
    await pause(id);
    expect(await subscriber(id).reopen({ deliveries: [event], by: "replay" })).toEqual(["opened"]);
    const { expiresAtMs } = await subscriber(id).check();
    expect(expiresAtMs).toBeGreaterThan(clock.nowMs() + RETENTION - MINUTE);
    clock.advance(29 * DAY);
    await subscriber(id).check();
    await ring(subscriber(id));
    expect(await deliveryOf(id, event.id)).toMatchObject({ status: "pending", attempts: 1 });
    await resume(id);
    await deliverAll(id, clock);
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1, 2]);
    clock.advance(SECOND);
  });
});
