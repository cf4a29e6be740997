/** What can start as it arrives: its arrival is its lease, and speaks for it over a restart. */
import { abortAllDurableObjects } from "cloudflare:test";
import { describe, expect, vi } from "vitest";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf,
  newEvents,
  type Owed,
  pause,
  register,
  resume,
  ring,
  subscriber,
  tally,
} from "../rig/worker/engine";
import {
  answering,
  clock,
  gate,
  HOUR,
  holding,
  it,
  MINUTE,
  SECOND,
  service,
} from "../rig/worker/fixture";
import { failStatements, holdDisk, inObject } from "../rig/worker/objects";
import { api } from "../rig/worker/requests";

const never = () => new Promise<Response>(() => {});

type Stored = { arrivals: number; leased: number; runs: number };

/** How many arrivals there are, how many of them are leases, and how often the `run` row was written. */
function stored(id: string): Promise<Stored> {
  return inObject(subscriber(id), ({ storage: { sql } }) => {
    const count = (query: string) => sql.exec<{ n: number | null }>(query).one().n ?? 0;
    const tables = sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")
      .toArray()
      .map(({ name }) => name);
    const arrivals = tables.find((name) => name.startsWith("arrivals_"));
    const state = "SELECT max(json_extract(state, '$.saved')) AS n FROM run";
    return {
      arrivals: count(`SELECT count(*) AS n FROM ${arrivals}`),
      leased: count(`SELECT count(*) AS n FROM ${arrivals} WHERE leased = 1`),
      runs: tables.includes("run") ? count(state) : 0,
    };
  });
}

/** Hands events over as the queue's consumer does. */
async function hand(id: string, deliveries: Owed[]): Promise<void> {
  expect(await subscriber(id).accept({ deliveries, sendNow: true })).toMatchObject({
    status: "accepted",
    added: deliveries.length,
  });
}

/** One after the other, each delivered before the next arrives. */
async function handOneByOne(id: string, count: number): Promise<string[]> {
  const events = await newEvents(count);
  for (const [index, event] of events.entries()) {
    await hand(id, [event]);
    await eventually(() => expect(service.requests).toHaveLength(index + 1));
    await eventually(async () => expect(await tally(id)).toEqual({ delivered: index + 1 }));
  }
  return events.map((event) => event.id);
}

