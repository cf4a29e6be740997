import {
  createExecutionContext,
  createMessageBatch,
  evictDurableObject,
  listDurableObjectIds,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect } from "vitest";
import type { Journal } from "../../src/actors/journal";
import { type EventId, eventIdOf, type WebhookId } from "../../src/domain/ids";
import { DEAD_LETTERS_NAME, journalName } from "../../src/domain/placement";
import worker from "../../src/index";
import { eventually } from "../rig/eventually";
import { deliverAll, deliveryOf, register, ring, subscriber } from "../rig/worker/engine";
import {
  type Asked,
  answering,
  clock,
  DAY,
  gate,
  HOUR,
  it,
  MINUTE,
  service,
} from "../rig/worker/fixture";
import { diverted, failStatements, inObject } from "../rig/worker/objects";
import { consume, leavingItToTheAlarm } from "../rig/worker/queue";
import { API_KEY, api, bytesOf, call, callWith, leadterraSignature } from "../rig/worker/requests";

const EMAIL = "zoe.quist@prospect.example";
const SNIPPET = "hedgehogs-at-midnight";

beforeEach(() => {
  service.answer = echo(500);
});

/** A debug page: what was sent comes back, and is kept in the attempt log. */
function echo(status: number) {
  return ({ body }: Asked) => new Response(body, { status });
}

let replies = 0;

function reply(email = EMAIL) {
  return {
    event: "reply.received",
    timestamp: "2026-11-23T09:14:35Z",
    data: {
      campaignId: "camp_1",
      lead: { email },
      reply: {
        id: `rpl_${++replies}`,
        classification: "interested",
        receivedAt: "2026-11-23T09:14:32Z",
        threadSnippet: SNIPPET,
      },
    },
  };
}

/** Events as Leadterra posts them and the queue hands them over, at once. @returns their ids. */
async function arrive(
  events: object[],
  { atMs = clock.nowMs(), attempts = 1, SUBSCRIBER = env.SUBSCRIBER } = {},
): Promise<EventId[]> {
  const ids: EventId[] = [];
  const messages: { id: string; timestamp: Date; attempts: number; body: ArrayBuffer }[] = [];
  const queue = {
    send: async ({ buffer }: Uint8Array<ArrayBuffer>) => {
      const timestamp = new Date(atMs);
      messages.push({ id: crypto.randomUUID(), timestamp, attempts, body: buffer });
    },
  };
  for (const event of events) {
    const body = bytesOf(event);
    const headers = { "x-leadterra-signature": await leadterraSignature(body) };
    const sent = { method: "POST", headers, body };
    const answer = await callWith({ EVENTS: queue }, "/webhooks/leadterra", sent);
    expect(answer.status).toBe(202);
    ids.push((await answer.json<{ id: EventId }>()).id);
  }
  await worker.queue(
    createMessageBatch<ArrayBuffer>("leadterra-events", messages),
    leavingItToTheAlarm({ ...env, SUBSCRIBER }),
    createExecutionContext(),
  );
  return ids;
}

const NAMESPACES = ["REGISTRY", "SUBSCRIBER", "JOURNAL", "DEAD_LETTER_STORE"] as const;

/** Where any of `texts` is found: every row of every table of every object, their other storage, and KV. */
async function found(...texts: string[]): Promise<string[]> {
  const places: string[] = [];
  const holds = (value: unknown) => {
    const text = textIn(value).toLowerCase();
    return texts.some((each) => text.includes(each.toLowerCase()));
  };
  for (const name of NAMESPACES) {
    const namespace = env[name] as DurableObjectNamespace;
    for (const id of await listDurableObjectIds(namespace)) {
      for (const [place, value] of await inObject(namespace.get(id), contents)) {
        if (holds(value)) places.push(`${name} ${place}`);
      }
    }
  }
  for (const { name } of (await env.IDEMPOTENCY.list()).keys) {
    if (holds([name, await env.IDEMPOTENCY.get(name)])) places.push(`KV ${name}`);
  }
  return [...new Set(places)].sort();
}

