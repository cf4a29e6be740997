import {
  createExecutionContext,
  createMessageBatch,
  getQueueResult,
  waitOnExecutionContext,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, vi } from "vitest";
import worker from "../../src/index";
import { eventually } from "../rig/eventually";
import {
  deliverAll,
  deliveryOf,
  journal,
  newEvent,
  newEvents,
  newRoutingVersion,
  type Owed,
  register,
  registry,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { clock, DAY, gate, HOUR, it, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { diverted, failStatements, tablesOf, withVariables } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { api, bytesOf } from "../rig/worker/requests";

const ALERT_URL = "https://alerts.example.com/hook";

type ShownLetter = {
  id: string;
  eventId: string | null;
  event: string | null;
  reason: string;
  receivedAt: string;
  failedAt: string;
  webhookIds: string[];
};

beforeEach(async () => {
  await withVariables(registry(), { ALERT_URL });
});

const fail = () => Promise.reject(new Error("the object is unreachable"));
/** 90 retries are behind it. */
const LAST = 91;

const withoutRegistry = () => ({ ...env, REGISTRY: diverted(env.REGISTRY, { routing: fail }) });
const withoutJournal = () => ({ ...env, JOURNAL: diverted(env.JOURNAL, { record: fail }) });
const withoutLetters = () => ({
  ...env,
  DEAD_LETTER_STORE: diverted(env.DEAD_LETTER_STORE, { keep: fail }),
});
const withoutSubscribers = (...only: string[]) => ({
  ...env,
  SUBSCRIBER: diverted(env.SUBSCRIBER, { accept: fail }, only),
});

async function letters(): Promise<ShownLetter[]> {
  const response = await api("GET", "/v1/dead-letters");
  expect(response.status).toBe(200);
  return (await response.json<{ data: ShownLetter[] }>()).data;
}

async function alerts(): Promise<string[]> {
  await registry().sendAlerts();
  return service.requests
    .filter(({ url }) => url === ALERT_URL)
    .map(({ body }) => JSON.parse(new TextDecoder().decode(body)).text);
}

async function matched(eventId: string): Promise<string[]> {
  const response = await api("GET", `/v1/events/${eventId}`);
  return (await response.json<{ webhookIds: string[] }>()).webhookIds;
}

describe("a batch", () => {
  it("is acknowledged message by message, whatever else is in it", async () => {
    const [first, second] = [await register(), await register({ events: ["reply.received"] })];
    const [one, two] = (await newEvents(2)) as [Owed, Owed];
    const { acked, retried } = await consume([one, bytesOf("not JSON"), two]);
    expect(acked).toEqual(["m0", "m1", "m2"]);
    expect(retried).toEqual({});
    expect(await tally(first.id)).toEqual({ pending: 2 });
    expect(await tally(second.id)).toEqual({});
    expect(await letters()).toMatchObject([{ id: "dl_m1" }]);
  });

  it("of many events that nobody wants is recorded and acknowledged", async () => {
    const events = await newEvents(100);
    expect((await consume(events)).acked).toHaveLength(100);
    expect(await matched(events[99]?.id ?? "")).toEqual([]);
  });

  it("with one event several times owes it once", async () => {
    const { id } = await register();
    const event = await newEvent();
    expect((await consume([event, event, event])).acked).toHaveLength(3);
    expect((await consume([event])).acked).toHaveLength(1);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(1);
    expect(service.requests[0]?.body).toEqual(event.body);
  });

  it("larger than one call takes is handed over whole", async () => {
    const { id } = await register();
    const events = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        newEvent({ text: String(index % 10).repeat(100_000) }),
      ),
    );
    expect((await consume(events)).acked).toHaveLength(30);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 30 });
    const sent = new Map(service.requests.map(({ eventId, body }) => [eventId, body.length]));
    for (const event of events) expect(sent.get(event.id)).toBe(event.body.length);
  });

  it("goes to the journal of each message's own day", async () => {
    const [today, before] = (await newEvents(2)) as [Owed, Owed];
    const nowMs = clock.nowMs();
    await consume([today], { atMs: nowMs });
    await consume([before], { atMs: nowMs - DAY });
    expect(await journal(nowMs).get(today.id)).not.toBeNull();
    expect(await journal(nowMs).get(before.id)).toBeNull();
    expect(await journal(nowMs - DAY).get(before.id)).not.toBeNull();
  });
});

