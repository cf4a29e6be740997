/** Lists of deliveries, newest first, and how many are pending (`delivery-tables.ts`). */
import type { DeliveryFilter, DeliveryStatus } from "../domain/delivery";
import type { EventId } from "../domain/ids";
import {
  type ArrivalIds,
  COLUMNS,
  type DeliveryRow,
  type DeliveryTables,
  deliveryOf,
  freshFrom,
  type ListedDelivery,
  UNDELIVERABLE,
} from "./delivery-tables";
import { byArrival, END, firstThat, isBefore, type Place, type Position } from "./position";

export type ListOptions = {
  /** null for all. */
  status: DeliveryStatus | null;
  head: Position;
  /** Only what arrived until then, Unix milliseconds; null for all. */
  untilMs: number | null;
  limit: number;
  maxRows: number;
  /** Whether a delivery belongs on the page; `stop` when none behind it does. */
  keep: (delivery: ListedDelivery) => boolean | "stop";
};

/** Where a delivery stands among those of all webhooks: by when it arrived, then by its event. */
export type Moment = { atMs: number; eventId: EventId };

/** Arrivals of one moment: what came with them, and where each is. */
type Group = { atMs: number; of: Map<string, { period: number; seq: number }> };

const ROWS_AT_ONCE = 100;
/** What is in an index of its own, by status. */
const INDEXED = {
  pending: { index: "waiting", where: "due_at IS NOT NULL" },
  undeliverable: { index: "undeliverable", where: `status = ${UNDELIVERABLE}` },
} as const;
const KEPT = { index: "kept", where: "kept_from IS NOT NULL" } as const;
type Indexed = (typeof INDEXED)[keyof typeof INDEXED];

export class DeliveryLists {
  readonly #tables: DeliveryTables;

  constructor(tables: DeliveryTables) {
    this.#tables = tables;
  }

  /**
   * Deliveries before `before`, newest first: all through the index by time, pending and undeliverable ones
   * through their own, which are short.
   */
  list(before: Position | null, options: ListOptions) {
    const { limit, maxRows, keep } = options;
    const deliveries: ListedDelivery[] = [];
    let looked = 0;
    // Of a page that is full: whether there is another is to be seen.
    let end: Position | null = null;
    for (const delivery of this.#candidates(before, options)) {
      const verdict = keep(delivery);
      if (verdict === "stop") break;
      if (end !== null) return { deliveries, next: end };
      if (verdict) deliveries.push(delivery);
      looked += 1;
      if (deliveries.length >= limit || looked >= maxRows) end = delivery.position;
    }
    return { deliveries, next: null };
  }

  /**
   * The same before `before`, in the order that all webhooks share: by when they arrived, then by event, newest first.
   * What moved to a newer table when its own was dropped stands where it moved.
   *
   * @returns each with when it arrived; `looked`: how many deliveries were looked at.
   */
  listByTime(before: Moment | null, options: ListOptions) {
    const { limit, maxRows, keep } = options;
    const found: { atMs: number; delivery: ListedDelivery }[] = [];
    let looked = 0;
    let end: Moment | null = null;
    for (const { atMs, eventId, delivery } of this.#momentsBefore(before, options)) {
      const verdict = delivery !== null && keep(delivery);
      if (verdict === "stop") break;
      if (end !== null) return { found, next: end, looked };
      looked += 1;
      if (verdict) found.push({ atMs, delivery });
      if (found.length >= limit || looked >= maxRows) end = { atMs, eventId };
    }
    return { found, next: null, looked };
  }

  /** `delivery` is null where it moved on. */
  *#momentsBefore(before: Moment | null, { status, head, untilMs }: ListOptions) {
    const fromMs = Math.min(
      before?.atMs ?? Number.POSITIVE_INFINITY,
      untilMs ?? Number.POSITIVE_INFINITY,
    );
    for (const { atMs, of } of this.#groupsDownFrom(fromMs, { status, head })) {
      const end = before?.atMs === atMs ? before.eventId : null;
      const places = [...of].sort(([a], [b]) => (a < b ? 1 : -1));
      for (const [id, place] of places) {
        if (end !== null && id >= end) continue;
        yield { atMs, eventId: id as EventId, delivery: this.#at(id, place) };
      }
    }
  }

