/**
 * All SQL of a Subscriber. Reading creates nothing: a table is made by the first write that needs it.
 *
 * | table | key | what | lifetime | growth |
 * |---|---|---|---|---|
 * | `settings` | 1 | the webhook as the Registry pushed it; of a deleted one only the version | the object's | 1 row |
 * | `run` | 1 | lease, first fresh position, health, rate, the running hour | the object's | 1 row |
 * | `hours` | hour | counters of a finished hour | `RETENTION` | 24 rows a day |
 * | `deliveries_T` | event id | one row per delivery, from accept to the end of `RETENTION` | dropped whole | 1 row a delivery |
 * | `arrivals_T` | seq | the ids of one accept in order: the index by time, and the queue of fresh deliveries | with it | 1 row an accept |
 *
 * `T` is the first millisecond of a period, a sixth of `RETENTION`. A delivery lives in the period of its first
 * arrival, so its id is looked for in all of them before it is inserted. A row is written once on accept and once
 * per attempt; a lease, one write for up to a hundred attempts, carries everything else.
 *
 * A delivery that was never attempted is *fresh*: pending without `due_at`, found through `arrivals_T` from the
 * head on. `due_at` (and with it a place in the partial indexes) is for what waits for another attempt.
 */
import type { AttemptRecord, DeliveryError, DeliveryStatus, Progress } from "../domain/delivery";
import type { EventId } from "../domain/ids";
import { decodeLog, encodeLog } from "./attempt-log";
import { tableNames } from "./tables";

const PERIODS_PER_RETENTION = 6;
/** A retention that does not parse stops deletion; a table then takes what arrives in 5 days. */
const DEFAULT_PERIOD_MS = 5 * 86_400_000;

const STATUSES = [
  "pending",
  "delivered",
  "undeliverable",
  "cancelled",
] as const satisfies DeliveryStatus[];
const PENDING = 0;

/** Who asked for the next attempt: the schedule, a replay, or a person for this one delivery. */
export const ASKED = { bySchedule: 0, byReplay: 1, byRetry: 2 } as const;
export type Asked = (typeof ASKED)[keyof typeof ASKED];

/** Where a delivery stands in the order of arrival. */
export type Position = { seq: number; index: number };

export type StoredDelivery = Progress & {
  id: EventId;
  /** The period whose table holds it. */
  period: number;
  position: Position;
  event: string;
  createdAtMs: number;
  /** `RETENTION` counts from here, when it was opened again or expired; null for from `createdAtMs`. */
  keptFromMs: number | null;
  asked: Asked;
  log: AttemptRecord[];
};

/** A delivery with what is needed to send it. */
export type DueDelivery = StoredDelivery & { body: Uint8Array };

/** The ids of one accept, in order. */
type ArrivalIds = { period: number; seq: number; ids: string[] };

type ListOptions = {
  /** null for all. */
  status: DeliveryStatus | null;
  head: Position;
  limit: number;
  maxRows: number;
  /** Whether a delivery belongs on the page; `stop` when none behind it does. */
  keep: (delivery: StoredDelivery) => boolean | "stop";
};

export type Arrival = { id: EventId; event: string; body: Uint8Array };

type DeliveryRow = {
  id: string;
  seq: number;
  position: number;
  event: string;
  status: number;
  created_at: number;
  kept_from: number | null;
  due_at: number | null;
  asked: number;
  attempts: number;
  failures: number;
  interruptions: number;
  completed_at: number | null;
  last_status_code: number | null;
  last_error: string | null;
  log: string | null;
};

const COLUMNS =
  "d.id, seq, position, event, status, created_at, kept_from, due_at, asked, attempts, failures, interruptions, completed_at, last_status_code, last_error, log";

export class DeliveryStore {
  readonly #sql: SqlStorage;
  /** First milliseconds of the periods that have tables, oldest first; null until it was read. */
  #periods: number[] | null = null;
  #newestSeq: number | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  // --- arrival ----------------------------------------------------------------------------------------------

