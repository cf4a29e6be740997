import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import type { EventId, WebhookId } from "../../src/domain/ids";
import { DEAD_LETTERS_NAME, REGISTRY_NAME } from "../../src/domain/placement";
import { hastenDeliveries } from "../../src/operations/deliveries";
import { eventually } from "../rig/eventually";
import { signedIn, textOf } from "../rig/worker/dashboard";
import {
  accept,
  deliverAll,
  journal,
  newEvent,
  newEvents,
  type Owed,
  register,
  registry,
  settingsOf,
  tally,
} from "../rig/worker/engine";
import { answering, clock, holding, it, service } from "../rig/worker/fixture";
import { answerLost, diverted, withBindings } from "../rig/worker/objects";
import { API_KEY, api, bytesOf, call, callWith, READ_ONLY_API_KEY } from "../rig/worker/requests";

type Entry = {
  id: string;
  at: string;
  key: string | null;
  action: string;
  webhookId: string | null;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
};
type Page = { data: Entry[]; next: string | null };

async function audit(query = ""): Promise<Page> {
  const response = await api("GET", `/v1/audit${query}`);
  expect(response.status).toBe(200);
  return response.json();
}

async function last(): Promise<Entry> {
  const [entry] = (await audit("?limit=1")).data;
  if (entry === undefined) throw new Error("nothing was written down");
  return entry;
}

async function done(method: string, path: string, body?: unknown): Promise<Entry> {
  const response = await api(method, path, body);
  expect(response.ok, `${method} ${path}: ${response.status}`).toBe(true);
  return last();
}

