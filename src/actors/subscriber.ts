/**
 * Subscriber: one per webhook. Owns what happens: deliveries, attempts, hold by failure. What people decided
 * comes from the Registry, each change with a version, and is in force for every attempt that starts after it
 * was acknowledged.
 */
import { DurableObject } from "cloudflare:workers";
import { configOf } from "../config";
import { type HourCounters, sum } from "../domain/counters";
import {
  type AttemptRecord,
  type DeliveryStatus,
  type DeliveryView,
  HEALTHY,
  type Health,
  release,
  reopen,
} from "../domain/delivery";
import { type EventId, randomEventId } from "../domain/ids";
import { REGISTRY_NAME } from "../domain/placement";
import { parseSchedule } from "../domain/schedule";
import type { Webhook } from "../domain/webhook";
import { errorText, logError, logInfo, logWarning } from "../log";
import {
  type Arrival,
  ASKED,
  DeliveryStore,
  type Position,
  type StoredDelivery,
} from "../storage/delivery-store";
import { isFull } from "../storage/full";
import { emptyRun, RunStore, type Settings } from "../storage/run-store";
import { Departures } from "./departures";
import { Pump, type PumpHost, type Terms } from "./pump";
import { recover } from "./recovery";

/** An alarm that is this late will not come any more. */
const OVERDUE_ALARM_MS = 5_000;
const MIN_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;
/** A filtered page looks at this many deliveries and no more; `next` goes on behind them. */
const MAX_ROWS_PER_PAGE = 1_000;
/** How many deliveries expire in one turn. */
const MAX_EXPIRED_AT_ONCE = 500;

const UNKNOWN_SCHEDULE: readonly number[] = Array.from({ length: 20 }, () => 0);

export type DeliveryQuery = {
  status?: DeliveryStatus;
  event?: string;
  sinceMs?: number;
  untilMs?: number;
  before?: Position;
  limit: number;
};

/** What came of opening a delivery again. */
export type Opened = "opened" | "hastened" | "added" | "in_flight" | "needs_body" | "unknown";

/** What the sweep wants to know. */
export type SubscriberReport = {
  /** When the oldest delivery became due that has not gone out; null when none is, or while held. */
  overdueSinceMs: number | null;
  /** When the next pending delivery would expire; null without any or without retention. */
  expiresAtMs: number | null;
};

export type SubscriberStats = {
  pending: number;
  oldestDueAtMs: number | null;
  totals: Omit<HourCounters, "atMs">;
  hours: HourCounters[];
};

