/** Reading the journals of several days as one. */
import { configOf } from "../config";
import { type EventFilter, type JsonObject, parseEvent } from "../domain/event";
import { addTotals, type EventTotals, furthest } from "../domain/event-totals";
import type { EventId } from "../domain/ids";
import { NewerDataError, SilentError } from "../domain/no-answer";
import { journalName, journalNames } from "../domain/placement";
import { DAY_MS } from "../domain/time";
import type { JournalEvent, StoredEvent } from "../storage/journal-store";
import type { Position } from "../storage/position";
import { answerOf, journalOf, registry, type Unanswered } from "./objects";

/** Without a `RETENTION` that parses nothing is deleted; so far back is looked. */
const DEFAULT_DAYS = 31;
/** A Worker has six connections. */
const DAYS_AT_A_TIME = 6;
/** Tomorrow, because clocks differ, and today. */
const LATEST_DAYS = 2;
const MAX_BODIES_BYTES = 4 * 1024 * 1024;
/** A relay that got nothing lately has many empty days: looking into each would cost a call. */
const LATEST_WITHIN_MS = 7 * DAY_MS;
/** Of a thousand events each: what is rare stands far behind what is not. */
const LATEST_PAGES = 10;

/** Where a list of events goes on. `ahead`: these came already, though they are behind it. */
export type EventCursor = { day: string; position: Position | null; ahead?: readonly string[] };

type Page<Place> = { events: JournalEvent[]; next: Place | null };

/** The days that may have a journal, newest first. */
export function journalDays(env: Env, { sinceMs, untilMs }: EventFilter = {}): string[] {
  const nowMs = Date.now();
  const retentionMs = configOf(env).retentionMs ?? DEFAULT_DAYS * DAY_MS;
  const oldestMs = nowMs - retentionMs - DAY_MS;
  // Tomorrow too: the queue's clock may be ahead of this one.
  return journalNames(
    Math.max(sinceMs ?? 0, oldestMs),
    Math.min(untilMs ?? nowMs + DAY_MS, nowMs + DAY_MS),
  );
}

/** Those too that a `RETENTION` which was made shorter has left behind, until the sweep comes to them. */
export async function everyJournalDay(env: Env): Promise<string[]> {
  const days = new Set([...journalDays(env), ...(await registry(env).eventDays())]);
  return [...days].sort().reverse();
}

/** Erases what the journals of `days` have of events. @returns how many they had, over all days. */
export async function eraseFromJournals(env: Env, days: readonly string[], ids: EventId[]) {
  let erased = 0;
  for await (const group of sideBySide(env, days)) {
    const counts = await Promise.all(group.map((day) => journalOf(env, day).eraseMany(ids)));
    erased += counts.reduce((sum, count) => sum + count, 0);
  }
  return erased;
}

/**
 * Events newest first, over the days. A page may be short, or empty, while `next` goes on.
 *
 * @param from `among`: the days that are looked into; those of `RETENTION` where it is left out.
 * @param unanswered gets the days that do not answer, which are passed over; see `answerOf`.
 */
export async function listEvents(
  env: Env,
  filter: EventFilter,
  from: { cursor: EventCursor | null; limit: number; among?: readonly string[] },
  unanswered?: Unanswered[],
): Promise<Page<EventCursor>> {
  const { cursor, limit, among = journalDays(env, filter) } = from;
  const events: JournalEvent[] = [];
  const days = among.filter((day) => cursor === null || day <= cursor.day);
  for await (const group of sideBySide(env, days)) {
    const room = limit - events.length;
    const list = async (day: string): Promise<Page<Position>> => {
      const before = cursor !== null && cursor.day === day ? cursor.position : null;
      const asked = { ...filter, limit: room, ...(before && { before }) };
      const answer = () => journalOf(env, day).list(asked);
      return (await answerOf(`Journal ${day}`, answer, unanswered)) ?? { events: [], next: null };
    };
    const pages = await Promise.all(group.map(list));
    for (const [index, page] of pages.entries()) {
      const day = group[index] ?? "";
      const taken = page.events.slice(0, limit - events.length);
      events.push(...taken);
      const position = taken.length < page.events.length ? taken.at(-1)?.position : page.next;
      if (position) return { events, next: { day, position } };
      // What this day has is whole, and the page too.
      if (events.length === limit) return { events, next: await nextDay(env, days, day) };
    }
  }
  return { events, next: null };
}

