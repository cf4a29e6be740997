/** The counters of a Subscriber, and what each change of a delivery makes of them. They are in the `run` row. */
import {
  countDelivered,
  countFailedAttempt,
  countLatency,
  emptyHour,
  HOUR_MS,
} from "../../domain/counters";
import type { AttemptRecord, DeliveryStatus } from "../../domain/delivery";
import {
  addHappening,
  type Happening,
  isRelayEvent,
  type RelayEventName,
} from "../../domain/relay-events";
import { countEnding, countOutcome } from "../../domain/totals";
import type { StoredDelivery } from "../../storage/delivery-tables";
import type { Run, RunStore } from "../../storage/run-store";

/** Counters of finished hours are kept for so long: what the charts can show. */
const MAX_HOURS_KEPT_MS = 31 * 24 * HOUR_MS;

export type TallyHost = {
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

  /** The running hour, what ever happened, what is undeliverable now (null: not counted yet). */
  get counts(): Pick<Run, "hour" | "totals" | "undeliverable"> {
    return this.#run;
  }

  /** Counts what became of a delivery; on disk with the next save, and a finished hour when the next one begins. */
  count(before: StoredDelivery, after: StoredDelivery): void {
    const isOver = this.#run.hour.atMs + HOUR_MS <= Date.now();
    if (isOver) this.#nextHour(Date.now());
    countChange(this.#run, before, after);
    if (isOver) this.#host.changed();
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

  /** What is undeliverable by period, counted row by row; null when it is to be counted anew. */
  setUndeliverable(byPeriod: Run["undeliverable"]): void {
    this.#run.undeliverable = byPeriod;
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

  /** The Registry has it. What nobody asks for costs no row: it is told again when the object starts anew. */
  told(isAskedFor: boolean): void {
    this.#run.told = [];
    if (isAskedFor) this.#host.changed();
  }

  /** Says how many deliveries have ended: they were counted row by row. */
  recounted(ended: number): void {
    this.#run.ended = ended;
  }
}

/** Counts what became of a delivery: by an attempt, by a person, or because it expired. */
export function countChange(run: Run, before: StoredDelivery, after: StoredDelivery): void {
  const attempt = after.attempts > before.attempts ? after.log.at(-1) : undefined;
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
  const { error, durationMs, startedAtMs, statusCode } = attempt;
  countOutcome(totals, { error, durationMs, answered: statusCode !== null });
  if (error === null) countLatency(hour, durationMs);
  else if (error !== "interrupted") countFailedAttempt(hour, startedAtMs + durationMs);
}

function countEnd(run: Run, status: DeliveryStatus, endedAtMs: number): void {
  if (status === "pending") return;
  run.ended += 1;
  countEnding(run.totals, status);
  if (status === "delivered") countDelivered(run.hour, endedAtMs);
  else run.hour[status] += 1;
}

/** By period: what goes with its table is not counted any more. */
function countUndeliverable({ undeliverable }: Run, of: StoredDelivery, by: 1 | -1): void {
  if (undeliverable === null || of.status !== "undeliverable") return;
  undeliverable[of.period] = (undeliverable[of.period] ?? 0) + by;
}
