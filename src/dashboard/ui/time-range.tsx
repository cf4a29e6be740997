/** The part of a search that says when: within the last while, or from and to in the visitor's zone. */
import { DAY_MS, HOUR_MS, iso, SECOND_MS } from "../../domain/time";
import { Select } from "./parts";
import { type Query, withQuery } from "./paths";
import { type PageContext, useViewer } from "./session";
import { timesAs } from "./time";

/** How far back, by the name that forms have for it. */
export const WITHIN = {
  hour: { text: "The last hour", ms: HOUR_MS },
  day: { text: "The last 24 hours", ms: DAY_MS },
  week: { text: "The last 7 days", ms: 7 * DAY_MS },
  month: { text: "The last 30 days", ms: 30 * DAY_MS },
} as const;

const SPANS = Object.keys(WITHIN);
const TIMES = ["opened", "ended", "since", "until"] as const;

/** Receive times, Unix milliseconds, both ends included. */
type TimeRange = { sinceMs?: number; untilMs?: number };

/** What the query says; what it says wrongly counts as not said. A `since` counts more than `within`. */
export function timeRangeOf(c: PageContext, nowMs: number): TimeRange {
  const said = (name: string) => c.req.query(name)?.trim() ?? "";
  const [within, since, until] = [said("within"), said("since"), said("until")];
  const zone = c.get("zone");
  const length = Object.hasOwn(WITHIN, within) ? WITHIN[within as keyof typeof WITHIN].ms : null;
  const sinceMs = parseLocalTime(since, zone) ?? (length === null ? null : nowMs - length);
  const untilMs = parseLocalTime(until, zone);
  return {
    ...(sinceMs !== null && { sinceMs }),
    // The field shows minutes or seconds, and what it shows is meant to the end.
    ...(untilMs !== null && { untilMs: untilMs + (until.length > MINUTE_LENGTH ? 999 : 59_999) }),
  };
}

/** What of a query says no time, and what it should. */
export function noTimesIn(query: Query, zone: string): { path: string; message: string }[] {
  const { within } = query;
  const noTimes = TIMES.filter((name) => query[name] && parseLocalTime(query[name], zone) === null);
  const message = "must be a date and a time, such as 2026-11-27T22:00";
  const noSpan = within !== undefined && !SPANS.includes(within);
  return [
    ...noTimes.map((path) => ({ path, message })),
    ...(noSpan ? [{ path: "within", message: `must be ${SPANS.join(" or ")}` }] : []),
  ];
}

/** A list of the API, asked as this page is. @param asked by the names that the API has, without times */
export function sameQuery(
  c: PageContext,
  path: string,
  asked: Readonly<Record<string, string | number | boolean>>,
): string {
  const { sinceMs, untilMs } = timeRangeOf(c, Date.now());
  return withQuery(path, {
    ...Object.fromEntries(Object.entries(asked).map(([name, value]) => [name, String(value)])),
    ...(sinceMs !== undefined && { since: iso(sinceMs) }),
    ...(untilMs !== undefined && { until: iso(untilMs) }),
  });
}

const MINUTE_LENGTH = "2026-11-23T21:14".length;
const LOCAL_TIME = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:\.\d{1,3})?)?$/;

/**
 * What `datetime-local` gives, as the clocks of `zone` show it → Unix milliseconds; null when it is none. A time that
 * a zone has twice is the first of them; one that it skips is as far behind the last before it.
 */
export function parseLocalTime(text: string, zone: string): number | null {
  const asUtcMs = LOCAL_TIME.test(text) ? Date.parse(`${text}Z`) : Number.NaN;
  // A day that its month does not have.
  if (Number.isNaN(asUtcMs) || !iso(asUtcMs).startsWith(text.slice(0, MINUTE_LENGTH))) return null;
  // The offset a day earlier and a day later: around a change of the clocks, one of them is right.
  const candidates = [asUtcMs - DAY_MS, asUtcMs + DAY_MS].map(
    (ms) => asUtcMs - zoneOffsetMs(ms, zone),
  );
  const right = candidates.filter((ms) => ms + zoneOffsetMs(ms, zone) === asUtcMs);
  return right.length > 0 ? Math.min(...right) : (candidates[0] ?? null);
}

/** Sweden writes times as ISO 8601 does, but for the T. */
const swedishTime = timesAs({ dateStyle: "short", timeStyle: "medium" }, "sv");

/** The second that `ms` is in, as a search has it: what {@link parseLocalTime} reads. */
export function formatLocalTime(ms: number, zone: string): string {
  return swedishTime(ms, zone).replace(" ", "T");
}

/** What something brings about that began then, as {@link formatLocalTime}: a second earlier, for no two clocks are the same. */
export function sinceStart(ms: number, zone: string): string {
  return formatLocalTime(ms - SECOND_MS, zone);
}

/** Beyond them a year is not written with four digits, in some zone. */
const [FIRST_MS, LAST_MS] = [Date.parse("1000-01-03"), Date.parse("9999-12-29")];

/** How far the clocks of `zone` are ahead of UTC. */
function zoneOffsetMs(ms: number, zone: string): number {
  const atMs = Math.min(Math.max(ms, FIRST_MS), LAST_MS);
  return Date.parse(`${formatLocalTime(atMs, zone)}Z`) - Math.floor(atMs / 1_000) * 1_000;
}

export function TimeRangeFields({ query }: { query: Query }) {
  const { zone } = useViewer();
  const spans = Object.entries(WITHIN).map(([name, { text }]) => [name, text] as const);
  return [
    <Select label="Received" name="within" any="Any time" of={spans} chosen={query.within} />,
    <div class="range">
      {Object.entries({ since: "From", until: "To" }).map(([name, label]) => (
        <label>
          {label} ({zone})
          <input type="datetime-local" name={name} value={query[name] ?? ""} />
        </label>
      ))}
    </div>,
  ];
}
