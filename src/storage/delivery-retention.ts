/**
 * What is past `RETENTION`: pending deliveries that expire, and tables that go whole (`delivery-tables.ts`). Nothing
 * here reads or writes more rows than it is told to.
 */

import { firstWithin } from "../domain/portions";
import { earliest } from "../domain/time";
import type { DeliveryStore } from "./delivery-store";
import {
  type Behind,
  COLUMNS,
  type DeliveryRow,
  type DeliveryTables,
  deliveryOf,
  type ListedDelivery,
  statusNumber,
  UNDELIVERABLE,
} from "./delivery-tables";
import type { Place, Position } from "./position";
import type { Moving, Run } from "./run";

/** Bodies that are read, though not needed, to see which fresh deliveries have expired. */
const MAX_EXPIRING_BYTES = 4 * 1024 * 1024;
/** Bodies and attempts that move at once. */
const MAX_MOVED_BYTES = 8 * 1024 * 1024;
/** So many arrivals are reserved for what a period moves: what arrives meanwhile stands behind all of it. */
const RESERVED_ARRIVALS = 1_000_000;

/** Of a row, all but where it stands. */
const MOVED =
  "event, status, created_at, kept_from, due_at, asked, attempts, failures, interruptions, completed_at, last_status_code, last_error, log, body";

/** So many that wait are looked at each time. */
const FEW = 20;

/** What one turn came to. `undeliverable`: where such deliveries were, and are now; null where they are gone. */
export type Retained = {
  moving: Moving | null;
  moved: number;
  undeliverable: { from: Place; to: Place }[];
  dropped: number | null;
};

/** Since when what waits is kept, in Unix milliseconds; null where none is. */
type Oldest = { since: number | null; kept: number | null };
type KeptRow = { id: string; seq: number; position: number; status: number; size: number };

/** What is kept since it arrived: from the first that waits on, in the order of arrival, none is older. */
function asArrived(period: number): string {
  return `(kept_from IS NULL OR (kept_from = created_at AND created_at >= ${period}))`;
}

/** What else waits and is kept since a time from `?` to `?`. */
function keptOtherwise(period: number): string {
  return `kept_from BETWEEN ? AND ? AND due_at IS NOT NULL AND NOT ${asArrived(period)}`;
}

export class DeliveryRetention {
  readonly #tables: DeliveryTables;
  readonly #store: DeliveryStore;

  constructor(tables: DeliveryTables, store: DeliveryStore) {
    this.#tables = tables;
    this.#store = store;
  }

