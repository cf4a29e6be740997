/** What must hold of every request: docs/contract.md, numbers 3, 4, 5 and 8 of what must always hold. */
import { createHmac } from "node:crypto";
import type { LaneReport } from "../../src/actors/lane";
import type { Webhook } from "../../src/domain/webhook";
import { type Attempt, type Book, FRESH_RECKONING, isOfLane, type Reckoning } from "./book";
import { type Evidence, isSuccess, keyOf, MAX_PROBE_GAP_MS, MAX_UNRECORDED } from "./evidence";
import { isBefore, Look, type Row } from "./look";
import type { Ending, Request, Witness } from "./network";

/** Requests of one object. */
const MAX_IN_FLIGHT = 6;
/** A commit takes up to 12 ms here, behind one that is under way. */
const MAX_COMMIT_MS = 24;
/** How late a Lane may start what has its time. */
const MAX_LATE_MS = 260;
const FAILURES_BEFORE_PROBING = 10;
const FAILURES_BEFORE_FAILING = 3;
const FAILING_WITHOUT_SUCCESS_MS = 300_000;

export class RequestRules implements Witness {
  readonly #evidence: Evidence;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  /** How many requests were made. */
  attempts = 0;

  starts(request: Request): void {
    const { object } = request.instance;
    if (object.className === "Registry") return;
    this.attempts += 1;
    const book = this.#evidence.book(object);
    const isLane = object.className === "Lane";
    book.hasLanes ||= isLane;
    const eventId = request.headers.get("webhook-id") ?? "";
    const number = Number(request.headers.get("x-relay-attempt"));
    const isTest = !this.#evidence.world.accepted.has(eventId);
    const used = this.#settingsUsed(book, request, isTest);
    const attempt: Attempt = {
      request,
      eventId,
      number,
      isTest,
      isOwn: this.#evidence.isOwnEvent(eventId),
      rateLimit: used?.rateLimit ?? null,
      urlVersion: used?.urlVersion ?? 0,
      startedWhileProbing: book.reckoning.probing,
      ending: null,
      endedAtMs: null,
      heard: !isLane,
      lost: false,
    };
    this.#checkConnections(book, request);
    if (isTest) {
      this.#evidence.require(number === 1, "test", `a test has attempt number ${number}`);
    } else {
      this.#evidence.require(
        !this.#evidence.persons.has(eventId),
        "nothing of an erased person leaves",
        `${eventId} starts attempt ${number} at ${book.object.name}`,
      );
      this.#checkStart(book, attempt, used);
      book.attemptsOf(eventId).push(attempt);
      book.last = attempt;
    }
    book.inFlight.add(attempt);
  }

  #checkStart(book: Book, attempt: Attempt, used: Webhook | null): void {
    const look = Look.at(book.object.storage, "live");
    const row = look.delivery(attempt.eventId);
    const name = `attempt ${attempt.number} of ${attempt.eventId}`;
    this.#evidence.require(
      row !== null,
      "conservation",
      `${name} is made for a delivery that is not stored`,
    );
    if (row === null) return;
    const run = look.run();
    const isIt = ({ id, number }: { id: string; number: number }) =>
      id === attempt.eventId && number === attempt.number;
    const lease = look.leased().find(isIt);
    this.#evidence.require(lease !== undefined, "lease", `${name} is not leased`);
    this.#checkBody(attempt);
    const saidMs = book.said.get(attempt.eventId) ?? 0;
    this.#evidence.require(
      saidMs <= this.#evidence.nowMs,
      "no attempt before the time that was said",
      `${name} was said to start at ${saidMs}`,
    );
    this.#checkDelivery(book, attempt, row);
    const { isOlder } = book.object;
    this.#checkConcurrency(book, attempt, (isOlder ? null : used?.concurrency) ?? MAX_IN_FLIGHT);
    if (lease?.trigger !== "manual") this.#checkSchedule(book, attempt, row);
    this.#checkRate(book, attempt);
    if (isOfLane(attempt)) {
      // What the service says to another Lane is known to this one when its share is recalled, or over.
      const share = run?.shares.find(({ attempts }) => attempts.some(isIt));
      this.#evidence.require(
        share !== undefined && this.#evidence.nowMs <= share.lastStartAtMs,
        "a share has an end",
        `${name} starts after it`,
      );
      return;
    }
    this.#evidence.require(
      (run?.health.disabled ?? null) === null && !book.reckoning.gone,
      "held",
      `${name} starts while the webhook is disabled`,
    );
    if (row.asked !== 2) {
      this.#evidence.require(
        (book.reckoning.postponedUntilMs ?? 0) <= this.#evidence.nowMs,
        "retry-after",
        `${name} starts before ${book.reckoning.postponedUntilMs}`,
      );
    }
    this.#checkProbing(book, attempt, row, look);
    if (used?.ordered) this.#checkOrder(attempt, row, look);
  }

  /** Bytes as they came in, signed by both schemes. */
  #checkBody({ request, eventId }: Attempt): void {
    const bodies = this.#evidence.world.accepted.get(eventId)?.bodies ?? [];
    const same = bodies.some((body) => Buffer.from(body).equals(request.body));
    this.#evidence.require(same, "byte-identical", `the body of ${eventId} was changed`);
  }

  #checkDelivery(book: Book, { eventId, number }: Attempt, row: Row): void {
    const name = `attempt ${number} of ${eventId}`;
    this.#evidence.require(
      row.status === "pending",
      "no attempt after the end",
      `${name}: ${row.status}`,
    );
    const earlier = book.attemptsOf(eventId);
    const opened = book.openedAt.get(eventId) ?? 0;
    for (const other of earlier) {
      this.#evidence.require(
        other.number < number || !other.request.left,
        "attempt numbers",
        `${name} follows attempt ${other.number}`,
      );
      const succeeded = other.ending !== null && isSuccess(other.ending) && !other.lost;
      this.#evidence.require(
        !succeeded || other.number <= opened,
        "no attempt after success",
        `${name} follows the success of attempt ${other.number}`,
      );
    }
    this.#evidence.require(
      number === row.attempts + 1,
      "attempt numbers",
      `${name}, but ${row.attempts} are stored`,
    );
  }

  /** The seventh would wait inside the platform, with its clock running. */
  #checkConnections(book: Book, asked: Request): void {
    const { instance } = asked;
    // A test of 0.1.0 went beside them.
    if (instance.object.isOlder || isFrame(asked)) return;
    const open = [...book.inFlight].filter(
      ({ request, ending }) =>
        request.instance === instance && ending === null && !isFrame(request),
    );
    this.#evidence.require(
      open.length < MAX_IN_FLIGHT,
      "six requests in an object",
      `${instance.name} makes one more`,
    );
  }

  #checkConcurrency(book: Book, { eventId, number }: Attempt, concurrency: number): void {
    let count = 0;
    for (const other of book.inFlight) {
      if (other.isTest) continue;
      count += 1;
      this.#evidence.require(
        other.eventId !== eventId,
        "one attempt in flight per delivery",
        `attempt ${number} of ${eventId} starts beside attempt ${other.number}`,
      );
    }
    this.#evidence.require(
      count < concurrency,
      "as many attempts in flight as the webhook allows",
      `${count} when ${eventId} starts`,
    );
  }

  #checkSchedule(book: Book, { eventId, number }: Attempt, row: Row): void {
    const last = book.logOf(eventId).get(row.attempts);
    if (last === undefined || row.attempts <= (book.openedAt.get(eventId) ?? 0)) return;
    const failures = this.#evidence.failures(book, row);
    const counted = failures.counted.at(-1) === row.attempts;
    const waits = this.#evidence
      .schedulesOf(book.object.name)
      .map((schedule) => schedule[failures.counted.length - 1] ?? 0);
    const waitMs = counted ? Math.min(...waits) : 0;
    const dueAtMs = last.startedAtMs + last.durationMs + waitMs;
    this.#evidence.require(
      this.#evidence.nowMs >= dueAtMs,
      "schedule never early",
      () => `attempt ${number} of ${eventId} starts ${dueAtMs - this.#evidence.nowMs} ms early`,
    );
  }

  #checkProbing(book: Book, { eventId, number }: Attempt, row: Row, look: Look): void {
    const { probing, lastProbeEndedAtMs } = book.reckoning;
    // What a person asked for by name goes beside a probe, and counts as one.
    if (!probing || row.asked === 2) return;
    const name = `attempt ${number} of ${eventId}`;
    const beside = [...book.inFlight].filter(
      ({ startedWhileProbing, isTest }) => startedWhileProbing && !isTest,
    );
    this.#evidence.require(
      beside.length === 0,
      "probing one at a time",
      `${name} starts beside another`,
    );
    const gapMs = Math.min(
      MAX_PROBE_GAP_MS,
      ...this.#evidence.schedulesOf(book.object.name).map((schedule) => schedule[0] ?? 0),
    );
    this.#evidence.require(
      lastProbeEndedAtMs === null || this.#evidence.nowMs >= lastProbeEndedAtMs + gapMs,
      "probing spaced",
      `${name} starts ${this.#evidence.nowMs - (lastProbeEndedAtMs ?? 0)} ms after the last`,
    );
    const dueAtMs = row.due_at ?? row.created_at;
    // What a full disk did not take stays leased: it was tried, and is due later than its row says.
    const leased = new Set(look.leased().map(({ id }) => id as string));
    const earlier = look
      .deliveries()
      .find(
        (other) =>
          other.status === "pending" &&
          !leased.has(other.id) &&
          (other.due_at ?? other.created_at) < dueAtMs,
      );
    const settings = look.settings();
    const ordered = settings !== null && "ordered" in settings && settings.ordered;
    this.#evidence.require(
      earlier === undefined || ordered,
      "probing what is due first",
      `${name} goes before ${earlier?.id}`,
    );
  }

  #checkRate(book: Book, { eventId, number, rateLimit, request }: Attempt): void {
    if (rateLimit === null || book.last === null || book.last.rateLimit !== rateLimit) {
      book.starts = [this.#evidence.nowMs];
      return;
    }
    book.starts.push(this.#evidence.nowMs);
    if (book.hasLanes) {
      this.#checkRateOfLanes(book, rateLimit);
      return;
    }
    const sinceMs = this.#evidence.nowMs - book.last.request.startedAtMs;
    // After a crash it is known when the one before was to leave: it waited for its commit then.
    const isOfOneLife = book.last.request.instance === request.instance;
    this.#evidence.require(
      sinceMs >= 1_000 / rateLimit - (isOfOneLife ? 1e-3 : MAX_COMMIT_MS),
      "rate limit",
      `attempt ${number} of ${eventId} starts ${sinceMs} ms after the one before, at ${rateLimit}/s`,
    );
  }

  /** Each Lane keeps to the times that it was given: one may be late, and the limit holds over several. */
  #checkRateOfLanes({ starts, object }: Book, rateLimit: number): void {
    const last = starts.slice(-11);
    for (const [index, atMs] of last.entries()) {
      const count = last.length - 1 - index;
      const sinceMs = this.#evidence.nowMs - atMs;
      this.#evidence.require(
        sinceMs >= (count * 1_000) / rateLimit - MAX_LATE_MS,
        "rate limit",
        `${count} attempts of ${object.name} in ${sinceMs} ms, at ${rateLimit}/s`,
      );
    }
  }

  #checkOrder({ eventId, number }: Attempt, row: Row, look: Look): void {
    const earlier = look
      .deliveries()
      .find((other) => other.status === "pending" && isBefore(other, row));
    this.#evidence.require(
      earlier === undefined,
      "order",
      `attempt ${number} of ${eventId} goes before ${earlier?.id}`,
    );
  }

  /** The settings that the object goes by; they must be in force, and the request must be made by them. */
  #settingsUsed(book: Book, request: Request, isTest: boolean): Webhook | null {
    const id = book.object.name;
    const floor = this.#evidence.floors.get(id) ?? 0;
    if (request.instance.object.className === "Lane")
      return this.#settingsOfLane(book, floor, request);
    const settings = Look.at(book.object.storage, "live").settings();
    if (settings === null || "deletedVersion" in settings) {
      this.#evidence.violated("no attempt after deletion", `${id} makes a request`);
      return null;
    }
    this.#evidence.require(
      settings.version >= floor,
      "settings in force",
      `a request of ${id} goes by version ${settings.version}, and ${floor} was acknowledged`,
    );
    const mismatch = mismatchOf(settings, request, isTest);
    this.#evidence.require(
      mismatch === null,
      "settings in force",
      `a request of ${id} is not by version ${settings.version}: ${mismatch}`,
    );
    return settings;
  }

  /** A Lane goes by what its share says, which is recalled before another version is in force. */
  #settingsOfLane(
    { object: { name: id, storage } }: Book,
    floor: number,
    request: Request,
  ): Webhook | null {
    const possible = [...(this.#evidence.versions.get(id)?.values() ?? [])].filter(
      (webhook) => webhook.version >= floor && mismatchOf(webhook, request, false) === null,
    );
    // A request does not tell versions apart that differ in what no header says.
    const settings = Look.at(storage, "live").settings();
    const inForce = settings !== null && "version" in settings ? settings.version : null;
    const used = possible.find(({ version }) => version === inForce) ?? possible[0];
    this.#evidence.require(
      used !== undefined,
      "settings in force",
      `a request of ${request.instance.name} is by no version from ${floor} on`,
    );
    return used ?? null;
  }

  // --- a request goes on ------------------------------------------------------------------------------------

  leaves(request: Request): void {
    const { object } = request.instance;
    if (object.className === "Registry") return;
    const book = this.#evidence.book(object);
    const attempt = book.attemptFor(request);
    if (attempt === null || attempt.isTest) return;
    const look = Look.at(book.object.storage, "disk");
    const leased = look
      .leased()
      .some(({ id, number }) => id === attempt.eventId && number === attempt.number);
    this.#evidence.require(
      leased,
      "lease on disk before the request leaves",
      `attempt ${attempt.number} of ${attempt.eventId}`,
    );
    book.unrecorded = book.unrecorded.filter(
      ({ eventId, number }) => (look.delivery(eventId)?.attempts ?? number) < number,
    );
    book.unrecorded.push(attempt);
    // What a Lane has reported, and a full disk does not take for long, the Subscriber keeps: the Lane repeats none of it.
    const isKept = ({ heard }: Attempt) => heard && book.refusedWrites > 0;
    const own = book.unrecorded.filter(
      (each) => each.request.instance.object === object && !isKept(each),
    );
    this.#evidence.require(
      own.length <= MAX_UNRECORDED,
      "twelve repeats per crash",
      `a crash would repeat ${own.length} deliveries of ${object.name}`,
    );
    this.#evidence.require(
      book.unrecorded.length <= 2 * this.#evidence.concurrencyOf(book.object.name),
      "twice the concurrency repeated per crash",
      `crashes would repeat ${book.unrecorded.length} deliveries of ${book.object.name}`,
    );
  }

  arrives(): void {}

  answered(request: Request, ending: Ending): void {
    if (request.instance.object.className === "Registry") return;
    const attempt = this.#evidence.book(request.instance.object).attemptFor(request);
    if (attempt !== null) attempt.ending = ending;
  }

  ends(request: Request): void {
    if (request.instance.object.className === "Registry") return;
    const book = this.#evidence.book(request.instance.object);
    const attempt = book.attemptFor(request);
    if (attempt === null) return;
    book.inFlight.delete(attempt);
    attempt.endedAtMs = this.#evidence.nowMs;
    if (!isOfLane(attempt)) this.#reckon(book, attempt);
  }

  /** A Lane reports: from now on what the service said counts. */
  told(book: Book, reports: readonly LaneReport[]): void {
    const look = Look.at(book.object.storage, "live");
    for (const { id, number } of reports.flatMap(({ outcomes }) => outcomes)) {
      const attempt = book.attempt(id, number);
      if (attempt === null || attempt.heard) continue;
      if ((look.delivery(id)?.attempts ?? number) >= number) continue;
      attempt.heard = true;
      attempt.lost = false;
      this.#reckon(book, attempt);
    }
  }

  #reckon(book: Book, attempt: Attempt): void {
    const { ending } = attempt;
    if (ending === null || ending.reason === "refused") return;
    const look = Look.at(book.object.storage, "live");
    const settings = look.settings();
    // Another URL is another service: what the old one says counts for its delivery only.
    if (settings === null || !("urlVersion" in settings)) return;
    if (settings.urlVersion !== attempt.urlVersion) return;
    const givesUp = ending.status !== null && settings.giveUpOn.includes(ending.status);
    if (givesUp && !book.object.isOlder) return;
    const endedAtMs = attempt.endedAtMs ?? this.#evidence.nowMs;
    const before = book.reckoning;
    book.reckoning = reckoned(before, attempt, ending, endedAtMs);
    const { succeededAtMs, failedAtMs } = book.reckoning;
    if (succeededAtMs !== null && succeededAtMs === failedAtMs) book.tiedAtMs = succeededAtMs;
    if (book.tiedAtMs !== null) book.tiedSaved = look.run()?.saved ?? 0;
    this.#noteNews(book, before);
  }

  /** Told is that probing began, by failures of Leadterra's events, and that this is over. */
  #noteNews({ object, reckoning, isUnsure }: Book, before: Reckoning): void {
    if (isUnsure) {
      for (const news of ["failing", "recovered"]) {
        this.#evidence.uncounted.add(keyOf(`relay.webhook.${news}`, object.name));
      }
    }
    if (reckoning.told === before.told || (before.told ?? reckoning.told) !== "failing") return;
    const saved = Look.at(object.storage, "live").run()?.saved ?? 0;
    const isLeft = (look: Look) => (look.run()?.saved ?? 0) > saved;
    const event = `relay.webhook.${before.told === null ? "failing" : "recovered"}`;
    this.#evidence.happened(event, object.name, { object, isLeft });
  }
}

