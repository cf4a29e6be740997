import { evictDurableObject } from "cloudflare:test";
import { describe, expect } from "vitest";
import {
  accept,
  deliverAll,
  newEvents,
  patch,
  pause,
  register,
  resume,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, DAY, it, MINUTE, service } from "../rig/worker/fixture";
import { inObject, rowsReadBy } from "../rig/worker/objects";

/** What an object reads and writes from now on. */
async function statementsOf(id: string): Promise<string[]> {
  const statements: string[] = [];
  await inObject(subscriber(id), ({ storage: { sql } }) => {
    const exec = sql.exec.bind(sql);
    sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
      statements.push(query);
      return exec(query, ...bindings);
    }) as typeof sql.exec;
  });
  return statements;
}

/** How many bytes of bodies an object reads from now on, each time before it writes what it has leased. */
async function bodiesReadOf(id: string): Promise<number[]> {
  const read = [0];
  await inObject(subscriber(id), ({ storage: { sql } }) => {
    const exec = sql.exec.bind(sql);
    sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
      if (query.startsWith("INSERT OR REPLACE INTO run")) read.push(0);
      const cursor = exec(query, ...bindings);
      const toArray = cursor.toArray.bind(cursor);
      cursor.toArray = () => {
        const rows = toArray();
        for (const { body } of rows) {
          if (body instanceof ArrayBuffer) read.push((read.pop() ?? 0) + body.byteLength);
        }
        return rows;
      };
      return cursor;
    }) as typeof sql.exec;
  });
  return read;
}

const LOG = /\blog\b/;

/** A webhook with waiting, undeliverable and delivered deliveries. */
async function busy(): Promise<{ id: string }> {
  const { id } = await register({ retrySchedule: "1m" });
  service.answer = answering(500);
  await accept(id, await newEvents(2));
  await deliverAll(id, clock);
  clock.advance(2 * MINUTE);
  await deliverAll(id, clock);
  await patch(id, { retrySchedule: null });
  await accept(id, await newEvents(5));
  await deliverAll(id, clock);
  expect(await tally(id)).toEqual({ pending: 5, undeliverable: 2 });
  return { id };
}

describe("what looks at many deliveries", () => {
  it.each(["pending", "undeliverable", "delivered", undefined] as const)(
    "reads no attempts: a list of %s",
    async (status) => {
      const { id } = await busy();
      const statements = await statementsOf(id);
      await subscriber(id).deliveries({ limit: 100, ...(status && { status }) });
      await subscriber(id).deliveries({
        limit: 100,
        untilMs: clock.nowMs(),
        ...(status && { status }),
      });
      expect(statements.filter((statement) => LOG.test(statement))).toEqual([]);
    },
  );

  it("reads and writes no attempts when it gives up on them, and loses none", async () => {
    const { id } = await busy();
    const { deliveries } = await subscriber(id).deliveries({ limit: 100, status: "pending" });
    const statements = await statementsOf(id);
    expect(await subscriber(id).discard({ limit: 100 }, false)).toMatchObject({ discarded: 5 });
    expect(statements.filter((statement) => LOG.test(statement))).toEqual([]);
    for (const { eventId } of deliveries) {
      const one = await subscriber(id).delivery(eventId as never);
      expect(one).toMatchObject({ status: "cancelled", attempts: one?.attemptLog.length });
      expect(one?.attempts).toBeGreaterThan(0);
    }
  });

  it("reads and writes no attempts when they expire, and loses none", async () => {
    const { id } = await busy();
    const { deliveries } = await subscriber(id).deliveries({ limit: 100, status: "pending" });
    clock.advance(31 * DAY);
    const statements = await statementsOf(id);
    await subscriber(id).check();
    const reads = (statement: string) => LOG.test(statement) && !statement.includes("length(log)");
    expect(statements.filter(reads)).toEqual([]);
    for (const { eventId } of deliveries) {
      const one = await subscriber(id).delivery(eventId as never);
      expect(one).toMatchObject({ lastError: "expired", attempts: one?.attemptLog.length });
    }
  });

  it("reads no more than four megabytes of bodies at once, however many are due", async () => {
    const { id } = await register();
    await pause(id);
    const events = await newEvents(60);
    const filler = new Uint8Array(119_000).fill(32);
    for (const event of events) {
      await accept(id, [{ ...event, body: new Uint8Array([...event.body, ...filler]) }]);
    }
    // What waits is found by when it is due, and no more by when it came.
    const waiting = events.map((event) => ({ ...event, body: null }));
    await subscriber(id).reopen({ deliveries: waiting, by: "replay" });
    const read = await bodiesReadOf(id);
    await resume(id);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 60 });
    const most = Math.max(...read);
    expect(most).toBeGreaterThan(3 * 1024 * 1024);
    expect(most).toBeLessThanOrEqual(4 * 1024 * 1024);
  });
});

