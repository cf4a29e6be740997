/** When the next attempt may start under a rate limit. It is in the `run` row. */
import { spacingMs } from "../../domain/pace";
import type { Run } from "../../storage/run";

export class Rate {
  readonly #run: Run;
  /** Limited or not, since this object started; Unix milliseconds. */
  #lastStartAtMs = 0;

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

  /** An attempt started: under a limit no other may before its time. */
  started(rateLimit: number | null, nowMs: number): void {
    this.#lastStartAtMs = nowMs;
    if (rateLimit === null) return;
    this.#run.nextStartAtMs = Math.max(this.#run.nextStartAtMs, nowMs + spacingMs(rateLimit));
  }

  /** When what was planned for a time may start: a late start moves the next one, no burst makes up for it. */
  earliest(rateLimit: number | null, startAtMs: number): number {
    return rateLimit === null ? 0 : Math.max(startAtMs, this.#lastStartAtMs + spacingMs(rateLimit));
  }

  /** The rate limit is another one: what is next waits as long as it asks for, and no longer. */
  adopt(rateLimit: number | null): void {
    const { nextStartAtMs } = this.#run;
    this.#run.nextStartAtMs = this.earliest(rateLimit, nextStartAtMs);
    this.free(Date.now() + spacingMs(rateLimit));
  }
}
