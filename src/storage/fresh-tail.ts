/** Fresh deliveries that are known without reading: from a position on, all that there are. */
import type { EventId } from "../domain/ids";
import type { DueDelivery } from "./delivery-tables";
import { isBefore, type Position } from "./position";

/** Of bodies: past that they are read again. */
const MAX_BYTES = 1024 * 1024;

export class FreshTail {
  /** null while nothing is known. */
  #from: Position | null = null;
  /** Behind all of them. */
  #end: Position = { seq: 0, index: 0 };
  /** In the order of arrival. */
  readonly #all = new Map<EventId, DueDelivery>();
  #bytes = 0;

  /** From `position` on nothing is fresh. */
  startAt(position: Position): void {
    this.forget();
    this.#from = position;
    this.#end = position;
  }

  /** They have arrived, behind everything else. */
  add(deliveries: readonly DueDelivery[]): void {
    const last = deliveries.at(-1);
    if (this.#from === null || last === undefined) return;
    for (const delivery of deliveries) {
      this.#all.set(delivery.id, delivery);
      this.#bytes += delivery.body.byteLength;
    }
    this.#end = { seq: last.position.seq, index: last.position.index + 1 };
    if (this.#bytes > MAX_BYTES) this.forget();
  }

  /** Nothing up to `position` is fresh but what is known. */
  endAt(position: Position): void {
    this.#end = position;
  }

  /** It is not fresh any more. */
  remove(id: EventId): void {
    this.#bytes -= this.#all.get(id)?.body.byteLength ?? 0;
    this.#all.delete(id);
  }

  /** Those from `head` on, and the position behind them; null where they must be read. */
  after(head: Position): { fresh: Iterable<DueDelivery>; end: Position } | null {
    if (this.#from === null || isBefore(head, this.#from)) return null;
    return { fresh: this.#freshAfter(head), end: isBefore(this.#end, head) ? head : this.#end };
  }

  *#freshAfter(head: Position): Generator<DueDelivery> {
    for (const delivery of this.#all.values()) {
      if (!isBefore(delivery.position, head)) yield delivery;
    }
  }

  /** Nothing is known. */
  forget(): void {
    this.#from = null;
    this.#all.clear();
    this.#bytes = 0;
  }
}
