/** How the relay is doing: counters of journals and Subscribers, put together. */

import { inTime } from "../deadline";
import type { OpenAlert } from "../domain/alert";
import {
  type HourCounters,
  percentile,
  STEP_MS,
  STEPS_PER_HOUR,
  sum,
  type Totals,
} from "../domain/counters";
import type { Failure } from "../domain/failure";
import type { HealthReport } from "../domain/health-report";
import type { WebhookId } from "../domain/ids";
import { failureOf } from "../domain/newer-data";
import { journalName } from "../domain/placement";
import { HOUR_MS, hourOf } from "../domain/time";
import type { Totals as EverTotals } from "../domain/totals";
import type { Webhook } from "../domain/webhook";
import { errorText, logWarning } from "../log";
import { lastEventAtMs } from "./journal";
import { journalOf, registry, subscriberOf } from "./objects";
import { allWebhooks, findWebhook, type WebhookRef } from "./webhooks";

export type WebhookStats = Outcomes & {
  id: string;
  oldestDueAtMs: number | null;
  /** The first failure since the last success or resume; null while all is well. */
  failingSinceMs: number | null;
  health: HealthReport;
  /** What ever happened; null where the object is of a release that did not count it. */
  totals: EverTotals | null;
};

/** `backlog` is null where the queue does not say. */
export type Backlog = { backlog: number | null; oldestAtMs: number | null };
export type Queues = { events: Backlog; deadLetters: Backlog };

/** What waits now, and what became of deliveries and attempts. */
export type Outcomes = {
  pending: number;
  delivered: number;
  undeliverable: number;
  cancelled: number;
  /** Successful attempts as a share of all that had an outcome; null without any. */
  successRate: number | null;
  /** Of successful attempts, from request to answer. */
  latencyMs: { p50: number | null; p95: number | null };
};

type OnSilent = (id: WebhookId, failure: Failure) => void;
/** After so long an object counts as one that does not answer. */
export const CALL_TIMEOUT_MS = 10_000;

/** What came in and went out within a step of time that begins at `atMs`. */
export type Step = { atMs: number; events: number; delivered: number; failedAttempts: number };

export type Stats = {
  lastEventAtMs: number | null;
  events: number;
  /** Of all webhooks together. */
  all: Outcomes;
  webhooks: WebhookStats[];
  hours: Step[];
  /** The last hour in steps of five minutes. */
  recent: Step[];
  queues: Queues;
  /** Since when `ALERT_URL` takes no alerts; null while it does. */
  alerts: { refusedSinceMs: number; statusCode: number | null } | null;
  /** What was found that a person should know, and is not over. */
  openAlerts: OpenAlert[];
};

/**
 * @param sinceMs from the start of its hour on.
 * @param known all webhooks, where the caller has them already.
 * @param onSilent is told of each whose object does not answer, which is left out then; without it nothing is answered.
 */
export async function stats(
  env: Env,
  sinceMs: number,
  known?: readonly Pick<Webhook, "id">[],
  onSilent?: OnSilent,
): Promise<Stats> {
  const nowMs = Date.now();
  const hours = stepsBetween(sinceMs, nowMs, HOUR_MS);
  const recent = stepsBetween(nowMs - HOUR_MS + STEP_MS, nowMs, STEP_MS);
  const webhooks = known ?? (await allWebhooks(env));
  const [lastAtMs, queues, alerts, openAlerts, outgoing] = await Promise.all([
    lastEventAtMs(env),
    queuesOf(env),
    registry(env).alertsRefused(),
    registry(env).openAlerts(),
    addDeliveries(env, webhooks, { hours, recent, onSilent }),
    addEvents(env, hours, HOUR_MS),
    addEvents(env, recent, STEP_MS),
  ]);
  const events = hours.reduce((total, hour) => total + hour.events, 0);
  const told = { queues, alerts, openAlerts };
  return { lastEventAtMs: lastAtMs, events, ...outgoing, hours, recent, ...told };
}

async function queuesOf(env: Env): Promise<Queues> {
  const [events, waiting] = await Promise.all([backlogOf(env.EVENTS), backlogOf(env.DEAD_LETTERS)]);
  return { events, deadLetters: waiting };
}

/** What a queue says of itself is an estimate, and no reason to answer nothing. */
async function backlogOf(queue: Queue): Promise<Backlog> {
  try {
    const { backlogCount, oldestMessageTimestamp } = await queue.metrics();
    return { backlog: backlogCount, oldestAtMs: oldestMessageTimestamp?.getTime() ?? null };
  } catch (thrown) {
    logWarning("queue.not_measured", { error: errorText(thrown) });
    return { backlog: null, oldestAtMs: null };
  }
}

/** One webhook and its hours, in which `events` is 0: what came in is the relay's. @param sinceMs as for `stats`. */
export async function webhookStats(
  env: Env,
  id: WebhookId,
  sinceMs: number,
): Promise<{ stats: WebhookStats; hours: Step[] }> {
  const hours = stepsBetween(sinceMs, Date.now(), HOUR_MS);
  const { stats: own } = await addDeliveriesOf(env, id, hours, []);
  return { stats: own, hours };
}

/** How a webhook is doing now; null when there is none. */
export async function webhookHealth(env: Env, ref: WebhookRef): Promise<HealthReport | null> {
  const webhook = await findWebhook(env, ref);
  return webhook && (await ownStats(env, webhook.id, Date.now())).health;
}

