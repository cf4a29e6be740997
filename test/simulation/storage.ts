/**
 * The storage of one object, with commit points. Writes show at once to the object itself; they are on disk only
 * when their batch is, in order. A crash takes the object back to what is on disk. Writes with no `await` between
 * them are one batch.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { Owner, Scheduler, Task } from "./scheduler";

type Binding = ArrayBuffer | Uint8Array | string | number | null;
type Statement = { sql: string; bindings: SQLInputValue[] };
type Batch = {
  statements: Statement[];
  alarmAtMs: number | null;
  open: boolean;
  /** Outgoing messages that wait for it. */
  held: { owner: Owner; release: () => void }[];
  task: Task | null;
};

/** https://developers.cloudflare.com/durable-objects/platform/limits/ */
const MAX_BINDINGS = 100;
const MAX_ROW_BYTES = 2_000_000;
const READS = /^\s*(select|explain|pragma|with(?![\s\S]*\b(insert|update|delete)\b))/i;
const DDL = /^\s*(create|drop|alter)\b/i;
const OF_DELIVERIES = /\bdeliveries_\d/;

/** What one turn came to: rows that the object got and their bytes, and rows that it changed. */
export type Turn = { step: number; rows: number; bytes: number; changed: number };

export type StorageHost = {
  scheduler: Scheduler;
  commitLatencyMs(): number;
  /** What is on disk has changed. */
  committed(): void;
  /** Why this statement fails; null when it does not. */
  refuses(sql: string): string | null;
};

/** One database with its prepared statements. */
class Database {
  #db = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, StatementSync>();

  prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  run({ sql, bindings }: Statement): number {
    return Number(this.prepare(sql).run(...bindings).changes);
  }

  copyFrom(other: Database): void {
    this.close();
    this.#db = new DatabaseSync(":memory:");
    this.#db.deserialize(other.#db.serialize());
  }

  exec(sql: string): void {
    this.#db.exec(sql);
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }
}

export class ObjectStorage {
  readonly #host: StorageHost;
  readonly #live = new Database();
  readonly #disk = new Database();
  #batches: Batch[] = [];
  alarmAtMs: number | null = null;
  alarmOnDiskAtMs: number | null = null;
  /** Within the handler the alarm that fired does not show, and goes when the handler is done. */
  alarmFiring = false;
  /** Grows with each write; tells who looks at it whether to look again. */
  writes = 0;
  commits = 0;
  /** The same for those of deliveries alone, as the object sees them and on disk. */
  readonly deliveryWrites = { live: 0, disk: 0 };
  tablesMade = 0;
  /** The last one in which the object asked for anything. */
  turn: Turn = { step: -1, rows: 0, bytes: 0, changed: 0 };

  constructor(host: StorageHost) {
    this.#host = host;
  }

  // --- for the simulation -----------------------------------------------------------------------------------

  /** Rows as the object itself sees them. */
  rows<Row>(sql: string, ...bindings: SQLInputValue[]): Row[] {
    return this.#live.prepare(sql).all(...bindings) as Row[];
  }

  /** Rows that a crash would leave. */
  rowsOnDisk<Row>(sql: string, ...bindings: SQLInputValue[]): Row[] {
    return this.#disk.prepare(sql).all(...bindings) as Row[];
  }

  /** Calls `release` as soon as everything written so far is on disk; never if `owner` is gone before. */
  whenOnDisk(owner: Owner, release: () => void): void {
    const last = this.#batches.at(-1);
    if (last === undefined) release();
    else last.held.push({ owner, release });
  }

  get databaseSize(): number {
    const [pages] = this.rows<{ page_count: number }>("PRAGMA page_count");
    return (pages?.page_count ?? 0) * 4_096;
  }

  get isOnDisk(): boolean {
    return this.#batches.length === 0;
  }

