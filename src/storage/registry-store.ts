/**
 * All SQL of the Registry. Reading creates nothing.
 *
 * | table | key | what | lifetime | growth |
 * |---|---|---|---|---|
 * | `webhooks` | webhook id | the webhook as people decided it, its version and the version that its Subscriber has acknowledged | until deleted, and the deletion acknowledged | 1 row a webhook |
 * | `audit` | number | who changed what, without secrets | the last 10,000 | 1 row a change |
 * | `answers` | API key and `Idempotency-Key` | the call and what it was answered | 24 h | 1 row a call with such a key |
 * | `erasures` | event id | an event that was erased by its id: a copy that arrives later goes to nobody | 14 days | 1 row an erased event |
 * | `facts` | name | what a day's Journal has counted (`events 2026-11-27`), which stays when the Journal goes; since when there are events (`first event`) | the object's; the oldest is added to the sum of those before | 1 row a day, at most 401 |
 * | `routing` | 1 | the version of the routing table: grows with every change of a webhook | the object's | 1 row |
 */
import { addTotals, type EventTotals, noEvents } from "../domain/event-totals";
import type { EventId, WebhookId } from "../domain/ids";
import type { Webhook } from "../domain/webhook";
import { auditValuesOf, eventTotalsOf, webhookOf } from "./stored-json";
import { Store } from "./tables";

/** A webhook, and how far its Subscriber has followed. `webhook` is null once it is deleted. */
export type Registration = {
  id: WebhookId;
  version: number;
  acknowledgedVersion: number;
  webhook: Webhook | null;
};

/** The name of the fact that says since when there may be events. */
const FIRST_EVENT = "first event";
/** Before the day, in the name of what was counted on it. */
const EVENTS_OF = "events ";
/** More than any `RETENTION`: the Journals of older ones are gone, and say nothing more. */
const MAX_DAYS = 400;
const MAX_AUDIT_ENTRIES = 10_000;

/** Who changed what. */
export type AuditEntry = {
  number: number;
  atMs: number;
  /** A fingerprint of the API key; null for what the relay did by itself. */
  key: string | null;
  action: string;
  webhookId: string | null;
  /** What it changed, without secrets; null where there was or is nothing. */
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
};

type AuditRow = Omit<AuditEntry, "before" | "after"> & Record<"before" | "after", string | null>;

type FactRow = { name: string; value: string };

/** An answer of the API, as it is given again. */
export type StoredAnswer = { status: number; type: string; body: string };

/** A call with an `Idempotency-Key`; `call` is a hash of its method, path and body. */
type StoredCall = { call: string; atMs: number; answer: StoredAnswer | null };
type AnswerRow = Omit<StoredCall, "answer"> &
  Omit<StoredAnswer, "status"> & { status: number | null };

/** How many rows are looked at for old ones in one call: an index by time would cost a row for each. */
const LOOKED_AT_ONCE = 100;

/** Whose answer, and to which `Idempotency-Key`. */
export type AnswerKey = [caller: string, key: string];

const WEBHOOKS =
  "CREATE TABLE webhooks (id TEXT PRIMARY KEY, version INTEGER NOT NULL, acknowledged INTEGER NOT NULL, data TEXT) WITHOUT ROWID";
const ROUTING = "CREATE TABLE routing (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)";
const AUDIT =
  "CREATE TABLE audit (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, key TEXT, action TEXT NOT NULL, webhook_id TEXT, before TEXT, after TEXT)";
const ERASURES = "CREATE TABLE erasures (id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID";
const FACTS = "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID";
const ANSWERS =
  "CREATE TABLE answers (caller TEXT NOT NULL, key TEXT NOT NULL, call TEXT NOT NULL, at INTEGER NOT NULL, status INTEGER, type TEXT, body TEXT, PRIMARY KEY (caller, key)) WITHOUT ROWID";

export class RegistryStore extends Store {
  #lookedAtAnswer: AnswerKey | null = null;
  #lookedAtErasure = "";

