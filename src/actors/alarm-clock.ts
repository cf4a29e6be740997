/** The one alarm of an object, and what is known of it in memory: setting it is a billed row. */

/** An alarm that is this late will not come any more. */
const OVERDUE_MS = 5_000;

export class AlarmClock {
  readonly #storage: DurableObjectStorage;
  #setToMs: number | null = null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** Call it once, before anything else. */
  async load(): Promise<void> {
    this.#setToMs = await this.#storage.getAlarm();
  }

  /** Sets the alarm to `atMs`, unless it rings before that anyway. null leaves it as it is. */
  arm(atMs: number | null): void {
    if (atMs === null) return;
    const nowMs = Date.now();
    const wantedMs = Math.max(atMs, nowMs + 1);
    const setToMs = this.#setToMs ?? Number.POSITIVE_INFINITY;
    if (setToMs > nowMs - OVERDUE_MS && setToMs <= wantedMs) return;
    this.#setToMs = wantedMs;
    void this.#storage.setAlarm(wantedMs);
  }

  /** It rings: no alarm is set any more. */
  rang(): void {
    this.#setToMs = null;
  }

  async cancel(): Promise<void> {
    this.#setToMs = null;
    await this.#storage.deleteAlarm();
  }
}
