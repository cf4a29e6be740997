/** The list of a webhook's attempts: each that a delivery's log holds stands in it once, and newer ones stand before older ones. */
import type { AttemptPage, AttemptPlace, ListedAttempt } from "../../src/storage/attempt-list";
import type { Evidence } from "./evidence";
import { attemptLog, Look } from "./look";
import type { SimulatedObject } from "./objects";

/** Of the Subscriber, what is asked here. */
type Told = { attempts(before: AttemptPlace | null, limit: number): AttemptPage };

const PER_PAGE = 7;
/**
 * First attempts start in the order of arrival, but for what was given back by a crash or by Lanes from among what was
 * sent; the others are in the order in which they ended, at most a timeout of a minute after they started.
 */
const MAX_DISORDER_MS = 70_000;

export class AttemptRules {
  readonly #evidence: Evidence;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  /** Call it as a call of the object itself. */
  check(object: SimulatedObject, told: Told): void {
    const pages = [...pagesOf(told)];
    const keys = pages.flat().map(({ eventId, attempt }) => `${eventId}/${attempt.number}`);
    this.#evidence.require(
      new Set(keys).size === keys.length,
      "each attempt is listed once",
      () => `${object.name} lists ${keys.filter((key, at) => keys.indexOf(key) !== at)[0]} twice`,
    );
    const book = this.#evidence.book(object);
    if (!book.keptAll || book.refusedWrites > 0) return;
    const missing = logged(object).filter((key) => !keys.includes(key));
    this.#evidence.require(
      missing.length === 0,
      "each attempt is listed",
      () => `${object.name} does not list ${missing[0]}, and lists ${keys.length}`,
    );
    if (object.crashes > 0 || book.hasLanes) return;
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const page of pages) {
      const starts = page.map(({ attempt }) => attempt.startedAtMs);
      this.#evidence.require(
        Math.max(...starts) <= oldestMs + MAX_DISORDER_MS,
        "newer attempts are listed first",
        () => `${object.name} has one of ${Math.max(...starts)} behind one of ${oldestMs}`,
      );
      oldestMs = Math.min(oldestMs, ...starts);
    }
  }
}

function* pagesOf(told: Told): Generator<ListedAttempt[]> {
  for (let before: AttemptPlace | null = null; ; ) {
    const { attempts, next }: AttemptPage = told.attempts(before, PER_PAGE);
    yield attempts;
    if (next === null) return;
    before = next;
  }
}

function logged({ storage }: SimulatedObject): string[] {
  const rows = Look.at(storage, "live").deliveries();
  // What retention moved is listed no more, but for its retries.
  const inPlace = rows.filter(({ created_at, period }) => created_at >= period);
  return inPlace.flatMap((row) => attemptLog(row).map(({ number }) => `${row.id}/${number}`));
}
