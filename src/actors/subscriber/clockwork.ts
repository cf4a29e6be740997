/**
 * The clockwork of a Subscriber: while anything is pending, the pump runs or an alarm is set. What the alarm does, it
 * does in this order: deliveries first, then what the Registry is to hear, housekeeping last.
 */
import { inTime } from "../../deadline";
import { Backoff } from "../../domain/backoff";
import { parseWebhookId } from "../../domain/ids";
import { answered } from "../../domain/no-answer";
import { REGISTRY_NAME } from "../../domain/placement";
import { earliest } from "../../domain/time";
import type { Webhook } from "../../domain/webhook";
import { errorText, logError } from "../../log";
import type { AlarmClock } from "../alarm-clock";
import { oneRun } from "../one-run";
import type { Engine } from "./engine";
import type { InForce } from "./in-force";
import type { Listener } from "./listener";
import { News } from "./news";

/** A run that started nothing does not ring again at once. */
const IDLE_MS = 1_000;
/** At most so far ahead the alarm stands while the object sends. */
const STANDING_MS = 10_000;
/** While the alarm waits for the Registry no other rings. */
const REGISTRY_TIMEOUT_MS = 5_000;

type ClockworkHost = {
  /** Asked each time: the bindings may be other ones. */
  env(): Env;
  webhookId: string;
  alarm: AlarmClock;
  listener: Listener;
  inForce(): InForce;
  engine(): Engine;
  askRegistry(): Promise<void>;
  /** Follows what the Registry answers. */
  configure(webhook: Webhook): Promise<number>;
};

export class Clockwork {
  readonly #host: ClockworkHost;
  readonly #news: News;
  readonly #backoff = new Backoff();
  readonly #runPump = oneRun(() => this.#host.engine().pump.run());

