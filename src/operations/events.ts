/** An event as a whole: its journal entry, its deliveries, sending it again, and erasing what it holds. */
import type { Caller } from "../access";
import { addressOf, mentions } from "../domain/address";
import { type EventFilter, idsOfKey, isListed, parseEvent } from "../domain/event";
import { fail, ok, type Result } from "../domain/failure";
import type { EventId, WebhookId } from "../domain/ids";
import { JsonText } from "../domain/json-text";
import { explain } from "../domain/match";
import { journalName } from "../domain/placement";
import type { KeptPlace } from "../storage/delivery-persons";
import type { JournalEvent } from "../storage/journal-store";
import { isBefore } from "../storage/position";
import type { AnswerKey } from "../storage/registry-store";
import { addToAudit } from "./audit";
import { reopen } from "./deliveries";
import {
  bodyOf,
  type EventCursor,
  eraseFromJournals,
  everyJournalDay,
  findEvent,
  listEvents,
} from "./journal";
import { answerOf, deadLetters, registry, subscriberOf, type Unanswered } from "./objects";
import { allWebhooks } from "./webhooks";

const MAX_ERASED = 100;

export type WholeEvent = NonNullable<Awaited<ReturnType<typeof wholeEvent>>>;

/** @param unanswered gets the webhooks' objects that do not answer, whose deliveries are left out then; see `answerOf`. */
export async function wholeEvent(env: Env, id: EventId, unanswered?: Unanswered[]) {
  const event = await findEvent(env, id);
  if (event === null) return null;
  const [stored, webhooks] = await Promise.all([bodyOf(env, event), allWebhooks(env)]);
  const deliveries = await Promise.all(
    webhooks.map((webhook) => {
      const ask = () => subscriberOf(env, webhook.id).delivery(id);
      return answerOf(`Subscriber ${webhook.id}`, ask, unanswered);
    }),
  );
  const parsed = stored === null ? null : await parseEvent(stored.body);
  const said = parsed?.ok ? parsed.value : null;
  return {
    /** For every webhook, why it got the event or not. */
    reasons: webhooks.map((webhook) => explain(webhook, event, said)),
    event,
    /** null when it was erased. */
    payload: stored === null ? null : new JsonText(new TextDecoder().decode(stored.body)),
    webhooks,
    /** Of every webhook that has one, backfilled ones too. */
    deliveries: deliveries.filter((delivery) => delivery !== null),
  };
}

/**
 * Events by Leadterra's own id of their reply or message, newest first. Where the first page ends before the journals
 * do, those whose own id says so come ahead, on that page, and not again.
 *
 * @param unanswered as for `listEvents`.
 */
export async function findEventsByKey(
  env: Env,
  { key, ...filter }: EventFilter & { key: string },
  { cursor, limit }: { cursor: EventCursor | null; limit: number },
  unanswered?: Unanswered[],
): Promise<{ events: JournalEvent[]; next: EventCursor | null }> {
  const from = { cursor, limit };
  const { events, next } = await listEvents(env, { ...filter, key }, from, unanswered);
  const { ahead: shown } = cursor ?? {};
  if (shown !== undefined) {
    const others = events.filter(({ id }) => !shown.includes(id));
    return { events: others, next: next && { ...next, ahead: shown } };
  }
  const room = limit - events.length;
  const isCut = unanswered !== undefined && unanswered.length > 0;
  if (cursor !== null || next === null || room === 0 || isCut) return { events, next };
  const named = await Promise.all(
    (await idsOfKey(key)).map((id) => findAmong(env, id, filter, unanswered)),
  );
  const ahead = named
    .filter((each) => each !== null)
    .filter((each) => isBehind(each, next))
    .sort((a, b) => b.receivedAtMs - a.receivedAtMs);
  if (ahead.length === 0 || ahead.length > room) return { events, next };
  return { events: [...events, ...ahead], next: { ...next, ahead: ahead.map(({ id }) => id) } };
}

/** Whether a list that goes on at `next` still comes to it. */
function isBehind({ receivedAtMs, position }: JournalEvent, { day, ...next }: EventCursor) {
  const itsDay = journalName(receivedAtMs);
  if (itsDay !== day || next.position === null) return itsDay <= day;
  return isBefore(position, next.position);
}

/** The event, where a list by this filter has it. */
async function findAmong(
  env: Env,
  id: EventId,
  { email, ...filter }: EventFilter,
  unanswered: Unanswered[] | undefined,
): Promise<JournalEvent | null> {
  const event = await findEvent(env, id, unanswered);
  if (event === null || !isListed(event, filter)) return null;
  if (email === undefined) return event;
  const [address, stored] = [addressOf(email), await bodyOf(env, event)];
  return address !== null && stored !== null && mentions(stored.body, address) ? event : null;
}

/**
 * Sends an event again.
 *
 * @param webhookIds to whom; null for those that it matched and that still exist.
 * @returns how many deliveries that makes.
 */
export async function replayEvent(
  env: Env,
  { id, webhookIds, by }: { id: EventId; webhookIds: readonly WebhookId[] | null; by: Caller },
): Promise<Result<number, "invalid_request" | "not_found" | "payload_gone">> {
  const event = await findEvent(env, id);
  if (event === null) return fail({ code: "not_found" });
  const stored = await bodyOf(env, event);
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
  const opened = await Promise.all(targets.map((each) => reopen(env, each, [stored])));
  const deliveries = opened.reduce((sum, each) => sum + each, 0);
  const after = { id, webhookIds: targets, deliveries };
  if (deliveries > 0) await addToAudit(env, by, "event.replayed", after);
  return ok(deliveries);
}