export class Subscriber extends DurableObject<Env> {
  #store: DeliveryStore;
  readonly #runs: RunStore;
  readonly #departures: Departures;
  #pump: Pump;
  #settings: Settings | null;
  #generation = 0;
  #alarmAtMs: number | null = null;
  #errorsInARow = 0;
  /** Counted once, then kept up to date. */
  #pending: number | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new DeliveryStore(ctx.storage.sql);
    this.#runs = new RunStore(ctx.storage.sql);
    this.#departures = new Departures(env);
    this.#settings = this.#runs.settings();
    const stores = { runs: this.#runs, deliveries: this.#store };
    this.#pump = this.#newPump(recover(stores, this.#schedule(), this.#id));
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarmAtMs = await ctx.storage.getAlarm();
    });
  }

  get #id(): string {
    return this.ctx.id.name ?? "";
  }

  // --- what the Registry says -------------------------------------------------------------------------------

  /**
   * Takes the webhook as people decided it. An older version than the one in force changes nothing.
   *
   * @returns the version in force.
   */
  configure(webhook: Webhook): number {
    const before = this.#settings;
    if (before !== null && (isDeleted(before) || webhook.version <= before.version)) {
      return isDeleted(before) ? before.deletedVersion : before.version;
    }
    this.#pump.settle();
    this.#putInForce(webhook);
    if (before !== null) this.#followRelease(before, webhook);
    this.#rouse();
    return webhook.version;
  }

  /** Another URL is another service, and a resume a new start: the failures of before do not count. */
  #followRelease(before: Webhook, after: Webhook): void {
    const { health } = this.#pump;
    const wasDisabled = before.status === "disabled" || health.disabled !== null;
    if (after.urlVersion > before.version)
      this.#pump.setHealth({ ...HEALTHY, probing: wasDisabled });
    else if (after.resumedVersion > before.version)
      this.#pump.setHealth(release(health, wasDisabled));
    else if (after.status === "disabled") this.#pump.setHealth({ ...health, disabled: null });
  }

  /** Empties the object but for the version: a late push cannot revive the webhook. */
  async remove(version: number): Promise<number> {
    this.#generation += 1;
    this.#pump.drop();
    this.#runs.deleteAll(version);
    this.#settings = { deletedVersion: version };
    this.#store = new DeliveryStore(this.ctx.storage.sql);
    this.#pump = this.#newPump(emptyRun());
    this.#pending = null;
    this.#alarmAtMs = null;
    await this.ctx.storage.deleteAlarm();
    return version;
  }

  // --- what the queue hands over ----------------------------------------------------------------------------

  /**
   * Takes deliveries, each event id once. Durable when it returns.
   *
   * @returns `added`, how many were new; `deleted` when the Registry says that there is no such webhook any more,
   *   so nothing is owed; `full` when the object can take no more.
   */
  async accept({
    deliveries,
  }: {
    deliveries: Arrival[];
  }): Promise<{ status: "accepted" | "deleted" | "full"; added: number }> {
    if (this.#settings === null) await this.#askRegistry();
    if (this.#settings === null || isDeleted(this.#settings))
      return { status: "deleted", added: 0 };
    try {
      const added = this.#insert(deliveries);
      this.#rouse();
      return { status: "accepted", added };
    } catch (thrown) {
      if (isFull(thrown)) return { status: "full", added: 0 };
      throw thrown;
    }
  }

  #insert(deliveries: readonly Arrival[]): number {
    const { retentionMs } = configOf(this.env);
    const added = this.#store.insert(deliveries, {
      nowMs: Date.now(),
      head: this.#pump.head,
      retentionMs,
    }).length;
    if (this.#pending !== null) this.#pending += added;
    return added;
  }

  /** An object without settings asks for them; that there is no such webhook is not stored. */
  async #askRegistry(): Promise<void> {
    const answer = await this.env.REGISTRY.getByName(REGISTRY_NAME).settingsOf(this.#id);
    if (this.#settings !== null) return;
    if (answer === null) this.#settings = { deletedVersion: 0 };
    else this.#putInForce(answer as Webhook);
  }

  // --- what people look at ----------------------------------------------------------------------------------

  /** Deliveries newest first; `next` is where the following page begins, null on the last. */
  deliveries(query: DeliveryQuery): { deliveries: DeliveryView[]; next: Position | null } {
    const { deliveries, next } = this.#list(query, MAX_ROWS_PER_PAGE);
    return { deliveries: deliveries.map((delivery) => this.#view(delivery)), next };
  }

  #list(query: DeliveryQuery, maxRows: number) {
    this.#pump.record();
    const { status, event, sinceMs = 0, untilMs } = query;
    const before =
      query.before ?? (untilMs === undefined ? null : this.#store.positionAfter(untilMs));
    return this.#store.list(before, {
      status: status ?? null,
      head: this.#pump.plannedHead,
      limit: query.limit,
      maxRows,
      keep: (delivery) => {
        if (delivery.createdAtMs < sinceMs) return delivery.keptFromMs === null ? "stop" : false;
        if (untilMs !== undefined && delivery.createdAtMs > untilMs) return false;
        if (status !== undefined && delivery.status !== status) return false;
        return event === undefined || delivery.event === event;
      },
    });
  }

  /** One delivery with its attempts, oldest first; null when this webhook has none of that event. */
  delivery(id: EventId): (DeliveryView & { attemptLog: AttemptRecord[] }) | null {
    this.#pump.record();
    const delivery = this.#store.get(id);
    return delivery === null ? null : { ...this.#view(delivery), attemptLog: delivery.log };
  }

  /** Which of `ids` this webhook never had. */
  missing(ids: EventId[]): EventId[] {
    return this.#store.missing(ids);
  }

  stats(sinceMs: number): SubscriberStats {
    this.#pump.record();
    this.#pending ??= this.#store.countPending(this.#pump.plannedHead);
    const running = this.#pump.hour;
    const hours = [...this.#runs.hours(sinceMs), ...(running.atMs >= sinceMs ? [running] : [])];
    return {
      pending: this.#pending,
      oldestDueAtMs: this.#oldestDueAtMs(),
      totals: sum(hours),
      hours,
    };
  }

  #view(delivery: StoredDelivery): DeliveryView {
    const waits = delivery.status === "pending" && this.#terms() !== null;
    return {
      webhookId: this.#id,
      eventId: delivery.id,
      event: delivery.event,
      status: delivery.status,
      attempts: delivery.attempts,
      createdAtMs: delivery.createdAtMs,
      nextAttemptAtMs: waits ? this.#nextAttemptAtMs(delivery) : null,
      completedAtMs: delivery.completedAtMs,
      lastStatusCode: delivery.lastStatusCode,
      lastError: delivery.lastError,
    };
  }

  #nextAttemptAtMs(delivery: StoredDelivery): number {
    const dueAtMs = delivery.dueAtMs ?? delivery.createdAtMs;
    if (delivery.asked === ASKED.byRetry) return dueAtMs;
    return Math.max(dueAtMs, this.#pump.health.postponedUntilMs ?? 0);
  }

  // --- what people do ---------------------------------------------------------------------------------------

  /**
   * Opens finished deliveries again, makes pending ones due now, and adds those that the webhook never had.
   *
   * @param deliveries `body` null for one that is believed to be pending; it is not opened without.
   * @returns what came of each, in order.
   */
  reopen({
    deliveries,
    by,
  }: {
    deliveries: { id: EventId; event: string; body: Uint8Array | null }[];
    by: "retry" | "replay";
  }): Opened[] {
    this.#pump.settle();
    const asked = by === "retry" ? ASKED.byRetry : ASKED.byReplay;
    const opened = deliveries.map(({ id, event, body }): Opened => {
      const delivery = this.#store.get(id);
      if (delivery !== null) return this.#open(delivery, asked, body);
      if (body === null) return "unknown";
      return this.#insert([{ id, event, body }]) > 0 ? "added" : "unknown";
    });
    this.#rouse();
    return opened;
  }

  #open(delivery: StoredDelivery, asked: StoredDelivery["asked"], body: Uint8Array | null): Opened {
    if (this.#pump.isInFlight(delivery.id)) return "in_flight";
    const nowMs = Date.now();
    if (delivery.status === "pending") {
      this.#store.update({ ...delivery, dueAtMs: nowMs, asked });
      return "hastened";
    }
    if (body === null) return "needs_body";
    const after = { ...delivery, ...reopen(delivery, nowMs), keptFromMs: nowMs, asked };
    this.#store.update(after, body);
    if (this.#pending !== null) this.#pending += 1;
    return "opened";
  }

  /** Gives up on a delivery; null when there is none, `not_pending` when it is finished. */
  cancel(id: EventId): DeliveryView | "not_pending" | null {
    this.#pump.settle();
    const delivery = this.#store.get(id);
    if (delivery === null) return null;
    if (delivery.status !== "pending") return "not_pending";
    const after = this.#end(delivery, null);
    this.#pump.save();
    this.#rouse();
    return this.#view(after);
  }

  /** Gives up on what waits, at most `query.limit` at once; `next` goes on behind them. */
  discard(
    query: Omit<DeliveryQuery, "status">,
    dryRun: boolean,
  ): { discarded: number; next: Position | null } {
    if (!dryRun) this.#pump.settle();
    const page = this.#list({ ...query, status: "pending" }, MAX_ROWS_PER_PAGE);
    if (!dryRun) {
      for (const delivery of page.deliveries) this.#end(delivery, null);
      this.#pump.save();
      this.#rouse();
    }
    return { discarded: page.deliveries.length, next: page.next };
  }

  /** Erases what is kept of an event's content: pending deliveries end, the record of attempts stays. */
  erase(id: EventId): boolean {
    this.#pump.settle();
    const delivery = this.#store.get(id);
    if (delivery === null) return false;
    const log = delivery.log.map((attempt) => ({ ...attempt, responseBody: null }));
    if (delivery.status === "pending") this.#end({ ...delivery, log }, "erased");
    else this.#store.update({ ...delivery, log });
    this.#pump.save();
    this.#rouse();
    return true;
  }

  /** Ends a pending delivery without an attempt; one that is in flight stays ended whatever comes of it. */
  #end(delivery: StoredDelivery, error: "expired" | "erased" | null): StoredDelivery {
    const nowMs = Date.now();
    const after: StoredDelivery = {
      ...delivery,
      status: "cancelled",
      dueAtMs: null,
      asked: ASKED.bySchedule,
      completedAtMs: nowMs,
      lastError: error ?? delivery.lastError,
      keptFromMs: error === "expired" ? nowMs : delivery.keptFromMs,
    };
    this.#store.update(after);
    this.#pump.amend(after);
    this.#pump.count((hour) => {
      hour.cancelled += 1;
    });
    if (this.#pending !== null) this.#pending -= 1;
    logInfo("delivery.cancelled", { webhookId: this.#id, eventId: delivery.id, error });
    return after;
  }

  /**
   * Sends a signed example at once, even while held. It is no delivery: nothing is stored and nothing counts.
   *
   * @returns null when there is no such webhook.
   */
  async test({ event, body }: { event: string; body: Uint8Array }): Promise<AttemptRecord | null> {
    if (this.#settings === null) await this.#askRegistry();
    const webhook = this.#webhook();
    if (webhook === null) return null;
    const eventId = randomEventId(crypto.getRandomValues(new Uint8Array(16)));
    const depart = await this.#departures.prepare(webhook, { eventId, event, body, attempt: 1 });
    const { retryAfterMs: _, refused: __, ...outcome } = await depart();
    return { ...outcome, number: 1, trigger: "test" };
  }

  // --- the clockwork ----------------------------------------------------------------------------------------

  /** Never throws: an alarm that throws seven times is dropped for good, and nothing would wake the object. */
  override async alarm(): Promise<void> {
    this.#alarmAtMs = null;
    try {
      if (this.#settings === null) await this.#askRegistry();
      if (!this.#pump.running && this.#webhook() !== null) {
        this.#expire();
        await this.#pump.pump();
        await this.#reportDisabled();
      }
      this.#errorsInARow = 0;
      this.#arm(this.#nextWakeMs());
    } catch (thrown) {
      const backoffMs = Math.min(MIN_BACKOFF_MS * 2 ** this.#errorsInARow, MAX_BACKOFF_MS);
      this.#errorsInARow += 1;
      logError("alarm.failed", { webhookId: this.#id, error: errorText(thrown), backoffMs });
      this.#arm(Date.now() + backoffMs);
    }
  }

  /** Wakes what should have woken itself, drops what is past its retention. Called by the sweep. */
  check(): SubscriberReport {
    const { retentionMs } = configOf(this.env);
    const nowMs = Date.now();
    if (!this.#pump.running) {
      if (retentionMs !== null) this.#store.dropOld(nowMs, retentionMs, this.#pump.head);
      this.#arm(this.#nextWakeMs());
    } else {
      this.#pump.wake();
    }
    const dueAtMs = this.#oldestDueAtMs();
    return {
      overdueSinceMs: dueAtMs !== null && dueAtMs < nowMs ? dueAtMs : null,
      expiresAtMs: this.#nextExpiryMs(),
    };
  }

  #oldestDueAtMs(): number | null {
    if (this.#terms() === null) return null;
    const times = [
      this.#store.nextDueAtMs(0),
      this.#store.freshSinceMs(this.#pump.plannedHead),
    ].filter((time) => time !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Makes sure that what is pending gets its turn: by the pump that runs, or by an alarm. */
  #rouse(): void {
    if (this.#pump.running) this.#pump.wake();
    else this.#arm(this.#nextWakeMs());
  }

  #nextWakeMs(): number | null {
    const webhook = this.#webhook();
    if (webhook === null) return null;
    const { health } = this.#pump;
    const times = [this.#pump.nextAtMs(), this.#nextExpiryMs()];
    if (health.disabled !== null && webhook.status !== "disabled") times.push(Date.now());
    const known = times.filter((time) => time !== null);
    return known.length === 0 ? null : Math.min(...known);
  }

  #arm(atMs: number | null): void {
    if (atMs === null) return;
    const nowMs = Date.now();
    const wantedMs = Math.max(atMs, nowMs + 1);
    const set = this.#alarmAtMs;
    if (set !== null && set <= wantedMs && set > nowMs - OVERDUE_ALARM_MS) return;
    this.#alarmAtMs = wantedMs;
    void this.ctx.storage.setAlarm(wantedMs);
  }

  #nextExpiryMs(): number | null {
    const { retentionMs } = configOf(this.env);
    if (retentionMs === null) return null;
    const sinceMs = this.#store.oldestPendingMs(this.#pump.plannedHead, Date.now() - retentionMs);
    return sinceMs === null ? null : sinceMs + retentionMs;
  }

  /** Ends what is pending past `RETENTION`; an alert has warned a day before. */
  #expire(): void {
    const { retentionMs } = configOf(this.env);
    if (retentionMs === null) return;
    const old = this.#store.pendingSince(
      Date.now() - retentionMs,
      this.#pump.head,
      MAX_EXPIRED_AT_ONCE,
    );
    for (const delivery of old) this.#end(delivery, "expired");
    if (old.length > 0) this.#pump.save();
  }

  /** Tells the Registry that the webhook was disabled, until it answers; what it answers is in force. */
  async #reportDisabled(): Promise<void> {
    const webhook = this.#webhook();
    const { disabled } = this.#pump.health;
    if (disabled === null || webhook === null || webhook.status === "disabled") return;
    const answer = await this.env.REGISTRY.getByName(REGISTRY_NAME).reportDisabled(this.#id, {
      reason: disabled,
      version: webhook.version,
    });
    if (answer !== null) this.configure(answer as Webhook);
  }

  #newPump(run: ReturnType<typeof emptyRun>): Pump {
    const host: PumpHost = {
      terms: () => this.#terms(),
      schedule: () => this.#schedule(),
      generation: () => this.#generation,
      prepare: ({ id, event, body }, attempt) => {
        const webhook = this.#webhook();
        if (webhook === null) throw new Error("there is no webhook to send for");
        return this.#departures.prepare(webhook, { eventId: id, event, body, attempt });
      },
      sync: () => this.ctx.storage.sync(),
      attempted: (delivery, outcome) => {
        logInfo("attempt.finished", {
          webhookId: this.#id,
          eventId: delivery.id,
          event: delivery.event,
          attempt: outcome.number,
          statusCode: outcome.statusCode,
          error: outcome.error,
          durationMs: outcome.durationMs,
        });
      },
      recorded: (before, after) => {
        if (before.status !== "pending" || after.status === "pending") return;
        if (this.#pending !== null) this.#pending -= 1;
        if (after.status === "undeliverable") {
          logError("delivery.undeliverable", { webhookId: this.#id, eventId: after.id });
        }
      },
      healthChanged: (before, after) => this.#healthChanged(before, after),
    };
    return new Pump(host, { deliveries: this.#store, runs: this.#runs }, run);
  }

  #healthChanged(before: Health, after: Health): void {
    if (before.disabled !== after.disabled) {
      this.#generation += 1;
      logError("webhook.disabled", { webhookId: this.#id, reason: after.disabled });
    } else if (before.probing !== after.probing) {
      logWarning(after.probing ? "webhook.probing" : "webhook.recovered", { webhookId: this.#id });
    }
  }

  // --- what is in force -------------------------------------------------------------------------------------

  #putInForce(webhook: Webhook): void {
    this.#generation += 1;
    this.#runs.saveSettings(webhook);
    this.#settings = webhook;
  }

  /** null while held: paused, disabled, deleted, without settings, or with a configuration that does not parse. */
  #terms(): Terms | null {
    const webhook = this.#webhook();
    if (webhook === null || webhook.status !== "active") return null;
    if (this.#pump.health.disabled !== null || configOf(this.env).delivery === null) return null;
    return { ordered: webhook.ordered, rateLimit: webhook.rateLimit };
  }

  /** Without a configuration that parses nothing starts; what the life before left open is due at once. */
  #schedule(): readonly number[] {
    const own = this.#webhook()?.retrySchedule ?? null;
    const parsed = own === null ? null : parseSchedule(own);
    return parsed ?? configOf(this.env).delivery?.retryScheduleMs ?? UNKNOWN_SCHEDULE;
  }

  #webhook(): Webhook | null {
    return this.#settings === null || isDeleted(this.#settings) ? null : this.#settings;
  }
}

function isDeleted(settings: Settings): settings is { deletedVersion: number } {
  return "deletedVersion" in settings;
}