/** No request, and so none of the six. */
function isFrame({ url }: Request): boolean {
  return url.protocol === "listener:";
}

/** What the end of an attempt says of the service. */
function reckoned(before: Reckoning, attempt: Attempt, ending: Ending, nowMs: number): Reckoning {
  const { pauseAskedAtMs } = before;
  if (attempt.isTest) return isSuccess(ending) ? { ...before, lastProbeEndedAtMs: null } : before;
  if (isSuccess(ending)) {
    // One that was under way when the service asked for a pause does not end it.
    const stands = pauseAskedAtMs !== null && attempt.request.startedAtMs <= pauseAskedAtMs;
    const postponedUntilMs = stands ? before.postponedUntilMs : null;
    const { gone, failedAtMs } = before;
    // A Lane may tell of one that was before the last.
    const succeededAtMs = latest(before.succeededAtMs, nowMs);
    const ended = { succeededAtMs, failedAtMs };
    return { ...FRESH_RECKONING, ...ended, postponedUntilMs, pauseAskedAtMs, gone };
  }
  const failuresInARow = before.failuresInARow + 1;
  const probing = before.probing || failuresInARow >= FAILURES_BEFORE_PROBING;
  return {
    failuresInARow,
    failing: before.failing || isFailing(before, failuresInARow, nowMs),
    probing,
    succeededAtMs: before.succeededAtMs,
    failedAtMs: nowMs,
    lastProbeEndedAtMs: probing ? nowMs : null,
    told: toldOf(before, probing, attempt),
    postponedUntilMs: Math.max(before.postponedUntilMs ?? 0, ending.retryAfterMs ?? 0) || null,
    pauseAskedAtMs: ending.retryAfterMs === null ? pauseAskedAtMs : nowMs,
    gone: before.gone || ending.status === 410,
  };
}