/**
 * Erases an event's payload and what is known of the lead, wherever it is kept. Copies that still arrive go to
 * nobody, for as long as a queue may keep one.
 *
 * @returns whether there was one.
 */
export async function eraseEvent(env: Env, { id, by }: { id: EventId; by: Caller }) {
  const before = await findEvent(env, id);
  const remembered = await registry(env).rememberErased([id], Date.now());
  const found = (await eraseEvents(env, [id], await everyJournalDay(env))) > 0;
  const isNew = remembered > 0 || (found && before?.erased !== true);
  if (isNew) await addToAudit(env, by, "event.erased", { id });
  return found;
}

/** `queued`: events were on their way when an earlier page was erased. */
export type ErasureCursor = EventCursor & { queued: boolean };

/**
 * Erases what is known of a person, by the lead's e-mail address; a page of events at a time.
 *
 * @returns how many events, and dead letters or deliveries of which no journal has the event, were erased; `queued` when events may still
 *   be on their way.
 */
export async function erasePerson(
  env: Env,
  { email, cursor, by }: { email: string; cursor: ErasureCursor | null; by: Caller },
): Promise<{ erased: number; next: ErasureCursor | null; queued: boolean }> {
  // Before the letters, since what leaves the queue may become one, and after them, since they may be redriven. What
  // has left it by then is in a journal when the journals are read; on a later page perhaps before the cursor.
  const wasQueued = cursor?.queued === true || (await mayBeQueued(env));
  let letters = cursor === null ? await eraseLettersOf(env, email) : 0;
  let queued = wasQueued || (await mayBeQueued(env));
  const among = await everyJournalDay(env);
  const page = await listEvents(env, { email }, { cursor, limit: MAX_ERASED, among });
  const ids = page.events.map(({ id }) => id);
  if (ids.length > 0) await eraseEvents(env, ids, among);
  const kept = page.next === null ? await eraseKeptOf(env, email) : 0;
  if (page.next === null && cursor !== null) {
    // Those that came since the first page: with each they would be looked through once more.
    letters += await eraseLettersOf(env, email);
    queued ||= await mayBeQueued(env);
  }
  // What a service said to a test names no event.
  if (page.next === null) await forgetAnswers(env, { email });
  const erased = ids.length + letters + kept;
  if (erased > 0) await addToAudit(env, by, "person.erased", { events: erased });
  return { erased, next: page.next && { ...page.next, queued }, queued };
}

/** A letter may be all that knows of an event which some webhooks have: it goes after what they have. */
async function eraseLettersOf(env: Env, email: string): Promise<number> {
  let erased = 0;
  for (let after: string | null = null, isLast = false; !isLast; ) {
    // An object of the release before erases at once, and does not say which.
    const { erased: found, eventIds = [] } = await deadLetters(env).erasePerson(email, after, true);
    if (eventIds.length > 0) await eraseFromWebhooks(env, eventIds);
    const page = await deadLetters(env).erasePerson(email, after);
    erased += Math.max(found, page.erased);
    isLast = page.next === null;
    after = page.next;
  }
  return erased;
}

/** @returns how many were found, over all objects. */
async function eraseFromWebhooks(env: Env, ids: EventId[]): Promise<number> {
  const webhooks = await allWebhooks(env);
  const erased = webhooks.map((webhook) => subscriberOf(env, webhook.id).eraseMany(ids));
  return (await Promise.all(erased)).reduce((sum, each) => sum + each, 0);
}

/** Deliveries that were opened again or backfilled outlive the journal of their event. */
async function eraseKeptOf(env: Env, email: string): Promise<number> {
  const webhooks = await allWebhooks(env);
  const erased = webhooks.map(async ({ id }) => {
    const subscriber = subscriberOf(env, id);
    const ids: EventId[] = [];
    for (let after: KeptPlace | null | undefined; after !== null; ) {
      const page = await subscriber.ofPerson(email, after ?? null);
      if (page.ids.length > 0) await subscriber.eraseMany(page.ids, email);
      ids.push(...page.ids);
      after = page.next;
    }
    return ids;
  });
  return new Set((await Promise.all(erased)).flat()).size;
}

/**
 * One call to each object, however many events. The journals come last, when all others are done: what they know is
 * what finds the events again when the caller has to repeat.
 *
 * @returns how many were found, over all objects.
 */
async function eraseEvents(env: Env, ids: EventId[], days: readonly string[]): Promise<number> {
  await forgetAnswers(env, ids);
  const found = await Promise.all([
    eraseFromWebhooks(env, ids),
    deadLetters(env).erase({ eventIds: ids }),
  ]);
  const recorded = await eraseFromJournals(env, days, ids);
  return found.reduce((sum, each) => sum + each, recorded);
}

async function forgetAnswers(env: Env, about: EventId[] | { email: string }): Promise<void> {
  for (let after: AnswerKey | null | undefined; after !== null; ) {
    after = await registry(env).forgetAnswers(about, after ?? null);
  }
}

/** Where the queues do not tell, something may be. */
async function mayBeQueued(env: Env): Promise<boolean> {
  try {
    const queues = await Promise.all([env.EVENTS.metrics(), env.DEAD_LETTERS.metrics()]);
    return queues.some(({ backlogCount }) => backlogCount > 0);
  } catch {
    return true;
  }
}