describe("a batch for twenty webhooks", () => {
  type Call = { deliveries: Owed[] };
  const ids: string[] = [];

  beforeEach(async () => {
    ids.length = 0;
    while (ids.length < 20) ids.push((await register()).id);
  });

  /** Its Subscribers are asked through `ask`. */
  const asking = (ask: (call: Call, go: () => Promise<unknown>, id: string) => unknown) => {
    const getByName = (name: string) => ({
      accept: (call: Call) => ask(call, async () => subscriber(name).accept(call), name),
    });
    return { ...env, SUBSCRIBER: { getByName } as unknown as Env["SUBSCRIBER"] };
  };

  it("is handed to all of them at once, none behind another", async () => {
    const all = gate();
    let asked = 0;
    const { acked } = await consume([await newEvent()], {
      env: asking(async (_, go) => {
        asked += 1;
        if (asked === 20) all.open();
        await all.opened;
        return go();
      }),
    });
    expect(acked).toEqual(["m0"]);
    for (const id of ids) expect(await tally(id)).toEqual({ pending: 1 });
  });

  it("has no more than 16 MB of bodies on their way at once, and all arrive", async () => {
    const events = await newEvents(10, { text: "x".repeat(110_000) });
    let onTheirWay = 0;
    let most = 0;
    const { acked } = await consume(events, {
      env: asking(async ({ deliveries }, go) => {
        const bytes = deliveries.reduce((sum, { body }) => sum + body.length, 0);
        onTheirWay += bytes;
        most = Math.max(most, onTheirWay);
        return go().finally(() => {
          onTheirWay -= bytes;
        });
      }),
    });
    expect(acked).toHaveLength(10);
    expect(most / 2 ** 20).toBeLessThanOrEqual(16);
    for (const id of ids) expect(await tally(id)).toEqual({ pending: 10 });
  });

  it("waits once for those that never answer, and the others have all of theirs", async () => {
    const later = globalThis.setTimeout;
    vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms?: number) =>
      later(run, ms === 20 * SECOND ? 2 * SECOND : ms)) as typeof setTimeout);
    const silent = ids.slice(0, 17);
    const asked: string[] = [];
    const { acked, retried } = await consume(await newEvents(20, { text: "x".repeat(110_000) }), {
      env: asking((_, go, id) => {
        if (!silent.includes(id)) return go();
        asked.push(id);
        return new Promise(() => {});
      }),
    });
    expect(acked).toEqual([]);
    expect(Object.keys(retried)).toHaveLength(20);
    expect(asked).toEqual(silent);
    for (const id of ids.slice(17)) expect(await tally(id)).toEqual({ pending: 20 });
  });
});

