/**
 * Subscriber: one per webhook. Owns what happens: deliveries, attempts, hold by failure. What people decided
 * comes from the Registry, each change with a version, and is in force for every attempt that starts after it
 * was acknowledged.
 */
import { DurableObject } from "cloudflare:workers";
import { configOf, serviceBindings } from "../config";
import {
  type AttemptRecord,
  type DeliveryStatus,
  type DeliveryView,
  type Health,
  release,
} from "../domain/delivery";
import type { EventId } from "../domain/ids";
import { REGISTRY_NAME } from "../domain/placement";
import { parseSchedule } from "../domain/schedule";
import { createSigner, type Signer } from "../domain/signature";
import { checkTarget, type TargetCheck } from "../domain/target";
import { liveSecrets, type Webhook } from "../domain/webhook";
import { errorText, logError, logInfo, logWarning } from "../log";
import {
  type Arrival,
  DeliveryStore,
  type DueDelivery,
  type Position,
  type StoredDelivery,
} from "../storage/delivery-store";
import { emptyRun, NO_LEASE, type Run, RunStore, type Settings } from "../storage/run-store";
import { VERSION } from "../version";
import { Pump, type PumpHost, recorded, type Terms } from "./pump";
import { type Arrival as Answer, send, unanswered } from "./send";

/** An alarm that is this late will not come any more. */
const OVERDUE_ALARM_MS = 5_000;
const MIN_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;
/** A filtered page looks at this many deliveries and no more; `next` goes on behind them. */
const MAX_ROWS_PER_PAGE = 1_000;
/** Shorter values, such as "1" or "true", would blacken half of every answer. */
const MIN_REDACTED_CHARACTERS = 8;

export type DeliveryQuery = {
  status?: DeliveryStatus;
  event?: string;
  sinceMs?: number;
  untilMs?: number;
  before?: Position;
  limit: number;
};

