/**
 * What a Subscriber says of itself when somebody looks, held against what is stored and what the judge has seen: the
 * rules of docs/contract.md for health, `waitingFor` and `nextAttemptAt`, written anew.
 */
import type { DeliveryView } from "../../src/domain/delivery";
import type { HealthReport } from "../../src/domain/health-report";
import type { Webhook } from "../../src/domain/webhook";
import type { Book } from "./book";
import { type Evidence, MAX_PROBE_GAP_MS } from "./evidence";
import { isBefore, Look, type Row } from "./look";
import type { SimulatedObject } from "./objects";

/** Of the Subscriber, what is asked here. */
type Told = {
  stats(sinceMs: number): { health: HealthReport };
  deliveries(query: { limit: number }): { deliveries: DeliveryView[] };
};

/** How a webhook stands, as the judge has it. */
type Account = {
  object: SimulatedObject;
  book: Book;
  settings: Webhook;
  pending: readonly Row[];
  /** Paused or disabled. */
  held: "disabled" | "paused" | null;
  unconnected: boolean;
  leased: ReadonlySet<string>;
  /** Of what is not leased, what has been due longest. */
  nextProbe: Row | null;
};

/** Answers of a person, not of the schedule. */
const BY_RETRY = 2;
const ALL = 1_000;
/** A time that is said may be over by so much. */
const SLACK_MS = 2_000;
const LATE_AFTER_MS = 60_000;