describe("an object that does not answer", () => {
  it.each([
    ["Registry", withoutRegistry],
    ["Journal", withoutJournal],
  ])("being the %s: nothing is handed over, and all comes again", async (_, faulty) => {
    const { id } = await register();
    await newRoutingVersion();
    const events = await newEvents(2);
    // A day of its own: what a test that ran out of time has left in today's may still be there.
    const atMs = clock.nowMs() - 3 * DAY;
    const { acked, retried } = await consume(events, { atMs, env: faulty() });
    expect(acked).toEqual([]);
    expect(retried).toEqual({ m0: 2, m1: 2 });
    expect(await tally(id)).toEqual({});
    expect(await tablesOf(journal(atMs))).toEqual([]);
    expect((await consume(events)).acked).toHaveLength(2);
    expect(await tally(id)).toEqual({ pending: 2 });
  });

  it("being a Subscriber: the others have their events, and only its messages come again", async () => {
    const [sent, bounced] = [
      await register({ events: ["message.sent"] }),
      await register({ events: ["message.bounced"] }),
    ];
    const [one, two] = [await newEvent(), await newEvent({ event: "message.bounced" })];
    const { acked, retried } = await consume([one, two], { env: withoutSubscribers(bounced.id) });
    expect(acked).toEqual(["m0"]);
    expect(retried).toEqual({ m1: 2 });
    expect(await tally(sent.id)).toEqual({ pending: 1 });
    expect(await tally(bounced.id)).toEqual({});
  });

  it("holds a message back until every one of its webhooks has it, and repeats nothing", async () => {
    const [first, second] = [await register(), await register()];
    const event = await newEvent();
    const faulty = withoutSubscribers(second.id);
    expect((await consume([event], { env: faulty })).acked).toEqual([]);
    await deliverAll(first.id, clock);
    expect((await consume([event], { attempts: 2 })).acked).toEqual(["m0"]);
    await deliverAll(first.id, clock);
    await deliverAll(second.id, clock);
    expect(service.requests).toHaveLength(2);
    expect(await tally(first.id)).toEqual({ delivered: 1 });
    expect(await tally(second.id)).toEqual({ delivered: 1 });
  });

  it("is not acknowledged before it has answered", async () => {
    const { id } = await register();
    const slow = gate();
    const event = await newEvent();
    let calls = 0;
    const accept = async (call: { deliveries: Owed[] }) => {
      calls += 1;
      await slow.opened;
      return subscriber(id).accept(call);
    };
    const faulty = { ...env, SUBSCRIBER: diverted(env.SUBSCRIBER, { accept }) };
    let ended = false;
    const consumed = consume([event], { env: faulty }).finally(() => {
      ended = true;
    });
    await eventually(() => expect(calls).toBe(1));
    expect(ended).toBe(false);
    slow.open();
    expect((await consumed).acked).toEqual(["m0"]);
  });

  it.each([
    [1, 2],
    [2, 4],
    [5, 32],
    [9, 512],
    [10, 900],
    [15, 900],
    [20, 900],
    [90, 900],
  ])("is asked again: failure %i after %i s", async (attempts, delaySeconds) => {
    const { retried } = await consume([await newEvent()], { attempts, env: withoutJournal() });
    expect(retried).toEqual({ m0: delaySeconds });
    expect(await letters()).toEqual([]);
  });
});

