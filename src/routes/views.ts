/** How the API shows things: ISO 8601 outside, and nothing secret. */
import type { AttemptRecord, DeliveryView } from "../domain/delivery";
import { maskQuery } from "../domain/target";
import type { Webhook } from "../domain/webhook";
import type { WholeEvent } from "../operations/events";
import type { Stats, Step } from "../operations/stats";
import type { DeadLetter } from "../storage/dead-letter-store";
import type { JournalEvent } from "../storage/journal-store";
import type { AuditEntry } from "../storage/registry-store";

/** A webhook as the API shows it: header values and secrets never leave. */
export function shownWebhook(webhook: Webhook) {
  return {
    id: webhook.id,
    url: webhook.url,
    events: webhook.events,
    description: webhook.description,
    filter: webhook.filter,
    headers: Object.keys(webhook.headers),
    rateLimit: webhook.rateLimit,
    ordered: webhook.ordered,
    retrySchedule: webhook.retrySchedule,
    status: webhook.status,
    statusReason: webhook.statusReason,
    createdAt: iso(webhook.createdAtMs),
    updatedAt: iso(webhook.updatedAtMs),
  };
}

export function shownDelivery(delivery: DeliveryView) {
  return {
    webhookId: delivery.webhookId,
    eventId: delivery.eventId,
    event: delivery.event,
    status: delivery.status,
    attempts: delivery.attempts,
    createdAt: iso(delivery.createdAtMs),
    nextAttemptAt: iso(delivery.nextAttemptAtMs),
    completedAt: iso(delivery.completedAtMs),
    lastStatusCode: delivery.lastStatusCode,
    lastError: delivery.lastError,
  };
}

export function shownAttempt({ startedAtMs, ...record }: AttemptRecord) {
  return {
    number: record.number,
    trigger: record.trigger,
    startedAt: iso(startedAtMs),
    durationMs: record.durationMs,
    statusCode: record.statusCode,
    error: record.error,
    responseBody: record.responseBody,
    responseTruncated: record.responseTruncated,
  };
}

/** The same in a list, where a URL's query may hold a token. */
export function listedWebhook(webhook: Webhook) {
  return { ...shownWebhook(webhook), url: maskQuery(webhook.url) };
}

export function shownEvent(event: JournalEvent) {
  return {
    id: event.id,
    event: event.event,
    timestamp: event.timestamp,
    receivedAt: iso(event.receivedAtMs),
    size: event.size,
    conforms: event.conforms,
    webhookIds: event.webhookIds,
  };
}

export function shownWholeEvent({ event, payload, deliveries }: WholeEvent) {
  return { ...shownEvent(event), payload, deliveries: deliveries.map(shownDelivery) };
}

export function shownDeadLetter(letter: DeadLetter) {
  return {
    id: letter.id,
    eventId: letter.eventId,
    event: letter.event,
    reason: letter.reason,
    receivedAt: iso(letter.receivedAtMs),
    failedAt: iso(letter.failedAtMs),
    webhookIds: letter.webhookIds ?? [],
  };
}

export function shownAudit({ number, atMs, key, action, webhookId, before, after }: AuditEntry) {
  return { id: `aud_${number}`, at: iso(atMs), key, action, webhookId, before, after };
}

export function shownStats({ lastEventAtMs, events, all, webhooks, hours, recent }: Stats) {
  return {
    lastEventAt: iso(lastEventAtMs),
    events,
    all,
    webhooks: webhooks.map((webhook) => ({
      id: webhook.id,
      pending: webhook.pending,
      delivered: webhook.delivered,
      undeliverable: webhook.undeliverable,
      cancelled: webhook.cancelled,
      successRate: webhook.successRate,
      latencyMs: webhook.latencyMs,
      oldestDueAt: iso(webhook.oldestDueAtMs),
      failingSince: iso(webhook.failingSinceMs),
    })),
    hours: hours.map(shownStep),
    recent: recent.map(shownStep),
  };
}

function shownStep({ atMs, ...step }: Step) {
  return { at: iso(atMs), ...step };
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
