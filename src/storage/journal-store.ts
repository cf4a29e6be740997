/**
 * All SQL of a Journal: one UTC day of events. Reading creates nothing.
 *
 * | table | key | what | lifetime | growth |
 * |---|---|---|---|---|
 * | `events` | event id | one row per event: name, times, size, whether it conforms, where its body is | the day + `RETENTION`, dropped whole | 1 row an event |
 * | `batches` | seq | what one call recorded: ids in order (the index by time) and their bodies, packed | with it | 1 row a call, and one for each 1.5 MB |
 * | `matches` | number | a list of webhook ids that some event matched: the lists repeat, the events do not | with it | 1 row a different list |
 *
 * `batches.before` is the number of Leadterra's events in all batches before it and `after` that up to and with it, so
 * that a count between two times takes two searches and no counter; `totals` is the same by name, with duplicates.
 */
import type { EventFacts } from "../domain/event";
import { countEvents, countedAs, type EventTotals, noEvents } from "../domain/event-totals";
import type { EventId, WebhookId } from "../domain/ids";
import { portionsOf } from "../domain/portions";
import { firstThat, type Position } from "./position";
import { eventIdsOf, eventTotalsOf, webhookIdsOf } from "./stored-json";
import { Store } from "./tables";

/** A row takes 2 MB. */
const MAX_BATCH_BYTES = 1_500_000;
const BATCHES_AT_ONCE = 50;
const NOBODY: ReadonlySet<string> = new Set();
/** What Leadterra may put an address into as into any text; however that is written, it has one of these. */
const TEXTS = ["timestamp", "campaign_id", "key"];
const MAY_BE_ADDRESS = "*[@\uFF20%=&\\]*";

/** An event as it is recorded. */
export type JournalEntry = Omit<EventFacts, "key"> & {
  id: EventId;
  event: string;
  receivedAtMs: number;
  /** As `factsOf` has it; a consumer of the release before does not say it. */
  key?: string | null;
  webhookIds: WebhookId[];
  /** Empty where it was erased before it arrived. */
  body: Uint8Array;
  /** It was erased before it arrived: it goes to nobody. */
  erased?: boolean;
  /** As `countedAs` has it. */
  counted?: string | null;
  /** The queue hands the message over once more: no copy of it. */
  isAgain?: boolean;
};

/** What is read of an event to send it again. */
export type StoredEvent = Pick<JournalEntry, "id" | "event" | "body">;

/** What is recorded of an event that was erased before it came, beside that it came. */
export const NOTHING_KNOWN = {
  email: null,
  campaignId: null,
  key: null,
  body: new Uint8Array(),
  webhookIds: [],
  erased: true,
};

/** An event as it is read; `position` orders the day. */
export type JournalEvent = Omit<JournalEntry, "body" | "erased" | "key" | "counted" | "isAgain"> & {
  /** null also where that was not recorded. */
  key: string | null;
  size: number;
  /** Its personal data was erased: there is no payload any more. */
  erased: boolean;
  position: Position;
};

type EventRow = Omit<JournalEvent, "position" | "conforms" | "erased" | "webhookIds"> &
  Position & { conforms: number; erased: number; webhookIds: string };

type RecordedRow = Pick<EventRow, "id" | "erased" | "webhookIds">;

/** `after`: how many of Leadterra's events came up to and with it. */
type BatchRow = { at: number; after: number };

const BATCHES =
  "CREATE TABLE batches (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, before INTEGER NOT NULL, ids TEXT NOT NULL, bodies BLOB NOT NULL, after INTEGER, totals TEXT)";
const MATCHES = "CREATE TABLE matches (number INTEGER PRIMARY KEY, webhook_ids TEXT NOT NULL)";
const EVENTS =
  "CREATE TABLE events (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, position INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL, event TEXT NOT NULL, timestamp TEXT, received_at INTEGER NOT NULL, conforms INTEGER NOT NULL, email TEXT, campaign_id TEXT, matched INTEGER NOT NULL, erased INTEGER NOT NULL, key TEXT) WITHOUT ROWID";
const EVENT_COLUMNS =
  'e.id, e.seq, e.position AS "index", e.size, e.event, e.timestamp, e.received_at AS "receivedAtMs", e.conforms, e.email, e.campaign_id AS "campaignId", e.erased, e.key, m.webhook_ids AS "webhookIds"';
/** What 0.1.0 recorded is Leadterra's alone. */
const BATCH_COLUMNS = "at, coalesce(after, before + json_array_length(ids)) AS after";
const WITH_MATCH = "JOIN matches m ON m.number = e.matched";
const AMONG_IDS = `FROM json_each(?) j CROSS JOIN events e ON e.id = j.value ${WITH_MATCH}`;

export class JournalStore extends Store {
  readonly #numberOfMatch = new Map<string, number>();
  #lastBodies: { seq: number; bodies: Uint8Array } | null = null;
  #totals: EventTotals | null = null;

  get exists(): boolean {
    return this.tables.has("events");
  }

