/**
 * Lane: makes attempts for a Subscriber that may have more than six in flight. It is given deliveries in shares, keeps
 * them in memory only, sends by what a share says, and reports what came of it in groups. It decides nothing: it does
 * not try again, and stops when the service asks for it. A Lane that forgets is found out by its Subscriber.
 *
 *     queued ──start──▶ in flight ──answer──▶ to report ──report──▶ on disk at the Subscriber
 */
import { DurableObject } from "cloudflare:workers";
import { inTime } from "../deadline";
import type { Outcome } from "../domain/delivery";
import type { EventId } from "../domain/ids";
import { answered } from "../domain/no-answer";
import {
  GATHERED,
  gatherMs,
  MAX_ATTEMPTS_PER_RUN,
  MAX_LATE_MS,
  MAX_RUN_MS,
  windowFor,
} from "../domain/pace";
import { earliest } from "../domain/time";
import type { Webhook } from "../domain/webhook";
import { errorText, logWarning } from "../log";
import type { Share } from "../storage/run";
import { Attempts } from "./subscriber/attempt";
import { Bell } from "./subscriber/bell";
import { unanswered } from "./subscriber/send";

/** Outcomes are reported together when this many are there, or after `GATHERED.inLane`: each report is a call and a commit. */
const GATHERED_OUTCOMES = 6;
const REPORT_TIMEOUT_MS = 5_000;
const REPORT_AGAIN_MS = 500;
/** A share that cannot be reported is forgotten so long after it should have been. */
const FORGET_AFTER_MS = 60_000;
/** Shares that were recalled before they came are refused; so many are remembered. */
const MAX_RECALLED = 200;
/** After these the service is not asked again, until the Subscriber says so. */
const STOPPING_STATUSES: ReadonlySet<number> = new Set([410, 429, 503]);

type LaneAttempt = {
  id: EventId;
  event: string;
  body: Uint8Array;
  number: number;
  /** Its time under a rate limit, Unix milliseconds; null without one. */
  startAtMs: number | null;
};

/** What the Lane is told of a share. @property webhook what it is sent by. */
export type LaneShare = Pick<Share, "id" | "slots" | "lastStartAtMs" | "closesAtMs"> & {
  webhook: Webhook;
  attempts: LaneAttempt[];
};

type LaneOutcome = { id: EventId; number: number; outcome: Outcome };

/** What came of a part of a share; `unsent` has not started, and will not. */
export type LaneReport = { share: string; outcomes: LaneOutcome[]; unsent: EventId[] };

/** `isKnown` false when the Lane has never heard of the share, or has forgotten it; `isOver` when it has reported all of it. */
export type Recalled = { isKnown: boolean; unsent: EventId[]; isOver?: boolean };

type Held = {
  share: Omit<LaneShare, "attempts">;
  queue: LaneAttempt[];
  inFlight: number;
  outcomes: LaneOutcome[];
  unsent: EventId[];
};

