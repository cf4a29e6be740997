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

type Parts = {
  agenda: Agenda;
  store: DeliveryStore;
  ledger: Ledger;
  pump: Pump;
  /** null while the webhook is held. */
  situation(): Situation | null;
  standing(): Standing;
};

export type Look = (delivery: ListedDelivery) => Waiting;

export class Outlook {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Looks once which delivery goes next, for as many deliveries as are asked about in this turn. */
  look(): Look {
    const situation = this.#parts.situation();
    const next = situation && this.#next(situation);
    return (delivery) => this.#waitingOf(delivery, situation, next);
  }

  #waitingOf(delivery: ListedDelivery, situation: Situation | null, next: EventId | null): Waiting {
    if (delivery.status !== "pending") return NOTHING_TO_WAIT_FOR;
    const { ledger, pump, standing } = this.#parts;
    const nowMs = Date.now();
    const { isBusy, next: planned } = pump.standing;
    const isNext = delivery.id === next;
    const connected = stateOf(standing(), null, nowMs).state !== "unconnected";
    const isProbing = situation?.health.probing === true;
    const gates = {
      inFlight: pump.isInFlight(delivery.id),
      held: situation === null && connected,
      connected,
      behind: situation?.terms.ordered === true && !isNext,
      isNext,
      byRetry: delivery.asked === ASKED.byRetry,
      dueAtMs: delivery.dueAtMs ?? delivery.createdAtMs,
      probe: isProbing ? { atMs: isBusy ? null : probeOpensAtMs(situation) } : null,
      postponedUntilMs: ledger.run.health.postponedUntilMs,
      rateAtMs:
        situation?.terms.rateLimit == null
          ? null
          : planned?.id === delivery.id
            ? planned.startAtMs
            : rateOpensAtMs(situation),
    };
    return waiting(gates, nowMs);
  }

  /** The pending delivery that goes next; null when none waits. */
  #next({ terms: { ordered } }: Situation): EventId | null {
    const planned = ordered ? null : this.#parts.pump.standing.next;
    return planned?.id ?? this.#parts.agenda.next(ordered);
  }

  /**
   * When what is pending and due first became or becomes due, by schedule and Retry-After; null without any, or while
   * held.
   */
  oldestDueAtMs(): number | null {
    const { ledger, situation, store } = this.#parts;
    if (situation() === null) return null;
    const [first] = store.waiting(1);
    const byItselfMs = earliest(first?.dueAtMs, store.freshSinceMs(ledger.freshFrom));
    if (byItselfMs === null) return null;
    const dueAtMs = Math.max(byItselfMs, ledger.run.health.postponedUntilMs ?? 0);
    return Math.min(dueAtMs, store.waiting(1, { asked: true })[0]?.dueAtMs ?? dueAtMs);
  }

  /** The pending delivery that goes next, or the one under way that others wait for; null when none does, or all are held. */
  next(): EventId | null {
    const { ledger, pump } = this.#parts;
    const situation = this.#parts.situation();
    if (situation === null) return null;
    return this.#next(situation) ?? ledger.leases.find((id) => pump.isInFlight(id));
  }

  health(counted: Pick<HealthReport, "pending" | "undeliverable">): HealthReport {
    const situation = this.#parts.situation();
    const next = situation && this.#next(situation);
    const delivery = next === null ? null : this.#parts.store.get(next);
    const { nextAttemptAtMs } = delivery === null ? NOTHING_TO_WAIT_FOR : this.look()(delivery);
    const queue = { ...counted, nextAttemptAtMs, oldestDueAtMs: this.oldestDueAtMs() };
    return reportHealth(this.#parts.standing(), queue, Date.now());
  }
}