  /**
   * The webhooks that each of `ids` was recorded with; ids that are not recorded are left out. What was erased goes
   * to nobody any more.
   */
  recorded(ids: readonly EventId[]): Map<EventId, WebhookId[]> {
    const query = `SELECT e.id, e.erased, m.webhook_ids AS "webhookIds" ${AMONG_IDS}`;
    const rows = this.tables.rows<RecordedRow>("events", query, JSON.stringify(ids));
    return new Map(
      rows.map((row) => [row.id, row.erased === 1 ? [] : webhookIdsOf(row.webhookIds)]),
    );
  }

  /** Whether what came is not what was recorded; what was erased is like everything. */
  differs({ id, body }: JournalEntry): boolean {
    const event = this.#locate(id);
    if (event === null) return false;
    const { seq, start, size } = event;
    if (size !== body.length) return true;
    // Not all of the batch: as many copies as come at once may each be of another one.
    const query = "SELECT substr(bodies, ?, ?) AS body FROM batches WHERE seq = ?";
    const recorded = this.tables.sql.exec<{ body: ArrayBuffer }>(query, start + 1, size, seq).one();
    return new Uint8Array(recorded.body).some((byte, index) => byte !== body[index]);
  }

  /** Writes entries whose ids are new and differ from one another: all of them or none. */
  insert(entries: readonly JournalEntry[]): void {
    if (!this.exists) this.#create();
    try {
      this.tables.atomically(() => {
        for (const batch of portionsOf(entries, bytesOf, { maxBytes: MAX_BATCH_BYTES })) {
          this.#insertBatch(batch);
        }
      });
    } catch (thrown) {
      this.#totals = null;
      this.#numberOfMatch.clear();
      throw thrown;
    }
  }

