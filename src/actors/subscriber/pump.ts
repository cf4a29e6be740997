/**
 * The pump: takes what is due, has it leased, sends up to six at a time, and has the outcomes written in groups. It
 * runs within the alarm of a Subscriber; the host owns settings, storage and clockwork.
 *
 *     planned ──start──▶ in flight ──answer──▶ (ledger)
 */
import type { EventId } from "../../domain/ids";
import * as pace from "../../domain/pace";
import { earliest } from "../../domain/time";
import type { Inserted } from "../../storage/delivery-store";
import type { DueDelivery } from "../../storage/delivery-tables";
import type { LeasedAttempt } from "../../storage/run";
import type { Agenda } from "./agenda";
import { Bell } from "./bell";
import type { Planned } from "./handing";
import type { Lanes } from "./lanes";
import type { Ledger } from "./ledger";
import { isAsked, MAX_AWAKE_WAIT_MS, Plan } from "./plan";
import { type Answer, unanswered } from "./send";
import type { Slots } from "./slots";

/**
 * Answers are written together after this long, or when nothing else goes on; where arrivals follow each other within this
 * time, with the next one; and with what Lanes report.
 */
const GATHER_MS = 100;
/** Where nothing more may start before they are, what started so short a time ago is waited for: a fast service has answered. */
const FAST_MS = 5;
/** For the next arrival a run waits only so long: the alarm does behind it what else there is to do. */
const MAX_LINGERING_MS = 10_000;
const MAX_RESTLESS_MS = 600_000;

type PumpHost = {
  /** null while the webhook is held. */
  situation(): pace.Situation | null;
  /**
   * Makes an attempt by what is in force; the request is made before this returns. `isStale` when another URL is in
   * force at its end.
   */
  attempt(delivery: DueDelivery, number: number): Promise<Answer & { isStale: boolean }>;
  /** Resolves when everything written so far is on disk. */
  sync(): Promise<void>;
};

export class Pump {
  readonly #host: PumpHost;
  readonly #agenda: Agenda;
  readonly #ledger: Ledger;
  readonly #lanes: Lanes;
  readonly #slots: Slots;
  readonly #plan: Plan;
  readonly #bell = new Bell();
  /** And when each started, Unix milliseconds. */
  readonly #inFlight = new Map<EventId, number>();
  #attemptsLeft = 0;
  #startedInRun = 0;
  #endsAtMs = 0;
  /** When nothing was leased last. */
  #restedAtMs = 0;
  #mustRest = false;
  /** An ordered delivery failed: what was planned behind it waits for it. */
  #blocked = false;
  #lastArrivalAtMs = 0;
  /** Arrivals follow each other closely: an outcome may wait for the commit of the next. */
  #isSteady = false;
  #running = false;

  constructor(
    host: PumpHost,
    parts: { agenda: Agenda; ledger: Ledger; lanes: Lanes; slots: Slots },
  ) {
    this.#host = host;
    this.#agenda = parts.agenda;
    this.#ledger = parts.ledger;
    this.#lanes = parts.lanes;
    this.#slots = parts.slots;
    this.#plan = new Plan({ sync: () => host.sync(), handed: () => this.wake() }, parts);
  }

  /** Looks again: something arrived, or what is in force changed. */
  wake(): void {
    this.#bell.ring();
  }

