/**
 * What the relay says of its webhooks, look by look, held against what their services saw: a time that was said
 * against the clock of the service that was asked then, a state against what it answered, counts against each other.
 */
import { expect } from "vitest";
import type { Delivery, RegisteredWebhook } from "../rig/api.ts";
import { type MetricFamily, parseOpenMetrics, sampleOf } from "../rig/open-metrics.ts";
import type { ReceivedRequest, Receiver } from "../rig/receiver.ts";
import type { JourneyRelay } from "./relay.ts";

/** What comes, comes when it was said, so far as this. */
export const SLACK_MS = 2_000;
/** A look is taken anew when something happened meanwhile, so often. */
const MAX_TRIES = 40;

export type Health = {
  state: string;
  nextAttemptAt: string | null;
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
};

/** One request as the service saw it: what it answered, or null where the relay must have stopped waiting. */
export type Answered = { eventId: string; atMs: number; status: number | null };

const eventOf = ({ headers }: ReceivedRequest) => String(headers["webhook-id"]);
const numberOf = ({ headers }: ReceivedRequest) => Number(headers["x-relay-attempt"]);

/** The service's own account until then, in the order of its answers. */
function answersOf({ receiver, timeoutMs }: Watched, untilMs: number): Answered[] {
  const ended = (receiver?.requests ?? []).map((request) => ({
    eventId: eventOf(request),
    atMs: request.answeredAtMs ?? request.receivedAtMs + timeoutMs,
    status: request.answeredStatus,
  }));
  return ended.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
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
  own: Map<string, { health: Health; deliveries: Delivery[] }>;
};

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
      for (const delivery of own.deliveries) this.#hear(watched, delivery, sight);
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
      const own = new Map(
        await Promise.all(
          all.map(async ({ webhook: { id } }) => {
            const deliveries = await this.#relay.all<Delivery>(`/webhooks/${id}/deliveries`);
            const health = await this.#relay.call<Health>(`/webhooks/${id}/health`);
            return [id, { deliveries, health }] as const;
          }),
        ),
      );
      const answeredAtMs = Date.now();
      const after = await this.#relay.all<Delivery>("/deliveries");
      const sight = { askedAtMs, answeredAtMs, deliveries, stats: stats.webhooks, metrics, own };
      if (JSON.stringify(after) === JSON.stringify(deliveries)) return sight;
      if (tries === MAX_TRIES) throw new Error("it never stands still");
    }
  }

  /** What is said of a delivery's next attempt: kept, to be held against what comes. */
  #hear(watched: Watched, delivery: Delivery, { askedAtMs, answeredAtMs }: Sight): void {
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
    if (waitingFor === "attempt") {
      expect(isUnderWay(watched, eventId, { askedAtMs, answeredAtMs }), what).toBe(true);
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
  expectKept(all: readonly Watched[]): Record<string, number> {
    const nowMs = Date.now();
    const kept = all.map((watched) => {
      const own = this.#said.filter((said) => said.watched.webhook.id === watched.webhook.id);
      const foretold = new Set<string>();
      for (const said of own)
        if (expectKept(said, nowMs)) foretold.add(`${said.eventId} ${said.number}`);
      return [watched.name, foretold.size] as const;
    });
    return Object.fromEntries(kept);
  }
}

/** @returns whether it said the time of an attempt that has come. */
function expectKept({ watched, ...said }: Said, nowMs: number): boolean {
  const { eventId, number, waitingFor, atMs, saidAtMs } = said;
  const what = `${watched.name} ${JSON.stringify(said)}`;
  const requests = (watched.receiver?.requests ?? []).filter((each) => eventOf(each) === eventId);
  if (waitingFor === "attempt" || watched.receiver === null) return false;
  if (atMs === null) {
    const later = requests.filter(({ receivedAtMs }) => receivedAtMs > saidAtMs);
    const isFree = waitingFor === "probe" || waitingFor === "rate_limit";
    if (!isFree) expect(later, what).toHaveLength(0);
    return false;
  }
  const came = requests.find((request) => numberOf(request) === number);
  if (came === undefined) {
    expect(atMs, `${what} did not come`).toBeGreaterThan(nowMs - SLACK_MS);
    return false;
  }
  expect(Math.abs(came.receivedAtMs - atMs), what).toBeLessThanOrEqual(SLACK_MS);
  return waitingFor !== "turn";
}

