/** How the relay is doing: counters of journals and Subscribers, put together. */
import { HOUR_MS, percentile } from "../domain/counters";
import { journalName, REGISTRY_NAME } from "../domain/placement";
import type { Webhook } from "../domain/webhook";
import { journalDays } from "./journal";

export type WebhookStats = {
  id: string;
  pending: number;
  delivered: number;
  undeliverable: number;
  cancelled: number;
  /** Successful attempts as a share of all that had an outcome; null without any. */
  successRate: number | null;
  /** Of successful attempts, from request to answer. */
  latencyMs: { p50: number | null; p95: number | null };
  oldestDueAtMs: number | null;
};

export type Stats = {
  lastEventAtMs: number | null;
  events: number;
  webhooks: WebhookStats[];
  hours: { atMs: number; events: number; delivered: number; failedAttempts: number }[];
};

type Hour = Stats["hours"][number];

/** @param sinceMs from the start of its hour on. */
export async function stats(env: Env, sinceMs: number): Promise<Stats> {
  const nowMs = Date.now();
  const hours: Hour[] = [];
  for (let atMs = Math.floor(sinceMs / HOUR_MS) * HOUR_MS; atMs <= nowMs; atMs += HOUR_MS) {
    hours.push({ atMs, events: 0, delivered: 0, failedAttempts: 0 });
  }
  const [lastEventAtMs, webhooks] = await Promise.all([
    addEvents(env, hours),
    addDeliveries(env, hours),
  ]);
  const events = hours.reduce((sum, hour) => sum + hour.events, 0);
  return { lastEventAtMs, events, webhooks, hours };
}

/** @returns when the last event came in. */
async function addEvents(env: Env, hours: readonly Hour[]): Promise<number | null> {
  const byDay = new Map<string, Hour[]>();
  for (const hour of hours) {
    const day = journalName(hour.atMs);
    byDay.set(day, [...(byDay.get(day) ?? []), hour]);
  }
  await Promise.all(
    [...byDay].map(async ([day, its]) => {
      const { counts } = await env.JOURNAL.getByName(day).stats(its.map(({ atMs }) => atMs));
      for (const [index, hour] of its.entries()) hour.events = counts[index] ?? 0;
    }),
  );
  for (const day of journalDays(env)) {
    const { lastAtMs } = await env.JOURNAL.getByName(day).stats([]);
    if (lastAtMs !== null) return lastAtMs;
  }
  return null;
}

async function addDeliveries(env: Env, hours: readonly Hour[]): Promise<WebhookStats[]> {
  const webhooks = (await env.REGISTRY.getByName(REGISTRY_NAME).all()) as Webhook[];
  const byStart = new Map(hours.map((hour) => [hour.atMs, hour]));
  const sinceMs = hours[0]?.atMs ?? Date.now();
  return Promise.all(
    webhooks.map(async ({ id }) => {
      const its = await env.SUBSCRIBER.getByName(id).stats(sinceMs);
      for (const counters of its.hours) {
        const hour = byStart.get(counters.atMs);
        if (hour === undefined) continue;
        hour.delivered += counters.delivered;
        hour.failedAttempts += counters.failedAttempts;
      }
      const { delivered, undeliverable, cancelled, failedAttempts, latency } = its.totals;
      const attempts = delivered + failedAttempts;
      return {
        id,
        pending: its.pending,
        delivered,
        undeliverable,
        cancelled,
        successRate: attempts === 0 ? null : delivered / attempts,
        latencyMs: { p50: percentile(latency, 0.5), p95: percentile(latency, 0.95) },
        oldestDueAtMs: its.oldestDueAtMs,
      };
    }),
  );
}