  /**
   * Pending deliveries that are kept since `beforeMs` or longer; at most `limit`, and some more in another turn.
   *
   * @param head where fresh deliveries begin.
   */
  pendingSince(beforeMs: number, head: Position, limit: number): ListedDelivery[] {
    const oldestMs = this.oldestPendingMs(head, beforeMs);
    if (oldestMs === null || oldestMs > beforeMs) return [];
    const old: ListedDelivery[] = [];
    const add = (period: number, query: string, ...bindings: number[]) => {
      const rows = this.#tables.rows<DeliveryRow>(query, ...bindings);
      for (const row of rows) old.push(deliveryOf(row, period));
    };
    for (const period of this.#tables.periods) {
      const select = `SELECT ${COLUMNS} FROM deliveries_${period} d INDEXED BY`;
      const kept = `${select} kept_${period} WHERE ${keptOtherwise(period)} LIMIT ?`;
      add(period, kept, this.#store.noneKeptBeforeMs, beforeMs, limit);
      // In a younger table only what was opened again can be so old.
      if (period > beforeMs) continue;
      const first = `${select} waiting_${period} WHERE due_at IS NOT NULL AND ${asArrived(period)} ORDER BY seq, position LIMIT ?`;
      add(period, `SELECT * FROM (${first}) WHERE "createdAtMs" <= ?`, limit, beforeMs);
    }
    const freshMs = this.#store.freshSinceMs(head);
    if (freshMs !== null && freshMs <= beforeMs) {
      const { deliveries } = this.#store.fresh(head, limit, MAX_EXPIRING_BYTES);
      for (const { body: _, log: __, ...delivery } of deliveries) {
        if (delivery.createdAtMs <= beforeMs) old.push(delivery);
      }
    }
    return old.slice(0, limit);
  }

  /**
   * Since when the oldest pending delivery is kept; null when none is pending. Exact for deliveries of before
   * `exactBeforeMs`; for later ones a time that is not later.
   */
  oldestPendingMs(head: Position, exactBeforeMs: number): number | null {
    const periods = this.#store.nothingWaits ? [] : this.#tables.periods;
    const waiting = periods.map((period) => this.#oldestWaiting(period, exactBeforeMs));
    const noneMs = earliest(exactBeforeMs + 1, ...waiting.map(({ kept }) => kept)) ?? 0;
    this.#store.noneKeptBeforeMs = Math.max(this.#store.noneKeptBeforeMs, noneMs);
    const times = waiting.flatMap(({ since, kept }) => [since, kept]);
    return earliest(this.#store.freshSinceMs(head), ...times);
  }

  /** The same of what waits in a table; `kept` of what is kept otherwise than since it arrived. */
  #oldestWaiting(period: number, exactBeforeMs: number): Oldest {
    const read = <T extends Record<string, SqlStorageValue>>(query: string, ...to: number[]) =>
      this.#tables.first<T>(`${query} LIMIT 1`, ...to);
    const from = (index: string) => `FROM deliveries_${period} INDEXED BY ${index}_${period}`;
    const waits = `${from("waiting")} WHERE due_at IS NOT NULL`;
    const isYoung = period > exactBeforeMs;
    const looked = `SELECT created_at AS since, CASE WHEN NOT ${asArrived(period)} THEN kept_from END AS kept ${waits} LIMIT ?`;
    const first = read<Oldest & { few: number }>(
      `SELECT count(*) AS few, min(CASE WHEN kept IS NULL THEN since END) AS since, min(kept) AS kept FROM (${looked})`,
      isYoung ? 1 : FEW + 1,
    );
    if (first === null || first.few === 0) return { since: null, kept: null };
    if (!isYoung && first.few <= FEW) return first;
    const query = `SELECT created_at AS since ${waits} AND ${asArrived(period)} ORDER BY seq, position`;
    const since = isYoung ? period : (read<{ since: number }>(query)?.since ?? null);
    const kept = `SELECT kept_from AS kept ${from("kept")} WHERE`;
    // What has ended is kept too, a million rows it may be: looked through, once, is only what is exact.
    const exact = read<{ kept: number }>(
      `${kept} ${keptOtherwise(period)} ORDER BY kept_from`,
      this.#store.noneKeptBeforeMs,
      exactBeforeMs,
    );
    const later = `${kept} kept_from > ? ORDER BY kept_from`;
    return { since, kept: (exact ?? read<{ kept: number }>(later, exactBeforeMs))?.kept ?? null };
  }

  /**
   * One turn for the tables whose every row is past `RETENTION`: moves on some of what is kept for longer, because it
   * was opened again or just expired, or drops a table that has nothing such. A table with a pending delivery that has
   * not expired yet stays. Call it only while nothing is in flight.
   *
   * @param isHeld whether a row of a period must stay where it is.
   * @returns null when there is nothing to do.
   */
  turn(nowMs: number, { retentionMs, limit, run, isHeld }: RetentionTerms): Retained | null {
    for (const period of [...this.#tables.periods]) {
      if (this.#lastArrivalMs(period) + retentionMs > nowMs) return null;
      if (isHeld(period)) continue;
      const kept = this.#keptIn(period, nowMs - retentionMs, limit);
      if (kept.length > 0) {
        const { moving } = run;
        const goesOn = moving?.from === period && this.#tables.periods.includes(moving.to);
        const way = goesOn ? moving : this.#reserve(period, nowMs, { retentionMs, run });
        return { moving: way, ...this.#move(kept, way, run), dropped: null };
      }
      if (this.#hasPending(period, run.head)) continue;
      this.#tables.drop(period);
      return { moving: null, moved: 0, undeliverable: [], dropped: period };
    }
    return null;
  }

  #lastArrivalMs(period: number): number {
    const query = `SELECT at FROM arrivals_${period} ORDER BY seq DESC LIMIT 1`;
    return this.#tables.first<{ at: number }>(query)?.at ?? period;
  }

  #hasPending(period: number, head: Position): boolean {
    const query = `SELECT 1 FROM deliveries_${period} INDEXED BY due_${period} WHERE due_at IS NOT NULL LIMIT 1`;
    const [fresh] = this.#store.fresh(head, 1, 0).deliveries;
    return this.#tables.first(query) !== null || fresh?.period === period;
  }

  /** What waits, in its order, then what is finished: the order counts for what is still to be sent. */
  #keptIn(period: number, sinceMs: number, limit: number): KeptRow[] {
    const select = (index: string, where: string) => {
      const query = `SELECT id, seq, position, status, coalesce(length(body), 0) + coalesce(length(log), 0) AS size FROM deliveries_${period} INDEXED BY ${index}_${period} WHERE ${where} LIMIT ?`;
      const rows = this.#tables.rows<KeptRow>(query, sinceMs, limit);
      return rows.sort((a, b) => a.seq - b.seq || a.position - b.position);
    };
    const waits = "due_at IS NOT NULL AND kept_from > ? ORDER BY seq, position";
    const waiting = select("waiting", waits);
    const rows = waiting.length > 0 ? waiting : select("kept", "kept_from > ? AND due_at IS NULL");
    return firstWithin(rows, ({ size }) => size, MAX_MOVED_BYTES);
  }

  /** An empty arrival marks the end of those that are reserved. */
  #reserve(
    from: number,
    nowMs: number,
    { retentionMs, run }: Pick<RetentionTerms, "retentionMs" | "run">,
  ): Moving {
    const to = this.#tables.periodFor(nowMs, retentionMs);
    const seq = this.#tables.nextSeq(run) + RESERVED_ARRIVALS;
    this.#tables.insertArrival({ period: to, atMs: nowMs, ids: [], added: 0, seq }, run);
    this.#store.moved({ seq, index: 0 });
    return { from, to, seq, atMs: nowMs };
  }

  /** All of it, or nothing where the disk is full. The head stays: what waits is found by when it is due. */
  #move(rows: readonly KeptRow[], { from, to, seq: end, atMs }: Moving, behind: Behind) {
    const ids = rows.map(({ id }) => id);
    const next = `SELECT max(coalesce(max(seq), 0), ?) + 1 AS seq FROM arrivals_${to} WHERE seq < ?`;
    const { seq } = this.#tables.sql
      .exec<{ seq: number }>(next, end - RESERVED_ARRIVALS, end)
      .one();
    const undeliverable: Retained["undeliverable"] = [];
    this.#tables.atomically(() => {
      this.#tables.insertArrival({ period: to, atMs, ids, added: 0, seq }, behind);
      for (const [index, row] of rows.entries()) {
        const copy = `INSERT INTO deliveries_${to} (id, seq, position, ${MOVED}) SELECT id, ?, ?, ${MOVED} FROM deliveries_${from} WHERE id = ?`;
        this.#tables.sql.exec(copy, seq, index, row.id);
        this.#tables.sql.exec(`DELETE FROM deliveries_${from} WHERE id = ?`, row.id);
        if (row.status !== UNDELIVERABLE) continue;
        const was = { period: from, seq: row.seq, index: row.position };
        undeliverable.push({ from: was, to: { period: to, seq, index } });
      }
    });
    const waits = rows.some(({ status }) => status === statusNumber("pending"));
    if (waits) this.#store.noneKeptBeforeMs = 0;
    return { moved: rows.length, undeliverable };
  }
}

type RetentionTerms = {
  retentionMs: number;
  /** How many rows move at most. */
  limit: number;
  run: Behind & Pick<Run, "moving">;
  isHeld(period: number): boolean;
};
