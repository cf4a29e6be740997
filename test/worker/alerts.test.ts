import {
  createExecutionContext,
  createMessageBatch,
  evictDurableObject,
  getQueueResult,
  waitOnExecutionContext,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect } from "vitest";
import worker from "../../src";
import {
  type AlertText,
  deadLetterAlert,
  nameOf,
  objectAlert,
  overAlert,
  relayAlert,
  waitingLettersAlert,
  webhookAlert,
} from "../../src/domain/alert";
import type { Webhook } from "../../src/domain/webhook";
import { allWebhooks } from "../../src/operations/webhooks";
import { sweep } from "../../src/sweep";
import {
  accept,
  deliverAll,
  journal,
  newEvent,
  newEvents,
  register,
  registry,
  ring,
  subscriber,
} from "../rig/worker/engine";
import {
  answering,
  clock,
  DAY,
  gate,
  HOUR,
  it,
  MINUTE,
  SECOND,
  service,
} from "../rig/worker/fixture";
import { diverted, inObject, withVariables } from "../rig/worker/objects";
import { leavingItToTheAlarm } from "../rig/worker/queue";
import { api, bytesOf } from "../rig/worker/requests";

const ALERT_URL = "https://alerts.example.com/hook/secret-part";

beforeEach(async () => {
  await withVariables(registry(), { ALERT_URL });
});

/** What was posted to `ALERT_URL`. */
async function alerts(): Promise<string[]> {
  await registry().sendAlerts();
  return service.requests
    .filter(({ url }) => url === ALERT_URL)
    .map(({ body }) => JSON.parse(new TextDecoder().decode(body)).text);
}

/** That nothing came is no part of it. */
const sweepQuietly = (changes: Partial<Env> = {}) =>
  sweep({ ...env, SILENCE_ALERT: "off", ...changes });

async function consume(bodies: Uint8Array[]): Promise<void> {
  const messages = bodies.map((body, index) => ({
    id: `alert-${index}-${crypto.randomUUID()}`,
    timestamp: new Date(clock.nowMs()),
    attempts: 1,
    body: body.slice().buffer,
  }));
  const batch = createMessageBatch<ArrayBuffer>("leadterra-events", messages);
  const context = createExecutionContext();
  await worker.queue(batch, leavingItToTheAlarm(env), context);
  await waitOnExecutionContext(context);
  await getQueueResult(batch, context);
}

