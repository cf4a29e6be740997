/**
 * Cuts requests that take too long. One timer for all that are under way: a timer for each, set and cleared again,
 * took as long as signing the request (bench: `deliver`).
 */
export class Deadlines {
  /** Unix milliseconds by which each is cut. */
  readonly #endsAtMs = new Map<AbortController, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  /** @returns what aborts after `timeoutMs`, unless it is given to `end` before. */
  begin(timeoutMs: number): AbortController {
    const controller = new AbortController();
    const endsAtMs = Date.now() + timeoutMs;
    this.#endsAtMs.set(controller, endsAtMs);
    if (endsAtMs < this.#timerAtMs) this.#ringAt(endsAtMs);
    return controller;
  }

  /** A timer that is left would keep the object awake. */
  end(controller: AbortController): void {
    this.#endsAtMs.delete(controller);
    if (this.#endsAtMs.size === 0) this.#ringAt(Number.POSITIVE_INFINITY);
  }

  #ringAt(atMs: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#cut(), Math.max(0, atMs - Date.now()));
  }

  #cut(): void {
    const nowMs = Date.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [controller, endsAtMs] of this.#endsAtMs) {
      if (endsAtMs <= nowMs) controller.abort();
      else nextMs = Math.min(nextMs, endsAtMs);
    }
    this.#ringAt(nextMs);
  }
}
