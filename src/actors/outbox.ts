/**
 * The outbox of the Registry: the relay's own events, kept until the queue has them. At most one a minute leaves for
 * each webhook and kind; it tells the first of what happened meanwhile, and how often.
 */
import { inTime } from "../deadline";
import { Backoff } from "../domain/backoff";
import { type DeadLetterNews, shownDeadLetter } from "../domain/dead-letter";
import { type DeliveryView, shownDelivery } from "../domain/delivery";
import { type HealthReport, toldHealth } from "../domain/health-report";
import { type Happening, isRelayEvent, type RelayEventName } from "../domain/relay-events";
import { iso, MINUTE_MS } from "../domain/time";
import { asksFor, type Webhook } from "../domain/webhook";
import { errorText, logInfo, logWarning } from "../log";
import { type OutboxKey, type OutboxRow, OutboxStore } from "../storage/outbox-store";
import { oneRun } from "./one-run";
import type { RegistryHost } from "./pushes";

const SEND_TIMEOUT_MS = 10_000;

/** What happened to a webhook and its deliveries. @property told of deliveries, the first that it happened to. */
export type WebhookNews = {
  webhookId: string;
  /** The same where the same is told once more, and maybe more behind it; release 0.2.0 does not say it. */
  id?: number;
  /** null from an object of the release before. */
  health: HealthReport | null;
  told: (Pick<Happening, "event" | "count"> & { delivery: DeliveryView | null })[];
};

export class Outbox {
  readonly #host: RegistryHost;
  readonly #store: OutboxStore;
  /** As it leaves now. */
  #underWay: OutboxRow | null = null;
  /** The last news of each webhook, and how much was told of it. */
  readonly #heard = new Map<string, { news: number | undefined; count: number }>();
  #triedAgainAtMs = 0;
  readonly #backoff = new Backoff();

  constructor(host: RegistryHost) {
    this.#host = host;
    this.#store = new OutboxStore(host.tables);
  }

  /** Whether any of it is kept. */
  addNews({ id, name }: Webhook, { health, told, id: news }: WebhookNews): boolean {
    const heard = this.#heard.get(id);
    const known = news !== undefined && heard?.news === news ? heard.count : 0;
    const kept = told.slice(known).map(({ event, count, delivery }) => {
      const about = delivery
        ? { delivery: shownDelivery(delivery) }
        : { health: health && toldHealth(health) };
      return this.#add({ event, subject: id }, { id, name, ...about }, count);
    });
    this.#heard.set(id, { news, count: Math.max(known, told.length) });
    return kept.includes(true);
  }

  /** Its webhook is deleted: nothing more is heard of it. */
  forget(id: string): void {
    this.#heard.delete(id);
  }

  /** The relay's own events are not told of when they cannot be handed over. */
  addLetters(letters: readonly DeadLetterNews[]): void {
    const [first, ...more] = letters.filter(({ event }) => !isRelayEvent(event ?? ""));
    if (first === undefined) return;
    const key = { event: "relay.dead_letter.added", subject: "" } as const;
    this.#add(key, { deadLetter: shownDeadLetter(first) }, more.length + 1);
  }

  /** Keeps what happened, if a webhook asks for it; `send` sends it. */
  #add({ event, subject }: OutboxKey, first: Record<string, unknown>, count: number): boolean {
    if (!this.#isWanted(event, subject)) return false;
    const nowMs = Date.now();
    const known = this.#store.get({ event, subject });
    const sent = this.#underWay;
    // What happens while it is sent is told next time, as the first of that.
    const told = sent?.event === event && sent.subject === subject ? sent.count : 0;
    const row =
      known === null || known.count === told
        ? { first, atMs: nowMs, dueAtMs: Math.max(known?.dueAtMs ?? 0, nowMs) }
        : known;
    this.#store.save({ ...row, event, subject, count: (known?.count ?? 0) + count });
    this.arm();
    return true;
  }

  /** None is told to the webhook that it is about. */
  #isWanted(event: RelayEventName, subject: string): boolean {
    return this.#host
      .webhooks()
      .some(({ id, events }) => id !== subject && asksFor(new Set(events), event));
  }

  /** Sets an alarm for what waits. */
  arm(): void {
    const [first] = this.#store.waiting();
    if (first !== undefined) this.#host.alarm.arm(Math.max(first.dueAtMs, this.#triedAgainAtMs));
  }

  /** Sends what is due. Never throws. */
  readonly send = oneRun(() => this.#sendDue().finally(() => this.arm()));

  async #sendDue(): Promise<void> {
    const nowMs = Date.now();
    if (this.#triedAgainAtMs > nowMs) return;
    try {
      this.#store.forget(nowMs);
      const due = this.#store.waiting().filter(({ dueAtMs }) => dueAtMs <= nowMs);
      for (const row of due) await this.#sendOne(row);
      this.#backoff.succeeded();
    } catch (thrown) {
      logWarning("relay_event.not_sent", { error: errorText(thrown) });
      this.#triedAgainAtMs = Date.now() + this.#backoff.failed();
    }
  }

  async #sendOne(row: OutboxRow): Promise<void> {
    const { event, subject, first, atMs, count } = row;
    if (!this.#isWanted(event, subject)) {
      this.#store.delete(row);
      return;
    }
    const told = { event, timestamp: iso(atMs), data: { ...first, count } };
    const body = new TextEncoder().encode(JSON.stringify(told));
    this.#underWay = row;
    try {
      await inTime(this.#host.env().EVENTS.send(body, { contentType: "bytes" }), SEND_TIMEOUT_MS);
    } catch (thrown) {
      // It is the first still, of all that happened.
      const all = this.#store.get(row);
      if (all !== null && all.count > count) this.#store.save({ ...row, count: all.count });
      throw thrown;
    } finally {
      this.#underWay = null;
    }
    logInfo("relay_event.sent", { event, webhookId: subject, count });
    const left = this.#store.get(row) ?? row;
    this.#store.save({ ...left, count: left.count - count, dueAtMs: Date.now() + MINUTE_MS });
  }
}