describe("an alert", () => {
  it("leaves once for many dead letters of one batch, however long it takes", async () => {
    const slow = gate();
    service.answer = async () => {
      await slow.opened;
      return answering(200)();
    };
    // It is acknowledged while the alert is on its way.
    await consume(Array.from({ length: 5 }, (_, index) => bytesOf(`no JSON ${index}`)));
    expect((await env.DEAD_LETTER_STORE.getByName("dead-letters").stats()).count).toBe(5);
    slow.open();
    expect(await alerts()).toHaveLength(1);
    expect((await alerts())[0]).toMatch(/5 events could not be handed over .*dead-letters/);
  });

  it("leaves when its batch is acknowledged, not before", async () => {
    let acked = 0;
    const ackedByThen: number[] = [];
    service.answer = () => {
      ackedByThen.push(acked);
      return answering(200)();
    };
    const messages = ["a", "b", "c"].map((id) => ({
      id,
      timestamp: new Date(clock.nowMs()),
      attempts: 1,
      body: bytesOf(`no JSON ${id}`).buffer,
      ack: () => {
        acked += 1;
      },
      retry: () => {},
    }));
    const context = createExecutionContext();
    await worker.queue({ queue: "leadterra-events", messages } as never, env, context);
    await waitOnExecutionContext(context);
    await registry().sendAlerts();
    expect(ackedByThen).toEqual([3]);
  });

  it("is told when it begins, daily while it lasts, and when it is over", async () => {
    const unreadable = () => consume([bytesOf(`not JSON ${crypto.randomUUID()}`)]);
    await unreadable();
    clock.advance(HOUR);
    await unreadable();
    await sweepQuietly();
    expect(await alerts()).toEqual([expect.stringContaining("could not be handed over")]);
    clock.advance(DAY - HOUR);
    await sweepQuietly();
    expect((await alerts()).slice(1)).toEqual([expect.stringContaining("2 dead letters wait")]);
    for (const { id } of await env.DEAD_LETTER_STORE.getByName("dead-letters").list(null, 10)) {
      expect((await api("DELETE", `/v1/dead-letters/${id}`)).status).toBe(204);
    }
    for (let sweeps = 0; sweeps < 4; sweeps++) {
      clock.advance(5 * MINUTE);
      await sweepQuietly();
    }
    expect((await alerts()).slice(2)).toEqual([
      "Leadterra Relay: it is over: 2 dead letters wait for somebody to redrive or delete them.",
    ]);
  });

  it("about what comes and goes is one", async () => {
    const { id } = await register();
    const check = () => Promise.reject(new Error("gone"));
    const faulty = (isFaulty: boolean) =>
      isFaulty ? { SUBSCRIBER: diverted(env.SUBSCRIBER, { check }) } : {};
    for (let sweeps = 0; sweeps < 6; sweeps++) {
      await sweepQuietly(faulty(sweeps % 2 === 0));
      clock.advance(5 * MINUTE);
    }
    expect(await alerts()).toEqual([expect.stringContaining(`Subscriber ${id} does not answer`)]);
  });

  it("that nobody looks for is over after a quiet day", async () => {
    await registry().raise({
      cause: "full Journal x",
      text: "Leadterra Relay: it is full. Do so.",
    });
    expect(await alerts()).toHaveLength(1);
    clock.advance(DAY - MINUTE);
    await sweepQuietly();
    expect(await alerts()).toHaveLength(1);
    clock.advance(MINUTE);
    await sweepQuietly();
    expect((await alerts()).slice(1)).toEqual(["Leadterra Relay: it is over: it is full."]);
  });

  it("of long ago is not told to be over", async () => {
    await registry().raise({
      cause: "full Journal x",
      text: "Leadterra Relay: it is full. Do so.",
    });
    expect(await alerts()).toHaveLength(1);
    clock.advance(3 * DAY);
    await sweepQuietly();
    expect(await alerts()).toHaveLength(1);
  });

  it("that could not leave is sent by a later sweep, and then no more", async () => {
    service.answer = answering(500);
    await consume([bytesOf("not JSON")]);
    expect(await alerts()).toHaveLength(1);
    service.answer = answering(200);
    clock.advance(MINUTE);
    await sweepQuietly();
    expect(await alerts()).toHaveLength(2);
    await sweepQuietly();
    expect(await alerts()).toHaveLength(2);
  });

  it("asks a URL that refuses with backoff, however much there is to tell, and says since when", async () => {
    service.answer = answering(404);
    const sinceMs = clock.nowMs();
    for (let minutes = 0; minutes < 180; minutes += 5) {
      await registry().raise({ cause: `cause ${minutes}`, text: "Leadterra Relay: so it is." });
      await registry().sendAlerts();
      clock.advance(5 * MINUTE);
    }
    const asked = (await alerts()).length;
    expect(asked).toBeGreaterThan(3);
    expect(asked).toBeLessThan(9);
    expect(await registry().alertsRefused()).toEqual({
      refusedSinceMs: expect.closeTo(sinceMs, -4),
      statusCode: 404,
    });
    service.answer = answering(200);
    clock.advance(HOUR);
    expect((await alerts()).length).toBe(asked + 36);
    expect(await registry().alertsRefused()).toBeNull();
  });

  it("asks another URL at once, and says no more that they are refused", async () => {
    service.answer = answering(404);
    await registry().raise({ cause: "full Journal x", text: "Leadterra Relay: it is full." });
    expect(await alerts()).toHaveLength(1);
    expect(await registry().alertsRefused()).toMatchObject({ statusCode: 404 });
    await withVariables(registry(), { ALERT_URL: "https://alerts.example.com/another" });
    expect(await registry().alertsRefused()).toBeNull();
    service.answer = answering(500);
    await registry().sendAlerts();
    expect(service.requests.at(-1)?.url).toBe("https://alerts.example.com/another");
    expect(await registry().alertsRefused()).toMatchObject({ statusCode: 500 });
    const asked = service.requests.length;
    await registry().sendAlerts();
    expect(service.requests).toHaveLength(asked);
  });

  it("asks a URL with credentials as Basic, and shows them to nobody else", async () => {
    await withVariables(registry(), { ALERT_URL: "https://me:p%40ss@alerts.example.com/hook" });
    await registry().raise({ cause: "full x", text: "Leadterra Relay: it is full." });
    await registry().sendAlerts();
    const [asked] = service.requests;
    expect(asked?.url).toBe("https://alerts.example.com/hook");
    expect(asked?.headers.get("authorization")).toBe(`Basic ${btoa("me:p@ss")}`);
  });

  it("about a webhook that was deleted while the sweep looked does not come", async () => {
    const { id } = await register();
    const check = async () => {
      const report = await subscriber(id).check();
      await api("DELETE", `/v1/webhooks/${id}`);
      return { ...report, undeliverable: 3 };
    };
    await sweepQuietly({ SUBSCRIBER: diverted(env.SUBSCRIBER, { check }) });
    expect(await alerts()).toEqual([]);
  });

  it("about a webhook goes with it, also when it is deleted by its name", async () => {
    const { id } = await register({ name: "crm" });
    service.answer = answering(500);
    await registry().raise({
      cause: `full Subscriber ${id}`,
      text: "Leadterra Relay: it is full.",
    });
    expect(await alerts()).toHaveLength(1);
    service.answer = answering(200);
    expect((await api("DELETE", "/v1/webhooks/crm")).status).toBe(204);
    clock.advance(HOUR);
    await sweepQuietly();
    expect(await alerts()).toHaveLength(1);
  });

  it.each([
    ["does not answer", () => Promise.reject(new Error("the object is gone"))],
    ["never answers", () => new Promise(() => undefined)],
  ])("says that an object %s, while the others are looked at", async (_, check) => {
    const [dead, late] = [await register(), await register({ retrySchedule: "10d" })];
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 500 });
    await accept(late.id, await newEvents(1));
    clock.advance(2 * HOUR);
    // An object that nobody asks for ten seconds is evicted, and its variables with it.
    const asking = setInterval(() => void registry().all(), SECOND);
    await sweepQuietly({ SUBSCRIBER: diverted(env.SUBSCRIBER, { check }, [dead.id]) });
    clearInterval(asking);
    expect((await alerts()).sort()).toEqual([
      expect.stringContaining(`Subscriber ${dead.id} does not answer`),
      expect.stringContaining(late.id),
    ]);
  });

  it("names an object with data of a newer release, to the consumer and to the sweep", async () => {
    const { id } = await register();
    await inObject(subscriber(id), ({ storage }) => {
      storage.sql.exec("UPDATE version SET number = number + 1");
    });
    await evictDurableObject(subscriber(id));
    const { body } = await newEvent();
    await consume([body]);
    expect(await alerts()).toEqual([expect.stringContaining(`Subscriber ${id}`)]);
    clock.advance(DAY);
    await sweepQuietly();
    expect(await alerts()).toHaveLength(2);
  });

  it.each<[AlertText, string]>([
    [waitingLettersAlert(2), "/dashboard/dead-letters"],
    [deadLetterAlert(2, "unreadable"), "/dashboard/dead-letters"],
    [relayAlert("expiring dead letters", 0), "/dashboard/dead-letters"],
    [relayAlert("full DeadLetters"), "/dashboard/dead-letters"],
    [relayAlert("misconfigured", ["RETENTION"]), "/dashboard"],
    [relayAlert("silence", null), "/dashboard"],
    [relayAlert("full Registry"), "/dashboard"],
    [objectAlert("unreachable", "Journal 2026-11-29"), "/dashboard"],
  ])("leads to the page that shows it: %o to %s", async (alert, page) => {
    await registry().raise(alert);
    expect(await alerts()).toEqual([`${alert.text} ${page}`]);
    await register();
    clock.advance(DAY);
    await registry().raise(alert);
    expect((await alerts()).at(-1)).toBe(`${alert.text} https://relay.example${page}`);
  });

  it("says that a webhook is disabled, once, with the way to its page, and keeps its query to itself", async () => {
    const { id } = await register({ url: "https://crm.example.com/in?token=hidden" });
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 410 });
    await accept(id, await newEvents(3));
    await deliverAll(id, clock);
    await ring(subscriber(id));
    await sweepQuietly();
    expect(await alerts()).toEqual([
      expect.stringMatching(
        new RegExp(` resume it\\. https://relay\\.example/dashboard/webhooks/${id}$`),
      ),
    ]);
    expect((await alerts())[0]).not.toContain("hidden");
  });

  it("says at the next sweep that it is over, where a person ended it", async () => {
    const { id } = await register();
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 410 });
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    await ring(subscriber(id));
    await sweepQuietly();
    expect(await alerts()).toEqual([expect.stringContaining("is disabled")]);
    service.answer = answering(200);
    expect((await api("POST", `/v1/webhooks/${id}/resume`)).status).toBe(200);
    await deliverAll(id, clock);
    clock.advance(5 * MINUTE);
    await sweepQuietly();
    expect((await alerts()).slice(1)).toEqual([expect.stringContaining("it is over: webhook")]);
  });

  it("says that a delivery is overdue by an hour, and not before", async () => {
    const { id } = await register({ retrySchedule: "10d" });
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 500 });
    await accept(id, await newEvents(1));
    clock.advance(HOUR - MINUTE);
    await sweepQuietly();
    expect(await alerts()).toEqual([]);
    clock.advance(2 * MINUTE);
    await sweepQuietly();
    expect(await alerts()).toEqual([expect.stringContaining(id)]);
  });

  it("warns a day before held deliveries expire, and not earlier", async () => {
    const { id } = await register({ retrySchedule: "1h 1h" });
    clock.setTo((Math.floor(clock.nowMs() / (5 * DAY)) + 1) * 5 * DAY + 4 * DAY);
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 500 });
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    for (const waited of [25 * DAY + HOUR, 4 * DAY - 2 * HOUR]) {
      clock.advance(waited);
      await sweepQuietly();
      expect(await alerts()).toEqual([]);
    }
    clock.advance(2 * HOUR);
    await sweepQuietly();
    expect(await alerts()).toEqual([expect.stringMatching(/expire/)]);
  });

  it("warns of what expires at half of a RETENTION that is shorter than two days", async () => {
    const { id } = await register();
    const expiresAtMs = clock.nowMs() + DAY;
    const check = async () => ({ overdueSinceMs: null, expiresAtMs });
    const letters = env.DEAD_LETTER_STORE.getByName("dead-letters");
    await withVariables(letters, { RETENTION: "1d" });
    const letter = { eventId: null, event: null, email: null, receivedAtMs: 0, webhookIds: null };
    const failed = { id: "dl_1", reason: "unreadable" as const, failedAtMs: clock.nowMs() };
    await letters.keep({ letter: { ...letter, ...failed }, body: new Uint8Array() });
    const expiring = async () => (await alerts()).filter((text) => text.includes("expire from"));
    const SUBSCRIBER = diverted(env.SUBSCRIBER, { check });
    for (const waited of [0, 6 * HOUR]) {
      clock.advance(waited);
      await sweepQuietly({ RETENTION: "1d", SUBSCRIBER });
      expect(await expiring()).toEqual([]);
    }
    clock.advance(7 * HOUR);
    await sweepQuietly({ RETENTION: "1d", SUBSCRIBER });
    expect((await expiring()).sort()).toEqual([
      expect.stringContaining("dead letters expire"),
      expect.stringContaining(id),
    ]);
  });

  it("names a retry schedule of its own that a RETENTION made shorter cuts off", async () => {
    const { id } = await register({ retrySchedule: "1h 2d" });
    await register({ retrySchedule: "1h 1d" });
    await sweepQuietly();
    expect(await alerts()).toEqual([]);
    await sweepQuietly({ RETENTION: "2d" });
    expect(await alerts()).toEqual([expect.stringMatching(`${id}.*retry schedule.*RETENTION`)]);
    clock.advance(5 * MINUTE);
    await sweepQuietly({ RETENTION: "3d" });
    expect((await alerts()).slice(1)).toEqual([expect.stringContaining("it is over: webhook")]);
  });
});

