/** What failed, as a webhook's page and the overview show it. */
import type { AttemptRecord } from "../../domain/delivery";
import { type EventId, parseEventId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import { findDelivery, listDeliveries } from "../../operations/deliveries";

export type Answer = { title: string; eventId: EventId; attempt: AttemptRecord };

/** Of those that stopped retrying, so many that were received last are looked at for the one that ended last. */
const ENDED_LOOKED_AT = 20;

/** How that ended which stopped retrying last; null for none. */
export async function newestEnded(env: Env, webhook: Webhook): Promise<Answer | null> {
  const page = { before: null, limit: ENDED_LOOKED_AT };
  const { deliveries } = await listDeliveries(env, webhook, { status: "undeliverable" }, page);
  const [last] = deliveries.toSorted((a, b) => (b.completedAtMs ?? 0) - (a.completedAtMs ?? 0));
  const eventId = parseEventId(last?.eventId ?? "");
  const title = "How the newest that stopped retrying ended";
  return eventId && failureOf(env, webhook, { eventId, title });
}

export async function failureOf(
  env: Env,
  webhook: Webhook,
  { eventId, title }: Pick<Answer, "eventId" | "title">,
): Promise<Answer | null> {
  const attempt = (await attemptsOf(env, webhook, eventId)).findLast(
    ({ error }) => error !== null && error !== "interrupted",
  );
  return attempt === undefined ? null : { title, eventId, attempt };
}

export async function attemptsOf(env: Env, webhook: Webhook, id: EventId) {
  return (await findDelivery(env, webhook, id))?.attemptLog ?? [];
}
