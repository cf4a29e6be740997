import { createExecutionContext, createMessageBatch } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import worker from "../../src";
import { eventIdOf } from "../../src/domain/ids";
import { journalDayMs, journalName } from "../../src/domain/placement";
import { sweep } from "../../src/sweep";
import {
  alarmAt,
  deliverAll,
  journal,
  newEvent,
  newEvents,
  newRoutingVersion,
  type Owed,
  register,
  ring,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { clock, DAY, HOUR, it, log, MINUTE, SECOND, service } from "../rig/worker/fixture";
import {
  cursorsOf,
  failStatements,
  inObject,
  tablesOf,
  withVariables,
} from "../rig/worker/objects";
import { consume as consumeBatch } from "../rig/worker/queue";
import { api, bytesOf } from "../rig/worker/requests";

const RETENTION = 30 * DAY;

/** One batch of the queue. */
async function consume(events: Owed[], atMs = clock.nowMs()): Promise<void> {
  const messages = events.map(({ id, body }) => ({
    id: `${id}-${crypto.randomUUID()}`,
    timestamp: new Date(atMs),
    attempts: 1,
    body: body.slice().buffer,
  }));
  const batch = createMessageBatch<ArrayBuffer>("leadterra-events", messages);
  await worker.queue(batch, env, createExecutionContext());
}

/** An event as a consumer records it. */
function entryOf({ id, event, body }: Owed, webhookIds: string[] = []) {
  return {
    id,
    event,
    timestamp: null,
    receivedAtMs: clock.nowMs(),
    conforms: true,
    email: null,
    campaignId: null,
    webhookIds: webhookIds as never[],
    body,
  };
}

describe("a Journal past RETENTION", () => {
  it("deletes itself, and answers afterwards as if it had never been", async () => {
    const dayMs = clock.nowMs();
    const [event] = [await newEvent()];
    await consume([event], dayMs);
    const stub = journal(dayMs);
    expect(await tablesOf(stub)).toEqual(["batches", "events", "matches", "version"]);
    clock.setTo(Math.floor(dayMs / DAY) * DAY + DAY + RETENTION - HOUR);
    await ring(stub);
    expect(await stub.get(event.id)).not.toBeNull();
    clock.advance(2 * HOUR);
    await ring(stub);
    expect(await tablesOf(stub)).toEqual([]);
    expect((await api("GET", "/v1/events")).status).toBe(200);
    expect((await api("GET", `/v1/events/${event.id}`)).status).toBe(404);
    await consume([event], dayMs);
    expect(await stub.get(event.id)).not.toBeNull();
  });

  it("tries again when it could not be deleted, and is looked after by the sweep", async () => {
    const dayMs = clock.nowMs();
    await consume(await newEvents(1), dayMs);
    const stub = journal(dayMs);
    clock.setTo(journalDayMs(journalName(dayMs)) + RETENTION + DAY + HOUR);
    await inObject(stub, ({ storage }) => {
      const deleteAll = storage.deleteAll.bind(storage);
      let fails = 1;
      storage.deleteAll = async () => {
        if (fails-- > 0) throw new Error("internal error");
        return deleteAll();
      };
    });
    await ring(stub);
    expect(await tablesOf(stub)).not.toEqual([]);
    expect(await alarmAt(stub)).toBeGreaterThan(clock.nowMs());
    // The alarm is lost: the sweep finds the day.
    await inObject(stub, ({ storage }) => storage.deleteAlarm());
    await sweep(env);
    expect(await tablesOf(stub)).toEqual([]);
  });

  it("of before a RETENTION that was made shorter is found by the sweeps", async () => {
    const dayMs = clock.nowMs();
    await consume(await newEvents(1), dayMs);
    const stub = journal(dayMs);
    clock.setTo(journalDayMs(journalName(dayMs)) + 12 * DAY);
    await withVariables(stub, { RETENTION: "7d" });
    const shorter = { ...env, RETENTION: "7d", SILENCE_ALERT: "off" } as Env;
    for (let sweeps = 0; sweeps < 400 && (await tablesOf(stub)).length > 0; sweeps++) {
      await sweep(shorter);
      clock.advance(5 * MINUTE);
    }
    expect(await tablesOf(stub)).toEqual([]);
  }, 60_000);

  it("deletes nothing when its name is no day: a later release may have given it", async () => {
    const stub = env.JOURNAL.getByName("2026-11-23T05");
    await stub.record({ entries: [entryOf(await newEvent())] }).catch(() => undefined);
    const kept = await tablesOf(stub);
    expect(kept).toContain("events");
    await inObject(stub, ({ storage }) => storage.setAlarm(clock.nowMs() + MINUTE));
    await ring(stub);
    expect(await tablesOf(stub)).toEqual(kept);
    expect(await alarmAt(stub)).not.toBeNull();
  });

  it("deletes itself after a page that was not read to its end", async () => {
    const dayMs = clock.nowMs();
    await consume(await newEvents(20), dayMs);
    await journal(dayMs).list({ limit: 2 });
    clock.advance(RETENTION + 2 * DAY);
    await ring(journal(dayMs));
    expect(await tablesOf(journal(dayMs))).toEqual([]);
  });
});

describe("a Journal that is full", () => {
  it("keeps nothing of what it could not take whole", async () => {
    const stub = journal(clock.nowMs());
    const [first, second, third] = (await newEvents(3)) as [Owed, Owed, Owed];
    await stub.record({ entries: [entryOf(first)] });
    await inObject(stub, (state) => {
      const { sql } = state.storage;
      const exec = sql.exec.bind(sql);
      let fails = 1;
      sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
        if (query.startsWith("INSERT INTO batches") && fails-- > 0) {
          throw new Error("database or disk is full: SQLITE_FULL");
        }
        return exec(query, ...bindings);
      }) as typeof sql.exec;
    });
    expect(await stub.record({ entries: [entryOf(second)] })).toEqual({ webhookIds: null });
    expect(await stub.get(second.id)).toBeNull();
    await stub.record({ entries: [entryOf(third)] });
    const { found } = await stub.bodies([second.id, third.id], 1_000_000);
    expect(found.map(({ id }) => id)).toEqual([third.id]);
    expect(found[0]?.body).toEqual(third.body);
  });
});