describe("a message that was retried 90 times", () => {
  it.each([
    ["Registry", withoutRegistry, "registry_unreachable"],
    ["Journal", withoutJournal, "journal_unreachable"],
  ])("for the %s becomes a dead letter that was never routed", async (_, faulty, reason) => {
    await register();
    const event = await newEvent();
    const receivedAtMs = clock.nowMs() - DAY;
    const atMs = receivedAtMs;
    const { acked, retried } = await consume([event], { attempts: LAST, env: faulty(), atMs });
    expect([acked, retried]).toEqual([["m0"], {}]);
    const [letter] = await letters();
    expect(letter).toMatchObject({
      id: "dl_m0",
      eventId: event.id,
      event: "message.sent",
      reason,
      receivedAt: new Date(receivedAtMs).toISOString(),
      webhookIds: [],
    });
    expect(Date.parse(letter?.failedAt ?? "")).toBeGreaterThan(receivedAtMs + DAY - 60_000);
    expect(await alerts()).toEqual([expect.stringContaining(reason)]);
  });

  it("for some Subscribers becomes a dead letter that names those, and only those", async () => {
    const webhooks = [await register(), await register(), await register()];
    const [fine, dead, gone] = webhooks.map(({ id }) => id) as [string, string, string];
    const event = await newEvent();
    const faulty = withoutSubscribers(dead, gone);
    const { acked } = await consume([event], { attempts: LAST, env: faulty });
    expect(acked).toEqual(["m0"]);
    const [letter, ...others] = await letters();
    expect(others).toEqual([]);
    expect(letter).toMatchObject({ eventId: event.id, reason: "subscriber_unreachable" });
    expect([...(letter?.webhookIds ?? [])].sort()).toEqual([dead, gone].sort());
    expect(await tally(fine)).toEqual({ pending: 1 });
    expect(await alerts()).toHaveLength(1);
  });

  it("becomes one before a short RETENTION lets the others forget that they have it", async () => {
    const short = { RETENTION: "2h", RETRY_SCHEDULE: "1m" };
    const [has, away] = [await register(), await register()];
    await withVariables(subscriber(has.id), short);
    const given = { ...withoutSubscribers(away.id), ...short };
    const [event, atMs] = [await newEvent(), Date.now()];
    for (let attempts = 1, wait: number | undefined = 0; wait !== undefined; attempts++) {
      wait = (await consume([event], { atMs, attempts, env: given })).retried.m0;
      await deliverAll(has.id, clock);
      clock.advance((wait ?? 0) * SECOND);
      await subscriber(has.id).check();
    }
    expect(service.ids().filter((id) => id === event.id)).toHaveLength(1);
    expect(await letters()).toMatchObject([
      { reason: "subscriber_unreachable", webhookIds: [away.id] },
    ]);
    expect(clock.nowMs() - atMs).toBeGreaterThan(HOUR);
  });

  it("is acknowledged without one when the last time works", async () => {
    await register();
    const { acked } = await consume([await newEvent()], { attempts: LAST });
    expect(acked).toEqual(["m0"]);
    expect(await letters()).toEqual([]);
  });

  it("comes again every 3.5 hours when the dead letters cannot be written, and is lost never", async () => {
    const event = await newEvent();
    const faulty = { ...withoutJournal(), DEAD_LETTER_STORE: withoutLetters().DEAD_LETTER_STORE };
    for (const attempts of [LAST, LAST + 1, 100]) {
      const { acked, retried } = await consume([event], { attempts, env: faulty });
      expect([acked, retried]).toEqual([[], { m0: 12_600 }]);
    }
    expect((await consume([event], { attempts: 101, env: withoutJournal() })).acked).toEqual([
      "m0",
    ]);
    expect(await letters()).toMatchObject([{ eventId: event.id }]);
  });

  it("is one dead letter, however often it is given up on", async () => {
    const event = await newEvent();
    for (let times = 0; times < 3; times++) {
      await consume([event], { attempts: LAST, env: withoutJournal() });
    }
    expect(await letters()).toHaveLength(1);
  });
});

describe("a body that is no event", () => {
  it.each([
    ["not JSON", bytesOf("not JSON")],
    ["not UTF-8", new Uint8Array([0xff, 0xfe, 0x7b])],
    ["no envelope", bytesOf({ hello: "world" })],
    ["empty", new Uint8Array()],
  ])("(%s) is a dead letter at once", async (_, body) => {
    const { acked, retried } = await consume([body]);
    expect([acked, retried]).toEqual([["m0"], {}]);
    expect(await letters()).toMatchObject([
      { eventId: null, event: null, reason: "unreadable", webhookIds: [] },
    ]);
    expect(await alerts()).toHaveLength(1);
  });

  it("is a dead letter too where another producer sent what JSON cannot write", async () => {
    const message = { id: "m0", timestamp: new Date(), attempts: 1, body: { size: 10n } };
    const batch = createMessageBatch<unknown>("leadterra-events", [message]);
    const context = createExecutionContext();
    await worker.queue(batch as MessageBatch<ArrayBuffer>, env, context);
    await waitOnExecutionContext(context);
    expect((await getQueueResult(batch, context)).explicitAcks).toEqual(["m0"]);
    expect(await letters()).toMatchObject([{ eventId: null, reason: "unreadable" }]);
  });

  it("does not hold up its batch, even when the dead letters cannot be written", async () => {
    const { id } = await register();
    const { acked, retried } = await consume([bytesOf("{"), await newEvent()], {
      env: withoutLetters(),
    });
    expect(acked).toEqual(["m1"]);
    expect(retried).toEqual({ m0: 12_600 });
    expect(await tally(id)).toEqual({ pending: 1 });
  });
});

