/** What the `run` row of a Subscriber holds: leases and shares, where fresh deliveries begin, health, and what was counted. */
import type { HourCounters } from "../domain/counters";
import type { Trigger } from "../domain/delivery";
import type { Health } from "../domain/health";
import type { EventId } from "../domain/ids";
import type { Happening } from "../domain/relay-events";
import type { Totals } from "../domain/totals";
import type { Place, Position } from "./position";

/** A period is being emptied into another, which has arrivals reserved for it: those below `seq`. */
export type Moving = { from: number; to: number; seq: number; atMs: number };

/** An attempt that may have left: on disk before the request is made. */
export type LeasedAttempt = {
  id: EventId;
  number: number;
  trigger: Trigger;
  /** The arrival position of a fresh delivery; null for one that waited. */
  fresh: Position | null;
};

/**
 * Attempts in the order of their start. No more than `window` of them are ever without a recorded outcome and
 * started, so of those without one only the first `window` may have left.
 */
export type Lease = { window: number; attempts: LeasedAttempt[] };

/**
 * Attempts that a Lane was given to make. What it knows of them is in its memory only; it has no more than its window
 * of them without an outcome on disk, as a lease.
 */
export type Share = {
  id: string;
  /** Which Lane of the webhook. */
  lane: number;
  /** How many it may have in flight. */
  slots: number;
  /** None of it starts later than this, Unix milliseconds. */
  lastStartAtMs: number;
  /** When nothing of it can be in flight any more, Unix milliseconds. */
  closesAtMs: number;
  /** Of the webhook's URL that it goes to. */
  urlVersion: number;
};
export type StoredShare = Share & { attempts: LeasedAttempt[] };

/** So many arrivals at most may be stored as leased behind the last save: a start reads them all. */
export const MAX_ARRIVALS_LEASED = 32;

export type Run = {
  lease: Lease;
  shares: StoredShare[];
  /** The `seq` of the newest arrival when this was saved: what was stored as leased behind it may have left, too. */
  arrivedTo: number;
  /** The first position that may hold a fresh delivery. */
  head: Position;
  /** Behind this nothing was attempted in the order of arrival; `head` where a release that does not know it was. */
  attemptedTo: Position;
  health: Health;
  /** The earliest start of the next attempt under a rate limit, Unix milliseconds. */
  nextStartAtMs: number;
  /** The running hour, without what came of the attempts in `lease` and `shares`: those count by their own rows. */
  hour: HourCounters;
  /**
   * How many deliveries have ended and were not opened again, as far as `hour` knows. With the number of those that
   * ever arrived it tells how many are pending, so that nobody has to count them.
   */
  ended: number;
  /** What ever happened, counted as `hour` is. */
  totals: Totals;
  /** How many deliveries are undeliverable, by the period that holds them, as far as they are counted. */
  undeliverable: Record<string, number>;
  /** Up to where they are; null when all of them are. */
  undeliverableTo: Place | null;
  /** What retention is in the middle of. */
  moving: Moving | null;
  /** Since when a `listener:` has no connection; null while it has one, and of every other webhook. */
  unconnectedSinceMs: number | null;
  /** What happened and is to be told of; and what the Registry is being told, until it has answered. */
  happenings: Happening[];
  told: Happening[];
  /** How often this row was saved, by any release. */
  saved: number;
  /**
   * The save up to which `ended` counts. A release that knows another way to count keeps this field as it finds it,
   * and moves `saved` on: what was counted is then counted anew.
   */
  endedAsOf: number;
};
