import { env } from "cloudflare:workers";
import { describe, expect, vi } from "vitest";
import type { WebhookId } from "../../src/domain/ids";
import { renderMetrics } from "../../src/domain/open-metrics";
import { retryDelivery } from "../../src/operations/deliveries";
import { metrics as metricsOf } from "../../src/operations/metrics";
import { ownStats, stats as statsOf } from "../../src/operations/stats";
import { eventually } from "../rig/eventually";
import {
  accept,
  deliverAll,
  deliveryOf,
  journal,
  newEvents,
  type Owed,
  register,
  registry,
  settingsOf,
  subscriber,
  tally,
} from "../rig/worker/engine";
import {
  answering,
  clock,
  HOUR,
  holding,
  it,
  MINUTE,
  SECOND,
  service,
} from "../rig/worker/fixture";
import { diverted, withBindings } from "../rig/worker/objects";
import { consume } from "../rig/worker/queue";
import { api } from "../rig/worker/requests";

type Health = {
  state: string;
  since: string | null;
  nextAttemptAt: string | null;
  pending: number;
  undeliverable: number;
  oldestDueAt: string | null;
  lastSuccessAt: string | null;
  lastFailure: {
    at: string;
    eventId: string;
    statusCode: number | null;
    error: string;
    responseBody: string | null;
  } | null;
};
type Stats = {
  all: Record<string, unknown>;
  webhooks: { id: string; pending: number; undeliverable: number; health: Health }[];
  queues: Record<string, { backlog: number | null; oldestAt: string | null }>;
  alerts: unknown;
};

async function healthOf(id: string): Promise<Health> {
  const response = await api("GET", `/v1/webhooks/${id}/health`);
  expect(response.status).toBe(200);
  return response.json<Health>();
}

async function stats(): Promise<Stats> {
  return (await api("GET", "/v1/stats")).json<Stats>();
}

async function metrics(): Promise<string[]> {
  const response = await api("GET", "/v1/metrics");
  expect(response.headers.get("content-type")).toBe(
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
  );
  return (await response.text()).split("\n");
}

const failing = (body: string) => () => new Response(body, { status: 500 });

/** Accepts events one after the other, each answered as told. */
async function deliver(id: string, count: number): Promise<Owed[]> {
  const events = await newEvents(count);
  for (const event of events) {
    await accept(id, [event]);
    await deliverAll(id, clock);
  }
  return events;
}