/**
 * Newest first, and few of them: where something came lately, no older day has to be asked. Those of before the first
 * event are left out.
 */
async function* sideBySide(env: Env, days: readonly string[]): AsyncGenerator<string[]> {
  yield days.slice(0, LATEST_DAYS);
  const rest = days.slice(LATEST_DAYS);
  const firstDay = rest.length > 0 ? await firstDayOf(env) : "";
  const asked = rest.filter((day) => day >= firstDay);
  for (let index = 0; index < asked.length; index += DAYS_AT_A_TIME) {
    yield asked.slice(index, index + DAYS_AT_A_TIME);
  }
}

/** Before it no day has an event; where that is not known, the first that there can be. */
async function firstDayOf(env: Env): Promise<string> {
  // An object of the release before does not know.
  const firstAtMs = await registry(env)
    .firstEventAtMs()
    .catch(() => null);
  return journalName(firstAtMs ?? 0);
}

/** null where no older day has an event. */
async function nextDay(env: Env, days: readonly string[], after: string) {
  const day = days[days.indexOf(after) + 1];
  return day === undefined || day < (await firstDayOf(env)) ? null : { day, position: null };
}

/** An event as the journal has it, with what it says. */
export type ReadEvent = { event: JournalEvent; envelope: JsonObject };

/**
 * The latest events that were not erased, newest first, of the last week at most: to try a filter on.
 *
 * @param names of which name; null for every one.
 * @param unanswered as for `listEvents`.
 */
export async function latestEvents(
  env: Env,
  { names, count }: { names: readonly string[] | null; count: number },
  unanswered?: Unanswered[],
): Promise<ReadEvent[]> {
  const filter = { sinceMs: Date.now() - LATEST_WITHIN_MS, ...(names !== null && { names }) };
  const latest: JournalEvent[] = [];
  let cursor: EventCursor | null = null;
  for (let page = 0; page < LATEST_PAGES && latest.length < count; page++) {
    const from = { cursor, limit: count };
    const { events, next } = await listEvents(env, filter, from, unanswered);
    latest.push(...events.filter((each) => !each.erased && names?.includes(each.event) !== false));
    if (next === null) break;
    cursor = next;
  }
  return readEvents(env, latest.slice(0, count), unanswered);
}

/** What these events say, in their order; those whose body is gone are left out. @param unanswered as for `listEvents`. */
export async function readEvents(
  env: Env,
  events: readonly JournalEvent[],
  unanswered?: Unanswered[],
): Promise<ReadEvent[]> {
  const bodies = new Map<EventId, Uint8Array>();
  for (const [day, some] of Map.groupBy(events, (one) => journalName(one.receivedAtMs))) {
    const ids = some.map(({ id }) => id);
    const read = async () => {
      for await (const found of bodiesOfDay(env, day, ids)) {
        for (const { id, body } of found) bodies.set(id, body);
      }
    };
    await answerOf(`Journal ${day}`, read, unanswered);
  }
  const read: ReadEvent[] = [];
  for (const event of events) {
    const body = bodies.get(event.id);
    const parsed = body === undefined ? null : await parseEvent(body);
    if (parsed?.ok) read.push({ event, envelope: parsed.value.envelope });
  }
  return read;
}

/** The event as the newest day that has it recorded it; null when none has. @param unanswered as for `listEvents`. */
export function findEvent(env: Env, id: EventId, unanswered?: Unanswered[]) {
  return overDays(env, (day) => journalOf(env, day).get(id), unanswered);
}

/** The event's raw body, from the day that `findEvent` found it in; null when it is erased. */
export async function bodyOf(
  env: Env,
  { id, receivedAtMs }: Pick<JournalEvent, "id" | "receivedAtMs">,
): Promise<StoredEvent | null> {
  return bodyIn(env, journalName(receivedAtMs), id);
}

/** The event's name and raw body; null when they are erased or past their retention. @param unanswered as for `listEvents`. */
export function findBody(env: Env, id: EventId, unanswered?: Unanswered[]) {
  return overDays(env, (day) => bodyIn(env, day, id), unanswered);
}

