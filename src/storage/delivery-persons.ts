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
/** Rows, and bytes of bodies and attempts, that one such look reads. */
const MAX_LOOKED_AT = 1_000;
const MAX_BYTES_LOOKED_AT = 8 * 1024 * 1024;
/** So many rows whose answers are searched within SQLite count as one that is read. */
const ROWS_PASSED = 20;
const ARRIVALS_AT_ONCE = 100;
/** With bodies, which are held meanwhile. */
const KEPT_AT_ONCE = 20;
/** However an address is written, one of these is in it, as itself or as an escape of JSON. */
const MAY_NAME = "log GLOB '*[@\uFF20%=&]*' OR log GLOB '*u00[234]*' OR log GLOB '*u[fF][fF]20*'";

export class DeliveryPersons {
  readonly #tables: DeliveryTables;

  constructor(tables: DeliveryTables) {
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
  outliving(address: Address, sinceMs: number, after: KeptPlace | null) {
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

  /** Each statement is read to its end: a cursor that is left open would stand in the way of a DROP TABLE. */
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
      const query = `SELECT id, kept_from, CASE WHEN ${isOut} THEN log END AS log, CASE WHEN ${isOut} THEN body END AS body FROM deliveries_${period} INDEXED BY kept_${period} WHERE kept_from IS NOT NULL AND (kept_from, id) > (?2, ?3) ORDER BY kept_from, id LIMIT ${KEPT_AT_ONCE}`;
      let place: KeptPlace = { period, keptFromMs: 0, id: "" as EventId };
      if (after?.period === period) place = after;
      for (let isMore = true; isMore; ) {
        const { keptFromMs, id } = place;
        const rows = this.#tables.rows<KeptRow>(query, sinceMs, keptFromMs, id);
        for (const row of rows) {
          place = { period, keptFromMs: row.kept_from, id: row.id as EventId };
          const texts = [row.log ?? "", new Uint8Array(row.body ?? [])];
          yield { place, rows: 1, texts: new Map([[place.id, texts]]) };
        }
        isMore = rows.length === KEPT_AT_ONCE;
      }
    }
  }

  /** What services answered to what arrived until `sinceMs` and is not kept for longer: its table lasts for what came later. */
  *#past(period: number, from: number, sinceMs: number): Generator<Looked> {
    const query = `SELECT d.id, CASE WHEN kept_from IS NULL AND (${MAY_NAME}) THEN log END AS log FROM arrivals_${period} a CROSS JOIN json_each(a.ids) j CROSS JOIN deliveries_${period} d ON d.id = j.value WHERE a.seq = ?`;
    for (let seqs = this.#behind(period, from, sinceMs); seqs.length > 0; ) {
      for (const seq of seqs) {
        const rows = this.#tables.rows<{ id: string; log: string | null }>(query, seq);
        const texts = new Map(
          rows.flatMap(({ id, log }) => (log === null ? [] : [[id as EventId, [log]]])),
        );
        const place = { period, keptFromMs: 0, id: "" as EventId, past: seq };
        yield { place, rows: (1 + rows.length) / ROWS_PASSED, texts };
      }
      seqs = this.#behind(period, seqs.at(-1) ?? from, sinceMs);
    }
  }

  /** Of the next arrivals those that came until `untilMs`. */
  #behind(period: number, seq: number, untilMs: number): number[] {
    const query = `SELECT seq FROM (SELECT seq, at FROM arrivals_${period} WHERE seq > ? ORDER BY seq LIMIT ${ARRIVALS_AT_ONCE}) WHERE at <= ? ORDER BY seq`;
    return this.#tables.rows<{ seq: number }>(query, seq, untilMs).map((row) => row.seq);
  }
}
