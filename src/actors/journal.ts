/**
 * Journal: one object per UTC day of the queue message's timestamp. Every event once, with the webhooks that it
 * matched: what to look at, and what to replay from. It deletes itself when `RETENTION` has passed since the day.
 */
import { configOf } from "../config";
import { type Address, addressOf, mentions, sameAddress } from "../domain/address";
import { type EventFilter, isListed } from "../domain/event";
import type { EventTotals } from "../domain/event-totals";
import type { EventId, WebhookId } from "../domain/ids";
import { answered } from "../domain/no-answer";
import { journalDayMs, REGISTRY_NAME } from "../domain/placement";
import { isRelayEvent } from "../domain/relay-events";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../domain/time";
import { errorText, logError, logWarning } from "../log";
import { isFull } from "../storage/full";
import {
  type JournalEntry,
  type JournalEvent,
  JournalStore,
  NOTHING_KNOWN,
  type StoredEvent,
} from "../storage/journal-store";
import type { Position } from "../storage/position";
import { openTables } from "../storage/schema";
import { ErasedLately } from "./erased-lately";
import { StoredObject } from "./stored-object";

/** So long after its end a day still gets most of what is late. */
const LATE_MS = 10 * MINUTE_MS;
const TRY_AGAIN_MS = 60_000;
/** A filtered page looks at this many events and no more; `next` goes on behind them. */
const MAX_ROWS_PER_PAGE = 1_000;
/** A page that looks into bodies reads so many bytes of them. */
const MAX_BYTES_PER_PAGE = 8 * 1024 * 1024;

type EventQuery = EventFilter & { before?: Position; limit: number };