describe("a webhook's alert", () => {
  const sendAll = async (id: string, count: number) => {
    for (const event of await newEvents(count)) {
      await consume([event.body]);
      await deliverAll(id, clock);
    }
  };

  it.each(["", " \n"])(
    "has a description only where there is one to read: %j is none",
    async (description) => {
      const { id } = await register({ name: "crm", giveUpOn: [404], description });
      service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 404 });
      await sendAll(id, 1);
      await sweepQuietly();
      expect(await alerts()).toEqual([
        expect.stringContaining("webhook crm (crm.example.com) has"),
      ]);
    },
  );

  it("has the beginning of a long description, in one line and spelled out, and says of its end what is over", async () => {
    const description = `Ours. \u202e(new)\n${"long ".repeat(190)}`;
    const { id } = await register({ name: "crm", description });
    const webhook = (await allWebhooks(env)).find((each) => each.id === id) as Webhook;
    const raised = webhookAlert(webhook, "disabled", "gone");
    expect(raised.text).toMatch(
      /^Leadterra Relay: webhook crm \(crm\.example\.com, Ours\. \\u202e\(new\) (long ){1,13}lo?n?g?…\) is disabled: /,
    );
    const [, said = ""] = raised.text.split("…) ");
    const [sentence] = said.split(/(?<=\.) /);
    expect(overAlert(raised).text).toBe(
      `Leadterra Relay: it is over: ${raised.text.slice(17, raised.text.indexOf("…) ") + 3)}${sentence}`,
    );
  });

  it("says what a webhook leads to where that has no host", async () => {
    const { id } = await register({ name: "anna", url: "listener:", giveUpOn: [404] });
    const webhook = (await allWebhooks(env)).find((each) => each.id === id) as Webhook;
    expect(nameOf(webhook)).toBe("anna (listener:)");
    expect(nameOf({ ...webhook, url: "service:CRM/in" })).toBe("anna (service:CRM)");
  });

  it("says that deliveries are undeliverable, by the webhook's name, until they are delivered after all", async () => {
    const { id } = await register({ name: "crm", giveUpOn: [404] });
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 404 });
    await sendAll(id, 2);
    await sweepQuietly();
    expect(await alerts()).toEqual([
      expect.stringContaining("webhook crm (crm.example.com) has 2 undeliverable deliveries"),
    ]);
    service.answer = answering(200);
    const since = new Date(clock.nowMs() - HOUR).toISOString();
    await api("POST", `/v1/webhooks/${id}/replay`, { since, only: "undeliverable" });
    await deliverAll(id, clock);
    for (let sweeps = 0; sweeps < 4; sweeps++) {
      clock.advance(5 * MINUTE);
      await sweepQuietly();
    }
    expect((await alerts()).slice(1)).toEqual([
      expect.stringContaining("it is over: webhook crm (crm.example.com) has 2 undeliverable"),
    ]);
  });

  it("says that it is failing, fifteen minutes after the first failure and not before, unless it is held", async () => {
    const { id } = await register({ name: "crm" });
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 500 });
    await sendAll(id, 1);
    clock.advance(14 * MINUTE);
    await sweepQuietly();
    expect(await alerts()).toEqual([]);
    clock.advance(2 * MINUTE);
    await api("POST", `/v1/webhooks/${id}/pause`);
    await sweepQuietly();
    expect(await alerts()).toEqual([]);
    await api("POST", `/v1/webhooks/${id}/resume`);
    await deliverAll(id, clock);
    clock.advance(16 * MINUTE);
    await sweepQuietly();
    expect(await alerts()).toEqual([
      expect.stringContaining("webhook crm (crm.example.com) is failing: its first failure was at"),
    ]);
    service.answer = answering(200);
    await sendAll(id, 1);
    clock.advance(HOUR);
    await deliverAll(id, clock);
    for (let sweeps = 0; sweeps < 4; sweeps++) {
      clock.advance(5 * MINUTE);
      await sweepQuietly();
    }
    expect((await alerts()).slice(1)).toEqual([
      expect.stringContaining("it is over: webhook crm (crm.example.com) is failing"),
    ]);
  });
});