  /**
   * Sends what may be sent now and returns when nothing is left that may go within a second, or when this
   * invocation has done its share. The caller sets the alarm for what comes next, in the same turn.
   *
   * @returns how many attempts and shares it started.
   */
  async run(): Promise<number> {
    this.#running = true;
    this.#startedInRun = 0;
    this.#attemptsLeft = pace.MAX_ATTEMPTS_PER_RUN;
    this.#endsAtMs = Date.now() + pace.MAX_RUN_MS;
    try {
      for (;;) {
        // What is on disk as leased need not wait for the commit of an outcome, but where that says how to go on.
        if (!this.#ledger.hasNews) this.#startPlanned();
        if (this.#mustRecord()) this.#ledger.record();
        this.#tendLanes();
        await this.#fill();
        this.#startPlanned();
        const waitMs = this.#waitMs();
        if (waitMs === null && !this.#bell.rung) return this.#startedInRun;
        await this.#bell.wait(waitMs ?? 0);
      }
    } finally {
      this.#bell.stop();
      this.#running = false;
    }
  }

  /**
   * Has deliveries stored that arrive now. Where they can start at once they are stored as leased, and no other row
   * is written before they start. Wake the pump then.
   *
   * @param store stores them, leased if they may be.
   * @returns how many are new.
   */
  arrive(count: number, store: (mayLease: boolean) => Inserted): number {
    const nowMs = Date.now();
    this.#isSteady = this.#hasJustArrived(nowMs);
    this.#lastArrivalAtMs = nowMs;
    // So that it is at rest for a moment, also where arrivals never let up.
    if (this.#isLingering) this.#ledger.record();
    this.#rest(nowMs);
    const situation = this.#open;
    const mayLease = situation !== null && this.#startsAtOnce(situation, count);
    const { added, isLeased } = store(mayLease);
    if (situation !== null && isLeased) this.#plan.arrived(added, situation);
    return added.length;
  }

  /** Brings everything answered onto disk and gives back what has not started: the store is the whole truth. */
  settle(): void {
    this.#ledger.record();
    this.#unplan();
  }

  /** Whether an attempt is in flight; of what a Lane has nobody else knows. */
  isInFlight(id: EventId): boolean {
    return this.#inFlight.has(id) || this.#ledger.leases.get(id)?.share != null;
  }

  /** `next`: the leased attempt that starts next, and not before when; null when none is leased. */
  get standing() {
    const { first } = this.#plan;
    const next = first ? { id: first.delivery.id, startAtMs: first.startAtMs } : null;
    return { isRunning: this.#running, isBusy: this.#isBusy, next };
  }

  /** An attempt is in flight, here or in a Lane. */
  get #isBusy(): boolean {
    return this.#inFlight.size + this.#lanes.busy > 0;
  }

  /** When there is something to send again, Unix milliseconds; null when nothing is pending or all is held. */
  nextAtMs(): number | null {
    const open = this.#open;
    // What the disk does not take leaves room for no start: `recordAtMs` is when it is written again.
    const situation = open !== null && this.#ledger.unwritten < pace.windowOf(open) ? open : null;
    if (situation !== null && !this.#plan.isEmpty) return Date.now();
    const next = situation && this.#agenda.nextAtMs(situation);
    return earliest(next, this.#lanes.nextAtMs());
  }

  /** Forgets what it holds: the webhook was deleted. */
  drop(): void {
    this.#ledger.close();
    this.#plan.forget();
    this.#inFlight.clear();
    this.wake();
  }

  /** null while the webhook is held, and while more outcomes than may be are not on disk. */
  get #open(): pace.Situation | null {
    return this.#ledger.isStuck ? null : this.#host.situation();
  }

  #isSpent(nowMs: number): boolean {
    return this.#attemptsLeft <= 0 || nowMs >= this.#endsAtMs;
  }

  /** Gives back what was leased and has not started. */
  #unplan(): void {
    this.#blocked = false;
    this.#plan.drop();
  }

  /** Leases what is to start next, here and in Lanes, where there is room. */
  async #fill(): Promise<void> {
    await this.#plan.onDisk();
    const situation = this.#open;
    const nowMs = Date.now();
    if (situation === null || this.#isSpent(nowMs) || this.#mustRest || this.#isLingering) return;
    const isFree = this.#hasSlot(situation, true);
    this.#startedInRun += await this.#plan.fill(situation, nowMs, { isFree, isBusy: this.#isBusy });
  }

  #tendLanes(): void {
    const nowMs = Date.now();
    this.#rest(nowMs);
    if (!this.#lanes.areUsed) return;
    this.#lanes.tend(nowMs);
    const situation = this.#open;
    const mayGoOn = situation !== null && !situation.health.probing;
    if (!mayGoOn || pace.troubleEndsAtMs(situation) > nowMs) this.#lanes.stopAll();
  }

  /** What is past its retention goes while nothing is leased: an object that always sends must end a run for it. */
  #rest(nowMs: number): void {
    if (this.#ledger.isAtRest) {
      if (this.#mustRest) this.#attemptsLeft = 0;
      this.#mustRest = false;
      this.#restedAtMs = nowMs;
    } else if (nowMs - this.#restedAtMs > MAX_RESTLESS_MS) {
      this.#mustRest = true;
    }
  }

  // --- start and answer -------------------------------------------------------------------------------------

  #startPlanned(): void {
    const situation = this.#open;
    const nowMs = Date.now();
    if (situation === null || this.#isSpent(nowMs) || this.#isOutdated(situation, nowMs)) {
      this.#unplan();
      return;
    }
    const { rateLimit, frames } = situation.terms;
    for (;;) {
      const next = this.#plan.first;
      if (next === undefined || !this.#hasFreeSlot(situation, isAsked(next))) return;
      if (this.#ledger.rate.earliest(rateLimit, next.startAtMs) > nowMs) return;
      if (rateLimit !== null && this.#lanes.areUsed && nowMs > next.startAtMs + pace.MAX_LATE_MS) {
        this.#unplan();
        return;
      }
      this.#plan.shift();
      this.#start(next, frames);
      this.#ledger.rate.started(rateLimit, nowMs);
    }
  }

  #hasSlot(situation: pace.Situation, asked: boolean, count = 1): boolean {
    const size = this.#inFlight.size + count;
    return (
      (situation.terms.frames || this.#slots.free >= count) &&
      size <= pace.slotsOf(situation, asked) &&
      size + this.#lanes.busy <= pace.concurrencyOf(situation, asked)
    );
  }

  #hasFreeSlot(situation: pace.Situation, asked: boolean, count = 1): boolean {
    const { unrecorded, unwritten } = this.#ledger;
    return (
      this.#hasSlot(situation, asked, count) &&
      this.#inFlight.size + unrecorded + unwritten + count <= pace.windowOf(situation)
    );
  }

  /** Whether so many that arrive now start now: nothing keeps them, and nothing goes before them. */
  #startsAtOnce(situation: pace.Situation, count: number): boolean {
    const nowMs = Date.now();
    if (!pace.isUnhindered(situation, nowMs) || !this.#hasFreeSlot(situation, false, count))
      return false;
    if (this.#running && (this.#mustRest || this.#isSpent(nowMs))) return false;
    if (!this.#plan.isEmpty || this.#lanes.areUsed || !this.#ledger.mayArriveLeased) return false;
    const nextAtMs = this.#agenda.nextAtMs(situation);
    return nextAtMs === null || nextAtMs > nowMs;
  }

  #isOutdated(situation: pace.Situation, nowMs: number): boolean {
    if (this.#blocked || (situation.terms.ordered && this.#ledger.unwritten > 0)) return true;
    return this.#plan.isOutdated(situation, nowMs);
  }

  /** @param frames whether it takes no connection of the object. */
  #start(attempt: Planned, frames: boolean): void {
    this.#inFlight.set(attempt.delivery.id, Date.now());
    this.#attemptsLeft -= 1;
    this.#startedInRun += 1;
    if (!frames) this.#slots.take();
    void this.#send(attempt).finally(() => {
      if (!frames) this.#slots.release();
      this.wake();
    });
  }

  async #send({ delivery, lease }: Planned): Promise<void> {
    let answer: Answer & { isStale: boolean };
    try {
      answer = await this.#host.attempt(delivery, lease.number);
    } catch {
      answer = { ...unanswered("interrupted", Date.now()), refused: false, isStale: false };
    }
    this.#end(lease, answer);
  }

  #end(lease: LeasedAttempt, { refused, isStale, ...outcome }: Answer & { isStale: boolean }) {
    if (!this.#inFlight.delete(lease.id)) return;
    if (refused) this.#attemptsLeft = 0;
    this.#ledger.answer(lease, outcome, { isStale });
    if (outcome.error !== null && this.#host.situation()?.terms.ordered) this.#blocked = true;
  }

  #mustRecord(): boolean {
    if (this.#ledger.hasNews) return true;
    if (this.#ledger.unrecorded === 0) return false;
    return (this.#isLingering && !this.#mayLinger) || Date.now() >= this.#recordAtMs;
  }

  /** When what was answered is written at the latest, Unix milliseconds. */
  get #recordAtMs(): number {
    const lastMs = this.#ledger.oldestAnswerAtMs + GATHER_MS;
    return this.#isFull ? Math.min(lastMs, Math.max(...this.#inFlight.values()) + FAST_MS) : lastMs;
  }

  /** Nothing goes on, and what was answered is not on disk. */
  get #isLingering(): boolean {
    return this.#inFlight.size === 0 && this.#ledger.unrecorded > 0;
  }

  /** Whether the next arrival may be waited for: nothing else is to be sent before it. */
  get #mayLinger(): boolean {
    const nowMs = Date.now();
    if (!this.#isSteady || !this.#hasJustArrived(nowMs) || this.#isSpent(nowMs)) return false;
    if (nowMs > this.#endsAtMs - pace.MAX_RUN_MS + MAX_LINGERING_MS) return false;
    const situation = this.#open;
    if (situation === null || !this.#plan.isEmpty) return false;
    const nextAtMs = this.#agenda.nextAtMs(situation);
    return nextAtMs === null || nextAtMs > this.#ledger.oldestAnswerAtMs + GATHER_MS;
  }

  #hasJustArrived(nowMs: number): boolean {
    const sinceMs = nowMs - this.#lastArrivalAtMs;
    return sinceMs >= 0 && sinceMs < GATHER_MS;
  }

  /** A slot is free, and nothing may start in it before outcomes are on disk. */
  get #isFull(): boolean {
    const situation = this.#open;
    if (situation === null || !this.#hasSlot(situation, false)) return false;
    return !this.#hasFreeSlot(situation, false);
  }

  // --- wait -------------------------------------------------------------------------------------------------

  /** How long to wait for a change, in milliseconds; null when there is nothing worth staying awake for. */
  #waitMs(): number | null {
    const nowMs = Date.now();
    const times: (number | null)[] = [];
    if (this.#ledger.unrecorded > 0) times.push(this.#recordAtMs);
    if (this.#inFlight.size > 0) times.push(nowMs + MAX_AWAKE_WAIT_MS);
    if (!this.#isSpent(nowMs)) times.push(this.#lanes.nextAtMs());
    const firstMs = earliest(...times, this.#nextStartAtMs(nowMs));
    return firstMs === null ? null : Math.max(1, firstMs - nowMs);
  }

  /** When a free slot can be used next; null when none is free or only an alarm away. */
  #nextStartAtMs(nowMs: number): number | null {
    const situation = this.#open;
    if (situation === null || this.#isSpent(nowMs)) return null;
    const next = this.#plan.first;
    if (!this.#hasFreeSlot(situation, next !== undefined && isAsked(next))) return null;
    if (next !== undefined) {
      return this.#ledger.rate.earliest(situation.terms.rateLimit, next.startAtMs);
    }
    return this.#inFlight.size === 0 ? null : this.#agenda.nextDueAtMs(situation, nowMs);
  }
}
