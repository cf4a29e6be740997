/**
 * Subscriber: one per webhook. Owns what happens: deliveries, attempts, hold by failure. What people decided
 * comes from the Registry, each change with a version, and is in force for every attempt that starts after it
 * was acknowledged.
 */
import { DurableObject } from "cloudflare:workers";
import { configOf } from "../../config";
import {
  type AttemptRecord,
  type DeliveryView,
  HEALTHY,
  type Health,
  release,
} from "../../domain/delivery";
import { type EventId, randomEventId } from "../../domain/ids";
import { REGISTRY_NAME } from "../../domain/placement";
import { parseSchedule } from "../../domain/schedule";
import type { Webhook } from "../../domain/webhook";
import { errorText, logError, logWarning } from "../../log";
import { DeliveryStore } from "../../storage/delivery-store";
import { type Arrival, DeliveryTables, type Position } from "../../storage/delivery-tables";
import { isFull } from "../../storage/full";
import { RunStore, type Settings } from "../../storage/run-store";
import { AlarmClock } from "../alarm-clock";
import { Attempts } from "./attempt";
import {
  Deliveries,
  type DeliveryQuery,
  type Opened,
  type Reopening,
  type SubscriberStats,
} from "./deliveries";
import { Pump, type PumpHost, type Terms } from "./pump";
import { recover } from "./recovery";

const MIN_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;
/** What is left open without a schedule to settle by is due at once. */
const UNKNOWN_SCHEDULE: readonly number[] = Array.from({ length: 20 }, () => 0);

/** What the sweep wants to know. */
export type SubscriberReport = {
  /** When the oldest delivery became due that has not gone out; null when none is, or while held. */
  overdueSinceMs: number | null;
  /** When the next pending delivery would expire; null without any or without retention. */
  expiresAtMs: number | null;
};

