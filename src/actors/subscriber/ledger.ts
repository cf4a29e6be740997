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
import type { LeasedAttempt, Run, RunStore, Share, StoredShare } from "../../storage/run-store";
import { countChange, recorded } from "./outcomes";

/** Counters of finished hours are kept for so long: what the charts can show. */
const MAX_HOURS_KEPT_MS = 31 * 24 * HOUR_MS;

/** Of the last attempt in the mean duration. */
const WEIGHT_OF_LAST = 0.05;

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

/** `share`: the id of the share that it is in; null for one that this object makes itself. */
type Leased = {
  delivery: StoredDelivery;
  lease: LeasedAttempt;
  share: string | null;
  isAnswered: boolean;
};
type Answered = Pick<Leased, "delivery" | "lease"> & { outcome: Outcome };

/** What is leased together: attempts of this object, or those of a share. */
export type Leasing = {
  share: Share | null;
  attempts: readonly { delivery: DueDelivery; lease: LeasedAttempt }[];
};

export class Ledger {
  readonly #host: LedgerHost;
  readonly #store: DeliveryStore;
  readonly #runs: RunStore;
  readonly #run: Run;
  /** Leased attempts without an outcome on disk, in the order of their start. */
  readonly #leased = new Map<EventId, Leased>();
  /** With what of each has no outcome on disk, in the order of its start. */
  readonly #shares = new Map<string, { share: Share; open: Set<Leased> }>();
  /** What is leased may lie behind the head: shares were given back from between. Else all of it lies before. */
  #isMixed = false;
  #window = 0;
  #answered: Answered[] = [];
  #oldestAnswerAtMs = 0;
  #meanDurationMs: number | null = null;
  #runIsOnDisk = true;
  #closed = false;

  /** @param run the state as stored, after recovery; written back by the ledger alone from here on. */
  constructor(host: LedgerHost, { deliveries, runs }: Stores, run: Run) {
    this.#host = host;
    this.#store = deliveries;
    this.#runs = runs;
    this.#run = run;
    for (const { attempts, ...share } of run.shares) {
      this.#shares.set(share.id, { share, open: new Set() });
      for (const lease of attempts) {
        const delivery = deliveries.get(lease.id);
        if (delivery !== null) this.#open({ delivery, lease, share: share.id, isAnswered: false });
      }
    }
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

  /** Since when nobody listens, Unix milliseconds; null while somebody does, and where nobody has to. */
  get unconnectedSinceMs(): number | null {
    return this.#run.unconnectedSinceMs;
  }

  set unconnectedSinceMs(sinceMs: number | null) {
    this.#run.unconnectedSinceMs = sinceMs;
    this.save();
  }

  /** How many deliveries have ended and were not opened again, as far as it is on disk. */
  get ended(): number {
    return this.#run.ended;
  }

  /** The earliest start of the next attempt under a rate limit, Unix milliseconds. */
  get nextStartAtMs(): number {
    return this.#run.nextStartAtMs;
  }

  /** How long attempts took lately, in milliseconds; null before the first. */
  get meanDurationMs(): number | null {
    return this.#meanDurationMs;
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
    const { deliveries, head } = this.fresh(1, 0);
    const [first = null] = deliveries;
    this.#run.head = first?.position ?? head;
    return first;
  }

  /** Fresh deliveries that are not leased, from the head on, in the order of arrival; and the head after them. */
  fresh(limit: number, maxBytes: number): { deliveries: DueDelivery[]; head: Position } {
    const passed = this.#isMixed ? this.#leased : undefined;
    return this.#store.fresh(this.#run.head, limit, maxBytes, passed);
  }

  /** Fresh deliveries before `head` are leased, or not fresh any more. */
  moveHead(head: Position): void {
    this.#run.head = head;
  }

  // --- lease ------------------------------------------------------------------------------------------------

  /**
   * Leases attempts, in the order in which they will start. They may start when this is on disk.
   *
   * @param window how many of those that this object makes itself may ever have started without an outcome on disk.
   */
  lease(leasings: readonly Leasing[], window: number): void {
    this.#window = window;
    const all = leasings.flatMap(({ attempts }) => attempts);
    const dues = all.map(({ delivery }) => delivery.dueAtMs ?? delivery.createdAtMs);
    this.#run.health = noteLateness(this.#run.health, Math.min(...dues), Date.now());
    for (const { share, attempts } of leasings) {
      if (share !== null) this.#shares.set(share.id, { share, open: new Set() });
      for (const { delivery, lease } of attempts) {
        const { body: _, ...stored } = delivery;
        this.#open({ delivery: stored, lease, share: share?.id ?? null, isAnswered: false });
      }
    }
    this.save();
  }

  #open(leased: Leased): void {
    this.#leased.set(leased.lease.id, leased);
    if (leased.share === null) return;
    this.#isMixed = true;
    this.#shares.get(leased.share)?.open.add(leased);
  }

