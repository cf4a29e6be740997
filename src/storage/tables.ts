/**
 * The tables of one object. Reading makes none: a table is made by the first write that needs it, and the row with
 * the version of the object's data (`schema.ts`) with the first of them.
 */

const VERSION_TABLE = "version";

export type Row = Record<string, SqlStorageValue>;
/** The statement that makes a table, and those that make its indexes. */
type Create = readonly [table: string, ...indexes: string[]];

export class Tables {
  readonly sql: SqlStorage;
  readonly #storage: DurableObjectStorage;
  readonly #version: number;
  /** What `sqlite_master` knows, read once: nobody else makes or drops tables. */
  #names: Set<string>;

  /** @param version written down with the first table. */
  constructor(storage: DurableObjectStorage, version: number) {
    this.sql = storage.sql;
    this.#storage = storage;
    this.#version = version;
    this.#names = new Set(tableNames(this.sql));
  }

  get names(): string[] {
    return [...this.#names];
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** What a query finds; nothing where its table was not made yet. */
  rows<Found extends Row>(table: string, query: string, ...bindings: SqlStorageValue[]): Found[] {
    return this.has(table) ? this.sql.exec<Found>(query, ...bindings).toArray() : [];
  }

  first<Found extends Row>(table: string, query: string, ...bindings: SqlStorageValue[]) {
    return this.rows<Found>(table, query, ...bindings)[0] ?? null;
  }

  /** Writes a row, by the names of its columns, in place of the one with its key. @param create as for `make`. */
  put(table: string, row: Record<string, SqlStorageValue | Uint8Array>, ...create: Create): void {
    this.make(table, ...create);
    const columns = Object.keys(row);
    const places = columns.map(() => "?").join(", ");
    this.sql.exec(
      `INSERT OR REPLACE INTO ${table} (${columns.join(", ")}) VALUES (${places})`,
      ...Object.values(row),
    );
  }

  /** Makes a table, with its indexes, unless it is there; whole or not at all. */
  make(name: string, ...statements: Create): void {
    if (this.#names.has(name)) return;
    // Without the indexes by which it is read it would be in the way of the next try.
    this.atomically(() => {
      if (!this.#names.has(VERSION_TABLE)) writeVersion(this.sql, this.#version);
      for (const statement of statements) this.sql.exec(statement);
    });
    this.#names.add(VERSION_TABLE);
    this.#names.add(name);
  }

  /** Writes all of it or, when it throws, nothing. What is made first in it may be gone with it. */
  atomically(write: () => void): void {
    try {
      this.#storage.transactionSync(write);
    } catch (thrown) {
      this.#names = new Set(tableNames(this.sql));
      throw thrown;
    }
  }

  /** Whether a table has a column: tables of a period take a new one in new periods only. */
  hasColumn(table: string, column: string): boolean {
    const query = `PRAGMA table_info("${table}")`;
    return this.rows<{ name: string }>(table, query).some(({ name }) => name === column);
  }

  hasIndexes(table: string): boolean {
    // A key that is no row number has an index of SQLite's own ("pk"); those that were made are "c".
    const query = `PRAGMA index_list("${table}")`;
    return this.rows<{ origin: string }>(table, query).some(({ origin }) => origin === "c");
  }

  drop(name: string): void {
    this.sql.exec(`DROP TABLE "${name}"`);
    this.#names.delete(name);
  }
}

/** What holds the SQL of one kind of an object's data. */
export abstract class Store {
  protected readonly tables: Tables;

  constructor(tables: Tables) {
    this.tables = tables;
  }
}

/** The object's own tables, without those of SQLite, of the platform and of the local runtime. */
export function tableNames(sql: SqlStorage): string[] {
  return sql
    .exec<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_\\_miniflare\\_%' ESCAPE '\\'",
    )
    .toArray()
    .map(({ name }) => name);
}

/** null where no version is written down. */
export function readVersion(sql: SqlStorage, names: readonly string[]): number | null {
  if (!names.includes(VERSION_TABLE)) return null;
  const [row] = sql.exec<{ number: number }>(`SELECT number FROM ${VERSION_TABLE}`).toArray();
  return row?.number ?? null;
}

export function writeVersion(sql: SqlStorage, number: number): void {
  sql.exec(
    `CREATE TABLE IF NOT EXISTS ${VERSION_TABLE} (id INTEGER PRIMARY KEY, number INTEGER NOT NULL)`,
  );
  sql.exec(`INSERT OR REPLACE INTO ${VERSION_TABLE} (id, number) VALUES (1, ?)`, number);
}
