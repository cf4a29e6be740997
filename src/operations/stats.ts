/** How the relay is doing: counters of journals and Subscribers, put together. */
import type { OpenAlert } from "../domain/alert";
import { type HourCounters, type HourSums, percentile, STEP_MS, sum } from "../domain/counters";
import type { HealthReport } from "../domain/health-report";
import type { WebhookId } from "../domain/ids";
import { journalName } from "../domain/placement";
import { HOUR_MS, hourOf } from "../domain/time";
import type { Totals } from "../domain/totals";
import type { Webhook } from "../domain/webhook";
import { errorText, logWarning } from "../log";
import { lastEventAtMs } from "./journal";
import { answerOf, journalOf, registry, subscriberOf, type Unanswered } from "./objects";
import { allWebhooks } from "./webhooks";

export type WebhookStats = Outcomes & {
  id: string;
  oldestDueAtMs: number | null;
  /** The first failure since the last success or resume; null while all is well. */
  failingSinceMs: number | null;
  health: HealthReport;
  /** What ever happened; null where the object is of a release that did not count it. */
  totals: Totals | null;
  /** What went out in the running five minutes and the five before them. */
  lately: readonly Step[];
};

/** `backlog` is null where the queue does not say. */
export type Backlog = { backlog: number | null; oldestAtMs: number | null };
export type Queues = { events: Backlog; deadLetters: Backlog };

/** What waits now, and what became of deliveries and attempts. */
export type Outcomes = ReturnType<typeof outcomesOf>;

type Counted = "events" | "delivered" | "failedAttempts";

/** What came in and went out within a step of time that begins at `atMs`. */
type StepOf<Count> = { atMs: number } & Record<Counted, Count>;

type StatsOf<Unknown> = {
  /** null when none ever came. */
  lastEventAtMs: number | null;
  events: number | Unknown;
  /** Of all webhooks together. */
  all: Outcomes | Unknown;
  webhooks: WebhookStats[];
  hours: StepOf<number | Unknown>[];
  /** The last hour in steps of five minutes. */
  recent: StepOf<number | Unknown>[];
  queues: Queues;
  /** Since when `ALERT_URL` takes no alerts; null while it does. */
  alerts: { refusedSinceMs: number; statusCode: number | null } | null;
  /** What was found that a person should know, and is not over. */
  openAlerts: OpenAlert[];
};

export type Stats = StatsOf<never>;

/**
 * Of what answers: sums are of that, and null is what nothing that answers knows. `lastEventAtMs` is null also where a day
 * that does not answer may have had a later one.
 */
export type KnownStats = StatsOf<null>;
export type Step = KnownStats["hours"][number];

/** @param sinceMs from the start of its hour on. */
export async function stats(env: Env, sinceMs: number): Promise<Stats> {
  // Nothing is unknown where whatever does not answer is an error.
  return (await knownStats(env, sinceMs, await allWebhooks(env))) as Stats;
}

/**
 * @param sinceMs as for `stats`.
 * @param webhooks all there are.
 * @param unanswered gets the objects that do not answer, which are left out then; see `answerOf`.
 */
export async function knownStats(
  env: Env,
  sinceMs: number,
  webhooks: readonly Pick<Webhook, "id">[],
  unanswered?: Unanswered[],
): Promise<KnownStats> {
  const nowMs = Date.now();
  const hours = stepsBetween(sinceMs, nowMs, HOUR_MS);
  const recent = stepsBetween(nowMs - HOUR_MS + STEP_MS, nowMs, STEP_MS);
  const [lastAtMs, events, deadLetters, alerts, openAlerts, outgoing] = await Promise.all([
    lastEventAtMs(env, unanswered),
    backlogOf(env.EVENTS),
    backlogOf(env.DEAD_LETTERS),
    registry(env).alertsRefused(),
    registry(env).openAlerts(),
    addDeliveries(env, webhooks, { hours, recent, unanswered }),
    addEvents(env, { steps: hours, stepMs: HOUR_MS }, unanswered),
    addEvents(env, { steps: recent, stepMs: STEP_MS }, unanswered),
  ]);
  const incoming = { lastEventAtMs: lastAtMs, events: sumOf(hours, "events") };
  const queues = { events, deadLetters };
  return { ...incoming, ...outgoing, hours, recent, queues, alerts, openAlerts };
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

/** One webhook and its hours, without `events`: what came in is the relay's. @param sinceMs as for `stats`. */
export async function webhookStats(env: Env, id: WebhookId, sinceMs: number) {
  const hours = stepsBetween(sinceMs, Date.now(), HOUR_MS);
  const { stats: own } = await addDeliveriesOf(env, id, hours, []);
  return { stats: own, hours };
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
    pending,
    undeliverable: 0,
    oldestDueAtMs,
    nextAttemptAtMs: null,
    lastSuccessAtMs: null,
    lastFailure: null,
  };
}

