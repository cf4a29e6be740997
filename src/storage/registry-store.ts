/**
 * All SQL of the Registry. Reading creates nothing.
 *
 * | table | key | what | lifetime | growth |
 * |---|---|---|---|---|
 * | `webhooks` | webhook id | the webhook as people decided it, its version and the version that its Subscriber has acknowledged | until deleted, and the deletion acknowledged | 1 row a webhook |
 * | `alerts` | cause | the last alert for this cause, and when it was raised and sent | the object's | 1 row a cause, of which a webhook has three |
 * | `routing` | 1 | the version of the routing table: grows with every change of a webhook | the object's | 1 row |
 */
import type { WebhookId } from "../domain/ids";
import type { Webhook } from "../domain/webhook";
import { tableNames } from "./tables";

/** A webhook, and how far its Subscriber has followed. `webhook` is null once it is deleted. */
export type Registration = {
  id: WebhookId;
  version: number;
  acknowledgedVersion: number;
  webhook: Webhook | null;
};

/** Something that a person should know. */
export type Alert = {
  /** What it is about, e.g. `disabled wh_…`: at most one an hour is sent for each. */
  cause: string;
  text: string;
  raisedAtMs: number;
  /** null until it was sent. */
  sentAtMs: number | null;
};

type AlertRow = { cause: string; text: string; raised_at: number; sent_at: number | null };

function alertOf(row: AlertRow): Alert {
  return { cause: row.cause, text: row.text, raisedAtMs: row.raised_at, sentAtMs: row.sent_at };
}

export class RegistryStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** All registrations by creation, deleted ones that were not acknowledged yet included. */
  registrations(): Registration[] {
    if (!this.#exists()) return [];
    return this.#sql
      .exec<{ id: string; version: number; acknowledged: number; data: string | null }>(
        "SELECT id, version, acknowledged, data FROM webhooks ORDER BY id",
      )
      .toArray()
      .map((row) => ({
        id: row.id as WebhookId,
        version: row.version,
        acknowledgedVersion: row.acknowledged,
        webhook: row.data === null ? null : (JSON.parse(row.data) as Webhook),
      }));
  }

  /** Writes a registration and gives the routing table its next version, together. */
  save({ id, version, acknowledgedVersion, webhook }: Registration): void {
    this.#create();
    this.#sql.exec(
      "INSERT OR REPLACE INTO webhooks (id, version, acknowledged, data) VALUES (?, ?, ?, ?)",
      id,
      version,
      acknowledgedVersion,
      webhook === null ? null : JSON.stringify(webhook),
    );
    this.#sql.exec(
      "INSERT INTO routing (id, version) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET version = version + 1",
    );
  }

  acknowledge(id: WebhookId, version: number): void {
    this.#sql.exec(
      "UPDATE webhooks SET acknowledged = max(acknowledged, ?) WHERE id = ?",
      version,
      id,
    );
  }

  /** Forgets a deleted webhook whose Subscriber is empty. */
  forget(id: WebhookId): void {
    this.#sql.exec("DELETE FROM webhooks WHERE id = ?", id);
  }

  routingVersion(): number {
    if (!this.#exists()) return 0;
    const [row] = this.#sql.exec<{ version: number }>("SELECT version FROM routing").toArray();
    return row?.version ?? 0;
  }

  /** The last alert for a cause. */
  alert(cause: string): Alert | null {
    if (!this.#exists("alerts")) return null;
    const [row] = this.#sql
      .exec<AlertRow>("SELECT cause, text, raised_at, sent_at FROM alerts WHERE cause = ?", cause)
      .toArray();
    return row === undefined ? null : alertOf(row);
  }

  /** Alerts that were raised and not sent. */
  unsentAlerts(): Alert[] {
    if (!this.#exists("alerts")) return [];
    return this.#sql
      .exec<AlertRow>(
        "SELECT cause, text, raised_at, sent_at FROM alerts WHERE sent_at IS NULL ORDER BY raised_at",
      )
      .toArray()
      .map(alertOf);
  }

  saveAlert({ cause, text, raisedAtMs, sentAtMs }: Alert): void {
    this.#sql.exec(
      "CREATE TABLE IF NOT EXISTS alerts (cause TEXT PRIMARY KEY, text TEXT NOT NULL, raised_at INTEGER NOT NULL, sent_at INTEGER) WITHOUT ROWID",
    );
    this.#sql.exec(
      "INSERT OR REPLACE INTO alerts (cause, text, raised_at, sent_at) VALUES (?, ?, ?, ?)",
      cause,
      text,
      raisedAtMs,
      sentAtMs,
    );
  }

  #exists(table = "webhooks"): boolean {
    return tableNames(this.#sql).includes(table);
  }

  #create(): void {
    this.#sql.exec(
      "CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY, version INTEGER NOT NULL, acknowledged INTEGER NOT NULL, data TEXT) WITHOUT ROWID",
    );
    this.#sql.exec(
      "CREATE TABLE IF NOT EXISTS routing (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)",
    );
  }
}
