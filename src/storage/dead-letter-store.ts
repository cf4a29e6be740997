/**
 * All SQL of the DeadLetters object. Reading creates nothing.
 *
 * | table | key | what | lifetime | growth |
 * |---|---|---|---|---|
 * | `dead_letters` | `dl_` and the queue message's id | what could not be handed over, body included | `RETENTION`, unless redriven, deleted or erased before | 1 row and 2 of indexes a message, at most 100,000 and 5 GB |
 */
import { addressOf, mentions } from "../domain/address";
import {
  DEAD_LETTER_REASONS,
  type DeadLetterNews,
  type DeadLetterReason,
  deadLetterReason,
} from "../domain/dead-letter";
import type { EventId, WebhookId } from "../domain/ids";
import { webhookIdsOf } from "./stored-json";
import { Store } from "./tables";

export type DeadLetter = DeadLetterNews & { email: string | null };

export type KeptLetter = { letter: DeadLetter; body: Uint8Array };

/** A letter as it was read, and whom it is owed to after it was handed over; nobody when all took it. */
export type HandedOver = { read: DeadLetter; owed: WebhookId[] };

/** Where a list goes on: behind this letter. */
export type DeadLetterPosition = Pick<DeadLetter, "failedAtMs" | "id">;

type Row = Omit<DeadLetter, "reason" | "webhookIds"> & {
  reason: string;
  webhookIds: string | null;
};

/**
 * A list, the next to expire and an erasure by id each read what they show. What release 0.1.0 kept has neither index: it
 * gets them at the next letter, once there are so few that one turn makes them.
 */
const INDEXES = [
  "CREATE INDEX dead_letters_by_failure ON dead_letters (failed_at, id)",
  "CREATE INDEX dead_letters_by_event ON dead_letters (event_id)",
];
const LETTERS = [
  "CREATE TABLE dead_letters (id TEXT PRIMARY KEY, event_id TEXT, event TEXT, email TEXT, reason TEXT NOT NULL, received_at INTEGER NOT NULL, failed_at INTEGER NOT NULL, webhook_ids TEXT, body BLOB NOT NULL) WITHOUT ROWID",
  ...INDEXES,
] as const;
const MAX_INDEXED_AT_ONCE = 500;
/** Past these the message stays in the queue. */
const MAX_LETTERS = 100_000;
const MAX_BYTES = 5 * 1024 ** 3;
/** Bodies that are searched for an address in one call. */
const MAX_BYTES_LOOKED_AT = 8 * 1024 * 1024;
const COLUMNS =
  'id, event_id AS "eventId", event, email, reason, received_at AS "receivedAtMs", failed_at AS "failedAtMs", webhook_ids AS "webhookIds"';

export class DeadLetterStore extends Store {
  #count: number | null = null;
  #isIndexed = false;

  /**
   * A message that is given up on twice is one dead letter.
   *
   * @throws as SQLite does when the disk is full: past its bounds the store takes nothing new.
   */
  save(letter: DeadLetter, body: Uint8Array): void {
    this.tables.make("dead_letters", ...LETTERS);
    this.#indexWhatIsOld();
    const isNew = this.get(letter.id) === null;
    const before = this.count();
    if (isNew && this.isFull) throw new Error("database or disk is full: too many dead letters");
    const { id, eventId, event, email, reason, webhookIds } = letter;
    const row = {
      id,
      event_id: eventId,
      event,
      email,
      reason,
      body,
      received_at: letter.receivedAtMs,
      failed_at: letter.failedAtMs,
      webhook_ids: webhookIds && JSON.stringify(webhookIds),
    };
    this.tables.put("dead_letters", row, ...LETTERS);
    if (isNew) this.#count = before + 1;
  }

  get(id: string): KeptLetter | null {
    const query = `SELECT ${COLUMNS}, body FROM dead_letters WHERE id = ?`;
    const row = this.tables.first<Row & { body: ArrayBuffer }>("dead_letters", query, id);
    if (row === null) return null;
    const { body, ...letter } = row;
    return { letter: letterOf(letter), body: new Uint8Array(body) };
  }