export class Lane extends DurableObject<Env> {
  readonly #attempts: Attempts;
  readonly #bell = new Bell();
  readonly #held = new Map<string, Held>();
  /** Shares that were recalled, with what had not started; null for one that had not come. */
  readonly #recalled = new Map<string, EventId[] | null>();
  /** Started without an outcome on disk, of all shares. */
  #started = 0;
  #inFlight = 0;
  /** When outcomes are to be reported, Unix milliseconds; null when there is none. */
  #reportAtMs: number | null = null;
  #reporting = false;
  #reportAgainAtMs = 0;
  #running = false;
  #attemptsLeft = 0;
  #endsAtMs = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#attempts = new Attempts(env);
  }

  /** Takes a share. False when it was recalled before it came: nothing of it starts. */
  async take({ attempts, ...share }: LaneShare): Promise<boolean> {
    if (this.#recalled.has(share.id)) return false;
    if (this.#held.has(share.id)) return true;
    this.#held.set(share.id, { share, queue: attempts, inFlight: 0, outcomes: [], unsent: [] });
    if (this.#running) this.#bell.ring();
    else await this.ctx.storage.setAlarm(Date.now());
    return true;
  }

  /** Starts nothing more of a share. What is in flight is reported. Who asks again is told the same again. */
  recall(id: string): Recalled {
    const before = this.#recalled.get(id);
    const held = this.#held.get(id);
    if (held === undefined) {
      this.#remember(id, before ?? null);
      const isKnown = before !== undefined && before !== null;
      return { isKnown, unsent: before ?? [], isOver: isKnown };
    }
    const now = [...held.unsent.splice(0), ...held.queue.splice(0).map((attempt) => attempt.id)];
    const unsent = [...(before ?? []), ...now];
    this.#remember(id, unsent);
    if (held.inFlight + held.outcomes.length === 0) this.#held.delete(id);
    this.#bell.ring();
    return { isKnown: true, unsent };
  }

  #remember(id: string, unsent: EventId[] | null): void {
    this.#recalled.set(id, unsent);
    const [oldest] = this.#recalled.keys();
    if (this.#recalled.size > MAX_RECALLED && oldest !== undefined) this.#recalled.delete(oldest);
  }

  /** Requests are made here: an alarm has six of its own. */
  override async alarm(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    this.#attemptsLeft = MAX_ATTEMPTS_PER_RUN;
    this.#endsAtMs = Date.now() + MAX_RUN_MS;
    try {
      for (;;) {
        const nowMs = Date.now();
        this.#startWhatMay(nowMs);
        this.#dropLate(nowMs);
        if (this.#mustReport(nowMs)) void this.#report().finally(() => this.#bell.ring());
        if (this.#held.size === 0 || (this.#isSpent(nowMs) && this.#inFlight === 0)) break;
        await this.#bell.wait(this.#waitMs(nowMs));
      }
    } finally {
      this.#bell.stop();
      this.#running = false;
    }
    if (this.#held.size > 0) await this.ctx.storage.setAlarm(Date.now());
  }

  #isSpent(nowMs: number): boolean {
    return this.#attemptsLeft <= 0 || nowMs >= this.#endsAtMs;
  }

  #startWhatMay(nowMs: number): void {
    if (this.#isSpent(nowMs)) return;
    for (const held of this.#held.values()) {
      const { slots, lastStartAtMs } = held.share;
      while (nowMs <= lastStartAtMs) {
        if (this.#inFlight >= slots || this.#started >= windowFor(slots)) return;
        const next = held.queue.at(0);
        if (next === undefined || (next.startAtMs ?? 0) > nowMs) break;
        held.queue.shift();
        this.#startUnlessLate(held, next, nowMs);
      }
    }
  }

  #startUnlessLate(held: Held, attempt: LaneAttempt, nowMs: number): void {
    const { startAtMs } = attempt;
    if (startAtMs !== null && nowMs > startAtMs + MAX_LATE_MS) {
      held.unsent.push(attempt.id);
      return;
    }
    held.inFlight += 1;
    this.#inFlight += 1;
    this.#started += 1;
    this.#attemptsLeft -= 1;
    void this.#send(held, attempt).finally(() => this.#bell.ring());
  }

  async #send(held: Held, { id, event, body, number, startAtMs }: LaneAttempt): Promise<void> {
    const sending = { eventId: id, event, body, attempt: number };
    const { refused, ...outcome } = await this.#attempts
      .make(held.share.webhook, sending)
      .catch(() => ({ ...unanswered("interrupted", Date.now()), refused: false }));
    held.inFlight -= 1;
    this.#inFlight -= 1;
    if (refused) this.#attemptsLeft = 0;
    held.outcomes.push({ id, number, outcome });
    // A failure may be the first of many, and a start under a rate limit may wait for this one's slot.
    const mayWait = outcome.error === null && startAtMs === null;
    const waitMs = gatherMs(GATHERED.inLane, mayWait ? outcome.durationMs : 0);
    this.#reportAtMs = earliest(this.#reportAtMs, Date.now() + waitMs);
    if (refused || STOPPING_STATUSES.has(outcome.statusCode ?? 0)) this.#stop();
  }

  /** Starts nothing more of what it has, and says so at once. */
  #stop(): void {
    this.#reportAtMs = 0;
    for (const { queue, unsent } of this.#held.values()) {
      unsent.push(...queue.splice(0).map(({ id }) => id));
    }
  }

  /** What did not start in time goes back. */
  #dropLate(nowMs: number): void {
    for (const { share, queue, unsent } of this.#held.values()) {
      if (nowMs > share.lastStartAtMs) unsent.push(...queue.splice(0).map(({ id }) => id));
    }
  }

  // --- report -----------------------------------------------------------------------------------------------

  #mustReport(nowMs: number): boolean {
    if (this.#reporting || nowMs < this.#reportAgainAtMs) return false;
    if (this.#reportAtMs !== null && nowMs >= this.#reportAtMs) return true;
    let outcomes = 0;
    let isOver = false;
    for (const held of this.#held.values()) {
      outcomes += held.outcomes.length;
      isOver ||= held.unsent.length > 0 || (held.queue.length === 0 && held.inFlight === 0);
    }
    return isOver || outcomes >= GATHERED_OUTCOMES;
  }

  /** Whatever was reported and not acknowledged is reported again: the Subscriber knows what it has. */
  async #report(): Promise<void> {
    const told = [...this.#held.values()].filter(
      ({ queue, inFlight, outcomes, unsent }) =>
        outcomes.length + unsent.length > 0 || queue.length + inFlight === 0,
    );
    const reports = told.map(
      ({ share, outcomes, unsent }): LaneReport => ({
        share: share.id,
        outcomes: [...outcomes],
        unsent: [...unsent],
      }),
    );
    // A recall may have taken what there was to report: asked for again at once, it would be so for ever.
    this.#reportAtMs = null;
    const [first] = told;
    if (first === undefined) return;
    this.#reporting = true;
    try {
      const subscriber = this.env.SUBSCRIBER.getByName(first.share.webhook.id);
      const known = answered(await inTime(subscriber.report(reports), REPORT_TIMEOUT_MS));
      for (const [index, held] of told.entries()) {
        this.#reported(held, reports[index] as LaneReport, known[index] === true);
      }
    } catch (thrown) {
      logWarning("lane.not_reported", { lane: this.ctx.id.name, error: errorText(thrown) });
      this.#reportAgainAtMs = Date.now() + REPORT_AGAIN_MS;
      this.#reportAtMs = this.#reportAgainAtMs;
      this.#forgetOld(Date.now());
    } finally {
      this.#reporting = false;
    }
  }

  /** A share that nobody hears of any more is not kept for good. */
  #forgetOld(nowMs: number): void {
    for (const [id, { share, inFlight, outcomes }] of this.#held) {
      if (nowMs <= share.closesAtMs + FORGET_AFTER_MS || inFlight > 0) continue;
      this.#started -= outcomes.length;
      this.#held.delete(id);
    }
  }

  #reported(held: Held, { share, outcomes, unsent }: LaneReport, isKnown: boolean): void {
    this.#started -= outcomes.length;
    held.outcomes.splice(0, outcomes.length);
    held.unsent.splice(0, unsent.length);
    if (!isKnown) held.queue = [];
    const isDone = held.queue.length + held.inFlight + held.outcomes.length === 0;
    if (isDone && held.unsent.length === 0) this.#held.delete(share);
  }

  #waitMs(nowMs: number): number {
    const times = [nowMs + 1_000];
    if (this.#reportAtMs !== null && !this.#reporting) {
      times.push(Math.max(this.#reportAtMs, this.#reportAgainAtMs));
    }
    for (const { share, queue } of this.#held.values()) {
      const [next] = queue;
      if (next === undefined) continue;
      times.push(share.lastStartAtMs + 1);
      if (next.startAtMs !== null && next.startAtMs > nowMs) times.push(next.startAtMs);
    }
    return Math.max(1, Math.min(...times) - nowMs);
  }
}
