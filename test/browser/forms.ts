/**
 * Every form that a sentence with a number or a time has on the pages of webhooks, deliveries and attempts, and on the
 * overview; with what it must agree with. A sentence of no known form fails: none is passed over.
 */
import { expect } from "vitest";
import type { Attempt, LoggedDelivery } from "../rig/api.ts";
import {
  type Account,
  answerTo,
  attemptsOf,
  CLOCK_MS,
  endOf,
  HOUR_MS,
  type Hour,
  type Own,
} from "./account.ts";
import { exactly, type Reading, type Sentence } from "./sentences.ts";

export type Asked = {
  account: Account;
  reading: Reading;
  zone: string;
  version: string;
};

type Told = Asked & {
  sentence: Sentence;
  /** What the form's parentheses hold. */
  found: string[];
  about: string;
};
type Form = { place: RegExp; text: RegExp; agrees: (told: Told) => void };

const NUMBER = new Intl.NumberFormat("en");
const DASH = "–";
const MS = (time: string | null | undefined) => (time == null ? null : Date.parse(time));

function own({ account, sentence, about }: Told): Own {
  const found = account.own.find(({ webhook }) => webhook.id === sentence.webhookId);
  if (found === undefined) throw new Error(`of no webhook: ${about}`);
  return found;
}

function delivery(told: Told): LoggedDelivery {
  const { eventId } = told.sentence;
  const found = own(told).deliveries.find((each) => each.eventId === eventId);
  if (found === undefined) throw new Error(`of no delivery: ${told.about}`);
  return found;
}

/** That of the row; where there is none, the one that was made at the time that is told. */
function attempt(told: Told): Attempt {
  const { attempt: number, times } = told.sentence;
  const [time] = times;
  const found = delivery(told).attemptLog.find((each) =>
    number === null ? MS(each.startedAt) === time?.atMs : each.number === number,
  );
  if (found === undefined) throw new Error(`of no attempt: ${told.about}`);
  return found;
}

const lastAttempt = (told: Told) => delivery(told).attemptLog.at(-1);

/** The number that is told is this one. */
function is(value: (told: Told) => number | string | null | undefined): Form["agrees"] {
  return (told) => {
    const expected = value(told);
    const text = typeof expected === "number" ? NUMBER.format(expected) : (expected ?? DASH);
    expect.soft(told.found[0], told.about).toBe(text);
  };
}

type When = "past" | "to come" | "either";

/** The time that is told is this one; nothing that has happened lies ahead. */
function at(
  value: (told: Told) => string | number | null | undefined,
  when: When = "past",
): Form["agrees"] {
  return (told) => {
    const expected = value(told);
    const [time] = told.sentence.times;
    const expectedMs = typeof expected === "number" ? expected : MS(expected);
    expect.soft(time?.atMs, told.about).toBe(expectedMs);
    expect.soft(time?.isAhead, told.about).toBe(when === "to come");
    if (when === "past") {
      expect.soft(time?.atMs, told.about).toBeLessThanOrEqual(told.reading.readAtMs + CLOCK_MS);
    }
  };
}

const both =
  (...all: Form["agrees"][]): Form["agrees"] =>
  (told) => {
    for (const each of all) each(told);
  };