  /** Newest first. */
  list(before: DeadLetterPosition | null, limit: number, reason: DeadLetterReason | null = null) {
    // What release 0.1.0 wrote reads as `unreadable`.
    const others = DEAD_LETTER_REASONS.filter((each) => each !== "unreadable");
    const [is, among] = reason === "unreadable" ? ["NOT IN", others] : ["IN", [reason]];
    const isWanted = reason === null ? "" : `AND reason ${is} (SELECT value FROM json_each(?))`;
    const place = [before?.failedAtMs ?? Number.MAX_SAFE_INTEGER, before?.id ?? ""];
    const wanted = reason === null ? [] : [JSON.stringify(among)];
    const query = `SELECT ${COLUMNS} FROM dead_letters WHERE (failed_at, id) < (?, ?) ${isWanted} ORDER BY failed_at DESC, id DESC LIMIT ?`;
    return this.tables.rows<Row>("dead_letters", query, ...place, ...wanted, limit).map(letterOf);
  }

  /** Counted once in the object's life: it grows and shrinks through here only. */
  count(): number {
    const query = "SELECT count(*) AS n FROM dead_letters";
    this.#count ??= this.tables.first<{ n: number }>("dead_letters", query)?.n ?? 0;
    return this.#count;
  }

  get isFull(): boolean {
    return this.count() >= MAX_LETTERS || this.tables.sql.databaseSize >= MAX_BYTES;
  }

  /** The oldest one's, Unix milliseconds; null without any. */
  oldestFailedAtMs(): number | null {
    const query = "SELECT min(failed_at) AS at FROM dead_letters";
    return this.tables.first<{ at: number | null }>("dead_letters", query)?.at ?? null;
  }

  /** Deletes at most `limit` of those that were given up before `atMs`. How many went. */
  deleteBefore(atMs: number, limit: number): number {
    const old = "id IN (SELECT id FROM dead_letters WHERE failed_at < ? LIMIT ?)";
    return this.#delete(old, atMs, limit);
  }

  delete(id: string): boolean {
    return this.#delete("id = ?", id) > 0;
  }

  /** Deletes what belongs to events. How many went. */
  erase(eventIds: readonly EventId[]): number {
    return this.#delete("event_id IN (SELECT value FROM json_each(?))", JSON.stringify(eventIds));
  }

  /** How many went. */
  #delete(where: string, ...bindings: SqlStorageValue[]): number {
    const before = this.count();
    const query = `DELETE FROM dead_letters WHERE ${where} RETURNING id`;
    const gone = this.tables.rows("dead_letters", query, ...bindings).length;
    this.#count = before - gone;
    return gone;
  }

  /**
   * Deletes what belongs to a person, by the address anywhere in the body, which need be no event.
   *
   * @param after looks behind this letter; null from the first on.
   * @param isDry only says which would go.
   * @returns which went, with their events, and where to go on: some bytes of bodies are read in one call. null at the
   *   end.
   */
  erasePerson(email: string, after: string | null, isDry: boolean) {
    const address = addressOf(email);
    const ids: string[] = [];
    const eventIds: EventId[] = [];
    if (address === null) return { ids, eventIds, next: null };
    let last = after ?? "";
    for (let bytes = 0; bytes < MAX_BYTES_LOOKED_AT; ) {
      const letter = this.tables.first<{ id: string; eventId: EventId | null; body: ArrayBuffer }>(
        "dead_letters",
        'SELECT id, event_id AS "eventId", body FROM dead_letters WHERE id > ? ORDER BY id LIMIT 1',
        last,
      );
      if (letter === null) return { ids, eventIds, next: null };
      last = letter.id;
      bytes += letter.body.byteLength;
      if (mentions(new Uint8Array(letter.body), address) && (isDry || this.delete(last))) {
        ids.push(last);
        if (letter.eventId !== null) eventIds.push(letter.eventId);
      }
    }
    return { ids, eventIds, next: last };
  }

  #indexWhatIsOld(): void {
    if (this.#isIndexed || this.count() > MAX_INDEXED_AT_ONCE) return;
    this.#isIndexed = this.tables.hasIndexes("dead_letters");
    if (this.#isIndexed) return;
    this.tables.atomically(() => {
      for (const statement of INDEXES) this.tables.sql.exec(statement);
    });
    this.#isIndexed = true;
  }
}

function letterOf(row: Row): DeadLetter {
  return {
    ...row,
    reason: deadLetterReason(row.reason),
    webhookIds: row.webhookIds === null ? null : webhookIdsOf(row.webhookIds),
  };
}
