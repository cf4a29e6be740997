/**
 * What the `run` row of a Subscriber holds: leases and shares, where fresh deliveries begin, health, and what was counted.
 * It is read as `domain/tolerant.ts` says.
 */
import * as z from "zod/mini";
import { storedHour } from "../domain/counters";
import { storedHealth } from "../domain/health";
import { MAX_IN_FLIGHT } from "../domain/pace";
import type { Happening, RelayEventName } from "../domain/relay-events";
import * as t from "../domain/tolerant";
import { storedTotals } from "../domain/totals";
import type { Place, Position } from "./position";
import { eventId, reading, trigger } from "./stored-json";

const position: z.ZodMiniType<Position> = t.fields({ seq: t.number, index: t.number });
const place: z.ZodMiniType<Place> = t.fields({ period: t.number, seq: t.number, index: t.number });

/** A period is being emptied into another, which has arrivals reserved for it: those below `seq`. */
export type Moving = z.output<typeof moving>;
const moving = t.loose({ from: z.number(), to: z.number(), seq: z.number(), atMs: z.number() });

const discarded = t.loose({ call: z.string(), count: z.number(), next: z.nullable(position) });

/** An attempt that may have left: on disk before the request is made. */
export type LeasedAttempt = z.output<typeof leasedAttempt>;
const leasedAttempt = t.loose({
  id: eventId,
  number: t.first,
  trigger,
  /** The arrival position of a fresh delivery; null for one that waited. */
  fresh: z.catch(z.nullable(position), null),
});

/** As tuples: hundreds of them are written with each share. */
const sharedAttempt = t.turned(
  z.tuple([eventId, t.first, trigger], z.unknown()),
  ([id, number, trigger, seq, index]): LeasedAttempt => {
    const fresh = position.parse({ seq, index });
    return { id, number, trigger, fresh: seq === undefined ? null : fresh };
  },
);

/**
 * Attempts that a Lane was given to make. What it knows of them is in its memory only; it has no more than its window
 * of them without an outcome on disk, as a lease.
 */
export type StoredShare = z.output<typeof share>;
export type Share = Omit<StoredShare, "attempts">;
const share = t.fields({
  id: t.text,
  lane: t.number,
  /** How many it may have in flight. */
  slots: z.catch(z.number(), MAX_IN_FLIGHT),
  /** None of it starts later than this, Unix milliseconds. */
  lastStartAtMs: t.number,
  /** When nothing of it can be in flight any more, Unix milliseconds. */
  closesAtMs: t.number,
  /** Of the webhook's URL that it goes to. */
  urlVersion: t.number,
  attempts: t.list(sharedAttempt),
});

/** A share without an id gets one that no Lane knows: what is leased in it is closed as interrupted and goes again. */
const shares = t.turned(t.list(share), (all) =>
  all.map((each, index) => ({ ...each, id: each.id || `unnamed ${index}` })),
);

const happenings: z.ZodMiniType<Happening[]> = t.list(
  z.looseObject({
    event: z.custom<RelayEventName>(t.isText),
    count: t.first,
    eventId: t.textOrNull,
  }),
);

/** So many arrivals at most may be stored as leased behind the last save: a start reads them all. */
export const MAX_ARRIVALS_LEASED = 32;

export type Run = z.output<typeof run>;
const run = t.fields({
  /**
   * Attempts in the order of their start. No more than `window` of them are ever without a recorded outcome and
   * started, so of those without one only the first `window` may have left.
   */
  lease: t.fields({ window: t.number, attempts: t.list(leasedAttempt) }),
  shares,
  /** The `seq` of the newest arrival when this was saved: what was stored as leased behind it may have left, too. */
  arrivedTo: t.number,
  /** The first position that may hold a fresh delivery. */
  head: position,
  /** Behind this nothing was attempted in the order of arrival; `head` where a release that does not know it was. */
  attemptedTo: position,
  health: storedHealth,
  /** The earliest start of the next attempt under a rate limit, Unix milliseconds. */
  nextStartAtMs: t.number,
  /** Since when a `listener:` has no connection, Unix milliseconds; null while it has one, and of every other webhook. */
  unconnectedSinceMs: t.numberOrNull,
  /** The running hour, without what came of the attempts in `lease` and `shares`: those count by their own rows. */
  hour: storedHour,
  /**
   * How many deliveries have ended and were not opened again, as far as `hour` knows. With the number of those that
   * ever arrived it tells how many are pending, so that nobody has to count them.
   */
  ended: t.number,
  /** What ever happened, counted as `hour` is. */
  totals: storedTotals,
  /** How many deliveries are undeliverable, by the period that holds them, as far as they are counted. */
  undeliverable: t.counts,
  /** Up to where they are; null when all of them are. Where none is written down, nothing is counted yet. */
  undeliverableTo: z.catch(z.nullable(place), () => place.parse({})),
  /** What retention is in the middle of; whole or not at all: it then reserves a way anew. */
  moving: z.catch(z.nullable(moving), null),
  /** What the last call to discard, or to hasten, came to: it is answered so again, where a restart kept the answer back. */
  discarded: z.catch(z.nullable(discarded), null),
  /** What happened and is to be told of; and what the Registry is being told, until it has answered. */
  happenings,
  told: happenings,
  /** How often this row was saved, by any release. */
  saved: t.number,
  /**
   * The save up to which `ended` counts. A release that knows another way to count keeps this field as it finds it,
   * and moves `saved` on: what was counted is then counted anew.
   */
  endedAsOf: t.number,
  /** The save up to which `attempts_T` has all attempts: release 0.2.0 writes none down there. */
  attemptsAsOf: t.number,
});

export const runOf = reading(run);
export const hourOf = reading(storedHour);

/** What `runOf` reads. */
export function jsonOfRun(given: Run): string {
  const tuple = ({ id, number, trigger, fresh }: LeasedAttempt) =>
    fresh === null ? [id, number, trigger] : [id, number, trigger, fresh.seq, fresh.index];
  const shares = given.shares.map((each) => ({ ...each, attempts: each.attempts.map(tuple) }));
  return JSON.stringify({ ...given, shares });
}