describe("a Journal whose disk fails in the midst of a write", () => {
  const message = "disk I/O error: SQLITE_IOERR";

  it("has recorded nothing of a batch that comes again: each event is listed and counted once", async () => {
    const events = await newEvents(3);
    const atMs = clock.nowMs();
    const stub = journal(atMs);
    await consume([await newEvent()], atMs);
    await failStatements(stub, { start: "INSERT INTO events", message, times: 1, after: 1 });
    await consume(events, atMs);
    expect((await stub.list({ limit: 10 })).events).toHaveLength(1);
    await consume(events, atMs);
    expect((await stub.list({ limit: 10 })).events).toHaveLength(4);
    expect(Object.values((await stub.totals()).events)).toEqual([4]);
    expect((await stub.stats([atMs], HOUR)).counts).toEqual([4]);
  });

  it("has an event as it was where it could not erase all of it, until it is asked again", async () => {
    const [event] = (await newEvents(1)) as [Owed];
    await consume([event]);
    const stub = journal(clock.nowMs());
    const bodies = async () => (await stub.bodies([event.id], 1_000_000)).found;
    await failStatements(stub, { start: "UPDATE events SET email", message, times: 1 });
    const path = `/v1/events/${event.id}`;
    expect((await api("DELETE", path)).status).toBe(503);
    expect((await bodies())[0]?.body).toEqual(event.body);
    expect((await api("DELETE", path)).status).toBe(204);
    expect(await bodies()).toEqual([]);
  });
});

describe("an erased event", () => {
  it("goes to nobody any more, whoever was still owed it", async () => {
    const { id } = await register();
    const dayMs = clock.nowMs();
    const event = await newEvent({ lead: { email: "ava@acmecorp.com" } });
    await journal(dayMs).record({ entries: [entryOf(event, [id])] });
    expect((await api("DELETE", `/v1/events/${event.id}`)).status).toBe(204);
    await newRoutingVersion();
    await consume([event], dayMs);
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
    expect(await tally(id)).toEqual({});
    expect(await subscriber(id).delivery(event.id)).toBeNull();
  });
});

describe("a copy of what a Journal has", () => {
  const message = (more: object) =>
    bytesOf({ event: "message.sent", data: { messageId: "m1", sequenceStep: 1, ...more } });
  const told = () => log.lines().filter(({ happening }) => happening === "event.duplicate_differs");

  it("is told in the log when it differs, in size or in a byte, whether or not KV is asked", async () => {
    const id = await eventIdOf("message.sent", "m1");
    for (const body of [message({ a: 1 }), message({ a: 1 })]) await consumeBatch([body]);
    expect(told()).toEqual([]);
    await consumeBatch([message({ a: 2 })]);
    expect(told()).toEqual([expect.objectContaining({ eventId: id, event: "message.sent" })]);
    await consumeBatch([message({ a: 1, b: 2 }), message({ a: 1 })]);
    expect(told()).toHaveLength(2);
  });

  it("is not told when it is the queue's own repetition, or when the event was erased", async () => {
    const id = await eventIdOf("message.sent", "m1");
    await consumeBatch([message({ a: 1 })]);
    await consumeBatch([message({ a: 2 })], { attempts: 2 });
    expect((await api("DELETE", `/v1/events/${id}`)).status).toBe(204);
    await consumeBatch([message({ a: 3 })]);
    expect(told()).toEqual([]);
  });
});

describe("the hours of a day", () => {
  it("are counted by reading one batch for each whole: what stands behind its bodies costs reading these", async () => {
    const stub = journal(clock.nowMs());
    const fromMs = clock.nowMs() - 24 * MINUTE;
    for (let batch = 0; batch < 64; batch++) {
      const receivedAtMs = fromMs + batch * 20 * SECOND;
      await stub.record({ entries: [{ ...entryOf(await newEvent()), receivedAtMs }] });
    }
    const starts = Array.from({ length: 24 }, (_, minute) => fromMs + minute * MINUTE);
    const counts: number[][] = [];
    const cursors = await cursorsOf(stub, async () => {
      counts.push((await stub.stats(starts, MINUTE)).counts);
    });
    expect(counts).toEqual([starts.map((_, minute) => (minute < 21 ? 3 : minute === 21 ? 1 : 0))]);
    const wide = cursors.filter(
      ({ columnNames }) => columnNames.includes("after") || columnNames.includes("totals"),
    );
    // For each of 25 times the batch that is found, and the last; and the totals.
    expect(wide.length).toBeLessThanOrEqual(2 * 25 + 3);
  });
});
