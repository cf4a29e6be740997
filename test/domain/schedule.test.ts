import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatSchedule,
  MAX_RETRY_AFTER_MS,
  parseDuration,
  parseRetryAfter,
  parseSchedule,
  retryWaitMs,
} from "../../src/domain/schedule";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** A Monday. */
const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);
/** ECMA-262 §21.4.1.1: no date is farther from 1970 than this. */
const LAST_MOMENT = 8.64e15;

describe("a duration", () => {
  it.each([
    ["0s", 0],
    ["1s", SECOND],
    ["90s", 90 * SECOND],
    ["5m", 5 * MINUTE],
    ["2h", 2 * HOUR],
    ["30d", 30 * DAY],
    ["86400s", DAY],
  ])("%s is %i ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    "",
    "5",
    "m",
    "5 m",
    " 5m",
    "5m ",
    "5m\n",
    "5M",
    "5min",
    "5ms",
    "5w",
    "-5m",
    "+5m",
    "1.5h",
    "1,5h",
    "1e3s",
    "0x5m",
    "٥m",
    "5m5s",
    "P1D",
    "PT5M",
    "null",
    "Infinity",
    "NaNs",
  ])("is not %j", (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  it("that is accepted leads to a moment that a date can hold", () => {
    const amount = fc.bigInt({ min: 0n, max: 10n ** 15n });
    fc.assert(
      fc.property(amount, fc.constantFrom("s", "m", "h", "d"), (count, unit) => {
        const ms = parseDuration(`${count}${unit}`);
        expect(ms === null || NOW + ms <= LAST_MOMENT).toBe(true);
      }),
      { examples: [[999_999_999n, "d"]] },
    );
  });
});

describe("a schedule", () => {
  it.each([
    ["1m 5m 30m 2h 8h", [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR]],
    ["10s", [10 * SECOND]],
    ["8h 1s", [8 * HOUR, SECOND]],
    [Array(20).fill("1m").join(" "), Array(20).fill(MINUTE)],
  ])("%s is read", (text, waits) => {
    expect(parseSchedule(text)).toEqual(waits);
  });

  it.each([
    "",
    " ",
    " 1m",
    "1m ",
    "1m  5m",
    "1m\t5m",
    "1m\n5m",
    "1m,5m",
    "1m, 5m",
    "1m 5",
    "1m x 5m",
    "[1m]",
    Array(21).fill("1m").join(" "),
  ])("is not %j", (text) => {
    expect(parseSchedule(text)).toBeNull();
  });
});

describe("waits", () => {
  it("are written as they are read", () => {
    for (const text of ["1m 5m 30m 2h 8h", "0s", "90s 36h 1d", "7d"]) {
      expect(formatSchedule(parseSchedule(text) ?? [])).toBe(text);
    }
    expect(formatSchedule(parseSchedule("60s 24h 120m") ?? [])).toBe("1m 1d 2h");
  });
});

describe("the wait after a failure", () => {
  const schedule = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR];

  it.each([
    [1, MINUTE],
    [2, 5 * MINUTE],
    [3, 30 * MINUTE],
    [4, 2 * HOUR],
    [5, 8 * HOUR],
    [6, null],
    [7, null],
  ])("number %i is %s ms without jitter", (failures, wait) => {
    expect(retryWaitMs(schedule, failures, 0)).toBe(wait);
  });

  it("is stretched by up to a tenth", () => {
    expect(retryWaitMs(schedule, 2, 0.5)).toBe(5 * MINUTE + 15 * SECOND);
    const longest = retryWaitMs(schedule, 1, 1 - Number.EPSILON) ?? 0;
    expect(longest).toBeGreaterThan(66 * SECOND - 2);
    expect(longest).toBeLessThanOrEqual(66 * SECOND);
  });

  it("is a whole number of milliseconds, never early and never more than a tenth late", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 30 * DAY }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 25 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (waits, failures, random) => {
          const wait = retryWaitMs(waits, failures, random);
          const least = waits[failures - 1];
          if (least === undefined) {
            expect(wait).toBeNull();
          } else {
            expect(Number.isInteger(wait)).toBe(true);
            expect(wait).toBeGreaterThanOrEqual(least);
            expect(wait).toBeLessThanOrEqual(least * 1.1);
          }
        },
      ),
    );
  });
});