describe("the platform's dead-letter queue", () => {
  const queue = "leadterra-dead-letters";

  it("is consumed into the dead letters, readable or not", async () => {
    const { id } = await register();
    const event = await newEvent();
    const { acked } = await consume([event, bytesOf("not JSON")], { queue });
    expect(acked).toEqual(["m0", "m1"]);
    const kept = (await letters()).sort((a, b) => a.id.localeCompare(b.id));
    expect(kept).toMatchObject([
      { id: "dl_m0", eventId: event.id, event: "message.sent", reason: "not_consumed" },
      { id: "dl_m1", eventId: null, event: null, reason: "unreadable" },
    ]);
    expect(await tally(id)).toEqual({});
    expect(await alerts()).toHaveLength(1);
  });

  it("may have another name", async () => {
    const own = { ...env, DEAD_LETTER_QUEUE: "staging-dead-letters" };
    await register();
    await consume([await newEvent()], { queue: own.DEAD_LETTER_QUEUE, env: own });
    expect(await letters()).toMatchObject([{ reason: "not_consumed" }]);
    expect((await consume([await newEvent()], { queue, env: own })).acked).toEqual(["m0"]);
    expect(await letters()).toHaveLength(1);
  });

  it("keeps nothing of an event that was erased by its id meanwhile", async () => {
    const [erased, other] = [await newEvent(), await newEvent()];
    expect((await api("DELETE", `/v1/events/${erased.id}`)).status).toBe(204);
    expect((await consume([erased, other], { queue })).acked).toEqual(["m0", "m1"]);
    expect(await letters()).toMatchObject([{ eventId: other.id, reason: "not_consumed" }]);
  });

  it("waits while it cannot be known what was erased, for 17.5 hours, and is kept then", async () => {
    const [erased, other] = [await newEvent(), await newEvent()];
    expect((await api("DELETE", `/v1/events/${erased.id}`)).status).toBe(204);
    const early = await consume([erased, other], { queue, env: withoutRegistry() });
    expect(early).toMatchObject({ acked: [], retried: { m0: 12_600, m1: 12_600 } });
    expect(await letters()).toEqual([]);
    expect((await consume([erased, other], { queue, attempts: 2 })).acked).toEqual(["m0", "m1"]);
    expect(await letters()).toMatchObject([{ eventId: other.id, reason: "not_consumed" }]);
    const again = { queue, name: "x", env: withoutRegistry() };
    const late = await newEvent();
    expect((await consume([late], { ...again, attempts: 5 })).acked).toEqual([]);
    expect((await consume([late], { ...again, attempts: 6 })).acked).toEqual(["x0"]);
    expect(await letters()).toHaveLength(2);
  });

  it("keeps what cannot be written", async () => {
    const { acked, retried } = await consume([await newEvent()], { queue, env: withoutLetters() });
    expect([acked, retried]).toEqual([[], { m0: 12_600 }]);
  });
});

describe("the list of webhooks that the Journal has", () => {
  it("counts for a message that comes again, whatever was changed meanwhile", async () => {
    const [first, second] = [await register(), await register()];
    const event = await newEvent();
    await consume([event], { env: withoutSubscribers(second.id) });
    const patched = await api("PATCH", `/v1/webhooks/${second.id}`, { events: ["reply.received"] });
    expect(patched.status).toBe(200);
    const third = await register();
    await newRoutingVersion();
    expect((await consume([event], { attempts: 2 })).acked).toEqual(["m0"]);
    expect(await tally(first.id)).toEqual({ pending: 1 });
    expect(await tally(second.id)).toEqual({ pending: 1 });
    expect(await tally(third.id)).toEqual({});
    expect((await matched(event.id)).sort()).toEqual([first.id, second.id].sort());
  });

  it("counts no more once the event was erased, also while the Journal has not been told", async () => {
    const [first, second] = [await register(), await register()];
    const event = await newEvent();
    const atMs = clock.nowMs();
    await consume([event], { atMs, env: withoutSubscribers(second.id) });
    await failStatements(subscriber(first.id), {
      start: "UPDATE deliveries_",
      message: "disk I/O error",
      times: 1,
    });
    const erase = () => api("DELETE", `/v1/events/${event.id}`);
    expect((await erase()).status).toBe(503);
    // What the others heard of it is forgotten.
    clock.advance(20 * MINUTE);
    expect((await consume([event], { attempts: 2, atMs })).acked).toEqual(["m0"]);
    await deliverAll(second.id, clock);
    expect(service.requests).toEqual([]);
    expect(await tally(second.id)).toEqual({});
    expect((await erase()).status).toBe(204);
    expect(await tally(first.id)).toEqual({ cancelled: 1 });
  });

  it("owes nothing to a webhook that was deleted meanwhile", async () => {
    const [first, second] = [await register(), await register()];
    const event = await newEvent();
    await consume([event], { env: withoutSubscribers(first.id, second.id) });
    expect((await api("DELETE", `/v1/webhooks/${second.id}`)).status).toBe(204);
    expect((await consume([event], { attempts: 2 })).acked).toEqual(["m0"]);
    await deliverAll(first.id, clock);
    expect(service.ids()).toEqual([event.id]);
    expect(await letters()).toEqual([]);
  });

  it("is of the filter in force at the first time", async () => {
    const filter = { "data.sequenceStep": 1 };
    const [all, ones] = [await register(), await register({ filter })];
    const [one, two] = [await newEvent(), await newEvent({ sequenceStep: 2 })];
    await consume([one, two]);
    expect((await matched(one.id)).sort()).toEqual([all.id, ones.id].sort());
    expect(await matched(two.id)).toEqual([all.id]);
  });
});

