/**
 * The deliveries of a webhook as people see and handle them: lists, counts, opening again, cancelling, expiry. What
 * changes here is written at once; the pump has nothing planned meanwhile and hears of what is in flight.
 */
import { addressOf, mentions } from "../../domain/address";
import {
  type DeliveryFilter,
  type DeliveryView,
  type LoggedDelivery,
  reopen,
} from "../../domain/delivery";
import { forgetAnswer } from "../../domain/health";
import type { HealthReport } from "../../domain/health-report";
import type { EventId } from "../../domain/ids";
import { logInfo } from "../../log";
import { AttemptList, type AttemptPage, type AttemptPlace } from "../../storage/attempt-list";
import {
  DeliveryLists,
  isWanted,
  type ListOptions,
  type Moment,
} from "../../storage/delivery-lists";
import { DeliveryPersons, type KeptPlace } from "../../storage/delivery-persons";
import type { DeliveryStore, Inserted } from "../../storage/delivery-store";
import {
  type Arrival,
  ASKED,
  type Asked,
  type DeliveryTables,
  type ListedDelivery,
  type Reopening,
  type StoredDelivery,
} from "../../storage/delivery-tables";
import { END, type Position } from "../../storage/position";
import type { RunStore } from "../../storage/run-store";
import { ErasedLately } from "../erased-lately";
import type { Ledger } from "./ledger";
import type { Outlook } from "./outlook";
import type { Changed } from "./tally";

/** A filtered page looks at this many deliveries and no more; `next` goes on behind them. */
const MAX_ROWS_PER_PAGE = 1_000;
/** The clock of who asks may be so far ahead of the object's. */
const MAX_AHEAD_MS = 100;

export type DeliveryQuery = DeliveryFilter & { before?: Position; limit: number };

/** A page in the order that all webhooks share. */
export type TimeQuery = Omit<DeliveryQuery, "before"> & { before: Moment | null; maxRows: number };

export type Reopenings = {
  deliveries: Reopening[];
  by: "retry" | "replay";
  /** When it was asked, Unix milliseconds, by the clock of who asks; left out by release 0.2.0. */
  atMs?: number;
  /** Asked once more, after a restart: it may be done. */
  isAgain?: boolean;
};

export type Opened = "opened" | "hastened" | "added" | "in_flight" | "needs_body" | "unknown";

export type Parts = {
  tables: DeliveryTables;
  store: DeliveryStore;
  runs: RunStore;
  ledger: Ledger;
  outlook: Outlook;
  webhookId: string;
  /** null when retention is off. */
  retentionMs: () => number | null;
};