export class TruthRules {
  readonly #evidence: Evidence;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  /**
   * Call it as a call of the object itself.
   *
   * @returns when the next attempt of each delivery starts, as far as it is said.
   */
  check(object: SimulatedObject, told: Told): Map<string, number> {
    const { health } = told.stats(0);
    const { deliveries } = told.deliveries({ limit: ALL });
    const look = Look.at(object.storage, "live");
    const rows = look.deliveries();
    this.#checkCounts(object.name, health, rows);
    const settings = look.settings();
    const said = new Map<string, number>();
    if (settings === null || !("status" in settings)) return said;
    const account = this.#accountOf(object, settings, rows);
    this.#checkState(account, health);
    this.#checkTimes(account, health, deliveries);
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const view of deliveries) {
      this.#checkWaiting(account, view, byId.get(view.eventId));
      if (view.nextAttemptAtMs !== null) said.set(view.eventId, view.nextAttemptAtMs);
    }
    for (const gate of ["probe", "rate_limit"]) {
      const next = deliveries.filter(
        ({ waitingFor, nextAttemptAtMs }) => waitingFor === gate && nextAttemptAtMs !== null,
      );
      const about = () => `${next.length} of ${object.name} wait for ${gate} with a time`;
      this.#evidence.require(next.length <= 1, "one of those that wait goes next", about);
    }
    return said;
  }

  #accountOf(object: SimulatedObject, settings: Webhook, rows: readonly Row[]): Account {
    const look = Look.at(object.storage, "live");
    const run = look.run();
    const pending = rows.filter(({ status }) => status === "pending");
    const leased = new Set(look.leased().map(({ id }) => id));
    const free = pending.filter(({ id }) => !leased.has(id));
    const book = this.#evidence.book(object);
    // A 410 that a full disk has not taken holds all the same.
    const isGone = book.refusedWrites > 0 && book.reckoning.gone;
    const isStored = settings.status === "disabled" || (run?.health.disabled ?? null) !== null;
    const isDisabled = isStored || isGone;
    return {
      object,
      book,
      settings,
      pending,
      held: isDisabled ? "disabled" : settings.status === "paused" ? "paused" : null,
      unconnected: settings.url === "listener:" && !object.isListenedTo,
      leased,
      nextProbe: free.reduce<Row | null>((a, b) => (a === null || due(b) < due(a) ? b : a), null),
    };
  }

  #checkCounts(name: string, { pending, undeliverable }: HealthReport, rows: readonly Row[]): void {
    const countOf = (status: Row["status"]) => rows.filter((row) => row.status === status).length;
    const counted = `${countOf("pending")} pending, ${countOf("undeliverable")} undeliverable`;
    const said = `${pending} pending, ${undeliverable} undeliverable`;
    this.#evidence.require(
      said === counted,
      "health counts what is",
      `${name}: ${said}; ${counted}`,
    );
  }

  // --- health -----------------------------------------------------------------------------------------------

  #checkState(account: Account, { state, oldestDueAtMs }: HealthReport): void {
    const expected = this.#stateOf(account, oldestDueAtMs);
    this.#evidence.require(
      state === expected || account.book.isUnsure,
      "health says the state",
      () => `${account.object.name} is ${expected} and says ${state}`,
    );
  }

  /** The first that fits. */
  #stateOf(
    { book, held, unconnected }: Account,
    oldestDueAtMs: number | null,
  ): HealthReport["state"] {
    const { probing, postponedUntilMs, failing } = book.reckoning;
    const { nowMs } = this.#evidence;
    if (held !== null) return held;
    if (unconnected) return "unconnected";
    if (probing) return "probing";
    if ((postponedUntilMs ?? 0) > nowMs) return "postponed";
    if (failing) return "failing";
    return oldestDueAtMs !== null && oldestDueAtMs + LATE_AFTER_MS <= nowMs ? "late" : "healthy";
  }

  #checkTimes(account: Account, health: HealthReport, deliveries: readonly DeliveryView[]): void {
    const { object, book } = account;
    const about = () => `${object.name}: ${JSON.stringify(health)}`;
    const oldestDueAtMs = this.#oldestDueAtMs(account);
    this.#evidence.require(
      health.oldestDueAtMs === oldestDueAtMs || book.isUnsure,
      "health says what is due longest",
      () => `${oldestDueAtMs}, ${about()}`,
    );
    const { nextAttemptAtMs } = health;
    const isOfOne = deliveries.some((each) => each.nextAttemptAtMs === nextAttemptAtMs);
    // Of more than fit on a page it may be one of the others.
    const listed = deliveries.filter(({ status }) => status === "pending").length;
    this.#evidence.require(
      nextAttemptAtMs === null || isOfOne || listed < health.pending,
      "health says when the next goes",
      about,
    );
    // What Lanes report comes in another order than it ended.
    if (book.hasLanes || book.isUnsure) return;
    const { succeededAtMs, failedAtMs } = book.reckoning;
    this.#evidence.require(
      health.lastSuccessAtMs === succeededAtMs && (health.lastFailure?.atMs ?? null) === failedAtMs,
      "health says what came last",
      () => `${succeededAtMs} and ${failedAtMs}, ${about()}`,
    );
  }

  /** By the waits of schedule and Retry-After. */
  #oldestDueAtMs({ book, pending, held, unconnected }: Account): number | null {
    if (held !== null || unconnected || pending.length === 0) return null;
    const dueAtMs = Math.min(...pending.map(due));
    const askedAtMs = Math.min(...pending.filter(isAsked).map(due));
    return Math.min(askedAtMs, Math.max(dueAtMs, book.reckoning.postponedUntilMs ?? 0));
  }

  // --- what a delivery waits for ----------------------------------------------------------------------------

  #checkWaiting(account: Account, view: DeliveryView, row: Row | undefined): void {
    const { object } = account;
    const { eventId, status, waitingFor, nextAttemptAtMs } = view;
    const about = () => `${eventId} of ${object.name}: ${JSON.stringify(view)}`;
    const waits = status === "pending";
    this.#evidence.require(waits === (waitingFor !== null), "waits while it is pending", about);
    this.#evidence.require(
      nextAttemptAtMs === null || nextAttemptAtMs >= this.#evidence.nowMs - SLACK_MS,
      "no time lies in the past",
      about,
    );
    if (!waits || row === undefined) return;
    const isUnderWay = [...account.book.inFlight].some(
      (attempt) => attempt.eventId === eventId && !attempt.isTest && attempt.request.instance.alive,
    );
    this.#evidence.require(
      !isUnderWay || waitingFor === "attempt",
      "an attempt is under way",
      about,
    );
    // The request of one that has begun may be signed still.
    if (waitingFor === "attempt") return;
    const expected = this.#expected(account, row);
    // When a limit lets the next one go is the code's word.
    const isLimited = account.settings.rateLimit !== null && nextAttemptAtMs !== null;
    const atMs = isLimited && /^(rate_limit|probe)$/.test(`${waitingFor}`) ? "?" : nextAttemptAtMs;
    const said = `${waitingFor} ${atMs}`;
    this.#evidence.require(
      expected.includes(said) || account.book.isUnsure,
      "says what it waits for",
      () => `${expected.join(" or ")}; ${about()}`,
    );
  }

  /** What may be said of a delivery that no attempt is under way for: the first that fits, and its time. */
  #expected(account: Account, row: Row): string[] {
    const { book, settings, pending, held, unconnected } = account;
    if (held !== null) return ["hold null"];
    if (unconnected) return ["listener null"];
    if (settings.ordered && pending.some((other) => isBefore(other, row))) return ["order null"];
    const pauseEndsAtMs = isAsked(row) ? 0 : (book.reckoning.postponedUntilMs ?? 0);
    const opensAtMs = Math.max(due(row), pauseEndsAtMs);
    if (book.reckoning.probing && !isAsked(row))
      return this.#expectedProbe(account, row, opensAtMs);
    const isOpen = opensAtMs <= this.#evidence.nowMs;
    const gate = pauseEndsAtMs >= due(row) ? "retry_after" : "schedule";
    const said = isOpen ? "turn null" : `${gate} ${opensAtMs}`;
    return settings.rateLimit === null ? [said] : [said, "rate_limit ?", "rate_limit null"];
  }

  #expectedProbe(account: Account, row: Row, opensAtMs: number): string[] {
    const { settings, leased, nextProbe } = account;
    const isFirst = leased.has(row.id) || due(row) === due(nextProbe ?? row);
    if (!settings.ordered && !isFirst) return ["probe null"];
    const atMs = Math.max(opensAtMs, this.#probeAtMs(account));
    const said = atMs <= this.#evidence.nowMs ? "turn null" : `probe ${atMs}`;
    return [settings.rateLimit === null ? said : "probe ?", said, "probe null"];
  }

  #probeAtMs({ book, settings }: Account): number {
    const { lastProbeEndedAtMs } = book.reckoning;
    if (lastProbeEndedAtMs === null) return 0;
    const [firstWaitMs = 0] = this.#evidence.scheduleOf(settings);
    return lastProbeEndedAtMs + Math.min(firstWaitMs, MAX_PROBE_GAP_MS);
  }
}

function due({ due_at, created_at }: Row): number {
  return due_at ?? created_at;
}

/** A person asked for it by name. */
function isAsked({ asked }: Row): boolean {
  return asked === BY_RETRY;
}
