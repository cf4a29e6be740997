/** An event as a whole: its journal entry, its deliveries, sending it again, and erasing what it holds. */
import type { DeliveryView } from "../domain/delivery";
import { fail, ok, type Result } from "../domain/failure";
import type { EventId, WebhookId } from "../domain/ids";
import { DEAD_LETTERS_NAME, REGISTRY_NAME, subscriberName } from "../domain/placement";
import type { Webhook } from "../domain/webhook";
import type { JournalEvent } from "../storage/journal-store";
import { type EventCursor, findBody, findEvent, journalDays, listEvents } from "./journal";

const MAX_ERASED = 100;

export type WholeEvent = {
  event: JournalEvent;
  /** null when it was erased. */
  payload: unknown;
  /** Of every webhook that has one, backfilled ones too. */
  deliveries: DeliveryView[];
};

export async function wholeEvent(env: Env, id: EventId): Promise<WholeEvent | null> {
  const event = await findEvent(env, id);
  if (event === null) return null;
  const [stored, webhooks] = await Promise.all([findBody(env, id), allWebhooks(env)]);
  const deliveries = await Promise.all(
    webhooks.map(async (webhook) => {
      const found = await subscriberOf(env, webhook.id, id).delivery(id);
      return found as DeliveryView | null;
    }),
  );
  return {
    event,
    payload: stored === null ? null : JSON.parse(new TextDecoder().decode(stored.body)),
    deliveries: deliveries.filter((delivery) => delivery !== null),
  };
}

/**
 * Sends an event again.
 *
 * @param webhookIds to whom; null for those that it matched and that still exist.
 * @returns how many deliveries that makes.
 */
export async function replayEvent(
  env: Env,
  id: EventId,
  webhookIds: readonly WebhookId[] | null,
): Promise<Result<number>> {
  const event = await findEvent(env, id);
  if (event === null) return fail({ code: "not_found" });
  const stored = await findBody(env, id);
  if (stored === null) return fail({ code: "payload_gone" });
  const existing = new Set((await allWebhooks(env)).map((webhook) => webhook.id));
  const unknown = (webhookIds ?? []).findIndex((webhookId) => !existing.has(webhookId));
  if (unknown >= 0) {
    return fail({
      code: "invalid_request",
      errors: [{ path: `webhookIds.${unknown}`, message: "is not a webhook" }],
    });
  }
  const targets = [...new Set(webhookIds ?? event.webhookIds)].filter((each) => existing.has(each));
  const opened = await Promise.all(
    targets.map((webhookId) =>
      subscriberOf(env, webhookId, id).reopen({ deliveries: [stored], by: "replay" }),
    ),
  );
  const done = opened.flat().filter((each) => each !== "in_flight" && each !== "unknown");
  return ok(done.length);
}

/** Erases an event's payload and what is known of the lead, wherever it is kept. Whether there was one. */
export async function eraseEvent(env: Env, id: EventId): Promise<boolean> {
  const [days, webhooks] = [journalDays(env), await allWebhooks(env)];
  const found = await Promise.all([
    ...days.map((day) => env.JOURNAL.getByName(day).erase(id)),
    ...webhooks.map((webhook) => subscriberOf(env, webhook.id, id).erase(id)),
    env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME).erase({ eventId: id }),
  ]);
  return found.some((each) => each !== false && each !== 0);
}

/** Erases what is known of a person, by the lead's e-mail address; a page of events at a time. */
export async function erasePerson(
  env: Env,
  email: string,
  cursor: EventCursor | null,
): Promise<{ erased: number; next: EventCursor | null }> {
  const letters = await env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME).erase({ email });
  const page = await listEvents(env, { email }, { cursor, limit: MAX_ERASED });
  for (const { id } of page.events) await eraseEvent(env, id);
  return { erased: page.events.length + letters, next: page.next };
}

async function allWebhooks(env: Env): Promise<Webhook[]> {
  return (await env.REGISTRY.getByName(REGISTRY_NAME).all()) as Webhook[];
}

function subscriberOf(env: Env, webhookId: WebhookId, id: EventId) {
  return env.SUBSCRIBER.getByName(subscriberName(webhookId, id));
}
