/** Ten services in ten states, and what the relay says of each: held against what they themselves saw. */
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Delivery, LoggedDelivery, RegisteredWebhook } from "../rig/api.ts";
import { type MetricFamily, parseOpenMetrics, sampleOf } from "../rig/open-metrics.ts";
import {
  type Answer,
  answering,
  GENUINE,
  type Receiver,
  silence,
  startReceiver,
  verdicts,
} from "../rig/receiver.ts";
import { type JourneyRelay, startRelay } from "./relay.ts";

type Health = {
  state: string;
  nextAttemptAt: string | null;
  pending: number;
  undeliverable: number;
  lastSuccessAt: string | null;
  lastFailure: { at: string; statusCode: number | null; error: string } | null;
};
type Stats = { webhooks: { id: string; pending: number; health: Health }[] };

/** It comes when it was said, so far as a busy machine lets it. */
const SLACK_MS = 2_000;
const VARIABLES = { DELIVERY_TIMEOUT: "2s", RETRY_SCHEDULE: "6s 1h" };

let relay: JourneyRelay;

beforeAll(async () => {
  relay = await startRelay(VARIABLES);
});

afterAll(() => relay?.close());

/** A port that nobody listens on. */
async function closedPort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

async function metrics(): Promise<MetricFamily[]> {
  const response = await relay.fetch("/v1/metrics", {
    headers: { authorization: `Bearer ${relay.apiKey}` },
  });
  expect(response.status).toBe(200);
  return parseOpenMetrics(await response.text());
}

const healthOf = (id: string) => relay.call<Health>(`/webhooks/${id}/health`);

type Service = {
  name: string;
  answer: Answer | null;
  settings?: Record<string, unknown>;
  /** Of its webhook, once everything was tried that would be. */
  state: string;
  /** What each of its pending deliveries may wait for. */
  waits: string[];
};

const SERVICES: Service[] = [
  { name: "good", answer: answering(200), state: "healthy", waits: [] },
  { name: "broken", answer: answering(500), state: "failing", waits: ["schedule"] },
  { name: "hanging", answer: silence, state: "failing", waits: ["schedule"] },
  { name: "closed", answer: null, state: "failing", waits: ["schedule"] },
  {
    name: "busy",
    answer: answering(429, { headers: { "retry-after": "3600" } }),
    state: "postponed",
    waits: ["retry_after"],
  },
  { name: "gone", answer: answering(410), state: "disabled", waits: ["hold"] },
  { name: "locked", answer: answering(401), state: "failing", waits: ["schedule"] },
  {
    name: "paused",
    answer: answering(200),
    settings: { status: "paused" },
    state: "paused",
    waits: ["hold"],
  },
  {
    name: "ordered",
    answer: answering(500),
    settings: { ordered: true },
    state: "failing",
    waits: ["schedule", "order"],
  },
  {
    name: "short",
    answer: answering(500),
    settings: { retrySchedule: "1s" },
    state: "failing",
    waits: ["schedule"],
  },
];

type Running = Service & { webhook: RegisteredWebhook; receiver: Receiver | null };

async function start(service: Service): Promise<Running> {
  const receiver = service.answer === null ? null : await startReceiver(service.answer);
  const webhook = await relay.register({
    url: receiver?.url ?? (await closedPort()),
    name: service.name,
    events: ["ten.services"],
    ...service.settings,
  });
  return { ...service, webhook, receiver };
}

/** What was said of when a delivery's next attempt starts: by webhook, event and its number. */
const said = new Map<string, number>();

function note({ webhookId, eventId, attempts, nextAttemptAt }: Delivery): void {
  if (nextAttemptAt === null) return;
  said.set(`${webhookId} ${eventId} ${attempts + 1}`, Date.parse(nextAttemptAt));
}

/** One look at everything: the lists, health, stats and metrics agree, each by its meaning. */
async function look(services: readonly Running[]): Promise<void> {
  const askedAtMs = Date.now();
  for (const { webhook, waits } of services) {
    const pending = await relay.all<Delivery>(`/webhooks/${webhook.id}/deliveries?status=pending`);
    for (const delivery of pending) {
      note(delivery);
      const expected = [...waits, "attempt", "turn", "probe"];
      expect(expected, `${webhook.id} ${JSON.stringify(delivery)}`).toContain(delivery.waitingFor);
      if (delivery.nextAttemptAt === null) continue;
      expect(Date.parse(delivery.nextAttemptAt)).toBeGreaterThan(askedAtMs - SLACK_MS);
    }
  }
}

