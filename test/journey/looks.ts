/**
 * What the relay says of its webhooks, look by look, held against what their services saw: a time that was said
 * against the clock of the service that was asked then, a state against what it answered, counts against each other.
 */
import { expect } from "vitest";
import type { Delivery, LoggedDelivery, RegisteredWebhook } from "../rig/api.ts";
import { type MetricFamily, parseOpenMetrics, sampleOf } from "../rig/open-metrics.ts";
import type { ReceivedRequest, Receiver } from "../rig/receiver.ts";
import type { JourneyRelay } from "./relay.ts";

/** What comes, comes when it was said, so far as this. */
export const SLACK_MS = 2_000;
/** A look is taken anew when something happened meanwhile, so often. */
const MAX_TRIES = 40;

/** A wait is so much longer at most than the schedule says. */
const MOST_JITTER = 1.1;
/** Durations are counted in buckets, each so much longer than the one before: what is told is its middle. */
const BUCKET_GROWTH = 1.15;

export type Health = {
  state: string;
  since: string | null;
  nextAttemptAt: string | null;
  oldestDueAt: string | null;
  pending: number;
  undeliverable: number;
  lastSuccessAt: string | null;
  lastFailure: {
    at: string;
    eventId: string;
    statusCode: number | null;
    error: string;
  } | null;
};
type WebhookStats = {
  id: string;
  pending: number;
  delivered: number;
  undeliverable: number;
  cancelled: number;
  latencyMs: { p50: number | null; p95: number | null };
  health: Health;
};

/** A webhook and its service. */
export type Watched = {
  name: string;
  webhook: RegisteredWebhook;
  /** null where nobody listens. */
  receiver: Receiver | null;
  /** How long the relay waits for an answer. */
  timeoutMs: number;
  /** What the state is, by what the service itself answered until then. */
  stateBy(answers: readonly Answered[], atMs: number): string;
  /** What a delivery of it may wait for. */
  waits: readonly string[];
  /** Between which times it was registered. */
  registeredMs: readonly [number, number];
  /** When each of its events was sent. */
  sentAtMs: ReadonlyMap<string, number>;
  /** Its retry schedule. */
  scheduleMs: readonly number[];
  /** Until when the service asked for a pause, at the latest; null where it never did. */
  pausedUntilMs?: () => number | null;
};

/** One request as the service saw it. */
export type Answered = {
  eventId: string;
  number: number;
  askedAtMs: number;
  /** When it answered, or the relay must have stopped waiting. */
  atMs: number;
  /** What it answered; null where it did not. */
  status: number | null;
};

const eventOf = ({ headers }: ReceivedRequest) => String(headers["webhook-id"]);
const numberOf = ({ headers }: ReceivedRequest) => Number(headers["x-relay-attempt"]);

/** The service's own account. */
function accountOf(receiver: Receiver, timeoutMs: number): Answered[] {
  return receiver.requests.map((request) => ({
    eventId: eventOf(request),
    number: numberOf(request),
    askedAtMs: request.receivedAtMs,
    atMs: request.answeredAtMs ?? request.receivedAtMs + timeoutMs,
    status: request.answeredStatus,
  }));
}

/** Of a port that nobody listens on there is no other account than the relay's log of its attempts. */
function loggedIn({ eventId, attemptLog }: LoggedDelivery): Answered[] {
  return attemptLog.map(({ number, startedAt, durationMs, statusCode }) => {
    const askedAtMs = Date.parse(startedAt);
    return { eventId, number, askedAtMs, atMs: askedAtMs + durationMs, status: statusCode };
  });
}

/** What was answered until then, in the order of the answers. */
function answersUntil(untilMs: number, account: readonly Answered[]): Answered[] {
  return account.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
}

const isSuccess = ({ status }: Answered) => status !== null && status >= 200 && status < 300;

/** What was said of a delivery at a look. */
type Said = {
  watched: Watched;
  eventId: string;
  /** Of the attempt that it was said of. */
  number: number;
  waitingFor: string;
  /** When that attempt starts; null where none starts before something else happens. */
  atMs: number | null;
  saidAtMs: number;
};

