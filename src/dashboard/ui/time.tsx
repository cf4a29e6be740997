/** Times as people read them: relative, with the exact one in the visitor's zone on hover. */
import { useViewer } from "./viewer";

const RELATIVE = new Intl.RelativeTimeFormat("en");
/** Largest first. */
const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
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
export function Time({ ms, none = "–" }: { ms: number | null; none?: string }) {
  const { zone, nowMs } = useViewer();
  if (ms === null) return <span class="quiet">{none}</span>;
  return (
    <time datetime={new Date(ms).toISOString()} title={exactTime(ms, zone)}>
      {relativeTime(ms, nowMs)}
    </time>
  );
}

/** `3 minutes ago`, `in 2 hours`. The script repeats this rule (public/dashboard/live.js). */
export function relativeTime(ms: number, nowMs: number): string {
  const distanceMs = Math.abs(ms - nowMs);
  if (distanceMs < JUST_NOW_MS) return "just now";
  const [unit, lengthMs] = UNITS.find(([, length]) => distanceMs >= length) ?? ["second", 1_000];
  return RELATIVE.format(Math.trunc((ms - nowMs) / lengthMs), unit);
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