  /**
   * Stores what is new of `arrivals`, each id once, whatever was accepted before within `RETENTION`.
   *
   * @param head where fresh deliveries begin: they arrive behind it, even when every older table is gone.
   * @param retentionMs null when retention is off.
   * @returns the ids that are new.
   */
  insert(
    arrivals: readonly Arrival[],
    { nowMs, head, retentionMs }: { nowMs: number; head: Position; retentionMs: number | null },
  ): EventId[] {
    const known = this.#known(arrivals.map(({ id }) => id));
    const fresh = new Map<EventId, Arrival>();
    for (const arrival of arrivals) if (!known.has(arrival.id)) fresh.set(arrival.id, arrival);
    if (fresh.size === 0) return [];
    const period = this.#periodFor(nowMs, retentionMs);
    const seq = this.#takeSeq(head);
    const ids = [...fresh.keys()];
    this.#sql.exec(
      `INSERT INTO arrivals_${period} (seq, at, ids) VALUES (?, ?, ?)`,
      seq,
      nowMs,
      JSON.stringify(ids),
    );
    const insert = `INSERT INTO deliveries_${period} (id, seq, position, event, status, created_at, asked, attempts, failures, interruptions, body) VALUES (?, ?, ?, ?, 0, ?, 0, 0, 0, 0, ?)`;
    for (const [index, id] of ids.entries()) {
      const arrival = fresh.get(id) as Arrival;
      this.#sql.exec(insert, id, seq, index, arrival.event, nowMs, arrival.body);
    }
    return ids;
  }

  #known(ids: readonly EventId[]): Set<string> {
    const known = new Set<string>();
    const list = JSON.stringify(ids);
    for (const period of this.#allPeriods()) {
      const rows = this.#sql.exec<{ id: string }>(
        `SELECT d.id FROM json_each(?) j JOIN deliveries_${period} d ON d.id = j.value`,
        list,
      );
      for (const { id } of rows) known.add(id);
    }
    return known;
  }

  #periodFor(nowMs: number, retentionMs: number | null): number {
    const length = periodLength(retentionMs);
    const start = Math.floor(nowMs / length) * length;
    const periods = this.#allPeriods();
    const newest = periods.at(-1);
    // A clock that stepped back, or a longer RETENTION, may put `start` before the newest table: stay in that.
    if (newest !== undefined && newest >= start) return newest;
    this.#createPeriod(start);
    periods.push(start);
    return start;
  }

  #createPeriod(start: number): void {
    for (const statement of [
      `CREATE TABLE arrivals_${start} (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, ids TEXT NOT NULL)`,
      `CREATE TABLE deliveries_${start} (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, position INTEGER NOT NULL, event TEXT NOT NULL, status INTEGER NOT NULL, created_at INTEGER NOT NULL, kept_from INTEGER, due_at INTEGER, asked INTEGER NOT NULL, attempts INTEGER NOT NULL, failures INTEGER NOT NULL, interruptions INTEGER NOT NULL, completed_at INTEGER, last_status_code INTEGER, last_error TEXT, log TEXT, body BLOB) WITHOUT ROWID`,
      `CREATE INDEX due_${start} ON deliveries_${start} (due_at) WHERE due_at IS NOT NULL`,
      `CREATE INDEX waiting_${start} ON deliveries_${start} (seq, position) WHERE due_at IS NOT NULL`,
      `CREATE INDEX retry_${start} ON deliveries_${start} (due_at) WHERE asked = ${ASKED.byRetry}`,
      `CREATE INDEX undeliverable_${start} ON deliveries_${start} (seq, position) WHERE status = 2`,
      `CREATE INDEX kept_${start} ON deliveries_${start} (kept_from) WHERE kept_from IS NOT NULL`,
    ]) {
      this.#sql.exec(statement);
    }
  }

  #takeSeq(head: Position): number {
    const seq = Math.max(this.#lastSeq(), head.seq) + 1;
    this.#newestSeq = seq;
    return seq;
  }

  #lastSeq(): number {
    if (this.#newestSeq === null) {
      const lasts = this.#allPeriods().map(
        (period) =>
          this.#sql
            .exec<{ last: number | null }>(`SELECT max(seq) AS last FROM arrivals_${period}`)
            .one().last ?? 0,
      );
      this.#newestSeq = Math.max(0, ...lasts);
    }
    return this.#newestSeq;
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
    return this.#allPeriods().flatMap((period) =>
      this.#sql
        .exec<DeliveryRow & { body: ArrayBuffer }>(query(period), ...bindings)
        .toArray()
        .map((row) => dueOf(row, period)),
    );
  }

  /** When the next waiting delivery is due after `afterMs`, Unix milliseconds; null when there is none. */
  nextDueAtMs(afterMs: number): number | null {
    let next: number | null = null;
    for (const period of this.#allPeriods()) {
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
   * @returns them, and the head after them: what lies between was no longer fresh.
   */
  fresh(
    head: Position,
    limit: number,
    maxBytes: number,
  ): { deliveries: DueDelivery[]; head: Position } {
    const deliveries: DueDelivery[] = [];
    let next = head;
    let bytes = 0;
    for (const { period, seq, ids } of this.#arrivalsFrom(head.seq)) {
      const first = seq === head.seq ? head.index : 0;
      const wanted = ids.slice(first, first + limit - deliveries.length);
      for (const delivery of this.#freshAmong(wanted, period, seq)) {
        bytes += delivery.body.byteLength;
        if (deliveries.length > 0 && bytes > maxBytes) {
          return { deliveries, head: delivery.position };
        }
        deliveries.push(delivery);
      }
      next = { seq, index: first + wanted.length };
      if (deliveries.length >= limit) break;
    }
    return { deliveries, head: next };
  }

  *#arrivalsFrom(seq: number): Generator<ArrivalIds> {
    for (const period of this.#allPeriods()) {
      const rows = this.#sql.exec<{ seq: number; ids: string }>(
        `SELECT seq, ids FROM arrivals_${period} WHERE seq >= ? ORDER BY seq`,
        seq,
      );
      for (const row of rows) yield { period, seq: row.seq, ids: JSON.parse(row.ids) };
    }
  }

  *#freshAmong(ids: string[], period: number, seq: number): Generator<DueDelivery> {
    const rows = this.#sql.exec<DeliveryRow & { body: ArrayBuffer }>(
      `SELECT ${COLUMNS}, body FROM json_each(?) j CROSS JOIN deliveries_${period} d ON d.id = j.value WHERE status = ${PENDING} AND due_at IS NULL AND seq = ? ORDER BY j.key`,
      JSON.stringify(ids),
      seq,
    );
    for (const row of rows) yield dueOf(row, period);
  }

  /** When the delivery at or after `head` arrived that is waiting for its first attempt; null when there is none. */
  freshSinceMs(head: Position): number | null {
    const [first] = this.fresh(head, 1, 0).deliveries;
    return first?.createdAtMs ?? null;
  }

  // --- one delivery -----------------------------------------------------------------------------------------

  get(id: EventId): StoredDelivery | null {
    for (const period of [...this.#allPeriods()].reverse()) {
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
      STATUSES.indexOf(delivery.status),
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

  // --- lists ------------------------------------------------------------------------------------------------

  /**
   * Deliveries before `before`, newest first: all through the index by time, pending and undeliverable ones
   * through their own, which are short.
   *
   * @param head where fresh deliveries begin.
   */
  list(
    before: Position | null,
    { status, head, limit, maxRows, keep }: ListOptions,
  ): { deliveries: StoredDelivery[]; next: Position | null } {
    const deliveries: StoredDelivery[] = [];
    let looked = 0;
    for (const delivery of this.#candidates(before, status, head)) {
      const verdict = keep(delivery);
      if (verdict === "stop") break;
      if (verdict) deliveries.push(delivery);
      looked += 1;
      if (deliveries.length >= limit || looked >= maxRows) {
        return { deliveries, next: delivery.position };
      }
    }
    return { deliveries, next: null };
  }

  #candidates(
    before: Position | null,
    status: DeliveryStatus | null,
    head: Position,
  ): Iterable<StoredDelivery> {
    if (status === "undeliverable") return this.#indexed(before, "undeliverable", "status = 2");
    if (status !== "pending") return this.#newestFirst(before, 0);
    return merged(
      this.#newestFirst(before, head.seq),
      this.#indexed(before, "waiting", "due_at IS NOT NULL"),
    );
  }

  /** Rows of a partial index by arrival, newest first. */
  *#indexed(before: Position | null, index: string, where: string): Generator<StoredDelivery> {
    for (const period of [...this.#allPeriods()].reverse()) {
      const rows = this.#sql.exec<DeliveryRow>(
        `SELECT ${COLUMNS} FROM deliveries_${period} d INDEXED BY ${index}_${period} WHERE ${where} AND (seq, position) < (?, ?) ORDER BY seq DESC, position DESC`,
        before?.seq ?? Number.MAX_SAFE_INTEGER,
        before?.index ?? 0,
      );
      for (const row of rows) yield deliveryOf(row, period);
    }
  }

  /** By arrival, newest first, down to the arrival `downToSeq`. */
  *#newestFirst(before: Position | null, downToSeq: number): Generator<StoredDelivery> {
    for (const { period, seq, ids } of this.#arrivalsDownFrom(
      before?.seq ?? Number.MAX_SAFE_INTEGER,
    )) {
      if (seq < downToSeq) return;
      const wanted = before !== null && before.seq === seq ? ids.slice(0, before.index) : ids;
      const rows = this.#sql.exec<DeliveryRow>(
        `SELECT ${COLUMNS} FROM json_each(?) j CROSS JOIN deliveries_${period} d ON d.id = j.value WHERE seq = ? ORDER BY j.key DESC`,
        JSON.stringify(wanted),
        seq,
      );
      for (const row of rows) yield deliveryOf(row, period);
    }
  }

  *#arrivalsDownFrom(seq: number): Generator<ArrivalIds> {
    for (const period of [...this.#allPeriods()].reverse()) {
      const rows = this.#sql.exec<{ seq: number; ids: string }>(
        `SELECT seq, ids FROM arrivals_${period} WHERE seq <= ? ORDER BY seq DESC`,
        seq,
      );
      for (const row of rows) yield { period, seq: row.seq, ids: JSON.parse(row.ids) };
    }
  }

  /** The position before which everything came at `untilMs` or earlier, by bisection over the index by time. */
  positionAfter(untilMs: number): Position | null {
    let low = 1;
    let high = this.#lastSeq();
    let found: Position | null = null;
    while (low <= high) {
      const middle = Math.floor((low + high) / 2);
      const at = this.#arrivedAtMs(middle);
      if (at !== null && at > untilMs) {
        found = { seq: middle, index: 0 };
        high = middle - 1;
      } else {
        low = middle + 1;
      }
    }
    return found;
  }

  /** When the first arrival from `seq` on came. */
  #arrivedAtMs(seq: number): number | null {
    for (const period of this.#allPeriods()) {
      const [row] = this.#sql
        .exec<{ at: number }>(
          `SELECT at FROM arrivals_${period} WHERE seq >= ? ORDER BY seq LIMIT 1`,
          seq,
        )
        .toArray();
      if (row !== undefined) return row.at;
    }
    return null;
  }

  /** How many deliveries are pending: those that wait, and those that are fresh from `head` on. */
  countPending(head: Position): number {
    let count = 0;
    for (const period of this.#allPeriods()) {
      count += this.#sql
        .exec<{ n: number }>(
          `SELECT count(*) AS n FROM deliveries_${period} d INDEXED BY due_${period} WHERE due_at IS NOT NULL`,
        )
        .one().n;
    }
    for (const { period, seq, ids } of this.#arrivalsFrom(head.seq)) {
      const wanted = seq === head.seq ? ids.slice(head.index) : ids;
      for (const _ of this.#freshAmong(wanted, period, seq)) count += 1;
    }
    return count;
  }

  // --- retention --------------------------------------------------------------------------------------------

  /**
   * Pending deliveries that are kept since `beforeMs` or longer; at most `limit`.
   *
   * @param head where fresh deliveries begin.
   */
  pendingSince(beforeMs: number, head: Position, limit: number): StoredDelivery[] {
    const old: StoredDelivery[] = [];
    for (const period of this.#allPeriods().filter((start) => start <= beforeMs)) {
      const rows = this.#sql.exec<DeliveryRow>(
        `SELECT ${COLUMNS} FROM deliveries_${period} d INDEXED BY due_${period} WHERE due_at IS NOT NULL AND coalesce(kept_from, created_at) <= ? LIMIT ?`,
        beforeMs,
        limit,
      );
      for (const row of rows) old.push(deliveryOf(row, period));
    }
    for (const { body: _, ...delivery } of this.fresh(head, limit, Number.MAX_SAFE_INTEGER)
      .deliveries) {
      if (delivery.createdAtMs <= beforeMs) old.push(delivery);
    }
    return old.slice(0, limit);
  }

  /**
   * Since when the oldest pending delivery is kept; null when none is pending. Exact for deliveries of before
   * `exactBeforeMs`; for later ones a time that is not later.
   */
  oldestPendingMs(head: Position, exactBeforeMs: number): number | null {
    const times: number[] = [];
    const freshMs = this.freshSinceMs(head);
    if (freshMs !== null) times.push(freshMs);
    for (const period of this.#allPeriods()) {
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
   * Drops the tables of periods whose every row is past `RETENTION`. What is kept for longer, because it was
   * opened again or just expired, moves on first. Call it only while nothing is in flight.
   */
  dropOld(nowMs: number, retentionMs: number, head: Position): void {
    const length = periodLength(retentionMs);
    const periods = [...this.#allPeriods()];
    for (const [index, period] of periods.entries()) {
      const endMs = Math.min(periods[index + 1] ?? Number.POSITIVE_INFINITY, period + length);
      if (endMs + retentionMs > nowMs) continue;
      this.#moveOn(period, nowMs, { retentionMs, head });
      this.#sql.exec(`DROP TABLE deliveries_${period}`);
      this.#sql.exec(`DROP TABLE arrivals_${period}`);
      this.#periods = this.#allPeriods().filter((start) => start !== period);
    }
  }

  #moveOn(
    from: number,
    nowMs: number,
    { retentionMs, head }: { retentionMs: number; head: Position },
  ): void {
    const kept = this.#sql
      .exec<{ id: string }>(
        `SELECT id FROM deliveries_${from} INDEXED BY kept_${from} WHERE kept_from IS NOT NULL AND kept_from > ? ORDER BY seq, position`,
        nowMs - retentionMs,
      )
      .toArray();
    if (kept.length === 0) return;
    const to = this.#periodFor(nowMs, retentionMs);
    const seq = this.#takeSeq(head);
    const ids = kept.map(({ id }) => id);
    this.#sql.exec(
      `INSERT INTO arrivals_${to} (seq, at, ids) VALUES (?, ?, ?)`,
      seq,
      nowMs,
      JSON.stringify(ids),
    );
    for (const [position, id] of ids.entries()) {
      this.#sql.exec(
        `INSERT INTO deliveries_${to} SELECT id, ?, ?, event, status, created_at, kept_from, due_at, asked, attempts, failures, interruptions, completed_at, last_status_code, last_error, log, body FROM deliveries_${from} WHERE id = ?`,
        seq,
        position,
        id,
      );
    }
  }

  // --- periods ----------------------------------------------------------------------------------------------

  #allPeriods(): number[] {
    this.#periods ??= tableNames(this.#sql)
      .filter((name) => name.startsWith("deliveries_"))
      .map((name) => Number(name.slice("deliveries_".length)))
      .sort((a, b) => a - b);
    return this.#periods;
  }
}

