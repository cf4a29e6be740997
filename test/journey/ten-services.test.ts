/** Ten services in ten states, and what the relay says of each: held against what they themselves saw. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../scripts/loopback.ts";
import type { Delivery } from "../rig/api.ts";
import { eventually } from "../rig/eventually.ts";
import { sampleOf } from "../rig/open-metrics.ts";
import {
  type Answer,
  answering,
  GENUINE,
  inTurn,
  silence,
  startReceiver,
  verdicts,
} from "../rig/receiver.ts";
import { type Health, Looks, SLACK_MS, scrape, type Watched } from "./looks.ts";
import { type JourneyRelay, startRelay } from "./relay.ts";

/** Of the service that never answers; the others have the usual time. */
const HANGING = { timeout: "2s", timeoutMs: 2_000 };
const VARIABLES = { RETRY_SCHEDULE: "12s 1h" };
const SCHEDULE_MS = [12_000, 3_600_000];
/** One answer of a service that is well takes so long, the others no time. */
const SLOWLY_MS = 4_000;
/** No connection is left to end just when the next attempt comes. */
const CLOSING = { headers: { connection: "close" } };
/** Here, and only here, a time is held to a clock. */
const BY_THE_CLOCK = { timeout: 240_000 };
/** What the busy service asks for: first longer than the schedule waits, later longer than the test. */
const PAUSES_MS = { first: 20_000, later: 7_200_000 };

let relay: JourneyRelay;

beforeAll(async () => {
  relay = await startRelay(VARIABLES);
  // Looks for the parser, which stops this process and the services in it for a moment.
  await scrape(relay);
});

afterAll(() => relay?.close());

const healthOf = (id: string) => relay.call<Health>(`/webhooks/${id}/health`);

type Service = {
  name: string;
  answer: Answer | null;
  settings?: Record<string, unknown>;
  stateBy: Watched["stateBy"];
  waits: string[];
  /** Where it is not the relay's own. */
  scheduleMs?: readonly number[];
  pausedUntilMs?: () => number | null;
};

const sentAtMs = new Map<string, number>();

/** By the last answer: nothing was refused yet, it was, or it went well. */
const byLast: Watched["stateBy"] = (answers) => {
  const { status } = answers.at(-1) ?? { status: 200 };
  return status !== null && status < 300 ? "healthy" : "failing";
};

/** Asks for a pause at each request, and knows until when. */
function busyService(): Service {
  const pauses: { fromMs: number; untilMs: number }[] = [];
  return {
    name: "busy",
    answer: (exchange) => {
      const fromMs = Date.now();
      const isFirst = fromMs < (pauses[0]?.untilMs ?? Number.POSITIVE_INFINITY) - SLACK_MS;
      const pauseMs = isFirst ? PAUSES_MS.first : PAUSES_MS.later;
      pauses.push({ fromMs, untilMs: fromMs + pauseMs });
      const headers = { "retry-after": `${pauseMs / 1_000}` };
      return answering(429, { headers })(exchange);
    },
    stateBy: (answers, atMs) =>
      pauses.some(({ fromMs, untilMs }) => fromMs <= atMs && atMs < untilMs)
        ? "postponed"
        : byLast(answers, atMs),
    waits: ["retry_after"],
    pausedUntilMs: () => pauses.at(-1)?.untilMs ?? null,
  };
}

/** The first request is answered slowly. */
function slowOnce(): Answer {
  const slowly: Answer = async (exchange) => {
    await sleep(SLOWLY_MS);
    return answering(200)(exchange);
  };
  return inTurn(slowly, answering(200));
}