/** Everything that is said, read while nothing happened. */
type Sight = {
  askedAtMs: number;
  answeredAtMs: number;
  deliveries: Delivery[];
  stats: WebhookStats[];
  metrics: MetricFamily[];
  own: Map<string, Own>;
};

/** What is said of one webhook, and its service's account. */
type Own = { health: Health; deliveries: Delivery[]; account: Answered[] };

export class Looks {
  readonly #relay: JourneyRelay;
  readonly #said: Said[] = [];
  readonly #sinceMs = Date.now();

  constructor(relay: JourneyRelay) {
    this.#relay = relay;
  }

  /** Looks at everything, and holds it against the services and against itself. */
  async look(all: readonly Watched[]): Promise<void> {
    const sight = await this.#sight(all);
    for (const watched of all) {
      const own = sight.own.get(watched.webhook.id);
      if (own === undefined) throw new Error("not looked at");
      for (const delivery of own.deliveries) this.#hear(watched, delivery, sight, own.account);
      expectHealth(watched, own, sight);
      expectSameCounts(watched, own, sight);
    }
  }

  async #sight(all: readonly Watched[]): Promise<Sight> {
    for (let tries = 1; ; tries++) {
      const askedAtMs = Date.now();
      const deliveries = await this.#relay.all<Delivery>("/deliveries");
      const since = new Date(this.#sinceMs).toISOString();
      const stats = await this.#relay.call<{ webhooks: WebhookStats[] }>(`/stats?since=${since}`);
      const metrics = await scrape(this.#relay);
      const said = await Promise.all(
        all.map(async (watched) => {
          const { id } = watched.webhook;
          const deliveries = await this.#relay.all<Delivery>(`/webhooks/${id}/deliveries`);
          const health = await this.#relay.call<Health>(`/webhooks/${id}/health`);
          return { watched, deliveries, health };
        }),
      );
      const answeredAtMs = Date.now();
      const own = new Map<string, Own>();
      for (const { watched, ...of } of said) {
        own.set(watched.webhook.id, { ...of, account: await this.#account(watched) });
      }
      const after = await this.#relay.all<Delivery>("/deliveries");
      const sight = { askedAtMs, answeredAtMs, deliveries, stats: stats.webhooks, metrics, own };
      if (JSON.stringify(after) === JSON.stringify(deliveries)) return sight;
      if (tries === MAX_TRIES) throw new Error("it never stands still");
    }
  }

  async #account({ receiver, timeoutMs, webhook: { id } }: Watched): Promise<Answered[]> {
    if (receiver !== null) return accountOf(receiver, timeoutMs);
    const listed = await this.#relay.all<Delivery>(`/webhooks/${id}/deliveries`);
    const path = `/webhooks/${id}/deliveries`;
    const logged = listed.map(({ eventId }) =>
      this.#relay.call<LoggedDelivery>(`${path}/${eventId}`),
    );
    return (await Promise.all(logged)).flatMap(loggedIn);
  }

  /** What is said of a delivery's next attempt: kept, to be held against what comes. */
  #hear(
    watched: Watched,
    delivery: Delivery,
    { askedAtMs, answeredAtMs }: Sight,
    account: readonly Answered[],
  ): void {
    const { eventId, attempts, status, nextAttemptAt, waitingFor } = delivery;
    const what = `${watched.name} ${JSON.stringify(delivery)}`;
    if (status !== "pending") {
      expect({ nextAttemptAt, waitingFor }, what).toEqual({
        nextAttemptAt: null,
        waitingFor: null,
      });
      return;
    }
    expect([...watched.waits, "attempt", "turn"], what).toContain(waitingFor);
    const atMs = nextAttemptAt === null ? null : Date.parse(nextAttemptAt);
    if (waitingFor === "schedule" || waitingFor === "retry_after")
      expect(atMs, what).not.toBeNull();
    if (["attempt", "turn", "hold", "order"].includes(String(waitingFor))) {
      expect(atMs, what).toBeNull();
    }
    if (atMs !== null) expect(atMs, what).toBeGreaterThan(askedAtMs - SLACK_MS);
    // A refused connection is over at once, and its attempt in the log only then.
    if (waitingFor === "attempt" && watched.receiver !== null) {
      const own = account.filter((each) => each.eventId === eventId);
      expect(own.some(isUnderWay({ askedAtMs, answeredAtMs })), what).toBe(true);
    }
    this.#said.push({
      watched,
      eventId,
      number: attempts + 1,
      waitingFor: String(waitingFor),
      atMs: waitingFor === "turn" ? askedAtMs : atMs,
      saidAtMs: answeredAtMs,
    });
  }

  /**
   * Each attempt that a time was said of came then, and no other; what was held or behind another did not come.
   *
   * @returns of each webhook the attempts whose time was said before they came, once each.
   */
  async expectKept(all: readonly Watched[]): Promise<Record<string, number>> {
    const kept: Record<string, number> = {};
    for (const watched of all) {
      const nowMs = Date.now();
      const account = await this.#account(watched);
      const own = this.#said.filter((said) => said.watched.webhook.id === watched.webhook.id);
      const foretold = new Set<string>();
      for (const said of own) {
        if (expectKept(said, account, nowMs)) foretold.add(`${said.eventId} ${said.number}`);
      }
      kept[watched.name] = foretold.size;
    }
    return kept;
  }
}

