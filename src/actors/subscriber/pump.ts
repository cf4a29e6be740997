/**
 * The pump: takes what is due, makes it durable that it may leave, sends up to six at a time, and writes the
 * outcomes in groups. It runs within the alarm of a Subscriber; the host owns settings, storage and clockwork.
 *
 *     planned ──start──▶ in flight ──answer──▶ answered ──record──▶ on disk
 *        ▲ one lease row for up to 100            at most 12 of these are not on disk
 */
import { emptyHour, HOUR_MS, type HourCounters } from "../../domain/counters";
import { assess, type Health, type Outcome } from "../../domain/delivery";
import type { EventId } from "../../domain/ids";
import type { DeliveryStore } from "../../storage/delivery-store";
import {
  ASKED,
  type DueDelivery,
  isBefore,
  type Position,
  type StoredDelivery,
} from "../../storage/delivery-tables";
import type { LeasedAttempt, Run, RunStore } from "../../storage/run-store";
import { countAttempt, endedBetween, recorded } from "./outcomes";
import { type Answer, unanswered } from "./send";

/** https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections */
const MAX_IN_FLIGHT = 6;
/** What a crash may repeat: six in flight, and six answered but not yet on disk. */
const MAX_UNRECORDED = 12;
/** Answers are written together when this many are there, or after this long, or when nothing else goes on. */
const GATHERED_ANSWERS = 6;
const GATHER_MS = 20;
const MAX_PLANNED = 100;
const MAX_PLANNED_BYTES = 4 * 1024 * 1024;
/** An invocation may make 10,000 requests and use 30 s of CPU; the alarm goes on in a new one. */
const MAX_ATTEMPTS_PER_RUN = 1_000;
const MAX_RUN_MS = 60_000;
/** Waiting awake for the next start is cheaper than another alarm up to about this long. */
const MAX_AWAKE_WAIT_MS = 1_000;
/** Counters of finished hours are kept for so long: what the charts can show. */
const MAX_HOURS_KEPT_MS = 31 * 24 * HOUR_MS;
/** Under a rate limit no more is leased than starts within this time. */
const PLAN_AHEAD_MS = 2_000;

/** What is in force for attempts that start now. */
export type Terms = {
  ordered: boolean;
  /** Attempts per second; null for no limit. */
  rateLimit: number | null;
};

export type PumpHost = {
  /** null while the webhook is held. */
  terms(): Terms | null;
  /** The waits after failed attempts, in milliseconds; known also while the webhook is held. */
  schedule(): readonly number[];
  /** Makes an attempt by what is in force; the request is made before this returns. */
  attempt(delivery: DueDelivery, number: number): Promise<Answer>;
  /** Resolves when everything written so far is on disk. */
  sync(): Promise<void>;
  /** Called once for each attempt, with those that were written together. */
  recorded(written: readonly Written[]): void;
  healthChanged(before: Health, after: Health): void;
};

type Flight = {
  delivery: DueDelivery;
  lease: LeasedAttempt;
  /** Not before this time, Unix milliseconds: the slot that the rate limit gave it. */
  startAtMs: number;
  /** It went to another URL than the one now in force: what it says of the service does not count. */
  disowned: boolean;
};
/** A delivery before and after an attempt's outcome was written. */
export type Written = { before: StoredDelivery; after: StoredDelivery };
type Answered = { delivery: StoredDelivery; lease: LeasedAttempt; outcome: Outcome };