async function expectAgreement(services: readonly Running[]): Promise<void> {
  const all = await relay.all<Delivery>("/deliveries");
  const stats = await relay.call<Stats>("/stats");
  const scraped = await metrics();
  for (const { name, webhook, receiver, state } of services) {
    const own = await relay.all<LoggedDelivery>(`/webhooks/${webhook.id}/deliveries`);
    const health = await healthOf(webhook.id);
    const counts = {
      pending: countOf(own, "pending"),
      undeliverable: countOf(own, "undeliverable"),
    };
    expect(
      all
        .filter(({ webhookId }) => webhookId === webhook.id)
        .map(keyOf)
        .sort(),
    ).toEqual(own.map(keyOf).sort());
    expect(health, name).toMatchObject({ state, ...counts });
    const inStats = stats.webhooks.find(({ id }) => id === webhook.id);
    expect(inStats?.health, name).toMatchObject({ state, ...counts });
    const label = { webhook: name };
    expect(sampleOf(scraped, "relay_pending", label), name).toBe(counts.pending);
    expect(sampleOf(scraped, "relay_undeliverable", label), name).toBe(counts.undeliverable);
    expect(sampleOf(scraped, "relay_webhook_state", { ...label, state }), name).toBe(1);
    const ended =
      sampleOf(scraped, "relay_deliveries_total", { ...label, status: "delivered" }) ?? 0;
    expect(ended, name).toBe(countOf(own, "delivered"));
    if (receiver === null) continue;
    const attempts = own.reduce((sum, { attempts: made }) => sum + made, 0);
    expect(receiver.requests, name).toHaveLength(attempts);
    expect(health.lastSuccessAt === null, name).toBe(countOf(own, "delivered") === 0);
  }
}

const keyOf = ({ webhookId, eventId, status }: Delivery) => `${webhookId} ${eventId} ${status}`;
const countOf = (deliveries: readonly Delivery[], status: string) =>
  deliveries.filter((delivery) => delivery.status === status).length;

/** Every retry came when it was said. */
function expectWhatWasSaid({ webhook, receiver }: Running): number {
  let held = 0;
  for (const { headers, receivedAtMs } of receiver?.requests ?? []) {
    const key = `${webhook.id} ${headers["webhook-id"]} ${headers["x-relay-attempt"]}`;
    const saidMs = said.get(key);
    if (saidMs === undefined) continue;
    held += 1;
    expect(Math.abs(receivedAtMs - saidMs), key).toBeLessThanOrEqual(SLACK_MS);
  }
  return held;
}

async function tried(services: readonly Running[], events: readonly string[], count: number) {
  for (const { webhook } of services) {
    await Promise.all(events.map((id) => relay.attempted(webhook.id, id, count)));
  }
}

async function allEnd({ webhook }: Running, events: readonly string[], status: string) {
  for (const id of events) expect((await relay.finished(webhook.id, id)).status).toBe(status);
}

