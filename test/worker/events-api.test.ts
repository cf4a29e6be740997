import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import { REGISTRY_NAME } from "../../src/domain/placement";
import {
  deliverAll,
  eventOf,
  newEvent,
  newEvents,
  type Owed,
  register,
  type ShownDelivery,
} from "../rig/worker/engine";
import { answering, clock, DAY, HOUR, it, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { inObject } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import {
  API_KEY,
  api,
  bytesOf,
  callWith,
  DOCUMENTED_REPLY,
  type Problem,
} from "../rig/worker/requests";

type ShownEvent = {
  id: string;
  event: string;
  timestamp: string | null;
  receivedAt: string;
  size: number;
  conforms: boolean;
  webhookIds: string[];
};
type WholeEvent = ShownEvent & { payload: unknown; deliveries: ShownDelivery[] };
type Page<T> = { data: T[]; next: string | null };

const iso = (ms: number) => new Date(ms).toISOString();

async function page<T>(path: string, parameters: Record<string, string> = {}): Promise<Page<T>> {
  const response = await api("GET", `${path}?${new URLSearchParams(parameters)}`);
  expect(response.status).toBe(200);
  return response.json();
}

/** Follows the cursor to the end. */
async function all<T>(path: string, parameters: Record<string, string>): Promise<T[]> {
  const found: T[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const { data, next }: Page<T> = await page(path, {
      ...parameters,
      ...(cursor !== "" && { cursor }),
    });
    expect(data.length).toBeLessThanOrEqual(Number(parameters.limit ?? 50));
    found.push(...data);
    cursor = next;
  }
  return found;
}

const listed = async (parameters: Record<string, string> = {}) =>
  (await all<ShownEvent>("/v1/events", parameters)).map(({ id }) => id);

const reply = (n: number, email: string, campaignId: string) =>
  eventOf("reply.received", {
    campaignId,
    lead: { email },
    reply: {
      id: `rpl_${n}`,
      classification: "interested",
      receivedAt: "2026-11-01T00:00:00Z",
      threadSnippet: "yes",
    },
  });

describe("the list of events", () => {
  it("shows each event as the journal has it, newest first", async () => {
    const { id } = await register({ events: ["reply.received"] });
    const body = bytesOf(DOCUMENTED_REPLY);
    const receivedMs = clock.nowMs();
    await consume([body], { atMs: receivedMs });
    const odd = await eventOf("reply.received", { campaignId: 7 }, "not a time");
    await consume([odd], { atMs: receivedMs + SECOND });
    const { data, next } = await page<ShownEvent>("/v1/events");
    expect(next).toBeNull();
    expect(data).toEqual([
      {
        id: odd.id,
        event: "reply.received",
        timestamp: "not a time",
        receivedAt: iso(receivedMs + SECOND),
        size: odd.body.length,
        conforms: false,
        webhookIds: [id],
      },
      {
        id: "evt_QNH783WW52FCCN914ZB1QAYTW0",
        event: "reply.received",
        timestamp: "2025-06-11T09:14:35Z",
        receivedAt: iso(receivedMs),
        size: body.length,
        conforms: true,
        webhookIds: [id],
      },
    ]);
  });

  it("goes on with its cursor across days and batches, each event once", async () => {
    const nowMs = clock.nowMs();
    const events = await newEvents(23);
    const oldestFirst = [events.slice(0, 6), events.slice(6, 9), events.slice(9, 23)];
    for (const [index, part] of oldestFirst.entries()) {
      const atMs = nowMs - (oldestFirst.length - 1 - index) * 2 * DAY;
      await consume(part.slice(0, 4), { atMs });
      await consume(part.slice(4), { atMs: atMs + SECOND });
    }
    const newestFirst = events.map(({ id }) => id).reverse();
    for (const limit of ["1", "3", "7", "14", "250"])
      expect(await listed({ limit })).toEqual(newestFirst);
    expect(await page("/v1/events", { limit: "23" })).toMatchObject({ data: { length: 23 } });
  });

  /** The days that are asked for a list of nothing within 100 days, and how many of them at once. */
  async function daysAsked(): Promise<{ days: string[]; most: number }> {
    const days: string[] = [];
    let open = 0;
    let most = 0;
    const list = async (day: string) => {
      days.push(day);
      most = Math.max(most, ++open);
      await scheduler.wait(1);
      open -= 1;
      return { events: [], next: null };
    };
    const JOURNAL = { getByName: (day: string) => ({ list: () => list(day) }) };
    const headers = { authorization: `Bearer ${API_KEY}` };
    const answer = await callWith({ JOURNAL, RETENTION: "100d" }, "/v1/events", { headers });
    expect(await answer.json()).toEqual({ data: [], next: null });
    return { days, most };
  }

  it("asks several days side by side, each once, and no more than a Worker has connections", async () => {
    const { days, most } = await daysAsked();
    expect(new Set(days).size).toBe(days.length);
    expect(days.length).toBeGreaterThanOrEqual(100);
    expect(days).toEqual(days.toSorted().reverse());
    expect(most).toBe(6);
  });

  it("asks no day of before the first event, however late that came out of the queue", async () => {
    await register();
    await consume(await newEvents(1), { atMs: clock.nowMs() - 9 * DAY });
    await consume(await newEvents(1));
    const { days } = await daysAsked();
    expect(days).toHaveLength(11);
    expect(days.at(-1)).toBe(iso(clock.nowMs() - 9 * DAY).slice(0, 10));
  });

  it("asks every day where the first is not known, as after 0.1.0", async () => {
    await register();
    const stub = env.REGISTRY.getByName(REGISTRY_NAME);
    await inObject(stub, ({ storage }) => void storage.sql.exec("DROP TABLE facts"));
    await evictDurableObject(stub);
    await consume(await newEvents(1));
    expect((await daysAsked()).days.length).toBeGreaterThanOrEqual(100);
  });

  it("has no page behind the last one", async () => {
    await consume(await newEvents(3));
    const { data, next } = await page<ShownEvent>("/v1/events", { limit: "3" });
    expect([data.length, next]).toEqual([3, null]);
  });

  it("narrows by event, lead and campaign", async () => {
    const ava = await reply(1, "ava@acmecorp.com", "camp_1");
    const bob = await reply(2, "bob@acmecorp.com", "camp_1");
    const later = await reply(3, "AVA@AcmeCorp.com", "camp_2");
    const sent = await newEvent();
    await consume([ava, bob], { atMs: clock.nowMs() - DAY });
    await consume([later, sent]);
    expect(await listed({ event: "reply.received" })).toEqual([later.id, bob.id, ava.id]);
    expect(await listed({ event: "message.sent" })).toEqual([sent.id]);
    expect(await listed({ event: "nobody.knows" })).toEqual([]);
    expect(await listed({ email: "ava@acmecorp.com" })).toEqual([later.id, ava.id]);
    expect(await listed({ email: "a@acmecorp.com" })).toEqual([]);
    expect(await listed({ campaignId: "camp_1" })).toEqual([bob.id, ava.id]);
    expect(await listed({ campaignId: "camp_1", email: "bob@acmecorp.com" })).toEqual([bob.id]);
    expect(await listed({ event: "message.sent", campaignId: "camp_1" })).toEqual([]);
    expect(await listed({ email: "ava@acmecorp.com", limit: "1" })).toEqual([later.id, ava.id]);
  });

  it("narrows by receive time, both ends included", async () => {
    const nowMs = clock.nowMs();
    const events = (await newEvents(4)) as [Owed, Owed, Owed, Owed];
    const times = [nowMs - 3 * DAY, nowMs - DAY, nowMs - HOUR, nowMs];
    for (const [index, event] of events.entries())
      await consume([event], { atMs: times[index] ?? 0 });
    const [first, second, third, fourth] = events.map(({ id }) => id);
    const at = (index: number, offsetMs = 0) => iso((times[index] ?? 0) + offsetMs);
    expect(await listed({ since: at(1) })).toEqual([fourth, third, second]);
    expect(await listed({ since: at(1, 1) })).toEqual([fourth, third]);
    expect(await listed({ until: at(2) })).toEqual([third, second, first]);
    expect(await listed({ until: at(2, -1) })).toEqual([second, first]);
    expect(await listed({ since: at(1), until: at(2) })).toEqual([third, second]);
    expect(await listed({ since: at(2), until: at(1) })).toEqual([]);
    expect(await listed({ since: iso(nowMs + DAY) })).toEqual([]);
    const berlin = new Date((times[1] ?? 0) + 1 + HOUR).toISOString().replace("Z", "+01:00");
    expect(await listed({ since: berlin })).toEqual([fourth, third]);
  });

  it("reads a bounded number of rows for a filtered page, and its cursor goes on", async () => {
    const rare = await eventOf("campaign.started", { n: 1 });
    await consume([rare]);
    const many = await newEvents(1_050);
    for (let from = 0; from < many.length; from += 100) await consume(many.slice(from, from + 100));
    const first = await page<ShownEvent>("/v1/events", { event: "campaign.started" });
    expect(first.data).toEqual([]);
    expect(first.next).not.toBeNull();
    expect(await listed({ event: "campaign.started" })).toEqual([rare.id]);
  });

  it.each([
    "limit=0",
    "limit=251",
    "limit=1.5",
    "limit=",
    "since=yesterday",
    "since=2026-11-01",
    "since=2026-11-01T00:00:00",
    "until=5",
    "event=",
    "event=a%20b",
    `event=${"a".repeat(129)}`,
    "email=",
    "email=ava",
    "email=acmecorp.com",
    "email=@acmecorp.com",
    "campaignId=",
    "cursor=",
    "cursor=x",
    "cursor=2026-11-01~x",
    "cursor=2026-02-30~",
    "webhookId=x",
    "limit=5&limit=5",
  ])("answers 422 to ?%s", async (query) => {
    const response = await api("GET", `/v1/events?${query}`);
    expect(response.status).toBe(422);
    const { code, errors } = await response.json<Problem>();
    expect(code).toBe("invalid_request");
    expect(errors?.[0]?.path).toBe(query.split("=")[0]);
  });
});

describe("one event", () => {
  const whole = async (id: string): Promise<WholeEvent> => {
    const response = await api("GET", `/v1/events/${id}`);
    expect(response.status).toBe(200);
    return response.json();
  };

  it("comes with its payload and the delivery of every webhook that has one", async () => {
    const [first, second] = [await register(), await register({ url: "https://b.example.com/in" })];
    await register({ events: ["campaign.started"] });
    service.answer = ({ url }) => answering(url.includes("b.example") ? 500 : 204)();
    await consume([bytesOf(DOCUMENTED_REPLY)]);
    await deliverAll(first.id, clock);
    await deliverAll(second.id, clock);
    const event = await whole("evt_QNH783WW52FCCN914ZB1QAYTW0");
    expect(event.payload).toEqual(DOCUMENTED_REPLY);
    expect([...event.webhookIds].sort()).toEqual([first.id, second.id].sort());
    expect(new Map(event.deliveries.map(({ webhookId, status }) => [webhookId, status]))).toEqual(
      new Map([
        [first.id, "delivered"],
        [second.id, "pending"],
      ]),
    );
    expect(event.deliveries.every(({ eventId }) => eventId === event.id)).toBe(true);
  });

  it("shows a backfilled delivery too, and matched whom it matched", async () => {
    const event = await newEvent();
    await consume([event]);
    const { id } = await register();
    const body = { since: iso(clock.nowMs() - HOUR), only: "missing" };
    expect((await api("POST", `/v1/webhooks/${id}/replay`, body)).status).toBe(202);
    expect(await whole(event.id)).toMatchObject({
      webhookIds: [],
      deliveries: [{ webhookId: id, status: "pending" }],
    });
  });

  it("that was erased stays as a record without its payload", async () => {
    const { id } = await register();
    const event = await reply(9, "ava@acmecorp.com", "camp_9");
    await consume([event]);
    await deliverAll(id, clock);
    expect((await api("DELETE", `/v1/events/${event.id}`)).status).toBe(204);
    const erased = await whole(event.id);
    expect(erased).toMatchObject({ payload: null, deliveries: [{ status: "delivered" }] });
    expect(JSON.stringify(erased)).not.toContain("ava@");
    expect(await listed({ email: "ava@acmecorp.com" })).toEqual([]);
  });

  it("that is not there is 404", async () => {
    for (const id of ["evt_00000000000000000000000000", "evt_x", "x"]) {
      expect((await api("GET", `/v1/events/${id}`)).status).toBe(404);
    }
  });
});

describe("the list of a webhook's deliveries", () => {
  /** Six deliveries, a minute apart: delivered, cancelled, undeliverable, and three that wait. */
  async function six() {
    const { id } = await register({ retrySchedule: "1s" });
    const events: Owed[] = [];
    const times: number[] = [];
    const start = await eventOf("campaign.started", { n: 6 });
    for (let n = 0; n < 6; n++) {
      const event = n === 4 ? start : await newEvent();
      service.answer = answering(n === 0 ? 204 : 500);
      if (n === 3) expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
      await consume([event]);
      times.push(clock.nowMs());
      if (n === 1) await api("POST", `/v1/webhooks/${id}/deliveries/${event.id}/cancel`);
      await deliverAll(id, clock);
      clock.advance(MINUTE);
      await deliverAll(id, clock);
      events.push(event);
    }
    return {
      path: `/v1/webhooks/${id}/deliveries`,
      ids: events.map((event) => event.id),
      times,
      id,
    };
  }

  const ids = async (path: string, parameters: Record<string, string> = {}) =>
    (await all<ShownDelivery>(path, parameters)).map(({ eventId }) => eventId);

  it("narrows by status, event and receive time, newest first, with or without a cursor", async () => {
    const {
      path,
      ids: [a, b, c, d, e, f],
      times,
    } = await six();
    for (const limit of ["1", "2", "4", "250"]) {
      expect(await ids(path, { limit })).toEqual([f, e, d, c, b, a]);
      expect(await ids(path, { limit, status: "pending" })).toEqual([f, e, d]);
      expect(await ids(path, { limit, status: "delivered" })).toEqual([a]);
      expect(await ids(path, { limit, status: "cancelled" })).toEqual([b]);
      expect(await ids(path, { limit, status: "undeliverable" })).toEqual([c]);
      expect(await ids(path, { limit, event: "campaign.started" })).toEqual([e]);
      expect(await ids(path, { limit, event: "message.sent", status: "pending" })).toEqual([f, d]);
      const [since, until] = [iso((times[1] ?? 0) - SECOND), iso((times[3] ?? 0) + SECOND)];
      expect(await ids(path, { limit, since })).toEqual([f, e, d, c, b]);
      expect(await ids(path, { limit, until })).toEqual([d, c, b, a]);
      expect(await ids(path, { limit, since, until })).toEqual([d, c, b]);
      expect(await ids(path, { limit, since, until, status: "undeliverable" })).toEqual([c]);
      expect(await ids(path, { limit, until, status: "pending" })).toEqual([d]);
    }
  });

  it("has each once when one that was never sent is asked for behind others", async () => {
    const { path, ids: all6 } = await six();
    const [, , , d, e, f] = all6;
    expect((await api("POST", `${path}/${e}/retry`)).status).toBe(202);
    for (const limit of ["1", "2", "250"]) {
      expect(await ids(path, { limit, status: "pending" })).toEqual([f, e, d]);
      expect(await ids(path, { limit })).toEqual([...all6].reverse());
    }
  });

  it("shows each delivery flat, and without a time to come while held", async () => {
    const { path, id, ids: all6 } = await six();
    const { data } = await page<ShownDelivery>(path);
    expect(Object.keys(data[0] ?? {})).toEqual([
      "webhookId",
      "eventId",
      "event",
      "status",
      "attempts",
      "createdAt",
      "nextAttemptAt",
      "waitingFor",
      "completedAt",
      "lastStatusCode",
      "lastError",
    ]);
    expect(data[0]).toMatchObject({ webhookId: id, eventId: all6[5], nextAttemptAt: null });
    expect(data[3]).toMatchObject({
      status: "undeliverable",
      attempts: 2,
      lastStatusCode: 500,
      lastError: "status",
    });
  });

  it("has no page behind the last one", async () => {
    const { path } = await six();
    const found = await all<ShownDelivery>(path, { limit: "3" });
    expect(found).toHaveLength(6);
    for (const list of [path, "/v1/deliveries"]) {
      const { data, next } = await page<ShownDelivery>(list, { limit: "6" });
      expect([data.length, next], list).toEqual([6, null]);
    }
  });

  it.each([
    "status=failed",
    "status=",
    "event=",
    "since=now",
    "until=2026",
    "limit=0",
    "limit=251",
    "limit=-1",
    "cursor=x",
    "cursor=1",
    "sort=asc",
    "status=pending&status=pending",
  ])("answers 422 to ?%s", async (query) => {
    const { id } = await register();
    const response = await api("GET", `/v1/webhooks/${id}/deliveries?${query}`);
    expect(response.status).toBe(422);
    expect((await response.json<Problem>()).errors?.[0]?.path).toBe(query.split("=")[0]);
  });

  it("of a webhook that is not there is 404", async () => {
    const path = "/v1/webhooks/wh_00000000000000000000000000/deliveries";
    expect((await api("GET", path)).status).toBe(404);
    expect((await api("GET", `${path}/evt_00000000000000000000000000`)).status).toBe(404);
  });
});

describe("an event by Leadterra's own id", () => {
  it("is found, newest first, narrowed like any other search", async () => {
    const [sent, bounced] = await Promise.all([
      eventOf("message.sent", { messageId: "msg_1", sequenceStep: 1 }),
      eventOf("message.bounced", { messageId: "msg_1", bounceType: "soft", bounceReason: "full" }),
    ]);
    await consume([sent], { atMs: clock.nowMs() - MINUTE });
    await consume([bounced], { atMs: clock.nowMs() });
    expect(await listed({ key: "msg_1" })).toEqual([bounced.id, sent.id]);
    expect(await listed({ key: "msg_1", event: "message.sent" })).toEqual([sent.id]);
    expect(await listed({ key: "msg_2" })).toEqual([]);
  });

  it("is found by each of two ids that it has", async () => {
    const data = { messageId: "msg_1", reply: { id: "rpl_1" } };
    const [answer, opened] = [await eventOf("reply.received", data), await eventOf("x.y", data)];
    await consume([answer]);
    clock.advance(SECOND);
    await consume([opened]);
    for (const key of ["msg_1", "rpl_1"])
      expect(await listed({ key })).toEqual([opened.id, answer.id]);
  });

  it("comes on pages as small as they are asked for, each once", async () => {
    const messageId = "msg_1";
    const events = [
      await eventOf("message.sent", { messageId }),
      await eventOf("message.bounced", { messageId, bounceType: "soft" }),
      await eventOf("message.bounced", { messageId, bounceType: "hard" }),
      await eventOf("message.opened", { messageId }),
      await eventOf("reply.received", { messageId, reply: { id: messageId } }),
    ];
    for (const event of events) {
      await consume([event]);
      clock.advance(SECOND);
    }
    const newestFirst = events.map(({ id }) => id).reverse();
    for (const limit of ["1", "2", "3", "4", "5", "6"]) {
      expect(await listed({ key: messageId, limit }), limit).toEqual(newestFirst);
    }
    for (const [first, rest] of ["1 50", "2 3", "3 1", "4 250"].map((two) => two.split(" "))) {
      const begun = await page<ShownEvent>("/v1/events", { key: messageId, limit: `${first}` });
      const cursor = `${begun.next}`;
      const others = await all<ShownEvent>("/v1/events", {
        key: messageId,
        limit: `${rest}`,
        cursor,
      });
      const ids = [...begun.data, ...others].map(({ id }) => id);
      expect(ids, `${first}, then ${rest}`).toEqual(newestFirst);
    }
  });

  it("is found on the first page however much came since, and comes once", async () => {
    const messageId = "msg_1";
    const clicked = await eventOf("message.clicked", { messageId });
    const sent = await eventOf("message.sent", { messageId });
    const opened = await eventOf("message.opened", { messageId });
    for (const event of [clicked, sent]) await consume([event]);
    for (let count = 0; count < 1_100; count += 100) await consume(await newEvents(100));
    await consume([opened]);
    const { data, next } = await page<ShownEvent>("/v1/events", { key: messageId });
    expect(data.map(({ id }) => id)).toEqual([opened.id, sent.id]);
    for (const limit of ["1", "50"]) {
      const more = await all<ShownEvent>("/v1/events", {
        key: messageId,
        limit,
        cursor: `${next}`,
      });
      expect(more.map(({ id }) => id)).toEqual([clicked.id]);
    }
  });

  it("comes once where all four that the id itself finds stand ahead, on pages as small as they are", async () => {
    const messageId = "msg_1";
    const clicked = await eventOf("message.clicked", { messageId });
    const ahead = [
      await eventOf("message.sent", { messageId }),
      await eventOf("message.bounced", { messageId, bounceType: "soft" }),
      await eventOf("message.bounced", { messageId, bounceType: "hard" }),
      await eventOf("reply.received", { reply: { id: messageId } }),
    ];
    for (const event of [clicked, ...ahead]) {
      await consume([event]);
      clock.advance(SECOND);
    }
    for (let count = 0; count < 1_100; count += 100) await consume(await newEvents(100));
    const { data, next } = await page<ShownEvent>("/v1/events", { key: messageId });
    expect(data.map(({ id }) => id)).toEqual(ahead.map(({ id }) => id).reverse());
    for (const limit of ["1", "3"]) {
      const more = { key: messageId, limit, cursor: `${next}` };
      expect(await listed(more), limit).toEqual([clicked.id]);
    }
  });

  it("is found behind where a search by another id, or a narrower one, got to", async () => {
    const [messageId, data] = ["msg_1", { messageId: "msg_2" }];
    const other = await eventOf("message.sent", data);
    const bounced = await eventOf("message.bounced", { messageId, bounceType: "hard" });
    const sent = await eventOf("message.sent", { messageId });
    for (const event of [other, bounced, sent]) await consume([event]);
    for (let count = 0; count < 1_100; count += 100) await consume(await newEvents(100));
    const narrow = { key: messageId, event: "message.sent" };
    const { data: found, next } = await page<ShownEvent>("/v1/events", narrow);
    expect(found.map(({ id }) => id)).toEqual([sent.id]);
    const cursor = `${next}`;
    expect(await listed({ key: "msg_2", cursor })).toEqual([other.id]);
    expect(await listed({ key: messageId, cursor })).toEqual([bounced.id]);
    expect(await listed({ ...narrow, cursor })).toEqual([]);
  });

  it("is narrowed by an address as it stands anywhere in the data", async () => {
    const sent = await eventOf("message.sent", {
      messageId: "msg_1",
      to: "Bob <bob@acme.example>",
    });
    await consume([sent]);
    expect(await listed({ key: "msg_1", email: "BOB@acme.example" })).toEqual([sent.id]);
    for (const email of ["ava@acme.example", "ob@acme.example"]) {
      expect(await listed({ key: "msg_1", email })).toEqual([]);
    }
  });
});

describe("why an event went where it went", () => {
  type Explained = { webhooks: { webhookId: string; matched: boolean; why: string }[] };

  it("is said for every webhook, by the first condition that does not hold", async () => {
    const all = await register({ events: ["*"] });
    const hot = await register({
      events: ["reply.received"],
      filter: { "data.reply.classification": "interested" },
    });
    const cold = await register({
      events: ["reply.received"],
      filter: { "data.reply.classification": "unsubscribe" },
    });
    const sent = await register({ events: ["message.sent"] });
    const event = await reply(1, "ava@acme.example", "camp_1");
    await consume([event]);
    const late = await register({ events: ["*"] });
    await api("PATCH", `/v1/webhooks/${hot.id}`, { events: ["message.sent"] });
    const { webhooks } = await (await api("GET", `/v1/events/${event.id}`)).json<Explained>();
    const said = new Map(webhooks.map(({ webhookId, ...rest }) => [webhookId, rest]));
    expect(said.size).toBe(5);
    expect(said.get(all.id)).toEqual({ matched: true, why: "It asks for every event." });
    expect(said.get(cold.id)).toEqual({
      matched: false,
      why: 'It did not match: data.reply.classification is "interested", and the filter wants "unsubscribe".',
    });
    expect(said.get(sent.id)).toEqual({
      matched: false,
      why: "It did not match: asks for message.sent, not for reply.received.",
    });
    expect(said.get(hot.id)).toMatchObject({ matched: true });
    expect(said.get(hot.id)?.why).toContain("by the settings of now it would not");
    expect(said.get(late.id)).toMatchObject({ matched: false });
    expect(said.get(late.id)?.why).toContain("registered after it came in");
  });

  it("is told by the name alone of an event that was erased", async () => {
    const { id } = await register({
      events: ["reply.received"],
      filter: { "data.reply.classification": "interested" },
    });
    const event = await reply(1, "ava@acme.example", "camp_1");
    await consume([event]);
    await api("DELETE", `/v1/events/${event.id}`);
    const { webhooks } = await (await api("GET", `/v1/events/${event.id}`)).json<Explained>();
    expect(webhooks).toMatchObject([{ webhookId: id, matched: true }]);
    expect(webhooks[0]?.why).toContain("what the event said is gone");
  });
});

describe("the payload that the API shows", () => {
  it("is the text that came, to the digit", async () => {
    const text =
      '{"event":"message.sent","data":{"messageId":"msg_digits","big":8202522731445525542,"price":1.10,"none":-0,"much":1e999,"twice":1,"twice":2}}';
    await consume([new TextEncoder().encode(text)]);
    const { data } = await (await api("GET", "/v1/events")).json<{ data: { id: string }[] }>();
    const answer = await (await api("GET", `/v1/events/${data[0]?.id}`)).text();
    expect(answer).toContain(`"payload":${text},`);
    expect(JSON.parse(answer)).toMatchObject({ event: "message.sent", deliveries: [] });
  });
});
