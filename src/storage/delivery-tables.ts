/**
 * The tables of a Subscriber, and how their rows are read. Reading creates nothing: a table is made by the first write that needs it.
 *
 * | table | key | what | lifetime | growth |
 * |---|---|---|---|---|
 * | `settings` | 1 | the webhook as the Registry pushed it; of a deleted one only the version | the object's | 1 row |
 * | `run` | 1 | lease, first fresh position, health, rate, the running hour | the object's | 1 row |
 * | `hours` | hour | counters of a finished hour | 31 days | 24 rows a day |
 * | `deliveries_T` | event id | one row per delivery, from accept to the end of `RETENTION` | dropped whole | 1 row a delivery |
 * | `arrivals_T` | seq | the ids of one accept in order, and how many deliveries had ever arrived with it: the index by time, and the queue of fresh deliveries; `leased` 1 where they were leased as they were stored | with it | 1 row an accept |
 * | `attempts_T` | seq | attempts that do not stand where their delivery arrived (`attempt-list.ts`), those that were recorded together | with it | 1 row such a group |
 *
 * `T` is the first millisecond of a period, a sixth of `RETENTION`. A delivery lives in the period of its first
 * arrival, so its id is looked for in all of them before it is inserted. A row is written once on accept and once
 * per attempt; a lease, one write for up to a hundred attempts, carries everything else. What can start as it arrives
 * needs none: its arrival is the lease.
 *
 * A delivery that was never attempted is *fresh*: pending without `due_at`, found through `arrivals_T` from the
 * head on. `due_at` (and with it a place in the partial indexes) is for what waits for another attempt.
 */
import {
  type AttemptRecord,
  DELIVERY_STATUSES,
  type DeliveryStatus,
  type Progress,
} from "../domain/delivery";
import type { EventId } from "../domain/ids";
import { END, type Position } from "./position";
import { type AttemptKey, attemptKeysOf, attemptsOf, eventIdsOf } from "./stored-json";
import type { Row, Tables } from "./tables";

const PERIODS_PER_RETENTION = 6;
/** Most who ask want the first arrivals only; whoever reads on gets twice as many each time, up to the most. */
const FIRST_ARRIVALS = 10;
const MAX_ARRIVALS_AT_ONCE = 160;
/** A retention that does not parse stops deletion; a table then takes what arrives in 5 days. */
const DEFAULT_PERIOD_MS = 5 * 86_400_000;

export function statusNumber(status: DeliveryStatus): number {
  return DELIVERY_STATUSES.indexOf(status);
}

const PENDING = statusNumber("pending");
export const UNDELIVERABLE = statusNumber("undeliverable");

/** Who asked for the next attempt: the schedule, a replay, or a person for this one delivery. */
export const ASKED = { bySchedule: 0, byReplay: 1, byRetry: 2 } as const;
export type Asked = (typeof ASKED)[keyof typeof ASKED];

export type ListedDelivery = Progress & {
  id: EventId;
  /** The period whose table holds it. */
  period: number;
  position: Position;
  event: string;
  createdAtMs: number;
  /**
   * `RETENTION` counts from here, when it was opened again, expired or backfilled, or came on a later day than its event,
   * whose Journal goes before it, or without a Journal that has its event; null for from `createdAtMs`.
   */
  keptFromMs: number | null;
  asked: Asked;
};

/** A delivery with its attempts: nobody reads them but for one delivery at a time. */
export type StoredDelivery = ListedDelivery & { log: AttemptRecord[] };

export type DueDelivery = StoredDelivery & { body: Uint8Array };

export const FRESH = {
  status: "pending",
  dueAtMs: null,
  attempts: 0,
  failures: 0,
  interruptions: 0,
  completedAtMs: null,
  lastStatusCode: null,
  lastError: null,
  log: [],
} satisfies Partial<DueDelivery>;

/** The ids of one accept, in order, and when it came. */
export type ArrivalIds = { period: number; seq: number; atMs: number; ids: string[] };

type ArrivalRow = { seq: number; at: number; ids: string };

/** What the run knows of deliveries whose tables may be gone: where fresh ones begin, and how many have ended. */
export type Behind = { head: Position; ended: number };

