/** What must hold of the deliveries that a Subscriber has stored, and of the alarm that sees to them. */
import type { Webhook } from "../../src/domain/webhook";
import type { Book } from "./book";
import { aboutOf } from "./events";
import { type Evidence, isSuccess, keyOf, MAX_PROBE_GAP_MS } from "./evidence";
import { LogRules } from "./log-rules";
import { Look, type Row } from "./look";
import type { SimulatedObject } from "./objects";

const MAX_BACKOFF_MS = 60_000;
/** An alarm that could start nothing may look again after so long. */
const IDLE_BACKOFF_MS = 1_000;
/** While the object or a Lane of it sends, the alarm is for a process that dies. */
const SENDING_MS = 10_000;
/** Sending it may have nothing leased so long. */
const UNLEASED_MS = 1_000;
const RECALLED_WITHIN_MS = 3_000;
const MAX_TIE_MS = 60_000;
const UNDELIVERABLE = "relay.delivery.undeliverable";

export class DeliveryRules {
  readonly #evidence: Evidence;
  readonly #log: LogRules;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
    this.#log = new LogRules(evidence);
  }

  check(book: Book): void {
    const { storage } = book.object;
    if (storage.writes !== book.writesSeen) {
      book.writesSeen = storage.writes;
      const look = Look.at(storage, "live");
      book.hasLanes ||= (look.run()?.shares.length ?? 0) > 0;
      this.#checkDeleted(book, look);
      this.#followSettings(book, look);
      this.#checkRows(book, look);
    }
    const clockwork = `${storage.writes} ${book.object.isInAlarm}`;
    if (clockwork !== book.clockworkSeen) {
      book.clockworkSeen = clockwork;
      this.#checkAlarm(book);
    }
    if (storage.commits !== book.commitsSeen) {
      book.commitsSeen = storage.commits;
      this.#checkAlarmOnDisk(book);
    }
    // What Lanes hold is recalled first: the change comes some steps after the call, whatever the clock does.
    const keptMs = book.hasLanes ? RECALLED_WITHIN_MS : 0;
    book.calls = book.calls.filter(({ atMs }) => atMs + keptMs > this.#evidence.passedMs);
  }

  /** A late push must not revive what was deleted. */
  #checkDeleted(book: Book, look: Look): void {
    const { name } = book.object;
    if (this.#evidence.floors.get(name) !== Number.POSITIVE_INFINITY) return;
    const settings = look.settings();
    this.#evidence.require(
      settings !== null && "deletedVersion" in settings && look.tables().length === 1,
      "deletion empties the object",
      `${name} has ${look.tables().join(", ")} again`,
    );
  }

  /** What a release or another URL does to the reckoning is the code's word; outcomes after it are judged again. */
  #followSettings(book: Book, look: Look): void {
    const settings = look.settings();
    const version = settings !== null && "version" in settings ? settings.version : 0;
    const saved = look.run()?.saved ?? 0;
    const isWritten = book.lateRun !== null && book.lateRun !== saved;
    if (version === book.settingsVersion && book.tiedAtMs === null && !isWritten) return;
    // What a full disk has not taken stands in the run's next write.
    if (version !== book.settingsVersion) book.lateRun = book.refusedWrites > 0 ? saved : null;
    else if (isWritten) book.lateRun = null;
    book.settingsVersion = version;
    const urlVersion = settings !== null && "urlVersion" in settings ? settings.urlVersion : null;
    this.#evidence.followStoredHealth(book, look, urlVersion);
    if (this.#isTieStored(book, look)) book.tiedAtMs = null;
  }

  /** Whether what is stored knows of all that ended in one millisecond; a minute later it does, or never will. */
  #isTieStored({ tiedAtMs, tiedSaved }: Book, look: Look): boolean {
    if (tiedAtMs === null) return true;
    const { health, saved = 0 } = look.run() ?? {};
    const { lastSuccessAtMs = null, lastFailure = null } = health ?? {};
    if (saved <= tiedSaved && this.#evidence.nowMs <= tiedAtMs + MAX_TIE_MS) return false;
    const storedAtMs = Math.min(lastSuccessAtMs ?? 0, lastFailure?.atMs ?? 0);
    return storedAtMs >= tiedAtMs || this.#evidence.nowMs > tiedAtMs + MAX_TIE_MS;
  }

  #checkRows(book: Book, look: Look): void {
    const rows = look.deliveries();
    if (rows !== book.rowsSeen) this.#checkChanges(book, rows, look);
    this.#checkFresh(book, rows, look);
  }

  #checkChanges(book: Book, rows: readonly Row[], look: Look): void {
    book.rowsSeen = rows;
    const before = book.rows;
    book.rows = new Map(rows.map((row) => [row.id, row]));
    this.#evidence.require(
      book.rows.size === rows.length,
      "one delivery per event",
      `${book.object.name} has one twice`,
    );
    const settings = look.settings();
    const deleted = settings !== null && "deletedVersion" in settings;
    for (const [id, row] of before) {
      if (book.rows.has(id) || deleted) continue;
      const keptForMs = this.#evidence.nowMs - (row.kept_from ?? row.created_at);
      this.#evidence.require(
        hasEnded(book, row) && keptForMs >= this.#evidence.world.retentionMs,
        "conservation",
        `${id} is gone from ${book.object.name}`,
      );
      book.forget(id, this.#evidence.nowMs);
    }
    for (const row of rows) this.#checkRow(book, before.get(row.id), row);
  }

  #checkRow(book: Book, before: Row | undefined, row: Row): void {
    if (before !== undefined && same(before, row)) return;
    const name = `${row.id} of ${book.object.name}`;
    this.#evidence.require(
      (row.status === "pending") === (row.has_body === 1),
      "a body is kept only while pending",
      `${name} is ${row.status}`,
    );
    this.#evidence.require(
      (row.status === "pending") === (row.completed_at === null),
      "completedAt",
      `${name} is ${row.status}`,
    );
    if (before === undefined) this.#checkArrival(book, row);
    else this.#checkTransition(book, before, row);
    if (before === undefined || before.attempts !== row.attempts)
      this.#log.check(book, before, row);
  }

  #checkArrival(book: Book, row: Row): void {
    const { name } = book.object;
    const event = this.#evidence.world.accepted.get(row.id)?.event;
    this.#evidence.require(
      event === undefined || aboutOf(event) !== name,
      "no own event goes to the webhook that it is about",
      `${row.id} is about ${name}`,
    );
    this.#evidence.require(
      row.attempts === 0,
      "conservation",
      `${row.id} begins with ${row.attempts}`,
    );
    this.#evidence.require(
      this.#evidence.owed.has(`${name} ${row.id}`),
      "a delivery is owed",
      `${row.id} is none of ${name}`,
    );
  }

  #checkTransition(book: Book, before: Row, row: Row): void {
    const name = `${row.id} of ${book.object.name}`;
    const methods = book.calls.map(({ method }) => method);
    this.#evidence.require(
      row.attempts >= before.attempts,
      "attempt numbers",
      `${name} goes from ${before.attempts} to ${row.attempts}`,
    );
    // What is in flight may be recorded and opened again in one step.
    const opened = row.status === "pending" && row.kept_from !== before.kept_from;
    if (opened || (before.status !== "pending" && before.status !== row.status)) {
      this.#evidence.require(
        row.status === "pending" && methods.includes("reopen"),
        "a finished delivery opens only when asked",
        `${name} goes from ${before.status} to ${row.status}`,
      );
      book.openedAt.set(row.id, row.attempts);
      if (row.attempts > before.attempts) {
        this.#evidence.uncounted.add(keyOf(UNDELIVERABLE, book.object.name));
      }
      this.#evidence.require(
        row.failures === 0,
        "a fresh schedule",
        `${name} has ${row.failures} failures`,
      );
      return;
    }
    if (before.status === row.status) return;
    if (row.status === "undeliverable") this.#noteUndeliverable(book, row);
    if (row.status !== "cancelled") return;
    const keptForMs = this.#evidence.nowMs - (before.kept_from ?? before.created_at);
    const asked = methods.some((method) => /^(cancel|discard|erase.*)$/.test(method));
    const expired = row.last_error === "expired" && keptForMs >= this.#evidence.world.retentionMs;
    this.#evidence.require(asked || expired, "nothing is dropped", `${name} is cancelled`);
  }

  #noteUndeliverable({ object }: Book, { id, attempts }: Row): void {
    if (this.#evidence.isOwnEvent(id)) return;
    const isLeft = (look: Look) => (look.delivery(id)?.attempts ?? 0) >= attempts;
    this.#evidence.happened(UNDELIVERABLE, object.name, { object, isLeft });
  }

  /** Fresh deliveries are found from the head on, or are leased: else they would wait for ever. */
  #checkFresh(book: Book, rows: readonly Row[], look: Look): void {
    const run = look.run();
    if (run === null) return;
    for (const row of rows) {
      if (row.status !== "pending" || row.due_at !== null) continue;
      const { head } = run;
      const ahead = row.seq > head.seq || (row.seq === head.seq && row.position >= head.index);
      const leased = look.leased().some(({ id }) => id === row.id);
      this.#evidence.require(
        ahead || leased,
        "nothing accepted is in no state",
        `${row.id} of ${book.object.name} is behind the head`,
      );
    }
  }

  // --- alarms -----------------------------------------------------------------------------------------------

  #checkAlarm(book: Book): void {
    const { object } = book;
    // What has newer data looks again each minute, whatever is due.
    if (object.isInAlarm || object.isBehind) return;
    const look = Look.at(object.storage, "live");
    const settings = look.settings();
    if (settings === null || !("status" in settings)) return;
    const { alarmAtMs } = object.storage;
    const run = look.run();
    const disabled = run?.health.disabled ?? null;
    const unreported = disabled !== null && settings.status !== "disabled";
    this.#evidence.require(
      !unreported || alarmAtMs !== null,
      "alarm",
      `${object.name} reports no disable`,
    );
    if (!mayGo(object, settings) || disabled !== null) return;
    const pending = [...book.rows.values()].filter(({ status }) => status === "pending");
    if (pending.length === 0) return;
    this.#evidence.require(
      alarmAtMs !== null,
      "an alarm while anything is pending",
      `${object.name} has ${pending.length} pending and no alarm`,
    );
    // When 0.1.0 probes, and how long it waits for a service that asked it to, is not what it is today.
    if (object.wasReleased) return;
    const wantedMs = this.#wakeAtMs(book, pending, settings, run);
    const lateMs = (alarmAtMs ?? 0) - Math.max(wantedMs, this.#evidence.nowMs);
    const idleMs = this.#maySend(book, look, lateMs) ? SENDING_MS : IDLE_BACKOFF_MS;
    const slackMs = book.refusedWrites > 0 ? MAX_BACKOFF_MS : idleMs;
    this.#evidence.require(
      lateMs <= slackMs,
      "the alarm is at the earliest due time",
      () => `${object.name} wakes ${lateMs} ms late`,
    );
  }

  /** Whether something is leased, or was a moment ago. */
  #maySend(book: Book, look: Look, lateMs: number): boolean {
    const { nowMs } = this.#evidence;
    const isLeased = look
      .leased()
      .some(({ id, number }) => (book.rows.get(id)?.attempts ?? number) < number);
    if (lateMs <= IDLE_BACKOFF_MS || isLeased) book.unleasedSinceMs = null;
    else book.unleasedSinceMs ??= nowMs;
    return nowMs - (book.unleasedSinceMs ?? nowMs) <= UNLEASED_MS;
  }

  #wakeAtMs(
    book: Book,
    pending: Row[],
    { ordered, rateLimit }: Webhook,
    run: ReturnType<Look["run"]>,
  ): number {
    const [first] = pending;
    const dueAtMs = (row: Row) => row.due_at ?? row.created_at;
    const earliestMs = ordered && first ? dueAtMs(first) : Math.min(...pending.map(dueAtMs));
    const { probing, lastProbeEndedAtMs, postponedUntilMs } = book.reckoning;
    const firstWaitMs = Math.max(
      ...this.#evidence.schedulesOf(book.object.name).map((schedule) => schedule[0] ?? 0),
    );
    return Math.max(
      earliestMs,
      postponedUntilMs ?? 0,
      probing ? (lastProbeEndedAtMs ?? 0) + Math.min(firstWaitMs, MAX_PROBE_GAP_MS) : 0,
      rateLimit === null ? 0 : (run?.nextStartAtMs ?? 0),
    );
  }

  #checkAlarmOnDisk(book: Book): void {
    const { object } = book;
    if (object.storage.alarmOnDiskAtMs !== null) return;
    const look = Look.at(object.storage, "disk");
    const settings = look.settings();
    if (settings === null || !("status" in settings) || settings.status !== "active") return;
    if ((look.run()?.health.disabled ?? null) !== null) return;
    // A crash takes its socket along.
    if (settings.url === "listener:") return;
    this.#evidence.require(
      !look.hasPending,
      "an alarm on disk while anything is pending",
      `${object.name} would never wake after a crash`,
    );
  }
}

/** It was so a step ago, or its service took it in this one: what is past its retention may go at once. */
function hasEnded(book: Book, { id, status, attempts }: Row): boolean {
  const { ending } = book.attempt(id, attempts + 1) ?? { ending: null };
  return status !== "pending" || (ending !== null && isSuccess(ending));
}

/** Neither held, nor without anybody who listens. */
function mayGo(object: SimulatedObject, { status, url }: Webhook): boolean {
  return status === "active" && (url !== "listener:" || object.isListenedTo);
}

function same(a: Row, b: Row): boolean {
  return (
    a.status === b.status &&
    a.attempts === b.attempts &&
    a.due_at === b.due_at &&
    a.asked === b.asked &&
    a.has_body === b.has_body &&
    a.failures === b.failures
  );
}