describe("the health of a webhook", () => {
  it("is that of a new one", async () => {
    const { id } = await register();
    expect(await healthOf(id)).toEqual({
      state: "healthy",
      since: null,
      nextAttemptAt: null,
      pending: 0,
      undeliverable: 0,
      oldestDueAt: null,
      lastSuccessAt: null,
      lastFailure: null,
    });
    expect((await api("GET", "/v1/webhooks/wh_01M85DJESJ1MXV096GYZ8PQ6WK/health")).status).toBe(
      404,
    );
  });

  it("names the cause, however much waits that was never tried", async () => {
    const { id } = await register({ retrySchedule: "1h" });
    service.answer = failing("database is down");
    const failed = await deliver(id, 10);
    await accept(id, await newEvents(50));
    const health = await healthOf(id);
    const { lastFailure } = health;
    expect(lastFailure).toMatchObject({
      eventId: failed[9]?.id,
      statusCode: 500,
      error: "status",
      responseBody: "database is down",
    });
    expect(health).toMatchObject({
      state: "probing",
      since: lastFailure?.at,
      pending: 60,
      lastSuccessAt: null,
    });
    expect(Date.parse(health.nextAttemptAt ?? "")).toBe(Date.parse(lastFailure?.at ?? "") + MINUTE);
    service.answer = answering(204);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    const after = await healthOf(id);
    expect(after).toMatchObject({ state: "healthy", pending: 10, lastFailure });
    expect(Date.parse(after.since ?? "")).toBeLessThanOrEqual(
      Date.parse(after.lastSuccessAt ?? ""),
    );
  });

  it("stands in stats and metrics alike, and forgets what a replay delivered", async () => {
    const { id } = await register({ retrySchedule: "1s" });
    service.answer = answering(503);
    const events = await newEvents(3);
    await accept(id, events);
    await deliverAll(id, clock);
    clock.advance(2 * SECOND);
    await deliverAll(id, clock);
    const health = await healthOf(id);
    expect(health).toMatchObject({ state: "failing", pending: 0, undeliverable: 3 });
    const [own] = (await stats()).webhooks;
    expect(own).toMatchObject({ id, pending: 0, undeliverable: 3, health });
    expect(await metrics()).toEqual(
      expect.arrayContaining([
        `relay_undeliverable{webhook="${id}"} 3`,
        `relay_webhook_state{webhook="${id}",state="failing"} 1`,
        `relay_webhook_state{webhook="${id}",state="healthy"} 0`,
        `relay_attempts_total{webhook="${id}",outcome="status"} 6`,
        `relay_deliveries_total{webhook="${id}",status="undeliverable"} 3`,
      ]),
    );
    service.answer = answering(204);
    for (const { id: eventId, event, body } of events) {
      await subscriber(id).reopen({ deliveries: [{ id: eventId, event, body }], by: "replay" });
    }
    await deliverAll(id, clock);
    expect(await healthOf(id)).toMatchObject({ state: "healthy", undeliverable: 0 });
    expect((await stats()).webhooks[0]).toMatchObject({
      undeliverable: 3,
      health: { undeliverable: 0 },
    });
    expect(await metrics()).toEqual(
      expect.arrayContaining([
        `relay_undeliverable{webhook="${id}"} 0`,
        `relay_attempts_total{webhook="${id}",outcome="success"} 3`,
        `relay_deliveries_total{webhook="${id}",status="undeliverable"} 3`,
        `relay_deliveries_total{webhook="${id}",status="delivered"} 3`,
        `relay_attempt_duration_seconds_count{webhook="${id}"} 9`,
        "# EOF",
      ]),
    );
  });

  it("adds up to that of all webhooks, in the same figures", async () => {
    const [fine, poor] = [await register(), await register({ retrySchedule: "1s" })];
    await deliver(fine.id, 2);
    service.answer = answering(503);
    await deliver(poor.id, 1);
    clock.advance(2 * SECOND);
    await deliverAll(poor.id, clock);
    await api("POST", `/v1/webhooks/${poor.id}/pause`);
    const [cancelled, pending] = (await newEvents(2)) as [Owed, Owed];
    await accept(poor.id, [cancelled, pending]);
    await api("POST", `/v1/webhooks/${poor.id}/deliveries/${cancelled.id}/cancel`);
    const { all, webhooks } = await stats();
    const figures = { pending: 1, delivered: 2, undeliverable: 1, cancelled: 1 };
    expect(all).toMatchObject({ ...figures, successRate: 0.5 });
    expect(webhooks[0]).toMatchObject({ ...figures, delivered: 0, successRate: 0 });
  });

  it("is paused, disabled, postponed since it is so", async () => {
    const { id } = await register();
    await api("POST", `/v1/webhooks/${id}/pause`);
    const paused = await healthOf(id);
    expect(paused.state).toBe("paused");
    expect(clock.nowMs() - Date.parse(paused.since ?? "")).toBeLessThan(MINUTE);
    await api("POST", `/v1/webhooks/${id}/resume`);
    service.answer = answering(429, { headers: { "retry-after": "600" } });
    await deliver(id, 1);
    const postponed = await healthOf(id);
    const failedAtMs = Date.parse(postponed.lastFailure?.at ?? "");
    expect(postponed).toMatchObject({ state: "postponed", since: postponed.lastFailure?.at });
    expect(Date.parse(postponed.nextAttemptAt ?? "")).toBe(failedAtMs + 600 * SECOND);
    expect(postponed.oldestDueAt).toBe(postponed.nextAttemptAt);
    service.answer = answering(410);
    clock.advance(601 * SECOND);
    await deliverAll(id, clock);
    expect(await healthOf(id)).toMatchObject({ state: "disabled", nextAttemptAt: null });
  });

  it("is disabled since the answer that did it, though the first word of it to its Registry was lost", async () => {
    const { id } = await register();
    let tries = 0;
    await withBindings(subscriber(id), ({ REGISTRY }) => {
      const reportDisabled = (
        ...said: Parameters<ReturnType<typeof registry>["reportDisabled"]>
      ) =>
        ++tries > 1 ? registry().reportDisabled(...said) : Promise.reject(new Error("restarted"));
      return { REGISTRY: diverted(REGISTRY, { reportDisabled }) };
    });
    const [gone, slow] = (await newEvents(2)) as [Owed, Owed];
    service.answer = async ({ eventId }) => {
      if (eventId === gone.id) return answering(410)();
      await eventually(async () => expect((await healthOf(id)).state).toBe("disabled"));
      expect((await settingsOf(id)).status).toBe("active");
      clock.advance(8 * SECOND);
      return answering(204)();
    };
    await accept(id, [gone, slow]);
    await deliverAll(id, clock);
    expect((await settingsOf(id)).status).toBe("disabled");
    const disabled = await healthOf(id);
    expect(disabled).toMatchObject({ state: "disabled", since: disabled.lastFailure?.at });
  });

  it("is disabled for its Registry too at once, while another attempt is under way", async () => {
    const { id } = await register();
    const [gone, slow] = (await newEvents(2)) as [Owed, Owed];
    const late = holding();
    const { answer } = service;
    service.answer = (asked) => (asked.eventId === gone.id ? answering(410)() : answer(asked));
    await accept(id, [gone, slow]);
    const going = deliverAll(id, clock);
    const disabled = { status: "disabled", statusReason: "gone" };
    await eventually(async () => expect(await settingsOf(id)).toMatchObject(disabled)).finally(
      late.open,
    );
    await going;
    expect(await tally(id)).toEqual({ pending: 1, delivered: 1 });
    expect(await settingsOf(id)).toMatchObject(disabled);
  });

  it.each([500, 410])(
    "is disabled since the first answer that did it, once, though another of %i comes behind it",
    async (status) => {
      const logged = vi.spyOn(console, "error");
      const { id } = await register();
      const [gone, slow] = (await newEvents(2)) as [Owed, Owed];
      let since: string | null = null;
      service.answer = async ({ eventId }) => {
        if (eventId === gone.id) return answering(410)();
        await eventually(async () => expect((await settingsOf(id)).status).toBe("disabled"));
        ({ since } = await healthOf(id));
        clock.advance(8 * SECOND);
        return answering(status)();
      };
      await accept(id, [gone, slow]);
      await deliverAll(id, clock);
      expect(await healthOf(id)).toMatchObject({ state: "disabled", since });
      const disabled = logged.mock.calls.filter(([line]) => `${line}`.includes("webhook.disabled"));
      expect(disabled).toHaveLength(1);
    },
  );

  it("is paused since it was made, where it was made so", async () => {
    const made = await api("POST", "/v1/webhooks", {
      url: "https://crm.example.com/in",
      events: ["*"],
      status: "paused",
    });
    const { webhook } = await made.json<{ webhook: { id: string; createdAt: string } }>();
    const paused = await healthOf(webhook.id);
    expect(paused).toMatchObject({ state: "paused", since: webhook.createdAt });
    await api("POST", `/v1/webhooks/${webhook.id}/resume`);
    expect((await healthOf(webhook.id)).state).toBe("healthy");
  });

  it("is late when something was due a minute ago and the service answers", async () => {
    const { id } = await register({ rateLimit: 0.001 });
    await accept(id, await newEvents(3));
    await deliverAll(id, clock);
    expect((await healthOf(id)).state).toBe("healthy");
    clock.advance(2 * MINUTE);
    const late = await healthOf(id);
    expect(late).toMatchObject({ state: "late", pending: 2 });
    expect(Date.parse(late.since ?? "")).toBe(Date.parse(late.oldestDueAt ?? "") + MINUTE);
  });

  it("forgets what an answer said of an erased event", async () => {
    const { id } = await register();
    service.answer = failing("no such lead: ava@acme.example");
    const [event] = (await deliver(id, 1)) as [Owed];
    await subscriber(id).eraseMany([event.id]);
    expect((await healthOf(id)).lastFailure).toMatchObject({ statusCode: 500, responseBody: null });
  });

  it("keeps its counters over a crash in the middle of a run", async () => {
    const { id } = await register();
    await deliver(id, 3);
    const before = await metrics();
    const total = `relay_attempts_total{webhook="${id}",outcome="success"} 3`;
    expect(before.filter((line) => line.startsWith("relay_attempts_total"))).toEqual([total]);
    const { abortAllDurableObjects } = await import("cloudflare:test");
    await abortAllDurableObjects();
    expect((await metrics()).filter((line) => line.startsWith("relay_attempts_total"))).toEqual([
      total,
    ]);
    expect((await healthOf(id)).lastSuccessAt).not.toBeNull();
  });
});