  /** All registrations by creation, deleted ones that were not acknowledged yet included. */
  registrations(): Registration[] {
    return this.tables
      .rows<Omit<Registration, "webhook"> & { data: string | null }>(
        "webhooks",
        'SELECT id, version, acknowledged AS "acknowledgedVersion", data FROM webhooks ORDER BY id',
      )
      .map(({ data, ...row }) => ({ ...row, webhook: data === null ? null : webhookOf(data) }));
  }

  /** Writes a registration and gives the routing table its next version, together. */
  save({ id, version, acknowledgedVersion, webhook }: Registration): void {
    const data = webhook && JSON.stringify(webhook);
    const row = { id, version, acknowledged: acknowledgedVersion, data };
    this.tables.put("webhooks", row, WEBHOOKS);
    this.tables.make("routing", ROUTING);
    this.tables.sql.exec(
      "INSERT INTO routing (id, version) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET version = version + 1",
    );
  }

  acknowledge(id: WebhookId, version: number): void {
    const acknowledge = "UPDATE webhooks SET acknowledged = max(acknowledged, ?) WHERE id = ?";
    this.tables.sql.exec(acknowledge, version, id);
  }

  /** Forgets a deleted webhook whose Subscriber is empty. */
  forget(id: WebhookId): void {
    this.tables.sql.exec("DELETE FROM webhooks WHERE id = ?", id);
  }

  routingVersion(): number {
    const query = "SELECT version FROM routing";
    return this.tables.first<{ version: number }>("routing", query)?.version ?? 0;
  }

  // --- audit ------------------------------------------------------------------------------------------------

  addToAudit({ atMs, key, action, webhookId, before, after }: Omit<AuditEntry, "number">): void {
    const line = {
      at: atMs,
      key,
      action,
      webhook_id: webhookId,
      before: before && JSON.stringify(before),
      after: after && JSON.stringify(after),
    };
    this.tables.put("audit", line, AUDIT);
    const old = "DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?";
    this.tables.sql.exec(old, MAX_AUDIT_ENTRIES);
  }

  /** Newest first. */
  audit(before: number | null, limit: number): AuditEntry[] {
    const query =
      'SELECT number, at AS "atMs", key, action, webhook_id AS "webhookId", before, after FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?';
    const end = before ?? Number.MAX_SAFE_INTEGER;
    const rows = this.tables.rows<AuditRow>("audit", query, end, limit);
    return rows.map(({ before: old, after: now, ...row }) => {
      return { ...row, before: auditValuesOf(old), after: auditValuesOf(now) };
    });
  }

  // --- erased events ----------------------------------------------------------------------------------------

  /** Which of these events were erased by their id, and are remembered. @param exceptAtMs without those erased then. */
  erasedAmong(ids: readonly EventId[], exceptAtMs = -1): EventId[] {
    if (ids.length === 0) return [];
    const query =
      "SELECT e.id FROM json_each(?) j CROSS JOIN erasures e ON e.id = j.value WHERE e.at <> ?";
    const rows = this.tables.rows<{ id: EventId }>(
      "erasures",
      query,
      JSON.stringify(ids),
      exceptAtMs,
    );
    return rows.map(({ id }) => id);
  }

  /** Remembers an erased event; those of before `forgetBeforeMs` go, some at a time. */
  rememberErased(id: EventId, nowMs: number, forgetBeforeMs: number): void {
    this.tables.put("erasures", { id, at: nowMs }, ERASURES);
    const query = `SELECT id, at FROM erasures WHERE id > ? ORDER BY id LIMIT ${LOOKED_AT_ONCE}`;
    const after = this.#lookedAtErasure;
    const rows = this.tables.rows<{ id: string; at: number }>("erasures", query, after);
    for (const { at, ...row } of rows) {
      if (at < forgetBeforeMs) this.tables.sql.exec("DELETE FROM erasures WHERE id = ?", row.id);
    }
    this.#lookedAtErasure = rows.length < LOOKED_AT_ONCE ? "" : (rows.at(-1)?.id ?? "");
  }

  /**
   * Answers that are about what was erased go: they may hold what a service answered. Some are looked at in each call.
   *
   * @returns where to go on; null at the end.
   */
  deleteAnswersAbout(isAbout: (body: string) => boolean, after: AnswerKey | null) {
    return this.#deleteAnswersWhere("body", (body) => isAbout(String(body ?? "")), after);
  }

