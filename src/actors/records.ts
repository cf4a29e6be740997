/** What the Registry keeps beside webhooks: who did what, what calls were answered, which events were erased. */
import { addressOf, mentions } from "../domain/address";
import { addTotals, type EventTotals, furthest } from "../domain/event-totals";
import type { EventId } from "../domain/ids";
import { DAY_MS } from "../domain/time";
import {
  type AnswerKey,
  type AuditEntry,
  RegistryStore,
  type StoredAnswer,
} from "../storage/registry-store";
import { type Begun, Calls } from "./calls";
import { StoredObject } from "./stored-object";

/** The longest that a queue keeps a message. */
const ERASED_KEPT_MS = 14 * DAY_MS;

/** Who asks: a fingerprint of the API key; null for the relay itself. */
export type Caller = { key: string | null };

export abstract class Records extends StoredObject {
  static {
    StoredObject.guard(Records.prototype);
  }

  protected readonly store: RegistryStore;
  readonly #calls: Calls;
  /** Nothing is stored: no event came before what comes now. */
  readonly #isNew: boolean;
  #firstEventAtMs: number | null | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, "registry");
    this.#isNew = this.tables.names.length === 0;
    this.store = new RegistryStore(this.tables);
    this.#calls = new Calls(this.store);
  }

  /** Writes down what somebody did beside changing a webhook. */
  async addToAudit(entry: {
    by: Caller;
    action: string;
    webhookId: string | null;
    after: Record<string, unknown> | null;
  }): Promise<void> {
    const { by, ...said } = entry;
    this.store.addToAudit({ atMs: Date.now(), key: by.key, before: null, ...said });
  }

  /** Newest first. */
  audit(before: number | null, limit: number): AuditEntry[] {
    return this.store.audit(before, limit);
  }

  /** A day's Journal says what it counted, each time that it has counted more. */
  eventsCounted(day: string, totals: EventTotals): void {
    this.store.saveEventTotals(
      day,
      furthest([totals, this.store.eventTotals().get(day) ?? totals]),
    );
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

  /** Begins a call with an `Idempotency-Key`. */
  beginCall(caller: string, key: string, call: string): Begun {
    return this.#calls.begin({ caller, key, call });
  }

  /** @param answer null when it is not to be kept: the call may be made again. */
  endCall(caller: string, key: string, call: string, answer: StoredAnswer | null): void {
    this.#calls.end({ caller, key, call }, answer);
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

  /** Copies of erased events that still arrive are to go to nobody. @returns how many were not remembered before. */
  rememberErased(ids: EventId[]): number {
    const nowMs = Date.now();
    const known = this.store.erasedAmong(ids).length;
    for (const id of ids) this.store.rememberErased(id, nowMs, nowMs - ERASED_KEPT_MS);
    return ids.length - known;
  }
}