export class Pump {
  readonly #host: PumpHost;
  readonly #store: DeliveryStore;
  readonly #runs: RunStore;
  readonly #run: Run;
  #planned: Flight[] = [];
  #inFlight = new Map<EventId, Flight>();
  #answered: Answered[] = [];
  #oldestAnswerAtMs = 0;
  #attemptsLeft = 0;
  #startedInRun = 0;
  #endsAtMs = 0;
  #lastStartAtMs = 0;
  /** An ordered delivery failed: what was planned behind it waits for it. */
  #blocked = false;
  #runIsOnDisk = true;
  #running = false;
  #dropped = false;
  #woken = false;
  #resolveChange: () => void = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  /** @param run the state as stored, after recovery; written back by the pump alone from here on. */
  constructor(host: PumpHost, stores: { deliveries: DeliveryStore; runs: RunStore }, run: Run) {
    this.#host = host;
    this.#store = stores.deliveries;
    this.#runs = stores.runs;
    this.#run = run;
  }

  get running(): boolean {
    return this.#running;
  }

  /** How many attempts the last run started. */
  get startedInRun(): number {
    return this.#startedInRun;
  }

  get health(): Health {
    return this.#run.health;
  }

  /** The running hour. */
  get hour(): HourCounters {
    return this.#run.hour;
  }

  /** The first position that may hold a fresh delivery. */
  get head(): Position {
    return this.#run.head;
  }

  /** How many deliveries have ended and were not opened again, as far as it is on disk. */
  get ended(): number {
    return this.#run.ended;
  }

  /** Says how many deliveries have ended: they were counted. */
  set ended(ended: number) {
    this.#run.ended = ended;
  }

  /** Where deliveries begin that are fresh on disk: what is planned, in flight or answered is among them. */
  get plannedHead(): Position {
    this.#firstFresh();
    let head = this.#run.head;
    for (const { lease } of [...this.#answered, ...this.#inFlight.values(), ...this.#planned]) {
      if (lease.fresh !== null && isBefore(lease.fresh, head)) head = lease.fresh;
    }
    return head;
  }

  /** The first fresh delivery that is not planned. Moves the head there: what it passes is never fresh again. */
  #firstFresh(): DueDelivery | null {
    const { deliveries, head } = this.#store.fresh(this.#run.head, 1, 0);
    const [first = null] = deliveries;
    this.#run.head = first?.position ?? head;
    return first;
  }

  /** Outcomes that are not on disk. */
  get hasUnrecorded(): boolean {
    return this.#answered.length > 0;
  }

  /** Nothing is planned, under way or unrecorded. */
  get isAtRest(): boolean {
    return this.#planned.length + this.#inFlight.size + this.#answered.length === 0;
  }

  isInFlight(id: EventId): boolean {
    return this.#inFlight.has(id);
  }

  /** Looks again: something arrived, or what is in force changed. */
  wake(): void {
    this.#woken = true;
    this.#resolveChange();
  }

