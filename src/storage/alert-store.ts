/**
 * All SQL of the Registry's alerts. Reading creates nothing.
 *
 * | table | key | what | lifetime | growth |
 * |---|---|---|---|---|
 * | `alerts` | cause | what a person should know, sent or not, when it was last found to be so, and when it was last sent | while it lasts | 1 row a cause, of which a webhook has some seven |
 * | `refusals` | the mark of an `ALERT_URL` (1 in 0.1.0) | since when it takes no alerts, how often it refused, and when it is asked again | until it takes one, or another refuses | 1 row |
 */
import type { AlertText } from "../domain/alert";
import { DAY_MS } from "../domain/time";
import { Store } from "./tables";

/** `sentAtMs` is null until it was taken. */
export type Alert = AlertText & { raisedAtMs: number; sentAtMs: number | null };

type Refusals = {
  sinceMs: number;
  /** Of the last answer; null without one. */
  statusCode: number | null;
  count: number;
  askAgainAtMs: number;
};

const ALERTS =
  "CREATE TABLE alerts (cause TEXT PRIMARY KEY, text TEXT NOT NULL, raised_at INTEGER NOT NULL, sent_at INTEGER) WITHOUT ROWID";
const REFUSALS =
  "CREATE TABLE refusals (id INTEGER PRIMARY KEY, since INTEGER NOT NULL, status_code INTEGER, count INTEGER NOT NULL, ask_again_at INTEGER NOT NULL)";
const COLUMNS = 'cause, text, raised_at AS "raisedAtMs", sent_at AS "sentAtMs"';
/** What lasts is told again after this time. */
const REPEAT_MS = DAY_MS;

export class AlertStore extends Store {
  all(): Alert[] {
    return this.tables.rows("alerts", `SELECT ${COLUMNS} FROM alerts`);
  }

  /** What is to be sent next: what was not sent yet, or is so still after a day. */
  firstDue(nowMs: number): Alert | null {
    const due = `SELECT ${COLUMNS} FROM alerts WHERE sent_at IS NULL OR sent_at <= ? ORDER BY raised_at LIMIT 1`;
    return this.tables.first("alerts", due, nowMs - REPEAT_MS);
  }

  /** Keeps when it was sent. */
  raise({ cause, text }: AlertText, nowMs: number): void {
    this.tables.make("alerts", ALERTS);
    const raise =
      "INSERT INTO alerts (cause, text, raised_at) VALUES (?, ?, ?) ON CONFLICT (cause) DO UPDATE SET text = excluded.text, raised_at = excluded.raised_at";
    this.tables.sql.exec(raise, cause, text, nowMs);
  }

  sent(cause: string, nowMs: number): void {
    this.tables.sql.exec("UPDATE alerts SET sent_at = ? WHERE cause = ?", nowMs, cause);
  }

  forget(cause: string): void {
    if (!this.tables.has("alerts")) return;
    this.tables.sql.exec("DELETE FROM alerts WHERE cause = ?", cause);
  }

  /** @param mark of a URL: what another one refused is not its. */
  refusals(mark: number): Refusals | null {
    const of =
      'SELECT since AS "sinceMs", status_code AS "statusCode", count, ask_again_at AS "askAgainAtMs" FROM refusals WHERE id = ?';
    return this.tables.first("refusals", of, mark);
  }

  refused(mark: number, { sinceMs, statusCode, count, askAgainAtMs }: Refusals): void {
    this.accepted();
    const times = { since: sinceMs, ask_again_at: askAgainAtMs };
    this.tables.put("refusals", { id: mark, status_code: statusCode, count, ...times }, REFUSALS);
  }

  accepted(): void {
    if (this.tables.has("refusals")) this.tables.sql.exec("DELETE FROM refusals");
  }
}
