/** Deliveries of a Subscriber: arrival, what is to be sent next, and what came of it (`delivery-tables.ts`). */
import { isInOrder } from "../domain/delivery";
import type { EventId } from "../domain/ids";
import { journalName } from "../domain/placement";
import { firstWithin } from "../domain/portions";
import { encodeLog } from "./attempt-log";
import {
  type Arrival,
  ASKED,
  type Behind,
  COLUMNS,
  type DeliveryTables,
  type DueDelivery,
  FRESH,
  freshFrom,
  type ListedDelivery,
  type LoggedRow,
  loggedOf,
  type StoredDelivery,
  statusNumber,
} from "./delivery-tables";
import { FreshTail } from "./fresh-tail";
import { byArrival, isBefore, type Position } from "./position";
import { type LeasedAttempt, MAX_ARRIVALS_LEASED } from "./run";
import type { AttemptKey } from "./stored-json";

/** A delivery that waits for another attempt, without what it is sent with; `size` is its body's, in bytes. */
export type Waiting = Pick<StoredDelivery, "id" | "period" | "position" | "asked"> & {
  dueAtMs: number;
  size: number;
};
type WaitingRow = Omit<Waiting, "period" | "position"> & Position;
const WAITING = 'id, seq, position AS "index", due_at AS "dueAtMs", asked, length(body) AS size';

type Arriving = {
  nowMs: number;
  behind: Behind;
  /** null when retention is off. */
  retentionMs: number | null;
  mayLease: boolean;
  /** Their events came earlier, and a person asked for them. */
  isBackfill: boolean;
};

export type Inserted = { added: DueDelivery[]; isLeased: boolean };

/** A delivery whose last attempt is told of. */
export type Attempted = Pick<StoredDelivery, "id" | "log">;

/** What is not known of a fresh delivery without reading its row. */
type FreshRow = Pick<DueDelivery, "id" | "event" | "createdAtMs" | "keptFromMs" | "asked"> &
  Position & { body: ArrayBuffer };
const FRESH_COLUMNS =
  'd.id, event, created_at AS "createdAtMs", kept_from AS "keptFromMs", asked, d.seq, position AS "index", body';

/** Bodies that one statement brings into memory: those past the limit are read in vain. */
const BODIES_AT_ONCE = 32;

const NONE: ReadonlyMap<EventId, unknown> = new Map();

export class DeliveryStore {
  readonly #tables: DeliveryTables;
  /** Nothing waits that is due before these, Unix milliseconds: so most who ask need not read. */
  readonly #noneBefore = { due: 0, retry: 0 };
  /** Of what waits, and is not kept since it arrived, nothing is kept since before this, Unix milliseconds. */
  noneKeptBeforeMs = 0;
  readonly #tail = new FreshTail();

  constructor(tables: DeliveryTables) {
    this.#tables = tables;
  }

  // --- arrival ----------------------------------------------------------------------------------------------

