/** When the next attempt may start under a rate limit. It is in the `run` row. */
import { spacingMs } from "../../domain/pace";
import type { Run } from "../../storage/run";

export class Rate {
  readonly #run: Run;

  constructor(run: Run) {
    this.#run = run;
  }

  /** The time at which the next attempt may start under this limit, Unix milliseconds; the one after it comes later. */
  reserve(rateLimit: number, nowMs: number): number {
    const startAtMs = Math.max(this.#run.nextStartAtMs, nowMs);
    this.#run.nextStartAtMs = startAtMs + spacingMs(rateLimit);
    return startAtMs;
  }

  /** What was reserved from `startAtMs` on is free again. */
  free(startAtMs: number): void {
    this.#run.nextStartAtMs = Math.min(this.#run.nextStartAtMs, startAtMs);
  }

  /** An attempt started: no other may before its time. */
  started(rateLimit: number, nowMs: number): void {
    this.#run.nextStartAtMs = Math.max(this.#run.nextStartAtMs, nowMs + spacingMs(rateLimit));
  }

  /** The rate limit is another one: it does not have to wait as long as the one before. */
  adopt(rateLimit: number | null): void {
    this.free(rateLimit === null ? 0 : Date.now() + spacingMs(rateLimit));
  }
}