describe("the log of an attempt", () => {
  it("has the headers of a failure, 1 KiB of them, without cookies and secrets", async () => {
    const secret = "Bearer abcdefgh12345678";
    const { id } = await register({ headers: { authorization: secret } });
    service.answer = () =>
      new Response("no", {
        status: 503,
        headers: {
          "set-cookie": "a=b",
          server: "nginx",
          "x-echo": secret,
          "x-long": "y".repeat(2_000),
          "x-request-id": "r-1",
          ["__proto__"]: "a header like any other",
        },
      });
    const [event] = (await deliver(id, 1)) as [Owed];
    const { attemptLog } = await deliveryOf(id, event.id);
    const { responseHeaders } = attemptLog[0] as unknown as { responseHeaders: object };
    expect(responseHeaders).toMatchObject({ server: "nginx", "x-echo": "***" });
    // Behind one that does not fit.
    expect(responseHeaders).toMatchObject({ "x-request-id": "r-1" });
    expect(JSON.stringify(responseHeaders)).toContain('"__proto__":"a header like any other"');
    expect(responseHeaders).not.toHaveProperty("set-cookie");
    expect(responseHeaders).not.toHaveProperty("x-long");
    expect(JSON.stringify(responseHeaders).length).toBeLessThan(1_200);
    service.answer = answering(204, { headers: { server: "nginx" } });
    clock.advance(HOUR);
    await deliverAll(id, clock);
    const [, success] = (await deliveryOf(id, event.id)).attemptLog;
    expect(success).toMatchObject({ statusCode: 204, responseHeaders: null });
  });
});

