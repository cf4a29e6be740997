/** A test: a signed example that goes out at once, even while held. It is no delivery: nothing is stored. */
import type { AttemptRecord } from "../../domain/delivery";
import { randomEventId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import type { Attempts } from "./attempt";
import type { Slots } from "./slots";

/**
 * Takes the slot that comes free next: the clock of a request must not run while it waits for a connection.
 *
 * @param webhook what is in force when it leaves, which is after the wait; null when there is none any more.
 * @returns null when it was not sent; `by`: what was in force.
 */
export async function sendExample(
  { attempts, slots, webhook }: { attempts: Attempts; slots: Slots; webhook(): Webhook | null },
  { event, body }: { event: string; body: Uint8Array },
): Promise<{ attempt: AttemptRecord; by: Webhook } | null> {
  const eventId = randomEventId(crypto.getRandomValues(new Uint8Array(16)));
  await slots.takeNext();
  try {
    const by = webhook();
    if (by === null) return null;
    const answer = await attempts.make(by, { eventId, event, body, attempt: 1 });
    const { retryAfterMs: _, refused: __, ranOut: ___, ...outcome } = answer;
    return { by, attempt: { ...outcome, number: 1, trigger: "test" } };
  } finally {
    slots.release();
  }
}
