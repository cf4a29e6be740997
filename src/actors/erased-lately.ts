/**
 * What was erased a moment ago, by id. Who read a body before that and hands it over after it (a consumer between two
 * calls, a replay, a redrive) brings an erased person back: it is not taken. In memory: it is about calls that are
 * under way, each with a time limit. `DeadLetters` remembers with it, too, which letters were deleted. An object that
 * is evicted or restarted between two of them forgets it.
 */
import { MINUTE_MS } from "../domain/time";

/** The longest that an invocation runs: https://developers.cloudflare.com/queues/platform/limits/ */
const REMEMBERED_MS = 15 * MINUTE_MS;

export class ErasedLately {
  readonly #atMs = new Map<string, number>();

  add(ids: readonly string[]): void {
    const nowMs = Date.now();
    for (const [id, atMs] of this.#atMs) {
      if (atMs + REMEMBERED_MS > nowMs) break;
      this.#atMs.delete(id);
    }
    for (const id of ids) {
      // Anew at the end: they stand in the order of time.
      this.#atMs.delete(id);
      this.#atMs.set(id, nowMs);
    }
  }

  has(id: string): boolean {
    const atMs = this.#atMs.get(id);
    return atMs !== undefined && atMs + REMEMBERED_MS > Date.now();
  }
}