  #insertBatch(batch: readonly JournalEntry[]): void {
    const { seq, before } = this.#next();
    const fresh = batch.map(({ counted, event, receivedAtMs }) => ({
      as: counted === undefined ? countedAs(event, NOBODY) : counted,
      receivedAtMs,
    }));
    const totals = countEvents(this.totals, { fresh, duplicates: 0 });
    const bodies = new Uint8Array(batch.reduce((bytes, entry) => bytes + bytesOf(entry), 0));
    let start = 0;
    for (const { body } of batch) {
      bodies.set(body, start);
      start += body.length;
    }
    this.tables.sql.exec(
      "INSERT INTO batches (seq, at, before, after, ids, bodies, totals) VALUES (?, ?, ?, ?, ?, ?, ?)",
      seq,
      Math.min(...batch.map(({ receivedAtMs }) => receivedAtMs)),
      before,
      before + fresh.filter(({ as }) => as !== null).length,
      JSON.stringify(batch.map(({ id }) => id)),
      bodies,
      JSON.stringify(totals),
    );
    this.#totals = totals;
    start = 0;
    for (const [position, entry] of batch.entries()) {
      this.tables.sql.exec(
        "INSERT INTO events (id, seq, position, start, size, event, timestamp, received_at, conforms, email, campaign_id, matched, erased, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        entry.id,
        seq,
        position,
        start,
        entry.body.length,
        entry.event,
        entry.timestamp,
        entry.receivedAtMs,
        entry.conforms ? 1 : 0,
        entry.email,
        entry.campaignId,
        this.#matchNumber(entry.webhookIds),
        entry.erased === true ? 1 : 0,
        entry.key ?? null,
      );
      if (entry.erased === true) this.#clear(entry.id);
      start += entry.body.length;
    }
  }

  #next(): { seq: number; before: number } {
    const query = `SELECT seq, ${BATCH_COLUMNS} FROM batches ORDER BY seq DESC LIMIT 1`;
    const last = this.tables.first<BatchRow & { seq: number }>("batches", query);
    return { seq: (last?.seq ?? 0) + 1, before: last?.after ?? 0 };
  }

  // --- totals -----------------------------------------------------------------------------------------------

  /** Of the day, as far as they were counted: one that 0.1.0 began counts from its upgrade on. */
  get totals(): EventTotals {
    if (this.#totals !== null || !this.exists) return this.#totals ?? noEvents();
    const query = "SELECT totals FROM batches WHERE totals IS NOT NULL ORDER BY seq DESC LIMIT 1";
    const last = this.tables.first<{ totals: string }>("batches", query);
    const lastAtMs = this.#lastBatchBefore(Number.MAX_SAFE_INTEGER)?.at ?? null;
    this.#totals = last === null ? { ...noEvents(), lastAtMs } : eventTotalsOf(last.totals);
    return this.#totals;
  }

  /** Copies came of what is recorded. */
  countDuplicates(duplicates: number): void {
    const totals = countEvents(this.totals, { fresh: [], duplicates });
    const update = "UPDATE batches SET totals = ? WHERE seq = (SELECT max(seq) FROM batches)";
    this.tables.sql.exec(update, JSON.stringify(totals));
    this.#totals = totals;
  }

  #matchNumber(webhookIds: readonly WebhookId[]): number {
    const list = JSON.stringify(webhookIds);
    const known = this.#numberOfMatch.get(list);
    if (known !== undefined) return known;
    const find = "SELECT number FROM matches WHERE webhook_ids = ?";
    const add = "INSERT INTO matches (webhook_ids) VALUES (?) RETURNING number";
    const { number } =
      this.tables.first<{ number: number }>("matches", find, list) ??
      this.tables.sql.exec<{ number: number }>(add, list).one();
    this.#numberOfMatch.set(list, number);
    return number;
  }

  #create(): void {
    this.tables.make("batches", BATCHES);
    this.tables.make("matches", MATCHES);
    // Last: where it is, all are.
    this.tables.make("events", EVENTS);
  }

  get(id: EventId): JournalEvent | null {
    const query = `SELECT ${EVENT_COLUMNS} FROM events e ${WITH_MATCH} WHERE e.id = ?`;
    const row = this.tables.first<EventRow>("events", query, id);
    return row && eventOf(row);
  }

  /** The raw body; null when there is no such event or its data was erased. */
  body(id: EventId): Uint8Array | null {
    const event = this.#locate(id);
    if (event === null) return null;
    const { seq, start, size } = event;
    return this.#bodiesOf(seq).slice(start, start + size);
  }

  /** Whoever asks for one body of a batch mostly asks for the next. */
  #bodiesOf(seq: number): Uint8Array {
    if (this.#lastBodies?.seq !== seq) {
      const { bodies } = this.tables.sql
        .exec<{ bodies: ArrayBuffer }>("SELECT bodies FROM batches WHERE seq = ?", seq)
        .one();
      this.#lastBodies = { seq, bodies: new Uint8Array(bodies) };
    }
    return this.#lastBodies.bodies;
  }

  /** Events before `before`, newest first, read in chunks as the caller asks. */
  *newestFirst(before: Position | null): Generator<JournalEvent> {
    if (!this.exists) return;
    const query = `SELECT seq, ids FROM batches WHERE seq <= ? ORDER BY seq DESC LIMIT ${BATCHES_AT_ONCE}`;
    for (let next: number | null = before?.seq ?? Number.MAX_SAFE_INTEGER; next !== null; ) {
      const batches: { seq: number; ids: string }[] = this.tables.rows("batches", query, next);
      for (const { seq, ids } of batches) {
        const all = eventIdsOf(ids);
        yield* this.#among(before?.seq === seq ? all.slice(0, before.index) : all);
      }
      const last = batches.at(-1);
      next = last === undefined || batches.length < BATCHES_AT_ONCE ? null : last.seq - 1;
    }
  }

  /** The events of `ids`, the last first. */
  #among(ids: readonly string[]): JournalEvent[] {
    const query = `SELECT ${EVENT_COLUMNS} ${AMONG_IDS} ORDER BY j.key DESC`;
    return this.tables.rows<EventRow>("events", query, JSON.stringify(ids)).map(eventOf);
  }

  /** How many of Leadterra's events were recorded in batches that began before `atMs`. */
  countBefore(atMs: number): number {
    return this.#lastBatchBefore(atMs)?.after ?? 0;
  }

  /**
   * By bisection over seq, in which time only grows but for what a retry delayed. Only `at` is read on the way: what
   * stands behind the bodies in a row costs reading them.
   */
  #lastBatchBefore(atMs: number): BatchRow | null {
    const { tables } = this;
    const query = "SELECT at FROM batches WHERE seq = ?";
    const seq = firstThat(
      this.#next().seq - 1,
      (each) => tables.sql.exec<{ at: number }>(query, each).one().at >= atMs,
    );
    const before = `SELECT ${BATCH_COLUMNS} FROM batches WHERE seq = ?`;
    return tables.first<BatchRow>("batches", before, seq - 1);
  }

  /** Overwrites the body and what is known of the lead: both or, where the disk takes one only, neither. */
  erase(id: EventId): void {
    const event = this.#locate(id);
    if (event === null) return;
    const blank = this.#bodiesOf(event.seq).slice();
    this.#lastBodies = null;
    blank.fill(0, event.start, event.start + event.size);
    this.tables.atomically(() => {
      this.tables.sql.exec("UPDATE batches SET bodies = ? WHERE seq = ?", blank, event.seq);
      this.#clear(id);
    });
  }

  /** Of what is known, all that may name somebody. */
  #clear(id: EventId): void {
    const clear = TEXTS.map((column) => `${column} = iif(${column} GLOB ?2, NULL, ${column})`);
    const update = `UPDATE events SET email = NULL, ${clear.join(", ")}, erased = 1 WHERE id = ?1`;
    this.tables.sql.exec(update, id, MAY_BE_ADDRESS);
  }

  #locate(id: EventId): { seq: number; start: number; size: number } | null {
    const query = "SELECT seq, start, size FROM events WHERE id = ? AND erased = 0";
    return this.tables.first<{ seq: number; start: number; size: number }>("events", query, id);
  }
}

function bytesOf({ body }: JournalEntry): number {
  return body.length;
}

function eventOf({ seq, index, conforms, erased, webhookIds, ...row }: EventRow): JournalEvent {
  return {
    ...row,
    conforms: conforms === 1,
    erased: erased === 1,
    webhookIds: webhookIdsOf(webhookIds),
    position: { seq, index },
  };
}
