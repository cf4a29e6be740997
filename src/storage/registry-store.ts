/**
 * All SQL of the Registry. Reading creates nothing.
 *
 * | table | key | what | lifetime | growth |
 * |---|---|---|---|---|
 * | `webhooks` | webhook id | the webhook as people decided it, its version and the version that its Subscriber has acknowledged | until deleted, and the deletion acknowledged | 1 row a webhook |
 * | `routing` | 1 | the version of the routing table: grows with every change of a webhook | the object's | 1 row |
 */
import type { WebhookId } from "../domain/ids";
import type { Webhook } from "../domain/webhook";

/** A webhook, and how far its Subscriber has followed. `webhook` is null once it is deleted. */
export type Registration = {
  id: WebhookId;
  version: number;
  acknowledgedVersion: number;
  webhook: Webhook | null;
};

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

  #exists(): boolean {
    return (
      this.#sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'webhooks'").toArray().length > 0
    );
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
