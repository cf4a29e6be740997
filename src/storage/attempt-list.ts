/**
 * The attempts of a webhook, newest first. First attempts start in the order of arrival (but for what Lanes gave back from
 * among what was sent), so they are found through their deliveries; all others are written down in `attempts_T`
 * (`delivery-tables.ts`), in the order in which they ended. The list is the two, merged by when each attempt started: for
 * what is delivered at once no row more is written.
 */
import { type AttemptRecord, isInOrder } from "../domain/delivery";
import type { EventId } from "../domain/ids";
import type { DeliveryLists } from "./delivery-lists";
import type { DeliveryStore } from "./delivery-store";
import type { DeliveryTables, ListedDelivery, StoredDelivery } from "./delivery-tables";
import type { Position } from "./position";

/** An attempt without what was answered. */
export type ListedAttempt = {
  eventId: EventId;
  event: string;
  attempt: Omit<AttemptRecord, "responseBody" | "responseTruncated" | "responseHeaders">;
};

/** Where a page ends: before these, among first attempts by arrival, and among the others as they are written down. */
export type AttemptPlace = { first: Position; again: Position };

export type AttemptPage = { attempts: ListedAttempt[]; next: AttemptPlace | null };

/** A place of one of the two, and the attempts that stand there, newest first. */
type Step = { position: Position; attempts: ListedAttempt[] };
type Head = IteratorResult<Step, void>;

type Parts = { tables: DeliveryTables; lists: DeliveryLists; store: DeliveryStore };

export class AttemptList {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** @param maxRows so many deliveries are looked at, at most; `next` goes on behind them, null at the end. */
  list(before: AttemptPlace, { limit, maxRows }: { limit: number; maxRows: number }): AttemptPage {
    const walks = { first: this.#first(before.first), again: this.#again(before.again) };
    const heads = { first: walks.first.next(), again: walks.again.next() };
    const next = { ...before };
    const attempts: ListedAttempt[] = [];
    for (let looked = 0; attempts.length < limit && looked < maxRows; looked++) {
      const side = isLater(heads.first, heads.again) ? "first" : "again";
      const { value } = heads[side];
      if (value === undefined) break;
      attempts.push(...value.attempts);
      next[side] = value.position;
      heads[side] = walks[side].next();
    }
    const isEnd = heads.first.done === true && heads.again.done === true;
    attempts.sort((a, b) => b.attempt.startedAtMs - a.attempt.startedAtMs);
    return { attempts, next: isEnd ? null : next };
  }

  *#first(before: Position): Generator<Step, void> {
    for (const delivery of this.#parts.lists.newestFirst(before, 0)) {
      const { position, attempts } = delivery;
      yield { position, attempts: attempts === 0 ? [] : this.#firstOf(delivery) };
    }
  }

  /** Of a period that does not write the others down all attempts stand here. */
  #firstOf({ id, period, createdAtMs }: ListedDelivery): ListedAttempt[] {
    const delivery = this.#parts.store.get(id);
    if (delivery === null) return [];
    if (!this.#parts.tables.listsAttempts(period)) return listed(delivery, () => true);
    // What retention moved does not stand where it arrived; it was first tried before what is kept.
    return createdAtMs < period ? [] : listed(delivery, isInOrder);
  }

  *#again(before: Position): Generator<Step, void> {
    for (const { seq, attempts } of this.#parts.tables.attemptsDownFrom(before.seq)) {
      const end = seq === before.seq ? before.index : attempts.length;
      for (const [index, key] of [...attempts.slice(0, end).entries()].reverse()) {
        const delivery = this.#parts.store.get(key.id);
        const isHere = delivery !== null && this.#parts.tables.listsAttempts(delivery.period);
        const isIt = ({ number, startedAtMs }: AttemptRecord) =>
          number === key.number && startedAtMs === key.startedAtMs;
        const found = isHere ? listed(delivery, isIt) : [];
        yield { position: { seq, index }, attempts: found };
      }
    }
  }
}

/** Those that the delivery's log still holds, newest first. */
function listed({ id, event, log }: StoredDelivery, isWanted: (attempt: AttemptRecord) => boolean) {
  return log
    .filter(isWanted)
    .map(({ number, trigger, startedAtMs, durationMs, statusCode, error }) => ({
      eventId: id,
      event,
      attempt: { number, trigger, startedAtMs, durationMs, statusCode, error },
    }))
    .reverse();
}

/** Whether `a` comes before `b` in the list; what has no attempts is passed at once. */
function isLater(a: Head, b: Head): boolean {
  if (a.done || b.done) return !a.done;
  const [ofA] = a.value.attempts;
  const [ofB] = b.value.attempts;
  if (ofA === undefined || ofB === undefined) return ofA === undefined;
  return ofA.attempt.startedAtMs >= ofB.attempt.startedAtMs;
}
