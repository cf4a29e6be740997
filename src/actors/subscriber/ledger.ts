/**
 * The ledger of a Subscriber: which attempts are leased, where fresh deliveries begin, what was counted and how the
 * service is doing. It alone writes outcomes and the `run` row.
 *
 *     leased ──answer──▶ answered ──record──▶ on disk
 *
 * What is leased is on disk before it starts. The counters in the `run` row are those of before the lease in it:
 * what came of its attempts is counted from their own rows when the object starts again.
 */
import { emptyHour, HOUR_MS } from "../../domain/counters";
import { isGivenUp, type Outcome, type Policy } from "../../domain/delivery";
import { assess, type Health, isNotable, noteLateness } from "../../domain/health";
import type { EventId } from "../../domain/ids";
import { spacingMs } from "../../domain/pace";
import type { DeliveryStore } from "../../storage/delivery-store";
import {
  type DueDelivery,
  isBefore,
  type Position,
  type StoredDelivery,
} from "../../storage/delivery-tables";
import type { LeasedAttempt, Run, RunStore } from "../../storage/run-store";
import { countChange, recorded } from "./outcomes";

/** Counters of finished hours are kept for so long: what the charts can show. */
const MAX_HOURS_KEPT_MS = 31 * 24 * HOUR_MS;

export type Stores = { deliveries: DeliveryStore; runs: RunStore };

/** A delivery before and after an attempt's outcome was written. */
export type Written = { before: StoredDelivery; after: StoredDelivery };

export type LedgerHost = {
  /** What becomes of failed attempts; known also while the webhook is held. */
  policy(): Policy;
  /** Called once for each attempt, with those that were written together. */
  recorded(written: readonly Written[]): void;
  healthChanged(before: Health, after: Health): void;
};

type Leased = { delivery: StoredDelivery; lease: LeasedAttempt };
type Answered = Leased & { outcome: Outcome };

export class Ledger {
  readonly #host: LedgerHost;
  readonly #store: DeliveryStore;
  readonly #runs: RunStore;
  readonly #run: Run;
  /** Leased attempts without an outcome on disk, in the order of their start. */
  readonly #leased = new Map<EventId, Leased>();
  #window = 0;
  #answered: Answered[] = [];
  #oldestAnswerAtMs = 0;
  #runIsOnDisk = true;
  #closed = false;

  /** @param run the state as stored, after recovery; written back by the ledger alone from here on. */
  constructor(host: LedgerHost, { deliveries, runs }: Stores, run: Run) {
    this.#host = host;
    this.#store = deliveries;
    this.#runs = runs;
    this.#run = run;
  }

  // --- what stands ------------------------------------------------------------------------------------------

  get health(): Health {
    return this.#run.health;
  }

  /** What was counted: the running hour, what ever happened, what is undeliverable now (null: not counted yet). */
  get counts(): Pick<Run, "hour" | "totals" | "undeliverable"> {
    return this.#run;
  }

  /** The first position that may hold a fresh delivery which is not leased. */
  get head(): Position {
    return this.#run.head;
  }

  /** How many deliveries have ended and were not opened again, as far as it is on disk. */
  get ended(): number {
    return this.#run.ended;
  }

  /** The earliest start of the next attempt under a rate limit, Unix milliseconds. */
  get nextStartAtMs(): number {
    return this.#run.nextStartAtMs;
  }

  /** Where deliveries begin that are fresh on disk: leased ones are among them. */
  get freshFrom(): Position {
    const { deliveries, head } = this.#store.fresh(this.#run.head, 1, 0);
    let first = deliveries[0]?.position ?? head;
    for (const { lease } of this.#leased.values()) {
      if (lease.fresh !== null && isBefore(lease.fresh, first)) first = lease.fresh;
    }
    return first;
  }

  /** Nothing is leased, under way or unrecorded. */
  get isAtRest(): boolean {
    return this.#leased.size === 0;
  }

  isLeased(id: EventId): boolean {
    return this.#leased.has(id);
  }

  /** How many attempts have no outcome on disk. */
  get leased(): number {
    return this.#leased.size;
  }

  /** How many outcomes are not on disk. */
  get unrecorded(): number {
    return this.#answered.length;
  }

  /** Since when the oldest of them waits, Unix milliseconds. */
  get oldestAnswerAtMs(): number {
    return this.#oldestAnswerAtMs;
  }

  /** Whether health has changed and is not on disk. */
  get hasNews(): boolean {
    return !this.#runIsOnDisk;
  }

  // --- fresh deliveries -------------------------------------------------------------------------------------

  /** The first fresh delivery that is not leased. Moves the head there: what it passes is never fresh again. */
  firstFresh(): DueDelivery | null {
    const { deliveries, head } = this.#store.fresh(this.#run.head, 1, 0);
    const [first = null] = deliveries;
    this.#run.head = first?.position ?? head;
    return first;
  }

  /** Fresh deliveries before `head` are leased, or not fresh any more. */
  moveHead(head: Position): void {
    this.#run.head = head;
  }

  // --- lease ------------------------------------------------------------------------------------------------

  /**
   * Leases attempts, in the order in which they will start. They may start when this is on disk.
   *
   * @param window how many of those that are leased may ever have started without an outcome on disk.
   */
  lease(
    attempts: readonly { delivery: DueDelivery; lease: LeasedAttempt }[],
    window: number,
  ): void {
    this.#window = window;
    const dues = attempts.map(({ delivery }) => delivery.dueAtMs ?? delivery.createdAtMs);
    this.#run.health = noteLateness(this.#run.health, Math.min(...dues), Date.now());
    for (const { delivery, lease } of attempts) {
      const { body: _, ...stored } = delivery;
      this.#leased.set(delivery.id, { delivery: stored, lease });
    }
    this.save();
  }

