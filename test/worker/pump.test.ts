import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, vi } from "vitest";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf,
  duesOf,
  newEvents,
  type Owed,
  patch,
  register,
  resume,
  retry,
  ring,
  type ShownDelivery,
  subscriber,
  tally,
} from "../rig/worker/engine";
import {
  answering,
  clock,
  DAY,
  gate,
  HOUR,
  holding,
  it,
  MINUTE,
  SECOND,
  service,
} from "../rig/worker/fixture";
import { failStatements, holdDisk, inObject } from "../rig/worker/objects";
import { api, bytesOf } from "../rig/worker/requests";

/** A webhook that is owed this many events. */
async function owing(
  count: number,
  fields: Record<string, unknown> = {},
): Promise<{ id: string; ids: string[]; events: Owed[] }> {
  const { id } = await register(fields);
  const events = await newEvents(count);
  await accept(id, events);
  return { id, events, ids: events.map((event) => event.id) };
}

const never = () => new Promise<Response>(() => {});

/** The attempts that are on disk as ones that may have left. */
function leased(id: string): Promise<string[]> {
  return inObject(subscriber(id), (state) => {
    const { state: run } = state.storage.sql.exec<{ state: string }>("SELECT state FROM run").one();
    return JSON.parse(run).lease.attempts.map((attempt: { id: string }) => attempt.id);
  });
}

/** What is on disk as delivered, without a call that would write anything first. */
function deliveredOnDisk(id: string): Promise<string[]> {
  return inObject(subscriber(id), ({ storage: { sql } }) =>
    sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name GLOB 'deliveries_*'")
      .toArray()
      .flatMap(({ name }) =>
        sql.exec<{ id: string }>(`SELECT id FROM ${name} WHERE status = 1`).toArray(),
      )
      .map((row) => row.id),
  );
}

/** Rings, and kills every object as soon as this many requests were made. */
async function crashAfter(id: string, requests: number): Promise<void> {
  const running = ring(subscriber(id)).catch(() => false);
  await eventually(() => expect(service.requests.length).toBeGreaterThanOrEqual(requests));
  await abortAllDurableObjects();
  await running;
}

function counted(ids: string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

async function list(id: string): Promise<ShownDelivery[]> {
  const response = await api("GET", `/v1/webhooks/${id}/deliveries?limit=250`);
  return (await response.json<{ data: ShownDelivery[] }>()).data;
}

/** The end of the last attempt, Unix milliseconds. */
async function endOfLast(id: string, eventId: string): Promise<number> {
  const last = (await deliveryOf(id, eventId)).attemptLog.at(-1);
  return Date.parse(last?.startedAt ?? "") + (last?.durationMs ?? 0);
}

describe("attempts at the same time", () => {
  it("go on beside a slow one, without a wait for more answers than can come", async () => {
    const { id, ids } = await owing(20, { concurrency: 2 });
    const late = gate();
    service.answer = async ({ eventId }) => {
      if (eventId === ids[0]) await late.opened;
      return answering(204)();
    };
    // Nothing but an answer rings: no wait of the pump comes to its end, but that for what has just started.
    const { setTimeout: later } = globalThis;
    const timers = vi
      .spyOn(globalThis, "setTimeout")
      .mockImplementation(((ring: () => void, waitMs: number) =>
        waitMs <= 5 ? later(ring, waitMs) : 0) as never);
    clock.freeze();
    const running = ring(subscriber(id));
    await eventually(() => {
      clock.advance(5);
      expect(service.requests).toHaveLength(20);
    });
    timers.mockRestore();
    late.open();
    await running;
  });

  it("are six, and never more, whatever else arrives or is asked for", async () => {
    const late = holding();
    const { id, ids } = await owing(20);
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(6));
    await accept(id, await newEvents(5));
    expect((await retry(id, ids[19])).status).toBe(202);
    await subscriber(id).stats(0);
    expect(service.requests).toHaveLength(6);
    late.open();
    await running;
    await deliverAll(id, clock);
    expect(service.peak).toBe(6);
    expect(service.requests).toHaveLength(25);
    expect(await tally(id)).toEqual({ delivered: 25 });
  });

  it("use the sixth slot for all the rest while five hang", async () => {
    const late = gate();
    let asked = 0;
    service.answer = async () => {
      if (asked++ < 5) await late.opened;
      return answering(204)();
    };
    const { id } = await owing(30);
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(30));
    late.open();
    await running;
    expect(await tally(id)).toEqual({ delivered: 30 });
  });
});

