/**
 * The ledger of a Subscriber: which attempts are leased, where fresh deliveries begin, what was counted and how the
 * service is doing. It alone writes outcomes and the `run` row.
 *
 *     leased ──answer──▶ answered ──record──▶ on disk
 *
 * What is leased is on disk before it starts. The counters in the `run` row are those of before the lease in it:
 * what came of its attempts is counted from their own rows when the object starts again.
 */
import { Backoff } from "../../domain/backoff";
import { isGivenUp, type Outcome, type Policy } from "../../domain/delivery";
import { assess, type Health, isNotable, newsOf, noteLateness } from "../../domain/health";
import type { EventId } from "../../domain/ids";
import { isRelayEvent } from "../../domain/relay-events";
import { errorText, logError } from "../../log";
import type { DeliveryStore } from "../../storage/delivery-store";
import type { DueDelivery, StoredDelivery } from "../../storage/delivery-tables";
import { isBefore, latest, type Position } from "../../storage/position";
import { type LeasedAttempt, MAX_ARRIVALS_LEASED, type Run } from "../../storage/run";
import type { RunStore } from "../../storage/run-store";
import { type Answered, Leases, type Leasing } from "./leases";
import {
  logNotWritten,
  type OutcomeNotes,
  recorded,
  type Unwritten,
  type Written,
  withoutEcho,
} from "./outcomes";
import { Rate } from "./rate";
import { type Changed, Tally } from "./tally";

/** Of the last attempt in the mean duration. */
const WEIGHT_OF_LAST = 0.05;

/** So many outcomes may wait for a disk that does not take them; with more nothing starts. */
const MAX_UNWRITTEN = 10;

export type Stores = { deliveries: DeliveryStore; runs: RunStore };

type LedgerHost = {
  webhookId: string;
  /** What becomes of failed attempts; known also while the webhook is held. */
  policy(): Policy;
  outcomes: OutcomeNotes;
  healthChanged(before: Health, after: Health): void;
};

export class Ledger {
  readonly #host: LedgerHost;
  readonly #store: DeliveryStore;
  readonly #runs: RunStore;
  readonly #run: Run;
  #window = 0;
  #answered: Answered[] = [];
  /** Of this object's own attempts among them. */
  #unrecorded = 0;
  /** What the disk did not take: still leased, and written again after a wait. */
  readonly #unwritten = new Set<Answered>();
  readonly #backoff = new Backoff();
  #writeAgainAtMs = 0;
  #oldestAnswerAtMs = 0;
  #meanDurationMs: number | null = null;
  #runIsOnDisk = true;
  #closed = false;
  readonly leases = new Leases();
  readonly rate: Rate;
  readonly tally: Tally;

  /**
   * @param run the state as stored, after recovery; written back by the ledger alone from here on.
   * @param unwritten what recovery could not write.
   */
  constructor(
    host: LedgerHost,
    { deliveries, runs }: Stores,
    { run, unwritten }: { run: Run; unwritten: readonly Unwritten[] },
  ) {
    this.#host = host;
    this.#store = deliveries;
    this.#runs = runs;
    this.#run = run;
    this.rate = new Rate(run);
    this.tally = new Tally(run, runs, {
      changed: () => this.saveSoon(),
      notWritten: (thrown) => this.#notWritten(thrown),
    });
    for (const each of unwritten) {
      const answered = { ...each, share: null };
      this.leases.open(answered);
      this.#keep(answered);
    }
    for (const { attempts, ...share } of run.shares) {
      this.leases.addShare(share);
      for (const lease of attempts) {
        const delivery = deliveries.get(lease.id);
        if (delivery !== null)
          this.leases.open({ delivery, lease, share: share.id, outcome: null });
      }
    }
  }

  // --- what stands ------------------------------------------------------------------------------------------

  /** The `run` row as it is now. The ledger alone changes it, with `rate` and `tally`. */
  get run(): Readonly<Run> {
    return this.#run;
  }

  /** @param sinceMs since when nobody listens, Unix milliseconds; null while somebody does. */
  setUnconnected(sinceMs: number | null): void {
    this.#run.unconnectedSinceMs = sinceMs;
    if (sinceMs === null) this.#run.health = { ...this.#run.health, wellFromMs: Date.now() };
    this.saveSoon();
  }

  /** On disk with what is discarded, or made due. */
  noteDiscarded(discarded: Run["discarded"]): void {
    this.#run.discarded = discarded;
  }

