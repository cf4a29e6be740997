/** Times as people read them: relative, with the exact one in the visitor's zone on hover. */
import type { Context } from "hono";
import { getCookie } from "hono/cookie";
import { iso } from "../../domain/time";
import { useViewer } from "./session";

const RELATIVE = new Intl.RelativeTimeFormat("en");
/** Largest first. */
const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
] as const;
const JUST_NOW_MS = 2_000;
const DAY = { day: "numeric", month: "short", year: "numeric" } as const;
export const CLOCK = { hour: "2-digit", minute: "2-digit" } as const;
const SECOND = { second: "2-digit", timeZoneName: "short" } as const;

/** Set by the script (public/dashboard/live.js), the header for what becomes a part of a page that is there already. */
const ZONE_COOKIE = "leadterra-relay-zone";
const ZONE_HEADER = "leadterra-relay-zone";

/** The browser's own zone, as its script says; UTC until it has. */
export function zoneOf(c: Context): string {
  const zone = c.req.header(ZONE_HEADER) ?? getCookie(c, ZONE_COOKIE);
  if (zone === undefined) return "UTC";
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone;
  } catch {
    return "UTC";
  }
}

type TimeProps = { ms: number | null; none?: string; isAhead?: boolean; isSince?: boolean };

/**
 * @param ms Unix milliseconds; null shows `none`.
 * @param isAhead what is to come is never told as past: it is `now`
 * @param isSince behind that word stands the clock, `21:14 (3 minutes ago)`
 */
export function Time({ ms, none = "–", isAhead = false, isSince = false }: TimeProps) {
  const { nowMs } = useViewer();
  if (ms === null) return <span class="quiet">{none}</span>;
  const distance = isAhead && ms < nowMs + JUST_NOW_MS ? "now" : relativeTime(ms, nowMs);
  const clock = clockTime(ms, nowMs);
  return (
    <time
      datetime={iso(ms)}
      title={exactTime(ms)}
      data-ahead={isAhead || undefined}
      data-since={isSince || undefined}
    >
      {isSince ? `${clock} (${distance})` : `${distance} (${clock})`}
    </time>
  );
}

/** `3 minutes ago`, `in 2 hours`. The script repeats this rule (public/dashboard/live.js). */
function relativeTime(ms: number, nowMs: number): string {
  const distanceMs = Math.abs(ms - nowMs);
  if (distanceMs < JUST_NOW_MS) return "just now";
  const [unit, lengthMs] = UNITS.find(([, length]) => distanceMs >= length) ?? ["second", 1_000];
  return RELATIVE.format(Math.trunc((ms - nowMs) / lengthMs), unit);
}

/** `21:14`; of another day than today `23 Nov 2026, 21:14`. The script repeats this rule too. */
function clockTime(ms: number, nowMs: number): string {
  return dayOf(ms) === dayOf(nowMs) ? clockOf(ms) : `${dayOf(ms)}, ${clockOf(ms)}`;
}

const dayOf = timesAs(DAY);
const clockOf = timesAs(CLOCK);

/** `Mon 23 Nov 2026, 21:14:35 CET`. */
export const exactTime = timesAs({ weekday: "short", ...DAY, ...CLOCK, ...SECOND });

/**
 * What writes times, in the viewer's zone where none is given. To make a format takes longer than to write a page full of
 * times with it: it is kept for as long as the zone is the same.
 */
export function timesAs(shown: Intl.DateTimeFormatOptions, locale = "en-GB") {
  let kept: { zone: string; format: Intl.DateTimeFormat } | null = null;
  return (ms: number, zone = useViewer().zone): string => {
    if (kept?.zone !== zone) {
      kept = { zone, format: new Intl.DateTimeFormat(locale, { ...shown, timeZone: zone }) };
    }
    return kept.format.format(ms);
  };
}
