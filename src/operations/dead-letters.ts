/** Dead letters: what could not be handed over, and doing it again for the webhooks that are still owed. */
import type { Caller } from "../access";
import { fail, ok, type Result } from "../domain/failure";
import type { WebhookId } from "../domain/ids";
import { errorText, logWarning } from "../log";
import type { DeadLetter, DeadLetterPosition } from "../storage/dead-letter-store";
import { addToAudit } from "./audit";
import { deadLetters, subscriberOf } from "./objects";

/** Newest first. */
export async function listDeadLetters(
  env: Env,
  { before, limit }: { before: DeadLetterPosition | null; limit: number },
): Promise<{ letters: DeadLetter[]; next: DeadLetterPosition | null }> {
  const found = await deadLetters(env).list(before, limit + 1);
  const letters = found.slice(0, limit);
  const last = letters.at(-1);
  if (found.length <= limit || last === undefined) return { letters, next: null };
  return { letters, next: { failedAtMs: last.failedAtMs, id: last.id } };
}

export async function countDeadLetters(env: Env): Promise<number> {
  return (await deadLetters(env).stats()).count;
}

/**
 * Hands a dead letter over again. One that was never routed goes back into the queue; the others straight to whom
 * they are owed.
 *
 * @returns `unavailable` when somebody could not take it: the letter stays, for those.
 */
export async function redriveDeadLetter(
  env: Env,
  { id, by }: { id: string; by: Caller },
): Promise<Result<null, "not_found" | "unavailable">> {
  const kept = await deadLetters(env).get(id);
  if (kept === null) return fail({ code: "not_found" });
  if (!(await redriven(env, kept))) return fail({ code: "unavailable" });
  await addToAudit(env, { by, action: "dead_letter.redriven", after: { id } });
  return ok(null);
}

export async function deleteDeadLetter(
  env: Env,
  { id, by }: { id: string; by: Caller },
): Promise<Result<null, "not_found">> {
  if (!(await deadLetters(env).delete(id))) return fail({ code: "not_found" });
  await addToAudit(env, { by, action: "dead_letter.deleted", after: { id } });
  return ok(null);
}

type KeptLetter = { letter: DeadLetter; body: Uint8Array };

/** Whether it is handed over to all that it is owed to, and gone from here. */
async function redriven(env: Env, kept: KeptLetter): Promise<boolean> {
  const { letter, body } = kept;
  const owed = letter.webhookIds === null ? null : await stillOwed(env, kept, letter.webhookIds);
  if (owed === null && !(await queued(env, kept))) return false;
  if (owed === null || owed.length === 0) {
    await deadLetters(env).delete(letter.id);
    return true;
  }
  await deadLetters(env).keep({ letter: { ...letter, webhookIds: owed }, body });
  return false;
}

async function queued(env: Env, { letter, body }: KeptLetter): Promise<boolean> {
  try {
    await env.EVENTS.send(body.slice(), { contentType: "bytes" });
    return true;
  } catch (thrown) {
    logWarning("dead_letter.not_redriven", { deadLetterId: letter.id, error: errorText(thrown) });
    return false;
  }
}

/** Who could not take it; null where the body is no event, so that there is nothing to hand over. */
async function stillOwed(
  env: Env,
  { letter, body }: KeptLetter,
  webhookIds: readonly WebhookId[],
): Promise<WebhookId[] | null> {
  const { eventId, event } = letter;
  if (eventId === null || event === null) return null;
  const deliveries = [{ id: eventId, event, body }];
  const owed: WebhookId[] = [];
  for (const webhookId of webhookIds) {
    try {
      const { status } = await subscriberOf(env, webhookId).accept({ deliveries });
      if (status === "full") owed.push(webhookId);
    } catch (thrown) {
      const error = errorText(thrown);
      logWarning("dead_letter.not_redriven", { deadLetterId: letter.id, webhookId, error });
      owed.push(webhookId);
    }
  }
  return owed;
}