async function fingerprint(key: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytesOf(key)));
  return [...digest.slice(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** In the journal, with no delivery. */
async function kept(...webhookIds: string[]): Promise<Owed> {
  const event = await newEvent({ lead: { email: "zoe@example.com" } });
  const entry = {
    ...event,
    timestamp: null,
    conforms: true,
    email: "zoe@example.com",
    campaignId: null,
    receivedAtMs: clock.nowMs(),
    webhookIds: webhookIds as WebhookId[],
  };
  await journal(clock.nowMs()).record({ entries: [entry] });
  return event;
}

/** In the journal and with the webhook. */
async function recorded(webhookId: string): Promise<Owed> {
  const event = await kept(webhookId);
  await accept(webhookId, [event]);
  return event;
}

async function deadLetter(id: string): Promise<void> {
  const letter = {
    id,
    eventId: `evt_${"0".repeat(26)}` as EventId,
    event: "message.sent",
    email: null,
    reason: "not_consumed" as const,
    receivedAtMs: clock.nowMs(),
    failedAtMs: clock.nowMs(),
    webhookIds: [],
  };
  const store = env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME);
  await store.keep({ letter, body: bytesOf("{}") });
}

describe("the audit log", () => {
  it("says who registered a webhook, and what", async () => {
    const { id } = await register({ url: "https://crm.example.com/in?token=hush", ordered: true });
    expect(await last()).toEqual({
      id: expect.stringMatching(/^aud_\d+$/),
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      key: await fingerprint(API_KEY),
      action: "webhook.created",
      webhookId: id,
      before: null,
      after: expect.objectContaining({
        url: "https://crm.example.com/in?…",
        events: ["*"],
        ordered: true,
        status: "active",
      }),
    });
  });

  it("says what a change changed, before and after, and nothing else", async () => {
    const { id } = await register({ rateLimit: 5, headers: { "x-a": "hush-hush" } });
    const path = `/v1/webhooks/${id}`;
    const changes = { rateLimit: 7, description: "the CRM", headers: { "x-b": "hush-hush" } };
    expect(await done("PATCH", path, changes)).toMatchObject({
      action: "webhook.updated",
      webhookId: id,
      before: { rateLimit: 5, description: null, headers: ["x-a"] },
      after: { rateLimit: 7, description: "the CRM", headers: ["x-b"] },
    });
    const { before, after } = await last();
    expect(Object.keys(before ?? {}).sort()).toEqual(Object.keys(after ?? {}).sort());
    expect(Object.keys(after ?? {})).toHaveLength(3);
  });

  it("names what changed by its value alone, which is not shown", async () => {
    const url = "https://crm.example.com/in";
    const { id } = await register({ url: `${url}?token=1`, headers: { "x-a": "hush-hush" } });
    const path = `/v1/webhooks/${id}`;
    const same = { before: { headers: ["x-a"] }, after: { headers: ["x-a"] } };
    expect(await done("PATCH", path, { headers: { "x-a": "hush-now" } })).toMatchObject(same);
    const shown = { url: `${url}?…` };
    const moved = await done("PATCH", path, { url: `${url}?token=2` });
    expect([moved.before, moved.after]).toEqual([shown, shown]);
    const rotated = await done("POST", `${path}/rotate-secret`, { gracePeriodSeconds: 0 });
    expect(rotated.before).toEqual({ signingSecrets: 1 });
    expect(rotated.after).toEqual({ signingSecrets: 1, gracePeriodSeconds: 0 });
    const page = await textOf("/dashboard/audit", await signedIn());
    const said = page.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ");
    expect(said).toContain(`url ${url}?… changed in what is not shown`);
    expect(said).toContain("headers x-a changed in what is not shown");
    expect(said).toContain("signingSecrets 1 changed in what is not shown");
  });

  it("has every way to hold, release, rotate and delete", async () => {
    const { id } = await register();
    const path = `/v1/webhooks/${id}`;
    expect(await done("POST", `${path}/pause`)).toMatchObject({
      action: "webhook.paused",
      before: { status: "active" },
      after: { status: "paused" },
    });
    expect(await done("POST", `${path}/resume`)).toMatchObject({
      action: "webhook.resumed",
      before: { status: "paused" },
      after: { status: "active" },
    });
    expect(await done("POST", `${path}/rotate-secret`, {})).toMatchObject({
      action: "webhook.secret_rotated",
      webhookId: id,
      after: { signingSecrets: 2, gracePeriodSeconds: 86_400 },
    });
    expect(await done("DELETE", path)).toMatchObject({
      action: "webhook.deleted",
      webhookId: id,
      before: { url: "https://crm.example.com/in" },
      after: null,
    });
  });

  it("has what was done with deliveries and events", async () => {
    service.answer = answering(500);
    const { id } = await register();
    const { id: eventId } = await recorded(id);
    await recorded(id);
    await deliverAll(id, clock);
    const path = `/v1/webhooks/${id}`;
    const since = "2020-01-01T00:00:00Z";
    const deeds: [string, string, unknown, string, string | null][] = [
      ["POST", `${path}/deliveries/${eventId}/retry`, undefined, "delivery.retried", id],
      ["POST", `${path}/deliveries/${eventId}/cancel`, undefined, "delivery.cancelled", id],
      ["POST", `${path}/replay`, { since, only: "all" }, "webhook.replayed", id],
      ["POST", `${path}/discard`, {}, "webhook.discarded", id],
      ["POST", `/v1/events/${eventId}/replay`, {}, "event.replayed", null],
      ["DELETE", `/v1/events/${eventId}`, undefined, "event.erased", null],
      ["POST", "/v1/events/erase", { email: "zoe@example.com" }, "person.erased", null],
    ];
    for (const [method, target, body, action, webhookId] of deeds) {
      const entry = await done(method, target, body);
      expect(entry).toMatchObject({ action, webhookId, key: await fingerprint(API_KEY) });
      if (target.includes(eventId)) expect(JSON.stringify(entry.after)).toContain(eventId);
    }
    expect(JSON.stringify(await audit())).not.toContain("zoe@example.com");
  });

  it("has no line for an erasure that found nothing, nor for one that is repeated", async () => {
    const { id } = await register();
    const event = await recorded(id);
    const erasures = async () => {
      const { data } = await audit();
      return data.filter(({ action }) => action.endsWith("erased")).map(({ after }) => after);
    };
    const erase = async (email: string) =>
      expect((await api("POST", "/v1/events/erase", { email })).status).toBe(202);
    await erase("nobody@example.com");
    expect(await erasures()).toEqual([]);
    await erase("zoe@example.com");
    await erase("zoe@example.com");
    await api("DELETE", `/v1/events/${event.id}`);
    await api("DELETE", `/v1/events/${event.id}`);
    expect(await erasures()).toEqual([{ id: event.id }, { events: 1 }]);
  });

  it("says what a replay and a discard were asked for, and what they came to", async () => {
    const { id } = await register();
    await recorded(id);
    const path = `/v1/webhooks/${id}`;
    const span = { since: "2020-01-01T00:00:00.000Z", until: "2099-01-01T00:00:00.000Z" };
    const asked = { ...span, only: "all", event: "message.sent" };
    expect((await done("POST", `${path}/replay`, asked)).after).toEqual({
      ...asked,
      deliveries: 1,
    });
    const { until } = span;
    expect((await done("POST", `${path}/discard`, { until })).after).toEqual({
      until,
      deliveries: 1,
    });
  });

  it("names the number of events that were erased, and to whom one was sent again", async () => {
    const { id } = await register();
    const { id: eventId } = await recorded(id);
    expect((await done("POST", `/v1/events/${eventId}/replay`)).after).toEqual({
      id: eventId,
      webhookIds: [id],
      deliveries: 1,
    });
    const erased = await done("POST", "/v1/events/erase", { email: "zoe@example.com" });
    expect(erased.after).toEqual({ events: 1 });
  });

  it("has nothing of what changed nothing", async () => {
    const { id } = await register();
    const event = await recorded(id);
    await api("DELETE", `/v1/events/${event.id}`);
    const { data: before } = await audit();
    const since = "2020-01-01T00:00:00Z";
    await api("DELETE", `/v1/events/${event.id}`);
    const path = `/v1/webhooks/${id}`;
    await api("POST", `${path}/replay`, { since, only: "undeliverable" });
    await api("POST", `${path}/replay`, { since, only: "all", dryRun: true });
    await api("POST", `${path}/discard`, { dryRun: true });
    await api("POST", `${path}/discard`, { event: "link.clicked" });
    expect((await audit()).data).toEqual(before);
  });

  it("has what was done with dead letters", async () => {
    await deadLetter("dl_1");
    await deadLetter("dl_2");
    expect(await done("POST", "/v1/dead-letters/dl_1/redrive")).toMatchObject({
      action: "dead_letter.redriven",
      after: { id: "dl_1" },
    });
    expect(await done("DELETE", "/v1/dead-letters/dl_2")).toMatchObject({
      action: "dead_letter.deleted",
      after: { id: "dl_2" },
    });
  });

  it("has what the relay did by itself, without a key", async () => {
    service.answer = answering(410);
    const { id } = await register();
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    expect(await last()).toMatchObject({
      key: null,
      action: "webhook.disabled",
      webhookId: id,
      before: { status: "active", statusReason: null },
      after: { status: "disabled", statusReason: "gone" },
    });
  });

  it("tells one key from another, and holds neither", async () => {
    const other = "other-key-with-all-rights";
    const { id } = await register();
    const authorization = `Bearer ${other}`;
    const bindings = { API_KEYS: `${API_KEY},${other}` };
    await callWith(bindings, `/v1/webhooks/${id}/pause`, {
      method: "POST",
      headers: { authorization },
    });
    const { data } = await audit();
    expect(data.map(({ key }) => key)).toEqual([
      await fingerprint(other),
      await fingerprint(API_KEY),
    ]);
    const text = JSON.stringify(data);
    for (const key of [API_KEY, other]) expect(text).not.toContain(key);
  });

  it("has no secret of a webhook", async () => {
    const token = "hush-hush-hush";
    const { id, signingSecret } = await register({
      url: `https://crm.example.com/in?token=${token}`,
      headers: { authorization: `Bearer ${token}` },
    });
    await api("PATCH", `/v1/webhooks/${id}`, { url: `https://crm.example.com/to?token=${token}` });
    await api("PATCH", `/v1/webhooks/${id}`, { headers: { authorization: token } });
    await api("POST", `/v1/webhooks/${id}/rotate-secret`, { signingSecret });
    await api("DELETE", `/v1/webhooks/${id}`);
    const text = JSON.stringify(await audit());
    expect(text).toContain("webhook.secret_rotated");
    for (const secret of [token, signingSecret, signingSecret.slice(6)]) {
      expect(text).not.toContain(secret);
    }
  });

  it("has nothing of what was refused", async () => {
    const { id } = await register();
    const { data: before } = await audit();
    await api("PATCH", `/v1/webhooks/${id}`, { color: "red" });
    await api("DELETE", `/v1/webhooks/wh_${"0".repeat(26)}`);
    await api("POST", `/v1/webhooks/${id}/deliveries/evt_${"0".repeat(26)}/cancel`);
    await api("POST", "/v1/dead-letters/dl_none/redrive");
    expect((await audit()).data).toEqual(before);
  });

  it("is read newest first, page by page, each entry once", async () => {
    const { id } = await register();
    for (const action of ["pause", "resume", "pause", "resume"]) {
      await api("POST", `/v1/webhooks/${id}/${action}`);
    }
    const { data: all, next: end } = await audit();
    expect(all.map(({ action }) => action)).toEqual([
      "webhook.resumed",
      "webhook.paused",
      "webhook.resumed",
      "webhook.paused",
      "webhook.created",
    ]);
    expect(end).toBeNull();
    const paged: Entry[] = [];
    const sizes: number[] = [];
    let query = "?limit=2";
    for (;;) {
      const { data, next } = await audit(query);
      paged.push(...data);
      sizes.push(data.length);
      if (next === null) break;
      query = `?limit=2&cursor=${encodeURIComponent(next)}`;
    }
    expect(paged).toEqual(all);
    expect(sizes).toEqual([2, 2, 1]);
  });

  it("may be read with a key that only reads", async () => {
    const headers = { authorization: `Bearer ${READ_ONLY_API_KEY}` };
    expect((await call("/v1/audit", { headers })).status).toBe(200);
  });

  it.each(["cursor=1", "cursor=aud_", "cursor=aud_x", "cursor=", "limit=0", "since=1"])(
    "answers 422 to ?%s",
    async (query) => {
      expect((await api("GET", `/v1/audit?${query}`)).status).toBe(422);
    },
  );
});

describe("what was done as a deploy restarted an object", () => {
  async function restarted(
    bindings: { [Name in keyof Env]?: unknown },
    method: string,
    path: string,
    body?: unknown,
  ): Promise<[status: number, body: unknown]> {
    const headers = { authorization: `Bearer ${API_KEY}` };
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    const response = await callWith(bindings, path, init);
    return [response.status, response.status === 204 ? null : await response.json()];
  }

  async function linesOf(action: string): Promise<Entry[]> {
    return (await audit()).data.filter((entry) => entry.action === action);
  }

  it("is answered, and written down once: asked for again, it would be done again", async () => {
    const { id } = await register();
    const event = await recorded(id);
    const bindings = { REGISTRY: answerLost(env.REGISTRY, REGISTRY_NAME, "addToAudit") };
    const body = { since: new Date(clock.nowMs() - 60_000).toISOString(), only: "all" };
    const answer = await restarted(bindings, "POST", `/v1/webhooks/${id}/replay`, body);
    expect(answer).toEqual([202, { replayed: 1, next: null }]);
    expect(await linesOf("webhook.replayed")).toHaveLength(1);
    // The same at another time is another line.
    for (let again = 0; again < 2; again++) {
      await done("POST", `/v1/webhooks/${id}/deliveries/${event.id}/retry`);
      clock.advance(1);
    }
    expect(await linesOf("delivery.retried")).toHaveLength(2);
  });

  it("is a webhook that is deleted, and not one that nobody finds", async () => {
    const { id } = await register({ name: "crm" });
    const bindings = { REGISTRY: answerLost(env.REGISTRY, REGISTRY_NAME, "remove") };
    expect(await restarted(bindings, "DELETE", "/v1/webhooks/crm")).toEqual([204, null]);
    expect(await linesOf("webhook.deleted")).toMatchObject([{ webhookId: id }]);
    expect((await api("DELETE", "/v1/webhooks/crm")).status).toBe(404);
  });

  it("is a deletion that its Subscriber has not heard of, and says so", async () => {
    const { id } = await register();
    const deaf = { remove: () => Promise.reject(new Error("gone")) };
    const registry = env.REGISTRY.getByName(REGISTRY_NAME);
    await withBindings(registry, (own) => ({ SUBSCRIBER: diverted(own.SUBSCRIBER, deaf) }));
    const bindings = { REGISTRY: answerLost(env.REGISTRY, REGISTRY_NAME, "remove") };
    const answer = await restarted(bindings, "DELETE", `/v1/webhooks/${id}`);
    expect(answer).toMatchObject([503, { code: "not_yet_in_force" }]);
  });

  it("is a webhook that is resumed, once", async () => {
    const { id } = await register({ status: "paused" });
    const bindings = { REGISTRY: answerLost(env.REGISTRY, REGISTRY_NAME, "resume") };
    const answer = await restarted(bindings, "POST", `/v1/webhooks/${id}/resume`);
    expect(answer).toMatchObject([200, { webhook: { status: "active" } }]);
    expect(await linesOf("webhook.resumed")).toHaveLength(1);
  });

  it("is a delivery that is cancelled, and not one that was cancelled before", async () => {
    const { id } = await register();
    const event = await recorded(id);
    const path = `/v1/webhooks/${id}/deliveries/${event.id}/cancel`;
    const bindings = { SUBSCRIBER: answerLost(env.SUBSCRIBER, id, "cancel") };
    expect(await restarted(bindings, "POST", path)).toMatchObject([200, { status: "cancelled" }]);
    expect(await linesOf("delivery.cancelled")).toHaveLength(1);
    clock.advance(1);
    const again = { SUBSCRIBER: answerLost(env.SUBSCRIBER, id, "cancel") };
    expect(await restarted(again, "POST", path)).toMatchObject([409, { code: "not_pending" }]);
  });

  const since = "2020-01-01T00:00:00Z";

  type Again = { action: string; answer: object; lost?: number; only?: string };

  describe.each(["has gone out", "is going out"])("which %s when it is asked for again", (when) => {
    const retry = { action: "delivery.retried", answer: { attempts: expect.any(Number) } };
    const replay = { action: "webhook.replayed", answer: { replayed: 1 } };

    // The first call to retry what was delivered finds that its body is needed: it loses the second.
    it.each<[string, number | null, Again]>([
      ["a retry of what was delivered", 204, { ...retry, lost: 2 }],
      ["a retry of what waits", 503, retry],
      ["a replay of what was delivered", 204, { ...replay, only: "all" }],
      ["a replay of what waits", 503, { ...replay, only: "all" }],
      ["a replay of what is missing", null, { ...replay, only: "missing" }],
    ])("is %s, once", async (_, first, { action, answer, lost = 1, only = null }) => {
      const { id } = await register();
      const event = first === null ? await kept() : await recorded(id);
      service.answer = answering(first ?? 204);
      await deliverAll(id, clock);
      service.requests.length = 0;
      const late = holding();
      const going: Promise<void>[] = [];
      const meanwhile = async () => {
        going.push(deliverAll(id, clock));
        await eventually(() => expect(service.requests).not.toHaveLength(0));
        if (when === "is going out") return;
        late.open();
        await Promise.all(going);
      };
      const lose = answerLost(env.SUBSCRIBER, id, "reopen", { lost, meanwhile });
      const path = only === null ? `deliveries/${event.id}/retry` : "replay";
      const body = only === null ? undefined : { since, only };
      const bindings = { SUBSCRIBER: lose };
      const said = await restarted(bindings, "POST", `/v1/webhooks/${id}/${path}`, body);
      late.open();
      await Promise.all(going);
      await deliverAll(id, clock);
      expect(said).toMatchObject([202, answer]);
      expect(service.requests).toHaveLength(1);
      expect(await tally(id)).toEqual({ delivered: 1 });
      expect(await linesOf(action)).toHaveLength(1);
    });
  });

  it("is all that was discarded, and what waits behind it still waits", async () => {
    const { id } = await register({ status: "paused" });
    await recorded(id);
    clock.advance(60_000);
    const until = new Date(clock.nowMs()).toISOString();
    await recorded(id);
    clock.advance(60_000);
    await recorded(id);
    const path = `/v1/webhooks/${id}/discard`;
    const bindings = { SUBSCRIBER: answerLost(env.SUBSCRIBER, id, "discard") };
    const answer = await restarted(bindings, "POST", path, { until });
    expect(answer).toEqual([202, { discarded: 1, next: null }]);
    expect(await linesOf("webhook.discarded")).toMatchObject([{ after: { deliveries: 1 } }]);
    expect(await tally(id)).toEqual({ cancelled: 1, pending: 2 });
    clock.advance(1);
    expect(await done("POST", path, {})).toMatchObject({ after: { deliveries: 2 } });
  });

  it("is all that goes now since the service is back", async () => {
    const { id } = await register({ retrySchedule: "1h" });
    service.answer = answering(503);
    await accept(id, await newEvents(3));
    await deliverAll(id, clock);
    const asked = { ...env, SUBSCRIBER: answerLost(env.SUBSCRIBER, id, "hasten") };
    const by = { key: "a person's" };
    expect(await hastenDeliveries(asked, await settingsOf(id), { by })).toBe(3);
    expect(await linesOf("webhook.replayed")).toMatchObject([{ after: { deliveries: 3 } }]);
  });

  it("is an event that nobody knows and that is erased, once", async () => {
    const { id } = await newEvent();
    const path = `/v1/events/${id}`;
    const bindings = { REGISTRY: answerLost(env.REGISTRY, REGISTRY_NAME, "rememberErased") };
    expect(await restarted(bindings, "DELETE", path)).toEqual([204, null]);
    clock.advance(1);
    expect((await api("DELETE", path)).status).toBe(204);
    expect(await linesOf("event.erased")).toMatchObject([{ after: { id } }]);
  });

  it("is told from the same that one key does twice at once", async () => {
    const atMs = clock.nowMs();
    const line = { by: { key: "a person's" }, action: "webhook.replayed", webhookId: null };
    for (const isAgain of [false, false, true]) {
      await registry().addToAudit({ ...line, atMs, after: null, isAgain });
    }
    expect(await linesOf("webhook.replayed")).toHaveLength(2);
  });

  it("is a dead letter that is deleted", async () => {
    await deadLetter("dl_1");
    const lost = answerLost(env.DEAD_LETTER_STORE, DEAD_LETTERS_NAME, "delete");
    const path = "/v1/dead-letters/dl_1";
    expect(await restarted({ DEAD_LETTER_STORE: lost }, "DELETE", path)).toEqual([204, null]);
    expect(await linesOf("dead_letter.deleted")).toHaveLength(1);
    expect((await api("DELETE", path)).status).toBe(404);
  });
});