export class Subscriber extends DurableObject<Env> {
  readonly #runs: RunStore;
  readonly #attempts: Attempts;
  readonly #alarm: AlarmClock;
  /** Replaced together when the webhook is deleted. */
  #pump: Pump;
  #deliveries: Deliveries;
  #settings: Settings | null;
  #errorsInARow = 0;
  #run: Promise<void> | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#runs = new RunStore(ctx.storage.sql);
    this.#attempts = new Attempts(env);
    this.#settings = this.#runs.settings();
    this.#alarm = new AlarmClock(ctx.storage);
    ({ pump: this.#pump, deliveries: this.#deliveries } = this.#begin());
    void ctx.blockConcurrencyWhile(async () => {
      await this.#alarm.load();
      this.#rouse();
    });
  }

  /** Reads what is stored; attempts that the life before left open are closed. */
  #begin(): { pump: Pump; deliveries: Deliveries } {
    const tables = new DeliveryTables(this.ctx.storage.sql);
    const store = new DeliveryStore(tables);
    const stores = { deliveries: store, runs: this.#runs };
    const rateLimit = this.#webhook()?.rateLimit ?? null;
    const terms = {
      schedule: this.#schedule(),
      spacingMs: rateLimit === null ? 0 : 1_000 / rateLimit,
    };
    const pump = new Pump(this.#host(), stores, recover(stores, terms, this.#id));
    const deliveries = new Deliveries({
      tables,
      store,
      runs: this.#runs,
      pump,
      webhookId: this.#id,
      isHeld: () => this.#terms() === null,
      retentionMs: () => configOf(this.env).retentionMs,
    });
    return { pump, deliveries };
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
    this.#pump.adoptRate(webhook.rateLimit);
    if (before !== null) this.#followRelease(before, webhook);
    this.#rouse();
    return webhook.version;
  }

  /** Another URL is another service, and a resume a new start: the failures of before do not count. */
  #followRelease(before: Webhook, after: Webhook): void {
    const { health } = this.#pump;
    const wasDisabled = before.status === "disabled" || health.disabled !== null;
    if (after.urlVersion > before.version) {
      this.#pump.disownFlights();
      this.#pump.setHealth({ ...HEALTHY, probing: wasDisabled });
    } else if (after.resumedVersion > before.version)
      this.#pump.setHealth(release(health, wasDisabled));
    else if (after.status === "disabled") this.#pump.setHealth({ ...health, disabled: null });
  }

  /** Empties the object but for the version: a late push cannot revive the webhook. */
  async remove(version: number): Promise<number> {
    this.#runs.deleteAll(version);
    this.#pump.drop();
    this.#settings = { deletedVersion: version };
    ({ pump: this.#pump, deliveries: this.#deliveries } = this.#begin());
    await this.#alarm.cancel();
    return version;
  }

  // --- what the queue hands over ----------------------------------------------------------------------------

  /**
   * Takes deliveries, each event id once. Durable when it returns.
   *
   * @param sendNow whether what may go leaves at once; else when the alarm rings, some milliseconds later.
   * @returns `added`, how many were new; `deleted` when the Registry says that there is no such webhook any more,
   *   so nothing is owed; `full` when the object can take no more.
   */
  async accept({
    deliveries,
    sendNow = false,
  }: {
    deliveries: Arrival[];
    sendNow?: boolean;
  }): Promise<{ status: "accepted" | "deleted" | "full"; added: number }> {
    if (this.#settings === null) await this.#askRegistry();
    if (this.#settings === null || isDeleted(this.#settings))
      return { status: "deleted", added: 0 };
    try {
      const added = this.#deliveries.insert(deliveries);
      const nextMs = this.#rouse();
      if (sendNow && nextMs !== null && nextMs <= Date.now()) this.#runEarly();
      return { status: "accepted", added };
    } catch (thrown) {
      if (!isFull(thrown)) throw thrown;
      // Part of it may be stored, and goes out.
      this.#deliveries.recount();
      this.#rouse();
      return { status: "full", added: 0 };
    }
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
    this.#rouse();
    return this.#deliveries.page(query);
  }

  /** One delivery with its attempts, oldest first; null when this webhook has none of that event. */
  delivery(id: EventId): (DeliveryView & { attemptLog: AttemptRecord[] }) | null {
    this.#rouse();
    return this.#deliveries.one(id);
  }

  /** Which of `ids` this webhook never had. */
  missing(ids: EventId[]): EventId[] {
    return this.#deliveries.missing(ids);
  }

  /** What happened since `sinceMs`, in whole hours, and what is pending now. */
  stats(sinceMs: number): SubscriberStats {
    this.#rouse();
    return this.#deliveries.stats(sinceMs);
  }

  // --- what people do ---------------------------------------------------------------------------------------

  /**
   * Opens finished deliveries again, makes pending ones due now, and adds those that the webhook never had.
   *
   * @param deliveries `body` null for one that is believed to be pending; it is not opened without.
   * @returns what came of each, in order.
   */
  reopen({ deliveries, by }: { deliveries: Reopening[]; by: "retry" | "replay" }): Opened[] {
    const nothing: Opened[] = deliveries.map(() => "unknown");
    return this.#changing(() => this.#deliveries.reopen(deliveries, by), nothing);
  }

  /** Gives up on a delivery; null when there is none, `not_pending` when it is finished. */
  cancel(id: EventId): DeliveryView | "not_pending" | null {
    return this.#changing(() => this.#deliveries.cancel(id), null);
  }

  /** Gives up on what waits, at most `query.limit` at once; `next` goes on behind them. */
  discard(
    query: Omit<DeliveryQuery, "status">,
    dryRun: boolean,
  ): { discarded: number; next: Position | null } {
    return this.#changing(() => this.#deliveries.discard(query, dryRun), {
      discarded: 0,
      next: null,
    });
  }

  /** Erases what is kept of an event's content: pending deliveries end, the record of attempts stays. */
  erase(id: EventId): boolean {
    return this.#changing(() => this.#deliveries.erase(id), false);
  }

  /** The same for several. How many there were. */
  eraseMany(ids: EventId[]): number {
    return this.#changing(() => ids.filter((id) => this.#deliveries.erase(id)).length, 0);
  }

  /**
   * What a person changes is changed in the store, with nothing planned and everything recorded.
   *
   * @param nothing what comes of it in an object without a webhook, which stores nothing.
   */
  #changing<T>(change: () => T, nothing: T): T {
    if (this.#webhook() === null) return nothing;
    this.#pump.settle();
    const result = change();
    this.#rouse();
    return result;
  }

  /**
   * Sends a signed example at once, even while held. It is no delivery: nothing is stored and nothing counts.
   *
   * @returns null when there is no such webhook.
   */
  async sendTest({
    event,
    body,
  }: {
    event: string;
    body: Uint8Array;
  }): Promise<AttemptRecord | null> {
    if (this.#settings === null) await this.#askRegistry();
    const webhook = this.#webhook();
    if (webhook === null) return null;
    const eventId = randomEventId(crypto.getRandomValues(new Uint8Array(16)));
    const answer = await this.#attempts.make(webhook, { eventId, event, body, attempt: 1 });
    const { retryAfterMs: _, refused: __, ...outcome } = answer;
    return { ...outcome, number: 1, trigger: "test" };
  }

  // --- the clockwork ----------------------------------------------------------------------------------------

  /** Never throws: an alarm that throws seven times is dropped for good, and nothing would wake the object. */
  override async alarm(): Promise<void> {
    this.#alarm.rang();
    try {
      if (this.#settings === null) await this.#askRegistry();
      if (this.#webhook() !== null) {
        if (!this.#pump.running) this.#deliveries.retain();
        await this.#runPump();
        await this.#reportDisabled();
      }
      this.#errorsInARow = 0;
      this.#alarm.arm(this.#afterRun(this.#nextWakeMs()));
    } catch (thrown) {
      const backoffMs = Math.min(MIN_BACKOFF_MS * 2 ** this.#errorsInARow, MAX_BACKOFF_MS);
      this.#errorsInARow += 1;
      logError("alarm.failed", { webhookId: this.#id, error: errorText(thrown), backoffMs });
      this.#alarm.arm(Date.now() + backoffMs);
    }
  }

  /**
   * What arrived leaves before the alarm rings. The alarm is set all the same, and joins the run: should the process
   * die, it rings again.
   */
  #runEarly(): void {
    // The alarm finds what went wrong, and backs off.
    this.#runPump().catch(() => {});
  }

  /** The run under way, or a new one. */
  #runPump(): Promise<void> {
    this.#run ??= this.#pump.pump().finally(() => {
      this.#run = null;
      this.#deliveries.logSuccesses();
    });
    return this.#run;
  }

  /** A run that started nothing must not ring again at once, whatever the clockwork believes to be due. */
  #afterRun(nextMs: number | null): number | null {
    const nowMs = Date.now();
    if (nextMs === null || nextMs > nowMs || this.#pump.startedInRun > 0) return nextMs;
    return nowMs + MIN_BACKOFF_MS;
  }

  /** Wakes what should have woken itself, drops what is past its retention. Called by the sweep. */
  check(): SubscriberReport {
    if (!this.#pump.running) this.#deliveries.retain();
    this.#rouse();
    const dueAtMs = this.#deliveries.oldestDueAtMs();
    return {
      overdueSinceMs: dueAtMs !== null && dueAtMs < Date.now() ? dueAtMs : null,
      expiresAtMs: this.#deliveries.nextExpiryMs(),
    };
  }

  /**
   * Makes sure that what is pending gets its turn: by the pump that runs, or by an alarm.
   *
   * @returns when the alarm is needed, Unix milliseconds; null when it is not.
   */
  #rouse(): number | null {
    if (this.#pump.running) {
      this.#pump.wake();
      return null;
    }
    const nextMs = this.#nextWakeMs();
    this.#alarm.arm(nextMs);
    return nextMs;
  }

  #nextWakeMs(): number | null {
    const webhook = this.#webhook();
    if (webhook === null) return null;
    const { health } = this.#pump;
    const times = [this.#pump.nextAtMs(), this.#deliveries.nextExpiryMs()];
    const mustReport = health.disabled !== null && webhook.status !== "disabled";
    if (mustReport || this.#pump.hasUnrecorded) times.push(Date.now());
    const known = times.filter((time) => time !== null);
    return known.length === 0 ? null : Math.min(...known);
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

  #host(): PumpHost {
    return {
      terms: () => this.#terms(),
      schedule: () => this.#schedule(),
      attempt: ({ id, event, body }, number) => {
        const webhook = this.#webhook();
        if (webhook === null) throw new Error("there is no webhook to send for");
        return this.#attempts.make(webhook, { eventId: id, event, body, attempt: number });
      },
      sync: () => this.ctx.storage.sync(),
      recorded: (written) => this.#deliveries.recorded(written),
      healthChanged: (before, after) => this.#healthChanged(before, after),
    };
  }

  #healthChanged(before: Health, after: Health): void {
    if (before.disabled !== after.disabled) {
      logError("webhook.disabled", { webhookId: this.#id, reason: after.disabled });
    } else if (before.probing !== after.probing) {
      logWarning(after.probing ? "webhook.probing" : "webhook.recovered", { webhookId: this.#id });
    }
  }

  // --- what is in force -------------------------------------------------------------------------------------

  #putInForce(webhook: Webhook): void {
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
