/** What is past `RETENTION`: pending deliveries that expire, and tables that go whole (`delivery-tables.ts`). */
import type { DeliveryStore } from "./delivery-store";
import {
  type Behind,
  COLUMNS,
  type DeliveryRow,
  type DeliveryTables,
  deliveryOf,
  type Position,
  type StoredDelivery,
} from "./delivery-tables";

/** How many rows that stay share an arrival: its ids are one row. */
const MOVED_AT_ONCE = 1_000;

/** Bodies that are read, though not needed, to see which fresh deliveries have expired. */
const MAX_EXPIRING_BYTES = 4 * 1024 * 1024;

export class DeliveryRetention {
  readonly #sql: SqlStorage;
  readonly #tables: DeliveryTables;
  readonly #store: DeliveryStore;

  constructor(tables: DeliveryTables, store: DeliveryStore) {
    this.#sql = tables.sql;
    this.#tables = tables;
    this.#store = store;
  }

  /**
   * Pending deliveries that are kept since `beforeMs` or longer; at most `limit`.
   *
   * @param head where fresh deliveries begin.
   */
  pendingSince(beforeMs: number, head: Position, limit: number): StoredDelivery[] {
    const old: StoredDelivery[] = [];
    for (const period of this.#tables.periods) {
      // In a younger table only what moved there can be so old, and that is in the index of what is kept.
      const [index, since] =
        period <= beforeMs ? ["due", "coalesce(kept_from, created_at)"] : ["kept", "kept_from"];
      const rows = this.#sql
        .exec<DeliveryRow>(
          `SELECT ${COLUMNS} FROM deliveries_${period} d INDEXED BY ${index}_${period} WHERE due_at IS NOT NULL AND ${since} <= ? LIMIT ?`,
          beforeMs,
          limit,
        )
        .toArray();
      for (const row of rows) old.push(deliveryOf(row, period));
    }
    const freshMs = this.#store.freshSinceMs(head);
    if (freshMs !== null && freshMs <= beforeMs) {
      const { deliveries } = this.#store.fresh(head, limit, MAX_EXPIRING_BYTES);
      for (const { body: _, ...delivery } of deliveries) {
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
    const times: number[] = [];
    const freshMs = this.#store.freshSinceMs(head);
    if (freshMs !== null) times.push(freshMs);
    for (const period of this.#tables.periods) {
      const [row] = this.#sql
        .exec<{ since: number | null }>(
          period > exactBeforeMs
            ? `SELECT ${period} AS since FROM deliveries_${period} INDEXED BY due_${period} WHERE due_at IS NOT NULL LIMIT 1`
            : `SELECT min(coalesce(kept_from, created_at)) AS since FROM deliveries_${period} INDEXED BY due_${period} WHERE due_at IS NOT NULL`,
        )
        .toArray();
      if (row?.since !== undefined && row.since !== null) times.push(row.since);
    }
    return times.length === 0 ? null : Math.min(...times);
  }

  /**
   * Drops the tables whose every row is past `RETENTION`. What is kept for longer, because it was opened again or
   * just expired, moves on first; a table with a pending delivery stays until that expires. Call it only while
   * nothing is in flight.
   *
   * @returns whether any was dropped: what a lease still says of its rows must then not be asked of them.
   */
  dropOld(nowMs: number, retentionMs: number, behind: Behind): boolean {
    let dropped = false;
    for (const period of [...this.#tables.periods]) {
      if (this.#lastArrivalMs(period) + retentionMs > nowMs) break;
      this.#moveOn(period, nowMs, { retentionMs, behind });
      if (this.#hasPending(period, behind.head)) continue;
      this.#tables.drop(period);
      dropped = true;
    }
    return dropped;
  }

  #lastArrivalMs(period: number): number {
    const [row] = this.#sql
      .exec<{ at: number }>(`SELECT at FROM arrivals_${period} ORDER BY seq DESC LIMIT 1`)
      .toArray();
    return row?.at ?? period;
  }

  #hasPending(period: number, head: Position): boolean {
    const waiting = this.#sql
      .exec(
        `SELECT 1 FROM deliveries_${period} INDEXED BY due_${period} WHERE due_at IS NOT NULL LIMIT 1`,
      )
      .toArray();
    const [fresh] = this.#store.fresh(head, 1, 0).deliveries;
    return waiting.length > 0 || fresh?.period === period;
  }

  #moveOn(
    from: number,
    nowMs: number,
    { retentionMs, behind }: { retentionMs: number; behind: Behind },
  ): void {
    const kept = this.#sql
      .exec<{ id: string }>(
        `SELECT id FROM deliveries_${from} INDEXED BY kept_${from} WHERE kept_from IS NOT NULL AND kept_from > ? ORDER BY seq, position`,
        nowMs - retentionMs,
      )
      .toArray()
      .map(({ id }) => id);
    for (let index = 0; index < kept.length; index += MOVED_AT_ONCE) {
      this.#move(kept.slice(index, index + MOVED_AT_ONCE), from, {
        to: this.#tables.periodFor(nowMs, retentionMs),
        nowMs,
        behind,
      });
    }
  }

  /** The head stays: what waits is found by when it is due, wherever it stands. */
  #move(
    ids: readonly string[],
    from: number,
    { to, nowMs, behind }: { to: number; nowMs: number; behind: Behind },
  ): void {
    const arrival = { period: to, atMs: nowMs, ids, added: 0 };
    const seq = this.#tables.insertArrival(arrival, behind);
    for (const [position, id] of ids.entries()) {
      this.#sql.exec(
        `INSERT INTO deliveries_${to} (id, seq, position, event, status, created_at, kept_from, due_at, asked, attempts, failures, interruptions, completed_at, last_status_code, last_error, log, body) SELECT id, ?, ?, event, status, created_at, kept_from, due_at, asked, attempts, failures, interruptions, completed_at, last_status_code, last_error, log, body FROM deliveries_${from} WHERE id = ?`,
        seq,
        position,
        id,
      );
      this.#sql.exec(`DELETE FROM deliveries_${from} WHERE id = ?`, id);
    }
  }
}