/** The service has a request of it that it had not answered, or had just answered. */
function isUnderWay(
  { receiver, timeoutMs }: Watched,
  eventId: string,
  { askedAtMs, answeredAtMs }: { askedAtMs: number; answeredAtMs: number },
): boolean {
  if (receiver === null) return true;
  return receiver.requests.some((request) => {
    const endedAtMs = request.answeredAtMs ?? request.receivedAtMs + timeoutMs;
    return (
      eventOf(request) === eventId &&
      request.receivedAtMs < answeredAtMs + SLACK_MS &&
      endedAtMs > askedAtMs - SLACK_MS
    );
  });
}

type Own = { health: Health; deliveries: Delivery[] };

/** Health says what the service itself knows of its answers. */
function expectHealth(watched: Watched, { health, deliveries }: Own, sight: Sight): void {
  const { name, receiver } = watched;
  const states = receiver === null ? [byAttempts(deliveries)] : statesAround(watched, sight);
  expect(states, `${name} ${JSON.stringify(health)}`).toContain(health.state);

  const pending = deliveries.filter(({ status }) => status === "pending");
  const times = pending.flatMap(({ nextAttemptAt }) => nextAttemptAt ?? []).sort();
  const isMoving = pending.some(({ waitingFor }) => ["attempt", "turn"].includes(`${waitingFor}`));
  if (!isMoving) expect(health.nextAttemptAt, name).toBe(times[0] ?? null);

  if (receiver === null) return;
  const answers = answersOf(watched, sight.answeredAtMs);
  expectLast(health.lastSuccessAt, answers.filter(isSuccess), sight);
  const failures = answers.filter((answer) => !isSuccess(answer));
  const { lastFailure } = health;
  expectLast(lastFailure?.at ?? null, failures, sight);
  if (lastFailure === null) return;
  const told = failures.filter(
    ({ atMs, eventId }) => eventId === lastFailure.eventId && isNear(atMs, lastFailure.at),
  );
  const error = lastFailure.statusCode === null ? "timeout" : "status";
  expect(
    told.map(({ status }) => status),
    name,
  ).toContain(lastFailure.statusCode);
  expect(lastFailure.error, name).toBe(error);
}

const isNear = (atMs: number, said: string) => Math.abs(atMs - Date.parse(said)) <= SLACK_MS;

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
function statesAround(watched: Watched, { askedAtMs, answeredAtMs }: Sight): string[] {
  const answers = answersOf(watched, answeredAtMs);
  const turns = answers.flatMap(({ atMs }) => [atMs - 1, atMs]);
  const fromMs = askedAtMs - SLACK_MS;
  return [fromMs, ...turns.filter((atMs) => atMs > fromMs), answeredAtMs].map((atMs) =>
    watched.stateBy(
      answers.filter((answer) => answer.atMs <= atMs),
      atMs,
    ),
  );
}

/** Of a port that nobody listens on there is no other account than the attempts that it cost. */
function byAttempts(deliveries: readonly Delivery[]): string {
  return deliveries.some(({ attempts }) => attempts > 0) ? "failing" : "healthy";
}

/** The lists, health, stats and metrics say the same: of what is so now, and of what ended since. */
function expectSameCounts(watched: Watched, { health, deliveries }: Own, sight: Sight): void {
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
  if (receiver === null) {
    expect(counted("connection"), name).toBe(made);
    return;
  }
  const answers = answersOf(watched, Number.POSITIVE_INFINITY);
  const outcomes = [
    ["success", answers.filter(isSuccess)],
    ["timeout", answers.filter(({ status }) => status === null)],
    ["status", answers.filter((answer) => answer.status !== null && !isSuccess(answer))],
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
