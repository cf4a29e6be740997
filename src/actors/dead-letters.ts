/** DeadLetters: one object. What could not be handed over, visible and redrivable until `RETENTION` ends it. */
import { configOf } from "../config";
import type { EventId } from "../domain/ids";
import { logError, logInfo, logWarning } from "../log";
import {
  type DeadLetter,
  DeadLetterStore,
  type HandedOver,
  type KeptLetter,
} from "../storage/dead-letter-store";
import { ErasedLately } from "./erased-lately";
import { StoredObject } from "./stored-object";

const MAX_EXPIRED_AT_ONCE = 500;

export class DeadLetters extends StoredObject {
  readonly #store: DeadLetterStore;
  /** Letters of erased persons, and erased events. */
  readonly #gone = new ErasedLately();
  /** Letters that were deleted, each also with the call that did it. */
  readonly #deleted = new ErasedLately();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, "dead-letters");
    this.#store = new DeadLetterStore(this.tables);
  }

  /** Durable when it returns; the message may be acknowledged then. */
  async keep({ letter, body }: KeptLetter): Promise<void> {
    if (this.#gone.has(letter.id) || (letter.eventId && this.#gone.has(letter.eventId))) return;
    this.#store.save(letter, body);
    logError("dead_letter.kept", {
      deadLetterId: letter.id,
      eventId: letter.eventId,
      event: letter.event,
      reason: letter.reason,
      webhookIds: letter.webhookIds ?? [],
    });
  }

  get(id: string): KeptLetter | null {
    return this.#store.get(id);
  }

  list(...asked: Parameters<DeadLetterStore["list"]>): DeadLetter[] {
    return this.#store.list(...asked);
  }

  /**
   * Several at once, in the order of `ids`, as far as they are here.
   *
   * @param maxBytes of bodies, at least one; what did not fit is in `left`.
   */
  getMany(ids: string[], maxBytes: number): { found: KeptLetter[]; left: string[] } {
    const found: KeptLetter[] = [];
    let bytes = 0;
    for (const [index, id] of ids.entries()) {
      const kept = this.#store.get(id);
      if (kept === null) continue;
      if (found.length > 0 && bytes + kept.body.length > maxBytes) {
        return { found, left: ids.slice(index) };
      }
      found.push(kept);
      bytes += kept.body.length;
    }
    return { found, left: [] };
  }

  /**
   * To all that a letter was owed to, or to some. It stays as it is when its message was given up for others meanwhile.
   *
   * @returns how many of them are no longer here.
   */
  handedOver(letters: HandedOver[]): number {
    let gone = 0;
    for (const { read, owed } of letters) {
      const kept = this.#store.get(read.id);
      if (kept !== null && !isSame(kept.letter, read)) continue;
      if (owed.length === 0) gone += 1;
      if (kept === null) continue;
      if (owed.length === 0) this.delete(read.id);
      else this.#store.save({ ...kept.letter, webhookIds: owed }, kept.body);
    }
    return gone;
  }

  /**
   * Drops what is past its retention, a number at a time. Called by the sweep.
   *
   * @returns what a person should know; `expiresAtMs` is the next to go, null without any or without retention.
   */
  check(): { count: number; isFull: boolean; expiresAtMs: number | null } {
    const { retentionMs } = configOf(this.env);
    if (retentionMs !== null) {
      const gone = this.#store.deleteBefore(Date.now() - retentionMs, MAX_EXPIRED_AT_ONCE);
      if (gone > 0) logWarning("dead_letter.expired", { count: gone });
    }
    const oldestMs = this.#store.oldestFailedAtMs();
    return {
      count: this.#store.count(),
      isFull: this.#store.isFull,
      expiresAtMs: oldestMs === null || retentionMs === null ? null : oldestMs + retentionMs,
    };
  }

  /**
   * Whether this call deleted it, or may have: who asks for it again was not answered, since the object was restarted.
   *
   * @param call the same each time that it is made; without it, as release 0.2.0 asks, whether there was one.
   */
  delete(id: string, call?: string): boolean {
    const thisOne = `${id} ${call}`;
    if (!this.#store.delete(id)) {
      return call !== undefined && (!this.#deleted.has(id) || this.#deleted.has(thisOne));
    }
    this.#deleted.add([id, thisOne]);
    logInfo("dead_letter.deleted", { deadLetterId: id });
    return true;
  }

  /** @param by `email` is what release 0.1.0 asks with. */
  erase(by: { eventIds: EventId[] } | { email: string }): number {
    if ("eventIds" in by) {
      this.#gone.add(by.eventIds);
      return this.#store.erase(by.eventIds);
    }
    let erased = 0;
    for (let after: string | null | undefined; after !== null; ) {
      const page = this.erasePerson(by.email, after ?? null);
      erased += page.erased;
      after = page.next;
    }
    return erased;
  }

  /**
   * Some of the letters that belong to a person; `next` is where to go on, null at the end.
   *
   * @param isDry only says of which events they are.
   */
  erasePerson(
    email: string,
    after: string | null,
    isDry = false,
  ): { erased: number; next: string | null; eventIds?: EventId[] } {
    const { ids, eventIds, next } = this.#store.erasePerson(email, after, isDry);
    if (!isDry) this.#gone.add(ids);
    return { erased: ids.length, next, eventIds };
  }

  stats(): { count: number } {
    return { count: this.#store.count() };
  }
}

function isSame(one: DeadLetter, other: DeadLetter): boolean {
  return one.failedAtMs === other.failedAtMs && one.webhookIds?.join() === other.webhookIds?.join();
}