async function bodyIn(env: Env, day: string, id: EventId): Promise<StoredEvent | null> {
  const { found } = await journalOf(env, day).bodies([id], MAX_BODIES_BYTES);
  return found[0] ?? null;
}

/**
 * When the last event came in, Unix milliseconds, also where its journal has gone; null when none ever came.
 *
 * @param unanswered as for `listEvents`; null then also where a day is among them that may have a later one.
 */
export async function lastEventAtMs(env: Env, unanswered?: Unanswered[]): Promise<number | null> {
  const lastOf = async (day: string) => (await journalOf(env, day).stats([])).lastAtMs ?? "none";
  for await (const group of sideBySide(env, journalDays(env))) {
    const asked = group.map((day) => answerOf(`Journal ${day}`, () => lastOf(day), unanswered));
    const lastAtMs = (await Promise.all(asked)).find((each) => each !== "none");
    if (lastAtMs !== undefined) return lastAtMs;
  }
  return (await registry(env).eventTotals([])).others.lastAtMs;
}

/** What ever came: the days that may still count by their own word, the others by what they handed over. */
export async function eventTotals(env: Env): Promise<EventTotals> {
  const nowMs = Date.now();
  const days = journalNames(nowMs - DAY_MS, nowMs + DAY_MS);
  const counted = await Promise.all(
    days.map(async (day) => [day, await journalOf(env, day).totals()] as const),
  );
  const handedOver = await registry(env).eventTotals(days);
  const known = counted.map(([day, totals]) => furthest([totals, handedOver.days[day] ?? totals]));
  return addTotals([handedOver.others, ...known]);
}

/**
 * From the newest day that has it.
 *
 * @param unanswered without it, it is an error when none has it of those that answer, and one does not.
 */
async function overDays<T>(
  env: Env,
  look: (day: string) => Promise<T | null>,
  unanswered?: Unanswered[],
): Promise<T | null> {
  const named = unanswered ?? [];
  for await (const group of sideBySide(env, journalDays(env))) {
    const asked = group.map((day) => answerOf(`Journal ${day}`, () => look(day), named));
    const found = (await Promise.all(asked)).find((each) => each !== null);
    if (found !== undefined) return found;
  }
  const [silent] = unanswered === undefined ? named : [];
  if (silent?.code === "newer_data") throw new NewerDataError(silent.object);
  if (silent !== undefined) throw new SilentError(silent.object);
  return null;
}

/**
 * Bodies of many events, in groups that fit into one call. What is erased or past its retention is left out.
 *
 * @param wanted ids with a time on or after the day that received them, where a body is looked for first.
 */
export async function* findBodies(
  env: Env,
  wanted: readonly { id: EventId; createdAtMs: number }[],
): AsyncGenerator<StoredEvent[]> {
  const missing = new Set(wanted.map(({ id }) => id));
  for (const [day, some] of Map.groupBy(wanted, (one) => journalName(one.createdAtMs))) {
    const ids = some.map(({ id }) => id);
    for await (const found of bodiesOfDay(env, day, ids)) {
      for (const { id } of found) missing.delete(id);
      yield found;
    }
  }
  // A backfilled delivery is younger than the day that received its event.
  yield* searchBodies(env, [...missing]);
}

/**
 * Bodies of events of which only the ids are known, in groups that fit into one call; newest day first, until all
 * are found: one call a day, however many they are. What is erased or past its retention is left out.
 */
export async function* searchBodies(env: Env, ids: readonly EventId[]) {
  const missing = new Set(ids);
  if (missing.size === 0) return;
  for await (const group of sideBySide(env, journalDays(env))) {
    for (const day of group) {
      for await (const found of bodiesOfDay(env, day, [...missing])) {
        for (const { id } of found) missing.delete(id);
        yield found;
      }
      if (missing.size === 0) return;
    }
  }
}

async function* bodiesOfDay(env: Env, day: string, ids: EventId[]): AsyncGenerator<StoredEvent[]> {
  for (let left = ids; left.length > 0; ) {
    const page = await journalOf(env, day).bodies(left, MAX_BODIES_BYTES);
    if (page.found.length > 0) yield page.found;
    left = page.left;
  }
}
