/** Where pages are, and the calls of the API that answer the same. */
import { iso } from "../../domain/time";
import type { Webhook } from "../../domain/webhook";

export const WEBHOOKS_PATH = "/dashboard/webhooks";
export const DELIVERIES_PATH = "/dashboard/deliveries";
export const EVENTS_PATH = "/dashboard/events";
export const DEAD_LETTERS_PATH = "/dashboard/dead-letters";

export function webhookPath(id: string): string {
  return `${WEBHOOKS_PATH}/${id}`;
}

export function deliveryPath(webhookId: string, eventId: string): string {
  return `${webhookPath(webhookId)}/deliveries/${eventId}`;
}

export function deliveryCall(of: { webhookId: string; eventId: string }): string {
  return `/v1/webhooks/${of.webhookId}/deliveries/${of.eventId}`;
}

export function eventPath(eventId: string): string {
  return `${EVENTS_PATH}/${eventId}`;
}

export type Query = Readonly<Record<string, string>>;

export function withQuery(path: string, query: Query): string {
  const search = new URLSearchParams(query).toString();
  return search === "" ? path : `${path}?${search}`;
}

export function statsCall(sinceMs: number): string {
  return withQuery("/v1/stats", { since: iso(sinceMs) });
}

export function deliveriesPath(webhook: Webhook, query: Readonly<Record<string, string>> = {}) {
  return withQuery(DELIVERIES_PATH, { webhook: webhook.id, ...query });
}
