/** What is in force for a webhook: its settings as the Registry pushed them, and the relay's configuration. */
import { configOf } from "../../config";
import type { Policy } from "../../domain/delivery";
import type { Health } from "../../domain/health";
import type { Standing } from "../../domain/health-report";
import type { Terms } from "../../domain/pace";
import { MAX_TIMEOUT_MS, parseSchedule } from "../../domain/schedule";
import { DEFAULTS, isListener, timeoutMsOf, type Webhook } from "../../domain/webhook";
import type { Run } from "../../storage/run";
import type { RunStore, Settings } from "../../storage/run-store";
import type { Listener } from "./listener";

/** What is left open without a schedule to settle by is due at once. */
const UNKNOWN_SCHEDULE: readonly number[] = Array.from({ length: 20 }, () => 0);

export class InForce {
  readonly #env: Env;
  readonly #runs: RunStore;
  readonly #listener: Listener;
  #settings: Settings | null;

  constructor(env: Env, runs: RunStore, listener: Listener) {
    this.#env = env;
    this.#runs = runs;
    this.#listener = listener;
    this.#settings = runs.settings();
  }

  /** Whether the Registry has said anything of this webhook yet. */
  get isKnown(): boolean {
    return this.#settings !== null;
  }

  /** null without settings, and of a deleted webhook. */
  get webhook(): Webhook | null {
    return this.#settings?.webhook ?? null;
  }

  /** The version in force, also of a deletion; null without any. */
  get version(): number | null {
    return this.#settings?.version ?? null;
  }

  /** @param given from a Registry that may run the release before. */
  put(given: Webhook): void {
    const webhook = { ...DEFAULTS, ...given };
    this.#runs.saveSettings(webhook);
    this.#settings = { version: webhook.version, webhook };
  }

  /** The webhook is deleted; that is not stored here. */
  end(version: number): void {
    this.#settings = { version, webhook: null };
  }

  get isListener(): boolean {
    return this.webhook !== null && isListener(this.webhook);
  }

  /** Whether they have nowhere to go. */
  get isUnconnected(): boolean {
    return this.isListener && !this.#listener.isConnected;
  }

  /** How it stands, by what people and the configuration say and by its health. */
  standing({ health, unconnectedSinceMs }: Pick<Run, "health" | "unconnectedSinceMs">): Standing {
    return {
      health,
      status: this.webhook?.status ?? "active",
      statusSinceMs: this.webhook?.statusSinceMs ?? null,
      misconfigured: configOf(this.#env).delivery === null,
      unconnected: this.isUnconnected ? { sinceMs: unconnectedSinceMs } : null,
    };
  }

  /**
   * null while held: paused, disabled, deleted, without settings, or with a configuration that does not parse; and
   * while nobody listens.
   */
  terms({ disabled }: Health): Terms | null {
    const { webhook } = this;
    if (webhook === null || webhook.status !== "active") return null;
    if (disabled !== null || configOf(this.#env).delivery === null) return null;
    if (this.isUnconnected) return null;
    const { ordered, rateLimit, concurrency } = webhook;
    return { ordered, rateLimit, concurrency, frames: this.isListener };
  }

  timeoutMs(): number {
    const ownMs = configOf(this.#env).delivery?.timeoutMs ?? MAX_TIMEOUT_MS;
    return timeoutMsOf(this.webhook ?? DEFAULTS, ownMs);
  }

  /** What becomes of failed attempts. Without a configuration that parses nothing starts. */
  policy(): Policy {
    const own = parseSchedule(this.webhook?.retrySchedule ?? "");
    const schedule = own ?? configOf(this.#env).delivery?.retryScheduleMs ?? UNKNOWN_SCHEDULE;
    const giveUpOn = this.webhook?.giveUpOn ?? [];
    return { schedule, giveUpOn, interruptible: this.isListener };
  }
}
