/**
 * Pushes: how what people decided gets from the Registry to the webhook's Subscriber, which acknowledges it. One that
 * failed is repeated by alarm until it arrives.
 */
import { inTime } from "../deadline";
import type { WebhookId } from "../domain/ids";
import { answered } from "../domain/no-answer";
import type { Webhook } from "../domain/webhook";
import { errorText, logWarning } from "../log";
import type { Registration, RegistryStore } from "../storage/registry-store";
import type { Tables } from "../storage/tables";
import type { AlarmClock } from "./alarm-clock";

/** A Subscriber that does not acknowledge in this time gets the change by alarm; the caller is told so. */
const PUSH_TIMEOUT_MS = 5_000;
const MIN_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;

export type RegistryHost = {
  /** Asked each time: the bindings may be other ones. */
  env(): Env;
  store: RegistryStore;
  tables: Tables;
  alarm: AlarmClock;
  /** Of every webhook; what is acknowledged is noted there, and a deletion that is acknowledged goes. */
  registrations: Map<WebhookId, Registration>;
  /** Every webhook there is, in the order of their registration. */
  webhooks(): Webhook[];
};

export class Pushes {
  readonly #host: RegistryHost;
  #failedInARow = 0;

  constructor(host: RegistryHost) {
    this.#host = host;
  }

  /** After a restart: what waits is repeated soon. */
  begin(): void {
    if (this.#waiting().length > 0) this.#host.alarm.arm(Date.now() + MIN_BACKOFF_MS);
  }

  /** Sets an alarm that repeats what is not acknowledged by then. */
  arm(): void {
    const backoffMs = Math.min(
      PUSH_TIMEOUT_MS + MIN_BACKOFF_MS * 2 ** this.#failedInARow,
      MAX_BACKOFF_MS,
    );
    this.#host.alarm.arm(Date.now() + backoffMs);
  }

  /** The same, where something is not acknowledged. */
  armIfWaiting(): void {
    if (this.#waiting().length > 0) this.arm();
  }

  async repeat(): Promise<void> {
    const pushed = await Promise.all(
      this.#waiting().map((registration) => this.push(registration)),
    );
    this.#failedInARow = pushed.every(Boolean) ? 0 : this.#failedInARow + 1;
    this.armIfWaiting();
  }

  /** Whether the Subscriber has acknowledged this version. */
  async push({ id, version, webhook }: Registration): Promise<boolean> {
    try {
      const subscriber = this.#host.env().SUBSCRIBER.getByName(id);
      const push = webhook === null ? subscriber.remove(version) : subscriber.configure(webhook);
      answered(await inTime(push, PUSH_TIMEOUT_MS));
      this.#acknowledged(id, version);
      return true;
    } catch (thrown) {
      logWarning("settings.not_pushed", { webhookId: id, version, error: errorText(thrown) });
      return false;
    }
  }

  /** What the disk does not take is not known here either: it is pushed again. */
  #acknowledged(id: WebhookId, version: number): void {
    const { registrations, store } = this.#host;
    const registration = registrations.get(id);
    if (registration === undefined) return;
    if (registration.webhook === null && version >= registration.version) {
      store.forget(id);
      registrations.delete(id);
    } else {
      store.acknowledge(id, version);
      registration.acknowledgedVersion = Math.max(registration.acknowledgedVersion, version);
    }
  }

  #waiting(): Registration[] {
    return [...this.#host.registrations.values()].filter(
      ({ version, acknowledgedVersion }) => acknowledgedVersion < version,
    );
  }
}