describe("outcomes, where no attempt may start before they are on disk", () => {
  it("wait for those that have just started: one commit does for all", async () => {
    const { id } = await owing(30);
    const late = gate();
    let asked = 0;
    service.answer = async () => {
      if (asked++ >= 7) await late.opened;
      return answering(204)();
    };
    clock.freeze();
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(12));
    await scheduler.wait(50);
    expect(await deliveredOnDisk(id)).toEqual([]);
    late.open();
    await running;
    expect(await tally(id)).toEqual({ delivered: 30 });
  });
});

describe("a lease", () => {
  it("is on disk before the first request is made", async () => {
    const disk = gate();
    const { id, ids } = await owing(3);
    const isWaitedFor = await holdDisk(subscriber(id), disk);
    const running = ring(subscriber(id));
    await eventually(() => expect(isWaitedFor()).toBe(true));
    expect((await leased(id)).sort()).toEqual([...ids].sort());
    expect(service.requests).toEqual([]);
    disk.open();
    await running;
    expect(service.requests).toHaveLength(3);
  });

  it("speaks for every attempt that is in flight", async () => {
    const late = holding();
    const { id } = await owing(8);
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(6));
    expect(await leased(id)).toEqual(expect.arrayContaining(service.ids()));
    late.open();
    await running;
  });
});

describe("a crash while attempts are in flight", () => {
  it("repeats at most twelve deliveries, at once, with the same id and the next number", async () => {
    const answered = 24;
    service.answer = ({ attempt }) =>
      service.requests.length <= answered && attempt === 1 ? answering(204)() : never();
    const { id, ids } = await owing(40);
    await crashAfter(id, answered + 6);
    const hanging = service.ids().slice(answered);
    const delivered = await deliveredOnDisk(id);
    const interrupted = (await list(id)).filter(({ lastError }) => lastError === "interrupted");
    expect(interrupted.length).toBeLessThanOrEqual(12);
    expect(interrupted.map(({ eventId }) => eventId)).toEqual(expect.arrayContaining(hanging));
    for (const delivery of interrupted) {
      expect(delivery).toMatchObject({ status: "pending", attempts: 1 });
      expect(delivery).toMatchObject({ nextAttemptAt: null, waitingFor: "turn" });
    }
    expect(await alarmAt(subscriber(id))).toBeLessThanOrEqual(clock.nowMs() + SECOND);
    const before = service.requests.length;
    service.answer = answering(204);
    await deliverAll(id, clock);
    const again = service.requests.slice(before);
    for (const { eventId, attempt } of again) {
      const wasInterrupted = interrupted.some((delivery) => delivery.eventId === eventId);
      expect(attempt).toBe(wasInterrupted ? 2 : 1);
      expect(delivered).not.toContain(eventId);
    }
    const repeated = [...counted(service.ids())].filter(([, times]) => times > 1);
    expect(repeated.length).toBeLessThanOrEqual(12);
    expect(repeated.every(([, times]) => times === 2)).toBe(true);
    expect(new Set(service.ids())).toEqual(new Set(ids));
    expect(await tally(id)).toEqual({ delivered: 40 });
  });

  it("repeats one delivery at most when the webhook is ordered, and keeps the order", async () => {
    service.answer = () => (service.requests.length <= 3 ? answering(204)() : never());
    const { id, ids } = await owing(8, { ordered: true });
    await crashAfter(id, 4);
    service.answer = answering(204);
    await deliverAll(id, clock);
    expect(service.ids()).toEqual([...ids.slice(0, 4), ...ids.slice(3)]);
  });

  it("does not count three times in a row, and does the fourth", async () => {
    service.answer = never;
    const { id, ids } = await owing(1, { retrySchedule: "1h" });
    const [eventId = ""] = ids;
    for (let crashes = 1; crashes <= 3; crashes++) {
      await crashAfter(id, crashes);
      const delivery = await deliveryOf(id, eventId);
      expect(delivery).toMatchObject({ status: "pending", attempts: crashes });
      expect(delivery).toMatchObject({ nextAttemptAt: null, waitingFor: "turn" });
    }
    await crashAfter(id, 4);
    const counts = await deliveryOf(id, eventId);
    expect(counts).toMatchObject({ status: "pending", attempts: 4, lastError: "interrupted" });
    expect(Date.parse(counts.nextAttemptAt ?? "")).toBeGreaterThanOrEqual(
      (await endOfLast(id, eventId)) + HOUR,
    );
    service.answer = answering(500);
    clock.advance(HOUR + 6 * MINUTE);
    await deliverAll(id, clock);
    expect(await deliveryOf(id, eventId)).toMatchObject({ status: "undeliverable", attempts: 5 });
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
  });

  it("starts to count interruptions anew after an answer", async () => {
    service.answer = never;
    const { id, ids } = await owing(1, { retrySchedule: "1h 1h 1h" });
    for (let crashes = 1; crashes <= 3; crashes++) await crashAfter(id, crashes);
    service.answer = answering(500);
    await deliverAll(id, clock);
    clock.advance(HOUR + 6 * MINUTE);
    service.answer = never;
    await crashAfter(id, 5);
    const delivery = await deliveryOf(id, ids[0] ?? "");
    expect(delivery).toMatchObject({ attempts: 5, lastError: "interrupted" });
    expect(delivery).toMatchObject({ nextAttemptAt: null, waitingFor: "turn" });
  });
});