describe("an object that takes no more", () => {
  it("does not count for that what it has", async () => {
    const { id } = await register();
    await pause(id);
    for (let batches = 0; batches < 10; batches++) await accept(id, await newEvents(100));
    const cursors: { rowsRead: number }[] = [];
    await inObject(subscriber(id), ({ storage: { sql } }) => {
      const exec = sql.exec.bind(sql);
      sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
        if (query.startsWith("INSERT INTO deliveries_"))
          throw new Error("disk is full: SQLITE_FULL");
        const cursor = exec(query, ...bindings);
        cursors.push(cursor);
        return cursor;
      }) as typeof sql.exec;
    });
    const answer = await subscriber(id).accept({ deliveries: await newEvents(1) });
    expect(answer).toEqual({ status: "full", added: 0 });
    expect(cursors.reduce((sum, { rowsRead }) => sum + rowsRead, 0)).toBeLessThan(100);
  });
});

describe("what has ended unsent", () => {
  it("is passed once: what expires later reads no more for it", async () => {
    const { id } = await register();
    await pause(id);
    for (const event of await newEvents(1_600)) await accept(id, [event]);
    clock.advance(30 * DAY + MINUTE);
    const reads: number[] = [];
    for (let turns = 0; turns < 3; turns++) {
      reads.push(await rowsReadBy(subscriber(id), () => subscriber(id).check()));
    }
    expect(await tally(id)).toEqual({ cancelled: 1_500, pending: 100 });
    // Each arrival would be looked at eleven times.
    const [first = 0, , third = 0] = reads;
    expect(third - first).toBeLessThan(100);
  });

  it("is passed once, too, where it was moved to when its period went", async () => {
    const { id } = await register();
    await pause(id);
    for (const event of await newEvents(1_600)) await accept(id, [event]);
    clock.advance(30 * DAY + MINUTE);
    for (let turns = 0; turns < 4; turns++) await subscriber(id).check();
    expect(await tally(id)).toEqual({ cancelled: 1_600 });
    clock.advance(6 * DAY);
    const reads: number[] = [];
    for (let turns = 0; turns < 3; turns++) {
      reads.push(await rowsReadBy(subscriber(id), () => subscriber(id).check()));
    }
    // Each turn would look through all that was moved before.
    const [first = 0, , third = 0] = reads;
    expect(first).toBeGreaterThan(500);
    expect(third - first).toBeLessThan(100);
  });

  it("is passed within SQLite: each arrival would be a statement", async () => {
    const { id } = await register();
    await pause(id);
    for (const event of await newEvents(300)) await accept(id, [event]);
    await evictDurableObject(subscriber(id));
    const statements = await statementsOf(id);
    expect(await subscriber(id).discard({ limit: 1_000 }, false)).toMatchObject({ discarded: 300 });
    const looks = statements.filter((statement) => statement.includes("due_at IS NULL"));
    expect(looks.length).toBeGreaterThan(0);
    expect(looks.length).toBeLessThan(20);
  });

  it("is not looked through while something else waits", async () => {
    const { id } = await register();
    await pause(id);
    for (const event of await newEvents(1_600)) await accept(id, [event]);
    clock.advance(30 * DAY + MINUTE);
    for (let turns = 0; turns < 4; turns++) await subscriber(id).check();
    expect(await tally(id)).toEqual({ cancelled: 1_600 });
    await resume(id);
    service.answer = answering(500);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ cancelled: 1_600, pending: 1 });
    const reads: number[] = [];
    for (let starts = 0; starts < 2; starts++) {
      reads.push(await rowsReadBy(subscriber(id), () => subscriber(id).check()));
      clock.advance(MINUTE);
      await deliverAll(id, clock);
    }
    // The first looks whether any of it is fresh.
    expect(reads[1]).toBeLessThan(500);
  });
});

describe("what came after midnight, of events of the day before", () => {
  it.each([
    ["delivered, while one waits: not at all", 1, 200],
    ["delivered, while many wait: once", 300, 1_500],
    ["waiting: once", 1_000, 1_500],
  ])("is not looked through again and again in its last days: %s", async (_, pending, most) => {
    const { id } = await register();
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    await pause(id);
    const cameMs = clock.nowMs();
    const receivedAtMs = cameMs - 2 * DAY;
    const events = (await newEvents(1_000)).map((event) => ({ ...event, receivedAtMs }));
    await accept(id, events.slice(0, 500));
    await accept(id, events.slice(500));
    await inObject(subscriber(id), ({ storage: { sql } }) => {
      const [table] = sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name GLOB 'deliveries_*'")
        .toArray();
      const set = `UPDATE ${table?.name} SET attempts = 1,`;
      sql.exec(`${set} due_at = ? WHERE seq > 1`, cameMs + MINUTE);
      const waits = `SELECT id FROM ${table?.name} ORDER BY seq DESC, position DESC LIMIT ?`;
      sql.exec(`${set} due_at = NULL, status = 1 WHERE id NOT IN (${waits})`, pending);
      sql.exec(`UPDATE run SET state = json_set(state, '$.head', json('{"seq":4,"index":0}'))`);
    });
    await evictDurableObject(subscriber(id));
    clock.advance(29 * DAY + MINUTE);
    const look = () => subscriber(id).check();
    expect((await look()).expiresAtMs).toBeGreaterThanOrEqual(cameMs + 30 * DAY);
    expect(await rowsReadBy(subscriber(id), look)).toBeLessThan(most);
    clock.advance(DAY);
    for (let turns = 0; turns < 6; turns++) await look();
    expect(await tally(id)).toMatchObject({ cancelled: pending });
    expect(await rowsReadBy(subscriber(id), look)).toBeLessThan(200);
  });
});
