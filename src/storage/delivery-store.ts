/** Deliveries of a Subscriber: arrival, what is to be sent next, and what came of it (`delivery-tables.ts`). */
import type { EventId } from "../domain/ids";
import { encodeLog } from "./attempt-log";
import {
  type Arrival,
  ASKED,
  type Behind,
  byArrival,
  COLUMNS,
  type DeliveryRow,
  type DeliveryTables,
  type DueDelivery,
  deliveryOf,
  dueOf,
  type Position,
  type StoredDelivery,
  statusNumber,
} from "./delivery-tables";

const NONE: ReadonlyMap<EventId, unknown> = new Map();

export class DeliveryStore {
  readonly #sql: SqlStorage;
  readonly #tables: DeliveryTables;

  constructor(tables: DeliveryTables) {
    this.#sql = tables.sql;
    this.#tables = tables;
  }

  // --- arrival ----------------------------------------------------------------------------------------------

  /**
   * Stores what is new of `arrivals`, each id once, whatever was accepted before within `RETENTION`.
   *
   * @param retentionMs null when retention is off.
   * @returns the ids that are new.
   */
  insert(
    arrivals: readonly Arrival[],
    { nowMs, behind, retentionMs }: { nowMs: number; behind: Behind; retentionMs: number | null },
  ): EventId[] {
    const known = this.#known(arrivals.map(({ id }) => id));
    const fresh = new Map<EventId, Arrival>();
    for (const arrival of arrivals) {
      if (!known.has(arrival.id) && !fresh.has(arrival.id)) fresh.set(arrival.id, arrival);
    }
    if (fresh.size === 0) return [];
    const period = this.#tables.periodFor(nowMs, retentionMs);
    const ids = [...fresh.keys()];
    const arrival = { period, atMs: nowMs, ids, added: ids.length };
    const seq = this.#tables.insertArrival(arrival, behind);
    const insert = `INSERT INTO deliveries_${period} (id, seq, position, event, status, created_at, asked, attempts, failures, interruptions, body) VALUES (?, ?, ?, ?, ${statusNumber("pending")}, ?, ${ASKED.bySchedule}, 0, 0, 0, ?)`;
    for (const [index, id] of ids.entries()) {
      const arrival = fresh.get(id) as Arrival;
      this.#sql.exec(insert, id, seq, index, arrival.event, nowMs, arrival.body);
    }
    return ids;
  }