/** @returns whether it said the time of an attempt that has come. */
function expectKept(
  { watched, ...said }: Said,
  account: readonly Answered[],
  nowMs: number,
): boolean {
  const { eventId, number, waitingFor, atMs, saidAtMs } = said;
  const what = `${watched.name} ${JSON.stringify(said)}`;
  const asked = account.filter((each) => each.eventId === eventId);
  if (waitingFor === "attempt") return false;
  if (atMs === null) {
    const later = asked.filter(({ askedAtMs }) => askedAtMs > saidAtMs);
    const isFree = waitingFor === "probe" || waitingFor === "rate_limit";
    if (!isFree) expect(later, what).toHaveLength(0);
    return false;
  }
  const came = asked.find((each) => each.number === number);
  if (came === undefined) {
    expect(atMs, `${what} did not come`).toBeGreaterThan(nowMs - SLACK_MS);
    return false;
  }
  expect(Math.abs(came.askedAtMs - atMs), what).toBeLessThanOrEqual(SLACK_MS);
  return waitingFor !== "turn";
}

/** The service had not answered it at a look, or had just answered. */
function isUnderWay({ askedAtMs, answeredAtMs }: Pick<Sight, "askedAtMs" | "answeredAtMs">) {
  return (asked: Answered) =>
    asked.askedAtMs < answeredAtMs + SLACK_MS && asked.atMs > askedAtMs - SLACK_MS;
}

/** Health says what the service itself knows of its answers. */
function expectHealth(watched: Watched, own: Own, sight: Sight): void {
  const { name, receiver } = watched;
  const { health, deliveries } = own;
  const answers = answersUntil(sight.answeredAtMs, own.account);
  expect(statesAround(watched, answers, sight), `${name} ${JSON.stringify(health)}`).toContain(
    health.state,
  );

  const pending = deliveries.filter(({ status }) => status === "pending");
  const times = pending.flatMap(({ nextAttemptAt }) => nextAttemptAt ?? []).sort();
  const isMoving = pending.some(({ waitingFor }) => ["attempt", "turn"].includes(`${waitingFor}`));
  if (!isMoving) {
    expect(health.nextAttemptAt, name).toBe(times[0] ?? null);
    expectDue(watched, { health, pending, account: own.account }, sight);
  }
  expectHeldSince(watched, health, answers);

  expectLast(health.lastSuccessAt, answers.filter(isSuccess), sight);
  const failures = answers.filter((answer) => !isSuccess(answer));
  const { lastFailure } = health;
  expectLast(lastFailure?.at ?? null, failures, sight);
  if (lastFailure === null) return;
  const told = failures.filter(
    ({ atMs, eventId }) => eventId === lastFailure.eventId && isNear(atMs, lastFailure.at),
  );
  const silence = receiver === null ? "connection" : "timeout";
  const error = lastFailure.statusCode === null ? silence : "status";
  expect(
    told.map(({ status }) => status),
    name,
  ).toContain(lastFailure.statusCode);
  expect(lastFailure.error, name).toBe(error);
}