  /** Behind this nothing was attempted in the order of arrival. */
  get attemptedTo(): Position {
    return latest(this.#run.attemptedTo, this.#run.head);
  }

  /** How long attempts took lately, in milliseconds; null before the first. */
  get meanDurationMs(): number | null {
    return this.#meanDurationMs;
  }

  /** Where deliveries begin that are fresh on disk: leased ones are among them. */
  get freshFrom(): Position {
    const { deliveries, head } = this.#store.fresh(this.#run.head, 1, 0);
    return this.leases.firstFresh(deliveries[0]?.position ?? head);
  }

  /** Nothing is leased, under way or unrecorded, but for what the disk does not take. */
  get isAtRest(): boolean {
    return this.leases.size === this.#unwritten.size;
  }

  /** How many outcomes the disk did not take. */
  get unwritten(): number {
    return this.#unwritten.size;
  }

  /** So many that nothing more may start. */
  get isStuck(): boolean {
    return this.#unwritten.size > MAX_UNWRITTEN;
  }

  /** How many outcomes of its own came in that are not on disk, beside what the disk did not take. */
  get unrecorded(): number {
    return this.#unrecorded;
  }

  /** Since when the oldest of them waits, Unix milliseconds. */
  get oldestAnswerAtMs(): number {
    return this.#oldestAnswerAtMs;
  }

  /** Whether health has changed and is not on disk, or what the disk did not take is to be written again. */
  get hasNews(): boolean {
    const isLate = !this.#runIsOnDisk || this.#unwritten.size > 0;
    return isLate && this.#writeAgainAtMs <= Date.now();
  }

  /** When `record` is to be called, Unix milliseconds; null when all is on disk. */
  get recordAtMs(): number | null {
    if (this.#answered.length > 0) return this.#oldestAnswerAtMs;
    return this.#runIsOnDisk && this.#unwritten.size === 0 ? null : this.#writeAgainAtMs;
  }

  // --- fresh deliveries -------------------------------------------------------------------------------------

  /** The first fresh delivery that is not leased. Moves the head there: what it passes is never fresh again. */
  firstFresh(): DueDelivery | null {
    const { deliveries, head } = this.fresh(1, 0);
    const [first = null] = deliveries;
    this.#run.head = first?.position ?? head;
    return first;
  }

  /** Many have ended unsent: the next look for what is fresh begins behind them, also after a restart. */
  passEnded(): void {
    this.firstFresh();
    this.save();
  }

  /** Fresh deliveries that are not leased, from the head on, in the order of arrival; and the head after them. */
  fresh(limit: number, maxBytes: number): { deliveries: DueDelivery[]; head: Position } {
    return this.#store.fresh(this.#run.head, limit, maxBytes, this.leases.amongFresh);
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
    this.#open(leasings, window);
    this.save();
  }

  #open(leasings: readonly Leasing[], window: number): void {
    this.#window = window;
    const all = leasings.flatMap(({ attempts }) => attempts);
    const dues = all.map(({ delivery }) => delivery.dueAtMs ?? delivery.createdAtMs);
    this.#run.health = noteLateness(this.#run.health, Math.min(...dues), Date.now());
    for (const { share, attempts } of leasings) {
      if (share !== null) this.leases.addShare(share);
      for (const { delivery, lease } of attempts) {
        const { body: _, ...stored } = delivery;
        this.leases.open({ delivery: stored, lease, share: share?.id ?? null, outcome: null });
      }
    }
  }

  /** Whether an arrival may be stored as leased: a start does not look farther behind the last save. */
  get mayArriveLeased(): boolean {
    return this.#store.lastSeq(this.#run) < this.#run.arrivedTo + MAX_ARRIVALS_LEASED;
  }

  /** The attempts of an arrival that was stored as leased: its row is all that is written before they start. */
  arrivedLeased(attempts: Leasing["attempts"], window: number): void {
    const { health } = this.#run;
    this.#open([{ share: null, attempts }], window);
    const last = attempts.at(-1)?.delivery.position;
    if (last !== undefined) this.#run.head = { ...last, index: last.index + 1 };
    if (this.#run.health !== health || !this.mayArriveLeased) this.#runIsOnDisk = false;
  }

  /** Ends leases of attempts that have not started; on disk with the next `save`. */
  giveBack(attempts: readonly { lease: LeasedAttempt }[]): void {
    this.#run.attemptedTo = this.attemptedTo;
    for (const { lease } of attempts) {
      this.leases.close(lease.id);
      const { fresh } = lease;
      if (fresh !== null && isBefore(fresh, this.#run.head)) this.#run.head = fresh;
    }
  }

  /** Writes lease, head, counters and health. What the disk did not take stands first: it may have left. */
  save(): void {
    if (this.#closed) return;
    const attempts = this.leases.own(this.#unwritten);
    this.#run.lease = { window: Math.max(this.#window, this.#unwritten.size), attempts };
    this.#run.shares = this.leases.storedShares;
    this.#run.attemptedTo = this.attemptedTo;
    this.#run.arrivedTo = this.#store.lastSeq(this.#run);
    this.#runs.saveRun(this.#run);
    this.#runIsOnDisk = true;
  }

  /** The same, or later where the disk does not take it. */
  saveSoon(): void {
    try {
      this.save();
    } catch (thrown) {
      this.#runIsOnDisk = false;
      this.#notWritten(thrown);
      this.#writeLater();
    }
  }

  #notWritten(thrown: unknown): void {
    logError("run.not_written", { webhookId: this.#host.webhookId, error: errorText(thrown) });
  }

  /** The webhook was deleted: nothing is written any more, and outcomes that still come have nowhere to go. */
  close(): void {
    this.#closed = true;
    this.#host.outcomes.flush();
    this.leases.clear();
    this.#answered = [];
    this.#unrecorded = 0;
    this.#unwritten.clear();
  }

  /** What of a share has not started, and will not, goes back; on disk with the next `record`. */
  giveBackOf(share: string, ids: readonly EventId[]): void {
    const unsent = ids.flatMap((id) => this.leases.get(id) ?? []);
    const back = unsent.filter((leased) => leased.share === share && leased.outcome === null);
    this.giveBack(back);
    if (back.length > 0) this.#runIsOnDisk = false;
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
    const leased = this.leases.get(id);
    if (leased === undefined || leased.outcome !== null) return;
    if (leased.lease.number !== number || leased.share !== share) return;
    if (this.#answered.length === 0) this.#oldestAnswerAtMs = Date.now();
    const retryAfterMs = isStale ? null : given.retryAfterMs;
    const outcome = withoutEcho({ ...given, retryAfterMs }, leased);
    this.#answered.push(Object.assign(leased, { outcome }));
    if (share === null) this.#unrecorded += 1;
    const mean = this.#meanDurationMs ?? outcome.durationMs;
    const newMean = mean + (outcome.durationMs - mean) * WEIGHT_OF_LAST;
    if (outcome.error !== "interrupted") this.#meanDurationMs = newMean;
    if (!isStale) this.#assess(outcome, leased.delivery);
  }

  #assess(outcome: Outcome, { id: eventId, event }: StoredDelivery): void {
    const before = this.#run.health;
    const givenUp = isGivenUp(outcome, this.#host.policy());
    const after = assess(before, outcome, { eventId, givenUp, isOwn: isRelayEvent(event) });
    this.#run.health = after;
    if (!isNotable(before, after)) return;
    const news = newsOf(before, after);
    if (news !== null) this.tally.happened(`relay.webhook.${news}`);
    this.#runIsOnDisk = false;
    this.#host.healthChanged(before, after);
  }

  /** Replaces the webhook's health: a person released it. */
  setHealth(health: Health): void {
    if (health === this.#run.health) return;
    this.#run.health = health;
    this.saveSoon();
  }

  /**
   * Writes the outcomes that came in, one row each, and those that the disk did not take when their wait is over. One
   * that cannot be written keeps no other: its delivery stays leased, so that a crash closes it as interrupted.
   */
  record(): void {
    const policy = this.#host.policy();
    const isTime = this.#writeAgainAtMs <= Date.now();
    const late = isTime ? [...this.#unwritten] : [];
    this.#unrecorded = 0;
    const written = [...late, ...this.#answered.splice(0)].flatMap(
      (answered) => this.#write(answered, policy) ?? [],
    );
    this.#host.outcomes.recorded(written);
    if (isTime && !this.#runIsOnDisk) this.saveSoon();
    if (this.#unwritten.size > 0) this.#writeLater();
    else if (this.#runIsOnDisk) this.#backoff.succeeded();
  }

  /** null when the disk does not take it. */
  #write(answered: Answered, policy: Policy): Written | null {
    const { delivery, lease, outcome } = answered;
    const said = withoutEcho(outcome, answered);
    const after = recorded({ delivery, lease, outcome: said }, policy);
    try {
      this.#store.update(after);
    } catch (thrown) {
      this.#keep(answered);
      logNotWritten(this.#host.webhookId, lease, thrown);
      return null;
    }
    this.#unwritten.delete(answered);
    this.leases.close(delivery.id);
    this.tally.count(delivery, after);
    return { before: delivery, after };
  }

  #keep(answered: Answered): void {
    this.leases.takeOver(answered);
    this.#unwritten.add(answered);
  }

  #writeLater(): void {
    const nowMs = Date.now();
    if (this.#writeAgainAtMs <= nowMs) this.#writeAgainAtMs = nowMs + this.#backoff.failed();
  }

  /** A person changed a delivery that may be in flight: its outcome is applied to what it is now. */
  amend(delivery: Changed): void {
    const leased = this.leases.get(delivery.id);
    if (leased !== undefined) leased.delivery = { ...leased.delivery, ...delivery };
  }
}
