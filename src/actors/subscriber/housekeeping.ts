/**
 * Expiry and retention of a Subscriber, a bounded part of it in each turn, while nothing is in flight. What fails keeps
 * no delivery waiting, and is tried again.
 */
import { Backoff } from "../../domain/backoff";
import { forgetAnswer } from "../../domain/health";
import { DAY_MS } from "../../domain/time";
import { errorText, logError } from "../../log";
import { DeliveryRetention } from "../../storage/delivery-retention";
import type { Deliveries, Parts as DeliveriesParts } from "./deliveries";

/** How many deliveries expire, or move to another table, in one turn. */
const MAX_ROWS = 500;
/** The alert warns a day before something expires: so far ahead the time must be exact. */
const EXACT_AHEAD_MS = DAY_MS;
/** What failed so often in a row does not mend itself. */
const FAILURES_TOLD = 3;

type Parts = Omit<DeliveriesParts, "runs" | "outlook"> & { deliveries: Deliveries };

export class Housekeeping {
  readonly #parts: Parts;
  readonly #retention: DeliveryRetention;
  readonly #backoff = new Backoff();
  #notBeforeMs = 0;
  #isBehind = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#retention = new DeliveryRetention(parts.tables, parts.store);
  }

  /** There is more to do than went into the last turn, which got on with it. */
  get isBehind(): boolean {
    return this.#isBehind || !this.#parts.ledger.tally.isCounted;
  }

  /** A person should know that it cannot be done. */
  get isStuck(): boolean {
    return this.#backoff.failures >= FAILURES_TOLD;
  }

  turn(): void {
    const retentionMs = this.#parts.retentionMs();
    if (!this.#parts.ledger.isAtRest) return;
    try {
      const { deliveries, ledger } = this.#parts;
      this.#isBehind = retentionMs !== null && this.#retain(retentionMs);
      if (!ledger.tally.isCounted) deliveries.health();
      this.#backoff.succeeded();
    } catch (thrown) {
      this.#isBehind = false;
      this.#notBeforeMs = Date.now() + this.#backoff.failed();
      const { webhookId } = this.#parts;
      logError("retention.failed", { webhookId, error: errorText(thrown) });
    }
  }

  /** Whether there is more to do. */
  #retain(retentionMs: number): boolean {
    const { ledger, deliveries } = this.#parts;
    const nowMs = Date.now();
    const isPast = ({ atMs }: { atMs: number }) => atMs + retentionMs <= nowMs;
    ledger.setHealth(forgetAnswer(ledger.run.health, isPast));
    const old = this.#retention
      .pendingSince(nowMs - retentionMs, ledger.freshFrom, MAX_ROWS)
      .filter(({ id }) => !ledger.leases.has(id));
    deliveries.expire(old);
    if (old.length > 0) return true;
    const isHeld = (period: number) => ledger.leases.isIn(period);
    for (;;) {
      const terms = { retentionMs, limit: MAX_ROWS, run: ledger.run, isHeld };
      const done = this.#retention.turn(nowMs, terms);
      if (done === null) return false;
      ledger.tally.retained(done);
      if (done.moved === 0) continue;
      ledger.passEnded();
      return true;
    }
  }

  /** When there is more to do, Unix milliseconds; null when there is nothing that has a time. */
  nextAtMs(): number | null {
    const nextMs = this.isBehind ? Date.now() : this.nextExpiryMs();
    return nextMs === null ? null : Math.max(nextMs, this.#notBeforeMs);
  }

  /** When the next pending delivery expires; null without any, or without retention. */
  nextExpiryMs(): number | null {
    const retentionMs = this.#parts.retentionMs();
    if (retentionMs === null) return null;
    const sinceMs = this.#retention.oldestPendingMs(
      this.#parts.ledger.freshFrom,
      Date.now() - retentionMs + Math.min(EXACT_AHEAD_MS, retentionMs / 6),
    );
    return sinceMs === null ? null : sinceMs + retentionMs;
  }
}
