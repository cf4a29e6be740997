/** What a delivery costs: rows written, which is most of the bill. An extra row for each delivery shows here. */
import { beforeEach, describe, expect } from "vitest";
import {
  accept,
  deliverAll,
  journal,
  newEvents,
  register,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, DAY, HOUR, it, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { inObject } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";

beforeEach(() => {
  // Within one hour, one day and one period: what begins anew with those is not part of a delivery.
  clock.setTo((Math.floor(clock.nowMs() / (5 * DAY)) + 1) * 5 * DAY + 12 * HOUR + MINUTE);
});

type Meter = { rows: number; alarms: number; byStatement: Map<string, number> };

/** Counts what an object writes from here on: rows, of which each alarm that is set is one. */
async function meter(stub: Pick<DurableObjectStub, "id">): Promise<() => Promise<Meter>> {
  const cursors: { query: string; cursor: SqlStorageCursor<Record<string, SqlStorageValue>> }[] =
    [];
  let alarms = 0;
  await inObject(stub, ({ storage }) => {
    const exec = storage.sql.exec.bind(storage.sql);
    const setAlarm = storage.setAlarm.bind(storage);
    storage.sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
      const cursor = exec(query, ...bindings);
      cursors.push({ query, cursor });
      return cursor;
    }) as typeof storage.sql.exec;
    storage.setAlarm = (...given) => {
      alarms += 1;
      return setAlarm(...given);
    };
  });
  return () =>
    inObject(stub, () => {
      const byStatement = new Map<string, number>([["setAlarm", alarms]]);
      let rows = alarms;
      for (const { query, cursor } of cursors.splice(0)) {
        if (cursor.rowsWritten === 0) continue;
        const statement = query.replaceAll(/\d+/g, "N").split(" ").slice(0, 4).join(" ");
        byStatement.set(statement, (byStatement.get(statement) ?? 0) + cursor.rowsWritten);
        rows += cursor.rowsWritten;
      }
      const read = { rows, alarms, byStatement };
      alarms = 0;
      return read;
    });
}

/** Fails with what was written where. */
function expectRows({ rows, byStatement }: Meter, expected: number): void {
  const parts = [...byStatement].map(([statement, count]) => `${count} × ${statement}`);
  expect(rows, parts.join(", ")).toBe(expected);
}

/** A webhook that has delivered once: its tables are there. */
async function warm(fields: Record<string, unknown> = {}): Promise<string> {
  const { id } = await register(fields);
  await accept(id, await newEvents(1));
  await deliverAll(id, clock);
  expect(await tally(id)).toEqual({ delivered: 1 });
  return id;
}

describe("rows written at the Subscriber", () => {
  it.each([
    // Each delivery on arrival and with its outcome, the arrival, a lease, an alarm.
    [100, 203],
    [1, 5],
  ])("for a batch of %i delivered at the first attempt are %i", async (count, rows) => {
    const id = await warm();
    const read = await meter(subscriber(id));
    await accept(id, await newEvents(count));
    await deliverAll(id, clock);
    const written = await read();
    expect(await tally(id)).toEqual({ delivered: count + 1 });
    expectRows(written, rows);
  });

  it("for 50 that it never had, replayed together and delivered, are 209", async () => {
    const id = await warm();
    const events = await newEvents(50);
    const read = await meter(subscriber(id));
    const deliveries = events.map(({ id: eventId, event, body }) => ({ id: eventId, event, body }));
    const opened = await subscriber(id).reopen({ deliveries, by: "replay" });
    await deliverAll(id, clock);
    const written = await read();
    expect(opened.every((each) => each === "added")).toBe(true);
    expect(await tally(id)).toEqual({ delivered: 51 });
    // Each on arrival and with its outcome, and its place among what is kept for longer with both; the arrival, five for the
    // list of attempts, two leases, an alarm.
    expectRows(written, 209);
  });

  it("for one delivery that fails all six times are 43", async () => {
    const id = await warm({ retrySchedule: "1m 1m 1m 1m 1m" });
    service.answer = answering(500);
    const read = await meter(subscriber(id));
    await accept(id, await newEvents(1));
    for (let attempts = 1; attempts <= 6; attempts++) {
      await deliverAll(id, clock);
      clock.advance(MINUTE + 6 * SECOND);
    }
    const written = await read();
    expect(await tally(id)).toEqual({ delivered: 1, undeliverable: 1 });
    // 2 on arrival; for each attempt an alarm, a lease and the health; 17 for outcomes and their place among what is due;
    // five for the list of attempts; one for what the Registry was told of it.
    expectRows(written, 43);
  });
});

describe("rows written at the Journal", () => {
  it.each([
    // Each event, and the batch.
    [100, 101],
    [1, 2],
  ])("for a batch of %i are %i", async (count, rows) => {
    await register();
    await consume(await newEvents(1));
    const read = await meter(journal(clock.nowMs()));
    await consume(await newEvents(count));
    const written = await read();
    expectRows(written, rows);
  });
});