/** An arrival that is to be stored; `added` of its deliveries are new, the others moved here. */
type NewArrival = {
  period: number;
  atMs: number;
  ids: readonly string[];
  added: number;
  /** They may leave when this is on disk. Only where `canLease`. */
  isLeased?: boolean;
  /** Behind all others unless it is given. */
  seq?: number;
};

/** `receivedAtMs`: when its event came, in Unix milliseconds; 0 where no Journal has it. Release 0.1.0 does not say it. */
export type Arrival = { id: EventId; event: string; body: Uint8Array; receivedAtMs?: number };

/** What is to be opened again. `body` null for a delivery that is believed to be pending. */
export type Reopening = { id: EventId; event: string; body: Uint8Array | null };

export type DeliveryRow = Omit<ListedDelivery, "period" | "position" | "status"> &
  Position & { status: number };

/** All but attempts and body, of a table called `d`. */
export const COLUMNS =
  'd.id, seq, position AS "index", event, status, created_at AS "createdAtMs", kept_from AS "keptFromMs", due_at AS "dueAtMs", asked, attempts, failures, interruptions, completed_at AS "completedAtMs", last_status_code AS "lastStatusCode", last_error AS "lastError"';

export class DeliveryTables {
  readonly sql: SqlStorage;
  readonly #tables: Tables;
  /** First milliseconds of the periods that have tables, oldest first; null until it was read. */
  #periods: readonly number[] | null = null;
  /** Of the newest arrival; null until it was read. */
  #newest: { seq: number; total: number } | null = null;
  /** The newest `seq` of `attempts_T`; null until it was read. */
  #lastAttempts: number | null = null;
  /** By period, as far as it was asked. */
  readonly #canLease = new Map<number, boolean>();

  constructor(tables: Tables) {
    this.sql = tables.sql;
    this.#tables = tables;
  }

  /** What a query finds in tables of periods that there are. */
  rows<Found extends Row>(query: string, ...bindings: SqlStorageValue[]): Found[] {
    return this.sql.exec<Found>(query, ...bindings).toArray();
  }

  first<Found extends Row>(query: string, ...bindings: SqlStorageValue[]): Found | null {
    return this.rows<Found>(query, ...bindings)[0] ?? null;
  }

  /** Writes all of it or, when it throws, nothing; makes no table of a period. */
  atomically(write: () => void): void {
    try {
      this.#tables.atomically(write);
    } catch (thrown) {
      this.#newest = null;
      this.#lastAttempts = null;
      throw thrown;
    }
  }

  /** Oldest first. */
  get periods(): readonly number[] {
    this.#periods ??= this.#tables.names
      .filter((name) => name.startsWith("deliveries_"))
      .map((name) => Number(name.slice("deliveries_".length)))
      .sort((a, b) => a - b);
    return this.#periods;
  }

  get periodsNewestFirst(): number[] {
    return [...this.periods].reverse();
  }

  /** The period that takes what arrives now; made if need be. */
  periodFor(nowMs: number, retentionMs: number | null): number {
    const length = periodLength(retentionMs);
    const start = Math.floor(nowMs / length) * length;
    const newest = this.periods.at(-1);
    // A clock that stepped back, or a longer RETENTION, may put `start` before the newest table: stay in that.
    if (newest !== undefined && newest >= start) return newest;
    this.#createPeriod(start);
    this.#periods = [...this.periods, start];
    return start;
  }

