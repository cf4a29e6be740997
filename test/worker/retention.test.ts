import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect } from "vitest";
import { sweep } from "../../src/sweep";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf,
  newEvent,
  newEvents,
  pause,
  register,
  registry,
  resume,
  ring,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, DAY, HOUR, it, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { failStatements, inObject, tablesOf, withVariables } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { api, type Problem } from "../rig/worker/requests";

const RETENTION = 30 * DAY;
/** A sixth of it. */
const PERIOD = 5 * DAY;

beforeEach(() => {
  clock.setTo((Math.floor(clock.nowMs() / PERIOD) + 1) * PERIOD + HOUR);
});

/** The rows of all deliveries. */
function rowsOf(id: string): Promise<{ id: string }[]> {
  return inObject(subscriber(id), ({ storage: { sql } }) =>
    sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name GLOB 'deliveries_*'")
      .toArray()
      .flatMap(({ name }) => sql.exec<{ id: string }>(`SELECT id FROM ${name}`).toArray()),
  );
}

async function attemptTablesOf(id: string): Promise<string[]> {
  return (await tablesOf(subscriber(id))).filter((name) => name.startsWith("attempts_"));
}

async function healthOf(id: string) {
  return (await subscriber(id).stats(clock.nowMs())).health;
}

/** More finished deliveries beside those that the first table has. */
async function stage(
  id: string,
  many: number,
  { status, keptFromMs }: { status: number; keptFromMs: number | null },
): Promise<void> {
  await inObject(subscriber(id), ({ storage: { sql } }) => {
    const [table] = sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name LIKE 'deliveries_%'")
      .toArray();
    sql.exec(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO ${table?.name} (id, seq, position, event, status, created_at, kept_from, asked, attempts, failures, interruptions) SELECT printf('evt_%026d', i), 1, i, 'a', ?, ?, ?, 0, 0, 0, 0 FROM n`,
      many,
      status,
      clock.nowMs(),
      keptFromMs,
    );
    if (status !== 2) return;
    // They are to be counted.
    sql.exec("UPDATE run SET state = json_remove(state, '$.undeliverable', '$.undeliverableTo')");
  });
  await evictDurableObject(subscriber(id));
}

/** How many rows each of so many turns moves. */
async function movedIn(id: string, turns: number): Promise<number[]> {
  let moved = 0;
  await inObject(subscriber(id), ({ storage: { sql } }) => {
    const exec = sql.exec.bind(sql);
    sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
      if (query.startsWith("INSERT INTO deliveries_")) moved += 1;
      return exec(query, ...bindings);
    }) as typeof sql.exec;
  });
  const each: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const before = moved;
    await subscriber(id).check();
    each.push(moved - before);
  }
  return each;
}

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
    await withVariables(registry(), { ALERT_URL: "https://alerts.example.com/hook" });
    await sweep({ ...env, SILENCE_ALERT: "off" });
    await registry().sendAlerts();
    const told = service.requests.filter(({ url }) => url.startsWith("https://alerts."));
    expect(told.map(({ body }) => new TextDecoder().decode(body))).toEqual([
      expect.stringContaining("cannot drop what is past RETENTION"),
    ]);
  });
});

describe("retention that fails in the midst of a table", () => {
  it("leaves the period whole, and the webhook takes what arrives", async () => {
    const { id } = await register();
    await accept(id, await newEvents(2));
    await deliverAll(id, clock);
    clock.advance(RETENTION + PERIOD + HOUR);
    const tables = await tablesOf(subscriber(id));
    const disk = { start: 'DROP TABLE "arrivals_', message: "disk I/O error", times: 1_000 };
    await failStatements(subscriber(id), disk);
    await subscriber(id).check();
    expect(await tablesOf(subscriber(id))).toEqual(tables);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(3);
  });
});

describe("retention of an object that is full in the middle of it", () => {
  it("moves all that it should, and counts it once", async () => {
    const { id } = await register();
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    await stage(id, 20, { status: 2, keptFromMs: clock.nowMs() + 20 * DAY });
    expect(await healthOf(id)).toMatchObject({ undeliverable: 20 });
    clock.advance(RETENTION + PERIOD);
    await accept(id, await newEvents(1));
    await inObject(subscriber(id), ({ storage: { sql } }) => {
      const [table] = sql
        .exec<{ name: string }>(
          "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'deliveries_*' ORDER BY name DESC",
        )
        .toArray();
      sql.exec(
        `CREATE TRIGGER full BEFORE INSERT ON ${table?.name} WHEN new.position = 9 BEGIN SELECT raise(FAIL, 'database or disk is full'); END`,
      );
    });
    await subscriber(id).check();
    await inObject(subscriber(id), ({ storage: { sql } }) => void sql.exec("DROP TRIGGER full"));
    for (let turns = 0; turns < 3; turns++) {
      clock.advance(MINUTE);
      await subscriber(id).check();
    }
    expect(await healthOf(id)).toMatchObject({ undeliverable: 20 });
    expect(await tally(id)).toEqual({ undeliverable: 20, pending: 1 });
    // What was delivered has gone with its table.
    expect(await rowsOf(id)).toHaveLength(21);
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

  it("is not opened again, though its Journal day lasts", async () => {
    const { id } = await register();
    await pause(id);
    const event = await newEvent();
    await consume([event]);
    clock.advance(RETENTION + MINUTE);
    await ring(subscriber(id));
    const { payload } = await (await api("GET", `/v1/events/${event.id}`)).json<{
      payload: unknown;
    }>();
    expect(payload).not.toBeNull();
    const retry = await api("POST", `/v1/webhooks/${id}/deliveries/${event.id}/retry`);
    expect([retry.status, (await retry.json<Problem>()).code]).toEqual([409, "payload_gone"]);
    const since = new Date(0).toISOString();
    for (const [path, body] of [
      [`/v1/webhooks/${id}/replay`, { since, only: "all", dryRun: true }],
      [`/v1/webhooks/${id}/replay`, { since, only: "all" }],
      [`/v1/events/${event.id}/replay`, {}],
    ] as const) {
      const response = await api("POST", path, body);
      expect(await response.json(), path).toMatchObject({ replayed: 0 });
    }
    expect(await tally(id)).toEqual({ cancelled: 1 });
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

  it("take their attempts with them, and those that 0.2.0 left when it dropped a period", async () => {
    const { id } = await register();
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    const first = await attemptTablesOf(id);
    await inObject(subscriber(id), ({ storage: { sql } }) =>
      sql.exec("CREATE TABLE attempts_1 (seq INTEGER PRIMARY KEY, attempts TEXT NOT NULL)"),
    );
    await evictDurableObject(subscriber(id));
    clock.advance(RETENTION + PERIOD);
    await accept(id, await newEvents(1));
    expect(await attemptTablesOf(id)).toHaveLength(3);
    await deliverAll(id, clock);
    await subscriber(id).check();
    await ring(subscriber(id));
    const left = await attemptTablesOf(id);
    expect(left).toHaveLength(1);
    expect(left).not.toEqual(first);
  });

  it("keep what is younger than a RETENTION that was made shorter", async () => {
    const { id } = await register();
    await pause(id);
    const old = await newEvent();
    await accept(id, [old]);
    clock.advance(4 * DAY);
    const event = await newEvent();
    await accept(id, [event]);
    clock.advance(3 * DAY + HOUR);
    await withVariables(subscriber(id), { RETENTION: "6d" });
    await subscriber(id).check();
    await ring(subscriber(id));
    // It is in force: what is older has ended.
    expect(await deliveryOf(id, old.id)).not.toMatchObject({ status: "pending" });
    expect(await deliveryOf(id, event.id)).toMatchObject({ status: "pending" });
  });

  it("move on what was opened again, and what has just expired, however much it is", async () => {
    const { id } = await register();
    await pause(id);
    await accept(id, await newEvents(1));
    await stage(id, 12_000, { status: 3, keptFromMs: clock.nowMs() + 20 * DAY });
    clock.advance(RETENTION + PERIOD);
    const full = Array.from({ length: 24 }, () => 500);
    // The first turn ends what has expired.
    expect(await movedIn(id, 27)).toEqual([0, ...full, 1, 0]);
    expect((await tablesOf(subscriber(id))).filter((name) => name.startsWith("del"))).toHaveLength(
      1,
    );
    const first = await subscriber(id).deliveries({ limit: 5, status: "cancelled" });
    expect(first.deliveries).toHaveLength(5);
    const response = await api(
      "GET",
      `/v1/webhooks/${id}/deliveries?limit=1&cursor=${first.next?.seq}.${first.next?.index}`,
    );
    expect(response.status).toBe(200);
  });

  it("keep every row and every count while they move, over crashes and arrivals", async () => {
    const { id } = await register();
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    await stage(id, 2_100, { status: 2, keptFromMs: clock.nowMs() + 20 * DAY });
    clock.advance(RETENTION + PERIOD);
    for (let turns = 0; turns < 3; turns++) {
      await subscriber(id).check();
      await abortAllDurableObjects();
      expect(await healthOf(id)).toMatchObject({ undeliverable: 2_100 });
      await accept(id, await newEvents(1));
    }
    await deliverAll(id, clock);
    await abortAllDurableObjects();
    expect(await healthOf(id)).toMatchObject({ undeliverable: 2_100, pending: 0 });
    const rows = await rowsOf(id);
    expect(rows).toHaveLength(2_103);
    expect(new Set(rows.map((row) => row.id)).size).toBe(2_103);
  });

  it("keep the order of what waits while they move, before all that arrives while they do", async () => {
    const { id } = await register({ ordered: true });
    const old = await newEvents(600);
    for (let index = 0; index < old.length; index += 100) {
      await accept(id, old.slice(index, index + 100));
    }
    await deliverAll(id, clock);
    clock.advance(20 * DAY);
    await pause(id);
    await subscriber(id).reopen({ deliveries: old, by: "replay" });
    clock.advance(RETENTION + PERIOD - 20 * DAY);
    const late: string[] = [];
    for (let turns = 0; turns < 5; turns++) {
      const events = await newEvents(1);
      await accept(id, events);
      late.push(...events.map((event) => event.id));
      await ring(subscriber(id));
    }
    service.requests.length = 0;
    await resume(id);
    await deliverAll(id, clock);
    // The first of those came before anything moved.
    const [first, ...behind] = late;
    expect(service.ids()).toEqual([first, ...old.map((event) => event.id), ...behind]);
  });

  it("of an upgraded webhook are counted once, in bounded turns, and not again at each start", async () => {
    const { id } = await register();
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    await stage(id, 12_000, { status: 2, keptFromMs: null });
    expect(await healthOf(id)).toMatchObject({ undeliverable: 5_000 });
    await deliverAll(id, clock);
    expect(await healthOf(id)).toMatchObject({ undeliverable: 12_000 });
    await abortAllDurableObjects();
    await failStatements(subscriber(id), {
      start: 'SELECT seq, position AS "index", ',
      message: "counted again",
      times: 1,
    });
    expect(await healthOf(id)).toMatchObject({ undeliverable: 12_000 });
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