  #at(id: string, { period, seq }: { period: number; seq: number }): ListedDelivery | null {
    const query = `SELECT ${COLUMNS} FROM deliveries_${period} d WHERE id = ? AND seq = ?`;
    const row = this.#tables.first<DeliveryRow>(query, id, seq);
    return row && deliveryOf(row, period);
  }

  /** Arrivals of one millisecond are one. */
  *#groupsDownFrom(fromMs: number, { status, head }: Pick<ListOptions, "status" | "head">) {
    let group: Group = { atMs: Number.POSITIVE_INFINITY, of: new Map() };
    for (const { period, seq, atMs, ids } of this.#arrivalsOf(status, this.#seqAt(fromMs), head)) {
      if (group.atMs !== atMs) {
        yield group;
        group = { atMs, of: new Map() };
      }
      for (const id of ids) group.of.set(id, { period, seq });
    }
    yield group;
  }

  /** Those that may hold deliveries of this status, newest first. */
  *#arrivalsOf(status: DeliveryStatus | null, from: number, head: Position): Generator<ArrivalIds> {
    if (status !== "pending" && status !== "undeliverable") {
      yield* this.#tables.arrivalsDownFrom(from);
      return;
    }
    const { index, where } = INDEXED[status];
    // Fresh deliveries are in no index: all that came from the head on may be such.
    const freshFrom = status === "pending" ? head.seq : Number.MAX_SAFE_INTEGER;
    for (const arrival of this.#tables.arrivalsDownFrom(from)) {
      if (arrival.seq < freshFrom) break;
      yield arrival;
    }
    for (const period of this.#tables.periodsNewestFirst) {
      const query = `SELECT max(seq) AS seq FROM deliveries_${period} INDEXED BY ${index}_${period} WHERE ${where} AND seq < ?`;
      for (let before = Math.min(from + 1, freshFrom); ; ) {
        const seq = this.#tables.first<{ seq: number | null }>(query, before)?.seq ?? null;
        const arrival = seq && this.#tables.arrival(period, seq);
        if (!arrival) break;
        yield arrival;
        before = arrival.seq;
      }
    }
  }

  /** The last arrival at or before `atMs`. */
  #seqAt(atMs: number): number {
    const after = atMs === Number.POSITIVE_INFINITY ? null : this.#positionAfter(atMs);
    return after === null ? this.#tables.lastSeq() : after.seq - 1;
  }

  #candidates(before: Position | null, { status, head, untilMs }: ListOptions) {
    if (status === "undeliverable") return this.#indexed(before, INDEXED.undeliverable);
    if (status === "pending") {
      return merged(this.newestFirst(before, head.seq), this.#indexed(before, INDEXED.pending));
    }
    return untilMs === null ? this.newestFirst(before, 0) : this.#until(before, untilMs);
  }

  /** From `untilMs` down; what moved to a newer table when its own was dropped comes first. */
  *#until(before: Position | null, untilMs: number): Generator<ListedDelivery> {
    const end = this.#positionAfter(untilMs);
    if (end === null || (before !== null && !isBefore(end, before))) {
      yield* this.newestFirst(before, 0);
      return;
    }
    for (const moved of this.#indexed(before, KEPT)) {
      if (isBefore(moved.position, end)) break;
      yield moved;
    }
    yield* this.newestFirst(end, 0);
  }

  /** Rows of a partial index by arrival, newest first. */
  *#indexed(before: Position | null, { index, where }: Indexed | typeof KEPT) {
    for (const period of this.#tables.periodsNewestFirst) {
      const query = `SELECT ${COLUMNS} FROM deliveries_${period} d INDEXED BY ${index}_${period} WHERE ${where} AND (seq, position) < (?, ?) ORDER BY seq DESC, position DESC LIMIT ?`;
      for (let next: Position | null = before ?? END; next !== null; ) {
        const rows: DeliveryRow[] = this.#tables.rows(query, next.seq, next.index, ROWS_AT_ONCE);
        for (const row of rows) yield deliveryOf(row, period);
        const last = rows.at(-1);
        next = last === undefined || rows.length < ROWS_AT_ONCE ? null : last;
      }
    }
  }

  /** By arrival, newest first, down to the arrival `downToSeq`. */
  *newestFirst(before: Position | null, downToSeq: number): Generator<ListedDelivery> {
    const from = before?.seq ?? END.seq;
    for (const { period, seq, ids } of this.#tables.arrivalsDownFrom(from)) {
      if (seq < downToSeq) return;
      const wanted = before !== null && before.seq === seq ? ids.slice(0, before.index) : ids;
      for (let end = wanted.length; end > 0; end -= ROWS_AT_ONCE) {
        const query = `SELECT ${COLUMNS} FROM json_each(?) j CROSS JOIN deliveries_${period} d ON d.id = j.value WHERE seq = ? ORDER BY j.key DESC`;
        const some = JSON.stringify(wanted.slice(Math.max(0, end - ROWS_AT_ONCE), end));
        for (const row of this.#tables.rows<DeliveryRow>(query, some, seq)) {
          yield deliveryOf(row, period);
        }
      }
    }
  }

  /** The position before which everything came at `untilMs` or earlier, by bisection over the index by time. */
  #positionAfter(untilMs: number): Position | null {
    const last = this.#tables.lastSeq();
    const isLater = (seq: number) => (this.#arrivedAtMs(seq) ?? Number.NEGATIVE_INFINITY) > untilMs;
    const seq = firstThat(last, isLater);
    return seq > last ? null : { seq, index: 0 };
  }

  /** When the first arrival from `seq` on came. */
  #arrivedAtMs(seq: number): number | null {
    for (const period of this.#tables.periods) {
      const query = `SELECT at FROM arrivals_${period} WHERE seq >= ? ORDER BY seq LIMIT 1`;
      const row = this.#tables.first<{ at: number }>(query, seq);
      if (row !== null) return row.at;
    }
    return null;
  }

  /** Where undeliverable ones are behind `after`, in the order of periods and arrival; at most `limit`. */
  undeliverableAfter(after: Place, limit: number): Place[] {
    const found: Place[] = [];
    for (const period of this.#tables.periods) {
      if (period < after.period || found.length >= limit) continue;
      const { seq, index } = period === after.period ? after : { seq: 0, index: -1 };
      const query = `SELECT seq, position AS "index", ${period} AS period FROM deliveries_${period} INDEXED BY undeliverable_${period} WHERE status = ${UNDELIVERABLE} AND (seq, position) > (?, ?) ORDER BY seq, position LIMIT ?`;
      found.push(...this.#tables.rows<Place>(query, seq, index, limit - found.length));
    }
    return found;
  }

  /** How many deliveries are pending: those that wait, and those that are fresh from `head` on. */
  countPending(head: Position): number {
    let count = 0;
    const add = (rows: string, ...bindings: number[]) => {
      count +=
        this.#tables.first<{ n: number }>(`SELECT count(*) AS n ${rows}`, ...bindings)?.n ?? 0;
    };
    for (const period of this.#tables.periods) {
      add(`FROM deliveries_${period} INDEXED BY due_${period} WHERE due_at IS NOT NULL`);
      const { rows, bindings } = freshFrom(head, period);
      add(rows, ...bindings);
    }
    return count;
  }
}

