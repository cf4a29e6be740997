/** Deliveries: reading them; again, one, many, or those that a webhook never had; no more. Bodies come from the journals. */
import type { Caller } from "../access";
import { configOf } from "../config";
import type { AttemptRecord, DeliveryFilter, DeliveryView } from "../domain/delivery";
import { parseEvent } from "../domain/event";
import { fail, ok, type Result } from "../domain/failure";
import type { EventId, WebhookId } from "../domain/ids";
import { iso, MINUTE_MS } from "../domain/time";
import { compileRoute, type Webhook } from "../domain/webhook";
import type { Reopening } from "../storage/delivery-tables";
import type { StoredEvent } from "../storage/journal-store";
import type { Position } from "../storage/position";
import { addToAudit } from "./audit";
import { type EventCursor, findBodies, findBody, listEvents, searchBodies } from "./journal";
import { subscriberOf } from "./objects";

/** How many deliveries one call looks at. */
const MAX_REPLAYED = 1_000;
/** How often what waits is asked to go, a thousand deliveries each time. */
const MAX_CALLS = 10;
const MAX_DISCARDED = 1_000;

/** A webhook's deliveries, newest first. A page may be short, or empty, while `next` goes on. */
export function listDeliveries(
  env: Env,
  webhook: Webhook,
  filter: DeliveryFilter,
  { before, limit }: { before: Position | null; limit: number },
) {
  const query = { ...filter, limit, ...(before !== null && { before }) };
  return subscriberOf(env, webhook.id).deliveries(query);
}

export type NotRetried = { id: EventId; code: "in_flight" | "not_found" | "payload_gone" };

/** Why a delivery was not opened, by what its object says. */
const NOT_OPENED: { [opened: string]: NotRetried["code"] } = {
  needs_body: "payload_gone",
  in_flight: "in_flight",
  unknown: "not_found",
};

/**
 * Deliveries of a webhook again now, whatever their status. However many they are, that is a call to the webhook's
 * object, one to each journal until all bodies are found, and one more for each group of bodies.
 */
export async function retryDeliveries(
  env: Env,
  webhook: Webhook,
  { ids, by }: { ids: readonly EventId[]; by: Caller },
): Promise<{ retried: EventId[]; failed: NotRetried[] }> {
  const subscriber = subscriberOf(env, webhook.id);
  const outcomes = new Map<EventId, string>();
  const open = async (deliveries: Reopening[]) => {
    const opened = await subscriber.reopen(reopening("retry", deliveries));
    for (const [index, { id }] of deliveries.entries()) outcomes.set(id, opened[index] ?? "");
  };
  const wanted = [...new Set(ids)];
  if (wanted.length > 0) await open(wanted.map((id) => ({ id, event: "", body: null })));
  const finished = wanted.filter((id) => outcomes.get(id) === "needs_body");
  for await (const found of searchBodies(env, finished)) await open(found);
  const retried: EventId[] = [];
  const failed: NotRetried[] = [];
  for (const [id, opened] of outcomes) {
    const code = NOT_OPENED[opened];
    if (code === undefined) retried.push(id);
    else failed.push({ id, code });
  }
  const asked = { webhookId: webhook.id, eventIds: retried };
  if (retried.length > 0) await addToAudit(env, by, "delivery.retried", asked);
  return { retried, failed };
}

/** With its attempts, oldest first; null when the webhook has none of that event. */
export function findDelivery(env: Env, webhook: Webhook, id: EventId) {
  return subscriberOf(env, webhook.id).delivery(id);
}

/** The service is back: what waits for its time goes now. @returns how many there were. */
export async function hastenDeliveries(env: Env, webhook: Webhook, { by }: { by: Caller }) {
  const subscriber = subscriberOf(env, webhook.id);
  let hastened = 0;
  // Bounded: what fails again meanwhile waits anew.
  for (let call = 0, some = 1; some > 0 && call < MAX_CALLS; call++, hastened += some) {
    some = await subscriber.hasten(crypto.randomUUID());
  }
  const asked = { webhookId: webhook.id, only: "pending", deliveries: hastened };
  if (hastened > 0) await addToAudit(env, by, "webhook.replayed", asked);
  return hastened;
}

