/**
 * The account of a run with crashes: per (webhook, event id), what each receiver should have got, held against
 * what it got and what the relay says about it. A life is the time between two crashes, counted from 0.
 */
import type { ReceivedRequest } from "../../scripts/receiver.ts";

/** What a crash may repeat of a webhook: what is in flight, and as many answered but not yet on disk. */
const REPEATED_PER_SLOT = 2;
export const MAX_REPEATED_PER_CRASH = 6 * REPEATED_PER_SLOT;
/** A success this long before a crash is on disk, whatever else the machine does. */
const SURELY_RECORDED_MS = 5_000;
/** A Subscriber is busy at a crash when its webhook was asked within so long before. */
const BUSY_MS = 1_500;
/** The attempt log of a delivery keeps its last 20. */
const LOGGED_ATTEMPTS = 20;

export type AcceptedEvent = { id: string; body: Buffer };

export type Request = ReceivedRequest & { life: number };

/** An entry of the attempt log, as the API shows it. */
export type LoggedAttempt = {
  number: number;
  trigger: string;
  statusCode: number | null;
  error: string | null;
};

export type ReportedDelivery = {
  eventId: string;
  status: string;
  attempts: number;
  attemptLog: readonly LoggedAttempt[];
};

export type Side = {
  name: string;
  /** What the webhook is owed, in the order in which its Subscriber has it. */
  owed: readonly AcceptedEvent[];
  ordered: boolean;
  /** Whether it never answers: nothing can be said about what has arrived in the end. */
  hangs: boolean;
  /** How many attempts it may have in flight; 6 unless it is told. */
  concurrency?: number;
  requests: readonly Request[];
  /** All deliveries that the relay has for the webhook, in the order of arrival. */
  reported: readonly ReportedDelivery[];
  /** When each life ended in a crash, Unix milliseconds. */
  crashes: readonly number[];
};

export type SideAccount = {
  name: string;
  owed: number;
  requests: number;
  lost: number;
  unexpected: number;
  /** Requests for what had been answered with success. */
  duplicates: number;
  /** Those whose success never came back to the relay, by a timeout or a lost connection: no crash's doing. */
  lostAnswers: number;
  /** Those without a crash between. */
  duplicatesWithoutCrash: number;
  /** The most deliveries that one crash has repeated. */
  worstCrash: number;
  /** Crashes at which the Subscriber was busy. */
  busyCrashes: number;
  /** Attempts that the relay closed as interrupted. */
  interrupted: number;
  /** Requests whose bytes are not those that were accepted. */
  altered: number;
  /** Requests of which a signature does not verify. */
  unsigned: number;
  /** First arrivals that overtook an earlier event. */
  outOfOrder: number;
  /** A sentence for each rule that was broken, with an example. */
  problems: readonly string[];
};

export function isSuccess({ answer }: Pick<ReceivedRequest, "answer">): boolean {
  const status = typeof answer === "object" ? answer.status : answer;
  return typeof status === "number" && status >= 200 && status <= 299;
}

export function accountOf(side: Side): SideAccount {
  const problems = new Problems(side.name);
  const byEvent = Map.groupBy(side.requests, ({ eventId }) => eventId ?? "none");
  const bodies = new Map(side.owed.map(({ id, body }) => [id, body]));

  const unexpected = side.requests.filter(({ eventId }) => !bodies.has(eventId ?? ""));
  problems.add("got what it did not want", unexpected.map(describe));
  const altered = side.requests.filter((request) => {
    const body = bodies.get(request.eventId ?? "");
    return body !== undefined && !body.equals(request.body);
  });
  problems.add("got other bytes", altered.map(describe));
  const unsigned = side.requests.filter(
    ({ signatures }) => !signatures?.leadterra || !signatures.standard,
  );
  problems.add("got a signature that does not verify", unsigned.map(describe));
  const lost = side.hangs
    ? []
    : side.owed.filter(({ id }) => !(byEvent.get(id) ?? []).some(isSuccess));
  problems.add(
    "lost",
    lost.map(({ id }) => id),
  );

  const all = [...byEvent.values()].flatMap(repeatsOf);
  const repeats = all.filter((repeat) => !isAnswerLost(repeat, side.reported));
  const withoutCrash = repeats.filter(({ success, request }) => success.life === request.life);
  problems.add(
    "was sent again without a crash between",
    withoutCrash.map(({ request }) => describe(request)),
  );
  const perCrash = checkCrashes(side, repeats, problems);
  const outOfOrder = side.ordered ? overtakers(side, byEvent) : [];
  problems.add("came out of order", outOfOrder);
  checkReports(side, byEvent, problems);

  return {
    name: side.name,
    owed: side.owed.length,
    requests: side.requests.length,
    lost: lost.length,
    unexpected: unexpected.length,
    duplicates: all.length,
    lostAnswers: all.length - repeats.length,
    duplicatesWithoutCrash: withoutCrash.length,
    worstCrash: Math.max(0, ...perCrash.map(({ repeated }) => repeated)),
    busyCrashes: perCrash.filter(({ busy }) => busy).length,
    interrupted: side.reported
      .flatMap(({ attemptLog }) => attemptLog)
      .filter(({ error }) => error === "interrupted").length,
    altered: altered.length,
    unsigned: unsigned.length,
    outOfOrder: outOfOrder.length,
    problems: problems.list,
  };
}