describe("an object that is full", () => {
  const message = "database or disk is full: SQLITE_FULL";

  it("being a Subscriber: a dead letter at once for it alone, with the alert", async () => {
    const [full, fine] = [await register(), await register()];
    await failStatements(subscriber(full.id), {
      start: "INSERT INTO arrivals_",
      message,
      times: 1,
    });
    const event = await newEvent();
    const { acked, retried } = await consume([event]);
    expect([acked, retried]).toEqual([["m0"], {}]);
    expect(await letters()).toMatchObject([
      { eventId: event.id, reason: "full", webhookIds: [full.id] },
    ]);
    expect(await tally(fine.id)).toEqual({ pending: 1 });
    expect(await alerts()).toEqual([expect.stringMatching(new RegExp(`${full.id}.*full`))]);
    await expect(deliveryOf(fine.id, event.id)).resolves.toMatchObject({ status: "pending" });
  });

  it("being a Journal: a dead letter at once, with the alert", async () => {
    const { id } = await register();
    await consume([await newEvent()]);
    await failStatements(journal(clock.nowMs()), {
      start: "INSERT INTO batches",
      message,
      times: 1,
    });
    const event = await newEvent();
    const { acked, retried } = await consume([event]);
    expect([acked, retried]).toEqual([["m0"], {}]);
    expect(await letters()).toMatchObject([{ eventId: event.id, reason: "journal_full" }]);
    expect(await tally(id)).toEqual({ pending: 1 });
    expect(await alerts()).toEqual([expect.stringMatching(/Journal.*full/)]);
  });

  it.each(["full", "unreachable"])(
    "being a Journal (%s): no dead letter of an erased event",
    async (how) => {
      const event = await newEvent();
      expect((await api("DELETE", `/v1/events/${event.id}`)).status).toBe(204);
      clock.advance(DAY);
      const record = how === "full" ? async () => ({ webhookIds: null }) : fail;
      const faulty = { ...env, JOURNAL: diverted(env.JOURNAL, { record }) };
      expect((await consume([event], { attempts: LAST, env: faulty })).acked).toEqual(["m0"]);
      expect(await letters()).toEqual([]);
    },
  );

  it("beside one that does not answer: both are owed in the end", async () => {
    const [full, dead] = [await register(), await register()];
    const event = await newEvent();
    const accept = async () => ({ status: "full", added: 0 });
    const faulty = {
      ...env,
      SUBSCRIBER: diverted(diverted(env.SUBSCRIBER, { accept }, [full.id]), { accept: fail }, [
        dead.id,
      ]),
    };
    expect((await consume([event], { env: faulty })).retried).toEqual({ m0: 2 });
    expect(await letters()).toMatchObject([{ reason: "full", webhookIds: [full.id] }]);
    expect((await consume([event], { env: faulty, attempts: LAST })).acked).toEqual(["m0"]);
    const [letter, ...others] = await letters();
    expect(others).toEqual([]);
    expect([...(letter?.webhookIds ?? [])].sort()).toEqual([full.id, dead.id].sort());
  });
});