function took(ms: number | null | undefined): string {
  if (ms == null) return DASH;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function percent(share: number | null): string {
  if (share === null) return DASH;
  return `${NUMBER.format(Math.floor(share * 1_000 + 1e-9) / 10)} %`;
}

const SHORT: Readonly<Record<string, string>> = {
  timeout: "no answer in time",
  connection: "not reached",
  status: "refused",
};

function answer({ statusCode, error }: Pick<Attempt, "statusCode" | "error">): string {
  return `${statusCode ?? SHORT[error ?? ""]}`;
}

const outcome = ({ lastStatusCode, lastError }: LoggedDelivery) =>
  [lastStatusCode, SHORT[lastError ?? ""]].filter(Boolean).join(" ") || DASH;

const all = ({ account }: Told) => account.own;
const failed = (each: Own) => attemptsOf(each).filter(({ error }) => error !== null).length;
const taken = (each: Own) => attemptsOf(each).length - failed(each);
/** Of the one that the page is about, or of all of them. */
const about = (told: Told) => (told.sentence.webhookId === null ? all(told) : [own(told)]);
const sum = (told: Told, of: (own: Own) => number) =>
  about(told).reduce((before, each) => before + of(each), 0);

const least = (times: readonly (string | null)[]) => {
  const known = times.flatMap((time) => MS(time) ?? []);
  return known.length === 0 ? null : Math.min(...known);
};

const counted = (n: number, one: string, many: string) => `${n} ${n === 1 ? one : many}`;

/** What happened in the hour, by the account; events are the relay's, and of no webhook. */
function hourOf(told: Told, { at: start }: Hour): string {
  const isWithin = (ms: number) => Math.floor(ms / HOUR_MS) * HOUR_MS === Date.parse(start);
  const ended = about(told).flatMap((each) =>
    attemptsOf(each).filter((one) => isWithin(endOf(one))),
  );
  const delivered = ended.filter(({ error }) => error === null).length;
  const events = told.account.events.filter(({ receivedAt }) => isWithin(Date.parse(receivedAt)));
  const incoming =
    told.sentence.webhookId === null ? [counted(events.length, "event in", "events in")] : [];
  const parts = [
    ...incoming,
    `${delivered} delivered`,
    counted(ended.length - delivered, "failed attempt", "failed attempts"),
  ];
  return `${exactly(Date.parse(start), told.zone)}: ${parts.join(", ")}`;
}

function highest(told: Told): number {
  const bars = told.account.stats.hours.flatMap((hour) => {
    const [, ...counts] = hourOf(told, hour).match(/(?<=[:,] )\d+/g) ?? [];
    const [delivered = 0, failures = 0] = counts.slice(-2).map(Number);
    const isWhole = told.sentence.webhookId === null;
    return [delivered + failures, isWhole ? hour.events : 0];
  });
  return 2 * Math.ceil(Math.max(1, ...bars) / 2);
}

const BARE = /^(@|–|[\d,.]+ ?(?:%|ms|s)?|[A-Za-z ]+)$/;
const ofTable = (column: string) => new RegExp(`^td ${column}$`);
const ofTerm = (term: string) => new RegExp(`^dd ${term}$`);
const ofNote = (term: string) => new RegExp(`^note ${term}$`);

/** What a webhook is, and what comes next: on the overview, in its list and on its page. */
const CONDITIONS: readonly Form[] = [
  {
    place: /^(p|small)$/,
    text: /(?:^|Failing |Probing |Disabled |Paused |Postponed |Unconnected )since @(?=[:.,]|$)/,
    agrees: at((told) => own(told).health.since),
  },
  {
    place: /^p$/,
    text: /: (?:the service answered )?(\d+) (?:refused|Gone)(?:, “(.*)”)?\.$/,
    agrees: (told) => {
      const { lastFailure } = own(told).health;
      const [status, body = ""] = told.found;
      if (own(told).health.state === "disabled") expect.soft(status, told.about).toBe("410");
      else expect.soft(status, told.about).toBe(String(lastFailure?.statusCode));
      if (body !== "") expect.soft(body, told.about).toBe(lastFailure?.responseBody);
      expect.soft(status, told.about).toBe(String(own(told).answers));
    },
  },
  {
    place: /^p$/,
    text: /^([\d,]+) deliver(?:y waits|ies wait|y is held|ies are held)\.$/,
    agrees: is((told) => own(told).health.pending),
  },
  {
    place: /^p$/,
    text: /^(?:Healthy, but )?([\d,]+) undeliverable(?:: (?:it|they) stopped retrying\.$|(?:, the last since @)?[:.])/,
    agrees: is((told) => own(told).health.undeliverable),
  },
  {
    place: /^small$/,
    text: /^([\d,]+) undeliverable$/,
    agrees: is((told) => own(told).health.undeliverable),
  },
  {
    place: /^button$/,
    text: /^Replay ([\d,]+)$/,
    agrees: is((told) => own(told).health.undeliverable),
  },
  {
    place: /^p$/,
    text: /^(?:(?:They are|It is) probed(?: one at a time)?|(?:Each|It|The oldest) (?:is tried again|goes out) by its schedule|As it asked|It goes out in its turn|They go out in turn), next @; [^\d@]+$/,
    agrees: at((told) => own(told).health.nextAttemptAt, "to come"),
  },
  {
    place: /^p$/,
    text: /^The last success was @\.$/,
    agrees: at((told) => own(told).health.lastSuccessAt),
  },
  { place: ofTable("State"), text: /^(\w+)$/, agrees: is((told) => own(told).health.state) },
  { place: ofTable("Pending"), text: BARE, agrees: is((told) => own(told).health.pending) },
  { place: ofTable("Delivered"), text: BARE, agrees: is((told) => taken(own(told))) },
  {
    place: ofTable("Success"),
    text: BARE,
    agrees: is((told) => percent(own(told).stats.successRate)),
  },
  { place: ofTable("p95"), text: BARE, agrees: is((told) => took(own(told).stats.latencyMs.p95)) },
];

/** The large numbers of a day, of one webhook or of all, and the picture of its hours. */
const NUMBERS: readonly Form[] = [
  { place: ofTerm("Events in"), text: BARE, agrees: is(({ account }) => account.events.length) },
  {
    place: ofNote("Events in"),
    text: /^last: @$/,
    agrees: both(
      at(({ account }) => account.stats.lastEventAt),
      at(({ account }) => account.events[0]?.receivedAt),
    ),
  },
  { place: ofTerm("Delivered"), text: BARE, agrees: is((told) => sum(told, taken)) },
  {
    place: ofNote("Delivered"),
    text: /^([\d,]+) failed attempts?$/,
    agrees: is((told) => sum(told, failed)),
  },
  {
    place: ofTerm("Success rate"),
    text: BARE,
    agrees: is((told) => percent(sum(told, taken) / sum(told, (each) => attemptsOf(each).length))),
  },
  {
    place: ofTerm("Response time"),
    text: BARE,
    agrees: is((told) => {
      const one = told.sentence.webhookId === null ? told.account.stats.all : own(told).stats;
      return took(one.latencyMs.p50);
    }),
  },
  {
    place: /^note Response time|^th$/,
    text: /^p95(?:: (.+))?$/,
    agrees: (told) => {
      if (told.sentence.place === "th") return;
      const one = told.sentence.webhookId === null ? told.account.stats.all : own(told).stats;
      expect.soft(told.found[0], told.about).toBe(took(one.latencyMs.p95));
    },
  },
  {
    place: ofTerm("Pending"),
    text: BARE,
    agrees: is((told) => sum(told, ({ health }) => health.pending)),
  },
  {
    place: ofNote("Pending"),
    text: /^first due @$/,
    // A pause that a service asked for counts: what it asked for may be all that waits.
    agrees: at((told) => least(about(told).map(({ health }) => health.oldestDueAt)), "either"),
  },
  {
    place: ofTerm("Undeliverable"),
    text: BARE,
    agrees: is((told) => sum(told, ({ health }) => health.undeliverable)),
  },
  { place: ofTerm("Dead letters"), text: BARE, agrees: is(({ account }) => account.deadLetters) },
  {
    place: /^title$/,
    text: /^(.+)$/,
    agrees: (told) => {
      const hours = told.account.stats.hours.map((hour) => hourOf(told, hour));
      expect.soft(hours, told.about).toContain(told.found[0]);
    },
  },
  {
    place: /^picture$/,
    text: /\. (?:(\d+) events? in, )?(\d+) delivered, (\d+) failed attempts?$/,
    agrees: (told) => {
      const counts = [sum(told, taken), sum(told, failed)].map(String);
      expect.soft(told.found.slice(-2), told.about).toEqual(counts);
      if (told.found.length > 2) {
        expect.soft(told.found[0], told.about).toBe(String(told.account.events.length));
      }
    },
  },
  {
    place: /^text$/,
    text: /^(\d+)$/,
    agrees: (told) =>
      expect
        .soft([0, highest(told) / 2, highest(told)], told.about)
        .toContain(Number(told.found[0])),
  },
  {
    place: /^text$/,
    text: /^([A-Z][a-z]{2} \d\d:\d\d)$/,
    agrees: (told) => {
      const starts = told.account.stats.hours.map(({ at: start }) =>
        exactly(Date.parse(start), told.zone).replace(/^(\w+),.*, (\d\d:\d\d):.*$/, "$1 $2"),
      );
      expect.soft(starts, told.about).toContain(told.found[0]);
    },
  },
  {
    place: /^p$/,
    text: /^All (\d+) webhooks$/,
    agrees: is(({ account }) => account.own.length),
  },
  {
    place: /^p$/,
    text: /^Counted from (.+) on\.$/,
    agrees: is((told) => exactly(Date.parse(told.account.stats.hours[0]?.at ?? ""), told.zone)),
  },
];

/** Events, deliveries and attempts. */
const DELIVERIES: readonly Form[] = [
  {
    // Of a delivery, or of an event, which is no webhook's.
    place: /^(?:td|dd) Received$/,
    text: BARE,
    agrees: at((told) => {
      const { webhookId, eventId } = told.sentence;
      if (webhookId !== null) return delivery(told).createdAt;
      return told.account.events.find(({ id }) => id === eventId)?.receivedAt;
    }),
  },
  {
    place: ofTable("Goes to"),
    text: /^(\d+) webhooks?$/,
    agrees: is(
      ({ account, sentence }) =>
        account.events.find(({ id }) => id === sentence.eventId)?.webhookIds.length,
    ),
  },
  { place: ofTable("Status"), text: /^(\w+)$/, agrees: is((told) => delivery(told).status) },
  { place: /^(?:td|dd) Attempts$/, text: BARE, agrees: is((told) => delivery(told).attempts) },
  {
    place: /^(?:td|dd) Last outcome$/,
    text: /^(.+)$/,
    agrees: is((told) => outcome(delivery(told))),
  },
  { place: /^li$/, text: /^Received @$/, agrees: at((told) => delivery(told).createdAt) },
  {
    place: /^td Next or end$|^dd Next attempt$|^dd Ended$/,
    text: BARE,
    agrees: (told) => {
      const { status, nextAttemptAt, completedAt } = delivery(told);
      const isPending = status === "pending";
      at(() => (isPending ? nextAttemptAt : completedAt), isPending ? "to come" : "past")(told);
    },
  },
  {
    place: /^p$/,
    text: /^(?:pending )?The next attempt is @[:.,]/,
    agrees: at((told) => delivery(told).nextAttemptAt, "to come"),
  },
  {
    place: /^p$/,
    text: /^(?:undeliverable The last attempt failed, and no other follows by itself; undeliverable|delivered The service has it,) since @\.$/,
    agrees: at((told) => delivery(told).completedAt),
  },
  {
    place: /^p$/,
    text: /^(?:(.+) )?@, took ([\d.]+ m?s)(?:, asked for by hand)?$/,
    agrees: (told) => {
      const made = attempt(told);
      at(() => made.startedAt)(told);
      expect.soft(told.found.at(-1), told.about).toBe(took(made.durationMs));
      if (told.found.length > 1) expect.soft(told.found[0], told.about).toBe(answer(made));
    },
  },
  {
    place: /^h3$/,
    text: /^Attempt (\d+ .+)$/,
    agrees: is((told) => `${attempt(told).number} ${answer(attempt(told))}`),
  },
  { place: ofTable("Started"), text: BARE, agrees: at((told) => attempt(told).startedAt) },
  { place: ofTable("Answer"), text: BARE, agrees: is((told) => answer(attempt(told))) },
  { place: ofTable("Took"), text: BARE, agrees: is((told) => took(attempt(told).durationMs)) },
  { place: ofTable("Attempt"), text: BARE, agrees: is((told) => attempt(told).number) },
  {
    place: /^p$/,
    text: /^It answered (\d+)(?:; only 200 to 299 means that it has the event|: the service has the event)\.$/,
    agrees: is((told) => String(answerTo(own(told), told.sentence.eventId))),
  },
  {
    place: /^p$/,
    text: /^As attempt (\d+) made it, /,
    agrees: is((told) => lastAttempt(told)?.number),
  },
  {
    place: /^pre The headers of the answer to attempt (\d+)$/,
    text: /^.*\bdate: (.+? GMT).*$/,
    agrees: (told) => {
      const { startedAt, durationMs } = attempt(told);
      const dateMs = Date.parse(told.found[0] ?? "");
      expect.soft(dateMs, told.about).toBeGreaterThan(Date.parse(startedAt) - 1_000);
      expect.soft(dateMs, told.about).toBeLessThanOrEqual(Date.parse(startedAt) + durationMs);
      expect
        .soft(/retry-after: (\d+)/.exec(told.sentence.text)?.[1], told.about)
        .toBe(own(told).answers === 429 ? "600" : undefined);
    },
  },
  {
    place: /^pre The headers of the request$/,
    text: /^POST .* user-agent: leadterra-relay\/(\S+) .*webhook-timestamp: (\d+) .*x-relay-attempt: (\d+)$/,
    agrees: (told) => {
      const last = lastAttempt(told);
      const [version, ...numbers] = told.found;
      const [unixSeconds, number] = numbers.map(Number);
      expect.soft(version, told.about).toBe(told.version);
      expect.soft(number, told.about).toBe(last?.number ?? 1);
      if (last === undefined) return;
      expect.soft(unixSeconds, told.about).toBe(Math.floor(Date.parse(last.startedAt) / 1_000));
    },
  },
  {
    place: /^div$/,
    text: /^"number": (\d+)$/,
    agrees: is((told) => {
      const sent = own(told).events.find(({ id }) => id === told.sentence.eventId);
      return JSON.parse(sent?.body ?? "{}").data.number;
    }),
  },
  {
    place: /^pre$|^pre As a curl|^pre The request as/,
    text: /^curl .*"number":(\d+).*$/,
    agrees: is((told) => {
      const sent = own(told).events.find(({ id }) => id === told.sentence.eventId);
      return JSON.parse(sent?.body ?? "{}").data.number;
    }),
  },
];

/** Settings, and what frames every page. */
const FRAME: readonly Form[] = [
  {
    place: ofTerm("At once"),
    text: BARE,
    agrees: is((told) => (own(told).webhook.ordered ? 1 : Number(own(told).webhook.concurrency))),
  },
  {
    place: ofTerm("Time to answer"),
    text: /^(\w+)(?:, as the relay's own)?$/,
    agrees: is((told) => (own(told).webhook.timeout as string | null) ?? "10s"),
  },
  {
    place: ofTerm("Retries after"),
    text: /^([\w ]+?)(?:, as the relay's own)?$/,
    agrees: is((told) => (own(told).webhook.retrySchedule as string | null) ?? "1m 5m 30m 2h 8h"),
  },
  {
    place: ofTerm("Registered"),
    text: /^@(?:, changed @)?$/,
    agrees: (told) => {
      const { createdAt } = own(told).webhook;
      at(() => createdAt as string)(told);
    },
  },
  {
    place: /^summary$/,
    text: /^key (\w+)$/,
    agrees: is(({ account }) => account.key),
  },
  {
    place: /^footer$/,
    text: /^Leadterra Relay (\S+) · API · (?:as JSON: (?:GET \/v1\/\S+ )+· )?/,
    agrees: is(({ version }) => version),
  },
  // What they answer is held against the page in test/worker/dashboard-json.test.ts.
  { place: /^summary$/, text: /^As JSON: \d+ calls$/, agrees: () => {} },
  { place: /^li$/, text: /^GET \/v1\/\S+$/, agrees: () => {} },
  // What can be chosen, and how many a page takes: no statements about what happened.
  { place: /^option$/, text: /^The last \d+ (?:hours|days)$/, agrees: () => {} },
];

export const FORMS: readonly Form[] = [...CONDITIONS, ...NUMBERS, ...DELIVERIES, ...FRAME];

/**
 * Holds each sentence against the account.
 *
 * @returns the forms that were met; a sentence may have several.
 */
export function expectTrue(asked: Asked): Set<Form> {
  const met = new Set<Form>();
  const { reading } = asked;
  for (const sentence of reading.sentences) {
    const { place, text } = sentence;
    const told = `${reading.path}: ${place}: ${text}`;
    const fitting = FORMS.filter((form) => form.place.test(place) && form.text.test(text));
    expect.soft(fitting, `of no known form: ${told}`).not.toEqual([]);
    let unsaid = text;
    for (const form of fitting) {
      const [whole = "", ...parts] = form.text.exec(text) ?? [];
      const found = parts.filter((part) => part !== undefined);
      form.agrees({ ...asked, sentence, found, about: told });
      unsaid = unsaid.replace(whole, "");
      met.add(form);
    }
    expect.soft(unsaid, `partly of no known form: ${told}`).not.toMatch(/[\d@]/);
  }
  return met;
}
