/** What is leased and has not started: of this object itself, and, on its way into shares, of its Lanes. */
import * as pace from "../../domain/pace";
import { ASKED, type DueDelivery } from "../../storage/delivery-tables";
import type { LeasedAttempt } from "../../storage/run";
import type { Agenda } from "./agenda";
import type { Handing, Planned, Room } from "./handing";
import type { Lanes } from "./lanes";
import type { Ledger } from "./ledger";

/** Waiting awake for the next start is cheaper than another alarm up to about this long. */
export const MAX_AWAKE_WAIT_MS = 1_000;

type PlanHost = {
  /** Resolves when everything written so far is on disk. */
  sync(): Promise<void>;
  /** A share has come to its Lane, or has not. */
  handed(): void;
};

export class Plan {
  readonly #host: PlanHost;
  readonly #agenda: Agenda;
  readonly #ledger: Ledger;
  readonly #lanes: Lanes;
  #attempts: Planned[] = [];
  /** Else it waits for `onDisk`. */
  #isOnDisk = true;

  constructor(host: PlanHost, parts: { agenda: Agenda; ledger: Ledger; lanes: Lanes }) {
    this.#host = host;
    this.#agenda = parts.agenda;
    this.#ledger = parts.ledger;
    this.#lanes = parts.lanes;
  }

  /** What this object starts next; nothing before it is on disk. */
  get first(): Planned | undefined {
    return this.#isOnDisk ? this.#attempts[0] : undefined;
  }

  get isEmpty(): boolean {
    return this.#attempts.length === 0;
  }

  /** Plans what was stored as leased as it arrived. Call it in the same turn, and only while nothing is planned. */
  arrived(deliveries: readonly DueDelivery[], situation: pace.Situation): void {
    const nowMs = Date.now();
    this.#attempts = deliveries.map((delivery) => this.#planOf(delivery, situation.terms, nowMs));
    this.#isOnDisk = false;
    this.#ledger.arrivedLeased(this.#attempts, pace.windowOf(situation));
  }

  /** Resolves when what arrived is on disk. */
  async onDisk(): Promise<void> {
    while (!this.#isOnDisk) {
      const planned = this.#attempts;
      try {
        await this.#host.sync();
      } catch (thrown) {
        this.#giveBack(planned);
        throw thrown;
      }
      // Else it was given back meanwhile, and more may have arrived.
      this.#isOnDisk = this.#attempts === planned;
    }
  }

  shift(): void {
    this.#attempts.shift();
  }

  /** Gives back what was leased and has not started. */
  drop(): void {
    if (this.#attempts.length === 0) return;
    this.#giveBack(this.#attempts);
    this.#ledger.saveSoon();
  }

  #giveBack(planned: readonly Planned[]): void {
    const [first] = planned;
    // The times of what Lanes have lie between.
    if (first && !this.#lanes.areUsed) this.#ledger.rate.free(first.startAtMs);
    this.#ledger.giveBack(planned);
    // What was planned before, and is on disk, goes on.
    const back = new Set(planned);
    this.#attempts = this.#attempts.filter((each) => !back.has(each));
  }

  /** The webhook was deleted. */
  forget(): void {
    this.#attempts = [];
  }

  /** Whether it may not go as planned: probing and a pause keep all but what was asked for by name. */
  isOutdated(situation: pace.Situation, nowMs: number): boolean {
    const scheduled = this.#attempts.filter((each) => !isAsked(each)).length;
    if (scheduled === 0) return false;
    return scheduled > pace.planLimitOf(situation) || pace.troubleEndsAtMs(situation) > nowMs;
  }

  /**
   * Leases what is to start next, here and in Lanes. What cannot be leased, because the disk takes nothing, is not
   * planned.
   *
   * @param isFree this object itself may start something.
   * @returns how many shares were handed out.
   */
  async fill(
    situation: pace.Situation,
    nowMs: number,
    { isFree, isBusy }: { isFree: boolean; isBusy: boolean },
  ): Promise<number> {
    const rooms = this.#lanes.rooms(situation, nowMs);
    const hasRoom = isFree && this.#attempts.length === 0;
    if (!hasRoom && rooms.length === 0) return 0;
    this.#ledger.record();
    if (pace.rateOpensAtMs(situation) > nowMs + MAX_AWAKE_WAIT_MS) return 0;
    const ownRoom = hasRoom ? this.#ownRoom(situation, rooms) : 0;
    const room = rooms.reduce((sum, each) => sum + each.room, ownRoom);
    const chosen = this.#agenda.take(situation, nowMs, { isBusy, room });
    if (chosen.length === 0) return 0;
    const planned = chosen.map((delivery) => this.#planOf(delivery, situation.terms, nowMs));
    const handings = this.#share(planned, ownRoom, rooms);
    await this.#lease(planned, handings, situation);
    for (const handing of handings) {
      const handed = this.#lanes.hand(handing, situation.terms.rateLimit !== null);
      void handed.finally(() => this.#host.handed());
    }
    return handings.length;
  }

  async #lease(
    planned: readonly Planned[],
    handings: readonly Handing[],
    situation: pace.Situation,
  ) {
    const own = { share: null, attempts: this.#attempts };
    try {
      this.#ledger.lease([own, ...handings], pace.windowOf(situation));
      await this.#host.sync();
    } catch (thrown) {
      for (const handing of handings) this.#lanes.forget(handing);
      this.#giveBack(planned);
      throw thrown;
    }
  }

  /** How much of its own the object plans: where Lanes take part, no more than each of them. */
  #ownRoom(situation: pace.Situation, rooms: readonly Room[]): number {
    const limit = pace.planLimitOf(situation, true);
    if (rooms.length === 0 && !this.#lanes.areUsed) return limit;
    const slots = pace.slotsOf(situation);
    return Math.min(limit, Math.floor(slots + pace.aheadOf(slots, situation)));
  }

  /** Keeps what this object makes itself; the rest goes in shares. What no share has room for goes back. */
  #share(planned: readonly Planned[], ownRoom: number, rooms: readonly Room[]): Handing[] {
    const dealt = pace.deal(planned.length, [ownRoom, ...rooms.map(({ room }) => room)]);
    const parts = Map.groupBy(planned.slice(0, dealt.length), (_, each) => dealt[each]);
    if (ownRoom > 0) this.#attempts = parts.get(0) ?? [];
    const handings: Handing[] = [];
    const left = planned.slice(dealt.length);
    for (const [index, room] of rooms.entries()) {
      const part = parts.get(index + 1);
      if (part === undefined) continue;
      const prepared = this.#lanes.prepare(room, part);
      handings.push(prepared.handing);
      left.push(...prepared.left);
    }
    this.#ledger.giveBack(left);
    return handings;
  }

  #planOf(delivery: DueDelivery, { rateLimit }: pace.Terms, nowMs: number): Planned {
    const lease: LeasedAttempt = {
      id: delivery.id,
      number: delivery.attempts + 1,
      trigger: delivery.asked === ASKED.bySchedule ? "scheduled" : "manual",
      fresh: delivery.dueAtMs === null ? delivery.position : null,
    };
    const startAtMs = rateLimit === null ? nowMs : this.#ledger.rate.reserve(rateLimit, nowMs);
    return { delivery, lease, startAtMs };
  }
}

/** Whether a person asked for it by name. */
export function isAsked({ delivery }: Planned): boolean {
  return delivery.asked === ASKED.byRetry;
}
