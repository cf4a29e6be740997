/** The counters of a Subscriber, and what each change of a delivery makes of them. They are in the `run` row. */
import { countLatency, countOne, emptyHour } from "../../domain/counters";
import type { AttemptRecord, DeliveryStatus } from "../../domain/delivery";
import {
  addHappening,
  type Happening,
  isRelayEvent,
  type RelayEventName,
} from "../../domain/relay-events";
import { DAY_MS, HOUR_MS } from "../../domain/time";
import { countEnding, countOutcome } from "../../domain/totals";
import type { DeliveryLists } from "../../storage/delivery-lists";
import type { Retained } from "../../storage/delivery-retention";
import type { ListedDelivery } from "../../storage/delivery-tables";
import { isBefore, type Place } from "../../storage/position";
import type { Run } from "../../storage/run";
import type { RunStore } from "../../storage/run-store";

/** Counters of finished hours are kept for so long: what the charts can show. */
const MAX_HOURS_KEPT_MS = 31 * DAY_MS;

/** Rows of an index that are counted in one turn. */
const MAX_COUNTED = 5_000;

/** `log` where an attempt was made. */
export type Changed = ListedDelivery & { log?: AttemptRecord[] };

type TallyHost = {
  /** The `run` row is to be written. */
  changed(): void;
  /** A finished hour was not: it goes on, and its counters with it. */
  notWritten(thrown: unknown): void;
};

export class Tally {
  readonly #host: TallyHost;
  readonly #run: Run;
  readonly #runs: RunStore;

  constructor(run: Run, runs: RunStore, host: TallyHost) {
    this.#run = run;
    this.#runs = runs;
    this.#host = host;
  }

  /** Counts what became of a delivery; on disk with the next save, and a finished hour when the next one begins. */
  count(before: ListedDelivery, after: Changed): void {
    const isOver = this.#run.hour.atMs + HOUR_MS <= Date.now();
    if (isOver) this.#nextHour(Date.now());
    countChange(this.#run, before, after);
    if (isOver) this.#host.changed();
  }

  /** What `change` counts does not count where it throws. */
  countedOnlyIf(change: () => void): void {
    const before = structuredClone(this.#run);
    try {
      change();
    } catch (thrown) {
      Object.assign(this.#run, before);
      throw thrown;
    }
  }

  #nextHour(nowMs: number): void {
    const { hour } = this.#run;
    try {
      if (hour.atMs > 0) this.#runs.saveHour(hour, nowMs - MAX_HOURS_KEPT_MS);
      this.#run.hour = emptyHour(nowMs);
    } catch (thrown) {
      this.#host.notWritten(thrown);
    }
  }

  /** How many deliveries are undeliverable. What is not counted yet is, some rows of it in each turn. */
  undeliverable(lists: DeliveryLists): number {
    const { undeliverableTo: to, undeliverable } = this.#run;
    if (to !== null) {
      const found = lists.undeliverableAfter(to, MAX_COUNTED);
      for (const { period } of found) {
        undeliverable[period] = (undeliverable[period] ?? 0) + 1;
      }
      this.#run.undeliverableTo = found.length < MAX_COUNTED ? null : (found.at(-1) ?? null);
      this.#host.changed();
    }
    return Object.values(undeliverable).reduce((sum, count) => sum + count, 0);
  }

  get isCounted(): boolean {
    return this.#run.undeliverableTo === null;
  }

  /** Retention moved or dropped rows. */
  retained({ moving, undeliverable, dropped }: Retained): void {
    this.#run.moving = moving;
    for (const { from, to } of undeliverable) {
      countAt(this.#run, from, -1);
      countAt(this.#run, to, 1);
    }
    if (dropped !== null) delete this.#run.undeliverable[dropped];
    this.#host.changed();
  }

  // --- what is to be told -----------------------------------------------------------------------------------

  happened(event: RelayEventName): void {
    this.#run.happenings = addHappening(this.#run.happenings, event);
  }

  /** What happened since the Registry was told last, and what it did not answer to. */
  get happenings(): readonly Happening[] {
    return [...this.#run.told, ...this.#run.happenings];
  }

  /** The Registry is about to be told all of it: what happens meanwhile is told next time. */
  telling(): readonly Happening[] {
    this.#run.told = [...this.happenings];
    this.#run.happenings = [];
    return this.#run.told;
  }

  /** The Registry has it. That is kept though nobody asks: who asks later would hear of it as of something new. */
  told(): void {
    this.#run.told = [];
    this.#host.changed();
  }

  /** Says how many deliveries have ended: they were counted row by row. */
  recounted(ended: number): void {
    this.#run.ended = ended;
  }
}

/** Counts what became of a delivery: by an attempt, by a person, or because it expired. */
export function countChange(run: Run, before: ListedDelivery, after: Changed): void {
  const attempt = after.attempts > before.attempts ? after.log?.at(-1) : undefined;
  const endedAtMs = attempt === undefined ? Date.now() : attempt.startedAtMs + attempt.durationMs;
  if (attempt !== undefined) countAttempt(run, attempt);
  if (before.status === after.status) return;
  if (before.status === "pending") countEnd(run, after.status, endedAtMs);
  else if (after.status === "pending") run.ended -= 1;
  countUndeliverable(run, before, -1);
  countUndeliverable(run, after, 1);
  if (after.status === "undeliverable" && !isRelayEvent(after.event)) {
    run.happenings = addHappening(run.happenings, "relay.delivery.undeliverable", after.id);
  }
}

function countAttempt({ hour, totals }: Run, attempt: AttemptRecord): void {
  const { error, durationMs, startedAtMs } = attempt;
  countOutcome(totals, attempt);
  if (error === null) countLatency(hour, durationMs);
  else if (error !== "interrupted") countOne(hour, "failedAttempts", startedAtMs + durationMs);
}

function countEnd(run: Run, status: DeliveryStatus, endedAtMs: number): void {
  if (status === "pending") return;
  run.ended += 1;
  countEnding(run.totals, status);
  if (status === "delivered") countOne(run.hour, "delivered", endedAtMs);
  else run.hour[status] += 1;
}

function countUndeliverable(run: Run, { status, period, position }: ListedDelivery, by: 1 | -1) {
  if (status === "undeliverable") countAt(run, { period, ...position }, by);
}

/** By period: what goes with its table is not counted any more. What lies behind `undeliverableTo` is yet to be. */
function countAt({ undeliverable, undeliverableTo: to }: Run, at: Place, by: 1 | -1): void {
  const isAhead =
    to !== null && (at.period > to.period || (at.period === to.period && isBefore(to, at)));
  if (!isAhead) undeliverable[at.period] = (undeliverable[at.period] ?? 0) + by;
}