async function contents({ storage }: DurableObjectState): Promise<[string, unknown][]> {
  const tables = storage.sql
    .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")
    .toArray()
    .map(({ name }) => name)
    .filter((name) => !name.startsWith("_cf_") && !name.startsWith("sqlite_"));
  const rows = tables.flatMap((name) =>
    storage.sql
      .exec(`SELECT * FROM ${name}`)
      .toArray()
      .map((row): [string, unknown] => [name.replace(/_\d+$/, ""), Object.values(row)]),
  );
  return [...rows, ["storage", [...(await storage.list())]]];
}

function textIn(value: unknown): string {
  if (value instanceof ArrayBuffer) return new TextDecoder().decode(value);
  if (ArrayBuffer.isView(value)) return new TextDecoder().decode(value);
  if (Array.isArray(value)) return value.map(textIn).join("\n");
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

async function keepDeadLetter(id: string, eventId: EventId, email: string): Promise<void> {
  const letter = {
    id,
    eventId,
    event: "reply.received",
    email,
    reason: "not_consumed" as const,
    receivedAtMs: clock.nowMs(),
    failedAtMs: clock.nowMs(),
    webhookIds: [`wh_${"0".repeat(26)}` as WebhookId],
  };
  const store = env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME);
  await store.keep({ letter, body: bytesOf(reply(email)) });
}

async function deadLetters(): Promise<string[]> {
  const response = await api("GET", "/v1/dead-letters");
  return (await response.json<{ data: { id: string }[] }>()).data.map(({ id }) => id);
}

