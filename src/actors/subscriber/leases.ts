/** Attempts that may have left and have no outcome on disk: those that this object makes itself, and those in shares. */
import type { Outcome } from "../../domain/delivery";
import type { EventId } from "../../domain/ids";
import type { DueDelivery, StoredDelivery } from "../../storage/delivery-tables";
import { isBefore, type Position } from "../../storage/position";
import type { LeasedAttempt, Share, StoredShare } from "../../storage/run";

/**
 * `share`: the id of the share that it is in; null for one that this object makes itself. `outcome` is null while it
 * is under way. `isErased`: its event was erased meanwhile, which what is answered may echo.
 */
export type Leased = {
  delivery: StoredDelivery;
  lease: LeasedAttempt;
  share: string | null;
  outcome: Outcome | null;
  isErased?: boolean;
};

export type Answered = Leased & { outcome: Outcome };

/** What is leased together: attempts of this object, or those of a share. */
export type Leasing = {
  share: Share | null;
  attempts: readonly { delivery: DueDelivery; lease: LeasedAttempt }[];
};

export class Leases {
  /** In the order of their start. */
  readonly #all = new Map<EventId, Leased>();
  /** With what of each has no outcome on disk, in the order of its start. */
  readonly #shares = new Map<string, { share: Share; open: Set<Leased> }>();
  /** What is leased may lie behind the head: shares were given back from between. Else all of it lies before. */
  #isMixed = false;

  get size(): number {
    return this.#all.size;
  }

  has(id: EventId): boolean {
    return this.#all.has(id);
  }

  get(id: EventId): Leased | undefined {
    return this.#all.get(id);
  }

  find(isSo: (id: EventId) => boolean): EventId | null {
    return [...this.#all.keys()].find(isSo) ?? null;
  }

  /** What is to be passed over among fresh deliveries. */
  get amongFresh(): ReadonlyMap<EventId, Leased> | undefined {
    return this.#isMixed ? this.#all : undefined;
  }

  /** The first of `position` and the positions of what was fresh when it was leased. */
  firstFresh(position: Position): Position {
    let first = position;
    for (const { lease } of this.#all.values()) {
      if (lease.fresh !== null && isBefore(lease.fresh, first)) first = lease.fresh;
    }
    return first;
  }

  isIn(period: number): boolean {
    return [...this.#all.values()].some(({ delivery }) => delivery.period === period);
  }

  open(leased: Leased): void {
    this.#all.set(leased.lease.id, leased);
    if (leased.share === null) return;
    this.#isMixed = true;
    this.#openOf(leased)?.add(leased);
  }

  erased(id: EventId): void {
    const leased = this.#all.get(id);
    if (leased !== undefined) leased.isErased = true;
  }

  close(id: EventId): void {
    const leased = this.#all.get(id);
    if (leased === undefined) return;
    this.#all.delete(id);
    if (this.#all.size === 0) this.#isMixed = false;
    this.#openOf(leased)?.delete(leased);
  }

  /** It is this object's own from now on: its Lane is done with it. */
  takeOver(leased: Leased): void {
    this.#openOf(leased)?.delete(leased);
    leased.share = null;
    this.#isMixed = true;
  }

  clear(): void {
    this.#all.clear();
    this.#shares.clear();
  }

  /** Those that this object makes itself, those in `first` before all else; each once. */
  own(first: Iterable<Leased>): LeasedAttempt[] {
    const own = [...this.#all.values()].filter(({ share }) => share === null);
    return [...new Set([...first, ...own])].map(({ lease }) => lease);
  }

  // --- shares -----------------------------------------------------------------------------------------------

  addShare(share: Share): void {
    this.#shares.set(share.id, { share, open: new Set() });
  }

  /** Forgets a share of which nothing is open. */
  endShare(id: string): void {
    this.#shares.delete(id);
  }

  get shares(): readonly Share[] {
    return [...this.#shares.values()].map(({ share }) => share);
  }

  share(id: string): Share | undefined {
    return this.#shares.get(id)?.share;
  }

  get storedShares(): StoredShare[] {
    return this.shares.map((share) => ({ ...share, attempts: this.openIn(share.id) }));
  }

  /** What of a share has no outcome on disk, in the order of its start. */
  openIn(share: string): LeasedAttempt[] {
    return [...(this.#shares.get(share)?.open ?? [])].map(({ lease }) => lease);
  }

  openCount(share: string): number {
    return this.#shares.get(share)?.open.size ?? 0;
  }

  #openOf({ share }: Leased): Set<Leased> | undefined {
    return share === null ? undefined : this.#shares.get(share)?.open;
  }
}
