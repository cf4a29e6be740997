/** relay_events_total and relay_duplicates_total: what the Journals counted, and the Registry keeps when they go. */
import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import type { EventTotals } from "../../src/domain/event-totals";
import { journalDayMs, journalName } from "../../src/domain/placement";
import {
  alarmAt,
  eventOf,
  journal,
  newEvent,
  newEvents,
  register,
  registry,
  ring,
} from "../rig/worker/engine";
import { clock, DAY, HOUR, it, MINUTE } from "../rig/worker/fixture";
import { answerLost, diverted, inObject, withBindings } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { api, bytesOf } from "../rig/worker/requests";

type Samples = Record<string, number>;

/** By name of the event; and `duplicates`. */
async function counted(): Promise<Samples> {
  const response = await api("GET", "/v1/metrics");
  const lines = new TextDecoder().decode(await response.arrayBuffer()).split("\n");
  return Object.fromEntries(
    lines.flatMap((line) => {
      const [, name, count] =
        /^relay_(?:events_total\{event="(.*)"\}|duplicates_total) (\d+)$/.exec(line) ?? [];
      return count === undefined ? [] : [[name ?? "duplicates", Number(count)]];
    }),
  );
}

const NONE: Samples = {
  "campaign.started": 0,
  "message.sent": 0,
  "message.bounced": 0,
  "reply.received": 0,
  duplicates: 0,
};

const named = (event: string, n: number) => eventOf(event, { n });

