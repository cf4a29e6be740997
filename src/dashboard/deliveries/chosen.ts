/** Some deliveries of any webhooks, by their ids alone: in the address of their list, and from form to form. */

import { type EventId, parseEventId, parseWebhookId, type WebhookId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import { findDelivery } from "../../operations/deliveries";
import { answerOf, type Unanswered } from "../../operations/objects";
import { DELIVERIES_PATH, withQuery } from "../ui/paths";

/** A page's worth: an address, and the cookie that brings it along, take no more. */
export const MAX_CHOSEN = 50;

export type Chosen = { webhookId: WebhookId; eventId: EventId };

/** `webhook.event.event-webhook.event`, each id without its prefix: nothing that an address writes longer. */
export function formatChosen(chosen: readonly Chosen[]): string {
  const groups = Map.groupBy(chosen, ({ webhookId }) => webhookId);
  return [...groups]
    .map(([id, own]) => [id, ...own.map(({ eventId }) => eventId)])
    .map((ids) => ids.map((id) => id.slice(id.indexOf("_") + 1)).join("."))
    .join("-");
}

/** What is no such text, or of which there is too much, is left out. */
export function parseChosen(text: string): Chosen[] {
  const chosen = text.split("-").flatMap((group) => {
    const [webhook, ...events] = group.split(".");
    return events.flatMap((event) => chosenOf(`${WEBHOOK}${webhook}`, `${EVENT}${event}`));
  });
  return chosen.slice(0, MAX_CHOSEN);
}

const WEBHOOK = "wh_";
const EVENT = "evt_";

/** As they are ticked: `webhook/event`. */
export function parseTicked(values: readonly string[]): Chosen[] {
  const chosen = [...new Set(values)].flatMap((value) => {
    const [webhook = "", event = ""] = value.split("/");
    return chosenOf(webhook, event);
  });
  return chosen.slice(0, MAX_CHOSEN);
}

function chosenOf(webhook: string, event: string): Chosen[] {
  const [webhookId, eventId] = [parseWebhookId(webhook), parseEventId(event)];
  return webhookId === null || eventId === null ? [] : [{ webhookId, eventId }];
}

export function chosenPath(chosen: readonly Chosen[]): string {
  return withQuery(DELIVERIES_PATH, { chosen: formatChosen(chosen) });
}

type Wanted = {
  chosen: readonly Chosen[];
  webhooks: readonly Webhook[];
  unanswered: Unanswered[];
};

/** Those that there are, newest first. */
export async function findChosen(env: Env, { chosen, webhooks, unanswered }: Wanted) {
  const byId = new Map(webhooks.map((webhook) => [webhook.id, webhook]));
  const found = await Promise.all(
    chosen.map(({ webhookId, eventId }) => {
      const webhook = byId.get(webhookId);
      if (webhook === undefined) return null;
      const ask = () => findDelivery(env, webhook, eventId);
      return answerOf(`Subscriber ${webhookId}`, ask, unanswered);
    }),
  );
  return found.filter((each) => each !== null).toSorted((a, b) => b.createdAtMs - a.createdAtMs);
}
