/** Expiry and retention of a Subscriber, some rows in a turn. What fails keeps no delivery waiting, and is tried again. */
import { Backoff } from "../../domain/backoff";
import { errorText, logError } from "../../log";
import type { Engine } from "./engine";

/** What failed so often in a row does not mend itself. */
const FAILURES_TOLD = 3;

export class Housekeeping {
  readonly #webhookId: string;
  readonly #backoff = new Backoff();
  #notBeforeMs = 0;

  constructor(webhookId: string) {
    this.#webhookId = webhookId;
  }

  /** A person should know that it cannot be done. */
  get isStuck(): boolean {
    return this.#backoff.failures >= FAILURES_TOLD;
  }

  /** Does a bounded part of it, unless the pump runs. */
  turn({ pump, deliveries }: Engine): void {
    if (pump.running) return;
    try {
      deliveries.retain();
      this.#backoff.succeeded();
    } catch (thrown) {
      this.#notBeforeMs = Date.now() + this.#backoff.failed();
      logError("retention.failed", { webhookId: this.#webhookId, error: errorText(thrown) });
    }
  }

  /** When there is more to do, Unix milliseconds; null when there is nothing that has a time. */
  nextAtMs({ deliveries }: Engine): number | null {
    const nextMs = deliveries.nextExpiryMs();
    return nextMs === null ? null : Math.max(nextMs, this.#notBeforeMs);
  }
}