describe("the answer of a service that echoes its request", () => {
  it("is kept without the signature, in small letters and in capitals", async () => {
    const { id } = await register();
    service.answer = ({ headers }) => {
      const signature = headers.get("x-leadterra-signature") ?? "";
      return failing(`got ${signature}, i.e. ${signature.toUpperCase()}.`)();
    };
    const [event] = (await deliver(id, 1)) as [Owed];
    const { attemptLog } = await deliveryOf(id, event.id);
    expect(attemptLog).toMatchObject([{ responseBody: "got ***, i.e. ***." }]);
  });
});

describe("the answer of a service that refuses its token", () => {
  it("is kept without the token, which comes without its scheme", async () => {
    const headers = { authorization: "Bearer abcdefgh12345678", "x-plain": "some words of mine" };
    const { id } = await register({ headers });
    service.answer = failing("unknown token abcdefgh12345678, words of mine");
    const [event] = (await deliver(id, 1)) as [Owed];
    const { attemptLog } = await deliveryOf(id, event.id);
    expect(attemptLog).toMatchObject([{ responseBody: "unknown token ***, words of mine" }]);
  });
});

describe("the answer of a service that echoes a header that begins as another does", () => {
  it("is kept without either of them", async () => {
    const headers = { "x-client": "leadterra", "x-key": "leadterra-9f8e7d6c5b4a" };
    const { id } = await register({ headers });
    service.answer = failing("no leadterra-9f8e7d6c5b4a of leadterra");
    const [event] = (await deliver(id, 1)) as [Owed];
    const { attemptLog } = await deliveryOf(id, event.id);
    expect(attemptLog).toMatchObject([{ responseBody: "no *** of ***" }]);
  });
});