describe("a recorded success", () => {
  it("is never sent again, after a crash, an eviction, an alarm too many or the same event", async () => {
    const { id, events } = await owing(5);
    await deliverAll(id, clock);
    await abortAllDurableObjects();
    expect(await accept(id, events)).toBe(0);
    await evictDurableObject(subscriber(id));
    clock.advance(DAY);
    for (let times = 0; times < 2; times++) {
      await runInDurableObject(subscriber(id), (instance) => instance.alarm());
    }
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(5);
  });
});

describe("probing", () => {
  /** The webhook's first run: at least ten failures in a row, and what was in flight with them. */
  async function failing(count: number): Promise<{ id: string; ids: string[] }> {
    service.answer = answering(500);
    const { id, ids } = await owing(count);
    await ring(subscriber(id));
    expect(service.requests.length).toBeGreaterThanOrEqual(10);
    expect(service.requests.length).toBeLessThanOrEqual(15);
    return { id, ids };
  }

  /** What is due first: by time, then by arrival. */
  async function dueFirst(id: string): Promise<string> {
    const dueAtMs = await duesOf(id);
    const pending = (await list(id)).filter(({ status }) => status === "pending").reverse();
    const due = ({ eventId }: ShownDelivery) => dueAtMs.get(eventId) ?? 0;
    return pending.sort((a, b) => due(a) - due(b))[0]?.eventId ?? "";
  }

  it("asks once in the schedule's first wait, for the delivery due first", async () => {
    clock.freeze();
    const { id } = await failing(20);
    for (let probes = 0; probes < 12; probes++) {
      const last = service.requests.at(-1)?.eventId ?? "";
      const endedAtMs = await endOfLast(id, last);
      const ringsAtMs = (await alarmAt(subscriber(id))) ?? 0;
      expect(ringsAtMs).toBeGreaterThanOrEqual(endedAtMs + MINUTE);
      expect(ringsAtMs).toBeLessThanOrEqual(endedAtMs + MINUTE + SECOND);
      const before = service.requests.length;
      clock.setTo(ringsAtMs - SECOND);
      await runInDurableObject(subscriber(id), (instance) => instance.alarm());
      expect(service.requests).toHaveLength(before);
      clock.setTo(ringsAtMs);
      const expected = await dueFirst(id);
      await ring(subscriber(id));
      expect(service.requests).toHaveLength(before + 1);
      expect(service.requests.at(-1)?.eventId).toBe(expected);
    }
  });

  it("ends with the first success, and everything that is due goes out six at a time", async () => {
    const { id } = await failing(40);
    const before = service.requests.length;
    service.answer = answering(204);
    clock.advance(MINUTE);
    const first = await dueFirst(id);
    service.peak = 0;
    await ring(subscriber(id));
    expect(service.requests[before]?.eventId).toBe(first);
    clock.advance(10 * SECOND);
    await deliverAll(id, clock);
    expect(service.peak).toBe(6);
    expect(await tally(id)).toEqual({ delivered: 40 });
    expect(service.requests).toHaveLength(before + 40);
  });

  it("goes on over a crash", async () => {
    const { id } = await failing(20);
    await abortAllDurableObjects();
    const before = service.requests.length;
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(before);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(before + 1);
  });

  it("does not hold what a retry asks for", async () => {
    const { id, ids } = await failing(20);
    const before = service.requests.length;
    expect((await retry(id, ids[19])).status).toBe(202);
    await deliverAll(id, clock);
    expect(service.ids().slice(before)).toEqual([ids[19]]);
  });

  it("begins with the tenth failure in a row, and not before", async () => {
    const { id } = await register({ retrySchedule: "1h" });
    const fail = async (times: number) => {
      service.answer = answering(500);
      for (let failures = 0; failures < times; failures++) {
        const before = service.requests.length;
        await accept(id, await newEvents(1));
        await deliverAll(id, clock);
        expect(service.requests).toHaveLength(before + 1);
      }
    };
    await fail(9);
    service.answer = answering(204);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    await fail(10);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(20);
  });
});