describe("an alert about how a webhook sends", () => {
  it.each(["pause", "DELETE"])("is not over, and not told again, after %s", async (what) => {
    const { id } = await register({ name: "crm" });
    service.answer = ({ url }) => new Response(null, { status: url === ALERT_URL ? 200 : 500 });
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    clock.advance(16 * MINUTE);
    await sweepQuietly();
    expect(await alerts()).toEqual([expect.stringContaining("is failing")]);
    const path = `/v1/webhooks/${id}`;
    await (what === "pause" ? api("POST", `${path}/pause`) : api("DELETE", path));
    for (let sweeps = 0; sweeps < 4; sweeps++) {
      clock.advance(5 * MINUTE);
      await sweepQuietly();
    }
    expect(await alerts()).toHaveLength(1);
  });
});

describe("a variable that does not parse", () => {
  it("is told, by its name, and told to be over once it does", async () => {
    await sweep({ ...env, DELIVERY_TIMEOUT: "soon", SILENCE_ALERT: "off" });
    expect(await alerts()).toEqual([
      expect.stringMatching(/^Leadterra Relay: DELIVERY_TIMEOUT has no usable value: .*healthz/),
    ]);
    for (let sweeps = 0; sweeps < 3; sweeps++) {
      clock.advance(5 * MINUTE);
      await sweepQuietly();
    }
    expect((await alerts()).slice(1)).toEqual([
      expect.stringContaining("it is over: DELIVERY_TIMEOUT has no usable value"),
    ]);
  });
});