  #createPeriod(start: number): void {
    this.#tables.make(
      `arrivals_${start}`,
      `CREATE TABLE arrivals_${start} (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, total INTEGER NOT NULL, ids TEXT NOT NULL, leased INTEGER)`,
    );
    this.#tables.make(
      `attempts_${start}`,
      `CREATE TABLE attempts_${start} (seq INTEGER PRIMARY KEY, attempts TEXT NOT NULL)`,
    );
    this.#tables.make(
      `deliveries_${start}`,
      `CREATE TABLE deliveries_${start} (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, position INTEGER NOT NULL, event TEXT NOT NULL, status INTEGER NOT NULL, created_at INTEGER NOT NULL, kept_from INTEGER, due_at INTEGER, asked INTEGER NOT NULL, attempts INTEGER NOT NULL, failures INTEGER NOT NULL, interruptions INTEGER NOT NULL, completed_at INTEGER, last_status_code INTEGER, last_error TEXT, log TEXT, body BLOB) WITHOUT ROWID`,
      `CREATE INDEX due_${start} ON deliveries_${start} (due_at) WHERE due_at IS NOT NULL`,
      `CREATE INDEX waiting_${start} ON deliveries_${start} (seq, position) WHERE due_at IS NOT NULL`,
      `CREATE INDEX retry_${start} ON deliveries_${start} (due_at) WHERE asked = ${ASKED.byRetry}`,
      `CREATE INDEX undeliverable_${start} ON deliveries_${start} (seq, position) WHERE status = ${UNDELIVERABLE}`,
      `CREATE INDEX kept_${start} ON deliveries_${start} (kept_from) WHERE kept_from IS NOT NULL`,
    );
  }

  /**
   * Stores an arrival.
   *
   * @param behind what arrives is behind this, even when every older table is gone.
   * @returns its `seq`.
   */
  insertArrival({ period, atMs, ids, added, ...given }: NewArrival, behind: Behind): number {
    const seq = given.seq ?? this.nextSeq(behind);
    const total = this.arrived(behind.ended) + added;
    const [column, value] = given.isLeased === true ? [", leased", ", 1"] : ["", ""];
    const insert = `INSERT INTO arrivals_${period} (seq, at, total, ids${column}) VALUES (?, ?, ?, ?${value})`;
    this.sql.exec(insert, seq, atMs, total, JSON.stringify(ids));
    if (seq > this.lastSeq()) this.#newest = { seq, total };
    return seq;
  }

  /** Whether the period's arrivals can say that they are leased: 0.1.0's cannot. */
  canLease(period: number): boolean {
    const known = this.#canLease.get(period);
    const can = known ?? this.#tables.hasColumn(`arrivals_${period}`, "leased");
    this.#canLease.set(period, can);
    return can;
  }

  /** Of the `count` arrivals behind `seq` those that were stored as leased, oldest first. */
  *arrivedLeased(seq: number, count: number): Generator<ArrivalIds> {
    for (const period of this.periods) {
      // All columns: a table of 0.1.0 has no `leased`, and to ask each whether it has would be another query.
      const query = `SELECT * FROM arrivals_${period} WHERE seq > ? AND seq <= ? ORDER BY seq`;
      const rows = this.rows<ArrivalRow & { leased?: number | null }>(query, seq, seq + count);
      for (const row of rows) if (row.leased === 1) yield arrivalOf(row, period);
    }
  }

  /** Behind everything that ever arrived. */
  nextSeq({ head }: Behind): number {
    return Math.max(this.lastSeq(), head.seq) + 1;
  }

  lastSeq(): number {
    return this.#newestArrival()?.seq ?? 0;
  }

  /** How many deliveries ever arrived. Where no table tells it any more, all of them have ended. */
  arrived(ended: number): number {
    return this.#newestArrival()?.total ?? ended;
  }

  #newestArrival(): { seq: number; total: number } | null {
    for (const period of this.#newest === null ? this.periodsNewestFirst : []) {
      const query = `SELECT seq, total FROM arrivals_${period} ORDER BY seq DESC LIMIT 1`;
      const row = this.first<{ seq: number; total: number }>(query);
      if (row !== null && row.seq > (this.#newest?.seq ?? 0)) this.#newest = row;
    }
    return this.#newest;
  }

  drop(period: number): void {
    // One of them alone would be looked for where the other is.
    this.#tables.atomically(() => {
      this.#tables.drop(`deliveries_${period}`);
      this.#tables.drop(`arrivals_${period}`);
      // A release that does not know them drops a period without them.
      this.dropAttempts(period);
    });
    this.#periods = this.periods.filter((start) => start !== period);
  }

  /** Those of periods up to this one: their attempts stand where their delivery arrived, from then on. */
  dropAttempts(period: number): void {
    for (const name of this.#tables.names) {
      const [, start] = name.split("attempts_");
      if (start !== undefined && Number(start) <= period) this.#tables.drop(name);
    }
  }

  /** Arrivals down from `seq`, newest first. Read in chunks: an open cursor would stand in the way of a DROP TABLE. */
  *arrivalsDownFrom(seq: number): Generator<ArrivalIds> {
    let limit = FIRST_ARRIVALS;
    for (const period of this.periodsNewestFirst) {
      const query = `SELECT seq, at, ids FROM arrivals_${period} WHERE seq <= ? ORDER BY seq DESC LIMIT ?`;
      for (let next: number | null = seq; next !== null; ) {
        const rows: ArrivalRow[] = this.rows(query, next, limit);
        for (const row of rows) yield arrivalOf(row, period);
        const last = rows.at(-1);
        next = last === undefined || rows.length < limit ? null : last.seq - 1;
        limit = Math.min(limit * 2, MAX_ARRIVALS_AT_ONCE);
      }
    }
  }

  arrival(period: number, seq: number): ArrivalIds | null {
    const query = `SELECT seq, at, ids FROM arrivals_${period} WHERE seq = ?`;
    const row = this.first<ArrivalRow>(query, seq);
    return row && arrivalOf(row, period);
  }

  /** Whether the period keeps `attempts_T`: those that 0.2.0 made do not. */
  listsAttempts(period: number): boolean {
    return this.#tables.has(`attempts_${period}`);
  }

  /** Writes down attempts that were recorded together. */
  insertAttempts(attempts: readonly AttemptKey[]): void {
    const period = this.periods.at(-1);
    if (period === undefined || !this.listsAttempts(period)) return;
    const [last] = this.#lastAttempts === null ? this.attemptsDownFrom(END.seq) : [];
    const seq = (this.#lastAttempts ?? last?.seq ?? 0) + 1;
    const keys = attempts.map(({ id, number, startedAtMs }) => [id, number, startedAtMs]);
    const insert = `INSERT INTO attempts_${period} (seq, attempts) VALUES (?, ?)`;
    this.sql.exec(insert, seq, JSON.stringify(keys));
    this.#lastAttempts = seq;
  }

  /** What `insertAttempts` wrote, down from `seq`, newest first. */
  *attemptsDownFrom(seq: number): Generator<{ seq: number; attempts: AttemptKey[] }> {
    for (const period of this.periodsNewestFirst.filter((each) => this.listsAttempts(each))) {
      const query = `SELECT seq, attempts FROM attempts_${period} WHERE seq <= ? ORDER BY seq DESC LIMIT ${FIRST_ARRIVALS}`;
      for (let next: number | null = seq; next !== null; ) {
        const rows: { seq: number; attempts: string }[] = this.rows(query, next);
        for (const row of rows) yield { seq: row.seq, attempts: attemptKeysOf(row.attempts) };
        const last = rows.at(-1);
        next = last === undefined || rows.length < FIRST_ARRIVALS ? null : last.seq - 1;
      }
    }
  }

  /** Behind all that has arrived. */
  end(): Position {
    const seq = this.lastSeq();
    for (const period of this.periodsNewestFirst) {
      const last = this.arrival(period, seq);
      if (last !== null) return { seq, index: last.ids.length };
    }
    return { seq, index: 0 };
  }
}

