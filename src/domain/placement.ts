/**
 * Which object and which queue serve an event. Today one of each; these are the seams along which the relay
 * grows (README, "Scale"): a webhook that is not `ordered` may get several Subscribers chosen by the event id,
 * queues likewise, and journals by the hour.
 */
import type { EventId, WebhookId } from "./ids";

export const REGISTRY_NAME = "registry";
export const DEAD_LETTERS_NAME = "dead-letters";

const DAY_MS = 86_400_000;

/** The name of the Subscriber object that owes `eventId` to the webhook. */
export function subscriberName(webhookId: WebhookId, _eventId: EventId): string {
  return webhookId;
}

/** Every Subscriber object of a webhook: where settings are pushed to and lists are gathered from. */
export function subscriberNames(webhookId: WebhookId): string[] {
  return [webhookId];
}

/** The binding of the queue that carries `eventId`. */
export function queueBinding(_eventId: EventId): "EVENTS" {
  return "EVENTS";
}

/** The name of the Journal object for what was received at `receivedAtMs`: its UTC day, `2026-11-23`. */
export function journalName(receivedAtMs: number): string {
  return new Date(receivedAtMs).toISOString().slice(0, 10);
}

/** The journals of the days from `sinceMs` to `untilMs`, newest first. */
export function journalNames(sinceMs: number, untilMs: number): string[] {
  const names: string[] = [];
  const firstDay = Math.floor(sinceMs / DAY_MS);
  for (let day = Math.floor(untilMs / DAY_MS); day >= firstDay; day--) {
    names.push(journalName(day * DAY_MS));
  }
  return names;
}
