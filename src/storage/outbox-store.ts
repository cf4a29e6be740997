/**
 * All SQL of the Registry's outbox: the relay's own events that are still to be sent.
 *
 * | table | key | what | lifetime | growth |
 * |---|---|---|---|---|
 * | `outbox` | event and webhook | what happened since this event was sent last, and when that was | until the queue has it, and the minute after that is over | 1 row a webhook and kind of event |
 */
import type { RelayEventName } from "../domain/relay-events";
import { jsonObjectOf } from "./stored-json";
import { Store } from "./tables";

/** `subject`: the webhook that it is about; empty for none. */
export type OutboxKey = { event: RelayEventName; subject: string };

/** @property first of what happened; its time is `atMs`. @property count 0 when all of it was sent. */
export type OutboxRow = OutboxKey & {
  first: Record<string, unknown>;
  atMs: number;
  count: number;
  /** When the next may be sent, Unix milliseconds. */
  dueAtMs: number;
};

const OUTBOX =
  "CREATE TABLE outbox (event TEXT NOT NULL, subject TEXT NOT NULL, first TEXT NOT NULL, at INTEGER NOT NULL, count INTEGER NOT NULL, due_at INTEGER NOT NULL, PRIMARY KEY (event, subject)) WITHOUT ROWID";

export class OutboxStore extends Store {
  get({ event, subject }: OutboxKey): OutboxRow | null {
    return this.#rows("event = ? AND subject = ?", event, subject)[0] ?? null;
  }

  save({ event, subject, first, atMs, count, dueAtMs }: OutboxRow): void {
    const what = { event, subject, first: JSON.stringify(first), count };
    this.tables.put("outbox", { ...what, at: atMs, due_at: dueAtMs }, OUTBOX);
  }

  delete({ event, subject }: OutboxKey): void {
    this.tables.sql.exec("DELETE FROM outbox WHERE event = ? AND subject = ?", event, subject);
  }

  /** Those with something to send, the first due first. */
  waiting(): OutboxRow[] {
    return this.#rows("count > 0 ORDER BY due_at");
  }

  /** Forgets what was sent, where the next may be sent at once. */
  forget(nowMs: number): void {
    if (!this.tables.has("outbox")) return;
    this.tables.sql.exec("DELETE FROM outbox WHERE count = 0 AND due_at <= ?", nowMs);
  }

  #rows(where: string, ...bindings: string[]): OutboxRow[] {
    const query = `SELECT event, subject, first, at AS "atMs", count, due_at AS "dueAtMs" FROM outbox WHERE ${where}`;
    return this.tables
      .rows<Omit<OutboxRow, "first"> & { first: string }>("outbox", query, ...bindings)
      .map((row) => ({ ...row, first: jsonObjectOf(row.first) }));
  }
}