/** That the relay's own events fail is not told, or there would be no end of it. */
function toldOf(before: Reckoning, probing: boolean, { isOwn }: Attempt): Reckoning["told"] {
  return before.told ?? (probing && !isOwn ? "failing" : null);
}

function latest(knownMs: number | null, atMs: number): number {
  return Math.max(knownMs ?? 0, atMs);
}

function isFailing({ succeededAtMs }: Reckoning, failuresInARow: number, nowMs: number): boolean {
  const isAlone = nowMs - (succeededAtMs ?? 0) > FAILING_WITHOUT_SUCCESS_MS;
  return failuresInARow >= FAILURES_BEFORE_FAILING || isAlone;
}

/** Why the request was not made by this version of the webhook; null when it was. */
function mismatchOf(webhook: Webhook, request: Request, isTest: boolean): string | null {
  const { headers, body, startedAtMs } = request;
  if (webhook.status !== "active" && !isTest) return webhook.status;
  if (webhook.url !== request.url.href) return "another URL";
  for (const [name, value] of Object.entries(webhook.headers)) {
    if (headers.get(name) !== value) return `another ${name}`;
  }
  const live = webhook.secrets
    .filter(({ expiresAtMs }) => expiresAtMs === null || expiresAtMs > startedAtMs)
    .map(({ value }) => value);
  const signed = `${headers.get("webhook-id")}.${headers.get("webhook-timestamp")}.`;
  const standard = [...live].reverse().map((secret) => {
    const key = Buffer.from(secret.slice("whsec_".length), "base64");
    return `v1,${createHmac("sha256", key).update(signed).update(body).digest("base64")}`;
  });
  if (headers.get("webhook-signature") !== standard.join(" ")) return "another webhook-signature";
  const leadterra = createHmac("sha256", live[0] ?? "")
    .update(body)
    .digest("hex");
  return headers.get("x-leadterra-signature") === leadterra
    ? null
    : "another x-leadterra-signature";
}