describe("a route that this release does not understand", () => {
  /** The next routing table has a filter of a later release. */
  const laterRelease = (id: string) => ({
    ...env,
    REGISTRY: diverted(env.REGISTRY, {
      routing: async () => {
        const { version, routes } = await registry().routing(null);
        const later = (routes ?? []).map((route) =>
          route.id === id ? { ...route, filter: { "data.lead": { $later: 1 } } } : route,
        );
        return { version: version + 1_000_000, routes: later };
      },
    }),
  });

  it("holds back what it may want, and nothing of the others", async () => {
    const [later, other] = [
      await register({ events: ["message.sent"], filter: { "data.sequenceStep": 1 } }),
      await register(),
    ];
    const [doubtful, clear] = [
      await newEvent({ sequenceStep: 1 }),
      await newEvent({ event: "message.bounced" }),
    ];
    const { acked, retried } = await consume([doubtful, clear], { env: laterRelease(later.id) });
    expect(acked).toEqual(["m1"]);
    expect(retried).toEqual({ m0: 2 });
    expect(await tally(other.id)).toEqual({ pending: 2 });
    expect(await tally(later.id)).toEqual({});
    expect(await alerts()).toEqual([expect.stringContaining(`filter of webhook ${later.id}`)]);

    await newRoutingVersion();
    expect((await consume([doubtful], { attempts: 2 })).acked).toEqual(["m0"]);
    expect(await tally(later.id)).toEqual({ pending: 1 });
    expect(await tally(other.id)).toEqual({ pending: 2 });
    expect((await matched(doubtful.id)).sort()).toEqual([later.id, other.id].sort());
  });

  it("gets nothing that its filter does not want, once it is understood", async () => {
    const later = await register({ filter: { "data.sequenceStep": 1 } });
    const event = await newEvent({ sequenceStep: 2 });
    expect((await consume([event], { env: laterRelease(later.id) })).retried).toEqual({ m0: 2 });
    await newRoutingVersion();
    expect((await consume([event], { attempts: 2 })).acked).toEqual(["m0"]);
    expect(await tally(later.id)).toEqual({});
  });

  it("keeps nothing of a person who is erased, with those neither whose routes were understood", async () => {
    const [later, other] = [await register(), await register({ status: "paused" })];
    const event = await newEvent({ data: { lead: { email: "zoe@prospect.example" } } });
    await consume([event], { env: laterRelease(later.id), attempts: LAST });
    expect(await letters()).toHaveLength(1);
    const erased = await api("POST", "/v1/events/erase", { email: "zoe@prospect.example" });
    expect(await erased.json()).toMatchObject({ erased: 1, next: null });
    expect(await letters()).toEqual([]);
    const expected = { status: "cancelled", lastError: "erased" };
    expect(await deliveryOf(other.id, event.id)).toMatchObject(expected);
  });

  it("keeps nothing of such a person, either, where its dead letter was deleted", async () => {
    const [later, other] = [await register(), await register({ status: "paused" })];
    const event = await newEvent({ data: { lead: { email: "zoe@prospect.example" } } });
    await consume([event], { env: laterRelease(later.id), attempts: LAST });
    const [letter] = await letters();
    expect((await api("DELETE", `/v1/dead-letters/${letter?.id}`)).status).toBe(204);
    const erased = await api("POST", "/v1/events/erase", { email: "zoe@prospect.example" });
    expect(await erased.json()).toMatchObject({ erased: 1, next: null });
    const expected = { status: "cancelled", lastError: "erased" };
    expect(await deliveryOf(other.id, event.id)).toMatchObject(expected);
  });

  it("ends as a dead letter that is routed anew when it is redriven", async () => {
    const later = await register();
    const event = await newEvent();
    await consume([event], { env: laterRelease(later.id), attempts: LAST });
    expect(await letters()).toMatchObject([
      { eventId: event.id, reason: "subscriber_unreachable", webhookIds: [] },
    ]);
  });
});