describe("DELETE /v1/events/{id}", () => {
  it("leaves the address and the payload in no table of any object", async () => {
    const failing = await register();
    const held = await register();
    await api("POST", `/v1/webhooks/${held.id}/pause`);
    const [id] = await arrive([reply()]);
    if (id === undefined) throw new Error("there is no event");
    await ring(subscriber(failing.id));
    await keepDeadLetter("dl_1", id, EMAIL);
    expect(await found(EMAIL, SNIPPET)).toEqual([
      "DEAD_LETTER_STORE dead_letters",
      "JOURNAL batches",
      "JOURNAL events",
      "SUBSCRIBER deliveries",
      "SUBSCRIBER run",
    ]);

    expect((await api("DELETE", `/v1/events/${id}`)).status).toBe(204);

    expect(await found(EMAIL, SNIPPET)).toEqual([]);
    expect(await deadLetters()).toEqual([]);
    for (const webhook of [failing, held]) {
      expect(await deliveryOf(webhook.id, id)).toMatchObject({
        status: "cancelled",
        lastError: "erased",
        nextAttemptAt: null,
      });
    }
  });

  it("keeps the record of what was delivered when", async () => {
    service.answer = echo(200);
    const { id: webhookId } = await register();
    const [id] = await arrive([reply()]);
    if (id === undefined) throw new Error("there is no event");
    await deliverAll(webhookId, clock);
    const before = await deliveryOf(webhookId, id);
    expect(before.attemptLog[0]?.responseBody).toContain(EMAIL);

    await api("DELETE", `/v1/events/${id}`);

    expect(await found(EMAIL, SNIPPET)).toEqual([]);
    const attemptLog = before.attemptLog.map((attempt) => ({ ...attempt, responseBody: null }));
    expect(await deliveryOf(webhookId, id)).toEqual({ ...before, attemptLog });
    const event = await (await api("GET", `/v1/events/${id}`)).json();
    const { attemptLog: _, ...delivery } = before;
    expect(event).toMatchObject({ id, payload: null, deliveries: [delivery] });
  });

  it("leaves nothing to send again", async () => {
    const { id: webhookId } = await register();
    const [id] = await arrive([reply()]);
    await api("DELETE", `/v1/events/${id}`);
    expect((await api("POST", `/v1/events/${id}/replay`)).status).toBe(409);
    expect((await api("POST", `/v1/webhooks/${webhookId}/deliveries/${id}/retry`)).status).toBe(
      409,
    );
    const since = new Date(clock.nowMs() - DAY).toISOString();
    for (const only of ["all", "missing", "undeliverable"]) {
      const replay = await api("POST", `/v1/webhooks/${webhookId}/replay`, { since, only });
      expect(await replay.json()).toMatchObject({ replayed: 0 });
    }
    await deliverAll(webhookId, clock);
    expect(service.requests).toEqual([]);
  });

  it.each([
    ["pending", ""],
    ["cancelled", "cancel"],
  ])(
    "holds for an attempt on its way of one that is %s: what comes back is not kept",
    async (_, act) => {
      const { opened, open } = gate();
      service.answer = async (asked) => {
        await opened;
        return echo(500)(asked);
      };
      const { id: webhookId } = await register();
      const [id] = await arrive([reply()]);
      if (id === undefined) throw new Error("there is no event");
      const ringing = ring(subscriber(webhookId));
      await eventually(() => expect(service.requests).toHaveLength(1));
      if (act !== "") await api("POST", `/v1/webhooks/${webhookId}/deliveries/${id}/${act}`);
      expect((await api("DELETE", `/v1/events/${id}`)).status).toBe(204);
      open();
      await ringing;
      expect(await deliveryOf(webhookId, id)).toMatchObject({ status: "cancelled", attempts: 1 });
      expect(await found(EMAIL, SNIPPET)).toEqual([]);
      await deliverAll(webhookId, clock);
      expect(service.requests).toHaveLength(1);
    },
  );

  it("leaves an address in no id of Leadterra's own either, and those that hold none", async () => {
    const data = { messageId: EMAIL, sequenceStep: 1, campaignId: `for ${EMAIL}` };
    const odd = { event: "message.sent", timestamp: EMAIL, data };
    const usual = reply();
    await arrive([odd, usual]);
    const answer = await api("POST", "/v1/events/erase", { email: EMAIL });
    expect(await answer.json()).toMatchObject({ erased: 2, next: null });
    expect(await found(EMAIL, SNIPPET)).toEqual([]);
    const { timestamp, data: said } = usual;
    for (const query of [`key=${said.reply.id}`, `campaignId=${said.campaignId}`]) {
      const listed = await (await api("GET", `/v1/events?${query}`)).json();
      expect(listed).toMatchObject({ data: [{ event: "reply.received", timestamp }] });
    }
  });

  it("leaves none that stands there as JSON that Leadterra put into a text", async () => {
    const escaped = EMAIL.replace("@", "\\u0040");
    await arrive([{ event: "message.sent", data: { messageId: escaped, sequenceStep: 1 } }]);
    const answer = await api("POST", "/v1/events/erase", { email: EMAIL });
    expect(await answer.json()).toMatchObject({ erased: 1, next: null });
    expect(await found(escaped)).toEqual([]);
  });

  it("leaves none of a copy that arrives later either", async () => {
    const data = { messageId: EMAIL, sequenceStep: 1 };
    const odd = { event: "message.sent", timestamp: EMAIL, data };
    const id = await eventIdOf(odd.event, EMAIL);
    expect((await api("DELETE", `/v1/events/${id}`)).status).toBe(204);
    expect(await arrive([odd])).toEqual([id]);
    expect(await found(EMAIL)).toEqual([]);
    const shown = await (await api("GET", `/v1/events/${id}`)).json();
    expect(shown).toMatchObject({ id, timestamp: null, payload: null });
  });

  it("touches no other event", async () => {
    await register();
    const [id, other] = await arrive([reply(), reply("someone.else@prospect.example")]);
    await api("DELETE", `/v1/events/${id}`);
    const event = await (await api("GET", `/v1/events/${other}`)).json();
    expect(event).toMatchObject({
      payload: { data: { lead: { email: "someone.else@prospect.example" } } },
      deliveries: [{ status: "pending" }],
    });
  });

  it("answers 204 for every well-formed id, known or not", async () => {
    expect((await api("DELETE", `/v1/events/evt_${"0".repeat(26)}`)).status).toBe(204);
    expect((await api("DELETE", "/v1/events/1")).status).toBe(404);
  });

  it("holds for a copy that is still in the queue: it is recorded, without payload and for nobody", async () => {
    const { id: webhookId } = await register();
    const event = reply();
    const id = await eventIdOf(event.event, event.data.reply.id);
    expect((await api("DELETE", `/v1/events/${id}`)).status).toBe(204);
    expect(await arrive([event])).toEqual([id]);
    await deliverAll(webhookId, clock);
    expect(service.requests).toEqual([]);
    expect(await found(EMAIL, SNIPPET)).toEqual([]);
    const shown = await (await api("GET", `/v1/events/${id}`)).json();
    const { timestamp } = event;
    expect(shown).toMatchObject({ id, timestamp, payload: null, webhookIds: [], deliveries: [] });
    const why = "It was erased before it came in.";
    expect(shown).toMatchObject({ webhooks: [{ webhookId, matched: false, why }] });
    clock.advance(15 * DAY);
    // After that no queue can have one: what comes then was sent anew.
    await api("DELETE", `/v1/events/evt_${"1".repeat(26)}`);
    await env.IDEMPOTENCY.delete(id);
    await arrive([event]);
    await deliverAll(webhookId, clock);
    expect(service.requests).toHaveLength(1);
  });

  it("leaves the journal as it is while a webhook's object cannot be asked, so that it can be repeated", async () => {
    const { id: webhookId } = await register();
    await api("POST", `/v1/webhooks/${webhookId}/pause`);
    const [id] = await arrive([reply()]);
    await failStatements(subscriber(webhookId), {
      start: "UPDATE deliveries_",
      message: "disk I/O error",
      times: 1,
    });
    const erase = () => api("POST", "/v1/events/erase", { email: EMAIL });
    expect((await erase()).status).toBe(503);
    const repeated = await erase();
    expect(await repeated.json()).toMatchObject({ erased: 1, next: null });
    expect(await found(EMAIL, SNIPPET)).toEqual([]);
    expect(await deliveryOf(webhookId, String(id))).toMatchObject({ lastError: "erased" });
  });
});