describe("ten services in ten states", () => {
  it("are told of as they are: waits, health, counts, and a replay that heals", async () => {
    const services = await Promise.all(SERVICES.map(start));
    const events: string[] = [];
    for (let n = 0; n < 3; n++) {
      events.push(await relay.accept({ event: "ten.services", timestamp: "", data: { n } }));
    }
    const byName = (name: string) => services.find((each) => each.name === name) as Running;
    const short = byName("short");
    await look(services);
    await tried(["good", "broken", "hanging", "closed", "locked", "short"].map(byName), events, 1);
    await byName("ordered").receiver?.received(1);
    await look(services);
    // The second attempts, six seconds after the first.
    for (const name of ["broken", "hanging", "closed", "locked"]) {
      await tried([byName(name)], events, 2);
      await look(services);
    }
    await byName("ordered").receiver?.received(2);
    await allEnd(short, events, "undeliverable");
    await look(services);
    const held = services.map((service) => [service.name, expectWhatWasSaid(service)] as const);
    expect(Object.fromEntries(held)).toMatchObject({ broken: 3, locked: 3 });
    await expectAgreement(services);

    if (short.receiver !== null) short.receiver.answer = answering(200);
    const since = new Date(Date.now() - 3_600_000).toISOString();
    const replay = { since, only: "undeliverable" };
    expect(await relay.call(`/webhooks/${short.webhook.id}/replay`, replay)).toEqual({
      replayed: 3,
      next: null,
    });
    await allEnd(short, events, "delivered");
    await expectAgreement(
      services.map((each) => (each === short ? { ...each, state: "healthy" } : each)),
    );
    const scraped = await metrics();
    expect(sampleOf(scraped, "relay_undeliverable", { webhook: "short" })).toBe(0);
  });

  it("are counted on after a kill: no counter falls", async () => {
    const receiver = await startReceiver(answering(200));
    const { id } = await relay.register({
      url: receiver.url,
      name: "counted",
      events: ["kill.me"],
    });
    const eventId = await relay.accept({ event: "kill.me", timestamp: "", data: { n: 1 } });
    await relay.finished(id, eventId);
    const before = await metrics();
    expect(sampleOf(before, "relay_events_total", { event: "kill.me" })).toBe(1);
    await relay.kill();
    await relay.start();
    const after = await metrics();
    for (const { type, samples } of before) {
      if (type !== "counter" && type !== "histogram") continue;
      for (const { name, labels, value } of samples) {
        expect(
          sampleOf(after, name, labels),
          `${name} ${JSON.stringify(labels)}`,
        ).toBeGreaterThanOrEqual(value);
      }
    }
    for (const { name, type, unit } of after) {
      if (name.endsWith("_seconds")) expect(unit, name).toBe("seconds");
      expect(["counter", "gauge", "histogram"], name).toContain(type);
    }
  });
});

describe("a retry by a person", () => {
  it("reaches a service that is probed before the next probe is due, also while a probe hangs", async () => {
    const receiver = await startReceiver(answering(500));
    const { id } = await relay.register({
      url: receiver.url,
      events: ["probe.me"],
      retrySchedule: "1s 1h",
      timeout: "60s",
    });
    const ids: string[] = [];
    for (let n = 0; n < 12; n++) {
      ids.push(await relay.accept({ event: "probe.me", timestamp: "", data: { n } }));
    }
    await receiver.received(10);
    // From the tenth failure on there is one probe at a time; the next one hangs.
    receiver.answer = silence;
    const before = receiver.requests.length;
    const probe = await receiver.received(before + 1).then((all) => all.at(-1));
    expect((await healthOf(id)).state).toBe("probing");
    const waiting = (await relay.deliveries(id, "?status=pending")).find(
      ({ waitingFor }) => waitingFor !== "attempt",
    ) as Delivery;
    receiver.answer = answering(200);
    const retried = await relay.call<{ attempt: { statusCode: number } }>(
      `/webhooks/${id}/deliveries/${waiting.eventId}/retry`,
      { wait: true },
    );
    expect(retried.attempt.statusCode).toBe(200);
    expect(probe?.answeredAtMs).toBeNull();
    expect(receiver.requests.at(-1)?.headers["webhook-id"] ?? "").toBeTruthy();
  });
});

describe("the relay's own events", () => {
  it("relay.webhook.failing and recovered arrive, signed, at a third service", async () => {
    const failing = await startReceiver(answering(500));
    const watcher = await startReceiver(answering(200));
    const { id } = await relay.register({
      url: failing.url,
      name: "fails",
      events: ["fail.me"],
      retrySchedule: "1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s",
    });
    const watching = await relay.register({
      url: watcher.url,
      events: ["relay.webhook.failing", "relay.webhook.recovered"],
    });
    for (let n = 0; n < 10; n++) {
      await relay.accept({ event: "fail.me", timestamp: "", data: { n } });
    }
    const [first] = await watcher.received(1);
    failing.answer = answering(200);
    const [, second] = await watcher.received(2);
    for (const request of [first, second]) {
      expect(request && verdicts(request, watching.signingSecret)).toEqual(GENUINE);
    }
    const told = [first, second].map((request) => JSON.parse(String(request?.body)));
    expect(told).toMatchObject([
      { event: "relay.webhook.failing", data: { id, name: "fails", health: { state: "probing" } } },
      { event: "relay.webhook.recovered", data: { id, name: "fails", count: 1 } },
    ]);
  });
});
