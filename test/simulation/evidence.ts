/** What the judge knows, and the way to say that something does not hold. Shared by all rules. */
import type { AttemptRecord } from "../../src/domain/delivery";
import type { Webhook } from "../../src/domain/webhook";
import { type Attempt, Book, FRESH_RECKONING } from "./book";
import { isOwn, type SourceEvent } from "./events";
import { attemptLog, type Look, type Row } from "./look";
import type { Ending } from "./network";
import type { SimulatedObject } from "./objects";
import type { Scheduler } from "./scheduler";

export class Violation extends Error {
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
  }
}

/** One event as the source gave it, with every body that was accepted for it. */
export type AcceptedEvent = { event: SourceEvent; bodies: Uint8Array[]; atMs: number };

/** What one of the relay's own events is to tell. */
export type Happening = {
  event: string;
  /** The webhook that it is about. */
  subject: string;
  /** Where it happened. */
  object: SimulatedObject;
  /** The routing table of then, an index of `routings`. */
  routing: number;
  /** Whether a crash has left it on disk. */
  isLeft: (look: Look) => boolean;
};

export type World = {
  scheduler: Scheduler;
  objects: ReadonlyMap<string, SimulatedObject>;
  objectOf(className: string, name: string): SimulatedObject | null;
  accepted: ReadonlyMap<string, AcceptedEvent>;
  hasFaults: boolean;
  retentionMs: number;
};

/** What a crash may repeat. */
export const MAX_UNRECORDED = 12;
/** A dead service is asked so often at least, however long the schedule waits first. */
export const MAX_PROBE_GAP_MS = 60_000;
const FREE_INTERRUPTIONS = 3;
const DEFAULT_SCHEDULE_MS = [60_000, 300_000, 1_800_000, 7_200_000, 28_800_000];

export class Evidence {
  readonly world: World;
  violation: Violation | null = null;
  readonly books = new Map<string, Book>();
  /** Every version of every webhook that was ever stored. */
  readonly versions = new Map<string, Map<number, Webhook>>();
  readonly deleted = new Set<string>();
  /** The version that a person was told is in force; Infinity for a deletion. */
  readonly floors = new Map<string, number>();
  /** Every routing table that there was. */
  readonly routings: Webhook[][] = [];
  /** Webhook and event of every delivery that may be. */
  readonly owed = new Set<string>();
  readonly erased = new Set<string>();
  /** Events of which the platform dropped a message at the end of its retention. */
  readonly expired = new Set<string>();
  /** Events whose dead letter did not say whom they were owed to, and was redriven. */
  readonly redrivenAnew = new Set<string>();
  /** Events of persons of whom somebody was told that nothing is left. */
  readonly persons = new Set<string>();
  /** How many calls that bring bodies to objects are under way. */
  handingOver = 0;
  readonly secrets = new Set<string>();
  /** All that one of the relay's own events is to tell, but for what a crash undid. */
  readonly happenings: Happening[] = [];
  /** Event and webhook of all that ever happened; and of what only the code knows how often it did. */
  readonly everHappened = new Set<string>();
  readonly uncounted = new Set<string>();

  constructor(world: World) {
    this.world = world;
  }

  violated(invariant: string, detail: string): void {
    this.violation ??= new Violation(invariant, detail);
  }

  require(holds: boolean, invariant: string, detail: string | (() => string)): void {
    if (!holds && this.violation === null) {
      this.violated(invariant, typeof detail === "string" ? detail : detail());
    }
  }

  /** Something happened that one of the relay's own events tells. */
  happened(event: string, subject: string, of: Pick<Happening, "object" | "isLeft">): void {
    const routing = Math.max(0, this.routings.length - 1);
    this.happenings.push({ event, subject, routing, ...of });
    this.everHappened.add(keyOf(event, subject));
  }

  isOwnEvent(eventId: string): boolean {
    const accepted = this.world.accepted.get(eventId);
    return accepted !== undefined && isOwn(accepted.event);
  }

  get nowMs(): number {
    return this.world.scheduler.nowMs;
  }

  /** As {@link nowMs}, by a clock that never jumped. */
  get passedMs(): number {
    return this.nowMs - this.world.scheduler.jumpedMs;
  }

  /** The account of a Subscriber; of a Lane that of its Subscriber. */
  book(given: SimulatedObject): Book {
    const object = this.#subscriberOf(given);
    let book = this.books.get(object.name);
    if (book === undefined) {
      book = new Book(object);
      this.books.set(object.name, book);
    }
    return book;
  }