  #known(ids: readonly EventId[]): Set<string> {
    const known = new Set<string>();
    const list = JSON.stringify(ids);
    for (const period of this.#tables.periods) {
      const rows = this.#sql.exec<{ id: string }>(
        `SELECT d.id FROM json_each(?) j JOIN deliveries_${period} d ON d.id = j.value`,
        list,
      );
      for (const { id } of rows) known.add(id);
    }
    return known;
  }

  // --- what is to be sent -----------------------------------------------------------------------------------

  /** Waiting deliveries due at `nowMs`, the one due first first. */
  due(nowMs: number, limit: number): DueDelivery[] {
    return this.#waiting(
      (period) =>
        `SELECT ${COLUMNS}, body FROM deliveries_${period} d INDEXED BY due_${period} WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT ?`,
      [nowMs, limit],
    )
      .sort(byDue)
      .slice(0, limit);
  }

  /** The first `limit` of what waits, by when it is due, without their bodies. */
  dueFirst(limit: number): { id: EventId; dueAtMs: number }[] {
    return this.#tables.periods
      .flatMap((period) =>
        this.#sql
          .exec<{ id: string; due_at: number }>(
            `SELECT id, due_at FROM deliveries_${period} INDEXED BY due_${period} WHERE due_at IS NOT NULL ORDER BY due_at LIMIT ?`,
            limit,
          )
          .toArray(),
      )
      .map(({ id, due_at }) => ({ id: id as EventId, dueAtMs: due_at }))
      .sort((a, b) => a.dueAtMs - b.dueAtMs)
      .slice(0, limit);
  }

  /** Deliveries that a person asked for by name, due at `nowMs`. */
  askedFor(nowMs: number, limit: number): DueDelivery[] {
    return this.#waiting(
      (period) =>
        `SELECT ${COLUMNS}, body FROM deliveries_${period} d INDEXED BY retry_${period} WHERE asked = ${ASKED.byRetry} AND due_at <= ? ORDER BY due_at LIMIT ?`,
      [nowMs, limit],
    )
      .sort(byDue)
      .slice(0, limit);
  }

  /** The waiting delivery that arrived first, due or not. */
  firstWaiting(): DueDelivery | null {
    const firsts = this.#waiting(
      (period) =>
        `SELECT ${COLUMNS}, body FROM deliveries_${period} d INDEXED BY waiting_${period} WHERE due_at IS NOT NULL ORDER BY seq, position LIMIT 1`,
      [],
    );
    return firsts.sort(byArrival)[0] ?? null;
  }

  #waiting(query: (period: number) => string, bindings: number[]): DueDelivery[] {
    return this.#tables.periods.flatMap((period) =>
      this.#sql
        .exec<DeliveryRow & { body: ArrayBuffer }>(query(period), ...bindings)
        .toArray()
        .map((row) => dueOf(row, period)),
    );
  }

  /** When the next waiting delivery is due after `afterMs`, Unix milliseconds; null when there is none. */
  nextDueAtMs(afterMs: number): number | null {
    let next: number | null = null;
    for (const period of this.#tables.periods) {
      const [row] = this.#sql
        .exec<{ due_at: number }>(
          `SELECT due_at FROM deliveries_${period} d INDEXED BY due_${period} WHERE due_at IS NOT NULL AND due_at > ? ORDER BY due_at LIMIT 1`,
          afterMs,
        )
        .toArray();
      if (row !== undefined && (next === null || row.due_at < next)) next = row.due_at;
    }
    return next;
  }

  /** When the first delivery that a person asked for by name is due, Unix milliseconds; null when there is none. */
  nextAskedAtMs(): number | null {
    return this.askedFor(Number.MAX_SAFE_INTEGER, 1)[0]?.dueAtMs ?? null;
  }

  /**
   * Fresh deliveries from `head` on, in the order of arrival.
   *
   * @param limit how many at most; `maxBytes` of bodies at most, but always one.
   * @param passed those that are passed over.
   * @returns them, and the head after them: what lies between was no longer fresh.
   */
  fresh(
    head: Position,
    limit: number,
    maxBytes: number,
    passed: ReadonlyMap<EventId, unknown> = NONE,
  ): { deliveries: DueDelivery[]; head: Position } {
    const deliveries: DueDelivery[] = [];
    let next = head;
    let bytes = 0;
    for (const { period, seq, ids } of this.#tables.arrivalsFrom(head.seq)) {
      const first = seq === head.seq ? head.index : 0;
      const wanted = { period, seq, limit: limit - deliveries.length + 1 };
      const rest = ids.slice(first).filter((id) => !passed.has(id as EventId));
      for (const delivery of this.#tables.freshAmong(rest, wanted)) {
        bytes += delivery.body.byteLength;
        if (deliveries.length >= limit || (deliveries.length > 0 && bytes > maxBytes)) {
          return { deliveries, head: delivery.position };
        }
        deliveries.push(delivery);
      }
      next = { seq, index: ids.length };
    }
    return { deliveries, head: next };
  }

  /** When the delivery at or after `head` arrived that is waiting for its first attempt; null when there is none. */
  freshSinceMs(head: Position): number | null {
    const [first] = this.fresh(head, 1, 0).deliveries;
    return first?.createdAtMs ?? null;
  }

  // --- one delivery -----------------------------------------------------------------------------------------

  get(id: EventId): StoredDelivery | null {
    for (const period of this.#tables.periodsNewestFirst) {
      const [row] = this.#sql
        .exec<DeliveryRow>(`SELECT ${COLUMNS} FROM deliveries_${period} d WHERE id = ?`, id)
        .toArray();
      if (row !== undefined) return deliveryOf(row, period);
    }
    return null;
  }

  /**
   * Writes what an attempt or a person changed. One row; the body goes when the delivery ends.
   *
   * @param delivery as it is now, `log` included.
   * @param body given when a finished delivery is opened again.
   */
  update(delivery: StoredDelivery, body?: Uint8Array): void {
    const values: SqlStorageValue[] = [
      statusNumber(delivery.status),
      delivery.keptFromMs,
      delivery.dueAtMs,
      delivery.asked,
      delivery.attempts,
      delivery.failures,
      delivery.interruptions,
      delivery.completedAtMs,
      delivery.lastStatusCode,
      delivery.lastError,
      encodeLog(delivery.log),
    ];
    const set =
      "status = ?, kept_from = ?, due_at = ?, asked = ?, attempts = ?, failures = ?, interruptions = ?, completed_at = ?, last_status_code = ?, last_error = ?, log = ?";
    const table = `deliveries_${delivery.period}`;
    if (body !== undefined) {
      this.#sql.exec(
        `UPDATE ${table} SET ${set}, body = ? WHERE id = ?`,
        ...values,
        body,
        delivery.id,
      );
    } else if (delivery.status === "pending") {
      this.#sql.exec(`UPDATE ${table} SET ${set} WHERE id = ?`, ...values, delivery.id);
    } else {
      this.#sql.exec(
        `UPDATE ${table} SET ${set}, body = NULL WHERE id = ?`,
        ...values,
        delivery.id,
      );
    }
  }

  /** Which of `ids` this webhook never had. */
  missing(ids: readonly EventId[]): EventId[] {
    const known = this.#known(ids);
    return ids.filter((id) => !known.has(id));
  }
}

function byDue(a: StoredDelivery, b: StoredDelivery): number {
  return (a.dueAtMs ?? 0) - (b.dueAtMs ?? 0) || byArrival(a, b);
}
