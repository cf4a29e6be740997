/**
 * Subscriber: one per webhook. Owns what happens: deliveries, attempts, hold by failure. What people decided
 * comes from the Registry, each change with a version, and is in force for every attempt that starts after it
 * was acknowledged.
 */
import type { AttemptRecord, DeliveryView, LoggedDelivery, Trigger } from "../../domain/delivery";
import { fail } from "../../domain/failure";
import { answeredTest, release, renew } from "../../domain/health";
import type { EventId } from "../../domain/ids";
import { answered } from "../../domain/no-answer";
import { REGISTRY_NAME, webhookOf } from "../../domain/placement";
import type { Webhook } from "../../domain/webhook";
import type { AttemptPage, AttemptPlace } from "../../storage/attempt-list";
import type { KeptPlace } from "../../storage/delivery-persons";
import type { Arrival } from "../../storage/delivery-tables";
import { isFull } from "../../storage/full";
import type { Position } from "../../storage/position";
import { RunStore } from "../../storage/run-store";
import { AlarmClock } from "../alarm-clock";
import type { LaneReport } from "../lane";
import { StoredObject } from "../stored-object";
import { Attempts } from "./attempt";
import { Clockwork } from "./clockwork";
import type { DeliveryQuery, Opened, Reopenings, TimeQuery } from "./deliveries";
import { type Engine, startEngine } from "./engine";
import { InForce } from "./in-force";
import { Listener } from "./listener";
import { Slots } from "./slots";

/** An attempt that a person asked for starts at once, or something keeps it. */
const MAX_START_MS = 1_000;
const LOOK_AGAIN_MS = 20;

type Accepted = { status: "accepted" | "deleted" | "full"; added: number };

