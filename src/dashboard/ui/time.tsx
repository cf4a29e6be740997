/** Times as people read them: relative, with the exact one in the visitor's zone on hover. */

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Largest first. */
const UNITS = [
  ["day", DAY_MS],
  ["hour", HOUR_MS],
  ["minute", MINUTE_MS],
  ["second", SECOND_MS],
] as const;
const JUST_NOW_MS = 2_000;

/**
 * The zone that Cloudflare sees the visitor in; UTC where it sees none. The script, where it runs, puts the exact
 * times into the browser's own zone.
 */
export function zoneOf(request: Request): string {
  const zone = request.cf?.timezone;
  if (typeof zone !== "string") return "UTC";
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone;
  } catch {
    return "UTC";
  }
}

/** @param ms Unix milliseconds; null shows `none`. */
export function Time({ ms, zone, none = "–" }: { ms: number | null; zone: string; none?: string }) {
  if (ms === null) return <span class="quiet">{none}</span>;
  return (
    <time datetime={new Date(ms).toISOString()} title={exactTime(ms, zone)}>
      {relativeTime(ms, Date.now())}
    </time>
  );
}

/** `3 minutes ago`, `in 2 hours`. The script repeats this rule (client/live.js). */
export function relativeTime(ms: number, nowMs: number): string {
  const distanceMs = Math.abs(ms - nowMs);
  if (distanceMs < JUST_NOW_MS) return "just now";
  const [unit, lengthMs] = UNITS.find(([, length]) => distanceMs >= length) ?? ["second", 1_000];
  const count = Math.floor(distanceMs / lengthMs);
  const amount = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return ms < nowMs ? `${amount} ago` : `in ${amount}`;
}

/** `Mon 23 Nov 2026, 21:14:35 CET`. */
export function exactTime(ms: number, zone: string): string {
  return new Intl.DateTimeFormat("en-GB", {
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZone: zone,
    timeZoneName: "short",
  }).format(ms);
}

/** `212 ms`, `3.4 s`. */
export function duration(ms: number | null): string {
  if (ms === null) return "–";
  return ms < SECOND_MS ? `${Math.round(ms)} ms` : `${(ms / SECOND_MS).toFixed(1)} s`;
}