/**
 * FROM and WHERE of the fresh deliveries from `head` on, called `d`, in the order of arrival: what is not fresh any more,
 * be it a million, is passed within SQLite.
 */
export function freshFrom({ seq, index }: Position, period: number) {
  // CROSS JOIN keeps arrivals outside, and the list within each: rows come in their order.
  const rows = `FROM arrivals_${period} a CROSS JOIN json_each(a.ids) j CROSS JOIN deliveries_${period} d ON d.id = j.value WHERE a.seq >= ? AND (a.seq > ? OR j.key >= ?) AND d.seq = a.seq AND status = ${PENDING} AND due_at IS NULL`;
  return { rows, bindings: [seq, seq, index] };
}

function periodLength(retentionMs: number | null): number {
  return retentionMs === null
    ? DEFAULT_PERIOD_MS
    : Math.max(1_000, Math.ceil(retentionMs / PERIODS_PER_RETENTION));
}

function arrivalOf({ seq, at, ids }: ArrivalRow, period: number): ArrivalIds {
  return { period, seq, atMs: at, ids: eventIdsOf(ids) };
}

export type LoggedRow = DeliveryRow & { log: string | null };

export function loggedOf(row: LoggedRow, period: number): StoredDelivery {
  return { ...deliveryOf(row, period), log: attemptsOf(row.log) };
}

export function deliveryOf(
  { seq, index, status, ...row }: DeliveryRow,
  period: number,
): ListedDelivery {
  const named = DELIVERY_STATUSES[status] ?? "pending";
  return { ...row, period, position: { seq, index }, status: named };
}