/** Anew for each run: the busy one remembers. */
const tenServices = (): Service[] => [
  { name: "good", answer: slowOnce(), stateBy: byLast, waits: [] },
  { name: "broken", answer: answering(500), stateBy: byLast, waits: ["schedule"] },
  {
    name: "hanging",
    answer: silence,
    settings: { timeout: HANGING.timeout },
    stateBy: byLast,
    waits: ["schedule"],
  },
  { name: "closed", answer: null, stateBy: byLast, waits: ["schedule"] },
  busyService(),
  {
    name: "gone",
    answer: answering(410),
    stateBy: (answers) => (answers.length > 0 ? "disabled" : "healthy"),
    waits: ["hold"],
  },
  { name: "locked", answer: answering(401), stateBy: byLast, waits: ["schedule"] },
  {
    name: "paused",
    answer: answering(200),
    settings: { status: "paused" },
    stateBy: () => "paused",
    waits: ["hold"],
  },
  {
    name: "ordered",
    answer: answering(500),
    settings: { ordered: true },
    stateBy: byLast,
    waits: ["schedule", "order"],
  },
  {
    name: "short",
    answer: answering(500),
    settings: { retrySchedule: "1s" },
    scheduleMs: [1_000],
    stateBy: byLast,
    waits: ["schedule"],
  },
];

/** @param event its name, which the webhook alone asks for. */
async function start(service: Service, event: string): Promise<Watched> {
  const { name, answer, settings, ...own } = service;
  const receiver = answer === null ? null : await startReceiver(answer);
  const url = receiver?.url ?? `http://127.0.0.1:${await freePort()}`;
  const fromMs = Date.now();
  const webhook = await relay.register({ url, name, events: [event], ...settings });
  return {
    name,
    webhook,
    receiver,
    sentAtMs,
    scheduleMs: SCHEDULE_MS,
    ...own,
    timeoutMs: HANGING.timeoutMs,
    registeredMs: [fromMs, Date.now()],
  };
}

async function accept(event: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  const run = Date.now();
  for (let n = 0; n < count; n++) {
    const atMs = Date.now();
    const id = await relay.accept({ event, timestamp: "", data: { run, n } });
    sentAtMs.set(id, atMs);
    ids.push(id);
  }
  return ids;
}

async function tried(services: readonly Watched[], events: readonly string[], count: number) {
  for (const { webhook } of services) {
    await Promise.all(events.map((id) => relay.attempted(webhook.id, id, count)));
  }
}

async function allEnd({ webhook }: Watched, events: readonly string[], status: string) {
  for (const id of events) expect((await relay.finished(webhook.id, id)).status).toBe(status);
}

/** Until what came last is known to both sides, so that counts are to be equal and not only near. */
const rest = () => sleep(SLACK_MS + 500);