/** What a webhook's object says of itself. One of 0.1.0, in the minutes after an upgrade, says neither health nor totals. */
export async function ownStats(env: Env, id: WebhookId, sinceMs: number) {
  const said = await subscriberOf(env, id).stats(sinceMs);
  if ((said as Partial<typeof said>).health !== undefined) return said;
  return { ...said, health: supposed(said), totals: null };
}

function supposed(
  said: Pick<WebhookStats, "pending" | "oldestDueAtMs" | "failingSinceMs">,
): HealthReport {
  const { pending, oldestDueAtMs, failingSinceMs } = said;
  return {
    state: failingSinceMs === null ? "healthy" : "failing",
    sinceMs: failingSinceMs,
    ...{ pending, undeliverable: 0, oldestDueAtMs },
    ...{ nextAttemptAtMs: null, lastSuccessAtMs: null, lastFailure: null },
  };
}

/** Whole steps, oldest first, from the one that holds `sinceMs` to the one that holds `nowMs`. */
function stepsBetween(sinceMs: number, nowMs: number, stepMs: number): Step[] {
  const steps: Step[] = [];
  for (let atMs = Math.floor(sinceMs / stepMs) * stepMs; atMs <= nowMs; atMs += stepMs) {
    steps.push({ atMs, events: 0, delivered: 0, failedAttempts: 0 });
  }
  return steps;
}

async function addEvents(env: Env, steps: readonly Step[], stepMs: number): Promise<void> {
  const byDay = Map.groupBy(steps, ({ atMs }) => journalName(atMs));
  await Promise.all(
    [...byDay].map(async ([day, ofDay]) => {
      const starts = ofDay.map(({ atMs }) => atMs);
      const { counts } = await journalOf(env, day).stats(starts, stepMs);
      for (const [index, step] of ofDay.entries()) step.events = counts[index] ?? 0;
    }),
  );
}

async function addDeliveries(
  env: Env,
  webhooks: readonly Pick<Webhook, "id">[],
  to: { hours: readonly Step[]; recent: readonly Step[]; onSilent: OnSilent | undefined },
): Promise<{ webhooks: WebhookStats[]; all: Outcomes }> {
  const { hours, recent, onSilent } = to;
  const answers = await Promise.all(
    webhooks.map(async ({ id }) => {
      const asked = addDeliveriesOf(env, id, hours, recent);
      if (onSilent === undefined) return asked;
      try {
        return await inTime(asked, CALL_TIMEOUT_MS);
      } catch (thrown) {
        logWarning("object.not_asked", { webhookId: id, error: errorText(thrown) });
        onSilent(id, failureOf(thrown));
        return null;
      }
    }),
  );
  const found = answers.filter((each) => each !== null);
  const counted = found.flatMap((each) => each.hours);
  const pending = found.reduce((total, each) => total + each.stats.pending, 0);
  return { webhooks: found.map((each) => each.stats), all: outcomesOf(pending, sum(counted)) };
}

async function addDeliveriesOf(
  env: Env,
  id: WebhookId,
  hours: readonly Step[],
  recent: readonly Step[],
): Promise<{ stats: WebhookStats; hours: HourCounters[] }> {
  const sinceMs = hours[0]?.atMs ?? Date.now();
  const recentSinceMs = recent[0]?.atMs ?? sinceMs;
  const counted = await ownStats(env, id, Math.min(sinceMs, hourOf(recentSinceMs)));
  const wanted = counted.hours.filter(({ atMs }) => atMs >= sinceMs);
  addHours(wanted, hours);
  addRecent(counted.hours, recent);
  const { pending, oldestDueAtMs, failingSinceMs, health, totals } = counted;
  const outcomes = outcomesOf(pending, sum(wanted));
  const stats = { id, oldestDueAtMs, failingSinceMs, health, totals, ...outcomes };
  return { stats, hours: wanted };
}

function addHours(counted: readonly HourCounters[], hours: readonly Step[]): void {
  const byStart = new Map(hours.map((hour) => [hour.atMs, hour]));
  for (const { atMs, delivered, failedAttempts } of counted) {
    const hour = byStart.get(atMs);
    if (hour === undefined) continue;
    hour.delivered += delivered;
    hour.failedAttempts += failedAttempts;
  }
}

function addRecent(counted: readonly HourCounters[], recent: readonly Step[]): void {
  for (const step of recent) {
    const hour = counted.find(({ atMs }) => atMs === hourOf(step.atMs));
    const index = Math.floor((step.atMs - hourOf(step.atMs)) / STEP_MS) % STEPS_PER_HOUR;
    const [delivered, failedAttempts] = hour?.steps?.[index] ?? [0, 0];
    step.delivered += delivered;
    step.failedAttempts += failedAttempts;
  }
}

function outcomesOf(
  pending: number,
  { delivered, undeliverable, cancelled, failedAttempts, latency }: Totals,
): Outcomes {
  const attempts = delivered + failedAttempts;
  return {
    pending,
    delivered,
    undeliverable,
    cancelled,
    successRate: attempts === 0 ? null : delivered / attempts,
    latencyMs: { p50: percentile(latency, 0.5), p95: percentile(latency, 0.95) },
  };
}
