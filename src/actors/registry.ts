/**
 * Registry: one object that owns what people decided. A change is committed here, pushed to the webhook's
 * Subscriber and acknowledged, and only then answered: it is in force for every attempt that starts later.
 * A push that failed is repeated by alarm until it arrives.
 */
import { type AlertText, relayAlert, webhookAlert } from "../domain/alert";
import type { DeadLetterNews } from "../domain/dead-letter";
import { fail, ok, type Result } from "../domain/failure";
import type { HealthReport } from "../domain/health-report";
import { type EventId, newWebhookId, type WebhookId } from "../domain/ids";
import { newSecret } from "../domain/signature";
import type { StatusReason } from "../domain/vocabulary";
import {
  auditViews,
  type Changed,
  type ChangeFailure,
  changeWebhook,
  DEFAULTS,
  disableWebhook,
  isListener,
  newWebhook,
  pauseWebhook,
  type Route,
  resumeWebhook,
  rotateSecret,
  type Webhook,
  type WebhookChanges,
  type WebhookDraft,
  withSecret,
} from "../domain/webhook";
import { logInfo } from "../log";
import { isNearlyFull } from "../storage/full";
import type { Registration } from "../storage/registry-store";
import { AlarmClock } from "./alarm-clock";
import { Alerts, type Findings } from "./alerts";
import { Outbox, type WebhookNews } from "./outbox";
import { Pushes } from "./pushes";
import { type Caller, Records } from "./records";

/** The routing table and every push-alarm go over all of them. */
const MAX_WEBHOOKS = 500;

/** What the audit log says of a change. @property after beside what differs. */
type Audited = { action: string; by: Caller; after?: Record<string, unknown> };