class Problems {
  readonly list: string[] = [];
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  /** @param examples one for each time that the rule was broken. */
  add(what: string, examples: readonly string[]): void {
    if (examples.length === 0) return;
    const times = examples.length === 1 ? "" : ` (${examples.length} times)`;
    this.list.push(`${this.#name}: ${what}${times}, such as ${examples[0]}`);
  }
}

function numberOf(request: Request): number {
  return Number(request.headers["x-relay-attempt"]);
}

function describe(request: Request): string {
  const { eventId, life } = request;
  return `${eventId ?? "a request without webhook-id"}, attempt ${numberOf(request)} in life ${life}`;
}

// --- duplicates -----------------------------------------------------------------------------------------------

/** A request, and the last success before it for the same event. */
type Repeat = { success: Request; request: Request };

function repeatsOf(requests: readonly Request[]): Repeat[] {
  const repeats: Repeat[] = [];
  let success: Request | null = null;
  for (const request of requests) {
    if (success !== null) repeats.push({ success, request });
    if (isSuccess(request)) success = request;
  }
  return repeats;
}

function isAnswerLost({ success }: Repeat, reported: readonly ReportedDelivery[]): boolean {
  const delivery = reported.find(({ eventId }) => eventId === success.eventId);
  const logged = delivery?.attemptLog.find(({ number }) => number === numberOf(success));
  return logged?.error === "timeout" || logged?.error === "connection";
}

/** A crash answers for what succeeded in the life that it ended, and only for what was fresh then. */
function checkCrashes(
  { crashes, requests, concurrency = 6 }: Side,
  repeats: readonly Repeat[],
  problems: Problems,
): { repeated: number; busy: boolean }[] {
  const most = concurrency * REPEATED_PER_SLOT;
  const perCrash = crashes.map((atMs, life) => ({
    life,
    repeated: countRepeated(repeats, life),
    busy: requests.some((request) => request.life === life && request.atMs > atMs - BUSY_MS),
  }));
  problems.add(
    `was repeated more than a crash may (${most})`,
    perCrash
      .filter(({ repeated, busy }) => repeated > (busy ? most : 0))
      .map(({ life, repeated, busy }) => {
        return `${repeated} after crash ${life + 1}, when it was ${busy ? "busy" : "idle"}`;
      }),
  );
  const stale = repeats.filter(({ success, request }) => {
    const crashedAtMs = crashes[success.life];
    if (crashedAtMs === undefined || success.life === request.life) return false;
    return success.atMs < crashedAtMs - SURELY_RECORDED_MS;
  });
  problems.add(
    "was sent again though its success was long on disk",
    stale.map(({ request }) => describe(request)),
  );
  return perCrash;
}

/** Deliveries, not requests: a repeat that is answered with a failure is tried again as any attempt is. */
function countRepeated(repeats: readonly Repeat[], life: number): number {
  const its = repeats.filter(
    ({ success, request }) => success.life === life && request.life > life,
  );
  return new Set(its.map(({ request }) => request.eventId)).size;
}