export class Subscriber extends DurableObject<Env> {
  #store: DeliveryStore;
  readonly #runs: RunStore;
  #pump: Pump;
  #settings: Settings | null;
  #generation = 0;
  #alarmAtMs: number | null = null;
  #errorsInARow = 0;
  #signer: { secrets: string; sign: Promise<Signer> } | null = null;
  #target: TargetCheck | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new DeliveryStore(ctx.storage.sql);
    this.#runs = new RunStore(ctx.storage.sql);
    this.#settings = this.#runs.settings();
    this.#pump = this.#newPump(this.#recover());
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarmAtMs = await ctx.storage.getAlarm();
    });
  }

  // --- what the Registry says -------------------------------------------------------------------------------

  /**
   * Takes the webhook as people decided it. An older version than the one in force changes nothing.
   *
   * @returns the version in force.
   */
  configure(webhook: Webhook): number {
    const inForce = this.#versionInForce();
    if (this.#isDeleted() || webhook.version <= inForce) return inForce;
    this.#pump.settle();
    const before = this.#webhook();
    this.#putInForce(webhook);
    if (before !== null && webhook.resumedVersion > before.version) {
      const wasDisabled = before.status === "disabled" || this.#pump.health.disabled !== null;
      this.#pump.setHealth(release(this.#pump.health, wasDisabled));
    }
    this.#rouse();
    return webhook.version;
  }

  /** Empties the object but for the version: a late push cannot revive the webhook. */
  async remove(version: number): Promise<number> {
    this.#generation += 1;
    this.#pump.drop();
    this.#runs.deleteAll(version);
    this.#store = new DeliveryStore(this.ctx.storage.sql);
    this.#settings = { deletedVersion: version };
    this.#pump = this.#newPump(emptyRun());
    this.#alarmAtMs = null;
    await this.ctx.storage.deleteAlarm();
    return version;
  }

  // --- what the queue hands over ----------------------------------------------------------------------------

  /**
   * Takes deliveries, each event id once. Durable when it returns.
   *
   * @returns `deleted` when the Registry says that there is no such webhook any more, so nothing is owed.
   */
  async accept({
    deliveries,
  }: {
    deliveries: Arrival[];
  }): Promise<{ status: "accepted" | "deleted" }> {
    if (this.#settings === null) await this.#askRegistry();
    if (this.#isDeleted()) return { status: "deleted" };
    this.#store.insert(deliveries, Date.now(), configOf(this.env).retentionMs);
    this.#rouse();
    return { status: "accepted" };
  }

  async #askRegistry(): Promise<void> {
    const id = this.ctx.id.name ?? "";
    const answer = await this.env.REGISTRY.getByName(REGISTRY_NAME).settingsOf(id);
    if (this.#settings !== null) return;
    if (answer === null) this.#settings = { deletedVersion: 0 };
    else this.#putInForce(answer as Webhook);
  }

  // --- what people look at ----------------------------------------------------------------------------------

  /** Deliveries newest first; `next` is where the following page begins, null on the last. */
  deliveries(query: DeliveryQuery): { deliveries: DeliveryView[]; next: Position | null } {
    this.#pump.record();
    const { status, event, sinceMs = 0, untilMs = Number.POSITIVE_INFINITY } = query;
    const page = this.#store.list(query.before ?? null, {
      limit: query.limit,
      maxRows: MAX_ROWS_PER_PAGE,
      keep: (delivery) => {
        if (delivery.createdAtMs < sinceMs) return "stop";
        if (delivery.createdAtMs > untilMs) return false;
        if (status !== undefined && delivery.status !== status) return false;
        return event === undefined || delivery.event === event;
      },
    });
    return { deliveries: page.deliveries.map((delivery) => this.#view(delivery)), next: page.next };
  }

  /** One delivery with its attempts, oldest first; null when this webhook has none of that event. */
  delivery(id: EventId): (DeliveryView & { attemptLog: AttemptRecord[] }) | null {
    this.#pump.record();
    const delivery = this.#store.get(id);
    return delivery === null ? null : { ...this.#view(delivery), attemptLog: delivery.log };
  }

  /** Wakes what should have woken itself. Called by the sweep. */
  check(): void {
    this.#rouse();
  }

  #view(delivery: StoredDelivery): DeliveryView {
    const waits = delivery.status === "pending" && this.#terms() !== null;
    return {
      webhookId: this.ctx.id.name ?? "",
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
    return Math.max(dueAtMs, this.#pump.health.postponedUntilMs ?? 0);
  }

  // --- the clockwork ----------------------------------------------------------------------------------------

  /** Never throws: an alarm that throws seven times is dropped for good, and nothing would wake the object. */
  override async alarm(): Promise<void> {
    this.#alarmAtMs = null;
    try {
      if (!this.#pump.running && !this.#isDeleted()) {
        if (this.#settings === null) await this.#askRegistry();
        await this.#pump.pump();
      }
      this.#errorsInARow = 0;
      this.#arm(this.#pump.nextAtMs());
    } catch (thrown) {
      const backoffMs = Math.min(MIN_BACKOFF_MS * 2 ** this.#errorsInARow, MAX_BACKOFF_MS);
      this.#errorsInARow += 1;
      logError("pump.failed", { webhookId: this.ctx.id.name, error: errorText(thrown), backoffMs });
      this.#arm(Date.now() + backoffMs);
    }
  }

  /** Makes sure that what is pending gets its turn: by the pump that runs, or by an alarm. */
  #rouse(): void {
    if (this.#pump.running) this.#pump.wake();
    else this.#arm(this.#pump.nextAtMs());
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

  /**
   * What the last life left behind. Leased attempts without an outcome may have left: those are closed as
   * interrupted and their deliveries go out again at once. What was leased and cannot have left goes back.
   */
  #recover(): Run {
    const run = this.#runs.run();
    if (run.lease.attempts.length === 0 || configOf(this.env).delivery === null) return run;
    const nowMs = Date.now();
    let mayHaveLeft = run.lease.window;
    let head: Position | null = null;
    for (const { id, number, trigger, fresh } of run.lease.attempts) {
      const delivery = this.#store.get(id);
      if (delivery === null || delivery.attempts >= number) continue;
      if (mayHaveLeft > 0) {
        mayHaveLeft -= 1;
        const outcome = unanswered("interrupted", nowMs);
        this.#store.update(
          recorded({ delivery, attempt: { number, trigger }, outcome }, this.#schedule()),
        );
        logWarning("attempt.interrupted", {
          webhookId: this.ctx.id.name,
          eventId: id,
          attempt: number,
        });
      } else {
        head ??= fresh;
      }
    }
    const recovered = { ...run, lease: NO_LEASE, head: head ?? run.head };
    this.#runs.saveRun(recovered);
    return recovered;
  }

  #newPump(run: Run): Pump {
    const host: PumpHost = {
      terms: () => this.#terms(),
      schedule: () => this.#schedule(),
      generation: () => this.#generation,
      prepare: (delivery, number) => this.#prepare(delivery, number),
      sync: () => this.ctx.storage.sync(),
      attempted: (delivery, outcome) => {
        logInfo("attempt.finished", {
          webhookId: this.ctx.id.name,
          eventId: delivery.id,
          event: delivery.event,
          attempt: outcome.number,
          statusCode: outcome.statusCode,
          error: outcome.error,
          durationMs: outcome.durationMs,
        });
      },
      healthChanged: (before, after) => this.#healthChanged(before, after),
    };
    return new Pump(host, { deliveries: this.#store, runs: this.#runs }, run);
  }

  #healthChanged(before: Health, after: Health): void {
    if (before.disabled !== after.disabled) {
      logWarning("webhook.disabled", { webhookId: this.ctx.id.name, reason: after.disabled });
    }
  }

  // --- one attempt ------------------------------------------------------------------------------------------

  /** Signs the attempt; what it returns makes the request at once when called. */
  async #prepare(delivery: DueDelivery, number: number): Promise<() => Promise<Answer>> {
    const webhook = this.#webhook();
    const delivering = configOf(this.env).delivery;
    const target = this.#checkedTarget(webhook);
    if (webhook === null || delivering === null || target?.ok !== true) {
      return async () => ({ ...unanswered("forbidden_target", Date.now()), refused: false });
    }
    const nowMs = Date.now();
    const unixSeconds = Math.floor(nowMs / 1_000);
    const sign = await this.#signerFor(liveSecrets(webhook.secrets, nowMs));
    const signatures = await sign(delivery.id, unixSeconds, delivery.body);
    const headers = new Headers(webhook.headers);
    headers.set("content-type", "application/json");
    headers.set("user-agent", `leadterra-relay/${VERSION}`);
    headers.set("x-leadterra-signature", signatures.leadterra);
    headers.set("webhook-id", delivery.id);
    headers.set("webhook-timestamp", String(unixSeconds));
    headers.set("webhook-signature", signatures.standard);
    headers.set("x-leadterra-event", delivery.event);
    headers.set("x-relay-attempt", String(number));
    const departure = {
      target: target.target,
      headers,
      body: delivery.body,
      timeoutMs: delivering.timeoutMs,
      secrets: [...secretsOf(webhook), signatures.leadterra, ...signatures.standard.split(" ")],
    };
    return () => send(departure, this.env);
  }

  #checkedTarget(webhook: Webhook | null): TargetCheck | null {
    if (webhook === null) return null;
    this.#target ??= checkTarget(webhook.url, {
      allowPrivate: configOf(this.env).allowPrivateDestinations,
      relayHost: webhook.relayHost,
      services: serviceBindings(this.env),
    });
    return this.#target;
  }

  /** Keys are imported once for each set of live secrets. */
  #signerFor(secrets: string[]): Promise<Signer> {
    const wanted = secrets.join(" ");
    if (this.#signer?.secrets !== wanted) {
      this.#signer = { secrets: wanted, sign: createSigner(secrets) };
    }
    return this.#signer.sign;
  }

  // --- what is in force -------------------------------------------------------------------------------------

  #putInForce(webhook: Webhook): void {
    this.#generation += 1;
    this.#runs.saveSettings(webhook);
    this.#settings = webhook;
    this.#target = null;
  }

  /** null while held: paused, disabled, deleted, without settings, or with a configuration that does not parse. */
  #terms(): Terms | null {
    const webhook = this.#webhook();
    if (webhook === null || webhook.status !== "active") return null;
    if (this.#pump.health.disabled !== null || configOf(this.env).delivery === null) return null;
    return { ordered: webhook.ordered, rateLimit: webhook.rateLimit };
  }

  #schedule(): readonly number[] {
    const own = this.#webhook()?.retrySchedule;
    const parsed = own === null || own === undefined ? null : parseSchedule(own);
    return parsed ?? configOf(this.env).delivery?.retryScheduleMs ?? [];
  }

  #webhook(): Webhook | null {
    return this.#settings === null || "deletedVersion" in this.#settings ? null : this.#settings;
  }

  #isDeleted(): boolean {
    return this.#settings !== null && "deletedVersion" in this.#settings;
  }

  #versionInForce(): number {
    if (this.#settings === null) return 0;
    return "deletedVersion" in this.#settings
      ? this.#settings.deletedVersion
      : this.#settings.version;
  }
}

/** What an answer that echoes the request must not leave in the attempt log. */
function secretsOf({ secrets, headers }: Webhook): string[] {
  return [
    ...secrets.flatMap(({ value }) => [value, value.slice("whsec_".length)]),
    ...Object.values(headers).filter(({ length }) => length >= MIN_REDACTED_CHARACTERS),
  ];
}