/** Whole steps, oldest first, from the one that holds `sinceMs` to the one that holds `nowMs`. */
function stepsBetween(sinceMs: number, nowMs: number, stepMs: number): Step[] {
  const steps: Step[] = [];
  for (let atMs = Math.floor(sinceMs / stepMs) * stepMs; atMs <= nowMs; atMs += stepMs) {
    steps.push({ atMs, events: null, delivered: null, failedAttempts: null });
  }
  return steps;
}

/** What is known of it in all; null where nothing is. */
export function sumOf(steps: readonly Step[], what: Counted): number | null {
  const known = steps.flatMap((step) => step[what] ?? []);
  const isUnknown = known.length === 0 && steps.length > 0;
  return isUnknown ? null : known.reduce((total, each) => total + each, 0);
}

async function addEvents(
  env: Env,
  { steps, stepMs }: { steps: readonly Step[]; stepMs: number },
  unanswered: Unanswered[] | undefined,
): Promise<void> {
  const byDay = Map.groupBy(steps, ({ atMs }) => journalName(atMs));
  await Promise.all(
    [...byDay].map(async ([day, ofDay]) => {
      const starts = ofDay.map(({ atMs }) => atMs);
      const ask = () => journalOf(env, day).stats(starts, stepMs);
      const answer = await answerOf(`Journal ${day}`, ask, unanswered);
      if (answer === null) return;
      for (const [index, step] of ofDay.entries()) step.events = answer.counts[index] ?? 0;
    }),
  );
}

async function addDeliveries(
  env: Env,
  webhooks: readonly Pick<Webhook, "id">[],
  to: { hours: readonly Step[]; recent: readonly Step[]; unanswered: Unanswered[] | undefined },
): Promise<{ webhooks: WebhookStats[]; all: Outcomes | null }> {
  const { hours, recent, unanswered } = to;
  const asked = webhooks.map(({ id }) =>
    answerOf(`Subscriber ${id}`, () => addDeliveriesOf(env, id, hours, recent), unanswered),
  );
  const answers = await Promise.all(asked);
  const found = answers.filter((each) => each !== null);
  if (found.length === 0 && webhooks.length > 0) return { webhooks: [], all: null };
  // Where there is no webhook, nothing went out.
  addOutgoing([], hours, ofHour);
  addOutgoing([], recent, ofStep);
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
  addOutgoing(counted.hours, hours, ofHour);
  addOutgoing(counted.hours, recent, ofStep);
  const lately = stepsBetween(Date.now() - STEP_MS, Date.now(), STEP_MS);
  addOutgoing(counted.hours, lately, ofStep);
  const { pending, oldestDueAtMs, failingSinceMs, health, totals } = counted;
  const outcomes = outcomesOf(pending, sum(wanted));
  const stats = { id, oldestDueAtMs, failingSinceMs, health, totals, lately, ...outcomes };
  return { stats, hours: wanted };
}

/** Of an hour, what belongs to the step that begins at `atMs`: delivered, and failed attempts. */
type Part = (hour: HourCounters, atMs: number) => readonly [number, number] | undefined;

const ofHour: Part = ({ delivered, failedAttempts }) => [delivered, failedAttempts];
const ofStep: Part = ({ steps, atMs: startMs }, atMs) =>
  steps?.[Math.floor((atMs - startMs) / STEP_MS)];

function addOutgoing(counted: readonly HourCounters[], steps: readonly Step[], part: Part): void {
  const byStart = new Map(counted.map((hour) => [hour.atMs, hour]));
  for (const step of steps) {
    const hour = byStart.get(hourOf(step.atMs));
    const [delivered, failedAttempts] = (hour && part(hour, step.atMs)) ?? [0, 0];
    step.delivered = (step.delivered ?? 0) + delivered;
    step.failedAttempts = (step.failedAttempts ?? 0) + failedAttempts;
  }
}

function outcomesOf(
  pending: number,
  { delivered, undeliverable, cancelled, failedAttempts, latency }: HourSums,
) {
  const attempts = delivered + failedAttempts;
  return {
    pending,
    delivered,
    undeliverable,
    cancelled,
    /** Successful attempts as a share of all that had an outcome; null without any. */
    successRate: attempts === 0 ? null : delivered / attempts,
    /** Of successful attempts, from request to answer. */
    latencyMs: { p50: percentile(latency, 0.5), p95: percentile(latency, 0.95) },
  };
}
