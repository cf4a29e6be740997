/**
 * The version of what an object stores, and the steps from one version to the next.
 *
 * Every object keeps one row with its version (`version`, key 1, the object's lifetime). Release 0.1.0 is version 1:
 * tables, and no such row. An object without tables has no version: its first table is made in the newest shape.
 *
 * A step is a list of statements, each of which runs where there is the table that it is about. All of a step and
 * its number are one transaction, and none of it takes longer the more rows there are: tables of a period or a day
 * take a new shape in new periods and days, and readers know both.
 *
 * **A step that was released never changes, and none is ever taken out.** Version 2 is closed: 0.2.0 is released with it.
 */
import { readVersion, Tables, tableNames, writeVersion } from "./tables";

export type Kind = "registry" | "subscriber" | "journal" | "dead-letters" | "lane";

/** `sql` runs only where there is the table `of`. */
export type Change = { of: string; sql: string };

/** From version n + 1 to version n + 2, for each kind of object. */
export const STEPS: readonly Readonly<Record<Kind, readonly Change[]>>[] = [
  {
    registry: [],
    subscriber: [],
    journal: [
      { of: "batches", sql: "ALTER TABLE batches ADD COLUMN after INTEGER" },
      { of: "batches", sql: "ALTER TABLE batches ADD COLUMN totals TEXT" },
      { of: "events", sql: "ALTER TABLE events ADD COLUMN key TEXT" },
    ],
    "dead-letters": [],
    lane: [],
  },
];

const FIRST_VERSION = 1;
export const VERSION = FIRST_VERSION + STEPS.length;

/**
 * Tables with one row that is the same in every version: an object that has nothing else needs no step. So a deleted
 * Subscriber keeps one row and no second.
 */
const TIMELESS: ReadonlySet<string> = new Set(["settings"]);

/** Brings an object's data to this version. Call it in the constructor, before anything reads. */
export function openTables(storage: DurableObjectStorage, kind: Kind) {
  const { sql } = storage;
  const names = tableNames(sql);
  const isBare = names.every((name) => TIMELESS.has(name));
  const version = isBare ? VERSION : (readVersion(sql, names) ?? FIRST_VERSION);
  for (let from = version; from < VERSION; from++) {
    storage.transactionSync(() => {
      for (const { of, sql: change } of STEPS[from - FIRST_VERSION]?.[kind] ?? []) {
        if (names.includes(of)) sql.exec(change);
      }
      writeVersion(sql, from + 1);
    });
  }
  return {
    tables: new Tables(storage, VERSION),
    /** The version of the data where it is newer than this code, which must then neither read nor write it; else null. */
    newerVersion: version > VERSION ? version : null,
    /** The version before, where steps were taken just now; else null. */
    steppedFrom: version < VERSION ? version : null,
  };
}
