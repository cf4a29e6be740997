/**
 * The single rows of a Subscriber: what the Registry pushed, where the pump stands, and what an hour came to.
 * (The head of `delivery-tables.ts` lists all tables of the object.)
 */
import type { HourCounters } from "../domain/counters";
import type { Trigger } from "../domain/delivery";
import type { Health } from "../domain/health";
import type { EventId } from "../domain/ids";
import type { Happening } from "../domain/relay-events";
import type { Totals } from "../domain/totals";
import type { Webhook } from "../domain/webhook";
import type { Moving } from "./delivery-retention";
import type { Place, Position } from "./delivery-tables";
import { hourOf, jsonOfRun, runOf, webhookOf } from "./stored-json";
import type { Tables } from "./tables";

/** An attempt that may have left: on disk before the request is made. */
export type LeasedAttempt = {
  id: EventId;
  number: number;
  trigger: Trigger;
  /** The arrival position of a fresh delivery; null for one that waited. */
  fresh: Position | null;
};

/**
 * Attempts in the order of their start. No more than `window` of them are ever without a recorded outcome and
 * started, so of those without one only the first `window` may have left.
 */
export type Lease = { window: number; attempts: LeasedAttempt[] };

/**
 * Attempts that a Lane was given to make. What it knows of them is in its memory only; it has no more than its window
 * of them without an outcome on disk, as a lease.
 */
export type Share = {
  id: string;
  /** Which Lane of the webhook. */
  lane: number;
  /** How many it may have in flight. */
  slots: number;
  /** None of it starts later than this, Unix milliseconds. */
  lastStartAtMs: number;
  /** When nothing of it can be in flight any more, Unix milliseconds. */
  closesAtMs: number;
  /** Of the webhook's URL that it goes to. */
  urlVersion: number;
};
export type StoredShare = Share & { attempts: LeasedAttempt[] };

export const NO_LEASE: Lease = { window: 0, attempts: [] };

export type Run = {
  lease: Lease;
  shares: StoredShare[];
  /** The first position that may hold a fresh delivery. */
  head: Position;
  health: Health;
  /** The earliest start of the next attempt under a rate limit, Unix milliseconds. */
  nextStartAtMs: number;
  /** The running hour, without what came of the attempts in `lease` and `shares`: those count by their own rows. */
  hour: HourCounters;
  /**
   * How many deliveries have ended and were not opened again, as far as `hour` knows. With the number of those that
   * ever arrived it tells how many are pending, so that nobody has to count them.
   */
  ended: number;
  /** What ever happened, counted as `hour` is. */
  totals: Totals;
  /** How many deliveries are undeliverable, by the period that holds them, as far as they are counted. */
  undeliverable: Record<string, number>;
  /** Up to where they are; null when all of them are. */
  undeliverableTo: Place | null;
  /** What retention is in the middle of. */
  moving: Moving | null;
  /** Since when a `listener:` has no connection; null while it has one, and of every other webhook. */
  unconnectedSinceMs: number | null;
  /** What happened and is to be told of; and what the Registry is being told, until it has answered. */
  happenings: Happening[];
  told: Happening[];
  /** How often this row was saved, by any release. */
  saved: number;
  /**
   * The save up to which `ended` counts. A release that knows another way to count keeps this field as it finds it,
   * and moves `saved` on: what was counted is then counted anew.
   */
  endedAsOf: number;
};

/** A webhook as pushed; of a deleted one only the version. */
export type Settings = Webhook | { deletedVersion: number };

export class RunStore {
  readonly #sql: SqlStorage;
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#sql = tables.sql;
    this.#tables = tables;
  }

  /** null when nothing was pushed yet. */
  settings(): Settings | null {
    if (!this.#tables.has("settings")) return null;
    const [row] = this.#sql
      .exec<{ version: number; webhook: string | null }>("SELECT version, webhook FROM settings")
      .toArray();
    if (row === undefined) return null;
    return row.webhook === null ? { deletedVersion: row.version } : webhookOf(row.webhook);
  }

  saveSettings(webhook: Webhook): void {
    this.#save(webhook.version, JSON.stringify(webhook));
  }

  /** Empties the object but for the version, so that a late push cannot revive the webhook. */
  deleteAll(version: number): void {
    for (const table of this.#tables.names) {
      if (table !== "settings") this.#tables.drop(table);
    }
    this.#save(version, null);
  }

  #save(version: number, webhook: string | null): void {
    this.#tables.make(
      "settings",
      "CREATE TABLE settings (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, webhook TEXT)",
    );
    this.#sql.exec(
      "INSERT OR REPLACE INTO settings (id, version, webhook) VALUES (1, ?, ?)",
      version,
      webhook,
    );
  }

  run(): Run {
    const [row] = this.#tables.has("run")
      ? this.#sql.exec<{ state: string }>("SELECT state FROM run").toArray()
      : [];
    const run = runOf(row?.state ?? "{}");
    return row === undefined ? { ...run, undeliverableTo: null } : run;
  }

  saveRun(run: Run): void {
    run.saved += 1;
    run.endedAsOf = run.saved;
    this.#tables.make("run", "CREATE TABLE run (id INTEGER PRIMARY KEY, state TEXT NOT NULL)");
    this.#sql.exec("INSERT OR REPLACE INTO run (id, state) VALUES (1, ?)", jsonOfRun(run));
  }

  /** Keeps a finished hour; hours that began before `forgetBeforeMs` go. */
  saveHour(hour: HourCounters, forgetBeforeMs: number): void {
    this.#tables.make(
      "hours",
      "CREATE TABLE hours (at INTEGER PRIMARY KEY, counters TEXT NOT NULL)",
    );
    this.#sql.exec(
      "INSERT OR REPLACE INTO hours (at, counters) VALUES (?, ?)",
      hour.atMs,
      JSON.stringify(hour),
    );
    this.#sql.exec("DELETE FROM hours WHERE at < ?", forgetBeforeMs);
  }

  /** Finished hours from `sinceMs` on. */
  hours(sinceMs: number): HourCounters[] {
    if (!this.#tables.has("hours")) return [];
    return this.#sql
      .exec<{ counters: string }>("SELECT counters FROM hours WHERE at >= ? ORDER BY at", sinceMs)
      .toArray()
      .map(({ counters }) => hourOf(counters));
  }
}
