/** What the webhook's deliveries wait for, which goes next, and how its service is doing: looked at, nothing changed. */
import {
  type HealthReport,
  reportHealth,
  type Standing,
  stateOf,
} from "../../domain/health-report";
import type { EventId } from "../../domain/ids";
import { probeOpensAtMs, rateOpensAtMs, type Situation } from "../../domain/pace";
import { earliest } from "../../domain/time";
import { NOTHING_TO_WAIT_FOR, type Waiting, waiting } from "../../domain/waiting";
import type { DeliveryStore } from "../../storage/delivery-store";
import { ASKED, type ListedDelivery } from "../../storage/delivery-tables";
import type { Agenda } from "./agenda";
import type { Ledger } from "./ledger";
import type { Pump } from "./pump";

type OutlookHost = {
  /** null while the webhook is held. */
  situation(): Situation | null;
  standing(): Standing;
};

type Parts = { agenda: Agenda; store: DeliveryStore; ledger: Ledger; pump: Pump };

/** What a pending delivery waits for. */
export type Look = (delivery: ListedDelivery) => Waiting;

export class Outlook {
  readonly #host: OutlookHost;
  readonly #agenda: Agenda;
  readonly #store: DeliveryStore;
  readonly #ledger: Ledger;
  readonly #pump: Pump;

  constructor(host: OutlookHost, { agenda, store, ledger, pump }: Parts) {
    this.#host = host;
    this.#agenda = agenda;
    this.#store = store;
    this.#ledger = ledger;
    this.#pump = pump;
  }

  /** Looks once which delivery goes next, for as many deliveries as are asked about in this turn. */
  look(): Look {
    const situation = this.#host.situation();
    const next = situation && this.#next(situation);
    return (delivery) => this.#waitingOf(delivery, situation, next);
  }

  #waitingOf(delivery: ListedDelivery, situation: Situation | null, next: EventId | null): Waiting {
    if (delivery.status !== "pending") return NOTHING_TO_WAIT_FOR;
    const nowMs = Date.now();
    const planned = this.#pump.standing.next;
    const isNext = delivery.id === next;
    const connected = stateOf(this.#host.standing(), null, nowMs).state !== "unconnected";
    const gates = {
      inFlight: this.#pump.isInFlight(delivery.id),
      held: situation === null && connected,
      connected,
      behind: situation?.terms.ordered === true && !isNext,
      isNext,
      byRetry: delivery.asked === ASKED.byRetry,
      dueAtMs: delivery.dueAtMs ?? delivery.createdAtMs,
      probe: situation?.health.probing ? { atMs: this.#probeAtMs(situation) } : null,
      postponedUntilMs: this.#ledger.run.health.postponedUntilMs,
      rateAtMs:
        situation?.terms.rateLimit == null
          ? null
          : planned?.id === delivery.id
            ? planned.startAtMs
            : rateOpensAtMs(situation),
    };
    return waiting(gates, nowMs);
  }

  #probeAtMs(situation: Situation): number | null {
    return this.#pump.standing.isBusy ? null : probeOpensAtMs(situation);
  }

  /** The pending delivery that goes next; null when none waits. */
  #next({ terms: { ordered } }: Situation): EventId | null {
    const planned = ordered ? null : this.#pump.standing.next;
    return planned?.id ?? this.#agenda.next(ordered);
  }

  /**
   * When what is pending and due first became or becomes due, by schedule and Retry-After; null without any, or while
   * held.
   */
  oldestDueAtMs(): number | null {
    if (this.#host.situation() === null) return null;
    const [first] = this.#store.waiting(1);
    const byItselfMs = earliest(first?.dueAtMs, this.#store.freshSinceMs(this.#ledger.freshFrom));
    if (byItselfMs === null) return null;
    const dueAtMs = Math.max(byItselfMs, this.#ledger.run.health.postponedUntilMs ?? 0);
    return Math.min(dueAtMs, this.#store.waiting(1, { asked: true })[0]?.dueAtMs ?? dueAtMs);
  }

  /** The pending delivery that goes next, or the one under way that others wait for; null when none does, or all are held. */
  next(): EventId | null {
    const situation = this.#host.situation();
    if (situation === null) return null;
    return this.#next(situation) ?? this.#ledger.leases.find((id) => this.#pump.isInFlight(id));
  }

  health(counted: Pick<HealthReport, "pending" | "undeliverable">): HealthReport {
    const situation = this.#host.situation();
    const next = situation && this.#next(situation);
    const delivery = next === null ? null : this.#store.get(next);
    const { nextAttemptAtMs } = delivery === null ? NOTHING_TO_WAIT_FOR : this.look()(delivery);
    const queue = { ...counted, nextAttemptAtMs, oldestDueAtMs: this.oldestDueAtMs() };
    return reportHealth(this.#host.standing(), queue, Date.now());
  }
}