  #subscriberOf(object: SimulatedObject): SimulatedObject {
    if (object.className !== "Lane") return object;
    const [, id = ""] = object.name.split(":");
    const subscriber = this.world.objectOf("Subscriber", id);
    if (subscriber === null) throw new Error(`${object.name} has no Subscriber`);
    return subscriber;
  }

  /** The most attempts at once that any version of the webhook allows. */
  concurrencyOf(id: string): number {
    const versions = [...(this.versions.get(id)?.values() ?? [])];
    return Math.max(6, ...versions.map(({ concurrency }) => concurrency));
  }

  /** Whether the webhook's deliveries go to whoever listens. */
  isListener(id: string): boolean {
    const versions = [...(this.versions.get(id)?.values() ?? [])];
    return versions.some(({ url }) => url === "listener:");
  }

  schedulesOf(id: string): number[][] {
    const versions = [...(this.versions.get(id)?.values() ?? [])];
    return versions.length === 0
      ? [DEFAULT_SCHEDULE_MS]
      : versions.map((webhook) => this.scheduleOf(webhook));
  }

  scheduleOf({ retrySchedule }: Pick<Webhook, "retrySchedule">): number[] {
    return retrySchedule === null ? DEFAULT_SCHEDULE_MS : retrySchedule.split(" ").map(durationMs);
  }

  /**
   * Takes the code's word: what the run says, and the successes that only their own rows tell yet.
   *
   * @param urlVersion of which successes count; null of all: an object that starts cannot tell them apart.
   */
  followStoredHealth(book: Book, look: Look, urlVersion: number | null): void {
    const health = look.run()?.health;
    const successes = look.leased().flatMap(({ id, number }) => {
      const row = look.delivery(id);
      const last = row === null ? undefined : attemptLog(row).at(-1);
      const attempt = book.attempt(id, number);
      if (urlVersion !== null && attempt !== null && attempt.urlVersion !== urlVersion) return [];
      return last?.number === number && last.error === null ? [endOf(last)] : [];
    });
    const succeededAtMs = Math.max(health?.lastSuccessAtMs ?? 0, ...successes) || null;
    book.reckoning =
      health === undefined
        ? { ...FRESH_RECKONING, succeededAtMs }
        : {
            succeededAtMs,
            failedAtMs: health.lastFailure?.atMs ?? null,
            failing: (health.failingFromMs ?? null) !== null,
            failuresInARow: health.failuresInARow,
            probing: health.probing,
            lastProbeEndedAtMs: health.lastProbeEndedAtMs,
            postponedUntilMs: health.postponedUntilMs,
            pauseAskedAtMs: health.pauseAskedAtMs,
            told: health.told ?? null,
            gone: health.disabled === "gone",
          };
  }

  /** The attempts that count towards the schedule since the delivery was opened. */
  failures(book: Book, row: Row): { counted: number[] } {
    const log = book.logOf(row.id);
    const isListener = this.isListener(book.object.name);
    const counted: number[] = [];
    let interruptions = 0;
    for (let number = (book.openedAt.get(row.id) ?? 0) + 1; number <= row.attempts; number++) {
      const line = log.get(number);
      if (line === undefined) continue;
      const isInterrupted = line.error === "interrupted";
      const isCutShort = isListener && !ranOut(line, book.attempt(row.id, number));
      interruptions = isInterrupted ? interruptions + (isCutShort ? 0 : 1) : 0;
      const isFree = isInterrupted && (isCutShort || interruptions <= FREE_INTERRUPTIONS);
      if (isFree || line.error === null || line.statusCode === 410) continue;
      counted.push(number);
    }
    return { counted };
  }
}

/** Of one of the relay's own events; `subject` null of a dead letter. */
export function keyOf(event: string, subject: string | null): string {
  return `${event} ${subject ?? ""}`;
}

export function isSuccess({ status }: Ending): boolean {
  return status !== null && status >= 200 && status <= 299;
}

/**
 * Whether it is recorded that the attempt's time was over. A lease that a crash left behind is closed as if it had
 * begun and ended at once, which may be in the very millisecond in which its time was over.
 */
function ranOut(line: AttemptRecord, attempt: Attempt | null): boolean {
  const isClosed = line.durationMs === 0;
  return !isClosed && attempt?.ending?.ranOut === true && endOf(line) === attempt.endedAtMs;
}

function endOf({ startedAtMs, durationMs }: AttemptRecord): number {
  return startedAtMs + durationMs;
}

function durationMs(text: string): number {
  const unit = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[text.at(-1) ?? ""] ?? 0;
  return Number(text.slice(0, -1)) * unit;
}
