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

/** Whether `a` stands before `b` in the order of arrival. */
export function isBefore(a: Position, b: Position): boolean {
  return a.seq < b.seq || (a.seq === b.seq && a.index < b.index);
}

export function latest(a: Position, b: Position): Position {
  return isBefore(a, b) ? b : a;
}