  /** Ends leases of attempts that have not started; on disk with the next `save`. */
  giveBack(attempts: readonly Leased[]): void {
    for (const { delivery, lease } of attempts) {
      this.#leased.delete(delivery.id);
      if (lease.fresh !== null) this.#rewind(lease.fresh);
    }
  }

  #rewind(position: Position): void {
    if (isBefore(position, this.#run.head)) this.#run.head = position;
  }

  /** Writes lease, head, counters and health. */
  save(): void {
    if (this.#closed) return;
    const attempts = [...this.#leased.values()].map(({ lease }) => lease);
    this.#run.lease = { window: this.#window, attempts };
    this.#runs.saveRun(this.#run);
    this.#runIsOnDisk = true;
  }

  /** The webhook was deleted: nothing is written any more, and outcomes that still come have nowhere to go. */
  close(): void {
    this.#closed = true;
    this.#leased.clear();
    this.#answered = [];
  }

  // --- rate -------------------------------------------------------------------------------------------------

  /** The time at which the next attempt may start under this limit, Unix milliseconds; the one after it comes later. */
  reserveStart(rateLimit: number, nowMs: number): number {
    const startAtMs = Math.max(this.#run.nextStartAtMs, nowMs);
    this.#run.nextStartAtMs = startAtMs + spacingMs(rateLimit);
    return startAtMs;
  }

  /** What was reserved from `startAtMs` on is free again. */
  freeStarts(startAtMs: number): void {
    this.#run.nextStartAtMs = Math.min(this.#run.nextStartAtMs, startAtMs);
  }

  /** An attempt started: no other may before its time. */
  started(rateLimit: number, nowMs: number): void {
    const nextMs = nowMs + spacingMs(rateLimit);
    this.#run.nextStartAtMs = Math.max(this.#run.nextStartAtMs, nextMs);
  }

  /** The rate limit is another one: it does not have to wait as long as the one before. */
  adoptRate(rateLimit: number | null): void {
    this.freeStarts(rateLimit === null ? 0 : Date.now() + spacingMs(rateLimit));
  }

  // --- outcomes ---------------------------------------------------------------------------------------------

  /**
   * An attempt came to an end. It is on disk after `record`.
   *
   * @param isStale it went to another URL than the one now in force: what it says of the service does not count.
   */
  answer(id: EventId, given: Outcome, isStale: boolean): void {
    const leased = this.#leased.get(id);
    if (leased === undefined) return;
    if (this.#answered.length === 0) this.#oldestAnswerAtMs = Date.now();
    // An answer to what was erased meanwhile may echo it.
    const responseBody = leased.delivery.lastError === "erased" ? null : given.responseBody;
    const retryAfterMs = isStale ? null : given.retryAfterMs;
    const outcome = { ...given, responseBody, retryAfterMs };
    this.#answered.push({ ...leased, outcome });
    if (!isStale) this.#assess(outcome, leased.delivery);
  }

  #assess(outcome: Outcome, { id: eventId, event }: StoredDelivery): void {
    const before = this.#run.health;
    const givenUp = isGivenUp(outcome, this.#host.policy());
    const after = assess(before, outcome, { eventId, event, givenUp });
    this.#run.health = after;
    if (!isNotable(before, after)) return;
    this.#runIsOnDisk = false;
    this.#host.healthChanged(before, after);
  }

  /** Replaces the webhook's health: a person released it. */
  setHealth(health: Health): void {
    this.#run.health = health;
    this.save();
  }

  /** Writes the outcomes that came in, one row each. Should a write fail, they stay and are written again. */
  record(): void {
    const policy = this.#host.policy();
    const written: Written[] = [];
    try {
      for (let next = this.#answered[0]; next !== undefined; next = this.#answered[0]) {
        const { delivery, lease, outcome } = next;
        const after = recorded({ delivery, attempt: lease, outcome }, policy);
        this.#store.update(after);
        this.#answered.shift();
        this.#leased.delete(delivery.id);
        this.count(delivery, after);
        written.push({ before: delivery, after });
      }
    } finally {
      if (written.length > 0) this.#host.recorded(written);
    }
    if (!this.#runIsOnDisk) this.save();
  }

  /** A person changed a delivery that may be in flight: its outcome is applied to what it is now. */
  amend(delivery: StoredDelivery): void {
    const leased = this.#leased.get(delivery.id);
    if (leased !== undefined) leased.delivery = delivery;
  }

  /** Counts what became of a delivery; on disk with the next `save`, and a finished hour when the next one begins. */
  count(before: StoredDelivery, after: StoredDelivery): void {
    const nowMs = Date.now();
    const isOver = this.#run.hour.atMs + HOUR_MS <= nowMs;
    if (isOver) {
      if (this.#run.hour.atMs > 0) this.#runs.saveHour(this.#run.hour, nowMs - MAX_HOURS_KEPT_MS);
      this.#run.hour = emptyHour(nowMs);
    }
    countChange(this.#run, before, after);
    if (isOver) this.save();
  }

  /** What is undeliverable by period, counted row by row; null when it is to be counted anew. */
  setUndeliverable(byPeriod: Run["undeliverable"]): void {
    this.#run.undeliverable = byPeriod;
  }

  /** Says how many deliveries have ended: they were counted row by row. */
  recounted(ended: number): void {
    this.#run.ended = ended;
  }
}
