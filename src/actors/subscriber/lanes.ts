/**
 * What a Subscriber hands to its Lanes (`../lane.ts`): shares of leased deliveries, while more than six attempts are
 * wanted at once. A share is on disk before a Lane has it, and stays leased until each of its attempts has an outcome
 * or is known not to have started. Its Lane remembers it in memory only: one that does not know a share, or is silent
 * for longer than anything of it can be in flight, has lost it.
 */
import { inTime } from "../../deadline";
import type { EventId } from "../../domain/ids";
import {
  concurrencyOf,
  GATHERED,
  gatherMs,
  MAX_IN_FLIGHT,
  type Situation,
  windowFor,
} from "../../domain/pace";
import { firstWithin } from "../../domain/portions";
import { earliest } from "../../domain/time";
import type { Webhook } from "../../domain/webhook";
import { errorText, logWarning } from "../../log";
import type { Share } from "../../storage/run";
import type { LaneReport, LaneShare, Recalled } from "../lane";
import {
  busyOf,
  bytesOf,
  givenOf,
  type Handing,
  type Load,
  MAX_SHARE_BYTES,
  type Planned,
  type Room,
  roomsIn,
  shareOf,
} from "./handing";
import type { Ledger } from "./ledger";
import { unanswered } from "./send";

/** A silent Lane is asked again after so long. */
const ASK_AGAIN_MS = 5_000;
const RECALL_AGAIN_MS = 100;
/** One answer can be lost, and a report with it. */
const MAX_SILENCES = 2;
/** No more attempts than these are handed out at a time: nothing else of the object runs meanwhile. */
const MAX_HANDED_OUT = 600;
/** Bodies in Lanes; beside what is planned here. All of them may live in one isolate of 128 MB. */
const MAX_BYTES = 24 * 1024 * 1024;

type LanesHost = {
  webhook(): Webhook | null;
  timeoutMs(): number;
  /** Something may start again. */
  changed(): void;
  lane(number: number): {
    take(share: LaneShare): Promise<boolean>;
    recall(share: string): Promise<Recalled>;
  };
};

/** What is known of a share beside what is stored. */
class Known {
  bytes = 0;
  /** When its Lane is to be asked. */
  askAtMs = 0;
  /** Nothing of it starts any more. */
  isStopped = false;
  /** It may be on its way, or with its Lane. */
  isHanded = true;
  /** Its Lane has had it. */
  isTaken = false;
  isBeingAsked = false;
  /** When its Lane last reported something of it, and last did not answer, Unix milliseconds. */
  heardAtMs = 0;
  silentAtMs = 0;
  /** How often in a row it did not. */
  silences = 0;
  /** Its Lane does not know it. */
  isLost = false;
  stopping: Promise<void> | null = null;
}

export class Lanes {
  readonly #host: LanesHost;
  readonly #ledger: Ledger;
  readonly #known = new Map<string, Known>();
  /** Somebody changes what was handed out: nothing more is. */
  #frozen = 0;
  #prepared = 0;
  #nextHandOutAtMs = 0;
  /** Lanes may want shares before that. */
  #waitsToHandOut = false;
  #gathered: Promise<void> | null = null;

  constructor(host: LanesHost, ledger: Ledger) {
    this.#host = host;
    this.#ledger = ledger;
    // The life before handed them out; what became of them the Lanes know.
    for (const { id } of ledger.leases.shares) this.#known.set(id, new Known());
  }

  get areUsed(): boolean {
    return this.#known.size > 0;
  }

  /** How many attempts may be in flight in Lanes. */
  get busy(): number {
    return busyOf(this.#load());
  }

  #load(): Load {
    const load: Load = new Map();
    for (const { id, lane, slots } of this.#ledger.leases.shares) {
      const known = load.get(lane) ?? { open: 0, slots: 0 };
      const open = known.open + this.#ledger.leases.openCount(id);
      load.set(lane, { open, slots: Math.max(known.slots, slots) });
    }
    return load;
  }