describe("a day that a RETENTION which was made shorter has left behind", () => {
  async function leftBehind(): Promise<{ id: EventId; stub: DurableObjectStub<Journal> }> {
    const [id] = (await arrive([reply()])) as [EventId];
    const stub = env.JOURNAL.getByName(journalName(clock.nowMs()));
    clock.advance(DAY + 15 * MINUTE);
    // It hands over what it counted.
    await ring(stub);
    clock.advance(11 * DAY);
    return { id, stub };
  }

  const shorter = { RETENTION: "7d" };

  it("is found by the id of an event", async () => {
    const { id, stub } = await leftBehind();
    const erased = await callWith(shorter, `/v1/events/${id}`, withKey("DELETE"));
    expect(erased.status).toBe(204);
    expect(await stub.get(id)).toMatchObject({ erased: true, email: null });
  });

  it("is found by a person's address", async () => {
    const { id, stub } = await leftBehind();
    const body = JSON.stringify({ email: EMAIL });
    const answer = await callWith(shorter, "/v1/events/erase", withKey("POST", body));
    expect(await answer.json()).toMatchObject({ erased: 1, next: null });
    expect(await stub.get(id)).toMatchObject({ erased: true, email: null });
  });
});

describe("what outlives the journal of its event", () => {
  const OTHER = "someone.else@prospect.example";
  const since = "2020-01-01T00:00:00Z";

  /** The event's journal goes, while what was done late with it is kept. */
  async function letJournalGo(arrivedAtMs: number, stored = EMAIL): Promise<void> {
    clock.advance(4 * DAY);
    await ring(env.JOURNAL.getByName(journalName(arrivedAtMs)));
    expect(await found(EMAIL)).toEqual(expect.not.arrayContaining(["JOURNAL events"]));
    expect(await found(stored)).toContain("SUBSCRIBER deliveries");
  }

  async function eraseThem(): Promise<void> {
    const erase = () => api("POST", "/v1/events/erase", { email: EMAIL });
    expect(await (await erase()).json()).toMatchObject({ erased: 1, next: null });
    expect(await found(EMAIL)).toEqual([]);
    expect(await found(OTHER)).toContain("SUBSCRIBER deliveries");
    expect(await (await erase()).json()).toMatchObject({ erased: 0, next: null });
  }

  it("is erased where it was opened again, and is held", async () => {
    const { id: webhookId } = await register({ retrySchedule: "1m" });
    const arrivedAtMs = clock.nowMs();
    const [id] = await arrive([reply(), reply(OTHER)]);
    for (let attempt = 0; attempt < 2; attempt++) {
      await deliverAll(webhookId, clock);
      clock.advance(2 * MINUTE);
    }
    clock.advance(28 * DAY);
    await api("POST", `/v1/webhooks/${webhookId}/pause`);
    const asked = { since, only: "undeliverable" };
    const replayed = await api("POST", `/v1/webhooks/${webhookId}/replay`, asked);
    expect(await replayed.json()).toMatchObject({ replayed: 2 });
    await letJournalGo(arrivedAtMs);
    await eraseThem();
    expect(await deliveryOf(webhookId, String(id))).toMatchObject({ lastError: "erased" });
  });

  it("is erased where a webhook was given what it had missed", async () => {
    const arrivedAtMs = clock.nowMs();
    const [id] = await arrive([reply(), reply(OTHER)]);
    clock.advance(28 * DAY);
    service.answer = echo(200);
    const { id: webhookId } = await register();
    await api("POST", `/v1/webhooks/${webhookId}/replay`, { since, only: "missing" });
    await deliverAll(webhookId, clock);
    await letJournalGo(arrivedAtMs);
    await eraseThem();
    const { attemptLog } = await deliveryOf(webhookId, String(id));
    expect(attemptLog).toMatchObject([{ statusCode: 200, responseBody: null }]);
  });

  it("is erased where a dead letter was redriven late", async () => {
    service.answer = echo(200);
    const { id: webhookId } = await register();
    const arrivedAtMs = clock.nowMs();
    const unreachable = diverted(env.SUBSCRIBER, { accept: () => Promise.reject(new Error()) });
    const [id] = await arrive([reply(), reply(OTHER)], { attempts: 91, SUBSCRIBER: unreachable });
    clock.advance(28 * DAY);
    const redriven = await api("POST", "/v1/dead-letters/redrive");
    expect(await redriven.json()).toMatchObject({ redriven: 2 });
    await deliverAll(webhookId, clock);
    await letJournalGo(arrivedAtMs);
    await eraseThem();
    const { attemptLog } = await deliveryOf(webhookId, String(id));
    expect(attemptLog).toMatchObject([{ statusCode: 200, responseBody: null }]);
  });

  it("is erased where its webhook was given it after midnight", async () => {
    const { id: webhookId } = await register();
    await api("POST", `/v1/webhooks/${webhookId}/pause`);
    const midnightMs = Math.ceil(clock.nowMs() / DAY) * DAY;
    clock.setTo(midnightMs + 10 * HOUR);
    const [id] = await arrive([reply(), reply(OTHER)], { atMs: midnightMs - MINUTE });
    clock.setTo(midnightMs + 26 * DAY + HOUR);
    await letJournalGo(midnightMs - MINUTE);
    await eraseThem();
    expect(await deliveryOf(webhookId, String(id))).toMatchObject({ lastError: "erased" });
  });

  /** As if a webhook had delivered so many more, a hundred of them at once, to which nothing was answered. */
  async function deliverMore(webhookId: string, count: number): Promise<void> {
    await inObject(subscriber(webhookId), ({ storage: { sql } }) => {
      const { name } = sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name GLOB 'arrivals_*'")
        .one();
      const deliveries = name.replace("arrivals", "deliveries");
      sql.exec(
        `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1) INSERT INTO ${deliveries} (id, seq, position, event, status, created_at, asked, attempts, failures, interruptions, log) SELECT printf('evt_%026d', i), 9 + i / 100, i % 100, 'a', 1, ?, 0, 1, 0, 0, '[[1,"scheduled",1,1,204,null,null,0,null]]' FROM n`,
        count,
        clock.nowMs(),
      );
      sql.exec(
        `INSERT INTO ${name} (seq, at, total, ids) SELECT seq, max(created_at), 100 * seq, json_group_array(id) FROM ${deliveries} WHERE seq >= 9 GROUP BY seq`,
      );
    });
    await evictDurableObject(subscriber(webhookId));
  }

  it.each([
    ["as it is", EMAIL],
    ["as HTML, escaped as JSON", EMAIL.replace("@", "\\u0026#64;")],
    ["as a link, escaped as JSON", EMAIL.replace("@", "\\u002540")],
  ])(
    "is erased of what services answered, as long as its table lasts for what came later: %s",
    async (_, said) => {
      service.answer = async ({ body }) => {
        const sent = await new Response(body).text();
        return new Response(sent.replaceAll(EMAIL, said));
      };
      const PERIOD = 5 * DAY;
      clock.setTo((Math.floor(clock.nowMs() / PERIOD) + 1) * PERIOD + HOUR);
      const { id: webhookId } = await register();
      const arrivedAtMs = clock.nowMs();
      await arrive([reply(OTHER)]);
      await deliverAll(webhookId, clock);
      // More than one look takes.
      await deliverMore(webhookId, 21_000);
      const [id] = await arrive([reply()]);
      await deliverAll(webhookId, clock);
      clock.advance(4 * DAY);
      await arrive([reply(OTHER)]);
      await deliverAll(webhookId, clock);
      clock.advance(24 * DAY);
      await letJournalGo(arrivedAtMs, JSON.stringify(said).slice(1, -1));
      await subscriber(webhookId).check();
      expect((await subscriber(webhookId).ofPerson(EMAIL, null)).next).not.toBeNull();
      // A look that goes on later keeps no table from being dropped.
      await inObject(subscriber(webhookId), ({ storage: { sql } }) => {
        sql.exec("CREATE TABLE dropped (id TEXT)");
        sql.exec("DROP TABLE dropped");
      });
      await eraseThem();
      const { attemptLog } = await deliveryOf(webhookId, String(id));
      expect(attemptLog).toMatchObject([{ statusCode: 200, responseBody: null }]);
    },
  );

  it("goes from what services answered to the events of others, which go their way", async () => {
    service.answer = () => new Response(`not for ${EMAIL}`, { status: 500 });
    const { id: webhookId } = await register({ retrySchedule: "1m" });
    const [id] = await arrive([reply(OTHER)]);
    await deliverAll(webhookId, clock);
    expect(await found(EMAIL)).toContain("SUBSCRIBER run");
    await api("POST", "/v1/events/erase", { email: EMAIL });
    expect(await found(EMAIL)).toEqual([]);
    expect(await deliveryOf(webhookId, String(id))).toMatchObject({
      status: "pending",
      attemptLog: [{ statusCode: 500, responseBody: null }],
    });
    service.answer = answering(204);
    const path = `/v1/webhooks/${webhookId}/deliveries/${id}`;
    expect((await api("POST", `${path}/cancel`)).status).toBe(200);
    // What is erased cannot be sent again; this is not.
    expect((await api("POST", `${path}/retry`)).status).toBe(202);
    await deliverAll(webhookId, clock);
    expect(await deliveryOf(webhookId, String(id))).toMatchObject({ status: "delivered" });
  });

  it("goes by itself after RETENTION from what the last failure answered", async () => {
    const { id: webhookId } = await register({ retrySchedule: "1m" });
    await arrive([reply()]);
    await deliverAll(webhookId, clock);
    clock.advance(2 * MINUTE);
    await deliverAll(webhookId, clock);
    expect(await found(EMAIL)).toContain("SUBSCRIBER run");
    clock.advance(31 * DAY);
    await subscriber(webhookId).check();
    await ring(subscriber(webhookId));
    expect(await found(EMAIL)).not.toContain("SUBSCRIBER run");
  });
});