describe("what can start as it arrives", () => {
  it("is leased by its arrival, and writes nothing else before it leaves", async () => {
    const late = holding();
    const { id } = await register();
    await hand(id, await newEvents(3));
    await eventually(() => expect(service.requests).toHaveLength(3));
    expect(await stored(id)).toEqual({ arrivals: 1, leased: 1, runs: 0 });
    late.open();
    await eventually(async () => expect(await tally(id)).toEqual({ delivered: 3 }));
  });

  it("shares the line of the log that says what was delivered, until the alarm behind it rings or the webhook is deleted", async () => {
    const lines: string[] = [];
    vi.spyOn(console, "log").mockImplementation((line) => void lines.push(String(line)));
    const told = () => lines.filter((line) => line.includes('"attempts.succeeded"'));
    const { id } = await register();
    const first = await handOneByOne(id, 3);
    expect(told()).toEqual([]);
    await ring(subscriber(id));
    expect(told().map((line) => JSON.parse(line).eventIds)).toEqual([first]);
    service.requests.length = 0;
    const [event] = await newEvents(1);
    if (event === undefined) throw new Error("no event");
    await hand(id, [event]);
    await eventually(async () => expect(await tally(id)).toEqual({ delivered: 4 }));
    await api("DELETE", `/v1/webhooks/${id}`);
    expect(told().map((line) => JSON.parse(line).eventIds)).toEqual([first, [event.id]]);
  });

  it("leaves when its arrival is on disk, and not before", async () => {
    const disk = gate();
    const { id } = await register();
    const isWaitedFor = await holdDisk(subscriber(id), disk);
    await hand(id, await newEvents(2));
    await eventually(() => expect(isWaitedFor()).toBe(true));
    expect(service.requests).toEqual([]);
    disk.open();
    await eventually(() => expect(service.requests).toHaveLength(2));
  });

  it("is closed as interrupted by a crash, and sent again with the next number", async () => {
    service.answer = never;
    const { id } = await register();
    const [first, ...others] = await newEvents(3);
    if (first === undefined) throw new Error("no event");
    await hand(id, [first]);
    await hand(id, others);
    await eventually(() => expect(service.requests).toHaveLength(3));
    await abortAllDurableObjects();
    for (const event of [first, ...others]) {
      expect(await deliveryOf(id, event.id)).toMatchObject({
        status: "pending",
        attempts: 1,
        lastError: "interrupted",
      });
    }
    expect(await alarmAt(subscriber(id))).toBeLessThanOrEqual(clock.nowMs() + SECOND);
    service.answer = answering(204);
    await deliverAll(id, clock);
    expect(service.requests.slice(3).map(({ attempt }) => attempt)).toEqual([2, 2, 2]);
    expect(await tally(id)).toEqual({ delivered: 3 });
  });

  it("is counted once over a restart, however much of it there was since the last save", async () => {
    const { id } = await register();
    await handOneByOne(id, 40);
    const { leased, runs } = await stored(id);
    expect(leased).toBe(40);
    // With the first hour that begins, and with the 32nd arrival behind that.
    expect(runs).toBe(2);
    for (let restarts = 0; restarts < 2; restarts++) {
      await abortAllDurableObjects();
      const { pending, totals } = await subscriber(id).stats(0);
      expect(pending).toBe(0);
      expect(totals.deliveries).toEqual({ delivered: 40 });
    }
    await hand(id, await newEvents(1));
    await eventually(async () => expect(await tally(id)).toEqual({ delivered: 41 }));
    expect((await subscriber(id).stats(0)).totals.deliveries).toEqual({ delivered: 41 });
  });

  it("is given back by a pause that comes before it has left, and goes when it is resumed", async () => {
    const disk = gate();
    const { id } = await register();
    await holdDisk(subscriber(id), disk);
    const [event] = await newEvents(1);
    if (event === undefined) throw new Error("no event");
    await hand(id, [event]);
    expect((await pause(id)).status).toBe(200);
    disk.open();
    await ring(subscriber(id)).catch(() => false);
    expect(service.requests).toEqual([]);
    expect(await deliveryOf(id, event.id)).toMatchObject({ status: "pending", attempts: 0 });
    expect((await resume(id)).status).toBe(200);
    await deliverAll(id, clock);
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1]);
  });
});