  /**
   * Stores what is new of `arrivals`, each id once, whatever was accepted before within `RETENTION`: all or none.
   *
   * @returns what is new, in order, and whether it is leased.
   */
  insert(arrivals: readonly Arrival[], given: Arriving): Inserted {
    const { nowMs, behind, retentionMs, mayLease, isBackfill } = given;
    const known = this.#known(arrivals.map(({ id }) => id));
    const fresh = new Map<EventId, Arrival>();
    for (const arrival of arrivals) {
      if (!known.has(arrival.id) && !fresh.has(arrival.id)) fresh.set(arrival.id, arrival);
    }
    if (fresh.size === 0) return { added: [], isLeased: false };
    const period = this.#tables.periodFor(nowMs, retentionMs);
    const ids = [...fresh.keys()];
    const isLeased = mayLease && this.#tables.canLease(period);
    const arrival = { period, atMs: nowMs, ids, added: ids.length, isLeased };
    const added: DueDelivery[] = [];
    const today = journalName(nowMs);
    const asked = isBackfill ? ASKED.byReplay : ASKED.bySchedule;
    this.#tables.atomically(() => {
      const seq = this.#tables.insertArrival(arrival, behind);
      const insert = `INSERT INTO deliveries_${period} (id, seq, position, event, status, created_at, kept_from, asked, attempts, failures, interruptions, body) VALUES (?, ?, ?, ?, ${statusNumber("pending")}, ?, ?, ${asked}, 0, 0, 0, ?)`;
      for (const [index, { id, event, body, receivedAtMs }] of [...fresh.values()].entries()) {
        const isLate = receivedAtMs !== undefined && journalName(receivedAtMs) < today;
        const keptFromMs = isBackfill || isLate ? nowMs : null;
        this.#tables.sql.exec(insert, id, seq, index, event, nowMs, keptFromMs, body);
        const position = { seq, index };
        const state = { createdAtMs: nowMs, keptFromMs, asked };
        added.push({ ...FRESH, ...state, id, period, position, event, body });
      }
    });
    this.#tail.add(added);
    return { added, isLeased };
  }

  /** What was stored as leased behind the arrival `seq`. */
  leasedBehind(seq: number): LeasedAttempt[] {
    const arrivals = [...this.#tables.arrivedLeased(seq, MAX_ARRIVALS_LEASED)];
    return arrivals.flatMap(({ seq: at, ids }) =>
      ids.map((id, index) => ({
        id: id as EventId,
        number: 1,
        trigger: "scheduled",
        fresh: { seq: at, index },
      })),
    );
  }

  /** The `seq` of the newest arrival there ever was. */
  lastSeq(behind: Behind): number {
    return this.#tables.nextSeq(behind) - 1;
  }

  #known(ids: readonly EventId[]): Set<string> {
    const known = new Set<string>();
    const list = JSON.stringify(ids);
    for (const period of this.#tables.periods) {
      const query = `SELECT d.id FROM json_each(?) j JOIN deliveries_${period} d ON d.id = j.value`;
      for (const { id } of this.#tables.rows<{ id: string }>(query, list)) known.add(id);
    }
    return known;
  }

  // --- what is to be sent -----------------------------------------------------------------------------------

  /**
   * The first of what waits, by when it is due, without what it is sent with.
   *
   * @param untilMs due until then, Unix milliseconds.
   * @param asked only what a person asked for by name.
   */
  waiting(limit: number, { untilMs = Number.MAX_SAFE_INTEGER, asked = false } = {}): Waiting[] {
    const index = asked ? "retry" : "due";
    if (limit === 0 || this.#noneBefore[index] > untilMs) return [];
    const where = asked ? `asked = ${ASKED.byRetry}` : "due_at IS NOT NULL";
    const which = `${where} AND due_at <= ? ORDER BY due_at LIMIT ?`;
    const all = this.#waitingBy(index, which, untilMs, limit).sort(byDue);
    const [first] = all;
    if (first !== undefined) this.#noneBefore[index] = first.dueAtMs;
    else if (untilMs >= Number.MAX_SAFE_INTEGER) this.#noneBefore[index] = Number.POSITIVE_INFINITY;
    // It is asked again soon: when the first is due is worth knowing.
    else this.waiting(1, { asked });
    return all.slice(0, limit);
  }

  /** It is known that nothing waits for another attempt. */
  get nothingWaits(): boolean {
    return this.#noneBefore.due === Number.POSITIVE_INFINITY;
  }

  /** The waiting delivery that arrived first, due or not. */
  firstWaiting(): Waiting | null {
    if (this.nothingWaits) return null;
    const which = "due_at IS NOT NULL ORDER BY seq, position LIMIT 1";
    return this.#waitingBy("waiting", which).sort(byArrival)[0] ?? null;
  }

  /** @param which condition, order and limit, in each period. */
  #waitingBy(by: "due" | "retry" | "waiting", which: string, ...bindings: number[]): Waiting[] {
    return this.#tables.periods.flatMap((period) => {
      const query = `SELECT ${WAITING} FROM deliveries_${period} INDEXED BY ${by}_${period} WHERE ${which}`;
      const rows = this.#tables.rows<WaitingRow>(query, ...bindings);
      return rows.map(({ seq, index, ...row }) => ({ ...row, period, position: { seq, index } }));
    });
  }

  /** What they are sent with, as far as the bodies fit into `maxBytes`, and always of the first. */
  withBodies(waiting: readonly Waiting[], maxBytes: number): DueDelivery[] {
    return firstWithin(waiting, ({ size }) => size, maxBytes).flatMap(({ id, period }) => {
      const query = `SELECT ${COLUMNS}, log, body FROM deliveries_${period} d WHERE id = ?`;
      const rows = this.#tables.rows<LoggedRow & { body: ArrayBuffer }>(query, id);
      return rows.map((row) => ({ ...loggedOf(row, period), body: new Uint8Array(row.body) }));
    });
  }

  /** The first of what waits that are due after `afterMs`, Unix milliseconds, by when. */
  waitingAfter(afterMs: number, limit: number): Waiting[] {
    if (this.nothingWaits) return [];
    const which = "due_at IS NOT NULL AND due_at > ? ORDER BY due_at LIMIT ?";
    return this.#waitingBy("due", which, afterMs, limit).sort(byDue).slice(0, limit);
  }

  /** Makes deliveries that wait due, as a replay does. */
  hasten(waiting: readonly Waiting[], dueAtMs: number): void {
    for (const { id, period } of waiting) {
      const hasten = `UPDATE deliveries_${period} SET due_at = ?, asked = ${ASKED.byReplay} WHERE id = ?`;
      this.#tables.sql.exec(hasten, dueAtMs, id);
    }
    this.#noneBefore.due = Math.min(this.#noneBefore.due, dueAtMs);
  }

  /**
   * Fresh deliveries from `head` on, in the order of arrival.
   *
   * @param limit how many at most; `maxBytes` of bodies at most, but always one.
   * @returns them, and the head after them: what lies between was no longer fresh.
   */
  fresh(
    head: Position,
    limit: number,
    maxBytes: number,
    passed: ReadonlyMap<EventId, unknown> = NONE,
  ): { deliveries: DueDelivery[]; head: Position } {
    const known = this.#tail.after(head);
    const deliveries: DueDelivery[] = [];
    let bytes = 0;
    for (const delivery of known?.fresh ?? this.#readFresh(head, limit + 1, passed)) {
      if (passed.has(delivery.id)) continue;
      bytes += delivery.body.byteLength;
      if (deliveries.length >= limit || (deliveries.length > 0 && bytes > maxBytes)) {
        return { deliveries, head: delivery.position };
      }
      deliveries.push(delivery);
    }
    const end = known?.end ?? this.#tables.end();
    const next = isBefore(end, head) ? head : end;
    const nothingIs = deliveries.length === 0 && passed.size === 0;
    if (known === null && nothingIs) this.#tail.startAt(next);
    return { deliveries, head: next };
  }

  /** The same as they are on disk. */
  *#readFresh(head: Position, atMost: number, passed: ReadonlyMap<EventId, unknown>) {
    const limit = Math.min(atMost, BODIES_AT_ONCE);
    const without = JSON.stringify([...passed.keys()]);
    for (const period of this.#tables.periods) {
      for (let next: Position | null = head; next !== null; ) {
        const { rows: from, bindings } = freshFrom(next, period);
        const query = `SELECT ${FRESH_COLUMNS} ${from} AND d.id NOT IN (SELECT value FROM json_each(?)) LIMIT ?`;
        const rows: FreshRow[] = this.#tables.rows(query, ...bindings, without, limit);
        for (const { seq, index, body, ...row } of rows) {
          const position = { seq, index };
          yield { ...FRESH, ...row, period, position, body: new Uint8Array(body) };
        }
        const last = rows.at(-1);
        next = last && rows.length === limit ? { seq: last.seq, index: last.index + 1 } : null;
      }
    }
  }

  /** What was known without reading may be wrong: what was written is not there. */
  forget(): void {
    Object.assign(this.#noneBefore, { due: 0, retry: 0 });
    this.noneKeptBeforeMs = 0;
    this.#tail.forget();
  }

  /** What retention moved stands before `position`: it waits or has ended, none of it is fresh. */
  moved(position: Position): void {
    this.#tail.endAt(position);
  }

  /** When the delivery at or after `head` arrived that is waiting for its first attempt; null when there is none. */
  freshSinceMs(head: Position): number | null {
    const [first] = this.fresh(head, 1, 0).deliveries;
    return first?.createdAtMs ?? null;
  }

  // --- one delivery -----------------------------------------------------------------------------------------

  get(id: EventId): StoredDelivery | null {
    for (const period of this.#tables.periodsNewestFirst) {
      const query = `SELECT ${COLUMNS}, log FROM deliveries_${period} d WHERE id = ?`;
      const row = this.#tables.first<LoggedRow>(query, id);
      if (row !== null) return loggedOf(row, period);
    }
    return null;
  }

  /**
   * Writes what an attempt or a person changed. One row; the body goes when the delivery ends.
   *
   * @param delivery as it is now; without `log` its attempts stay as they are.
   * @param body given when a finished delivery is opened again.
   */
  update(delivery: ListedDelivery & { log?: StoredDelivery["log"] }, body?: Uint8Array): void {
    const values: Record<string, unknown> = {
      status: statusNumber(delivery.status),
      kept_from: delivery.keptFromMs,
      due_at: delivery.dueAtMs,
      asked: delivery.asked,
      attempts: delivery.attempts,
      failures: delivery.failures,
      interruptions: delivery.interruptions,
      completed_at: delivery.completedAtMs,
      last_status_code: delivery.lastStatusCode,
      last_error: delivery.lastError,
    };
    if (delivery.log !== undefined) values.log = encodeLog(delivery.log);
    if (body !== undefined) values.body = body;
    else if (delivery.status !== "pending") values.body = null;
    const set = Object.keys(values).map((name) => `${name} = ?`);
    const write = `UPDATE deliveries_${delivery.period} SET ${set.join(", ")} WHERE id = ?`;
    this.#tables.sql.exec(write, ...Object.values(values), delivery.id);
    this.#tail.remove(delivery.id);
    if (delivery.dueAtMs === null) return;
    const { keptFromMs, createdAtMs, period } = delivery;
    const isAsArrived = keptFromMs === createdAtMs && createdAtMs >= period;
    if (keptFromMs !== null && !isAsArrived)
      this.noneKeptBeforeMs = Math.min(this.noneKeptBeforeMs, keptFromMs);
    const by = delivery.asked === ASKED.byRetry ? (["due", "retry"] as const) : (["due"] as const);
    for (const index of by) {
      this.#noneBefore[index] = Math.min(this.#noneBefore[index], delivery.dueAtMs);
    }
  }

  /** The last attempts of these were recorded together: those that `AttemptList` would not find are written down. */
  listAttempts(attempted: readonly Attempted[]): void {
    const others: AttemptKey[] = [];
    for (const { id, log } of attempted) {
      const last = log.at(-1);
      if (last !== undefined && !isInOrder(last)) others.push({ ...last, id });
    }
    if (others.length > 0) this.#tables.insertAttempts(others);
  }

  /** A release that does not know `attempts_T` has made attempts. */
  unlistAttempts(): void {
    this.#tables.dropAttempts(Number.POSITIVE_INFINITY);
  }

  missing(ids: readonly EventId[]): EventId[] {
    const known = this.#known(ids);
    return ids.filter((id) => !known.has(id));
  }
}

function byDue(a: Waiting, b: Waiting): number {
  return a.dueAtMs - b.dueAtMs || byArrival(a, b);
}
