/** The attempt log of a delivery as it is stored: in the delivery's own row. */
import type { AttemptRecord, Outcome, Trigger } from "../domain/delivery";
import { attemptsOf } from "./stored-json";

const MAX_LOG_ENTRIES = 20;
const MAX_LOG_BYTES = 64 * 1024;
/** UTF-8 needs no more for a UTF-16 code unit; so most logs need not be encoded to know that they fit. */
const MAX_BYTES_PER_UNIT = 3;

const utf8 = new TextEncoder();

/** A log line without its field names, which would be most of a delivered row. */
type LogTuple = [
  number: number,
  trigger: Trigger,
  startedAtMs: number,
  durationMs: number,
  statusCode: number | null,
  error: Outcome["error"],
  responseBody: string | null,
  responseTruncated: 0 | 1,
  responseHeaders: Outcome["responseHeaders"],
];

export function decodeLog(text: string | null): AttemptRecord[] {
  return text === null ? [] : attemptsOf(text);
}

/** The last 20 attempts in 64 KB: past that the oldest bodies go first. */
export function encodeLog(log: readonly AttemptRecord[]): string | null {
  if (log.length === 0) return null;
  const lines = log
    .slice(-MAX_LOG_ENTRIES)
    .map(
      (record): LogTuple => [
        record.number,
        record.trigger,
        record.startedAtMs,
        record.durationMs,
        record.statusCode,
        record.error,
        record.responseBody,
        record.responseTruncated ? 1 : 0,
        record.responseHeaders,
      ],
    );
  let text = JSON.stringify(lines);
  for (const line of lines) {
    if (text.length * MAX_BYTES_PER_UNIT <= MAX_LOG_BYTES) break;
    if (utf8.encode(text).length <= MAX_LOG_BYTES) break;
    if (line[6] === null && line[8] === null) continue;
    if (line[6] !== null) line[7] = 1;
    line[6] = null;
    line[8] = null;
    text = JSON.stringify(lines);
  }
  return text;
}