describe("ten services in ten states", () => {
  it(
    "are told of as they are: waits, health, counts, and a replay that heals",
    BY_THE_CLOCK,
    async () => {
      const services = await Promise.all(
        tenServices().map((service) => start(service, "ten.services")),
      );
      const looks = new Looks(relay);
      const events = await accept("ten.services", 3);
      const byName = (name: string) => services.find((each) => each.name === name) as Watched;
      const short = byName("short");
      await looks.look(services);
      await tried(["good", "broken", "closed", "locked", "hanging"].map(byName), events, 1);
      await byName("ordered").receiver?.received(1);
      await looks.look(services);
      // The second attempts, after the first wait.
      for (const name of ["broken", "closed", "locked", "hanging"]) {
        await tried([byName(name)], events, 2);
        await looks.look(services);
      }
      await byName("ordered").receiver?.received(2);
      // What it had not answered yet waits for the pause too: each is asked for once it is over.
      await tried([byName("busy")], events, 1);
      await allEnd(short, events, "undeliverable");
      await rest();
      await looks.look(services);
      const foretold = {
        broken: 3,
        closed: 3,
        locked: 3,
        hanging: 3,
        busy: 3,
        ordered: 1,
        paused: 0,
        gone: 0,
      };
      expect(await looks.expectKept(services)).toMatchObject(foretold);
      expect((await healthOf(short.webhook.id)).undeliverable).toBe(3);

      if (short.receiver !== null) short.receiver.answer = answering(200);
      const since = new Date(Date.now() - 3_600_000).toISOString();
      const replay = { since, only: "undeliverable" };
      expect(await relay.call(`/webhooks/${short.webhook.id}/replay`, replay)).toEqual({
        replayed: 3,
        next: null,
      });
      await allEnd(short, events, "delivered");
      await rest();
      await looks.look(services);
      expect(await healthOf(short.webhook.id)).toMatchObject({
        state: "healthy",
        undeliverable: 0,
      });
      const scraped = await scrape(relay);
      const ended = { webhook: "short", status: "undeliverable" };
      expect(sampleOf(scraped, "relay_undeliverable", { webhook: "short" })).toBe(0);
      expect(sampleOf(scraped, "relay_deliveries_total", ended)).toBe(3);
    },
  );

  it("are probed, and held to a rate, when it was said", BY_THE_CLOCK, async () => {
    const probed: Service = {
      name: "probed",
      answer: answering(500, CLOSING),
      // One at a time, so that exactly ten fail before the first probe.
      settings: { concurrency: 1, retrySchedule: "6s 1h" },
      scheduleMs: [6_000, 3_600_000],
      stateBy: (answers) => (answers.length < 10 ? byLast(answers, 0) : "probing"),
      waits: ["probe"],
    };
    const paced: Service = {
      name: "paced",
      answer: answering(200, CLOSING),
      settings: { rateLimit: 0.25 },
      stateBy: byLast,
      waits: ["rate_limit"],
    };
    const services = await Promise.all([probed, paced].map((each) => start(each, "gates.open")));
    const [{ receiver } = { receiver: null }] = services;
    if (receiver === null) throw new Error("nobody listens");
    await accept("gates.open", 12);
    await receiver.received(10);
    await tried(services.slice(0, 1), [String(receiver.requests[9]?.headers["webhook-id"])], 1);
    const looks = new Looks(relay);
    let kept: Record<string, number> = {};
    while ((kept.probed ?? 0) < 3 || (kept.paced ?? 0) < 2) {
      await looks.look(services);
      kept = await looks.expectKept(services);
    }
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
    const before = await scrape(relay);
    expect(sampleOf(before, "relay_events_total", { event: "kill.me" })).toBe(1);
    await relay.kill();
    await relay.start();
    const after = await scrape(relay);
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
  it("reaches a service that is probed before the next probe is due, also while a probe hangs", async ({
    annotate,
  }) => {
    const receiver = await startReceiver(answering(500));
    const { id } = await relay.register({
      url: receiver.url,
      events: ["probe.me"],
      retrySchedule: "1s 1h",
      timeout: "60s",
    });
    await accept("probe.me", 12);
    await receiver.received(10);
    // From the tenth failure on there is one probe at a time; the next one hangs.
    await eventually(async () => expect((await healthOf(id)).state).toBe("probing"));
    receiver.answer = silence;
    const before = receiver.requests.length;
    const probe = await receiver.received(before + 1).then((all) => all.at(-1));
    const waiting = (await relay.deliveries(id, "?status=pending")).find(
      ({ waitingFor }) => waitingFor !== "attempt",
    ) as Delivery;
    receiver.answer = answering(200);
    const askedAtMs = Date.now();
    // 202 would say that it could not start within a second.
    const { status, body } = await relay.request(
      "POST",
      `/v1/webhooks/${id}/deliveries/${waiting.eventId}/retry`,
      { wait: true },
    );
    expect({ status, body }).toMatchObject({ status: 200, body: { attempt: { statusCode: 200 } } });
    const [came, ...others] = receiver.requests.filter(
      ({ headers, receivedAtMs }) =>
        headers["webhook-id"] === waiting.eventId && receivedAtMs >= askedAtMs,
    );
    expect(others).toHaveLength(0);
    // The probe hung all the while: nobody answered it, and the relay did not hang up.
    expect(probe).toMatchObject({ answeredAtMs: null });
    expect(probe?.headers["webhook-id"]).not.toBe(waiting.eventId);
    annotate(
      `a retry beside a probe that hangs reached the service ${(came?.receivedAtMs ?? Number.NaN) - askedAtMs} ms after it was asked for`,
    );
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
    await accept("fail.me", 10);
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
