/** Durations, retry schedules and Retry-After. Milliseconds inside, text outside. */

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d{1,9})([smhd])$/;
/** A hundred years: whatever comes of adding it to now is still a date. */
const MAX_DURATION_MS = 36_500 * UNIT_MS.d;
const MAX_WAITS = 20;
export const MAX_TIMEOUT_MS = UNIT_MS.m;
/** A `Retry-After` may postpone by this much and no more (docs/contract.md). */
export const MAX_RETRY_AFTER_MS = 8 * UNIT_MS.h;
/** Waits are stretched by up to a tenth, so that a service that comes back is not hit by all at once. */
const JITTER = 0.1;

/** `"90s"`, `"5m"`, `"8h"`, `"30d"` in milliseconds; null for anything else. */
export function parseDuration(text: string): number | null {
  const match = DURATION.exec(text);
  if (match === null) return null;
  const ms = Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  return ms <= MAX_DURATION_MS ? ms : null;
}

/** How long an attempt may take: 1 to 60 s, in milliseconds; null for anything else. */
export function parseTimeout(text: string): number | null {
  const ms = parseDuration(text);
  return ms !== null && ms >= UNIT_MS.s && ms <= MAX_TIMEOUT_MS ? ms : null;
}

/** 1 to 20 durations with one space between, e.g. `"1m 5m 30m 2h 8h"`; null for anything else. */
export function parseSchedule(text: string): number[] | null {
  const words = text.split(" ");
  if (words.length > MAX_WAITS) return null;
  const waits = words.map(parseDuration);
  return waits.every((wait) => wait !== null) ? waits : null;
}

/** The waits as `parseSchedule` reads them: `"1m 5m 30m 2h 8h"`. */
export function formatSchedule(waitsMs: readonly number[]): string {
  const units = Object.entries(UNIT_MS).reverse();
  return waitsMs
    .map((wait) => {
      const [unit, ms] = units.find(([, length]) => wait >= length && wait % length === 0) ?? [
        "s",
        UNIT_MS.s,
      ];
      return `${wait / ms}${unit}`;
    })
    .join(" ");
}

/**
 * The wait after the `failures`-th failed attempt, never shorter than the schedule says.
 *
 * @param random in [0, 1).
 * @returns milliseconds, or null when the schedule is used up.
 */
export function retryWaitMs(schedule: readonly number[], failures: number, random: number) {
  const wait = schedule[failures - 1];
  return wait === undefined ? null : wait + Math.floor(wait * JITTER * random);
}

/**
 * Until when a service asks to be left alone.
 *
 * @param header `Retry-After`: whole seconds, or one of the three forms of an HTTP date (RFC 9110 §5.6.7).
 * @returns Unix milliseconds after `nowMs`, at most 8 h after it; null when there is nothing to honour.
 */
export function parseRetryAfter(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  const untilMs = /^\d+$/.test(header)
    ? nowMs + Number(header) * 1_000
    : parseHttpDate(header, nowMs);
  if (untilMs === null || untilMs <= nowMs) return null;
  return Math.min(untilMs, nowMs + MAX_RETRY_AFTER_MS);
}

const CLOCK = "(?<clock>\\d{2}:\\d{2}:\\d{2})";
const HTTP_DATES = [
  // IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
  new RegExp(
    `^[A-Z][a-z]{2}, (?<day>\\d{2}) (?<month>[A-Z][a-z]{2}) (?<year>\\d{4}) ${CLOCK} GMT$`,
  ),
  // RFC 850: Sunday, 06-Nov-94 08:49:37 GMT
  new RegExp(
    `^[A-Z][a-z]{5,8}, (?<day>\\d{2})-(?<month>[A-Z][a-z]{2})-(?<year>\\d{2}) ${CLOCK} GMT$`,
  ),
  // asctime: Sun Nov  6 08:49:37 1994
  new RegExp(`^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \\d]\\d) ${CLOCK} (?<year>\\d{4})$`),
];

function parseHttpDate(text: string, nowMs: number): number | null {
  for (const form of HTTP_DATES) {
    const parts = form.exec(text)?.groups;
    if (parts === undefined) continue;
    const { day = "", month = "", year = "", clock = "" } = parts;
    const fullYear = year.length === 2 ? centuryOf(Number(year), nowMs) : Number(year);
    // A second of 60 is a leap second.
    const [time, leapMs] = clock.endsWith("60") ? [clock.replace(/60$/, "59"), 1_000] : [clock, 0];
    const date = `${day.replace(" ", "0")} ${month} ${fullYear} ${time} GMT`;
    const atMs = Date.parse(date);
    // The 31st of November overflows into the 1st of December: then the date reads differently.
    return new Date(atMs).toUTCString().endsWith(date) ? atMs + leapMs : null;
  }
  return null;
}

/** RFC 9110 §5.6.7: a two-digit year that seems more than 50 years ahead is the last one with these digits. */
function centuryOf(twoDigits: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + twoDigits;
  return year > thisYear + 50 ? year - 100 : year;
}
