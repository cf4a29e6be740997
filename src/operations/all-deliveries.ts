/** The deliveries of all webhooks as one list: what each Subscriber has in the same order, merged. */
import type { DeliveryFilter, DeliveryView } from "../domain/delivery";
import type { EventId, WebhookId } from "../domain/ids";
import type { Webhook } from "../domain/webhook";
import { answerOf, subscriberOf, type Unanswered } from "./objects";
import { allWebhooks } from "./webhooks";

/** Deliveries that one page looks at, over all objects. */
const MAX_LOOKED = 2_000;
/** And of one object in one call. */
const MAX_LOOKED_AT_ONCE = 250;

/** A place in the list: everything behind it is older, or has a smaller event id, or a smaller webhook id. */
export type Place = { atMs: number; eventId: EventId; webhookId: WebhookId };

/** What is known of a webhook's deliveries: `ahead`, newest first; `next` is where more may be, null at the end. */
type Stream = {
  webhookId: WebhookId;
  ahead: { place: Place; delivery: DeliveryView }[];
  next: Place | null;
  /** How many deliveries the last look went over. */
  looked: number;
};

/**
 * Deliveries over all webhooks, newest first. A page may be short, or empty, while `next` goes on.
 *
 * @param unanswered gets the webhooks' objects that do not answer, whose deliveries are left out then; see `answerOf`.
 * @returns `webhooks`: all there are, the newest first.
 */
export async function listAllDeliveries(
  env: Env,
  filter: DeliveryFilter,
  { before, limit }: { before: Place | null; limit: number },
  unanswered?: Unanswered[],
): Promise<{ webhooks: Webhook[]; deliveries: DeliveryView[]; next: Place | null }> {
  const webhooks = await allWebhooks(env);
  const read = (id: WebhookId, place: Place | null, most: { limit: number; maxRows: number }) =>
    readBehind(env, id, place, { ...filter, ...most }, unanswered);
  const first = Math.ceil(MAX_LOOKED / 2 / Math.max(webhooks.length, 1));
  const streams = await Promise.all(
    webhooks.map(({ id }) => read(id, before, { limit, maxRows: Math.min(first, limit) })),
  );
  let looked = streams.reduce((sum, each) => sum + each.looked, 0);
  const deliveries: DeliveryView[] = [];
  for (let last = before; ; ) {
    const stream = furthestAhead(streams);
    const [head] = stream?.ahead ?? [];
    if (stream === null) return { webhooks, deliveries, next: null };
    if (deliveries.length === limit) return { webhooks, deliveries, next: last };
    if (head !== undefined) {
      deliveries.push(head.delivery);
      last = head.place;
      stream.ahead.shift();
      continue;
    }
    last = stream.next;
    const maxRows = Math.min(MAX_LOOKED_AT_ONCE, MAX_LOOKED - looked);
    if (maxRows <= 0) return { webhooks, deliveries, next: last };
    const left = limit - deliveries.length;
    Object.assign(stream, await read(stream.webhookId, last, { limit: left, maxRows }));
    looked += stream.looked;
  }
}

/** What a webhook has behind `place`. */
async function readBehind(
  env: Env,
  webhookId: WebhookId,
  place: Place | null,
  wanted: DeliveryFilter & { limit: number; maxRows: number },
  unanswered: Unanswered[] | undefined,
): Promise<Stream> {
  // Of the event at the place itself, smaller webhook ids come behind it.
  const isBehind = place !== null && webhookId < place.webhookId;
  const before = place && { ...place, eventId: isBehind ? after(place.eventId) : place.eventId };
  const ask = () => subscriberOf(env, webhookId).deliveriesByTime({ ...wanted, before });
  const answer = await answerOf(`Subscriber ${webhookId}`, ask, unanswered);
  const { found, next, looked } = answer ?? { found: [], next: null, looked: 0 };
  const ahead = found.map(({ atMs, delivery }) => ({
    place: { atMs, eventId: delivery.eventId, webhookId },
    delivery,
  }));
  return { webhookId, ahead, next: next && { ...next, webhookId }, looked };
}

/** Text that stands right behind `id` in their order. */
function after(id: EventId): EventId {
  return `${id}~` as EventId;
}

/** The stream whose first delivery, or the place where there may be one, is the newest; null when all have ended. */
function furthestAhead(streams: readonly Stream[]): Stream | null {
  let newest: { stream: Stream; place: Place } | null = null;
  for (const stream of streams) {
    const place = stream.ahead[0]?.place ?? stream.next;
    if (place !== null && (newest === null || isNewer(place, newest.place))) {
      newest = { stream, place };
    }
  }
  return newest?.stream ?? null;
}

function isNewer(a: Place, b: Place): boolean {
  if (a.atMs !== b.atMs) return a.atMs > b.atMs;
  if (a.eventId !== b.eventId) return a.eventId > b.eventId;
  return a.webhookId > b.webhookId;
}