  // --- hand out ---------------------------------------------------------------------------------------------

  /** Which Lanes want a share now, those with the least to do first. */
  rooms(situation: Situation, nowMs: number): Room[] {
    this.#waitsToHandOut = false;
    const isPostponed = (situation.health.postponedUntilMs ?? 0) > nowMs;
    if (this.#frozen > 0 || isPostponed || concurrencyOf(situation) <= MAX_IN_FLIGHT) return [];
    if (this.#bytes() > MAX_BYTES - MAX_SHARE_BYTES) return [];
    this.#waitsToHandOut = nowMs < this.#nextHandOutAtMs;
    if (this.#waitsToHandOut) return [];
    const rooms = roomsIn(situation, this.#load()).sort((a, b) => b.room - a.room);
    let sum = 0;
    return rooms.filter(({ room }) => {
      sum += room;
      return sum - room < MAX_HANDED_OUT;
    });
  }

  #bytes(): number {
    let bytes = 0;
    for (const known of this.#known.values()) bytes += known.bytes;
    return bytes;
  }

  /**
   * A share for a Lane of the first of `attempts` that go into it; lease them, then `hand` it over.
   *
   * @returns it, and what is left.
   */
  prepare(room: Room, attempts: readonly Planned[]): { handing: Handing; left: Planned[] } {
    const nowMs = Date.now();
    this.#nextHandOutAtMs = nowMs + this.#gatherMs("handedOut");
    this.#prepared += 1;
    const taken = firstWithin(attempts, bytesOf, MAX_SHARE_BYTES);
    const bytes = taken.reduce((sum, each) => sum + bytesOf(each), 0);
    const share = shareOf(room, {
      id: `${nowMs}-${this.#prepared}-${taken[0]?.delivery.id}`,
      nowMs,
      timeoutMs: this.#host.timeoutMs(),
      urlVersion: this.#host.webhook()?.urlVersion ?? 0,
    });
    const known = { bytes, askAtMs: share.lastStartAtMs, isHanded: false };
    this.#known.set(share.id, Object.assign(new Known(), known));
    return { handing: { share, attempts: taken }, left: attempts.slice(taken.length) };
  }

  /** What was prepared could not be leased. */
  forget({ share }: Handing): void {
    this.#known.delete(share.id);
    this.#ledger.leases.endShare(share.id);
  }

  /** Brings a share that is on disk to its Lane. One that was recalled meanwhile stays here. */
  async hand(handing: Handing, isTimed: boolean): Promise<void> {
    const { share } = handing;
    const known = this.#known.get(share.id);
    const webhook = this.#host.webhook();
    if (known === undefined || known.isStopped || webhook === null) return;
    known.isHanded = true;
    try {
      const isTaken = await this.#host.lane(share.lane).take(givenOf(handing, webhook, isTimed));
      known.isTaken = true;
      if (!isTaken) this.#giveBack(share.id);
    } catch (thrown) {
      // It may have come all the same: the Lane is asked when nothing of it can start any more.
      logWarning("lane.not_reached", { webhookId: webhook.id, error: errorText(thrown) });
    }
  }

  // --- hear -------------------------------------------------------------------------------------------------

  /** What a Lane reports, on disk when this resolves. Whether each share is known: of one that is closed nothing counts any more. */
  async report(reports: readonly LaneReport[]): Promise<boolean[]> {
    const urlVersion = this.#host.webhook()?.urlVersion;
    const known = reports.map(({ share: id, outcomes, unsent }) => {
      const share = this.#ledger.leases.share(id);
      if (share === undefined) return false;
      const heard = this.#known.get(id);
      if (heard !== undefined) Object.assign(heard, { heardAtMs: Date.now(), silences: 0 });
      const isStale = share.urlVersion !== urlVersion;
      for (const { outcome, ...attempt } of outcomes) {
        this.#ledger.answer(attempt, outcome, { isStale, share: id });
      }
      this.#ledger.giveBackOf(id, unsent);
      return true;
    });
    this.#gathered ??= this.#record();
    await this.#gathered;
    return known;
  }

  async #record(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.#gatherMs("reported")));
    this.#gathered = null;
    this.#ledger.record();
    this.#endDone();
    this.#host.changed();
  }

  /** Commits cost more than their rows, and each hand-out writes the lease of all that is out anew. */
  #gatherMs(what: keyof typeof GATHERED): number {
    const isPaced = (this.#host.webhook()?.rateLimit ?? null) !== null;
    return gatherMs(GATHERED[what], isPaced ? 0 : (this.#ledger.meanDurationMs ?? 0));
  }

  /** Closes what is lost, asks Lanes that are silent, and ends what is done. */
  tend(nowMs: number): void {
    const lost = new Set<number>();
    for (const share of this.#ledger.leases.shares) {
      const known = this.#known.get(share.id);
      if (known === undefined) continue;
      if (known.silences >= MAX_SILENCES && known.silentAtMs >= share.closesAtMs) {
        this.#close([share]);
      } else if (known.isLost) {
        lost.add(share.lane);
        // It waits for the others of its Lane, which wake the pump when they know.
        known.askAtMs = nowMs + ASK_AGAIN_MS;
      } else if (nowMs >= known.askAtMs) void this.#ask(share, known);
    }
    for (const lane of lost) this.#closeLost(lane);
    this.#endDone();
  }

  /** What a Lane has lost is closed together: it had one window for all of it. */
  #closeLost(lane: number): void {
    const shares = this.#ledger.leases.shares.filter((share) => share.lane === lane);
    const knownOf = ({ id }: Share) => this.#known.get(id);
    if (shares.some((share) => knownOf(share)?.isBeingAsked)) return;
    this.#close(shares.filter((share) => knownOf(share)?.isLost));
  }

  /** When there is something to tend, Unix milliseconds; null when Lanes hold nothing and want nothing. */
  nextAtMs(): number | null {
    const times = this.#ledger.leases.shares.map(({ id }) => this.#known.get(id)?.askAtMs ?? 0);
    // Once is enough: nothing is handed out while the webhook is held.
    if (this.#waitsToHandOut && this.#nextHandOutAtMs > Date.now()) {
      times.push(this.#nextHandOutAtMs);
    }
    return earliest(...times);
  }

  #endDone(): void {
    for (const { id } of this.#ledger.leases.shares) {
      if (this.#ledger.leases.openCount(id) > 0) continue;
      this.#ledger.leases.endShare(id);
      this.#known.delete(id);
    }
  }

  async #ask(share: Share, known: Known): Promise<void> {
    const askedAtMs = Date.now();
    known.askAtMs = askedAtMs + ASK_AGAIN_MS;
    known.isBeingAsked = true;
    try {
      this.#learn(share, await inTime(this.#host.lane(share.lane).recall(share.id), ASK_AGAIN_MS));
    } catch (thrown) {
      // The answer was lost; a report came meanwhile.
      if (known.heardAtMs < askedAtMs) {
        known.silentAtMs = Date.now();
        known.silences += 1;
      }
      logWarning("lane.silent", { lane: share.lane, error: errorText(thrown) });
    } finally {
      known.isBeingAsked = false;
      this.#host.changed();
    }
  }

  /** A Lane says what it knows of a share, of which it starts nothing more. */
  #learn(share: Share, { isKnown, unsent, isOver = false }: Recalled): void {
    const known = this.#known.get(share.id);
    if (known === undefined) return;
    known.isStopped = true;
    known.silences = 0;
    if (isKnown) this.#ledger.giveBackOf(share.id, unsent);
    const mayCome = !known.isTaken && Date.now() <= share.lastStartAtMs;
    // Over, and not here: it was reported to an earlier life of this object, whose disk did not take it.
    if (isOver || (!isKnown && !mayCome)) this.#lose(share, known);
    else if (!isKnown) known.askAtMs = share.lastStartAtMs + 1;
    this.#endDone();
  }

  /** Whatever else the Lane had before is lost too, or is with the next life of it: it says which. */
  #lose(share: Share, known: Known): void {
    known.isLost = true;
    known.askAtMs = 0;
    for (const other of this.#ledger.leases.shares) {
      const same = this.#known.get(other.id);
      if (same === undefined || other.lane !== share.lane) continue;
      if (same.isHanded && !same.isStopped && !same.isBeingAsked) void this.#ask(other, same);
    }
  }

  /** Nobody can tell any more what became of them: what may have left is interrupted, the rest goes back. */
  #close(shares: readonly Share[]): void {
    let mayHaveLeft = windowFor(Math.max(...shares.map(({ slots }) => slots)));
    for (const { id } of shares) {
      const left = this.#ledger.leases.openIn(id).slice(0, mayHaveLeft);
      mayHaveLeft -= left.length;
      for (const attempt of left) {
        const outcome = unanswered("interrupted", Date.now());
        this.#ledger.answer(attempt, outcome, { isStale: false, share: id });
      }
    }
    this.#ledger.record();
    for (const { id } of shares) this.#giveBack(id);
  }

  #giveBack(share: string): void {
    this.#ledger.giveBackOf(
      share,
      this.#ledger.leases.openIn(share).map(({ id }) => id),
    );
    this.#endDone();
  }

  // --- recall -----------------------------------------------------------------------------------------------

  /**
   * Recalls what Lanes have not started, then makes a change in the same turn; meanwhile nothing is handed out.
   *
   * @param ids whose shares are recalled; null for all.
   */
  async recalling<T>(ids: readonly EventId[] | null, change: () => T): Promise<T> {
    this.#frozen += 1;
    try {
      const shares = this.#ledger.leases.shares.filter(({ id }) => !this.#known.get(id)?.isStopped);
      const wanted = new Set(ids?.map((id) => this.#ledger.leases.get(id)?.share));
      await Promise.all(
        shares.filter(({ id }) => ids === null || wanted.has(id)).map((share) => this.#stop(share)),
      );
      return change();
    } finally {
      this.#frozen -= 1;
    }
  }

  /** Nothing may start as it was planned: the service asks for a pause, or is probed. */
  stopAll(): void {
    for (const share of this.#ledger.leases.shares) {
      if (!this.#known.get(share.id)?.isStopped) void this.#stop(share);
    }
  }

  /** Resolves when nothing of a share starts any more: because its Lane says so, or by the clock. */
  #stop(share: Share): Promise<void> {
    const known = this.#known.get(share.id);
    if (known === undefined) return Promise.resolve();
    known.stopping ??= this.#recall(share, known);
    return known.stopping;
  }

  async #recall(share: Share, known: Known): Promise<void> {
    if (!known.isHanded) {
      known.isStopped = true;
      this.#giveBack(share.id);
      return;
    }
    for (let leftMs = untilMs(share); leftMs > 0; leftMs = untilMs(share)) {
      try {
        const recalled = await inTime(this.#host.lane(share.lane).recall(share.id), leftMs);
        this.#learn(share, recalled);
        // Where it is on its way still, a Lane that starts anew before it comes would not know that it was recalled.
        if (recalled.isKnown || recalled.isOver || known.isTaken) return;
      } catch (thrown) {
        logWarning("lane.not_recalled", { lane: share.lane, error: errorText(thrown) });
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(RECALL_AGAIN_MS, leftMs)));
    }
    known.isStopped = true;
  }
}

function untilMs({ lastStartAtMs }: Share): number {
  return lastStartAtMs - Date.now();
}