export class Journal extends StoredObject {
  #store: JournalStore;
  readonly #erased = new ErasedLately();
  /** The alarm is set for what came. */
  #isArmed = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, "journal");
    this.#store = new JournalStore(this.tables);
  }

  /**
   * Records events. One that is recorded already keeps what it was recorded with.
   *
   * @param batch `isAgain`: asked for once more, after a restart: it may be done.
   * @returns the webhooks that each event goes to, in the order of `entries`; null when the object is full.
   */
  async record(batch: {
    entries: JournalEntry[];
    isAgain?: boolean;
  }): Promise<{ webhookIds: WebhookId[][] | null }> {
    const { entries, isAgain = false } = batch;
    const lists = this.#store.recorded(entries.map(({ id }) => id));
    const fresh: JournalEntry[] = [];
    const copies: JournalEntry[] = [];
    for (const entry of entries.map(this.#unlessErased)) {
      if (!lists.has(entry.id)) {
        lists.set(entry.id, entry.webhookIds);
        fresh.push(entry);
      } else if (!isAgain && isCopy(entry)) {
        copies.push(entry);
      }
    }
    try {
      if (fresh.length > 0) this.#store.insert(fresh);
      if (copies.length > 0) this.#store.countDuplicates(copies.length);
    } catch (thrown) {
      if (isFull(thrown)) return { webhookIds: null };
      throw thrown;
    }
    for (const { id, event } of copies.filter((copy) => this.#store.differs(copy))) {
      logWarning("event.duplicate_differs", { eventId: id, event });
    }
    await this.#arm();
    return { webhookIds: entries.map(({ id }) => lists.get(id) ?? []) };
  }

  readonly #unlessErased = (entry: JournalEntry): JournalEntry =>
    this.#erased.has(entry.id) ? { ...entry, ...NOTHING_KNOWN } : entry;

  totals(): EventTotals {
    return this.#store.totals;
  }

  get(id: EventId): JournalEvent | null {
    return this.#store.get(id);
  }

  /** Events newest first; `next` is where the following page of this day begins, null when the day ends. */
  list(query: EventQuery): { events: JournalEvent[]; next: Position | null } {
    const address = query.email === undefined ? null : addressOf(query.email);
    if (query.email !== undefined && address === null) return { events: [], next: null };
    const events: JournalEvent[] = [];
    let looked = 0;
    let bytes = 0;
    // Of a page that is full: whether there is another is to be seen.
    let end: Position | null = null;
    for (const event of this.#store.newestFirst(query.before ?? null)) {
      if (end !== null) return { events, next: end };
      if (isListed(event, query) && this.#isOf(address, event)) events.push(event);
      looked += 1;
      if (address !== null) bytes += event.size;
      if (
        events.length >= query.limit ||
        looked >= MAX_ROWS_PER_PAGE ||
        bytes >= MAX_BYTES_PER_PAGE
      ) {
        end = event.position;
      }
    }
    return { events, next: null };
  }

  /** Whether an event is a person's: the address stands anywhere in it. */
  #isOf(address: Address | null, { id, email }: JournalEvent): boolean {
    if (address === null) return true;
    // A day of 0.1.0 has it as Leadterra wrote it.
    if (email !== null && sameAddress(addressOf(email), address)) return true;
    const body = this.#store.body(id);
    return body !== null && mentions(body, address);
  }

  /**
   * Bodies of events, as far as they are here and not erased.
   *
   * @param maxBytes at most so much at once; what did not fit is in `left`.
   */
  bodies(ids: EventId[], maxBytes: number): { found: StoredEvent[]; left: EventId[] } {
    const found: StoredEvent[] = [];
    let bytes = 0;
    for (const [index, id] of ids.entries()) {
      if (bytes >= maxBytes) return { found, left: ids.slice(index) };
      const event = this.#store.get(id);
      const body = this.#store.body(id);
      if (event === null || body === null) continue;
      found.push({ id, event: event.event, body });
      bytes += body.length;
    }
    return { found, left: [] };
  }

  /**
   * How many events came in within each step, and when the last one did.
   *
   * @param starts Unix milliseconds of each step's start.
   */
  stats(starts: number[], stepMs: number = HOUR_MS): { counts: number[]; lastAtMs: number | null } {
    const before = new Map<number, number>();
    const countBefore = (atMs: number) => {
      const count = before.get(atMs) ?? this.#store.countBefore(atMs);
      before.set(atMs, count);
      return count;
    };
    const counts = starts.map((atMs) => countBefore(atMs + stepMs) - countBefore(atMs));
    return { counts, lastAtMs: this.#store.totals.lastAtMs };
  }

  /** Erases the payloads and what is known of the leads. How many of the events this day has. */
  eraseMany(ids: EventId[]): number {
    this.#erased.add(ids);
    for (const id of ids) this.#store.erase(id);
    return ids.filter((id) => this.#store.get(id) !== null).length;
  }

  /** Never throws: an alarm that throws seven times is dropped for good, and the day would stay. */
  override async alarm(): Promise<void> {
    try {
      await this.#goWhenDue();
    } catch (thrown) {
      logError("journal.not_deleted", { day: this.ctx.id.name, error: errorText(thrown) });
      await this.ctx.storage.setAlarm(Date.now() + TRY_AGAIN_MS);
    }
  }

  /** For an alarm that was lost, or set for a longer `RETENTION`. Called by the sweep. */
  async check(): Promise<void> {
    if (this.#store.exists) await this.#goWhenDue();
  }

  async #goWhenDue(): Promise<void> {
    this.#isArmed = false;
    if (this.#isOver) await this.#handOver();
    // What came meanwhile has set one that rings soon: it is to be told, too.
    if (this.#isArmed) return;
    const deleteAtMs = this.#deleteAtMs();
    if (deleteAtMs === null || deleteAtMs > Date.now()) {
      // A `RETENTION` that does not parse stops deletion; the alarm looks again a day later.
      const keptUntilMs = deleteAtMs ?? Date.now() + DAY_MS;
      await this.ctx.storage.setAlarm(this.#isOver ? keptUntilMs : this.#overAtMs);
    } else {
      await this.ctx.storage.deleteAll();
      this.tables = openTables(this.ctx.storage, "journal").tables;
      this.#store = new JournalStore(this.tables);
    }
  }

  /** What was counted is the Registry's to keep: it is told when the day is over, and whatever comes late once more. */
  async #handOver(): Promise<void> {
    const registry = this.env.REGISTRY.getByName(REGISTRY_NAME);
    answered(await registry.eventsCounted(this.ctx.id.name ?? "", this.#store.totals));
  }

  /** One that 0.1.0 set is for the deletion. */
  async #arm(): Promise<void> {
    if (this.#isArmed) return;
    this.#isArmed = true;
    const wantedMs = Math.max(this.#overAtMs, Date.now() + MINUTE_MS);
    const setToMs = await this.ctx.storage.getAlarm();
    if (setToMs === null || setToMs > wantedMs) await this.ctx.storage.setAlarm(wantedMs);
  }

  /** The day, and a while for what the queue hands over late. */
  get #overAtMs(): number {
    return journalDayMs(this.ctx.id.name ?? "") + DAY_MS + LATE_MS;
  }

  get #isOver(): boolean {
    return this.#overAtMs <= Date.now();
  }

  #deleteAtMs(): number | null {
    const { retentionMs } = configOf(this.env);
    if (retentionMs === null) return null;
    return journalDayMs(this.ctx.id.name ?? "") + DAY_MS + retentionMs;
  }
}

/** What the queue hands over once more is no copy, nor does the relay's own count. */
function isCopy({ event, isAgain = false }: JournalEntry): boolean {
  return !isAgain && !isRelayEvent(event);
}