const isNear = (atMs: number, said: string) => Math.abs(atMs - Date.parse(said)) <= SLACK_MS;

/** What has been due longest, by what the service saw of each that waits: a wait after its last answer, or since it was sent. */
function expectDue(
  { name, sentAtMs, scheduleMs, pausedUntilMs }: Watched,
  { health, pending, account }: { health: Health; pending: Delivery[]; account: Answered[] },
  { answeredAtMs }: Sight,
): void {
  const { state, oldestDueAt } = health;
  if (pending.length === 0 || state === "paused" || state === "disabled") {
    expect(oldestDueAt, name).toBeNull();
    return;
  }
  const dues = pending.map(({ eventId }) => {
    const answers = account.filter((each) => each.eventId === eventId);
    const [last] = answers.toSorted((a, b) => b.number - a.number);
    if (last === undefined) return [sentAtMs.get(eventId) ?? Number.NaN, answeredAtMs] as const;
    const waitMs = scheduleMs[answers.length - 1] ?? Number.NaN;
    return [last.atMs + waitMs, last.atMs + waitMs * MOST_JITTER] as const;
  });
  const pausedMs = pausedUntilMs?.() ?? 0;
  const earliestMs = Math.max(pausedMs, Math.min(...dues.map(([fromMs]) => fromMs)));
  const latestMs = Math.max(pausedMs, Math.min(...dues.map(([, untilMs]) => untilMs)));
  const toldMs = Date.parse(String(oldestDueAt));
  const what = `${name} ${JSON.stringify({ health, dues })}`;
  expect(toldMs, what).toBeGreaterThanOrEqual(earliestMs - SLACK_MS);
  expect(toldMs, what).toBeLessThanOrEqual(latestMs + SLACK_MS);
}

/** A pause began when it was asked for; a disable with the first answer that brought it about. */
function expectHeldSince(
  { name, registeredMs: [fromMs, untilMs] }: Watched,
  { state, since }: Health,
  answers: readonly Answered[],
): void {
  const sinceMs = Date.parse(String(since));
  if (state === "paused") {
    expect(sinceMs, name).toBeGreaterThanOrEqual(fromMs);
    expect(sinceMs, name).toBeLessThanOrEqual(untilMs);
  }
  if (state !== "disabled") return;
  const atMs = answers.find(({ status }) => status === 410)?.atMs ?? Number.NaN;
  expect(Math.abs(sinceMs - atMs), name).toBeLessThanOrEqual(SLACK_MS);
}

/** What the service itself took for its successes is in what the relay says they took. */
function expectLatency(
  { name }: Watched,
  { account, stats }: { account: readonly Answered[]; stats: WebhookStats | undefined },
  { askedAtMs, answeredAtMs }: Sight,
): void {
  const successes = account.filter((each) => isSuccess(each) && each.atMs <= answeredAtMs);
  if (successes.some(({ atMs }) => atMs >= askedAtMs - SLACK_MS)) return;
  const tookMs = successes.map((each) => each.atMs - each.askedAtMs).sort((a, b) => a - b);
  for (const [share, told] of [
    [0.5, stats?.latencyMs.p50],
    [0.95, stats?.latencyMs.p95],
  ] as const) {
    const ownMs = tookMs[Math.ceil(tookMs.length * share) - 1];
    if (ownMs === undefined) {
      expect(told, name).toBeNull();
      continue;
    }
    const what = `${name}, ${share}: of ${tookMs.join(", ")}`;
    const halfBucket = Math.sqrt(BUCKET_GROWTH);
    expect(told, what).toBeGreaterThanOrEqual((ownMs + 1) / halfBucket - 2);
    expect(told, what).toBeLessThanOrEqual((ownMs + SLACK_MS + 1) * halfBucket);
  }
}