  /**
   * Sends what may be sent now and returns when nothing is left that may go within a second, or when this
   * invocation has done its share. The caller sets the alarm for what comes next, in the same turn.
   */
  async pump(): Promise<void> {
    this.#running = true;
    this.#startedInRun = 0;
    this.#attemptsLeft = MAX_ATTEMPTS_PER_RUN;
    this.#endsAtMs = Date.now() + MAX_RUN_MS;
    try {
      for (;;) {
        if (this.#mustRecord()) this.record();
        await this.#plan();
        this.#startPlanned();
        const waitMs = this.#waitMs();
        if (waitMs === null && !this.#woken) break;
        await this.#change(waitMs ?? 0);
      }
    } finally {
      this.#clearTimer();
      this.#running = false;
    }
  }

  /** Brings everything answered onto disk and gives back what was planned: the store is the whole truth. */
  settle(): void {
    this.record();
    this.#unplan();
  }

  /** A person changed a delivery that may be in flight: its outcome is applied to what it is now. */
  amend(delivery: StoredDelivery): void {
    const flight = this.#inFlight.get(delivery.id);
    if (flight !== undefined) flight.delivery = { ...flight.delivery, ...delivery };
  }

  /** The rate limit is another one: it does not have to wait as long as the one before. */
  adoptRate(rateLimit: number | null): void {
    const latestMs = rateLimit === null ? 0 : Date.now() + 1_000 / rateLimit;
    this.#run.nextStartAtMs = Math.min(this.#run.nextStartAtMs, latestMs);
  }

  /** The URL changed: what is in flight went to another service. */
  disownFlights(): void {
    for (const flight of this.#inFlight.values()) flight.disowned = true;
  }

  /** Replaces the webhook's health: a person released it. */
  setHealth(health: Health): void {
    this.#run.health = health;
    this.#saveRun();
  }

  /** Writes what a person's doing changed beside the deliveries: the counters. */
  save(): void {
    this.#saveRun();
  }

  /** When there is something to send again, Unix milliseconds; null when nothing is pending or all is held. */
  nextAtMs(): number | null {
    const terms = this.#host.terms();
    if (terms === null) return null;
    const gateMs = Math.max(this.#rateGateMs(terms), this.#probeAtMs());
    const postponedMs = Math.max(gateMs, this.#run.health.postponedUntilMs ?? 0);
    if (terms.ordered) {
      const { waiting, fresh } = this.#firstPending();
      if (waiting === null) return fresh && Math.max(fresh.createdAtMs, postponedMs);
      const asked = waiting.asked === ASKED.byRetry;
      return Math.max(waiting.dueAtMs ?? 0, asked ? gateMs : postponedMs);
    }
    const asked = this.#store.nextAskedAtMs();
    const pending = earliest(this.#store.nextDueAtMs(0), this.#firstFresh()?.createdAtMs ?? null);
    return earliest(asked && Math.max(asked, gateMs), pending && Math.max(pending, postponedMs));
  }

  #gateMs(terms: Terms): number {
    const { postponedUntilMs } = this.#run.health;
    return Math.max(this.#rateGateMs(terms), this.#probeAtMs(), postponedUntilMs ?? 0);
  }

  /** Forgets what it holds: the webhook was deleted, and outcomes that still come have nowhere to go. */
  drop(): void {
    this.#dropped = true;
    this.#planned = [];
    this.#answered = [];
    this.#inFlight.clear();
    this.wake();
  }

  // --- plan -------------------------------------------------------------------------------------------------

  /** Leases what is to start next. What cannot be leased, because the disk takes nothing, is not planned. */
  async #plan(): Promise<void> {
    const terms = this.#host.terms();
    const nowMs = Date.now();
    if (terms === null || this.#isSpent(nowMs)) return;
    if (this.#planned.length > 0 || this.#inFlight.size >= this.#maxInFlight(terms)) return;
    this.record();
    const chosen = this.#choose(terms, nowMs);
    if (chosen.length === 0) return;
    this.#planned = chosen.map((delivery) => this.#flightOf(delivery, terms, nowMs));
    try {
      this.#saveRun();
      await this.#host.sync();
    } catch (thrown) {
      this.#dropPlan();
      throw thrown;
    }
  }

  #choose(terms: Terms, nowMs: number): DueDelivery[] {
    if (this.#rateGateMs(terms) > nowMs + MAX_AWAKE_WAIT_MS || this.#probeAtMs() > nowMs) return [];
    const limit = this.#planLimit(terms);
    if (terms.ordered) return this.#chooseInOrder(limit, nowMs);
    if (this.#isPostponed(nowMs)) {
      return this.#notInFlight(this.#store.askedFor(nowMs, limit + MAX_IN_FLIGHT)).slice(0, limit);
    }
    const due = this.#notInFlight(this.#store.due(nowMs, limit + MAX_IN_FLIGHT));
    return this.#withFresh(due, limit);
  }

  /** What arrived first of all that is pending goes first, and holds the others. */
  #chooseInOrder(limit: number, nowMs: number): DueDelivery[] {
    const { waiting, fresh } = this.#firstPending();
    if (waiting === null) {
      if (fresh === null || this.#isPostponed(nowMs)) return [];
      return this.#withFresh([], this.#store.firstWaiting() === null ? limit : 1);
    }
    const mayGo = !this.#isPostponed(nowMs) || waiting.asked === ASKED.byRetry;
    return mayGo && (waiting.dueAtMs ?? 0) <= nowMs ? [waiting] : [];
  }

  /** The pending delivery that arrived first: one that waits, or a fresh one. */
  #firstPending(): { waiting: DueDelivery | null; fresh: DueDelivery | null } {
    const waiting = this.#store.firstWaiting();
    const fresh = this.#firstFresh();
    if (waiting === null || fresh === null) return { waiting, fresh };
    return isBefore(fresh.position, waiting.position)
      ? { waiting: null, fresh }
      : { waiting, fresh: null };
  }

  /** The first of what waited and what is fresh, by when it became due; moves the head past what it takes. */
  #withFresh(waiting: DueDelivery[], limit: number): DueDelivery[] {
    const fresh = this.#store.fresh(this.#run.head, limit, MAX_PLANNED_BYTES);
    const chosen = [...waiting, ...fresh.deliveries]
      .sort((a, b) => (a.dueAtMs ?? a.createdAtMs) - (b.dueAtMs ?? b.createdAtMs))
      .slice(0, limit);
    const left = fresh.deliveries.find((delivery) => !chosen.includes(delivery));
    this.#run.head = left?.position ?? fresh.head;
    return chosen;
  }

  #flightOf(delivery: DueDelivery, { rateLimit }: Terms, nowMs: number): Flight {
    const lease: LeasedAttempt = {
      id: delivery.id,
      number: delivery.attempts + 1,
      trigger: delivery.asked === ASKED.bySchedule ? "scheduled" : "manual",
      fresh: delivery.dueAtMs === null ? delivery.position : null,
    };
    if (rateLimit === null) return { delivery, lease, startAtMs: nowMs, disowned: false };
    const startAtMs = Math.max(this.#run.nextStartAtMs, nowMs);
    this.#run.nextStartAtMs = startAtMs + 1_000 / rateLimit;
    return { delivery, lease, startAtMs, disowned: false };
  }

  #notInFlight(deliveries: DueDelivery[]): DueDelivery[] {
    return deliveries.filter(({ id }) => !this.#inFlight.has(id));
  }

  #planLimit({ rateLimit }: Terms): number {
    if (this.#run.health.probing) return 1;
    if (rateLimit === null) return MAX_PLANNED;
    return Math.min(MAX_PLANNED, Math.max(1, Math.floor((rateLimit * PLAN_AHEAD_MS) / 1_000)));
  }

  #probeAtMs(): number {
    const { probing, lastProbeEndedAtMs } = this.#run.health;
    if (!probing || lastProbeEndedAtMs === null) return 0;
    return lastProbeEndedAtMs + (this.#host.schedule()[0] ?? 0);
  }

  #rateGateMs({ rateLimit }: Terms): number {
    return rateLimit === null ? 0 : this.#run.nextStartAtMs;
  }

  #isPostponed(nowMs: number): boolean {
    return (this.#run.health.postponedUntilMs ?? 0) > nowMs;
  }

  #maxInFlight({ ordered }: Terms): number {
    return ordered || this.#run.health.probing ? 1 : MAX_IN_FLIGHT;
  }

  /** An ordered webhook has each outcome on disk before the next attempt: a crash must not repeat out of order. */
  #window(terms: Terms): number {
    return this.#maxInFlight(terms) === 1 ? 1 : MAX_UNRECORDED;
  }

  #isSpent(nowMs: number): boolean {
    return this.#attemptsLeft <= 0 || nowMs >= this.#endsAtMs;
  }

  /** Gives back what was leased and has not started. */
  #unplan(): void {
    this.#blocked = false;
    if (this.#planned.length === 0) return;
    this.#dropPlan();
    this.#saveRun();
  }

  #dropPlan(): void {
    const [first] = this.#planned;
    const fresh = this.#planned.find(({ lease }) => lease.fresh !== null);
    if (fresh?.lease.fresh) this.#rewind(fresh.lease.fresh);
    if (first) this.#run.nextStartAtMs = Math.min(this.#run.nextStartAtMs, first.startAtMs);
    this.#planned = [];
  }

