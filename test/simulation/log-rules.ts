/** What must hold of an attempt log: it says what happened, all of it, and the schedule follows from it. */
import type { AttemptError, AttemptRecord } from "../../src/domain/delivery";
import { type Attempt, type Book, isOfLane } from "./book";
import { type Evidence, isSuccess, MAX_UNRECORDED } from "./evidence";
import { attemptLog, type Row } from "./look";
import type { Ending } from "./network";

const REDIRECTS = [301, 302, 303, 307, 308];

export class LogRules {
  readonly #evidence: Evidence;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  check(book: Book, before: Row | undefined, row: Row): void {
    const log = book.logOf(row.id);
    const name = `${row.id} of ${book.object.name}`;
    const lines = attemptLog(row);
    const last = lines.at(-1);
    this.#evidence.require(
      (last?.number ?? 0) === row.attempts,
      "attempts counted",
      `${name} has ${row.attempts} attempts and a log up to ${last?.number}`,
    );
    for (const line of lines) {
      if (line.number <= (before?.attempts ?? 0)) continue;
      log.set(line.number, line);
      this.#checkLine(book, row, line);
    }
    for (let number = 1; number <= row.attempts; number++) {
      this.#evidence.require(
        log.has(number),
        "attempts counted",
        `${name} has no attempt ${number}`,
      );
    }
    if (row.status === "delivered") {
      this.#evidence.require(
        last?.error === null,
        "delivered is a success",
        `${name}: ${last?.error}`,
      );
    }
    this.#checkFailures(book, row);
  }

  #checkLine(book: Book, row: Row, line: AttemptRecord): void {
    const attempt = book.attempt(row.id, line.number);
    const name = `attempt ${line.number} of ${row.id}`;
    const ending = attempt?.ending ?? null;
    if (line.error === "interrupted") {
      this.#checkInterrupted(book, attempt, name);
      return;
    }
    this.#evidence.require(
      attempt !== null && ending !== null && attempt.endedAtMs !== null,
      "recorded only what happened",
      `${name} is recorded as ${line.error ?? "a success"}, and has not come to an end`,
    );
    if (attempt === null || ending === null) return;
    this.#evidence.require(
      attempt.request.left || ending.status === null,
      "recorded only what happened",
      `${name} never left`,
    );
    this.#evidence.require(
      line.error === errorOf(ending) && line.statusCode === ending.status,
      "recorded as it was",
      `${name} came to ${ending.status ?? ending.reason} and is recorded as ${line.statusCode} ${line.error}`,
    );
    this.#evidence.require(
      line.startedAtMs === attempt.request.startedAtMs &&
        line.startedAtMs + line.durationMs === attempt.endedAtMs,
      "recorded as it was",
      `${name} has other times`,
    );
  }

  #checkInterrupted(book: Book, attempt: Attempt | null, name: string): void {
    const ending = attempt?.ending ?? null;
    const isShared = attempt === null ? book.hasLanes : isOfLane(attempt);
    if (ending?.reason !== "refused" && !isShared) book.interruptedInLife += 1;
    this.#evidence.require(
      book.interruptedInLife <= MAX_UNRECORDED,
      "twelve repeats per crash",
      `${book.object.name} closes ${book.interruptedInLife} after one crash`,
    );
    const refused = ending?.reason === "refused";
    // A Lane's report that was heard, and not taken by a full disk before the object crashed.
    const wasUnwritten = isShared && book.refusedWrites > 0 && book.object.crashes > 0;
    // Nobody has heard of it for as long as its Lane had for it: then a share may be closed, and its Lane forget it.
    const closesAtMs = attempt && book.closings.get(`${attempt.eventId} ${attempt.number}`);
    const isPast = isShared && this.#evidence.nowMs >= (closesAtMs ?? Number.POSITIVE_INFINITY);
    if ((wasUnwritten || isPast) && attempt !== null) attempt.lost = true;
    const unheard = attempt === null || attempt.lost;
    this.#evidence.require(
      refused || (unheard && (book.object.crashes > 0 || isShared)),
      "interrupted only by a crash",
      `${name} is recorded as interrupted`,
    );
  }

  /** The last answer is one of those that some version of the webhook gives up on. */
  #isGivenUp(book: Book, row: Row): boolean {
    const status = book.logOf(row.id).get(row.attempts)?.statusCode ?? 0;
    const versions = [...(this.#evidence.versions.get(book.object.name)?.values() ?? [])];
    return versions.some(({ giveUpOn }) => giveUpOn.includes(status));
  }

  #checkFailures(book: Book, row: Row): void {
    if (row.status === "cancelled") return;
    const name = `${row.id} of ${book.object.name}`;
    const { counted } = this.#evidence.failures(book, row);
    this.#evidence.require(
      counted.length === row.failures,
      "failures counted",
      `${name} has ${row.failures}, by its log ${counted.length} (${counted.join(" ")})`,
    );
    const schedules = this.#evidence.schedulesOf(book.object.name);
    if (row.status === "undeliverable") {
      this.#evidence.require(
        schedules.some(({ length }) => counted.length > length) || this.#isGivenUp(book, row),
        "undeliverable when the schedule is used up",
        `${name} after ${counted.length} failures`,
      );
    }
    const last = book.logOf(row.id).get(row.attempts);
    if (row.status !== "pending" || row.asked !== 0 || last === undefined) return;
    if (row.attempts <= (book.openedAt.get(row.id) ?? 0)) return;
    const retryAfterMs = book.attempt(row.id, row.attempts)?.ending?.retryAfterMs ?? 0;
    const waits = schedules.map((schedule) => schedule[counted.length - 1] ?? 0);
    const waitMs = counted.at(-1) === row.attempts ? Math.max(...waits) * 1.1 : 0;
    const latestMs = Math.max(last.startedAtMs + last.durationMs + waitMs, retryAfterMs + 15_000);
    this.#evidence.require(
      row.due_at !== null && row.due_at <= latestMs,
      "schedule never late",
      `${name} is due at ${row.due_at}, not by ${latestMs}`,
    );
  }
}

function errorOf(ending: Ending): AttemptError | null {
  if (isSuccess(ending)) return null;
  if (ending.status !== null) return REDIRECTS.includes(ending.status) ? "redirect" : "status";
  return ending.reason as AttemptError;
}
