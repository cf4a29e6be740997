/** The attempt log of a delivery as it is stored: in the delivery's own row. */
import type { AttemptRecord } from "../domain/delivery";
import { attemptsOf, jsonOfAttempts } from "./stored-json";

const MAX_LOG_ENTRIES = 20;
const MAX_LOG_BYTES = 64 * 1024;
/** UTF-8 needs no more for a UTF-16 code unit; so most logs need not be encoded to know that they fit. */
const MAX_BYTES_PER_UNIT = 3;

const utf8 = new TextEncoder();

export function decodeLog(text: string | null): AttemptRecord[] {
  return text === null ? [] : attemptsOf(text);
}

/** The last 20 attempts in 64 KB: past that the oldest bodies go first. */
export function encodeLog(log: readonly AttemptRecord[]): string | null {
  if (log.length === 0) return null;
  const kept = log.slice(-MAX_LOG_ENTRIES);
  let text = jsonOfAttempts(kept);
  for (const [index, attempt] of kept.entries()) {
    if (text.length * MAX_BYTES_PER_UNIT <= MAX_LOG_BYTES) break;
    if (utf8.encode(text).length <= MAX_LOG_BYTES) break;
    const { responseBody, responseHeaders } = attempt;
    if (responseBody === null && responseHeaders === null) continue;
    const responseTruncated = attempt.responseTruncated || responseBody !== null;
    kept[index] = { ...attempt, responseBody: null, responseTruncated, responseHeaders: null };
    text = jsonOfAttempts(kept);
  }
  return text;
}