describe("Retry-After", () => {
  it.each([429, 503])("of a %i postpones the whole webhook, and no longer", async (status) => {
    clock.freeze();
    service.answer = answering(status, { headers: { "retry-after": "120" } });
    const { id, ids } = await owing(1);
    await ring(subscriber(id));
    const endedAtMs = await endOfLast(id, ids[0] ?? "");
    const untilMs = endedAtMs + 120 * SECOND;
    const later = await newEvents(3);
    await accept(id, later);
    for (const { nextAttemptAt } of await list(id)) {
      expect(Date.parse(nextAttemptAt ?? "")).toBe(untilMs);
    }
    expect(await alarmAt(subscriber(id))).toBe(untilMs);
    clock.setTo(untilMs - SECOND);
    await runInDurableObject(subscriber(id), (instance) => instance.alarm());
    expect(service.requests).toHaveLength(1);
    service.answer = answering(204);
    clock.setTo(untilMs);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 4 });
  });

  it("stands over a success that was in flight, and over a crash", async () => {
    const late = gate();
    service.answer = async () => {
      if (service.requests.length === 1) {
        return answering(503, { headers: { "retry-after": "600" } })();
      }
      await late.opened;
      return answering(204)();
    };
    const { id } = await owing(2);
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(2));
    late.open();
    await running;
    await accept(id, await newEvents(1));
    await abortAllDurableObjects();
    clock.advance(9 * MINUTE);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(2);
    clock.advance(MINUTE + SECOND);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 3 });
  });

  it("is overridden by a manual retry, for that delivery only while it fails", async () => {
    service.answer = answering(503, { headers: { "retry-after": "3600" } });
    const { id } = await owing(1);
    await ring(subscriber(id));
    const [asked, waiting] = (await newEvents(2)) as [Owed, Owed];
    await accept(id, [asked, waiting]);
    service.answer = answering(500);
    expect((await retry(id, asked.id)).status).toBe(202);
    await deliverAll(id, clock);
    expect(service.ids().slice(1)).toEqual([asked.id]);
    service.answer = answering(204);
    expect((await retry(id, asked.id)).status).toBe(202);
    await deliverAll(id, clock);
    // It succeeded: the service takes deliveries again, and the pause is over for what has not failed itself.
    expect(service.ids().slice(2)).toEqual([asked.id, waiting.id]);
    expect(await tally(id)).toEqual({ delivered: 2, pending: 1 });
    clock.advance(HOUR + SECOND);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 3 });
  });

  it.each([
    [500, "3600"],
    [404, "3600"],
    [503, "soon"],
    [503, "-5"],
    [429, "Sun, 06 Nov 1994 08:49:37 GMT"],
  ])("of a %i that says %s changes nothing", async (status, header) => {
    service.answer = answering(status, { headers: { "retry-after": header } });
    const { id } = await owing(1);
    await ring(subscriber(id));
    service.answer = answering(204);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(2);
    clock.advance(MINUTE + 6 * SECOND);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 2 });
  });

  it("cannot postpone by more than 8 hours", async () => {
    service.answer = answering(429, { headers: { "retry-after": "864000" } });
    const { id } = await owing(1);
    await ring(subscriber(id));
    service.answer = answering(204);
    clock.advance(8 * HOUR);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 1 });
  });
});

