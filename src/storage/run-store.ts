/**
 * The single rows of a Subscriber: what the Registry pushed, where the pump stands, and what an hour came to.
 * (The head of `delivery-tables.ts` lists all tables of the object.)
 */
import type { HourCounters } from "../domain/counters";
import type { Webhook } from "../domain/webhook";
import type { Run } from "./run";
import { hourOf, jsonOfRun, runOf, webhookOf } from "./stored-json";
import type { Tables } from "./tables";

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
    this.#dropAllButSettings();
    this.#save(version, null);
    // An object that never had a table has that of its data's version now.
    this.#dropAllButSettings();
  }

  #dropAllButSettings(): void {
    for (const table of this.#tables.names) {
      if (table !== "settings") this.#tables.drop(table);
    }
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