describe("the outcome of one of many that follow each other closely", () => {
  /** A webhook whose clock stands still, with the second of two deliveries answered. @returns its id, and the second's. */
  async function answered(status = 204): Promise<{ id: string; second: string }> {
    const { id } = await register({ retrySchedule: "1h" });
    vi.spyOn(Date, "now").mockReturnValue(clock.nowMs());
    await handOneByOne(id, 1);
    service.answer = answering(status);
    const [event] = await newEvents(1);
    if (event === undefined) throw new Error("no event");
    await hand(id, [event]);
    await eventually(() => expect(service.requests).toHaveLength(2));
    await scheduler.wait(20);
    return { id, second: event.id };
  }

  /** As it is on disk, without a call that would write anything first. */
  function onDisk(
    webhookId: string,
    eventId: string,
  ): Promise<{ status: number; attempts: number }> {
    return inObject(subscriber(webhookId), ({ storage: { sql } }) => {
      const [{ name } = { name: "" }] = sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name GLOB 'deliveries_*'")
        .toArray();
      const query = `SELECT status, attempts FROM ${name} WHERE id = ?`;
      return sql.exec<{ status: number; attempts: number }>(query, eventId).one();
    });
  }

  it("is written with the arrival of the next, before that leaves", async () => {
    const { id, second } = await answered();
    expect(await onDisk(id, second)).toEqual({ status: 0, attempts: 0 });
    const disk = gate();
    const isWaitedFor = await holdDisk(subscriber(id), disk);
    await hand(id, await newEvents(1));
    await eventually(() => expect(isWaitedFor()).toBe(true));
    expect(await onDisk(id, second)).toEqual({ status: 1, attempts: 1 });
    expect(await stored(id)).toMatchObject({ arrivals: 3, leased: 3 });
    expect(service.requests).toHaveLength(2);
    disk.open();
    await eventually(() => expect(service.requests).toHaveLength(3));
  });

  it("is written a tenth of a second later when none follows", async () => {
    const { id, second } = await answered();
    vi.mocked(Date.now).mockReturnValue(Date.now() + 100);
    await eventually(async () => expect(await onDisk(id, second)).toMatchObject({ status: 1 }));
  });

  it("is written at once when the service begins to fail", async () => {
    const { id, second } = await answered(500);
    await eventually(async () => expect(await onDisk(id, second)).toMatchObject({ attempts: 1 }));
  });

  it("keeps nothing else waiting: what is due goes at once", async () => {
    const { id } = await answered();
    await accept(id, await newEvents(1));
    await eventually(() => expect(service.requests).toHaveLength(3));
  });

  it("is written as soon as it is due where the clock steps back meanwhile", async () => {
    const { id, second } = await answered();
    vi.mocked(Date.now).mockReturnValue(Date.now() - HOUR);
    await eventually(async () => expect(await onDisk(id, second)).toMatchObject({ status: 1 }));
  });

  it("is written at once where none has followed for a tenth of a second before it", async () => {
    const { id } = await register();
    vi.spyOn(Date, "now").mockReturnValue(clock.nowMs());
    await handOneByOne(id, 1);
    const late = holding();
    const [event] = await newEvents(1);
    if (event === undefined) throw new Error("no event");
    await hand(id, [event]);
    await eventually(() => expect(service.requests).toHaveLength(2));
    vi.mocked(Date.now).mockReturnValue(Date.now() + 100);
    late.open();
    await eventually(async () => expect(await onDisk(id, event.id)).toMatchObject({ status: 1 }));
  });

  it("is written at once where the run has made its share: the platform refuses", async () => {
    const { id } = await answered();
    service.answer = () => Promise.reject(new Error("Too many subrequests."));
    const [event] = await newEvents(1);
    if (event === undefined) throw new Error("no event");
    await hand(id, [event]);
    await eventually(async () => expect(await onDisk(id, event.id)).toMatchObject({ attempts: 1 }));
  });

  it("is written at once where something else is due within that time", async () => {
    service.answer = answering(500);
    const { id } = await register({ retrySchedule: "1s" });
    vi.spyOn(Date, "now").mockReturnValue(clock.nowMs());
    vi.spyOn(Math, "random").mockReturnValue(0);
    const [first, ...others] = await newEvents(3);
    if (first === undefined) throw new Error("no event");
    await accept(id, [first]);
    await ring(subscriber(id));
    expect(await tally(id)).toEqual({ pending: 1 });
    service.answer = answering(204);
    vi.mocked(Date.now).mockReturnValue(Date.now() + 950);
    for (const [index, event] of others.entries()) {
      await hand(id, [event]);
      await eventually(() => expect(service.requests).toHaveLength(index + 2));
    }
    const last = others[1]?.id ?? "";
    await eventually(async () => expect(await onDisk(id, last)).toMatchObject({ status: 1 }));
    expect(await alarmAt(subscriber(id))).toBe(Date.now() + 50);
  });

  it("does not keep the alarm from what it does behind the deliveries, however long others follow", async () => {
    const { id } = await answered();
    const startedMs = Date.now();
    let isDone = false;
    const alarm = ring(subscriber(id)).then(() => {
      isDone = true;
    });
    let ms = 0;
    for (let count = 2; ms < 20 * SECOND && !isDone; ms += 90) {
      vi.mocked(Date.now).mockReturnValue(startedMs + ms);
      await hand(id, await newEvents(1));
      count += 1;
      await eventually(() => expect(service.requests).toHaveLength(count), { interval: 2 });
      await scheduler.wait(2);
    }
    expect(ms).toBeLessThan(10.5 * SECOND);
    await alarm;
  });

  it("that the disk does not take keeps no arrival, and is written later, without a repeat", async () => {
    const { id, second } = await answered();
    await failStatements(subscriber(id), {
      start: "UPDATE deliveries",
      message: "disk I/O error",
      times: 1,
    });
    await hand(id, await newEvents(1));
    await eventually(() => expect(service.requests).toHaveLength(3));
    expect(await onDisk(id, second)).toEqual({ status: 0, attempts: 0 });
    vi.mocked(Date.now).mockReturnValue(Date.now() + MINUTE);
    await ring(subscriber(id));
    expect(await onDisk(id, second)).toEqual({ status: 1, attempts: 1 });
    expect(await tally(id)).toEqual({ delivered: 3 });
    expect(service.requests).toHaveLength(3);
  });

  it("is closed as interrupted by a crash, and its delivery goes again", async () => {
    const { id, second } = await answered();
    await abortAllDurableObjects();
    expect(await deliveryOf(id, second)).toMatchObject({ attempts: 1, lastError: "interrupted" });
    await deliverAll(id, clock);
    expect(service.ids().filter((each) => each === second)).toHaveLength(2);
    expect(await tally(id)).toEqual({ delivered: 2 });
  });
});