describe("a request that the platform refuses to make", () => {
  it.each([
    "Too many subrequests by single Worker invocation.",
    "Too many Worker invocations by single request.",
    "Subrequest depth limit exceeded. This request recursed through Workers too many times.",
  ])("is interrupted; the run yields and goes on, and nothing counts: %s", async (refusal) => {
    let left = 10;
    service.answer = () => {
      if (left-- <= 0) throw new Error(refusal);
      return answering(204)();
    };
    const { id } = await owing(30, { retrySchedule: "1h" });
    let runs = 0;
    for (; runs < 10 && (await alarmAt(subscriber(id))) !== null; runs++) {
      left = 10;
      const before = service.requests.length;
      await ring(subscriber(id));
      const [fine, refused] = [10, service.requests.length - before - 10];
      if (runs < 3) expect(fine + refused).toBeLessThanOrEqual(16);
      const ringsAtMs = await alarmAt(subscriber(id));
      if (ringsAtMs !== null) {
        if ((await tally(id)).pending === undefined) break;
        expect(ringsAtMs).toBeLessThanOrEqual(clock.nowMs() + SECOND);
      }
    }
    expect(runs).toBeGreaterThanOrEqual(2);
    expect(await tally(id)).toEqual({ delivered: 30 });
    const interrupted = (
      await Promise.all((await list(id)).map((each) => deliveryOf(id, each.eventId)))
    )
      .flatMap(({ attemptLog }) => attemptLog)
      .filter(({ error }) => error !== null);
    expect(interrupted.length).toBeGreaterThan(0);
    expect(new Set(interrupted.map(({ error }) => error))).toEqual(new Set(["interrupted"]));
  });
});

describe("one run of the alarm", () => {
  it("makes a thousand attempts, then goes on in a new one", async () => {
    const { id } = await register();
    for (let batches = 0; batches < 11; batches++) await accept(id, await newEvents(95));
    await ring(subscriber(id));
    expect(service.requests).toHaveLength(1_000);
    expect(await alarmAt(subscriber(id))).toBeLessThanOrEqual(clock.nowMs() + SECOND);
    await ring(subscriber(id));
    expect(service.requests).toHaveLength(1_045);
    expect(new Set(service.ids()).size).toBe(1_045);
  });

  it("starts nothing more after a minute, and goes on in a new one", async () => {
    service.answer = () => {
      clock.advance(61 * SECOND);
      return answering(204)();
    };
    const { id } = await owing(20);
    await ring(subscriber(id));
    expect(service.requests.length).toBeLessThanOrEqual(6);
    expect(await alarmAt(subscriber(id))).toBeLessThanOrEqual(clock.nowMs() + SECOND);
    service.answer = answering(204);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 20 });
    expect(service.requests).toHaveLength(20);
  });
});

