/** What goes next, and when: of the deliveries that wait, and of those that are fresh. */
import type { EventId } from "../../domain/ids";
import { leaseLimitOf, opensAtMs, type Situation, troubleEndsAtMs } from "../../domain/pace";
import { firstWithin } from "../../domain/portions";
import { earliest } from "../../domain/time";
import type { DeliveryStore, Waiting } from "../../storage/delivery-store";
import { ASKED, type DueDelivery } from "../../storage/delivery-tables";
import { isBefore, type Position } from "../../storage/position";
import type { Ledger } from "./ledger";

const MAX_PLANNED_BYTES = 4 * 1024 * 1024;

export class Agenda {
  readonly #store: DeliveryStore;
  readonly #ledger: Ledger;

  constructor(store: DeliveryStore, ledger: Ledger) {
    this.#store = store;
    this.#ledger = ledger;
  }

  /**
   * Up to `room` deliveries that may go at `nowMs`, in their order: what a person asked for by name before all else.
   * They must be leased or given back.
   *
   * @param isBusy something is in flight, so that no other probe may go.
   */
  take(situation: Situation, nowMs: number, { isBusy, room }: { isBusy: boolean; room: number }) {
    const limit = Math.min(room, leaseLimitOf(situation));
    const { probing } = situation.health;
    // An outcome that is not on disk yet decides what comes behind it.
    if (situation.terms.ordered && this.#ledger.unwritten > 0) return [];
    const isShut = troubleEndsAtMs(situation) > nowMs || (probing && isBusy);
    if (situation.terms.ordered) return this.#takeInOrder(limit, nowMs, isShut);
    const mostAsked = Math.min(room, leaseLimitOf(situation, true));
    const asked = this.#withBodies(this.#free(mostAsked, { untilMs: nowMs, asked: true }));
    if (isShut || (probing && asked.length > 0)) return asked;
    const others = limit - asked.length;
    if (others <= 0) return asked;
    const due = this.#free(others + asked.length, { untilMs: nowMs });
    const waiting = due.filter(({ asked: by }) => by !== ASKED.byRetry).slice(0, others);
    return [...asked, ...this.#withFresh(this.#withBodies(waiting), others)];
  }

  /** When there is something that may go, Unix milliseconds; null when nothing is pending. */
  nextAtMs(situation: Situation): number | null {
    const openMs = opensAtMs(situation, false);
    const openToAskedMs = opensAtMs(situation, true);
    if (situation.terms.ordered) {
      if (this.#ledger.unwritten > 0) return null;
      const { waiting, fresh } = this.#firstOf(this.#ledger.firstFresh());
      if (waiting === null) return fresh && Math.max(sinceOf(fresh), openMs);
      const isAsked = waiting.asked === ASKED.byRetry;
      return Math.max(waiting.dueAtMs, isAsked ? openToAskedMs : openMs);
    }
    const asked = this.#free(1, { asked: true })[0]?.dueAtMs ?? null;
    const fresh = this.#ledger.firstFresh();
    const pending = earliest(this.#free(1)[0]?.dueAtMs ?? null, fresh && sinceOf(fresh));
    return earliest(asked && Math.max(asked, openToAskedMs), pending && Math.max(pending, openMs));
  }

  /** When the next delivery that waits is due after `nowMs` and may go, Unix milliseconds. */
  nextDueAtMs(situation: Situation, nowMs: number): number | null {
    const [next] = this.#store.waitingAfter(nowMs, 1);
    return next === undefined ? null : Math.max(next.dueAtMs, opensAtMs(situation, false));
  }

  /** Of what is not leased, the delivery that goes first; in order also of what is. null when none is pending. */
  next(ordered: boolean): EventId | null {
    if (ordered) {
      const { waiting, fresh } = this.#firstOf(this.#firstFrom(this.#ledger.freshFrom));
      return (waiting ?? fresh)?.id ?? null;
    }
    const [asked] = this.#free(1, { asked: true });
    if (asked !== undefined) return asked.id;
    const [due] = this.#free(1);
    const fresh = this.#firstFrom(this.#ledger.run.head);
    if (due === undefined || fresh === null) return (due ?? fresh)?.id ?? null;
    return fresh.createdAtMs < due.dueAtMs ? fresh.id : due.id;
  }

  #firstFrom(head: Position): DueDelivery | null {
    return this.#store.fresh(head, 1, 0).deliveries[0] ?? null;
  }

  /** What arrived first of all that is pending goes first, and holds the others. */
  #takeInOrder(limit: number, nowMs: number, isShut: boolean): DueDelivery[] {
    const { waiting, fresh } = this.#firstOf(this.#ledger.firstFresh());
    if (waiting === null) {
      if (fresh === null || isShut) return [];
      return this.#withFresh([], this.#store.firstWaiting() === null ? limit : 1);
    }
    const mayGo = !isShut || waiting.asked === ASKED.byRetry;
    return mayGo && waiting.dueAtMs <= nowMs ? this.#withBodies([waiting]) : [];
  }

  /** The pending delivery that arrived first: one that waits, or the first fresh one. */
  #firstOf(fresh: DueDelivery | null): { waiting: Waiting | null; fresh: DueDelivery | null } {
    const waiting = this.#store.firstWaiting();
    if (waiting === null || fresh === null) return { waiting, fresh };
    return isBefore(fresh.position, waiting.position)
      ? { waiting: null, fresh }
      : { waiting, fresh: null };
  }

  /** The first of what waited and what is fresh, by when it became due; moves the head past what it takes. */
  #withFresh(waiting: DueDelivery[], limit: number): DueDelivery[] {
    const fresh = this.#ledger.fresh(limit, MAX_PLANNED_BYTES);
    const first = merged(waiting, fresh.deliveries).slice(0, limit);
    const chosen = firstWithin(first, ({ body }) => body.byteLength, MAX_PLANNED_BYTES);
    const left = fresh.deliveries.find((delivery) => !chosen.includes(delivery));
    this.#ledger.moveHead(left?.position ?? fresh.head);
    return chosen;
  }

  #free(limit: number, which: { untilMs?: number; asked?: boolean } = {}): Waiting[] {
    return this.#store
      .waiting(limit + this.#ledger.leases.size, which)
      .filter(({ id }) => !this.#ledger.leases.has(id))
      .slice(0, limit);
  }

  #withBodies(waiting: readonly Waiting[]): DueDelivery[] {
    return this.#store.withBodies(waiting, MAX_PLANNED_BYTES);
  }
}

/** Since when it is due. It is, whatever the clock said when it arrived. */
function sinceOf({ createdAtMs }: DueDelivery): number {
  return Math.min(createdAtMs, Date.now());
}

/**
 * Two lists as one, by when each became due. What is fresh keeps the order in which it arrived, also where the clock
 * stepped back meanwhile: the head passes it in no other.
 */
function merged(waiting: readonly DueDelivery[], fresh: readonly DueDelivery[]): DueDelivery[] {
  const left = [...fresh];
  const all = waiting.flatMap((each) => {
    const end = left.findIndex(({ createdAtMs }) => createdAtMs >= (each.dueAtMs ?? 0));
    return [...left.splice(0, end < 0 ? left.length : end), each];
  });
  return [...all, ...left];
}
