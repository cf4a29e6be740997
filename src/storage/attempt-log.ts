/** The attempt log of a delivery as it is stored: in the delivery's own row. */
import type { AttemptRecord } from "../domain/delivery";
import { jsonOfAttempts } from "./stored-json";

const MAX_LOG_ENTRIES = 20;
const MAX_LOG_BYTES = 64 * 1024;
/** UTF-8 needs no more for a UTF-16 code unit; so most logs need not be encoded to know that they fit. */
const MAX_BYTES_PER_UNIT = 3;
/** UTF-16 code units of which JSON makes six bytes each, beside what else the log holds then. */
const MAX_ESCAPED = 8 * 1024;

const utf8 = new TextEncoder();

/** The last 20 attempts in 64 KB: past that the oldest bodies go first, and of the newest its end. */
export function encodeLog(log: readonly AttemptRecord[]): string | null {
  if (log.length === 0) return null;
  const kept = log.slice(-MAX_LOG_ENTRIES);
  let text = jsonOfAttempts(kept);
  for (const [index, attempt] of kept.entries()) {
    if (text.length * MAX_BYTES_PER_UNIT <= MAX_LOG_BYTES) break;
    if (utf8.encode(text).length <= MAX_LOG_BYTES) break;
    const isLast = index === kept.length - 1;
    const responseBody = isLast ? (attempt.responseBody?.slice(0, MAX_ESCAPED) ?? null) : null;
    const responseTruncated = attempt.responseTruncated || responseBody !== attempt.responseBody;
    const responseHeaders = isLast ? attempt.responseHeaders : null;
    if (responseBody === attempt.responseBody && responseHeaders === attempt.responseHeaders)
      continue;
    kept[index] = { ...attempt, responseBody, responseTruncated, responseHeaders };
    text = jsonOfAttempts(kept);
  }
  return text;
}