describe("Retry-After", () => {
  it.each([
    ["1", SECOND],
    ["120", 2 * MINUTE],
    ["0120", 2 * MINUTE],
    ["28799", 8 * HOUR - SECOND],
    ["28800", 8 * HOUR],
    ["28801", 8 * HOUR],
    ["31536000", 8 * HOUR],
    ["9".repeat(30), 8 * HOUR],
    ["9".repeat(400), 8 * HOUR],
  ])("of %s seconds postpones", (header, ms) => {
    expect(parseRetryAfter(header, NOW)).toBe(NOW + ms);
  });

  it.each([
    ["IMF-fixdate", "Mon, 23 Nov 2026 12:30:00 GMT", 30 * MINUTE],
    ["IMF-fixdate, a second ahead", "Mon, 23 Nov 2026 12:00:01 GMT", SECOND],
    ["IMF-fixdate, the next day", "Tue, 24 Nov 2026 00:00:00 GMT", 8 * HOUR],
    ["IMF-fixdate, far ahead", "Fri, 31 Dec 9999 23:59:59 GMT", 8 * HOUR],
    ["RFC 850", "Monday, 23-Nov-26 12:30:00 GMT", 30 * MINUTE],
    ["RFC 850, in a year", "Tuesday, 23-Nov-27 12:30:00 GMT", 8 * HOUR],
    ["RFC 850, in fifty years", "Monday, 23-Nov-76 12:30:00 GMT", 8 * HOUR],
    ["asctime", "Mon Nov 23 12:30:00 2026", 30 * MINUTE],
  ])("as a date postpones: %s", (_, header, ms) => {
    expect(parseRetryAfter(header, NOW)).toBe(NOW + ms);
  });

  it("as a date may be a leap second, the last one of a day", () => {
    const now = Date.UTC(2026, 11, 31, 23, 30, 0);
    expect(parseRetryAfter("Thu, 31 Dec 2026 23:59:60 GMT", now)).toBe(now + 30 * MINUTE);
  });

  it("as an asctime date may have a day of one digit", () => {
    const now = Date.UTC(2026, 11, 5, 12, 0, 0);
    expect(parseRetryAfter("Sat Dec  5 12:30:00 2026", now)).toBe(now + 30 * MINUTE);
  });

  it.each(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])(
    "knows the month %s",
    (month) => {
      const untilMs = Date.parse(`15 ${month} 2027 12:00:00 GMT`);
      const header = new Date(untilMs).toUTCString();
      expect(header).toContain(month);
      expect(parseRetryAfter(header, untilMs - HOUR)).toBe(untilMs);
    },
  );

  it.each([
    ["now", "0"],
    ["now, as a date", "Mon, 23 Nov 2026 12:00:00 GMT"],
    ["a second ago", "Mon, 23 Nov 2026 11:59:59 GMT"],
    ["the example of RFC 9110", "Sun, 06 Nov 1994 08:49:37 GMT"],
    ["the same in asctime form", "Sun Nov  6 08:49:37 1994"],
    [
      "the same in RFC 850 form: a year that seems more than 50 ahead is past",
      "Sunday, 06-Nov-94 08:49:37 GMT",
    ],
  ])("that is not ahead is ignored: %s", (_, header) => {
    expect(parseRetryAfter(header, NOW)).toBeNull();
  });

  it.each([
    null,
    "",
    " ",
    "soon",
    "-1",
    "+5",
    "1.5",
    "1e3",
    "0x10",
    "5s",
    "5 ",
    " 5",
    "60, 120",
    "١٢٠",
    "Infinity",
    "NaN",
    "2026-11-23T12:30:00Z",
    "Mon, 23 Nov 2026 12:30:00",
    "Mon, 23 Nov 2026 12:30:00 UTC",
    "Mon, 23 Nov 2026 12:30:00 +0000",
    "Mon, 23 Nov 2026 12:30 GMT",
    "Mon, 23 Nov 26 12:30:00 GMT",
    "mon, 23 nov 2026 12:30:00 gmt",
    "23 Nov 2026 12:30:00 GMT",
    "Mon, 23 Foo 2026 12:30:00 GMT",
    "Mon, 23 Nov 2026 12:30:00 GMT; x",
    "Mon, 31 Nov 2026 12:30:00 GMT",
    "Mon, 99 Nov 2026 12:30:00 GMT",
    "Mon, 00 Dec 2026 12:30:00 GMT",
    "Mon, 29 Feb 2027 12:30:00 GMT",
    "Mon, 23 Nov 2026 24:30:00 GMT",
    "Mon, 23 Nov 2026 99:99:99 GMT",
    "Mon, 23 Nov 2026 12:60:00 GMT",
    "Mon Nov 31 12:30:00 2026",
    "Monday, 31-Nov-26 12:30:00 GMT",
  ])("that is nonsense is ignored: %j", (header) => {
    expect(parseRetryAfter(header, NOW)).toBeNull();
  });

  it("only ever delays, and by 8 hours at the most", () => {
    const moment = fc.date({
      min: new Date("1970-01-01T00:00:00Z"),
      max: new Date("9999-12-31T23:59:59Z"),
      noInvalidDate: true,
    });
    const header = fc.oneof(
      fc.string(),
      fc.bigInt({ min: -1_000n }).map(String),
      fc.nat({ max: 40_000 }).map(String),
      moment.map((date) => date.toUTCString()),
    );
    fc.assert(
      fc.property(header, moment, (text, now) => {
        const untilMs = parseRetryAfter(text, now.getTime());
        if (untilMs === null) return;
        expect(untilMs).toBeGreaterThan(now.getTime());
        expect(untilMs).toBeLessThanOrEqual(now.getTime() + 8 * HOUR);
      }),
    );
    expect(MAX_RETRY_AFTER_MS).toBe(8 * HOUR);
  });
});