// --- order ----------------------------------------------------------------------------------------------------

/** Events whose first request came before every earlier event had its success. */
function overtakers({ owed }: Side, byEvent: ReadonlyMap<string, readonly Request[]>): string[] {
  let lastSuccess = 0;
  return owed.flatMap(({ id }, index) => {
    const requests = byEvent.get(id) ?? [];
    const [first] = requests;
    const success = requests.find(isSuccess);
    const overtook = first !== undefined && first.number < lastSuccess;
    lastSuccess = Math.max(lastSuccess, success?.number ?? 0);
    return overtook ? [`${id}, number ${index + 1} in order, request ${first.number}`] : [];
  });
}

// --- what the relay says --------------------------------------------------------------------------------------

function checkReports(
  { owed, hangs, reported }: Side,
  byEvent: ReadonlyMap<string, readonly Request[]>,
  problems: Problems,
): void {
  const wanted = new Set(owed.map(({ id }) => id));
  const known = new Set(reported.map(({ eventId }) => eventId));
  problems.add(
    "has a delivery that it did not want",
    reported.filter(({ eventId }) => !wanted.has(eventId)).map(({ eventId }) => eventId),
  );
  problems.add(
    "has no delivery of what it is owed",
    owed.filter(({ id }) => !known.has(id)).map(({ id }) => id),
  );
  problems.add(
    "has its deliveries in another order than at first",
    owed.flatMap(({ id }, index) => (reported[index]?.eventId === id ? [] : [id])).slice(0, 1),
  );
  const broken = reported.flatMap((delivery) =>
    brokenRulesOf(delivery, byEvent.get(delivery.eventId) ?? [], hangs).map(
      (rule) => [rule, delivery.eventId] as const,
    ),
  );
  for (const [rule, examples] of Map.groupBy(broken, ([name]) => name)) {
    problems.add(
      rule,
      examples.map(([, id]) => id),
    );
  }
}

/** Every request that was seen must be in the log, under its number, with what it was answered. */
function brokenRulesOf(
  delivery: ReportedDelivery,
  requests: readonly Request[],
  hangs: boolean,
): string[] {
  const { status, attempts, attemptLog: log } = delivery;
  const numbers = requests.map(numberOf);
  const logged = new Map(log.map((attempt) => [attempt.number, attempt]));
  const oldest = log[0]?.number ?? 1;
  const successes = log.filter(({ error }) => error === null);
  const seen = new Map(requests.map((request) => [numberOf(request), request]));
  const mayBeInFlight = hangs ? attempts + 1 : attempts;
  const rules: [broken: boolean, rule: string][] = [
    [!hangs && status !== "delivered", `is ${status} in the end, not delivered`],
    [
      numbers.some((number, index) => number <= (numbers[index - 1] ?? 0)),
      "had an attempt number that did not grow",
    ],
    [
      numbers.some((number) => !(number >= 1 && number <= mayBeInFlight)),
      "had an attempt number beyond what the relay counted",
    ],
    [
      log.length !== Math.min(attempts, LOGGED_ATTEMPTS) ||
        log.some(({ number }, index) => number !== oldest + index) ||
        (log.at(-1)?.number ?? attempts) !== attempts,
      "has a log with gaps",
    ],
    [
      !hangs && (successes.length !== 1 || log.at(-1)?.error !== null),
      "has a log that does not end with its only success",
    ],
    [
      requests.some((request) => isMisreported(request, logged.get(numberOf(request)))),
      "has a log that says otherwise than its receiver",
    ],
    [
      log.some(({ number, statusCode }) => statusCode !== null && !seen.has(number)),
      "has an answer in its log to a request that its receiver never saw",
    ],
    [
      log.some(({ trigger }) => trigger !== "scheduled"),
      "has a log with an attempt nobody asked for",
    ],
  ];
  return rules.filter(([broken]) => broken).map(([, rule]) => rule);
}

/** An attempt without an answer may have been answered: the answer was lost. */
function isMisreported({ answer }: Request, logged: LoggedAttempt | undefined): boolean {
  if (logged === undefined || logged.statusCode === null) return false;
  const status = typeof answer === "object" ? answer.status : answer;
  return status !== logged.statusCode;
}