export class Subscriber extends StoredObject {
  readonly #runs: RunStore;
  readonly #attempts: Attempts;
  readonly #slots = new Slots();
  readonly #listener: Listener;
  readonly #alarm: AlarmClock;
  readonly #clockwork: Clockwork;
  #inForce!: InForce;
  /** Replaced together when the webhook is deleted. */
  #engine!: Engine;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env, "subscriber");
    this.#runs = new RunStore(this.tables);
    this.#listener = new Listener(ctx);
    this.#attempts = new Attempts(env, this.#listener);
    this.#alarm = new AlarmClock(ctx.storage);
    this.#clockwork = new Clockwork({
      webhookId: this.#id,
      alarm: this.#alarm,
      listener: this.#listener,
      env: () => this.env,
      inForce: () => this.#inForce,
      engine: () => this.#engine,
      askRegistry: () => this.#askRegistry(),
      configure: (webhook) => this.configure(webhook),
    });
    if (this.isNewer) return;
    this.#inForce = new InForce(env, this.#runs, this.#listener);
    this.#engine = this.#begin();
    void ctx.blockConcurrencyWhile(async () => {
      await this.#alarm.load();
      this.#wake();
    });
  }

  #begin(): Engine {
    return startEngine({
      env: () => this.env,
      webhookId: this.#id,
      tables: this.tables,
      runs: this.#runs,
      inForce: this.#inForce,
      attempts: this.#attempts,
      slots: this.#slots,
      disabled: () => this.#clockwork.disabled(),
      sync: () => this.ctx.storage.sync(),
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
  async configure(webhook: Webhook): Promise<number> {
    return (
      this.#newer(webhook.version) ?? this.#engine.lanes.recalling(null, () => this.#adopt(webhook))
    );
  }

  /** The version in force, when it is `version` or newer, or that of a deletion; else null. */
  #newer(version: number): number | null {
    const { version: inForce, webhook } = this.#inForce;
    if (inForce === null) return null;
    return webhook === null || version <= webhook.version ? inForce : null;
  }

  #adopt(webhook: Webhook): number {
    const newer = this.#newer(webhook.version);
    if (newer !== null) return newer;
    const before = this.#inForce.webhook;
    this.#engine.pump.settle();
    this.#inForce.put(webhook);
    this.#engine.ledger.rate.adopt(webhook.rateLimit);
    if (before !== null) this.#followRelease(before, webhook);
    if (!this.#inForce.isListener) this.#listener.end();
    this.#wake();
    return webhook.version;
  }

  /** Another URL is another service, and a resume a new start: the failures of before do not count. */
  #followRelease(before: Webhook, after: Webhook): void {
    const { ledger } = this.#engine;
    const { health } = ledger.run;
    const wasDisabled = before.status === "disabled" || health.disabled !== null;
    if (after.urlVersion > before.version) {
      ledger.setHealth(renew(health, wasDisabled, Date.now()));
    } else if (after.resumedVersion > before.version)
      ledger.setHealth(release(health, wasDisabled, Date.now()));
    else if (after.status === "disabled") ledger.setHealth({ ...health, disabled: null });
  }

  /** Empties the object but for the version: a late push cannot revive the webhook. */
  async remove(version: number): Promise<number> {
    await this.#engine.lanes.recalling(null, () => {
      this.#runs.deleteAll(version);
      this.#engine.pump.drop();
      this.#inForce.end(version);
      this.#engine = this.#begin();
      this.#listener.end();
    });
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
  async accept(given: { deliveries: Arrival[]; sendNow?: boolean }): Promise<Accepted> {
    const { deliveries, sendNow = false } = given;
    if (!this.#inForce.isKnown) await this.#askRegistry();
    if (this.#inForce.webhook === null) return { status: "deleted", added: 0 };
    try {
      const { deliveries: store, pump } = this.#engine;
      const insert = (mayLease: boolean) => store.insert(deliveries, { mayLease });
      const added = sendNow ? pump.arrive(deliveries.length, insert) : insert(false).added.length;
      if (sendNow) this.#clockwork.wakeNow();
      else this.#wake();
      return { status: "accepted", added };
    } catch (thrown) {
      if (!isFull(thrown)) throw thrown;
      return { status: "full", added: 0 };
    }
  }

  /**
   * An object without settings asks for them; that there is no such webhook is not stored.
   *
   * @throws when the object's name is none that a webhook has: nobody knows what is owed then.
   */
  async #askRegistry(): Promise<void> {
    const id = webhookOf(this.ctx.id.name);
    const registry = this.env.REGISTRY.getByName(REGISTRY_NAME);
    const answer = answered(await registry.settingsOf(id));
    if (this.#inForce.isKnown) return;
    if (answer === null) this.#inForce.end(0);
    else this.#inForce.put(answer);
  }

  // --- what people look at ----------------------------------------------------------------------------------

  /** Deliveries newest first; `next` is where the following page begins, null on the last. */
  deliveries(query: DeliveryQuery): { deliveries: DeliveryView[]; next: Position | null } {
    this.#wake();
    return this.#engine.deliveries.page(query);
  }

  /** The same in the order that all webhooks share: by arrival time, then by event id. */
  deliveriesByTime(query: TimeQuery) {
    this.#wake();
    return this.#engine.deliveries.pageByTime(query);
  }

  /** One delivery with its attempts, oldest first; null when this webhook has none of that event. */
  delivery(id: EventId): LoggedDelivery | null {
    this.#wake();
    return this.#engine.deliveries.one(id);
  }

  /** Attempts without answers, newest first; `next` is where the following page begins, null on the last. */
  attempts(before: AttemptPlace | null, limit: number): AttemptPage {
    this.#wake();
    return this.#engine.deliveries.attempts(before, limit);
  }

  missing(ids: EventId[]): EventId[] {
    return this.#engine.store.missing(ids);
  }

  /** What happened since `sinceMs`, in whole hours, and what is pending now. */
  stats(sinceMs: number) {
    this.#wake();
    return this.#engine.deliveries.stats(sinceMs);
  }

  // --- what people do ---------------------------------------------------------------------------------------

  /**
   * Opens finished deliveries again, makes pending ones due now, and adds those that the webhook never had.
   *
   * @returns what came of each, in order.
   */
  async reopen(asked: Reopenings): Promise<Opened[]> {
    const ids = asked.deliveries.map(({ id }) => id);
    const nothing: Opened[] = ids.map(() => "unknown");
    return this.#changing(ids, () => this.#engine.deliveries.reopen(asked), nothing);
  }

  /** The pending delivery that goes next, or one that is under way where no other does; null when none is. */
  nextToAttempt(): EventId | null {
    this.#wake();
    return this.#engine.outlook.next();
  }

  /** What waits for its time goes now, some of it in each call. @returns how many there were. */
  hasten(call?: string): number {
    const hastened = this.#engine.deliveries.hasten(call);
    this.#wake();
    return hastened;
  }

  /**
   * Waits for an attempt that a person asked for.
   *
   * @param number the least that it may have.
   * @param trigger what it must have: one of the schedule may have ended just before. Any where it is not given.
   * @returns `attempt` is null when it could not start within a second; null as a whole when there is no delivery.
   */
  async attemptOf(
    id: EventId,
    number: number,
    trigger?: Trigger,
  ): Promise<{ delivery: DeliveryView; attempt: AttemptRecord | null } | null> {
    this.#clockwork.wakeNow();
    for (const startsByMs = Date.now() + MAX_START_MS; ; await scheduler.wait(LOOK_AGAIN_MS)) {
      if (this.#engine.pump.isInFlight(id)) continue;
      const delivery = this.delivery(id);
      if (delivery === null) return null;
      const isIt = (each: AttemptRecord) =>
        each.number >= number && each.trigger === (trigger ?? each.trigger);
      const attempt = delivery.attemptLog.find(isIt) ?? null;
      if (attempt !== null || Date.now() >= startsByMs) return { delivery, attempt };
    }
  }

  /** Cancels a delivery; null when there is none, `not_pending` when it is finished. @param atMs when that was asked. */
  async cancel(id: EventId, atMs?: number): Promise<DeliveryView | "not_pending" | null> {
    return this.#changing([id], () => this.#engine.deliveries.cancel(id, atMs), null);
  }

  /** Discards what waits, at most `query.limit` at once; `next` goes on behind them. */
  async discard(query: Omit<DeliveryQuery, "status">, dryRun: boolean, call?: string) {
    const discard = () => this.#engine.deliveries.discard(query, dryRun, call);
    return dryRun ? discard() : this.#changing(null, discard, { discarded: 0, next: null });
  }

  /**
   * Erases what is kept of the events' content: pending deliveries end, the record of attempts stays.
   *
   * @param email as for `Deliveries.erase`; release 0.2.0 leaves it out.
   * @returns how many of them there were.
   */
  async eraseMany(ids: EventId[], email?: string): Promise<number> {
    const erase = () => ids.filter((id) => this.#engine.deliveries.erase(id, email)).length;
    return this.#changing(ids, erase, 0);
  }

  /** Of a person, and outliving their Journal; some are looked at, `next` is where to go on, null at the end. */
  ofPerson(email: string, after: KeptPlace | null): { ids: EventId[]; next: KeptPlace | null } {
    return this.#engine.deliveries.ofPerson(email, after);
  }

  /**
   * What a person changes is changed in the store, with nothing planned and everything recorded.
   *
   * @param ids what Lanes must not start meanwhile; null for everything.
   * @param nothing what comes of it in an object without a webhook, which stores nothing.
   */
  async #changing<T>(ids: EventId[] | null, change: () => T, nothing: T): Promise<T> {
    return this.#engine.lanes.recalling(ids, () => {
      if (this.#inForce.webhook === null) return nothing;
      this.#engine.pump.settle();
      const result = change();
      this.#wake();
      return result;
    });
  }

  /**
   * Sends a signed example at once, even while held. It is no delivery: nothing is stored and nothing counts.
   *
   * @returns null when there is no such webhook.
   */
  async sendTest(example: { event: string; body: Uint8Array }): Promise<AttemptRecord | null> {
    if (!this.#inForce.isKnown) await this.#askRegistry();
    if (this.#inForce.webhook === null) return null;
    const sent = await this.#attempts
      .makeExample(example, this.#slots, () => this.#inForce.webhook)
      .finally(() => this.#engine.pump.wake());
    if (sent?.attempt.error === null) this.#answeredTest(sent.by);
    return sent?.attempt ?? null;
  }

  /** The service is there: the next probe need not wait. */
  #answeredTest({ urlVersion }: Webhook): void {
    const { ledger } = this.#engine;
    if (this.#inForce.webhook?.urlVersion !== urlVersion || !ledger.run.health.probing) return;
    ledger.setHealth(answeredTest(ledger.run.health));
    this.#wake();
  }

  // --- what Lanes report ------------------------------------------------------------------------------------

  /**
   * What came of attempts that a Lane made.
   *
   * @returns for each share whether it is known: of another nothing counts any more.
   */
  async report(reports: LaneReport[]): Promise<boolean[]> {
    const known = await this.#engine.lanes.report(reports);
    if (!this.#engine.pump.standing.isRunning) this.#wake();
    return known;
  }

  // --- who listens ------------------------------------------------------------------------------------------

  /** Somebody connects to listen; the answer is the socket, or why not. */
  override async fetch(_: Request): Promise<Response> {
    if (!this.#inForce.isKnown) await this.#askRegistry();
    if (!this.#inForce.isListener) return Response.json(fail({ code: "not_a_listener" }));
    const answer = this.#listener.connect();
    this.#wake();
    return answer;
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.#listener.heard(socket, message);
  }

  override webSocketClose(socket: WebSocket): void {
    this.#listener.closed(socket);
    this.#wake();
  }

  override webSocketError(socket: WebSocket): void {
    this.webSocketClose(socket);
  }

  // --- the clockwork ----------------------------------------------------------------------------------------

  override async alarm(): Promise<void> {
    await this.#clockwork.rang();
  }

  /** Wakes what should have woken itself, drops what is past its retention. Called by the sweep. */
  check() {
    return this.#clockwork.check();
  }

  #wake(): void {
    this.#clockwork.wake();
  }
}