function periodLength(retentionMs: number | null): number {
  return retentionMs === null
    ? DEFAULT_PERIOD_MS
    : Math.max(1_000, Math.ceil(retentionMs / PERIODS_PER_RETENTION));
}

/** Two lists by arrival, newest first, as one. */
function* merged(
  a: Iterator<StoredDelivery>,
  b: Iterator<StoredDelivery>,
): Generator<StoredDelivery> {
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

function byDue(a: StoredDelivery, b: StoredDelivery): number {
  return (a.dueAtMs ?? 0) - (b.dueAtMs ?? 0) || byArrival(a, b);
}

function byArrival(a: StoredDelivery, b: StoredDelivery): number {
  return a.position.seq - b.position.seq || a.position.index - b.position.index;
}

function dueOf(row: DeliveryRow & { body: ArrayBuffer }, period: number): DueDelivery {
  return { ...deliveryOf(row, period), body: new Uint8Array(row.body) };
}

function deliveryOf(row: DeliveryRow, period: number): StoredDelivery {
  return {
    id: row.id as EventId,
    period,
    position: { seq: row.seq, index: row.position },
    event: row.event,
    status: STATUSES[row.status] ?? "pending",
    createdAtMs: row.created_at,
    keptFromMs: row.kept_from,
    dueAtMs: row.due_at,
    asked: row.asked as Asked,
    attempts: row.attempts,
    failures: row.failures,
    interruptions: row.interruptions,
    completedAtMs: row.completed_at,
    lastStatusCode: row.last_status_code,
    lastError: row.last_error as DeliveryError | null,
    log: decodeLog(row.log),
  };
}
