/** Redriving: a dead letter goes to the webhooks that are still owed, and only to them. */
import { fail, ok, type Result } from "../domain/failure";
import type { WebhookId } from "../domain/ids";
import { errorText, logWarning } from "../log";
import { deadLetters, subscriberOf } from "./objects";

/**
 * Hands a dead letter over again. One that was never routed goes back into the queue; the others straight to whom
 * they are owed.
 *
 * @returns `unavailable` when somebody could not take it: the letter stays, for those.
 */
export async function redrive(env: Env, id: string): Promise<Result<null>> {
  const store = deadLetters(env);
  const kept = await store.get(id);
  if (kept === null) return fail({ code: "not_found" });
  const { letter, body } = kept;
  if (letter.webhookIds === null || letter.eventId === null || letter.event === null) {
    try {
      await env.EVENTS.send(body.slice(), { contentType: "bytes" });
    } catch (thrown) {
      logWarning("dead_letter.not_redriven", { deadLetterId: id, error: errorText(thrown) });
      return fail({ code: "unavailable" });
    }
    await store.delete(id);
    return ok(null);
  }
  const arrival = { id: letter.eventId, event: letter.event, body };
  const owed: WebhookId[] = [];
  for (const webhookId of letter.webhookIds) {
    try {
      const { status } = await subscriberOf(env, webhookId).accept({ deliveries: [arrival] });
      if (status === "full") owed.push(webhookId);
    } catch (thrown) {
      logWarning("dead_letter.not_redriven", {
        deadLetterId: id,
        webhookId,
        error: errorText(thrown),
      });
      owed.push(webhookId);
    }
  }
  if (owed.length === 0) await store.delete(id);
  else await store.keep({ letter: { ...letter, webhookIds: owed }, body });
  return owed.length === 0 ? ok(null) : fail({ code: "unavailable" });
}