describe("the status of an answer", () => {
  it("counts where a header of it echoes more than secrets can be told apart in", async () => {
    const long = `${"<".repeat(4_095)}a`;
    const { id } = await register({ headers: { "x-long": long } });
    service.answer = () => new Response("gone", { status: 410, headers: { "x-echo": long } });
    const [event] = (await deliver(id, 1)) as [Owed];
    const { attemptLog } = await deliveryOf(id, event.id);
    expect(attemptLog).toMatchObject([{ error: "status", statusCode: 410 }]);
    expect(JSON.stringify(attemptLog)).not.toContain(long);
    expect((await healthOf(id)).state).toBe("disabled");
  });
});

describe("an attempt's log", () => {
  it("keeps the beginning of the last answer, however much its text grows as JSON", async () => {
    const { id } = await register({ retrySchedule: "1m" });
    service.answer = ({ attempt }) =>
      new Response(`no ${attempt}`.padEnd(16_384, "\x01"), { status: 500 });
    await deliver(id, 1);
    clock.advance(2 * MINUTE);
    await deliverAll(id, clock);
    const { attemptLog } = await deliveryOf(id, service.ids()[0] ?? "");
    expect(attemptLog).toMatchObject([
      { responseBody: null, responseTruncated: true },
      { responseTruncated: true },
    ]);
    const kept = attemptLog[1]?.responseBody ?? "";
    expect(kept.startsWith(`no 2${"\x01".repeat(8_000)}`)).toBe(true);
    expect(JSON.stringify(kept).length).toBeLessThan(64 * 1024);
  });
});

describe("a list of deliveries", () => {
  it("finds by the last attempt, and what was never tried", async () => {
    const { id } = await register({ retrySchedule: "1h" });
    service.answer = answering(503);
    const failed = await deliver(id, 10);
    const untried = await newEvents(2);
    await accept(id, untried);
    const found = async (query: string) => {
      const response = await api("GET", `/v1/webhooks/${id}/deliveries?${query}`);
      const { data } = await response.json<{ data: { eventId: string }[] }>();
      return data.map(({ eventId }) => eventId);
    };
    expect(await found("attempted=false")).toEqual(untried.map((each) => each.id).reverse());
    expect(await found("statusCode=503&attempted=true")).toEqual(
      failed.map((each) => each.id).reverse(),
    );
    expect(await found("error=timeout")).toEqual([]);
    expect((await api("GET", `/v1/webhooks/${id}/deliveries?statusCode=x`)).status).toBe(422);
    expect((await api("GET", `/v1/webhooks/${id}/deliveries?attempted=maybe`)).status).toBe(422);
  });
});

