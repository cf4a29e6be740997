/**
 * The single rows of a Subscriber: what the Registry pushed, where the pump stands, and what an hour came to.
 * (The head of `delivery-tables.ts` lists all tables of the object.)
 */
import type { HourCounters } from "../domain/counters";
import type { Webhook } from "../domain/webhook";
import { hourOf, jsonOfRun, type Run, runOf } from "./run";
import { webhookOf } from "./stored-json";
import { Store } from "./tables";

/** A webhook as pushed, and its version; of a deleted one only that. */
export type Settings = { version: number; webhook: Webhook | null };

const SETTINGS =
  "CREATE TABLE settings (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, webhook TEXT)";
const RUN = "CREATE TABLE run (id INTEGER PRIMARY KEY, state TEXT NOT NULL)";
const HOURS = "CREATE TABLE hours (at INTEGER PRIMARY KEY, counters TEXT NOT NULL)";

export class RunStore extends Store {
  /** null when nothing was pushed yet. */
  settings(): Settings | null {
    const row = this.tables.first<{ version: number; webhook: string | null }>(
      "settings",
      "SELECT version, webhook FROM settings",
    );
    if (row === null) return null;
    const webhook = row.webhook === null ? null : webhookOf(row.webhook);
    return { version: webhook?.version ?? row.version, webhook };
  }

  saveSettings(webhook: Webhook): void {
    this.#save(webhook.version, JSON.stringify(webhook));
  }

  /** Empties the object but for the version, so that a late push cannot revive the webhook; or leaves it as it is. */
  deleteAll(version: number): void {
    this.tables.atomically(() => {
      this.#dropAllButSettings();
      this.#save(version, null);
      // An object that never had a table has that of its data's version now.
      this.#dropAllButSettings();
    });
  }

  #dropAllButSettings(): void {
    for (const table of this.tables.names) {
      if (table !== "settings") this.tables.drop(table);
    }
  }

  #save(version: number, webhook: string | null): void {
    this.tables.put("settings", { id: 1, version, webhook }, SETTINGS);
  }

  run(): Run {
    const row = this.tables.first<{ state: string }>("run", "SELECT state FROM run");
    const run = runOf(row?.state ?? "{}");
    return row === null ? { ...run, undeliverableTo: null } : run;
  }

  saveRun(run: Run): void {
    run.saved += 1;
    run.endedAsOf = run.saved;
    run.attemptsAsOf = run.saved;
    this.tables.put("run", { id: 1, state: jsonOfRun(run) }, RUN);
  }

  /** Keeps a finished hour; hours that began before `forgetBeforeMs` go. */
  saveHour(hour: HourCounters, forgetBeforeMs: number): void {
    this.tables.put("hours", { at: hour.atMs, counters: JSON.stringify(hour) }, HOURS);
    this.tables.sql.exec("DELETE FROM hours WHERE at < ?", forgetBeforeMs);
  }

  /** Those that are over: the running one stands in the `run` row. */
  hours(sinceMs: number): HourCounters[] {
    const query = "SELECT counters FROM hours WHERE at >= ? ORDER BY at";
    const rows = this.tables.rows<{ counters: string }>("hours", query, sinceMs);
    return rows.map(({ counters }) => hourOf(counters));
  }
}