describe("an alarm", () => {
  it("that comes days late sends everything once", async () => {
    const { id } = await owing(10);
    clock.advance(3 * DAY);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(10);
    expect(await tally(id)).toEqual({ delivered: 10 });
  });

  it("that comes twice at the same time sends everything once", async () => {
    const late = holding();
    const { id } = await owing(10);
    const first = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(6));
    const second = runInDurableObject(subscriber(id), (instance) => instance.alarm());
    await list(id);
    expect(service.requests).toHaveLength(6);
    late.open();
    await Promise.all([first, second]);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(10);
  });

  it("stands ten seconds ahead while what was handed over leaves at once, and joins the run", async () => {
    const late = holding();
    const { id } = await register();
    await subscriber(id).accept({ deliveries: await newEvents(3), sendNow: true });
    await eventually(() => expect(service.requests).toHaveLength(3));
    const alarmAtMs = await alarmAt(subscriber(id));
    expect(alarmAtMs).not.toBeNull();
    expect(alarmAtMs).toBeLessThanOrEqual(clock.nowMs() + 10_000);
    let rung = false;
    const alarm = ring(subscriber(id)).then(() => {
      rung = true;
    });
    await list(id);
    expect(rung).toBe(false);
    late.open();
    await alarm;
    expect(service.requests).toHaveLength(3);
    expect(await tally(id)).toEqual({ delivered: 3 });
  });

  it("that comes before anything is due sends nothing, and sets itself again", async () => {
    service.answer = answering(500);
    const { id } = await owing(1);
    await ring(subscriber(id));
    const dueAtMs = await alarmAt(subscriber(id));
    await runInDurableObject(subscriber(id), (instance) => instance.alarm());
    expect(service.requests).toHaveLength(1);
    expect(await alarmAt(subscriber(id))).toBe(dueAtMs);
  });

  it("is set whenever something is pending", async () => {
    service.answer = () => answering(service.requests.length % 2 === 0 ? 204 : 500)();
    const { id } = await owing(7);
    for (let runs = 0; runs < 20; runs++) {
      const pending = [...(await duesOf(id)).values()];
      if (pending.length === 0) break;
      const ringsAtMs = await alarmAt(subscriber(id));
      expect(ringsAtMs).not.toBeNull();
      expect(ringsAtMs ?? 0).toBeLessThanOrEqual(
        Math.max(Math.min(...pending), clock.nowMs()) + SECOND,
      );
      clock.setTo(Math.max(ringsAtMs ?? 0, clock.nowMs()));
      await ring(subscriber(id));
    }
    expect(await tally(id)).toEqual({ delivered: 7 });
  });
});

describe("an error of the storage", () => {
  it.each([
    ["writing a lease", "INSERT OR REPLACE INTO run", 1],
    ["writing an outcome", "UPDATE deliveries_", 1],
    ["reading what is due", "SELECT d.id, event", 1],
  ])("while %s is followed by a backoff, and everything goes out once", async (_, start, times) => {
    const { id } = await owing(8);
    // A new life reads what the one before knew.
    await evictDurableObject(subscriber(id));
    await failStatements(subscriber(id), { start, message: "disk I/O error", times });
    await ring(subscriber(id));
    const ringsAtMs = await alarmAt(subscriber(id));
    expect(ringsAtMs).not.toBeNull();
    expect(ringsAtMs ?? 0).toBeLessThanOrEqual(clock.nowMs() + MINUTE);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 8 });
    expect(service.requests).toHaveLength(8);
  });

  it("that stays backs off from one second to a minute, and never gives up", async () => {
    const { id } = await owing(1);
    await failStatements(subscriber(id), {
      start: "INSERT OR REPLACE INTO run",
      message: "disk I/O error",
      times: 9,
    });
    const waits: number[] = [];
    for (let runs = 0; runs < 9; runs++) {
      const fromMs = clock.nowMs();
      await ring(subscriber(id));
      const ringsAtMs = (await alarmAt(subscriber(id))) ?? 0;
      waits.push(Math.floor((ringsAtMs - fromMs) / SECOND));
      clock.setTo(ringsAtMs);
    }
    expect(waits.slice(0, 3)).toEqual([1, 2, 4]);
    expect(waits.slice(-2)).toEqual([60, 60]);
    expect(service.requests).toEqual([]);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 1 });
  });
});

