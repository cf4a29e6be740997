/** What a Subscriber has of a person that no Journal need have any more (`delivery-tables.ts`). */
import { type Address, mentions } from "../domain/address";
import type { EventId } from "../domain/ids";
import type { DeliveryTables } from "./delivery-tables";

/**
 * Where a look at it goes on: among what is kept for longer; or, where there is `past`, behind this arrival of the
 * period, among what is not.
 */
export type KeptPlace = { period: number; keptFromMs: number; id: EventId; past?: number };

/** What is looked at together; the look may go on behind its place. */
type Looked = { place: KeptPlace; rows: number; texts: Map<EventId, (string | Uint8Array)[]> };
type KeptRow = { id: string; kept_from: number; log: string | null; body: ArrayBuffer | null };
type AnswersRow = { seq: number; id: string; log: string | null };

/** Rows, and bytes of bodies and attempts, that one such look reads. */
const MAX_LOOKED_AT = 1_000;
const MAX_BYTES_LOOKED_AT = 8 * 1024 * 1024;
/** So many rows whose answers are searched within SQLite count as one that is read. */
const ROWS_PASSED = 20;
const ARRIVALS_AT_ONCE = 100;
/** However an address is written, one of these is in it. */
const MAY_NAME = "log GLOB '*[@%=&]*' OR log GLOB '*[uU]0040*'";

export class DeliveryPersons {
  readonly #sql: SqlStorage;
  readonly #tables: DeliveryTables;

  constructor(tables: DeliveryTables) {
    this.#sql = tables.sql;
    this.#tables = tables;
  }

  /**
   * Deliveries that name a person, of events that no Journal need have any more: those that are kept for longer than
   * from when they came, those whose events came before them, and those whose table lasts for what came later. Some are
   * looked at.
   *
   * @param sinceMs what came later is in a Journal.
   * @returns `next`: where to go on, null at the end.
   */
  outliving({
    address,
    sinceMs,
    after,
  }: {
    address: Address;
    sinceMs: number;
    after: KeptPlace | null;
  }): {
    ids: EventId[];
    next: KeptPlace | null;
  } {
    const ids: EventId[] = [];
    let looked = 0;
    let bytes = 0;
    for (const { place, rows, texts } of this.#all(sinceMs, after)) {
      for (const [id, all] of texts) {
        if (all.some((text) => mentions(text, address))) ids.push(id);
        bytes += all.reduce((sum, { length }) => sum + length, 0);
      }
      looked += rows;
      if (looked >= MAX_LOOKED_AT || bytes >= MAX_BYTES_LOOKED_AT) return { ids, next: place };
    }
    return { ids, next: null };
  }

  *#all(sinceMs: number, after: KeptPlace | null): Generator<Looked> {
    if (after?.past === undefined) yield* this.#kept(sinceMs, after);
    for (const period of this.#tables.periods) {
      const from = after?.past === undefined || period > after.period ? 0 : after.past;
      if (after?.past === undefined || period >= after.period) {
        yield* this.#past(period, from, sinceMs);
      }
    }
  }

  /** With attempts and body, where they may outlive a Journal. */
  *#kept(sinceMs: number, after: KeptPlace | null): Generator<Looked> {
    const isOut = "created_at <= ?1 OR created_at = kept_from";
    for (const period of this.#tables.periods) {
      if (after !== null && period < after.period) continue;
      const { keptFromMs, id } = after?.period === period ? after : { keptFromMs: 0, id: "" };
      const query = `SELECT id, kept_from, CASE WHEN ${isOut} THEN log END AS log, CASE WHEN ${isOut} THEN body END AS body FROM deliveries_${period} INDEXED BY kept_${period} WHERE kept_from IS NOT NULL AND (kept_from, id) > (?2, ?3) ORDER BY kept_from, id`;
      for (const row of this.#sql.exec<KeptRow>(query, sinceMs, keptFromMs, id)) {
        const place = { period, keptFromMs: row.kept_from, id: row.id as EventId };
        const texts = [row.log ?? "", new Uint8Array(row.body ?? [])];
        yield { place, rows: 1, texts: new Map([[place.id, texts]]) };
      }
    }
  }

  /** What services answered to what arrived until `sinceMs` and is not kept for longer: its table lasts for what came later. */
  *#past(period: number, from: number, sinceMs: number): Generator<Looked> {
    for (let seq = from; ; ) {
      const last = this.#lastOf(period, seq, sinceMs);
      if (last === null) return;
      const query = `SELECT a.seq, d.id, CASE WHEN kept_from IS NULL AND (${MAY_NAME}) THEN log END AS log FROM arrivals_${period} a CROSS JOIN json_each(a.ids) j CROSS JOIN deliveries_${period} d ON d.id = j.value WHERE a.seq > ? AND a.seq <= ? ORDER BY a.seq`;
      const nothing = { period, keptFromMs: 0, id: "" as EventId };
      let all: Looked = { place: { ...nothing, past: seq }, rows: 0, texts: new Map() };
      for (const row of this.#sql.exec<AnswersRow>(query, seq, last)) {
        if (row.seq !== all.place.past) {
          yield all;
          all = { place: { ...nothing, past: row.seq }, rows: 0, texts: new Map() };
        }
        all.rows += 1 / ROWS_PASSED;
        if (row.log !== null) all.texts.set(row.id as EventId, [row.log]);
      }
      yield { ...all, place: { ...nothing, past: last } };
      seq = last;
    }
  }

  /** The last of the next arrivals that came until `untilMs`; null when none did. */
  #lastOf(period: number, seq: number, untilMs: number): number | null {
    return this.#sql
      .exec<{ seq: number | null }>(
        `SELECT max(seq) AS seq FROM (SELECT seq, at FROM arrivals_${period} WHERE seq > ? ORDER BY seq LIMIT ${ARRIVALS_AT_ONCE}) WHERE at <= ?`,
        seq,
        untilMs,
      )
      .one().seq;
  }
}