function withKey(method: string, body?: string): RequestInit {
  return { method, headers: { authorization: `Bearer ${API_KEY}` }, ...(body && { body }) };
}

describe("POST /v1/events/erase", () => {
  async function erase(email: string): Promise<number> {
    let erased = 0;
    let cursor: string | null = null;
    do {
      const body: object = { email, ...(cursor !== null && { cursor }) };
      const response = await api("POST", "/v1/events/erase", body);
      expect(response.status).toBe(202);
      const page: { erased: number; next: string | null } = await response.json();
      erased += page.erased;
      cursor = page.next;
    } while (cursor !== null);
    return erased;
  }

  it("keeps what is answered of an event that came anew since, and was sent again", async () => {
    service.answer = () => new Response("try later", { status: 500 });
    const { id: webhookId } = await register();
    const event = reply();
    const [id] = await arrive([event]);
    if (id === undefined) throw new Error("there is no event");
    expect(await erase(EMAIL)).toBe(1);
    clock.advance(DAY);
    await consume([bytesOf(event)]);
    expect((await api("POST", `/v1/events/${id}/replay`)).status).toBe(202);
    await ring(subscriber(webhookId));
    const { attemptLog } = await deliveryOf(webhookId, id);
    expect(attemptLog).toMatchObject([{ statusCode: 500, responseBody: "try later" }]);
  });

  it("erases all of one person's events, on every day, however the address is written", async () => {
    const failing = await register();
    const other = "someone.else@prospect.example";
    await arrive([reply(), reply(EMAIL.toUpperCase())], { atMs: clock.nowMs() - DAY });
    const [, kept] = await arrive([reply(), reply(other)]);
    if (kept === undefined) throw new Error("there is no event");
    await deliverAll(failing.id, clock);
    await keepDeadLetter("dl_1", `evt_${"0".repeat(26)}` as EventId, EMAIL);
    await keepDeadLetter("dl_2", `evt_${"1".repeat(26)}` as EventId, other);
    expect((await found(EMAIL)).length).toBeGreaterThan(3);

    expect(await erase(EMAIL)).toBe(4);

    expect(await found(EMAIL)).toEqual([]);
    expect(await deadLetters()).toEqual(["dl_2"]);
    const list = await api("GET", `/v1/events?email=${encodeURIComponent(EMAIL)}`);
    expect(await list.json()).toMatchObject({ data: [] });
    expect(await deliveryOf(failing.id, kept)).toMatchObject({ status: "pending" });
    expect(await erase(EMAIL)).toBe(0);
  });

  it("goes on from page to page until nothing is left", async () => {
    const { id } = await register();
    await api("POST", `/v1/webhooks/${id}/pause`);
    await arrive(Array.from({ length: 130 }, () => reply()));
    const response = await api("POST", "/v1/events/erase", { email: EMAIL });
    const { next } = await response.json<{ next: string | null }>();
    expect(next).not.toBeNull();
    await erase(EMAIL);
    expect(await found(EMAIL, SNIPPET)).toEqual([]);
  }, 60_000);

  it("leaves no trace of the address of its own", async () => {
    await arrive([reply()]);
    const response = await call("/v1/events/erase", {
      method: "POST",
      headers: { authorization: `Bearer ${API_KEY}`, "idempotency-key": "key-1" },
      body: JSON.stringify({ email: EMAIL }),
    });
    expect(response.status).toBe(202);
    expect(await found(EMAIL)).toEqual([]);
  });

  it("leaves nothing of what a service said to a retry, nor gives that answer again", async () => {
    const { id } = await register();
    service.answer = () => new Response(`known here: ${EMAIL}`, { status: 500 });
    const [eventId] = await arrive([reply()]);
    await ring(subscriber(id));
    const headers = { authorization: `Bearer ${API_KEY}`, "idempotency-key": "key-2" };
    const body = '{"wait":true}';
    const path = `/v1/webhooks/${id}/deliveries/${eventId}/retry`;
    const retry = () => call(path, { method: "POST", headers, body });
    expect(await (await retry()).text()).toContain(EMAIL);
    expect(await found(EMAIL)).toContain("REGISTRY answers");
    await erase(EMAIL);
    expect(await found(EMAIL)).toEqual([]);
    expect(await (await retry()).text()).not.toContain(EMAIL);
  });

  it("leaves nothing of what a service said to a test, nor gives that answer again", async () => {
    const { id } = await register();
    service.answer = () => new Response(`known here: ${EMAIL}`, { status: 500 });
    const headers = { authorization: `Bearer ${API_KEY}`, "idempotency-key": "key-1" };
    const test = () => call(`/v1/webhooks/${id}/test`, { method: "POST", headers });
    expect(await (await test()).text()).toContain(EMAIL);
    expect(await found(EMAIL)).toEqual(["REGISTRY answers"]);
    service.answer = answering(204);
    await erase(EMAIL);
    expect(await found(EMAIL)).toEqual([]);
    expect(await (await test()).text()).not.toContain(EMAIL);
  });

  it.each([
    ["no address", {}],
    ["an empty address", { email: "" }],
    ["a list", { email: [EMAIL] }],
    ["a cursor of something else", { email: EMAIL, cursor: "1.0" }],
    ["an unknown field", { email: EMAIL, all: true }],
  ])("answers 422 to %s", async (_, body) => {
    expect((await api("POST", "/v1/events/erase", body)).status).toBe(422);
  });
});
