/** DeadLetters: one object. What could not be handed over, visible and redrivable; nothing leaves it by itself. */
import type { EventId } from "../domain/ids";
import { logError, logInfo } from "../log";
import {
  type DeadLetter,
  type DeadLetterPosition,
  DeadLetterStore,
} from "../storage/dead-letter-store";
import { StoredObject } from "./stored-object";

export class DeadLetters extends StoredObject {
  static {
    StoredObject.guard(DeadLetters.prototype);
  }

  readonly #store: DeadLetterStore;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, "dead-letters");
    this.#store = new DeadLetterStore(this.tables);
  }

  /** Durable when it returns; the message may be acknowledged then. */
  async keep({ letter, body }: { letter: DeadLetter; body: Uint8Array }): Promise<void> {
    this.#store.save(letter, body);
    logError("dead_letter.kept", {
      deadLetterId: letter.id,
      eventId: letter.eventId,
      event: letter.event,
      reason: letter.reason,
      webhookIds: letter.webhookIds ?? [],
    });
  }

  get(id: string): { letter: DeadLetter; body: Uint8Array } | null {
    return this.#store.get(id);
  }

  list(before: DeadLetterPosition | null, limit: number): DeadLetter[] {
    return this.#store.list(before, limit);
  }

  /** Whether there was one. */
  delete(id: string): boolean {
    const deleted = this.#store.delete(id);
    if (deleted) logInfo("dead_letter.deleted", { deadLetterId: id });
    return deleted;
  }

  erase(by: { eventIds: EventId[] } | { email: string }): number {
    return this.#store.erase(by);
  }

  /** How many there are, and when the last one came. */
  stats(): { count: number; lastFailedAtMs: number | null } {
    return {
      count: this.#store.count(),
      lastFailedAtMs: this.#store.list(null, 1)[0]?.failedAtMs ?? null,
    };
  }
}