describe("a retry that waits", () => {
  const retry = (id: string, eventId: string) =>
    api("POST", `/v1/webhooks/${id}/deliveries/${eventId}/retry`, { wait: true });

  it("answers with the attempt", async () => {
    const { id } = await register({ retrySchedule: "1h" });
    service.answer = answering(503);
    const [event] = (await deliver(id, 1)) as [Owed];
    service.answer = () => new Response("taken", { status: 200 });
    const response = await retry(id, event.id);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      eventId: event.id,
      status: "delivered",
      attempts: 2,
      attempt: { number: 2, trigger: "manual", statusCode: 200, responseBody: "taken" },
    });
  });

  it("answers with the attempt that it caused, not with one of the schedule that ended just before", async () => {
    const { id } = await register({ retrySchedule: "1h 8h" });
    service.answer = answering(503);
    const [event] = (await deliver(id, 1)) as [Owed];
    const stub = subscriber(id);
    const reopen = async (asked: Parameters<typeof stub.reopen>[0]) => {
      clock.advance(2 * HOUR);
      await deliverAll(id, clock);
      service.answer = answering(204);
      return stub.reopen(asked);
    };
    const asked = { ...env, SUBSCRIBER: diverted(env.SUBSCRIBER, { reopen }) };
    const wanted = { id: event.id, by: { key: "a person's" }, wait: true };
    const retried = await retryDelivery(asked, await settingsOf(id), wanted);
    expect(retried).toMatchObject({
      value: { attempt: { number: 3, trigger: "manual", statusCode: 204 } },
    });
  });

  it("answers with the attempt that it caused, not with that of who asked for the same just before", async () => {
    const { id } = await register();
    const [event] = (await newEvents(1)) as [Owed];
    await consume([event]);
    await deliverAll(id, clock);
    let others: Promise<Response> | null = null;
    // It asks for the body, of two days at once, and somebody else is faster.
    const bodies = async (...asked: Parameters<ReturnType<typeof journal>["bodies"]>) => {
      others ??= retry(id, event.id);
      await others;
      return journal(clock.nowMs()).bodies(...asked);
    };
    const asked = { ...env, JOURNAL: diverted(env.JOURNAL, { bodies }) };
    const wanted = { id: event.id, by: { key: "a person's" }, wait: true };
    const retried = await retryDelivery(asked, await settingsOf(id), wanted);
    const answer = await (others as Promise<Response> | null);
    expect(await answer?.json()).toMatchObject({ attempt: { number: 2 } });
    expect(retried).toMatchObject({ value: { attempt: { number: 3, trigger: "manual" } } });
  });

  it("answers 404 when the webhook is deleted meanwhile", async () => {
    const { id } = await register({ retrySchedule: "1h" });
    service.answer = answering(503);
    const [event] = (await deliver(id, 1)) as [Owed];
    const late = holding();
    const retried = retry(id, event.id);
    await eventually(() => expect(service.requests).toHaveLength(2));
    expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(204);
    late.open();
    const response = await retried;
    expect([response.status, await response.json()]).toMatchObject([404, { code: "not_found" }]);
  });

  it("answers why it could not start", async () => {
    const { id } = await register({ retrySchedule: "1h" });
    service.answer = answering(503);
    const [event] = (await deliver(id, 1)) as [Owed];
    await api("POST", `/v1/webhooks/${id}/pause`);
    const response = await retry(id, event.id);
    expect(response.status).toBe(202);
    expect(await response.json()).toMatchObject({ status: "pending", waitingFor: "hold" });
  });
});

describe("a Subscriber of the release before", () => {
  it("is told of as far as it says, by stats, health and metrics alike", async () => {
    const { id } = await register({ name: "crm" });
    const failingSinceMs = clock.nowMs() - MINUTE;
    const said = { pending: 3, oldestDueAtMs: failingSinceMs, failingSinceMs, hours: [] };
    const old = { ...said, totals: { delivered: 1, failedAttempts: 1 } };
    const SUBSCRIBER = diverted(env.SUBSCRIBER, { stats: async () => old });
    const asked = { ...env, SUBSCRIBER };
    const health = { state: "failing", sinceMs: failingSinceMs, pending: 3, undeliverable: 0 };
    expect((await statsOf(asked, clock.nowMs())).webhooks).toMatchObject([{ health }]);
    expect((await ownStats(asked, id as WebhookId, clock.nowMs())).health).toMatchObject(health);
    const text = renderMetrics(await metricsOf(asked));
    expect(text).toContain('relay_pending{webhook="crm"} 3');
    expect(text).toContain('relay_webhook_state{webhook="crm",state="failing"} 1');
    expect(text).not.toContain("relay_attempts_total{");
  });
});
