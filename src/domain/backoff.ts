/** The waits after failures in a row: a second, doubled each time, a minute at most. */
const MIN_MS = 1_000;
const MAX_MS = 60_000;

export class Backoff {
  #failures = 0;

  get failures(): number {
    return this.#failures;
  }

  /** How long to wait now, in milliseconds. */
  failed(): number {
    const waitMs = Math.min(MIN_MS * 2 ** this.#failures, MAX_MS);
    this.#failures += 1;
    return waitMs;
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