/** The last of these is the one that is told; one that has just come may not be known yet. */
function expectLast(told: string | null, answers: readonly Answered[], sight: Sight): void {
  const known = answers.filter(({ atMs }) => atMs < sight.askedAtMs - SLACK_MS);
  if (told === null) expect(known).toHaveLength(0);
  else {
    expect(answers.some(({ atMs }) => isNear(atMs, told))).toBe(true);
    expect(known.every(({ atMs }) => atMs <= Date.parse(told) + SLACK_MS)).toBe(true);
  }
}

/** By the service's account: what it may be while the look was taken. */
function statesAround(
  watched: Watched,
  answers: readonly Answered[],
  { askedAtMs, answeredAtMs }: Sight,
): string[] {
  const turns = answers.flatMap(({ atMs }) => [atMs - 1, atMs]);
  const fromMs = askedAtMs - SLACK_MS;
  return [fromMs, ...turns.filter((atMs) => atMs > fromMs), answeredAtMs].map((atMs) =>
    watched.stateBy(
      answers.filter((answer) => answer.atMs <= atMs),
      atMs,
    ),
  );
}

/** The lists, health, stats and metrics say the same: of what is so now, and of what ended since. */
function expectSameCounts(watched: Watched, own: Own, sight: Sight): void {
  const { health, deliveries, account } = own;
  const { name, webhook, receiver } = watched;
  const countOf = (status: string) => deliveries.filter((each) => each.status === status).length;
  const now = { pending: countOf("pending"), undeliverable: countOf("undeliverable") };
  const listed = sight.deliveries.filter(({ webhookId }) => webhookId === webhook.id);
  expect(listed.map(wholeOf).sort(), name).toEqual(deliveries.map(wholeOf).sort());
  const stats = sight.stats.find(({ id }) => id === webhook.id);
  expect(health, name).toMatchObject(now);
  expect(stats, name).toMatchObject({
    pending: now.pending,
    health: { ...now, state: health.state },
  });
  if (receiver !== null) expectLatency(watched, { account, stats }, sight);
  const label = { webhook: name };
  const metric = (sample: string, labels = {}) =>
    sampleOf(sight.metrics, sample, { ...label, ...labels });
  expect(metric("relay_pending"), name).toBe(now.pending);
  expect(metric("relay_undeliverable"), name).toBe(now.undeliverable);
  expect(metric("relay_webhook_state", { state: health.state }), name).toBe(1);

  // Endings: those of the metrics ever, those of the statistics since before the first.
  const ended = (status: string) => metric("relay_deliveries_total", { status }) ?? 0;
  expect(stats, name).toMatchObject({
    delivered: ended("delivered"),
    undeliverable: ended("undeliverable"),
    cancelled: ended("cancelled"),
  });
  expect(ended("delivered"), name).toBe(countOf("delivered"));
  expect(ended("undeliverable"), name).toBeGreaterThanOrEqual(now.undeliverable);
  const made = deliveries.reduce((sum, { attempts }) => sum + attempts, 0);
  const counted = (outcome: string) => metric("relay_attempts_total", { outcome }) ?? 0;
  if (receiver === null) expect(counted("connection"), name).toBe(made);
  const outcomes = [
    ["success", account.filter(isSuccess)],
    [receiver === null ? "connection" : "timeout", account.filter(({ status }) => status === null)],
    ["status", account.filter((answer) => answer.status !== null && !isSuccess(answer))],
  ] as const;
  for (const [outcome, all] of outcomes) {
    const known = all.filter(({ atMs }) => atMs < sight.askedAtMs - SLACK_MS);
    const until = all.filter(({ atMs }) => atMs <= sight.answeredAtMs);
    expect(counted(outcome), `${name} ${outcome}`).toBeGreaterThanOrEqual(known.length);
    expect(counted(outcome), `${name} ${outcome}`).toBeLessThanOrEqual(until.length);
  }
}

/** All that a list says of a delivery. */
const wholeOf = (delivery: Delivery) => JSON.stringify(delivery);

export async function scrape(relay: JourneyRelay): Promise<MetricFamily[]> {
  const response = await relay.fetch("/v1/metrics", {
    headers: { authorization: `Bearer ${relay.apiKey}` },
  });
  expect(response.status).toBe(200);
  return parseOpenMetrics(await response.text());
}