describe("the counters of events", () => {
  it("begin at nothing, and count by name: what was neither documented nor asked for is other", async () => {
    expect(await counted()).toEqual(NONE);
    await register({ events: ["message.opened"] });
    await consume([
      ...(await newEvents(3)),
      await named("message.opened", 1),
      await named("x.y", 1),
    ]);
    const expected = { ...NONE, "message.sent": 3, "message.opened": 1, other: 1 };
    expect(await counted()).toEqual(expected);
    await evictDurableObject(journal(clock.nowMs()));
    expect(await counted()).toEqual(expected);
    // What is asked for later begins then: other never falls.
    await register({ events: ["x.y"] });
    await consume([await named("x.y", 2)]);
    expect(await counted()).toEqual({ ...expected, "x.y": 1 });
  });

  it("count an event by whatever name it is asked for", async () => {
    const names = ["constructor", "toString", "hasOwnProperty", "__proto__"];
    await register({ events: names });
    for (const n of [1, 2]) {
      await consume(await Promise.all(names.map((name) => named(name, n))));
    }
    const expected = { ...NONE, ...Object.fromEntries(names.map((n) => [n, 2])) };
    expect(await counted()).toEqual(expected);
    await evictDurableObject(journal(clock.nowMs()));
    expect(await counted()).toEqual(expected);
    const day = clock.nowMs();
    clock.advance(DAY + HOUR);
    await ring(journal(day));
    clock.advance(3 * DAY);
    expect(await counted()).toEqual(expected);
  });

  it("count copies that reach a Journal, and not what the queue hands over once more", async () => {
    const events = await newEvents(2);
    await consume(events);
    await consume(events);
    await consume([...events, ...(await newEvents(1))]);
    await consume(events, { attempts: 3 });
    const expected = { ...NONE, "message.sent": 3, duplicates: 4 };
    expect(await counted()).toEqual(expected);
    await evictDurableObject(journal(clock.nowMs()));
    expect(await counted()).toEqual(expected);
  });

  it("count no duplicates when a deploy restarts a Journal before it has answered", async () => {
    const atMs = clock.nowMs();
    const lost = answerLost(env.JOURNAL, journalName(atMs), "record");
    const events = await newEvents(3);
    expect((await consume(events, { atMs, env: { ...env, JOURNAL: lost } })).acked).toHaveLength(3);
    expect(await counted()).toEqual({ ...NONE, "message.sent": 3 });
    await consume(events, { atMs });
    expect(await counted()).toEqual({ ...NONE, "message.sent": 3, duplicates: 3 });
  });

  it("do not count the relay's own events, nor do stats; lastEventAt is Leadterra's", async () => {
    await consume(await newEvents(2));
    const { lastEventAt } = await (await api("GET", "/v1/stats")).json<{ lastEventAt: string }>();
    clock.advance(MINUTE);
    const own = bytesOf({ event: "relay.webhook.failing", timestamp: "", data: { id: "wh_x" } });
    await consume([own]);
    await consume([own, (await newEvents(1))[0] as { body: Uint8Array }], { atMs: clock.nowMs() });
    await consume([own]);
    const stats = await (await api("GET", "/v1/stats")).json<{
      lastEventAt: string;
      events: number;
      hours: { events: number }[];
    }>();
    expect(stats.events).toBe(3);
    expect(stats.hours.reduce((sum, { events }) => sum + events, 0)).toBe(3);
    expect(Date.parse(stats.lastEventAt)).toBeGreaterThan(Date.parse(lastEventAt));
    clock.advance(MINUTE);
    await consume([bytesOf({ event: "relay.webhook.failing", timestamp: "", data: { n: 2 } })]);
    expect(
      (await (await api("GET", "/v1/stats")).json<{ lastEventAt: string }>()).lastEventAt,
    ).toBe(stats.lastEventAt);
    expect(await counted()).toEqual({ ...NONE, "message.sent": 3 });
  });

  it("never fall: not over midnights, not when a day is late, not when it goes", async () => {
    let before = await counted();
    const expectMore = async (events: number) => {
      const now = await counted();
      for (const [name, count] of Object.entries(before)) {
        expect(now[name], name).toBeGreaterThanOrEqual(count);
      }
      expect((now["message.sent"] ?? 0) - (before["message.sent"] ?? 0)).toBe(events);
      before = now;
    };
    const firstDay = clock.nowMs();
    await consume(await newEvents(5));
    await expectMore(5);
    const ringAt = async (dayMs: number) => {
      const due = await alarmAt(journal(dayMs));
      if (due !== null && due <= clock.nowMs()) await ring(journal(dayMs));
    };
    for (let days = 0; days < 35; days++) {
      clock.advance(DAY);
      for (let ago = 0; ago <= days; ago++) await ringAt(clock.nowMs() - ago * DAY);
      await ringAt(firstDay);
      await expectMore(0);
      if (days % 10 === 3) {
        await consume(await newEvents(2));
        await expectMore(2);
        await evictDurableObject(registry());
      }
      if (days === 5) {
        // The queue has kept it for days.
        await consume(await newEvents(1), { atMs: firstDay });
        clock.advance(2 * MINUTE);
        await ringAt(firstDay);
        await expectMore(1);
      }
    }
    const left = await inObject(journal(firstDay), ({ storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'events'").toArray(),
    );
    expect(left).toEqual([]);
  }, 120_000);

  describe("of a day that is over", () => {
    /** Whatever the hour: the Journal of that day is yesterday's then. */
    const untilItIsOver = (dayMs: number) =>
      clock.setTo(journalDayMs(journalName(dayMs)) + DAY + HOUR);
    const ringIfDue = async (stub: ReturnType<typeof journal>) => {
      const dueAtMs = await alarmAt(stub);
      if (dueAtMs !== null && dueAtMs <= clock.nowMs()) await ring(stub);
    };

    it("stay, of what comes while it is handed over, and after that", async () => {
      const dayMs = clock.nowMs();
      const stub = journal(dayMs);
      const late = async (count: number) => consume(await newEvents(count), { atMs: dayMs });
      await late(3);
      untilItIsOver(dayMs);
      await withBindings(stub, ({ REGISTRY }) => ({
        REGISTRY: diverted(REGISTRY, {
          eventsCounted: async (day: string, totals: EventTotals) => {
            await registry().eventsCounted(day, totals);
            await late(2);
          },
        }),
      }));
      await ring(stub);
      await withBindings(stub, () => ({ REGISTRY: env.REGISTRY }));
      await late(4);
      expect(await counted()).toEqual({ ...NONE, "message.sent": 9 });
      clock.advance(2 * MINUTE);
      await ringIfDue(stub);
      clock.advance(3 * DAY);
      expect(await counted()).toEqual({ ...NONE, "message.sent": 9 });
    });

    it("stay, where its Journal died before it had an alarm", async () => {
      const dayMs = clock.nowMs();
      const stub = journal(dayMs);
      const events = await newEvents(3);
      await consume(events, { atMs: dayMs });
      await inObject(stub, ({ storage }) => storage.deleteAlarm());
      await evictDurableObject(stub);
      await consume(events, { atMs: dayMs, attempts: 2 });
      untilItIsOver(dayMs);
      await ringIfDue(stub);
      clock.advance(3 * DAY);
      expect(await counted()).toEqual({ ...NONE, "message.sent": 3 });
    });
  });

  it("go with the time of the last event, which is known when its day is gone", async () => {
    const dayMs = clock.nowMs();
    await consume(await newEvents(1));
    const last = async () =>
      (await (await api("GET", "/v1/stats")).json<{ lastEventAt: string | null }>()).lastEventAt;
    const before = await last();
    expect(before).not.toBeNull();
    clock.advance(40 * DAY);
    await ring(journal(dayMs));
    expect(await inObject(journal(dayMs), ({ storage }) => storage.getAlarm())).toBeNull();
    expect(await last()).toBe(before);
  });

  it("keep a row for each of 400 days, and the sum of those before", async () => {
    const day = (n: number) => new Date(Date.UTC(2026, 0, 1) + n * DAY).toISOString().slice(0, 10);
    const totals = { events: { "message.sent": 1 }, duplicates: 1, lastAtMs: 1 };
    for (let n = 0; n < 410; n++) await registry().eventsCounted(day(n), totals);
    const { others } = await registry().eventTotals([]);
    expect(others).toMatchObject({ events: { "message.sent": 410 }, duplicates: 410 });
    const rows = await inObject(registry(), ({ storage }) =>
      storage.sql.exec("SELECT count(*) AS n FROM facts").one(),
    );
    expect(rows).toEqual({ n: 401 });
  });

  it("go on from what a day of 0.1.0 has recorded", async () => {
    const stub = journal(clock.nowMs());
    await consume(await newEvents(4));
    await inObject(stub, ({ storage: { sql } }) => {
      sql.exec("ALTER TABLE batches DROP COLUMN totals");
      sql.exec("ALTER TABLE batches DROP COLUMN after");
      sql.exec("ALTER TABLE events DROP COLUMN key");
      sql.exec("DROP TABLE version");
    });
    await evictDurableObject(stub);
    const events = async () =>
      (await (await api("GET", "/v1/stats")).json<{ events: number; lastEventAt: string }>()) ?? {};
    expect(await events()).toMatchObject({ events: 4, lastEventAt: expect.any(String) });
    expect(await counted()).toEqual(NONE);
    clock.advance(HOUR / 2);
    await consume(await newEvents(2));
    expect(await counted()).toEqual({ ...NONE, "message.sent": 2 });
    expect((await events()).events).toBe(6);
  });
});

describe("GET /v1/events?key=", () => {
  const found = async (key: string) => {
    const response = await api("GET", `/v1/events?key=${key}`);
    return (await response.json<{ data: { id: string }[]; next: string | null }>()).data.map(
      ({ id }) => id,
    );
  };

  it("finds any event that has Leadterra's own id, also a bounce of no known type", async () => {
    const sent = await eventOf("message.sent", { messageId: "msg_1", sequenceStep: 1 });
    await consume([sent]);
    clock.advance(MINUTE);
    const bounced = await eventOf("message.bounced", { messageId: "msg_1", bounceType: "blocked" });
    const opened = await eventOf("message.opened", { messageId: "msg_1" });
    await consume([bounced, opened, await newEvent()]);
    expect(await found("msg_1")).toEqual([opened.id, bounced.id, sent.id]);
    expect(await found("msg_2")).toEqual([]);
  });
});

describe("GET /v1/events?email=", () => {
  it("compares addresses in their normal form, wherever they stand", async () => {
    const lead = await eventOf("campaign.started", { lead: { email: "Ava.Chen@BÜCHER.example" } });
    const said = await eventOf("campaign.started", {
      note: "ask <ava.chen@xn--bcher-kva.example>",
    });
    const other = await eventOf("campaign.started", {
      lead: { email: "java.chen@bücher.example" },
    });
    await consume([lead, said, other]);
    for (const email of ["ava.chen@bücher.example", "AVA.CHEN@xn--bcher-kva.example."]) {
      const response = await api("GET", `/v1/events?email=${encodeURIComponent(email)}`);
      const { data } = await response.json<{ data: { id: string }[] }>();
      expect(data.map(({ id }) => id).sort()).toEqual([lead.id, said.id].sort());
    }
  });
});
