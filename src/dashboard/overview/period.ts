/** What the overview looks back over, and in which steps. */
import { DAY_MS, HOUR_MS } from "../../domain/time";
import { type KnownStats, type Step, sumOf } from "../../operations/stats";

/** Bars of a week are of so many hours. */
const HOURS_PER_BAR = 4;

/** By the name it has in the query. */
export const PERIODS = {
  hour: { name: "Hour", lengthMs: HOUR_MS, words: "the last hour" },
  day: { name: "Day", lengthMs: DAY_MS, words: "the last day" },
  week: { name: "Week", lengthMs: 7 * DAY_MS, words: "the last week" },
} as const;
export type Period = keyof typeof PERIODS;

const DEFAULT_PERIOD: Period = "day";

export function parsePeriod(text: string | undefined): Period {
  return text !== undefined && Object.hasOwn(PERIODS, text) ? (text as Period) : DEFAULT_PERIOD;
}

/** So that a day has 24 bars, and a week 168 hours. */
export function firstHourMs(over: Period, nowMs: number): number {
  return over === "hour" ? nowMs - HOUR_MS : nowMs - PERIODS[over].lengthMs + HOUR_MS;
}

/** The bars of a period, oldest first. */
export function stepsOf({ hours, recent }: Pick<KnownStats, "hours" | "recent">, over: Period) {
  if (over === "hour") return recent;
  if (over === "day") return hours;
  return inGroups(hours, HOURS_PER_BAR);
}

/** Groups end with the newest step, so that only the oldest may be short. */
function inGroups(steps: readonly Step[], size: number): Step[] {
  const groups: Step[] = [];
  for (let end = steps.length; end > 0; end -= size) {
    const group = steps.slice(Math.max(0, end - size), end);
    groups.unshift({
      atMs: group[0]?.atMs ?? 0,
      events: sumOf(group, "events"),
      delivered: sumOf(group, "delivered"),
      failedAttempts: sumOf(group, "failedAttempts"),
    });
  }
  return groups;
}