  /** Looks at a column of some answers, by their keys. @returns where to go on; null behind the last. */
  #deleteAnswersWhere(
    column: "at" | "body",
    isSo: (value: SqlStorageValue) => boolean,
    after: AnswerKey | null,
  ): AnswerKey | null {
    const rows = this.tables.rows<{ caller: string; key: string; value: SqlStorageValue }>(
      "answers",
      `SELECT caller, key, ${column} AS value FROM answers WHERE (caller, key) > (?, ?) ORDER BY caller, key LIMIT ?`,
      ...(after ?? ["", ""]),
      LOOKED_AT_ONCE,
    );
    for (const { caller, key, value } of rows) if (isSo(value)) this.deleteAnswer(caller, key);
    const last = rows.at(-1);
    return last === undefined || rows.length < LOOKED_AT_ONCE ? null : [last.caller, last.key];
  }

  // --- what Journals counted ----------------------------------------------------------------------------------

  /** By day; the empty day is what was added up. */
  eventTotals(): Map<string, EventTotals> {
    const query = "SELECT name, value FROM facts WHERE name >= ? AND name < ? ORDER BY name";
    const rows = this.tables.rows<FactRow>("facts", query, EVENTS_OF, `${EVENTS_OF}~`);
    return new Map(
      rows.map(({ name, value }) => [name.slice(EVENTS_OF.length), eventTotalsOf(value)]),
    );
  }

  /** Unix milliseconds; null where none was noted. */
  firstEventAtMs(): number | null {
    const query = "SELECT value FROM facts WHERE name = ?";
    const row = this.tables.first<{ value: string }>("facts", query, FIRST_EVENT);
    const atMs = Number(row?.value);
    return Number.isNaN(atMs) ? null : atMs;
  }

  saveFirstEventAtMs(atMs: number): void {
    this.#saveFact(FIRST_EVENT, atMs);
  }

  saveEventTotals(day: string, totals: EventTotals): void {
    this.#saveFact(`${EVENTS_OF}${day}`, totals);
    const [[oldest, counted] = [], ...more] = [...this.eventTotals()].filter(
      ([name]) => name !== "",
    );
    if (oldest === undefined || counted === undefined || more.length < MAX_DAYS) return;
    // One write with the other, as everything that is written in one turn.
    this.#saveFact(EVENTS_OF, addTotals([counted, this.eventTotals().get("") ?? noEvents()]));
    this.tables.sql.exec("DELETE FROM facts WHERE name = ?", `${EVENTS_OF}${oldest}`);
  }

  #saveFact(name: string, value: object | number): void {
    this.tables.put("facts", { name, value: JSON.stringify(value) }, FACTS);
  }

  // --- idempotent answers -----------------------------------------------------------------------------------

  answer(caller: string, key: string): StoredCall | null {
    const query =
      'SELECT call, at AS "atMs", status, type, body FROM answers WHERE caller = ? AND key = ?';
    const row = this.tables.first<AnswerRow>("answers", query, caller, key);
    if (row === null) return null;
    const { call, atMs, status, type, body } = row;
    return { call, atMs, answer: status === null ? null : { status, type, body } };
  }

  /** @param answer null while the call runs. */
  saveAnswer(caller: string, key: string, { call, atMs, answer }: StoredCall): void {
    const { status, type, body } = answer ?? { status: null, type: null, body: null };
    this.tables.put("answers", { caller, key, call, at: atMs, status, type, body }, ANSWERS);
  }

  deleteAnswer(caller: string, key: string): void {
    this.tables.sql.exec("DELETE FROM answers WHERE caller = ? AND key = ?", caller, key);
  }

  /** Of those before `atMs` some go in each call: it walks over the table, and begins anew at its end. */
  deleteAnswersBefore(atMs: number): void {
    const isOld = (at: SqlStorageValue) => Number(at) < atMs;
    this.#lookedAtAnswer = this.#deleteAnswersWhere("at", isOld, this.#lookedAtAnswer);
  }
}