/**
 * The delivery again now, whatever its status.
 *
 * @param wait whether to wait for the attempt; `attempt` is null without, and when it could not start.
 */
export async function retryDelivery(
  env: Env,
  webhook: Webhook,
  { id, by, wait = false }: { id: EventId; by: Caller; wait?: boolean },
) {
  const subscriber = subscriberOf(env, webhook.id);
  let attempts = 0;
  const open = async (one: Reopening) => {
    // Anew each time: somebody else's attempt may have ended meanwhile.
    if (wait) attempts = (await subscriber.delivery(id))?.attempts ?? 0;
    return subscriber.reopen(reopening("retry", [one]));
  };
  let [opened] = await open({ id, event: "", body: null });
  const found = opened === "needs_body" ? await findBody(env, id) : null;
  if (found !== null) [opened] = await open(found);
  const code = NOT_OPENED[opened ?? ""];
  if (code !== undefined) return fail({ code });
  const delivery = await subscriber.delivery(id);
  if (delivery === null) return fail({ code: "not_found" });
  await addToAudit(env, by, "delivery.retried", { webhookId: webhook.id, eventId: id });
  if (!wait) return ok({ delivery, attempt: null });
  const attempted = await subscriber.attemptOf(id, attempts + 1, "manual");
  return attempted === null ? fail({ code: "not_found" }) : ok(attempted);
}

/** The attempt of it that is under way, once that has ended; null when none is. */
export async function attemptUnderWay(
  env: Env,
  webhook: Webhook,
  { eventId, attempts, waitingFor }: DeliveryView,
): Promise<AttemptRecord | null> {
  if (waitingFor !== "attempt") return null;
  const subscriber = subscriberOf(env, webhook.id);
  const ended = await subscriber.attemptOf(eventId, attempts + 1);
  return ended?.attempt ?? null;
}

export async function cancelDelivery(
  env: Env,
  webhook: Webhook,
  { id, by }: { id: EventId; by: Caller },
): Promise<Result<DeliveryView, "not_found" | "not_pending">> {
  const cancelled = await subscriberOf(env, webhook.id).cancel(id, Date.now());
  if (cancelled === null) return fail({ code: "not_found" });
  if (cancelled === "not_pending") return fail({ code: "not_pending" });
  await addToAudit(env, by, "delivery.cancelled", { webhookId: webhook.id, eventId: id });
  return ok(cancelled);
}

/** Where a replay goes on: among the webhook's deliveries, or among the events of a day; to the end that it began with. */
export type ReplayCursor = { untilMs: number; day: string | null; position: Position | null };

type Replay = {
  sinceMs: number;
  untilMs: number;
  only: "undeliverable" | "all" | "missing";
  event?: string;
  dryRun: boolean;
  /** null at its beginning. */
  cursor: ReplayCursor | null;
};

/** `replayed`: how many deliveries were opened, made due or added, or would be. */
type Replayed = { replayed: number; next: Omit<ReplayCursor, "untilMs"> | null };

/** @param given `untilMs` counts at the beginning, and is now where it is left out. */
export async function replay(
  env: Env,
  webhook: Webhook,
  { by, ...given }: Omit<Replay, "untilMs"> & { untilMs?: number; by: Caller },
) {
  // What arrives while pages are replayed is not replayed.
  const untilMs = given.cursor?.untilMs ?? given.untilMs ?? Date.now();
  const asked = { ...given, untilMs };
  const page = asked.only === "missing" ? backfill : replayDeliveries;
  const done = await page(env, webhook, asked);
  if (done.replayed > 0 && !asked.dryRun) {
    const { sinceMs, only, event } = asked;
    const wanted = { since: iso(sinceMs), until: iso(untilMs), only, event };
    const after = { webhookId: webhook.id, ...wanted, deliveries: done.replayed };
    await addToAudit(env, by, "webhook.replayed", after);
  }
  return { replayed: done.replayed, next: done.next && { untilMs, ...done.next } };
}

