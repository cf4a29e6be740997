/** The six requests that one object may have in flight, whoever makes them. */
import { MAX_IN_FLIGHT } from "../../domain/pace";

export class Slots {
  #taken = 0;
  readonly #waiting: (() => void)[] = [];

  /** How many may be taken now; who waits goes before. */
  get free(): number {
    return this.#waiting.length === 0 ? MAX_IN_FLIGHT - this.#taken : 0;
  }

  take(): void {
    this.#taken += 1;
  }

  async takeNext(): Promise<void> {
    if (this.free > 0) {
      this.take();
      return;
    }
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Gives one back: to who waits longest, if anyone does. */
  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken -= 1;
    else next();
  }
}