  crash(): void {
    for (const { task } of this.#batches) if (task !== null) this.#host.scheduler.cancel(task);
    if (this.#batches.length > 0) this.#live.copyFrom(this.#disk);
    this.#batches = [];
    this.alarmAtMs = this.alarmOnDiskAtMs;
    this.alarmFiring = false;
    this.writes += 1;
    this.deliveryWrites.live += 1;
  }

  close(): void {
    this.#live.close();
    this.#disk.close();
  }

  setAlarm(atMs: number | null): void {
    this.alarmAtMs = atMs;
    this.alarmFiring = false;
    this.#openBatch().alarmAtMs = atMs;
  }

  forgetTurn(): void {
    this.turn = { step: -1, rows: 0, bytes: 0, changed: 0 };
  }

  // --- for the object ---------------------------------------------------------------------------------------

  exec(sql: string, given: Binding[]): SqlStorageCursor<Record<string, SqlStorageValue>> {
    if (given.length > MAX_BINDINGS) throw new Error(`more than ${MAX_BINDINGS} bindings`);
    const bindings = given.map(bindable);
    if (READS.test(sql)) {
      const found = this.rows<object>(sql, ...bindings);
      this.#count(found, 0);
      return cursorOf(found, 0);
    }
    const refused = this.#host.refuses(sql);
    if (refused !== null) throw new Error(refused);
    if (DDL.test(sql)) this.tablesMade += /create\s+table/i.test(sql) ? 1 : 0;
    const statement = { sql, bindings };
    const rows = /\breturning\b/i.test(sql) ? this.rows<object>(sql, ...bindings) : [];
    const changes = rows.length > 0 ? rows.length : this.#live.run(statement);
    this.#count(rows, changes);
    if (changes > 0 || DDL.test(sql)) this.#openBatch().statements.push(statement);
    if (OF_DELIVERIES.test(sql)) this.deliveryWrites.live += 1;
    return cursorOf(rows, changes);
  }

  /** A turn is what happens in one step: nothing that came from outside is waited for in it. */
  #count(found: readonly object[], changed: number): void {
    const { steps: step } = this.#host.scheduler;
    if (this.turn.step !== step) this.turn = { step, rows: 0, bytes: 0, changed: 0 };
    this.turn.rows += found.length;
    this.turn.changed += changed;
    for (const row of found) this.turn.bytes += bytesOf(row as Record<string, unknown>);
  }

  transaction<T>(work: () => T): T {
    const last = this.#batches.at(-1);
    const kept = last?.open ? last.statements.length : 0;
    this.#live.exec("SAVEPOINT work");
    try {
      const value = work();
      this.#live.exec("RELEASE work");
      return value;
    } catch (thrown) {
      this.#live.exec("ROLLBACK TO work; RELEASE work");
      this.deliveryWrites.live += 1;
      const open = this.#batches.at(-1);
      if (open?.open) open.statements.length = Math.min(kept, open.statements.length);
      throw thrown;
    }
  }

  deleteAll(): void {
    const tables = this.rows<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    );
    for (const { name } of tables) this.exec(`DROP TABLE "${name}"`, []);
    this.setAlarm(null);
  }

  // --- commits ----------------------------------------------------------------------------------------------

  #openBatch(): Batch {
    this.writes += 1;
    const last = this.#batches.at(-1);
    if (last?.open) return last;
    const alarmAtMs = last === undefined ? this.alarmOnDiskAtMs : last.alarmAtMs;
    const batch: Batch = { statements: [], alarmAtMs, open: true, held: [], task: null };
    this.#batches.push(batch);
    queueMicrotask(() => this.#close(batch));
    return batch;
  }

  #close(batch: Batch): void {
    batch.open = false;
    if (this.#batches[0] === batch) this.#send(batch);
  }

  #send(batch: Batch): void {
    const { scheduler, commitLatencyMs } = this.#host;
    batch.task = scheduler.after(commitLatencyMs(), scheduler.platform, "commit", () => {
      this.#commit(batch);
    });
  }

  #commit(batch: Batch): void {
    for (const statement of batch.statements) {
      this.#disk.run(statement);
      if (OF_DELIVERIES.test(statement.sql)) this.deliveryWrites.disk += 1;
    }
    this.alarmOnDiskAtMs = batch.alarmAtMs;
    this.#batches.shift();
    this.commits += 1;
    this.#host.committed();
    for (const { owner, release } of batch.held) if (owner.alive) release();
    const [next] = this.#batches;
    if (next !== undefined && !next.open) this.#send(next);
  }
}

/** workerd takes no booleans, and no undefined. */
function bindable(value: Binding): SQLInputValue {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  if (value instanceof Uint8Array) {
    if (value.byteLength > MAX_ROW_BYTES) throw new Error("string or blob too big: SQLITE_TOOBIG");
    return value.slice();
  }
  throw new TypeError(`cannot bind ${typeof value}`);
}

function cursorOf(
  found: readonly object[],
  rowsWritten: number,
): SqlStorageCursor<Record<string, SqlStorageValue>> {
  const rows = found.map(readable);
  const iterator = rows[Symbol.iterator]();
  const cursor = {
    next: () => iterator.next(),
    toArray: () => [...iterator],
    one: () => {
      const [row] = rows;
      if (row === undefined || rows.length > 1) throw new Error(`${rows.length} rows, not one`);
      return row;
    },
    raw: () => rows.map((row) => Object.values(row))[Symbol.iterator](),
    columnNames: Object.keys(rows[0] ?? {}),
    rowsRead: rows.length,
    rowsWritten,
    [Symbol.iterator]: () => iterator,
  };
  return cursor as unknown as SqlStorageCursor<Record<string, SqlStorageValue>>;
}

function bytesOf(row: Record<string, unknown>): number {
  let bytes = 0;
  for (const name in row) {
    const value = row[name];
    if (typeof value === "string") bytes += value.length;
    else if (value instanceof Uint8Array) bytes += value.byteLength;
  }
  return bytes;
}

/** BLOBs come as ArrayBuffers in workerd. */
function readable(row: object): Record<string, SqlStorageValue> {
  const values = row as Record<string, SqlStorageValue | Uint8Array>;
  for (const name in values) {
    const value = values[name];
    if (value instanceof Uint8Array) values[name] = value.slice().buffer;
  }
  return values as Record<string, SqlStorageValue>;
}
