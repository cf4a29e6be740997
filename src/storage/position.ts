/** The order in which the deliveries of a webhook arrived. */

/** Where a delivery stands in the order of arrival. */
export type Position = { seq: number; index: number };
/** Behind everything, and as far as a cursor goes. */
export const END: Position = { seq: 999_999_999_999_999, index: 0 };
type Placed = { position: Position };
/** The same, with the table that holds it. */
export type Place = Position & { period: number };

export function byArrival(a: Placed, b: Placed): number {
  return a.position.seq - b.position.seq || a.position.index - b.position.index;
}

export function isBefore(a: Position, b: Position): boolean {
  return a.seq < b.seq || (a.seq === b.seq && a.index < b.index);
}

/** The first of 1 to `last` that is so, where all behind it are; `last + 1` for none. By bisection. */
export function firstThat(last: number, isSo: (seq: number) => boolean): number {
  let low = 1;
  let high = last;
  while (low <= high) {
    const middle = Math.floor((low + high) / 2);
    if (isSo(middle)) high = middle - 1;
    else low = middle + 1;
  }
  return low;
}

export function latest(a: Position, b: Position): Position {
  return isBefore(a, b) ? b : a;
}
