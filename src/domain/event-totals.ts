/** How many of Leadterra's events came, ever or within a day: these counters only grow. Pure. */
import { EVENT_TYPES } from "./event";
import { isRelayEvent } from "./relay-events";

/** `events` by name; `duplicates` are copies that reached a Journal which has the event. */
export type EventTotals = {
  events: Record<string, number>;
  duplicates: number;
  /** When the newest was received, Unix milliseconds; null without any. */
  lastAtMs: number | null;
};

const OTHER = "other";

export function noEvents(): EventTotals {
  return { events: {}, duplicates: 0, lastAtMs: null };
}

/**
 * The name under which an event counts: those that Leadterra documents and those that a webhook asks for, so that
 * nobody makes series without end; null for the relay's own. It is settled when the event is recorded: what a name
 * came to before somebody asked for it stays where it was counted.
 */
export function countedAs(name: string, asked: ReadonlySet<string>): string | null {
  if (isRelayEvent(name)) return null;
  return Object.hasOwn(EVENT_TYPES, name) || asked.has(name) ? name : OTHER;
}

export type Counted = { as: string | null; receivedAtMs: number };

/** The totals after events were recorded, and copies of recorded ones passed over. */
export function countEvents(
  before: EventTotals,
  { fresh, duplicates }: { fresh: readonly Counted[]; duplicates: number },
): EventTotals {
  const each = fresh.flatMap(({ as, receivedAtMs: lastAtMs }) =>
    as === null ? [] : { events: { [as]: 1 }, duplicates: 0, lastAtMs },
  );
  return { ...before, ...addTotals([before, ...each, { ...noEvents(), duplicates }]) };
}

/** An event may be called `constructor`, or `__proto__`. */
function countsOf({ events }: EventTotals): Map<string, number> {
  return new Map(Object.entries(events));
}

export function addTotals(all: readonly EventTotals[]): EventTotals {
  return merged(all, (a, b) => a + b);
}

/** Of several accounts of the same day the one that is further. */
export function furthest(all: readonly EventTotals[]): EventTotals {
  return merged(all, Math.max);
}

function merged(all: readonly EventTotals[], put: (a: number, b: number) => number): EventTotals {
  const into = noEvents();
  const counts = countsOf(into);
  for (const each of all) {
    for (const [name, count] of countsOf(each)) counts.set(name, put(counts.get(name) ?? 0, count));
    into.duplicates = put(into.duplicates, each.duplicates);
    into.lastAtMs = Math.max(into.lastAtMs ?? 0, each.lastAtMs ?? 0) || null;
  }
  return { ...into, events: Object.fromEntries(counts) };
}