  #rewind(position: Position): void {
    if (isBefore(position, this.#run.head)) this.#run.head = position;
  }

  #saveRun(): void {
    if (this.#dropped) return;
    const terms = this.#host.terms();
    const attempts = [...this.#inFlight.values(), ...this.#answered, ...this.#planned].map(
      ({ lease }) => lease,
    );
    const window =
      terms === null || this.#planned.length === 0 ? MAX_UNRECORDED : this.#window(terms);
    this.#run.lease = { window, attempts };
    this.#runs.saveRun(this.#run);
    this.#runIsOnDisk = true;
  }

  // --- start and answer -------------------------------------------------------------------------------------

  #startPlanned(): void {
    const terms = this.#host.terms();
    const nowMs = Date.now();
    if (terms === null || this.#isSpent(nowMs) || this.#isOutdated(terms, nowMs)) {
      this.#unplan();
      return;
    }
    while (this.#hasFreeSlot(terms)) {
      const [flight] = this.#planned;
      if (flight === undefined || this.#startAtMs(flight, terms) > nowMs) return;
      this.#planned.shift();
      this.#start(flight, nowMs);
      if (terms.rateLimit !== null) {
        const nextMs = nowMs + 1_000 / terms.rateLimit;
        this.#run.nextStartAtMs = Math.max(this.#run.nextStartAtMs, nextMs);
      }
    }
  }

  #hasFreeSlot(terms: Terms): boolean {
    return (
      this.#inFlight.size < this.#maxInFlight(terms) &&
      this.#inFlight.size + this.#answered.length < this.#window(terms)
    );
  }

