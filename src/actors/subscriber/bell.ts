/** What a loop sleeps by until something changes: a call, or a time. */
export class Bell {
  #rung = false;
  #resolve: () => void = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  /** Something changed since the last wait. */
  get rung(): boolean {
    return this.#rung;
  }

  ring(): void {
    this.#rung = true;
    this.#resolve();
  }

  /** Resolves when it rings, and at the latest after `waitMs`. */
  async wait(waitMs: number): Promise<void> {
    if (!this.#rung) {
      this.#ringBy(Date.now() + waitMs);
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
      });
    }
    this.#rung = false;
  }

  /** A timer that is left would keep the object awake. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }

  /** A timer that rings earlier will do: to wake once too often costs less than to set another. */
  #ringBy(atMs: number): void {
    if (this.#timerAtMs <= atMs) return;
    this.stop();
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#resolve();
    }, atMs - Date.now());
  }
}
