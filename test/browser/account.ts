/** What the API says of every webhook, delivery and attempt, held against what the services saw of them and when. */
import { expect } from "vitest";
import { type LoggedDelivery, mapInParallel, type RegisteredWebhook } from "../rig/api.ts";
import type { ReceivedRequest } from "../rig/receiver.ts";
import type { Rig } from "./rig.ts";

/** So many hours before the running one are counted on the pages. */
const HOURS_BEFORE = 23;
export const HOUR_MS = 3_600_000;
/** Of a clock that counts whole milliseconds, and stands still between two messages. */
export const CLOCK_MS = 5;

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
    statusCode: number | null;
    error: string;
    responseBody: string | null;
  } | null;
};
type Outcomes = {
  delivered: number;
  successRate: number | null;
  latencyMs: { p50: number | null; p95: number | null };
};
export type Hour = { at: string; events: number; delivered: number; failedAttempts: number };
type Stats = {
  lastEventAt: string | null;
  all: Outcomes;
  hours: Hour[];
  webhooks: (Outcomes & { id: string; health: Health })[];
};
type EventEntry = { id: string; receivedAt: string; webhookIds: string[] };

/** A service, and what was sent that it is to have. */
export type Watched = {
  name: string;
  webhook: RegisteredWebhook;
  /** null where nobody listens. */
  answers: number | "nothing" | null;
  /** So many it took before it answered so. */
  tookFirst?: number;
  events: readonly { id: string; sentAtMs: number; body: string }[];
};

export type Own = Watched & {
  health: Health;
  stats: Outcomes;
  /** Newest first. */
  deliveries: LoggedDelivery[];
};

export type Account = {
  stats: Stats;
  events: EventEntry[];
  deadLetters: number;
  key: string | null;
  own: Own[];
};

/** Answers for what does not change are kept, by what would change with them. */
const logs = new Map<string, LoggedDelivery>();

export async function accountOf({ relay }: Rig, watched: readonly Watched[]): Promise<Account> {
  const since = new Date(Date.now() - HOURS_BEFORE * HOUR_MS).toISOString();
  const [stats, events, letters, audit] = await Promise.all([
    relay.call<Stats & { queues?: unknown }>(`/stats?since=${since}`),
    relay.all<EventEntry>("/events"),
    relay.all("/dead-letters"),
    relay.call<{ data: { key: string | null }[] }>("/audit?limit=1"),
  ]);
  // Estimates of the queue's own, which no page shows.
  delete stats.queues;
  const own = await mapInParallel(watched, 4, async (each): Promise<Own> => {
    const mine = stats.webhooks.find(({ id }) => id === each.webhook.id);
    if (mine === undefined) throw new Error(`no figures of ${each.name}`);
    const listed = await relay.all<LoggedDelivery>(`/webhooks/${each.webhook.id}/deliveries`);
    const deliveries = await mapInParallel(listed, 4, async (delivery) => {
      const key = JSON.stringify(delivery);
      const logged = logs.get(key) ?? (await relay.delivery(delivery.webhookId, delivery.eventId));
      if (logged === null) throw new Error(`gone: ${key}`);
      const { attemptLog, ...same } = logged;
      if (JSON.stringify(same) === key) logs.set(key, logged);
      return logged;
    });
    return { ...each, health: mine.health, stats: mine, deliveries };
  });
  return {
    stats,
    events,
    deadLetters: letters.length,
    key: audit.data[0]?.key ?? null,
    own,
  };
}

/** What the service answers to an event. */
export function answerTo(
  { answers, events, tookFirst = 0 }: Watched,
  eventId: string | null,
): Watched["answers"] {
  return events.slice(0, tookFirst).some(({ id }) => id === eventId) ? 200 : answers;
}

/** When its outcome was known. */
export const endOf = ({ startedAt, durationMs }: { startedAt: string; durationMs: number }) =>
  Date.parse(startedAt) + durationMs;

export const attemptsOf = ({ deliveries }: Own) =>
  deliveries.flatMap(({ attemptLog }) => attemptLog);