  /** Under a rate limit a late start moves the next one: no burst makes up for it. */
  #startAtMs({ startAtMs }: Flight, { rateLimit }: Terms): number {
    return rateLimit === null ? 0 : Math.max(startAtMs, this.#lastStartAtMs + 1_000 / rateLimit);
  }

  /** Whether what was planned may not go as planned: a probe waits its turn, a pause holds all but a retry. */
  #isOutdated(terms: Terms, nowMs: number): boolean {
    if (this.#blocked || this.#planned.length > this.#planLimit(terms)) return true;
    if (this.#probeAtMs() > nowMs) return true;
    return (
      this.#isPostponed(nowMs) &&
      this.#planned.some(({ delivery }) => delivery.asked !== ASKED.byRetry)
    );
  }

  #start(flight: Flight, nowMs: number): void {
    this.#inFlight.set(flight.delivery.id, flight);
    this.#attemptsLeft -= 1;
    this.#startedInRun += 1;
    this.#lastStartAtMs = nowMs;
    void this.#fly(flight, flight.lease.number).finally(() => this.wake());
  }

  async #fly(flight: Flight, number: number): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#host.attempt(flight.delivery, number);
    } catch {
      answer = { ...unanswered("interrupted", Date.now()), refused: false };
    }
    this.#land(flight, answer);
  }

  #land(flight: Flight, { refused, ...answer }: Answer): void {
    if (!this.#inFlight.delete(flight.delivery.id)) return;
    if (refused) this.#attemptsLeft = 0;
    if (this.#answered.length === 0) this.#oldestAnswerAtMs = Date.now();
    const { body: _, ...delivery } = flight.delivery;
    const outcome = flight.disowned ? { ...answer, retryAfterMs: null } : answer;
    this.#answered.push({ delivery, lease: flight.lease, outcome });
    if (outcome.error !== null && this.#host.terms()?.ordered) this.#blocked = true;
    if (!flight.disowned) this.#assess(outcome);
  }

  #assess(outcome: Outcome): void {
    const before = this.#run.health;
    const after = assess(before, outcome);
    if (after === before) return;
    this.#run.health = after;
    this.#runIsOnDisk = false;
    this.#host.healthChanged(before, after);
  }

  // --- record -----------------------------------------------------------------------------------------------

  #mustRecord(): boolean {
    if (!this.#runIsOnDisk) return true;
    if (this.#answered.length === 0) return false;
    return (
      this.#inFlight.size === 0 ||
      this.#answered.length >= GATHERED_ANSWERS ||
      Date.now() - this.#oldestAnswerAtMs >= GATHER_MS
    );
  }

  /** Writes the outcomes that came in, one row each. Should a write fail, they stay and are written again. */
  record(): void {
    const schedule = this.#host.schedule();
    const written: Written[] = [];
    try {
      for (let next = this.#answered[0]; next !== undefined; next = this.#answered[0]) {
        const { delivery, lease, outcome } = next;
        const after = recorded({ delivery, attempt: lease, outcome }, schedule);
        this.#store.update(after);
        this.#answered.shift();
        this.count((hour) => countAttempt(hour, delivery, after), endedBetween(delivery, after));
        written.push({ before: delivery, after });
      }
    } finally {
      if (written.length > 0) this.#host.recorded(written);
    }
    if (!this.#runIsOnDisk) this.#saveRun();
  }

  /**
   * Counts into the running hour; it is on disk with the next lease, and the one before it when the hour is over.
   *
   * @param ended how many deliveries that ends; one that is opened again is −1.
   */
  count(add: (hour: HourCounters) => void, ended: number): void {
    const nowMs = Date.now();
    this.#run.ended += ended;
    if (this.#run.hour.atMs + HOUR_MS <= nowMs) {
      if (this.#run.hour.atMs > 0) this.#runs.saveHour(this.#run.hour, nowMs - MAX_HOURS_KEPT_MS);
      this.#run.hour = emptyHour(nowMs);
      add(this.#run.hour);
      this.#saveRun();
    } else {
      add(this.#run.hour);
    }
  }

  // --- wait -------------------------------------------------------------------------------------------------

  /** How long to wait for a change, in milliseconds; null when there is nothing worth staying awake for. */
  #waitMs(): number | null {
    const nowMs = Date.now();
    const times: number[] = [];
    if (this.#answered.length > 0) times.push(this.#oldestAnswerAtMs + GATHER_MS);
    if (this.#inFlight.size > 0) times.push(nowMs + MAX_AWAKE_WAIT_MS);
    const nextStartAtMs = this.#nextStartAtMs(nowMs);
    if (nextStartAtMs !== null) times.push(nextStartAtMs);
    if (times.length === 0) return null;
    return Math.max(1, Math.min(...times) - nowMs);
  }

  /** When a free slot can be used next; null when none is free or only an alarm away. */
  #nextStartAtMs(nowMs: number): number | null {
    const terms = this.#host.terms();
    if (terms === null || this.#isSpent(nowMs) || !this.#hasFreeSlot(terms)) return null;
    const [flight] = this.#planned;
    if (flight !== undefined) return this.#startAtMs(flight, terms);
    if (this.#inFlight.size === 0) return null;
    const dueAtMs = this.#store.nextDueAtMs(nowMs);
    return dueAtMs === null ? null : Math.max(dueAtMs, this.#gateMs(terms));
  }

  async #change(waitMs: number): Promise<void> {
    if (!this.#woken) {
      this.#wakeBy(Date.now() + waitMs);
      await new Promise<void>((resolve) => {
        this.#resolveChange = resolve;
      });
    }
    this.#woken = false;
  }

  /** A timer that rings earlier will do: to wake once too often costs less than to set another. */
  #wakeBy(atMs: number): void {
    if (this.#timerAtMs <= atMs) return;
    this.#clearTimer();
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#resolveChange();
    }, atMs - Date.now());
  }

  #clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }
}

function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
