/** The steps from one version of stored data to the next, on the databases that 0.1.0 wrote. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { type Kind, openTables, STEPS, VERSION } from "../../src/storage/schema.ts";
import { databasesIn } from "./pack.ts";
import { releaseDirectory, releasedState } from "./released.ts";

const KINDS: Record<string, Kind> = {
  Registry: "registry",
  Subscriber: "subscriber",
  Journal: "journal",
  DeadLetters: "dead-letters",
};

/** Every object of the fixture, as 0.1.0 left it. */
function objects(): { kind: Kind; database: DatabaseSync }[] {
  const state = releasedState("0.1.0");
  return databasesIn(`${state.directory}/do`).flatMap((path) => {
    const [, className = ""] = /leadterra-relay-(\w+)\//.exec(path) ?? [];
    const kind = KINDS[className];
    if (kind === undefined || path.endsWith("metadata.sqlite")) return [];
    return [{ kind, database: new DatabaseSync(path) }];
  });
}

/** What an object is given as its storage; statement number `failsAt` of its life throws. */
function storageOf(
  database: DatabaseSync,
  failsAt = Number.POSITIVE_INFINITY,
): DurableObjectStorage {
  let statements = 0;
  const exec = (sql: string, ...bindings: SQLInputValue[]) => {
    if (/^\s*(CREATE|INSERT|ALTER|DROP|UPDATE|DELETE)/i.test(sql) && ++statements === failsAt) {
      throw new Error("the process died");
    }
    const rows = database.prepare(sql).all(...bindings);
    return { toArray: () => rows };
  };
  const transactionSync = (work: () => void) => {
    database.exec("BEGIN");
    try {
      work();
      database.exec("COMMIT");
    } catch (thrown) {
      database.exec("ROLLBACK");
      throw thrown;
    }
  };
  return { sql: { exec }, transactionSync } as unknown as DurableObjectStorage;
}

type Row = { name: string; sql: string | null };

/** Its tables and indexes, with periods left out. */
function shapeOf(database: DatabaseSync): string[] {
  const rows = database
    .prepare(
      "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\' AND sql NOT NULL",
    )
    .all() as Row[];
  return [...new Set(rows.map(({ sql }) => String(sql).replaceAll(/_\d{10,}/g, "_T")))].sort();
}

function contentOf(database: DatabaseSync): string {
  const rows = database.prepare(
    "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
  );
  const tables = (rows.all() as Row[]).filter(({ name }) => !name.startsWith("_cf"));
  return JSON.stringify(
    tables.map(({ name }) => [name, database.prepare(`SELECT * FROM "${name}"`).all()]),
    (_, value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value),
  );
}

type Version = {
  /** Hash of the statements of the step to it, also of those that leave no trace in a shape. */
  step: string;
  /** Hash of the tables and indexes that it leads to. */
  shape: string;
  /** The release that closes the step; null where it was released. */
  openUntil: string | null;
};

/** An entry of a released version never changes; that of an open one does with its step. */
const VERSIONS: Record<number, Version> = {
  2: {
    step: "9e7fab7670eafbe6cc6e01e55a866e121724b6a29930a95a726a3738436de449",
    shape: "5fa766a5ac79befca19f364060ebadde39f10164d5bb12baa9ecfea41c5cdce2",
    openUntil: null,
  },
};

/** Of what can be written as JSON. */
function hashOf(value: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify(value, null, 1))
    .digest("hex");
}

describe("a step", () => {
  it.each(STEPS.map((step, index) => ({ version: index + 2, step })))(
    "to version $version says what it said",
    ({ version, step }) => {
      expect(hashOf(step), JSON.stringify(step, null, 1)).toBe(VERSIONS[version]?.step);
    },
  );

  it("is never taken out", () => {
    expect(STEPS).toHaveLength(Object.keys(VERSIONS).length);
  });

  it("is open no longer than until its release, whose fixture is made of it", () => {
    const open = Object.values(VERSIONS).flatMap(({ openUntil }) => openUntil ?? []);
    expect(open.filter((release) => existsSync(releaseDirectory(release)))).toEqual([]);
  });
});

describe("the objects of 0.1.0", () => {
  it("are there in every kind, and have no version", () => {
    const all = objects();
    expect(new Set(all.map(({ kind }) => kind))).toEqual(new Set(Object.values(KINDS)));
    expect(all.length).toBeGreaterThan(12);
    for (const { database } of all) expect(shapeOf(database).join()).not.toContain("version (id");
  });

  it("have this version and this shape when they were opened", () => {
    const shapes: Record<string, string[]> = {};
    for (const { kind, database } of objects()) {
      expect(openTables(storageOf(database), kind).newerVersion).toBeNull();
      const names = shapeOf(database);
      // Empty, or of a deleted webhook, whose one row is the same in every version.
      if (names.length <= 1) continue;
      expect(database.prepare("SELECT number FROM version").all()).toEqual([{ number: VERSION }]);
      shapes[kind] = [...new Set([...(shapes[kind] ?? []), ...names])].sort();
    }
    expect(hashOf(shapes), JSON.stringify(shapes, null, 1)).toBe(VERSIONS[VERSION]?.shape);
  });

  it("are left as they were by a step that dies half-way, and taken further by the next start", () => {
    let died = 0;
    for (const { kind, database } of objects()) {
      const before = contentOf(database);
      for (let failsAt = 1; ; failsAt++) {
        try {
          openTables(storageOf(database, failsAt), kind);
          break;
        } catch {
          died += 1;
          expect(contentOf(database)).toBe(before);
        }
      }
      const after = contentOf(database);
      openTables(storageOf(database), kind);
      expect(contentOf(database)).toBe(after);
    }
    expect(died).toBeGreaterThan(12);
  });
});