export class Registry extends Records {
  readonly #alerts: Alerts;
  readonly #alarm: AlarmClock;
  readonly #pushes: Pushes;
  readonly #outbox: Outbox;
  readonly #registrations = new Map<WebhookId, Registration>();
  #routes: Route[] | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#alarm = new AlarmClock(ctx.storage);
    const host = {
      store: this.store,
      tables: this.tables,
      alarm: this.#alarm,
      registrations: this.#registrations,
      webhooks: () => this.all(),
      env: () => this.env,
    };
    this.#alerts = new Alerts(host);
    this.#pushes = new Pushes(host);
    this.#outbox = new Outbox(host);
    if (this.isNewer) return;
    for (const registration of this.store.registrations()) {
      this.#registrations.set(registration.id, registration);
    }
    void ctx.blockConcurrencyWhile(async () => {
      await this.#alarm.load();
      this.#pushes.begin();
      this.#outbox.arm();
    });
  }

  /**
   * The routing table, for a consumer that may have it already.
   *
   * @param known the version that the caller holds.
   * @param receivedAtMs when the first of them came, Unix milliseconds; left out by release 0.1.0.
   * @returns `routes` is null when that is the current one; `erased` are those of the events that go to nobody.
   */
  routing(
    known: number | null,
    ids: EventId[] = [],
    receivedAtMs: number | null = null,
  ): { version: number; routes: Route[] | null; erased?: EventId[] } {
    if (receivedAtMs !== null) this.noteFirstEvent(receivedAtMs);
    const version = this.store.routingVersion();
    const erased = this.store.erasedAmong(ids);
    if (version === known) return { version, routes: null, erased };
    this.#routes ??= this.all().map(({ id, events, filter }) => ({ id, events, filter }));
    return { version, routes: this.#routes, erased };
  }

  /** What a Subscriber without settings asks for; null when there is no such webhook (any more). @param id or its name. */
  settingsOf(id: string): Webhook | null {
    const registration = this.#registrations.get(id as WebhookId);
    return registration?.webhook ?? this.all().find(({ name }) => name === id) ?? null;
  }

  /** As `create`, unless its name is taken or there are as many as may be. */
  async register(
    draft: WebhookDraft,
    signingSecret: string | null,
    by: Caller,
  ): Promise<Result<Changed, "name_taken" | "too_many_webhooks">> {
    if (this.#isTaken(draft.name, null)) return fail({ code: "name_taken" });
    if (this.all().length >= MAX_WEBHOOKS) return fail({ code: "too_many_webhooks" });
    return ok(await this.create(draft, signingSecret, by));
  }

  /**
   * Makes the webhook of this name what the draft says; its status and a given secret count where there was none.
   *
   * @param options `dryRun`: nothing is done, and no secret is shown; `id`: that of a new one, left out by release 0.2.0.
   * @returns `created` where there was none.
   */
  async put(
    draft: WebhookDraft & { name: string },
    options: {
      signingSecret: string | null;
      sameService: boolean;
      dryRun?: boolean;
      id?: WebhookId;
    },
    by: Caller,
    fresh: string = newSecret(),
  ): Promise<Result<Changed & { created: boolean }, ChangeFailure | "too_many_webhooks">> {
    const { signingSecret, sameService, dryRun = false, id } = options;
    const before = this.settingsOf(draft.name);
    if (before === null) {
      if (this.all().length >= MAX_WEBHOOKS) return fail({ code: "too_many_webhooks" });
      const created = dryRun
        ? made(draft, "")
        : await this.create({ ...draft, ...(id && { id }) }, signingSecret ?? fresh, by);
      return ok({ ...created, ...(dryRun && { signingSecret: null }), created: true });
    }
    // Asked for again, what it made already.
    const known = { webhook: before, signingSecret: signingSecret ?? fresh };
    if (before.id === id) return ok({ ...known, created: true });
    const { status: _, relayHost: __, ...settings } = draft;
    const changes = { ...DEFAULTS, ...settings, sameService };
    if (dryRun) {
      const webhook = changeWebhook(before, changes, { nowMs: Date.now(), newSecret: "" });
      return ok({ webhook, signingSecret: null, created: false });
    }
    const changed = await this.update(before.id, changes, by, fresh);
    if (!changed.ok) return { ok: false, failure: changed.failure as { code: ChangeFailure } };
    // So too where release 0.2.0 made it, whose id is another one.
    const created = changed.value.signingSecret !== null && changed.value.webhook.version === 1;
    return ok({ ...changed.value, created });
  }

  #isTaken(name: string | null | undefined, except: WebhookId | null): boolean {
    if (name === null || name === undefined) return false;
    return this.all().some((webhook) => webhook.name === name && webhook.id !== except);
  }

  /** Answered even when the push is late: an object without settings asks for them. */
  async create(draft: WebhookDraft, signingSecret: string | null, by: Caller): Promise<Changed> {
    this.noteFirstEvent(Date.now());
    const changed = made(draft, signingSecret ?? newSecret());
    await this.#commit(null, changed.webhook, { action: "webhook.created", by });
    return changed;
  }

  all(): Webhook[] {
    return [...this.#registrations.values()].flatMap(({ webhook }) => webhook ?? []);
  }

  get(id: string): Webhook | null {
    return this.settingsOf(id);
  }

  /** Webhooks by creation, newest first. */
  list(before: string | null, limit: number): { webhooks: Webhook[]; next: string | null } {
    const all = this.all()
      .sort((a, b) => (a.id < b.id ? 1 : -1))
      .filter(({ id }) => before === null || id < before);
    const webhooks = all.slice(0, limit);
    return { webhooks, next: all.length > limit ? (webhooks.at(-1)?.id ?? null) : null };
  }

  /** `not_yet_in_force`: stored, but its Subscriber has not acknowledged it. @param secret for another origin. */
  async update(
    id: string,
    changes: WebhookChanges,
    by: Caller,
    secret: string = newSecret(),
  ): Promise<Result<Changed, ChangeFailure | "name_taken">> {
    const known = this.settingsOf(id);
    if (this.#isTaken(changes.name, known?.id ?? null)) return fail({ code: "name_taken" });
    const change = (before: Webhook, nowMs: number) =>
      changeWebhook(before, changes, { nowMs, newSecret: secret });
    const changed = await this.#change(id, change, { action: "webhook.updated", by });
    // Also where it was asked for again, after a restart that kept the first answer back.
    const isItsOwn = this.settingsOf(id)?.secrets.some(({ value }) => value === secret);
    return isItsOwn ? withSecret(changed, secret) : changed;
  }

  async pause(id: string, by: Caller): Promise<Result<Changed, ChangeFailure>> {
    return this.#change(id, pauseWebhook, { action: "webhook.paused", by });
  }

  /** Releases what was held, also from being disabled. @param atMs when that was asked; left out by release 0.2.0. */
  async resume(id: string, by: Caller, atMs = Date.now()): Promise<Result<Changed, ChangeFailure>> {
    const resume = (before: Webhook) => resumeWebhook(before, atMs);
    return this.#change(id, resume, { action: "webhook.resumed", by });
  }

  /** @param rotation `signingSecret`: null for a new random one; `atMs`: Unix milliseconds, left out by release 0.2.0. */
  async rotateSecret(
    id: string,
    rotation: { graceMs: number; signingSecret: string | null; atMs?: number },
    by: Caller,
  ): Promise<Result<Changed, ChangeFailure | "too_many_secrets">> {
    const secret = rotation.signingSecret ?? newSecret();
    const before = this.settingsOf(id);
    if (before === null) return fail({ code: "not_found" });
    const rotated = rotateSecret(before, { atMs: Date.now(), ...rotation, secret });
    if (rotated === null) return fail({ code: "too_many_secrets" });
    const after = { gracePeriodSeconds: rotation.graceMs / 1_000 };
    const what = { action: "webhook.secret_rotated", by, after };
    return withSecret(await this.#change(id, () => rotated, what), secret);
  }

  async remove(id: string, by: Caller): Promise<Result<null, ChangeFailure>> {
    const before = this.settingsOf(id);
    // Deleted, and not acknowledged.
    const late = this.#registrations.get(id as WebhookId);
    if (before === null && late === undefined) return fail({ code: "not_found" });
    const inForce = await (before === null && late
      ? this.#pushes.push(late)
      : this.#commit(before, null, { action: "webhook.deleted", by }));
    return inForce ? ok(null) : fail({ code: "not_yet_in_force" });
  }

  /** Nobody has listened for too long. @param pending how many deliveries waited for it. */
  async expireListener(id: string, pending: number): Promise<void> {
    const before = this.settingsOf(id);
    if (before === null || !isListener(before)) return;
    const after = { reason: "nobody listened for 24 hours", pending };
    await this.#commit(before, null, { action: "webhook.deleted", by: { key: null }, after });
  }

  /**
   * A Subscriber has seen that its service is gone or failing. What is told of it is written before the change, and so may
   * be told more than once.
   *
   * @param report `version`: the settings that it went by.
   * @returns the webhook as it is now in force, which the Subscriber follows; null when it is deleted.
   */
  async reportDisabled(
    id: string,
    report: { reason: StatusReason; version: number; health?: HealthReport },
  ): Promise<Webhook | null> {
    const before = this.settingsOf(id);
    if (before === null) return null;
    const webhook = disableWebhook(before, report, Date.now());
    if (webhook !== before) {
      const disabled = { event: "relay.webhook.disabled", count: 1, delivery: null } as const;
      // First: once the webhook is disabled, nobody tells it again.
      this.happened({ webhookId: webhook.id, health: report.health ?? null, told: [disabled] });
      this.#remember(before, webhook, { action: "webhook.disabled", by: { key: null } });
      this.#pushes.arm();
      await this.raise(webhookAlert(webhook, "disabled", report.reason));
    }
    return webhook;
  }

  async #change(id: string, change: (before: Webhook, nowMs: number) => Webhook, what: Audited) {
    const before = this.settingsOf(id);
    if (before === null) return fail({ code: "not_found" });
    const webhook = change(before, Date.now());
    if (webhook === before) return this.#unchanged(before);
    const inForce = await this.#commit(before, webhook, what);
    return inForce ? ok({ webhook, signingSecret: null }) : fail({ code: "not_yet_in_force" });
  }

  /** Nothing to write; an earlier change may still be on its way. */
  async #unchanged(webhook: Webhook): Promise<Result<Changed, "not_yet_in_force">> {
    const registration = this.#registrations.get(webhook.id);
    const isLate = (registration?.acknowledgedVersion ?? 0) < webhook.version;
    if (registration !== undefined && isLate && !(await this.#pushes.push(registration))) {
      return fail({ code: "not_yet_in_force" });
    }
    return ok({ webhook, signingSecret: null });
  }

  // --- alerts -----------------------------------------------------------------------------------------------

  async raise(alert: AlertText): Promise<void> {
    this.#alerts.raise(alert);
    this.ctx.waitUntil(this.#alerts.send());
  }

  /** What the sweep found: what is so, and what is over; and whether there is room here. */
  report({ raised, looked, ...said }: Findings): void {
    const full = relayAlert("full Registry");
    this.#alerts.report({
      ...said,
      raised: isNearlyFull(this.ctx.storage.sql) ? [...raised, full] : raised,
      looked: [...looked, full.cause],
    });
    this.ctx.waitUntil(this.#alerts.send());
  }

  /** What was found and is not over, told or not. */
  openAlerts(): ReturnType<Alerts["open"]> {
    return this.#alerts.open();
  }

  alertsRefused(): { refusedSinceMs: number; statusCode: number | null } | null {
    return this.#alerts.refusedSince();
  }

  async sendAlerts(): Promise<void> {
    await this.#alerts.send();
  }

  /** Repeats what failed: pushes without an alarm, and alerts. Called by the sweep. */
  async check(): Promise<void> {
    this.#pushes.armIfWaiting();
    this.#outbox.arm();
    this.ctx.waitUntil(this.#alerts.send());
  }

  // --- the relay's own events -------------------------------------------------------------------------------

  /**
   * What happened to a webhook and its deliveries: kept for those who ask for it, and sent meanwhile.
   *
   * @returns whether anybody asks for it.
   */
  happened(news: WebhookNews): boolean {
    const webhook = this.settingsOf(news.webhookId);
    if (webhook === null || !this.#outbox.addNews(webhook, news)) return false;
    this.ctx.waitUntil(this.#outbox.send());
    return true;
  }

  /** What could not be handed over; the relay's own events are not among it. */
  deadLettersAdded(letters: DeadLetterNews[]): void {
    this.#outbox.addLetters(letters);
    this.ctx.waitUntil(this.#outbox.send());
  }

  // --- pushes -----------------------------------------------------------------------------------------------

  override async alarm(): Promise<void> {
    this.#alarm.rang();
    await Promise.all([this.#pushes.repeat(), this.#outbox.send()]);
  }

  /** Stores a version with an alarm that would repeat its push, then pushes it. */
  async #commit(before: Webhook | null, after: Webhook | null, what: Audited): Promise<boolean> {
    const registration = this.#remember(before, after, what);
    this.#pushes.arm();
    return this.#pushes.push(registration);
  }

  /** At least one of `before` and `after` is a webhook. */
  #remember(before: Webhook | null, after: Webhook | null, what: Audited): Registration {
    const { action, by, after: asked } = what;
    const id = (after ?? before)?.id as WebhookId;
    const version = after?.version ?? (before?.version ?? 0) + 1;
    const acknowledgedVersion = this.#registrations.get(id)?.acknowledgedVersion ?? 0;
    const registration = { id, version, acknowledgedVersion, webhook: after };
    const views = auditViews(before, after);
    const said = { ...views, ...(asked && { after: { ...views.after, ...asked } }) };
    // A change that is refused must not come into force with the next start.
    this.tables.atomically(() => {
      this.store.save(registration);
      this.store.addToAudit({ atMs: Date.now(), key: by.key, action, webhookId: id, ...said });
    });
    this.#registrations.set(id, registration);
    this.#routes = null;
    if (after?.status !== "active") this.#alerts.forgetMoot();
    if (after === null) this.#outbox.forget(id);
    logInfo(action, { webhookId: id, changed: Object.keys(views.after ?? {}) });
    return registration;
  }
}

/** A webhook of its own, not stored yet. */
function made(draft: WebhookDraft, secret: string): { webhook: Webhook; signingSecret: string } {
  const nowMs = Date.now();
  const id = draft.id ?? newWebhookId(nowMs, crypto.getRandomValues(new Uint8Array(10)));
  return { webhook: newWebhook(draft, { id, secret, nowMs }), signingSecret: secret };
}
