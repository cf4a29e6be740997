/**
 * The first look for duplicates, in KV: key = event id, value = hex SHA-256 of the body, lifetime
 * `IDEMPOTENCY_TTL`. KV is eventually consistent, caches misses and cannot compare and set: two copies may both
 * pass here, and the unique event id inside each Subscriber decides. An error, or no answer in time, is "not seen".
 */
import { inTime } from "../deadline";
import type { EventId } from "../domain/ids";

/** Longer would cost more than the duplicate that it may stop. */
const MAX_WAIT_MS = 500;
/** The shortest that KV takes: a miss is cached for so long. */
const CACHE_TTL_SECONDS = 30;

/** @returns the SHA-256 of the body that came with this id before, or null if it was not seen. */
export async function lookUpSeen(kv: KVNamespace, id: EventId): Promise<string | null> {
  try {
    return await inTime(kv.get(id, { cacheTtl: CACHE_TTL_SECONDS }), MAX_WAIT_MS);
  } catch {
    return null;
  }
}

/** Call it only after the queue has the event: a key for an event that was not enqueued would lose the event. */
export function rememberSeen(
  kv: KVNamespace,
  id: EventId,
  { bodySha256, ttlSeconds }: { bodySha256: string; ttlSeconds: number },
): Promise<void> {
  return kv.put(id, bodySha256, { expirationTtl: ttlSeconds });
}