describe("a body of 120,000 bytes", () => {
  it("arrives byte for byte, many at a time", async () => {
    const { id } = await register();
    const events = (await newEvents(48)).map((event, index) => ({
      ...event,
      body: bytesOf(String.fromCharCode(65 + (index % 26)).repeat(120_000)),
    }));
    for (let index = 0; index < events.length; index += 8) {
      await accept(id, events.slice(index, index + 8));
    }
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(48);
    for (const { eventId, body } of service.requests) {
      const sent = events.find((event) => event.id === eventId);
      expect(body.length).toBe(120_000);
      expect(body.every((byte, index) => byte === sent?.body[index])).toBe(true);
    }
  });
});

describe("an ordered webhook", () => {
  it("sends one at a time in the order of arrival, and a failing one holds those behind it", async () => {
    let fails = 2;
    const { id, ids } = await owing(6, { ordered: true, retrySchedule: "1m 1m 1m" });
    service.answer = ({ eventId }) => answering(eventId === ids[2] && fails-- > 0 ? 500 : 204)();
    await deliverAll(id, clock);
    expect(service.ids()).toEqual(ids.slice(0, 3));
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(3);
    clock.advance(MINUTE + 6 * SECOND);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(4);
    clock.advance(MINUTE + 6 * SECOND);
    await deliverAll(id, clock);
    expect(service.ids().slice(0, 8)).toEqual([
      ...ids.slice(0, 3),
      ids[2],
      ids[2],
      ...ids.slice(3),
    ]);
    expect(service.peak).toBe(1);
    expect(await tally(id)).toEqual({ delivered: 7 });
  });

  it("goes on behind one that is cancelled, or undeliverable", async () => {
    const { id, ids } = await owing(3, { ordered: true, retrySchedule: "1m" });
    service.answer = ({ eventId }) => answering(eventId === ids[2] ? 204 : 500)();
    await deliverAll(id, clock);
    expect((await api("POST", `/v1/webhooks/${id}/deliveries/${ids[0]}/cancel`)).status).toBe(200);
    await deliverAll(id, clock);
    clock.advance(MINUTE + 6 * SECOND);
    await deliverAll(id, clock);
    expect(service.ids()).toEqual([ids[0], ids[1], ids[1], ids[2]]);
    expect(await tally(id)).toEqual({ cancelled: 1, undeliverable: 1, delivered: 1 });
  });
});

describe("a clock that stepped back between arrivals", () => {
  /** One that came before, two that came after by another clock. */
  async function owingThree(
    fields: Record<string, unknown>,
  ): Promise<{ id: string; ids: string[] }> {
    const { id, ids } = await owing(1, fields);
    clock.advance(-2 * SECOND);
    const events = await newEvents(2);
    await accept(id, events);
    clock.advance(2 * SECOND);
    return { id, ids: [...ids, ...events.map((event) => event.id)] };
  }

  it("changes nothing about the order of an ordered webhook", async () => {
    const { id, ids } = await owingThree({ ordered: true });
    await deliverAll(id, clock);
    expect(service.ids()).toEqual(ids);
  });

  it.each([false, true])("keeps nothing waiting that came before: ordered %s", async (ordered) => {
    const { id } = await register({ ordered, status: "paused" });
    await accept(id, await newEvents(1));
    clock.advance(-HOUR / 2);
    await resume(id);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 1 });
  });

  it("sends no delivery a second time while it is in flight", async () => {
    const { id, ids } = await owingThree({ concurrency: 1 });
    const late = holding();
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(1));
    // What was planned behind it is given back, and planned anew.
    expect((await patch(id, { concurrency: 3 })).status).toBe(200);
    await eventually(() => expect(service.requests).toHaveLength(3));
    late.open();
    await running;
    await deliverAll(id, clock);
    expect(service.ids()).toEqual(ids);
  });
});

