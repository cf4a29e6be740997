/** What the Registry keeps beside webhooks: who did what, what calls were answered, which events were erased. */
import { addressOf, mentions } from "../domain/address";
import { addTotals, type EventTotals, furthest } from "../domain/event-totals";
import type { EventId } from "../domain/ids";
import { DAY_MS, MINUTE_MS } from "../domain/time";
import {
  type AnswerKey,
  type AuditEntry,
  RegistryStore,
  type StoredAnswer,
} from "../storage/registry-store";
import { StoredObject } from "./stored-object";

/** The longest that a queue keeps a message. */
const ERASED_KEPT_MS = 14 * DAY_MS;
/** How long a call gets the same answer. */
const ANSWERS_KEPT_MS = DAY_MS;
/** A call that runs for longer has died with its Worker. */
const MAX_CALL_MS = 2 * MINUTE_MS;

/** What is asked for again, after a restart, is among so many. */
const LATEST_LINES = 10;

/** `begun`: go on, then end it; or the answer it was given before; or why it may not go on. */
type Begun = { state: "begun" | "running" | "reused" | "answered"; answer: StoredAnswer | null };

/** Who asks: a fingerprint of the API key; null for the relay itself. */
export type Caller = { key: string | null };

export abstract class Records extends StoredObject {
  protected readonly store: RegistryStore;
  /** Nothing is stored: no event came before what comes now. */
  readonly #isNew: boolean;
  #firstEventAtMs: number | null | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, "registry");
    this.#isNew = this.tables.names.length === 0;
    this.store = new RegistryStore(this.tables);
  }

  /** Writes down what somebody did beside changing a webhook; once, though it is asked for again. */
  async addToAudit(entry: {
    by: Caller;
    /** Unix milliseconds; left out by release 0.2.0. */
    atMs?: number;
    action: string;
    webhookId: string | null;
    after: Record<string, unknown> | null;
    /** Asked once more, after a restart: it may be done. */
    isAgain?: boolean;
  }): Promise<void> {
    const { by, atMs = Date.now(), isAgain = false, ...said } = entry;
    const line = { atMs, key: by.key, before: null, ...said };
    const textOf = (each: Omit<AuditEntry, "number">) =>
      JSON.stringify([each.atMs, each.key, each.action, each.webhookId, each.after]);
    const latest = isAgain ? this.store.audit(null, LATEST_LINES) : [];
    if (!latest.map(textOf).includes(textOf(line))) this.store.addToAudit(line);
  }

  /** Newest first. */
  audit(before: number | null, limit: number): AuditEntry[] {
    return this.store.audit(before, limit);
  }

  /** A day's Journal says what it counted, each time that it has counted more. */
  eventsCounted(day: string, totals: EventTotals): void {
    const known = this.store.eventTotals().get(day) ?? totals;
    this.store.saveEventTotals(day, furthest([totals, known]));
  }

  /**
   * What the Journals have handed over.
   *
   * @param asked days that are to be told apart: who asks has their own word for them.
   */
  eventTotals(asked: string[]): { others: EventTotals; days: Record<string, EventTotals> } {
    const all = [...this.store.eventTotals()];
    const others = all.filter(([day]) => !asked.includes(day)).map(([, totals]) => totals);
    const days = Object.fromEntries(all.filter(([day]) => asked.includes(day)));
    return { others: addTotals(others), days };
  }

  /** No Journal has an event of before then, Unix milliseconds; null where that is not known, as after 0.1.0. */
  firstEventAtMs(): number | null {
    this.#firstEventAtMs ??= this.store.firstEventAtMs();
    return this.#firstEventAtMs;
  }

  /** An event came at `atMs`, or may come from then on. */
  protected noteFirstEvent(atMs: number): void {
    const first = this.firstEventAtMs() ?? (this.#isNew ? Number.POSITIVE_INFINITY : 0);
    if (first <= atMs) return;
    this.store.saveFirstEventAtMs(atMs);
    this.#firstEventAtMs = atMs;
  }

  /** The days of which a Journal has handed something over, whether or not it is still there. */
  eventDays(): string[] {
    return [...this.store.eventTotals().keys()].filter((day) => day !== "");
  }

  /**
   * Begins a call with an `Idempotency-Key`: the same is made once, and answered as often as it comes.
   *
   * @param call a hash of method, path and body.
   */
  beginCall(caller: string, key: string, call: string): Begun {
    const nowMs = Date.now();
    const keptFromMs = nowMs - ANSWERS_KEPT_MS;
    this.store.deleteAnswersBefore(keptFromMs);
    const found = this.store.answer(caller, key);
    const stored = found !== null && found.atMs >= keptFromMs ? found : null;
    const died = stored?.answer === null && stored.atMs < nowMs - MAX_CALL_MS;
    if (stored === null || (died && stored.call === call)) {
      this.store.saveAnswer(caller, key, { call, atMs: nowMs, answer: null });
      return { state: "begun", answer: null };
    }
    if (stored.call !== call) return { state: "reused", answer: null };
    return { state: stored.answer === null ? "running" : "answered", answer: stored.answer };
  }

  /** @param answer null when it is not to be kept: the call may be made again. */
  endCall(caller: string, key: string, call: string, answer: StoredAnswer | null): void {
    if (answer === null) this.store.deleteAnswer(caller, key);
    else this.store.saveAnswer(caller, key, { call, atMs: Date.now(), answer });
  }

  /**
   * Some of what was answered about events, or about a person, goes, since they are erased.
   *
   * @returns where to go on; null at the end.
   */
  forgetAnswers(about: EventId[] | { email: string }, after: AnswerKey | null): AnswerKey | null {
    if (Array.isArray(about)) {
      return this.store.deleteAnswersAbout((body) => about.some((id) => body.includes(id)), after);
    }
    const address = addressOf(about.email);
    if (address === null) return null;
    return this.store.deleteAnswersAbout((body) => mentions(body, address), after);
  }

  /**
   * Copies of erased events that still arrive are to go to nobody.
   *
   * @param atMs the same where it is asked for again, after a restart; Unix milliseconds, left out by release 0.2.0.
   * @returns how many were not remembered before.
   */
  rememberErased(ids: EventId[], atMs = Date.now()): number {
    const known = this.store.erasedAmong(ids, atMs).length;
    for (const id of ids) this.store.rememberErased(id, atMs, atMs - ERASED_KEPT_MS);
    return ids.length - known;
  }
}