describe("what cannot", () => {
  it.each([
    ["because there is an order", { ordered: true }],
    ["because there is a rate limit", { rateLimit: 5 }],
  ])("%s is leased by the row of the run", async (_, fields) => {
    const { id } = await register(fields);
    await hand(id, await newEvents(1));
    await eventually(() => expect(service.requests).toHaveLength(1));
    expect(await stored(id)).toMatchObject({ leased: 0 });
  });

  it("because the service fails is leased by the row of the run", async () => {
    service.answer = answering(500);
    const { id } = await register({ retrySchedule: "1h" });
    await hand(id, await newEvents(1));
    await eventually(() => expect(service.requests).toHaveLength(1));
    await eventually(async () => expect(await tally(id)).toEqual({ pending: 1 }));
    await hand(id, await newEvents(1));
    await eventually(() => expect(service.requests).toHaveLength(2));
    expect(await stored(id)).toMatchObject({ arrivals: 2, leased: 1 });
  });

  it("because there are more than can start waits for the row of the run, and all of it goes", async () => {
    const late = holding();
    const { id } = await register();
    await hand(id, await newEvents(7));
    await eventually(() => expect(service.requests).toHaveLength(6));
    await hand(id, await newEvents(1));
    expect(await stored(id)).toMatchObject({ arrivals: 2, leased: 0 });
    late.open();
    await eventually(async () => expect(await tally(id)).toEqual({ delivered: 8 }));
  });

  it("because something waits that came before goes behind it", async () => {
    const { id } = await register();
    expect((await pause(id)).status).toBe(200);
    const [before, after] = await newEvents(2);
    if (before === undefined || after === undefined) throw new Error("no events");
    await accept(id, [before]);
    expect((await resume(id)).status).toBe(200);
    await hand(id, [after]);
    await deliverAll(id, clock);
    expect(service.ids()).toEqual([before.id, after.id]);
    expect(await stored(id)).toMatchObject({ leased: 0 });
  });

  it("because its table is one of 0.1.0's is leased by the row of the run", async () => {
    const { id } = await register();
    await handOneByOne(id, 1);
    await inObject(subscriber(id), ({ storage: { sql } }) => {
      const [{ name } = { name: "" }] = sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name GLOB 'arrivals_*'")
        .toArray();
      sql.exec(`ALTER TABLE ${name} DROP COLUMN leased`);
    });
    await abortAllDurableObjects();
    clock.advance(MINUTE);
    await hand(id, await newEvents(1));
    await eventually(async () => expect(await tally(id)).toEqual({ delivered: 2 }));
  });
});