  #close(id: EventId): void {
    const leased = this.#leased.get(id);
    if (leased === undefined) return;
    this.#leased.delete(id);
    if (this.#leased.size === 0) this.#isMixed = false;
    if (leased.share !== null) this.#shares.get(leased.share)?.open.delete(leased);
  }

  /** Ends leases of attempts that have not started; on disk with the next `save`. */
  giveBack(attempts: readonly { lease: LeasedAttempt }[]): void {
    for (const { lease } of attempts) {
      this.#close(lease.id);
      if (lease.fresh !== null) this.#rewind(lease.fresh);
    }
  }

  #rewind(position: Position): void {
    if (isBefore(position, this.#run.head)) this.#run.head = position;
  }

  /** Writes lease, head, counters and health. */
  save(): void {
    if (this.#closed) return;
    const own = [...this.#leased.values()].filter(({ share }) => share === null);
    this.#run.lease = { window: this.#window, attempts: own.map(leaseOf) };
    this.#run.shares = [...this.#shares.values()].map(
      ({ share, open }): StoredShare => ({ ...share, attempts: [...open].map(leaseOf) }),
    );
    this.#runs.saveRun(this.#run);
    this.#runIsOnDisk = true;
  }

  /** The webhook was deleted: nothing is written any more, and outcomes that still come have nowhere to go. */
  close(): void {
    this.#closed = true;
    this.#leased.clear();
    this.#shares.clear();
    this.#answered = [];
  }

  // --- shares -----------------------------------------------------------------------------------------------

  get shares(): readonly Share[] {
    return [...this.#shares.values()].map(({ share }) => share);
  }

  share(id: string): Share | undefined {
    return this.#shares.get(id)?.share;
  }

  /** What of a share has no outcome on disk, in the order of its start. */
  openIn(share: string): LeasedAttempt[] {
    return [...(this.#shares.get(share)?.open ?? [])].map(leaseOf);
  }

  openCount(share: string): number {
    return this.#shares.get(share)?.open.size ?? 0;
  }

  /** The share that a delivery is in; null when it is in none. */
  shareOf(id: EventId): string | null {
    return this.#leased.get(id)?.share ?? null;
  }

  /** Forgets a share of which nothing is open. */
  endShare(id: string): void {
    this.#shares.delete(id);
  }

  /** What of a share has not started, and will not, goes back; on disk with the next `record`. */
  giveBackOf(share: string, ids: readonly EventId[]): void {
    const unsent = ids.flatMap((id) => this.#leased.get(id) ?? []);
    const back = unsent.filter((leased) => leased.share === share && !leased.isAnswered);
    this.giveBack(back);
    if (back.length > 0) this.#runIsOnDisk = false;
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
   * An attempt came to an end. It is on disk after `record`. What is not leased so, or has an outcome, is passed over:
   * a Lane may report twice.
   *
   * @param isStale it went to another URL than the one now in force: what it says of the service does not count.
   */
  answer(
    { id, number }: { id: EventId; number: number },
    given: Outcome,
    { isStale, share = null }: { isStale: boolean; share?: string | null },
  ): void {
    const leased = this.#leased.get(id);
    if (leased === undefined || leased.isAnswered) return;
    if (leased.lease.number !== number || leased.share !== share) return;
    leased.isAnswered = true;
    if (this.#answered.length === 0) this.#oldestAnswerAtMs = Date.now();
    const { delivery, lease } = leased;
    // An answer to what was erased meanwhile may echo it.
    const isErased = delivery.lastError === "erased";
    const said = isErased ? { responseBody: null, responseHeaders: null } : {};
    const retryAfterMs = isStale ? null : given.retryAfterMs;
    const outcome = { ...given, ...said, retryAfterMs };
    this.#answered.push({ delivery, lease, outcome });
    if (outcome.error !== "interrupted") this.#meanDurationMs = this.#meanWith(outcome.durationMs);
    if (!isStale) this.#assess(outcome, delivery);
  }

  #meanWith(durationMs: number): number {
    return this.#meanDurationMs === null
      ? durationMs
      : this.#meanDurationMs + (durationMs - this.#meanDurationMs) * WEIGHT_OF_LAST;
  }

  #assess(outcome: Outcome, { id: eventId }: StoredDelivery): void {
    const before = this.#run.health;
    const givenUp = isGivenUp(outcome, this.#host.policy());
    const after = assess(before, outcome, { eventId, givenUp });
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
        this.#close(delivery.id);
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

function leaseOf({ lease }: Leased): LeasedAttempt {
  return lease;
}
