/** Dead letters: messages that could not be handed over, why, and how they are told of. Pure. */
import type { EventId, WebhookId } from "./ids";
import { shown } from "./time";
import { DEAD_BECAUSE } from "./vocabulary";

export type DeadLetterReason = keyof typeof DEAD_BECAUSE;
export const DEAD_LETTER_REASONS = Object.keys(DEAD_BECAUSE) as DeadLetterReason[];

/** As it is stored: release 0.1.0 wrote other texts too, all of them of bodies that are no event. */
export function deadLetterReason(stored: string): DeadLetterReason {
  return DEAD_LETTER_REASONS.find((reason) => reason === stored) ?? "unreadable";
}

/** What is told of one. */
export type DeadLetterNews = {
  id: string;
  /** null where the body does not parse. */
  eventId: EventId | null;
  event: string | null;
  reason: DeadLetterReason;
  receivedAtMs: number;
  failedAtMs: number;
  /** Those that are still owed; null where it was never routed. */
  webhookIds: WebhookId[] | null;
};

export function shownDeadLetter(letter: DeadLetterNews) {
  const { id, eventId, event, reason, receivedAtMs, failedAtMs, webhookIds } = letter;
  const told = { id, eventId, event, reason, receivedAtMs, failedAtMs };
  return { ...shown(told), webhookIds: webhookIds ?? [] };
}