/** Fails where the API and a service do not tell the same. */
export function expectSameAsServices(rig: Rig, account: Account): void {
  for (const own of account.own) {
    const { name, deliveries, health, stats, answers } = own;
    const seen = rig.service.requests.filter(({ path }) => path === `/${name}`);
    expect(deliveries.length, name).toBe(own.events.length);
    for (const delivery of deliveries) expectSame(own, delivery, answers === null ? null : seen);
    const attempts = attemptsOf(own);
    const taken = attempts.filter(({ error }) => error === null);
    const ended = (status: string) => deliveries.filter((each) => each.status === status).length;
    expect(health.pending, name).toBe(ended("pending"));
    expect(health.undeliverable, name).toBe(ended("undeliverable"));
    expect(stats.delivered, name).toBe(ended("delivered"));
    expect(taken.length, name).toBe(answers === 200 ? seen.length : (own.tookFirst ?? 0));
    expect(stats.successRate, name).toBe(
      attempts.length === 0 ? null : taken.length / attempts.length,
    );
    expectSameHealth(own);
  }
}

/** Each attempt that the log has is one that the service saw, while it lasted; one more may be under way. */
function expectSame(own: Own, delivery: LoggedDelivery, seen: ReceivedRequest[] | null): void {
  const { eventId, attempts, attemptLog, createdAt } = delivery;
  const about = `${own.name} ${eventId}`;
  const sent = own.events.find(({ id }) => id === eventId);
  expect(Date.parse(createdAt), about).toBeGreaterThanOrEqual(sent?.sentAtMs ?? Number.NaN);
  expect(attempts, about).toBe(attemptLog.length);
  if (seen === null) return;
  const requests = seen.filter(({ headers }) => headers["webhook-id"] === eventId);
  expect(requests.length - attempts, about).toBeOneOf([0, 1]);
  for (const { number, startedAt, durationMs, statusCode } of attemptLog) {
    const request = requests.find(({ headers }) => headers["x-relay-attempt"] === `${number}`);
    const startedAtMs = Date.parse(startedAt);
    const receivedAtMs = request?.receivedAtMs ?? Number.NaN;
    expect(receivedAtMs, about).toBeGreaterThanOrEqual(startedAtMs - CLOCK_MS);
    expect(statusCode ?? "nothing", about).toBe(answerTo(own, eventId));
    if (statusCode === null) continue;
    expect(receivedAtMs, about).toBeLessThanOrEqual(startedAtMs + durationMs + CLOCK_MS);
  }
}

/** Waits between the last attempt and the next, by the state: the probe's, the schedule's, the service's own. */
const SHORTEST_WAIT_MS: Readonly<Record<string, number>> = {
  probing: 60_000,
  failing: 60_000,
  postponed: 600_000,
};

/** Which failure made it so, counted from 0 by their ends: nothing succeeded before any of them. */
const BEGUN_BY: Readonly<Record<string, number>> = { failing: 0, postponed: 0, probing: 9 };

/** Since when, why and when next: by the attempts that there were. */
function expectSameHealth({ name, health, deliveries }: Own): void {
  const attempts = deliveries.flatMap(({ attemptLog }) => attemptLog);
  const failures = attempts.filter(({ error }) => error !== null).map(endOf);
  failures.sort((a, b) => a - b);
  const expectClose = (time: string | null | undefined, atMs: number | undefined) => {
    const distanceMs = Math.abs(Date.parse(time ?? "") - (atMs ?? Number.NaN));
    expect(distanceMs, `${name}: ${time}`).toBeLessThanOrEqual(CLOCK_MS);
  };
  const begun = BEGUN_BY[health.state];
  if (begun !== undefined) expectClose(health.since, failures[begun]);
  if (health.lastFailure !== null) expectClose(health.lastFailure.at, failures.at(-1));
  const shortest = SHORTEST_WAIT_MS[health.state];
  if (health.nextAttemptAt === null || shortest === undefined) return;
  const waitMs = Date.parse(health.nextAttemptAt) - Math.max(...attempts.map(endOf));
  // The service saw none after that one, so what is told is its wait, and not another's.
  expect(waitMs, name).toBeGreaterThanOrEqual(shortest - CLOCK_MS);
}