  constructor(host: ClockworkHost) {
    this.#host = host;
    this.#news = new News({
      engine: host.engine,
      tell: (news) => {
        const told = this.#registry.happened({ webhookId: host.webhookId, ...news });
        return inTime(told, REGISTRY_TIMEOUT_MS);
      },
    });
  }

  get #registry() {
    return this.#host.env().REGISTRY.getByName(REGISTRY_NAME);
  }

  /** The alarm. Never throws: one that throws seven times is dropped for good, and nothing would wake the object. */
  async rang(): Promise<void> {
    const { alarm, listener, webhookId } = this.#host;
    alarm.rang();
    listener.closeSilent();
    // Under a name that says no webhook nothing was ever stored.
    if (!this.#host.inForce().isKnown && parseWebhookId(webhookId) === null) return;
    try {
      const started = await this.#doAll();
      this.#backoff.succeeded();
      alarm.arm(this.#afterAlarm(started));
    } catch (thrown) {
      const backoffMs = this.#backoff.failed();
      logError("alarm.failed", { webhookId, error: errorText(thrown), backoffMs });
      alarm.arm(Date.now() + backoffMs);
    }
  }

  /** @returns how many attempts it started. */
  async #doAll(): Promise<number> {
    const { inForce, askRegistry } = this.#host;
    if (!inForce().isKnown) await askRegistry();
    if (inForce().webhook === null) return 0;
    const started = await this.#runPump();
    this.#host.engine().outcomes.flush();
    await this.#reportDisabled();
    await this.#news.tell();
    this.#keepHouse();
    return started;
  }

  #keepHouse(): void {
    const { pump, housekeeping } = this.#host.engine();
    if (!pump.standing.isRunning) housekeeping.turn();
  }

  /** A run that started nothing must not ring again at once, whatever the clockwork believes to be due. */
  #afterAlarm(started: number): number | null {
    const nowMs = Date.now();
    const { pump, housekeeping } = this.#host.engine();
    // What arrived while the Registry was told has begun another run; the alarm that was set for it may count as late.
    if (pump.standing.isRunning) return nowMs + STANDING_MS;
    const nextMs = this.#nextWakeMs();
    const gotOn = started > 0 || housekeeping.isBehind;
    if (nextMs === null || nextMs > nowMs || gotOn) return nextMs;
    return nowMs + IDLE_MS;
  }

  /** Makes sure that what is pending gets its turn: by the pump that runs, or by an alarm. */
  wake(): void {
    this.#host.alarm.arm(this.#nextUnlessRunning());
  }

  /**
   * The same, and what may go leaves at once, without an alarm of its own: one stands some seconds ahead for all that
   * is sent until then, should the process die.
   */
  wakeNow(): void {
    const nextMs = this.#nextUnlessRunning();
    const maySend = nextMs !== null && nextMs <= Date.now();
    this.#host.alarm.arm(maySend ? Date.now() + STANDING_MS : nextMs);
    if (!maySend) return;
    // The alarm that is set then finds what went wrong, and backs off.
    const ran = this.#runPump().catch(() => {});
    void ran.then(() => this.wake());
  }

  /** When an alarm is needed, Unix milliseconds; null when it is not: the pump that runs looks again. */
  #nextUnlessRunning(): number | null {
    this.#noteConnection();
    const { pump } = this.#host.engine();
    if (pump.standing.isRunning) {
      pump.wake();
      return null;
    }
    return this.#nextWakeMs();
  }

  /** Keeps when the last listener went: whoever does not come back for a day is not waited for. */
  #noteConnection(): void {
    const { ledger } = this.#host.engine();
    const { isUnconnected } = this.#host.inForce();
    if (isUnconnected === (ledger.run.unconnectedSinceMs !== null)) return;
    ledger.setUnconnected(isUnconnected ? Date.now() : null);
  }

  #nextWakeMs(): number | null {
    const { webhook } = this.#host.inForce();
    if (webhook === null) return null;
    const { ledger, pump, housekeeping } = this.#host.engine();
    const times = [pump.nextAtMs(), housekeeping.nextAtMs(), ledger.recordAtMs];
    times.push(this.#news.nextAtMs(), this.#host.listener.silentAtMs);
    const mustReport = ledger.run.health.disabled !== null && webhook.status !== "disabled";
    if (mustReport) times.push(Date.now());
    return earliest(...times);
  }

  /** Wakes what should have woken itself. @returns what the sweep wants to know; every time in Unix milliseconds. */
  check() {
    this.#keepHouse();
    this.wake();
    const { deliveries, housekeeping, ledger } = this.#host.engine();
    const { oldestDueAtMs: dueAtMs, undeliverable, pending, state } = deliveries.health();
    const isHeld = ["disabled", "paused", "unconnected"].includes(state);
    return {
      pending,
      undeliverable,
      /** The first failure since the last success or resume; null while all is well, and while held. */
      failingSinceMs: isHeld ? null : ledger.run.health.failingSinceMs,
      /** When the oldest delivery became due that has not gone out; null when none is, or while held. */
      overdueSinceMs: dueAtMs !== null && dueAtMs < Date.now() ? dueAtMs : null,
      /** When the next pending delivery would expire; null without any or without retention. */
      expiresAtMs: housekeeping.nextExpiryMs(),
      /** What is past its retention cannot be dropped. */
      cannotRetain: housekeeping.isStuck,
      unconnectedSinceMs: ledger.run.unconnectedSinceMs,
      unwritten: ledger.unwritten,
    };
  }

  /** The Registry hears of it while others are under way; where it does not, the alarm tells it. */
  disabled(): void {
    void Promise.resolve()
      .then(() => this.#reportDisabled())
      .catch(() => {});
  }

  /** Tells the Registry that the webhook was disabled, until it answers; what it answers is in force. */
  async #reportDisabled(): Promise<void> {
    const { webhook } = this.#host.inForce();
    const { ledger, deliveries } = this.#host.engine();
    const { disabled } = ledger.run.health;
    if (disabled === null || webhook === null || webhook.status === "disabled") return;
    const report = { reason: disabled, version: webhook.version, health: deliveries.health() };
    const reported = this.#registry.reportDisabled(this.#host.webhookId, report);
    const answer = answered(await inTime(reported, REGISTRY_TIMEOUT_MS));
    if (answer !== null) await this.#host.configure(answer as Webhook);
  }
}