export class Deliveries {
  readonly #parts: Parts;
  readonly #store: DeliveryStore;
  readonly #ledger: Ledger;
  readonly #outlook: Outlook;
  readonly #lists: DeliveryLists;
  readonly #erased = new ErasedLately();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#store = parts.store;
    this.#ledger = parts.ledger;
    this.#outlook = parts.outlook;
    this.#lists = new DeliveryLists(parts.tables);
  }

  /** @param how as `DeliveryStore.insert` has it. @returns what is new, and whether it is leased. */
  insert(
    deliveries: readonly Arrival[],
    { mayLease = false, isBackfill = false }: { mayLease?: boolean; isBackfill?: boolean } = {},
  ): Inserted {
    const [nowMs, retentionMs] = [Date.now(), this.#parts.retentionMs()];
    const arrival = { nowMs, behind: this.#ledger.run, retentionMs, mayLease, isBackfill };
    const wanted = deliveries.filter(({ id }) => !this.#erased.has(id));
    return this.#store.insert(wanted, arrival);
  }

  /** Counts what is pending, row by row: an arrival was stored without some of its deliveries. */
  recount(): void {
    const pending = this.#lists.countPending(this.#ledger.freshFrom);
    this.#ledger.tally.recounted(this.#arrived() - pending);
  }

  #arrived(): number {
    return this.#parts.tables.arrived(this.#ledger.run.ended);
  }

  // --- looking ----------------------------------------------------------------------------------------------

  page(query: DeliveryQuery): { deliveries: DeliveryView[]; next: Position | null } {
    const { deliveries, next } = this.#list(query);
    const look = this.#outlook.look();
    return { deliveries: deliveries.map((delivery) => this.#view(delivery, look)), next };
  }

  pageByTime({ before, maxRows, ...query }: TimeQuery) {
    const { found, ...page } = this.#lists.listByTime(before, this.#options(query, maxRows));
    const look = this.#outlook.look();
    const seen = found.map((each) => ({ ...each, delivery: this.#view(each.delivery, look) }));
    return { ...page, found: seen };
  }

  #list({ before, ...query }: DeliveryQuery) {
    return this.#lists.list(before ?? null, this.#options(query, MAX_ROWS_PER_PAGE));
  }

  #options(query: Omit<DeliveryQuery, "before">, maxRows: number): ListOptions {
    this.#ledger.record();
    const { status, sinceMs = 0, untilMs } = query;
    return {
      status: status ?? null,
      head: this.#ledger.freshFrom,
      untilMs: untilMs ?? null,
      limit: query.limit,
      maxRows,
      keep: (delivery) => {
        // What was opened again may stand behind what came later; what is kept from its arrival on stands there.
        const { createdAtMs, keptFromMs } = delivery;
        const isInPlace = keptFromMs === null || keptFromMs === createdAtMs;
        if (createdAtMs < sinceMs) return isInPlace ? "stop" : false;
        if (untilMs !== undefined && delivery.createdAtMs > untilMs) return false;
        return isWanted(delivery, query);
      },
    };
  }

  one(id: EventId): LoggedDelivery | null {
    this.#ledger.record();
    const delivery = this.#store.get(id);
    return delivery === null ? null : { ...this.#view(delivery), attemptLog: delivery.log };
  }

  attempts(before: AttemptPlace | null, limit: number): AttemptPage {
    this.#ledger.record();
    const all = { first: this.#ledger.attemptedTo, again: END };
    const list = new AttemptList({ ...this.#parts, lists: this.#lists });
    return list.list(before ?? all, { limit, maxRows: MAX_ROWS_PER_PAGE });
  }

  stats(sinceMs: number) {
    this.#ledger.record();
    const { hour: running, totals } = this.#ledger.run;
    const hours = [
      ...this.#parts.runs.hours(sinceMs),
      ...(running.atMs >= sinceMs ? [running] : []),
    ];
    const health = this.health();
    const { pending, oldestDueAtMs } = health;
    const { failingSinceMs, probing } = this.#ledger.run.health;
    return { pending, oldestDueAtMs, failingSinceMs, probing, hours, health, totals };
  }

  health(): HealthReport {
    this.#ledger.record();
    const pending = this.#arrived() - this.#ledger.run.ended;
    const undeliverable = this.#ledger.tally.undeliverable(this.#lists);
    return this.#outlook.health({ pending, undeliverable });
  }

  #view(delivery: ListedDelivery, look = this.#outlook.look()): DeliveryView {
    const { id: eventId, event, status, attempts, createdAtMs } = delivery;
    const { completedAtMs, lastStatusCode, lastError } = delivery;
    const { webhookId } = this.#parts;
    const view = { webhookId, eventId, event, status, attempts, createdAtMs, ...look(delivery) };
    return { ...view, completedAtMs, lastStatusCode, lastError };
  }

  // --- doing ------------------------------------------------------------------------------------------------

  reopen({ deliveries, by, atMs = 0, isAgain = false }: Reopenings): Opened[] {
    const asked = by === "retry" ? ASKED.byRetry : ASKED.byReplay;
    const opened: (Opened | null)[] = [];
    this.#together(() => {
      for (const { id, body } of deliveries) {
        const delivery = this.#store.get(id);
        const wasDone = isAgain && delivery !== null && isDone(delivery, atMs - MAX_AHEAD_MS);
        const given = this.#erased.has(id) ? null : body;
        opened.push(wasDone ? "hastened" : delivery && this.#open(delivery, asked, given));
      }
    });
    const missing = deliveries.flatMap(({ id, event, body }, index) =>
      opened[index] === null && body !== null ? { id, event, body } : [],
    );
    const { added } = this.insert(missing, { isBackfill: true });
    const isAdded = new Set(added.map(({ id }) => id));
    return deliveries.map(({ id }, index) => {
      return opened[index] ?? (isAdded.delete(id) ? "added" : "unknown");
    });
  }

  /**
   * Changes rows and counts, all of it or nothing: the counts are derived from the rows of the last lease, and one that
   * was not written with its row would be wrong for good.
   */
  #together(change: () => void): void {
    try {
      this.#ledger.tally.countedOnlyIf(() =>
        this.#parts.tables.atomically(() => {
          change();
          this.#ledger.save();
        }),
      );
    } catch (thrown) {
      this.#store.forget();
      throw thrown;
    }
  }

  #open(delivery: StoredDelivery, asked: Asked, body: Uint8Array | null): Opened {
    if (this.#ledger.leases.has(delivery.id)) return "in_flight";
    const nowMs = Date.now();
    if (delivery.status === "pending") {
      // What a person asked for by name stays that.
      const first = delivery.asked === ASKED.byRetry ? delivery.asked : asked;
      this.#store.update({ ...delivery, dueAtMs: nowMs, asked: first });
      return "hastened";
    }
    // What has expired is past its retention, also while the Journal has its event.
    if (body === null || delivery.lastError === "expired") return "needs_body";
    const after = { ...delivery, ...reopen(delivery, nowMs), keptFromMs: nowMs, asked };
    this.#store.update(after, body);
    this.#ledger.tally.count(delivery, after);
    return "opened";
  }

  /** What this call came to already, before a restart; null for another one. */
  #answerTo(call: string) {
    const last = this.#ledger.run.discarded;
    return call !== "" && last?.call === call ? last : null;
  }

  /** @param call as for `discard`. */
  hasten(call = ""): number {
    const known = this.#answerTo(call);
    if (known !== null) return known.count;
    const nowMs = Date.now();
    const waiting = this.#store
      .waitingAfter(nowMs, MAX_ROWS_PER_PAGE)
      .filter(({ id }) => !this.#ledger.leases.has(id));
    if (waiting.length === 0) return 0;
    this.#ledger.noteDiscarded({ call, count: waiting.length, next: null });
    this.#together(() => this.#store.hasten(waiting, nowMs));
    return waiting.length;
  }

  /** @param atMs Unix milliseconds: asked for again, after a restart, it is done. Left out by release 0.2.0. */
  cancel(id: EventId, atMs = Date.now()): DeliveryView | "not_pending" | null {
    const delivery = this.#store.get(id);
    if (delivery === null) return null;
    const { status, completedAtMs } = delivery;
    if (status === "cancelled" && completedAtMs === atMs) return this.#view(delivery);
    if (status !== "pending") return "not_pending";
    const [after = delivery] = this.#end([delivery], null, atMs);
    return this.#view(after);
  }

  /** @param call the same where it is asked for again, after a restart. Left out by release 0.2.0. */
  discard(query: Omit<DeliveryQuery, "status">, dryRun: boolean, call = "") {
    const known = this.#answerTo(call);
    if (known !== null) return { discarded: known.count, next: known.next };
    const { deliveries, next } = this.#list({ ...query, status: "pending" });
    if (!dryRun) {
      this.#ledger.noteDiscarded({ call, count: deliveries.length, next });
      this.#end(deliveries, null);
    }
    return { discarded: deliveries.length, next };
  }

  /** They are past `RETENTION`; an alert has warned a day before. */
  expire(deliveries: readonly ListedDelivery[]): void {
    this.#end(deliveries, "expired");
  }

  /**
   * @param email whose: what else than that person's event it turns out to be loses its answers only, since they name
   *   the person, and goes its way. Left out where the events are known to go.
   * @returns whether there was one.
   */
  erase(id: EventId, email?: string): boolean {
    const delivery = this.#store.get(id);
    const isWhole = email === undefined || (delivery !== null && this.#isAbout(delivery, email));
    if (isWhole) this.#erased.add([id]);
    this.#ledger.leases.erased(id);
    const health = forgetAnswer(this.#ledger.run.health, ({ eventId }) => eventId === id);
    if (health !== this.#ledger.run.health) {
      this.#ledger.setHealth(health);
      this.#ledger.save();
    }
    if (delivery === null) return false;
    const gone = { responseBody: null, responseHeaders: null };
    const log = delivery.log.map((attempt) => ({ ...attempt, ...gone }));
    if (isWhole && delivery.status === "pending") {
      this.#end([{ ...delivery, log }], "erased");
    } else if (log.length > 0) {
      const after = { ...delivery, log };
      this.#store.update(after);
      this.#ledger.amend(after);
      this.#ledger.save();
    }
    return true;
  }

  /** By the body, which is there as long as the delivery is pending. */
  #isAbout(delivery: StoredDelivery, email: string): boolean {
    const address = addressOf(email);
    const [sent] = this.#store.withBodies([{ ...delivery, dueAtMs: 0, size: 0 }], 0);
    return address !== null && sent !== undefined && mentions(sent.body, address);
  }

  ofPerson(email: string, after: KeptPlace | null): { ids: EventId[]; next: KeptPlace | null } {
    const address = addressOf(email);
    if (address === null) return { ids: [], next: null };
    const retentionMs = this.#parts.retentionMs() ?? Number.POSITIVE_INFINITY;
    const persons = new DeliveryPersons(this.#parts.tables);
    const page = persons.outliving(address, Date.now() - retentionMs, after);
    const { lastFailure } = this.#ledger.run.health;
    const isNamed = after === null && mentions(lastFailure?.responseBody ?? "", address);
    return lastFailure && isNamed ? { ...page, ids: [...page.ids, lastFailure.eventId] } : page;
  }

  /** Ends pending deliveries without an attempt; one that is in flight stays ended whatever comes of it. */
  #end(deliveries: readonly Changed[], error: "expired" | "erased" | null, nowMs = Date.now()) {
    if (deliveries.length === 0) return [];
    const ended = deliveries.map((delivery) => ({
      ...delivery,
      status: "cancelled" as const,
      dueAtMs: null,
      asked: ASKED.bySchedule,
      completedAtMs: nowMs,
      lastError: error ?? delivery.lastError,
      keptFromMs: error === "expired" ? nowMs : delivery.keptFromMs,
    }));
    this.#together(() => {
      for (const [index, delivery] of deliveries.entries()) {
        const after = ended[index] ?? delivery;
        this.#store.update(after);
        this.#ledger.tally.count(delivery, after);
      }
      this.#ledger.firstFresh();
    });
    for (const after of ended) {
      this.#ledger.amend(after);
      const { webhookId } = this.#parts;
      logInfo("delivery.cancelled", { webhookId, eventId: after.id, error });
    }
    return ended;
  }
}

/** Whether what a person asked for from `fromMs` on is done: it waits or was tried so. */
function isDone({ createdAtMs, dueAtMs, asked, log }: StoredDelivery, fromMs: number): boolean {
  const isWaiting = asked !== ASKED.bySchedule && (dueAtMs ?? createdAtMs) >= fromMs;
  return isWaiting || log.some((each) => each.trigger === "manual" && each.startedAtMs >= fromMs);
}