async function replayDeliveries(env: Env, webhook: Webhook, asked: Replay): Promise<Replayed> {
  const { sinceMs, untilMs, only, event, dryRun, cursor } = asked;
  const { deliveries, next } = await subscriberOf(env, webhook.id).deliveries({
    sinceMs,
    untilMs,
    limit: MAX_REPLAYED,
    ...(only === "undeliverable" && { status: only }),
    ...(event !== undefined && { event }),
    ...(cursor?.position && { before: cursor.position }),
  });
  // What is under way is not sent again.
  const pending = deliveries
    .filter(({ status, waitingFor }) => status === "pending" && waitingFor !== "attempt")
    .map(({ eventId: id, event: name }) => ({ id, event: name, body: null }));
  const finished = deliveries
    .filter(({ status, lastError }) => status !== "pending" && lastError !== "expired")
    .map(({ eventId: id, createdAtMs }) => ({ id, createdAtMs }));
  let replayed = dryRun ? pending.length : await reopen(env, webhook.id, pending);
  for await (const found of findBodies(env, finished)) {
    replayed += dryRun ? found.length : await reopen(env, webhook.id, found);
  }
  return { replayed, next: next && { day: null, position: next } };
}

type Discard = Pick<Replay, "event" | "dryRun"> & { untilMs?: number; cursor: Position | null };

/** Discards what waits, a page of deliveries at a time. */
export async function discardDeliveries(
  env: Env,
  webhook: Webhook,
  { dryRun, cursor, by, ...which }: Discard & { by: Caller },
) {
  const query = { ...which, limit: MAX_DISCARDED, ...(cursor && { before: cursor }) };
  const subscriber = subscriberOf(env, webhook.id);
  const done = await subscriber.discard(query, dryRun, crypto.randomUUID());
  if (done.discarded > 0 && !dryRun) {
    const until = which.untilMs === undefined ? undefined : iso(which.untilMs);
    const asked = { webhookId: webhook.id, until, event: which.event };
    await addToAudit(env, by, "webhook.discarded", { ...asked, deliveries: done.discarded });
  }
  return done;
}

/** Events of the journals that the webhook wants, as it is now, and never had. */
async function backfill(env: Env, webhook: Webhook, asked: Replay): Promise<Replayed> {
  const { sinceMs, untilMs, event, dryRun, cursor } = asked;
  const from: EventCursor | null =
    cursor?.day == null ? null : { day: cursor.day, position: cursor.position };
  const filter = {
    sinceMs: Math.max(sinceMs, rememberedSinceMs(env)),
    untilMs,
    ...(event !== undefined && { event }),
  };
  const page = await listEvents(env, filter, { cursor: from, limit: MAX_REPLAYED });
  const route = compileRoute(webhook);
  const candidates = page.events.filter((each) => !each.erased);
  const ids = candidates.map(({ id }) => id);
  const missing = new Set(await subscriberOf(env, webhook.id).missing(ids));
  const wanted = candidates
    .filter(({ id }) => missing.has(id))
    .map(({ id, receivedAtMs }) => ({ id, createdAtMs: receivedAtMs }))
    // Oldest first: an ordered webhook gets what it missed in the order in which it came.
    .reverse();
  let replayed = 0;
  for await (const found of findBodies(env, wanted)) {
    const matching: StoredEvent[] = [];
    for (const stored of found) {
      const parsed = await parseEvent(stored.body);
      if (parsed.ok && route.wants(parsed.value)) matching.push(stored);
    }
    replayed += dryRun ? matching.length : await reopen(env, webhook.id, matching);
  }
  return { replayed, next: page.next };
}

/**
 * What came later is still known to every Subscriber that had it. A Journal day outlives that by up to a day: what a
 * Subscriber has dropped looks as if it had never had it, and would go out again. A minute is left for this call.
 */
function rememberedSinceMs(env: Env): number {
  const { retentionMs } = configOf(env);
  return retentionMs === null ? 0 : Date.now() - retentionMs + MINUTE_MS;
}

/** Sends deliveries of a webhook again. @returns how many were opened, made due or added. */
export async function reopen(env: Env, id: WebhookId, deliveries: Reopening[]): Promise<number> {
  if (deliveries.length === 0) return 0;
  const opened = await subscriberOf(env, id).reopen(reopening("replay", deliveries));
  return opened.filter((each) => each === "opened" || each === "hastened" || each === "added")
    .length;
}

function reopening(by: "retry" | "replay", deliveries: Reopening[]) {
  return { deliveries, by, atMs: Date.now(), isAgain: false };
}