describe("SILENCE_ALERT", () => {
  const sweepWith = () => sweep({ ...env, SILENCE_ALERT: "24h" });

  it("says that no event came for so long, and is quiet while nobody has registered a webhook", async () => {
    clock.advance(2 * DAY);
    await sweepWith();
    expect(await alerts()).toEqual([]);
    await register();
    await sweepWith();
    expect(await alerts()).toEqual([]);
    clock.advance(DAY + MINUTE);
    await sweepWith();
    expect(await alerts()).toEqual([expect.stringMatching(/no event/)]);
  });
});

describe("SILENCE_ALERT without a webhook", () => {
  it("says that no event came for so long, once there were some", async () => {
    await consume([(await newEvent()).body]);
    await sweep({ ...env, SILENCE_ALERT: "24h" });
    expect(await alerts()).toEqual([]);
    clock.advance(DAY + MINUTE);
    await sweep({ ...env, SILENCE_ALERT: "24h" });
    expect(await alerts()).toEqual([expect.stringMatching(/no event was accepted since/)]);
  });
});

describe("SILENCE_ALERT beside a shorter RETENTION", () => {
  it("counts from the last event, though its day is gone", async () => {
    clock.setTo(Math.floor(clock.nowMs() / DAY) * DAY + DAY + 23 * HOUR);
    await register({ events: ["campaign.started"] });
    await consume([(await newEvent()).body]);
    const brief = { RETENTION: "12h" };
    const day = journal(clock.nowMs());
    await withVariables(day, brief);
    clock.advance(14 * HOUR);
    await ring(day);
    const sweepWith = () => sweep({ ...env, ...brief, SILENCE_ALERT: "24h" });
    await sweepWith();
    expect(await alerts()).toEqual([]);
    clock.advance(10 * HOUR);
    await sweepWith();
    expect(await alerts()).toEqual([expect.stringMatching(/no event was accepted since/)]);
  });
});

describe("a Registry that is nearly full", () => {
  it("says so while it can", async () => {
    await inObject(registry(), ({ storage: { sql } }) => {
      Object.defineProperty(sql, "databaseSize", { value: 9.9 * 1024 ** 3 });
    });
    await sweepQuietly();
    expect(await alerts()).toEqual([expect.stringContaining("the Registry is nearly full")]);
  });
});