describe("a rate limit", () => {
  it("below one a second starts one for each interval, by alarm", async () => {
    clock.freeze();
    const { id } = await owing(4, { rateLimit: 0.1 });
    for (let sent = 1; sent <= 4; sent++) {
      await ring(subscriber(id));
      expect(service.requests).toHaveLength(sent);
      if (sent === 4) break;
      const ringsAtMs = (await alarmAt(subscriber(id))) ?? 0;
      const startedAtMs = Date.parse(
        (await deliveryOf(id, service.ids().at(-1) ?? "")).attemptLog[0]?.startedAt ?? "",
      );
      expect(ringsAtMs).toBeGreaterThan(clock.nowMs() + 8 * SECOND);
      expect(ringsAtMs).toBeLessThanOrEqual(startedAtMs + 10 * SECOND);
      clock.setTo(ringsAtMs - 5 * SECOND);
      await runInDurableObject(subscriber(id), (instance) => instance.alarm());
      expect(service.requests).toHaveLength(sent);
      clock.setTo(ringsAtMs);
    }
  });

  it("makes up for no idle time with a burst", async () => {
    const { id } = await owing(1, { rateLimit: 0.1 });
    await ring(subscriber(id));
    clock.advance(DAY);
    await accept(id, await newEvents(3));
    await ring(subscriber(id));
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(2);
    await abortAllDurableObjects();
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(2);
  });

  it("above one a second spaces the starts of one run", async () => {
    const { id } = await owing(5, { rateLimit: 4 });
    await deliverAll(id, clock);
    const starts = service.requests.map(({ atMs }) => atMs);
    expect(starts).toHaveLength(5);
    // Signing takes a moment between the start that is spaced and the request that is seen.
    expect((starts[4] ?? 0) - (starts[0] ?? 0)).toBeGreaterThanOrEqual(4 * 250 - 100);
  });

  it("counts for retries and for an ordered webhook alike", async () => {
    service.answer = answering(500);
    const { id } = await owing(3, { rateLimit: 0.1, ordered: true, retrySchedule: "1s 1s" });
    await ring(subscriber(id));
    clock.advance(2 * SECOND);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(1);
    clock.advance(8 * SECOND);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(2);
  });
});

describe("the schedule", () => {
  const WAITS = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR];

  it.each([
    ["without jitter", 0, 1],
    ["with the most jitter", 0.999_999, 1.1],
  ])("is kept to the second, %s: six attempts, then undeliverable", async (_, random, factor) => {
    clock.freeze();
    vi.spyOn(Math, "random").mockReturnValue(random);
    service.answer = answering(500);
    const { id, ids } = await owing(1);
    const [eventId = ""] = ids;
    await ring(subscriber(id));
    for (const [index, wait] of WAITS.entries()) {
      const delivery = await deliveryOf(id, eventId);
      expect(delivery).toMatchObject({
        status: "pending",
        attempts: index + 1,
        lastStatusCode: 500,
      });
      const dueAtMs = Date.parse(delivery.nextAttemptAt ?? "");
      const waitedMs = dueAtMs - (await endOfLast(id, eventId));
      expect(Math.abs(waitedMs - wait * factor)).toBeLessThan(SECOND);
      expect(waitedMs).toBeGreaterThanOrEqual(wait);
      expect(await alarmAt(subscriber(id))).toBe(dueAtMs);
      clock.setTo(dueAtMs - SECOND);
      await runInDurableObject(subscriber(id), (instance) => instance.alarm());
      expect(service.requests).toHaveLength(index + 1);
      clock.setTo(dueAtMs);
      await ring(subscriber(id));
      expect(service.requests).toHaveLength(index + 2);
    }
    expect(await deliveryOf(id, eventId)).toMatchObject({
      status: "undeliverable",
      attempts: 6,
      nextAttemptAt: null,
      lastError: "status",
    });
    clock.advance(DAY);
    await deliverAll(id, clock);
    expect(service.requests.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("of the webhook replaces the relay's own", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    service.answer = answering(500);
    const { id, ids } = await owing(1, { retrySchedule: "7s 11m" });
    await ring(subscriber(id));
    for (const wait of [7 * SECOND, 11 * MINUTE]) {
      const { nextAttemptAt } = await deliveryOf(id, ids[0] ?? "");
      expect(Date.parse(nextAttemptAt ?? "")).toBe((await endOfLast(id, ids[0] ?? "")) + wait);
      clock.advance(wait);
      await deliverAll(id, clock);
    }
    expect(await tally(id)).toEqual({ undeliverable: 1 });
  });
});