/** Whether a list with this filter shows it, but for when it arrived. */
export function isWanted(
  { status, event, attempts, lastStatusCode, lastError, keptFromMs, completedAtMs }: ListedDelivery,
  wanted: DeliveryFilter,
): boolean {
  // What expired is kept from then on, and was not opened.
  const openedAtMs = lastError === "expired" ? null : keptFromMs;
  return (
    (wanted.status ?? status) === status &&
    (wanted.event ?? event) === event &&
    (wanted.attempted ?? attempts > 0) === attempts > 0 &&
    (wanted.statusCode ?? lastStatusCode) === lastStatusCode &&
    (wanted.error ?? lastError) === lastError &&
    isSince(wanted.openedSinceMs, openedAtMs) &&
    isSince(wanted.endedSinceMs, completedAtMs)
  );
}

function isSince(sinceMs: number | undefined, atMs: number | null): boolean {
  return sinceMs === undefined || (atMs !== null && atMs >= sinceMs);
}

/** Two lists by arrival, newest first, as one. */
function* merged(a: Iterator<ListedDelivery>, b: Iterator<ListedDelivery>) {
  let left = a.next();
  let right = b.next();
  while (!left.done || !right.done) {
    if (right.done || (!left.done && byArrival(left.value, right.value) > 0)) {
      // A delivery that waits is in both lists where it arrived after the head.
      if (!left.done && left.value.dueAtMs === null) yield left.value;
      left = a.next();
    } else {
      yield right.value;
      right = b.next();
    }
  }
}
