/** What the judge knows of one Subscriber: every request that it made, and what it had stored a step ago. */
import type { AttemptRecord } from "../../src/domain/delivery";
import type { Row } from "./look";
import type { Ending, Request } from "./network";
import type { SimulatedObject } from "./objects";

export type Attempt = {
  readonly request: Request;
  readonly eventId: string;
  readonly number: number;
  readonly isTest: boolean;
  /** It is of one of the relay's own events. */
  readonly isOwn: boolean;
  readonly rateLimit: number | null;
  /** The version that brought the URL that it went to. */
  readonly urlVersion: number;
  readonly startedWhileProbing: boolean;
  ending: Ending | null;
  endedAtMs: number | null;
  /** The Subscriber has been told, where a Lane made it. */
  heard: boolean;
  /** The instance was gone before the outcome was on disk. */
  lost: boolean;
};

/** The judge's own account of what the outcomes say (docs/contract.md). */
export type Reckoning = {
  succeededAtMs: number | null;
  failedAtMs: number | null;
  failuresInARow: number;
  /** Three in a row, or one without a success in the five minutes before; until the next success. */
  failing: boolean;
  probing: boolean;
  lastProbeEndedAtMs: number | null;
  postponedUntilMs: number | null;
  /** When a service last asked for a pause. */
  pauseAskedAtMs: number | null;
  /** What was told of this probing: that it began, or nothing because a person brought it about. */
  told: "failing" | "resumed" | null;
  gone: boolean;
};

export const FRESH_RECKONING: Reckoning = {
  succeededAtMs: null,
  failedAtMs: null,
  failuresInARow: 0,
  failing: false,
  probing: false,
  lastProbeEndedAtMs: null,
  postponedUntilMs: null,
  pauseAskedAtMs: null,
  told: null,
  gone: false,
};

export function isOfLane({ request }: Attempt): boolean {
  return request.instance.object.className === "Lane";
}

export class Book {
  readonly object: SimulatedObject;
  rows = new Map<string, Row>();
  /** As they were read last; the same list as long as nothing of it is written. */
  rowsSeen: readonly Row[] = [];
  readonly attempts = new Map<string, Attempt[]>();
  /** Every line of an attempt log that was seen, by number; the stored log forgets old ones. */
  readonly logs = new Map<string, Map<number, AttemptRecord>>();
  /** The attempts that a delivery had when it was last opened again. */
  readonly openedAt = new Map<string, number>();
  /** When a retention took a delivery. */
  readonly goneAtMs = new Map<string, number>();
  readonly inFlight = new Set<Attempt>();
  /** Left, and not known to be on disk. */
  unrecorded: Attempt[] = [];
  interruptedInLife = 0;
  last: Attempt | null = null;
  /** When attempts started under the limit of the last of them. */
  starts: number[] = [];
  reckoning: Reckoning = FRESH_RECKONING;
  /** When a success and a failure ended in one millisecond: which came first only the code knows; else null. */
  tiedAtMs: number | null = null;
  /** How often the run had been written when the last ended, since then. */
  tiedSaved = 0;
  settingsVersion = 0;
  /** Which write of the run was followed that a full disk may have kept back; null where none was. */
  lateRun: number | null = null;

  /** What was reckoned is not what the object knows: until the run is written. */
  get isUnsure(): boolean {
    return this.tiedAtMs !== null || this.lateRun !== null;
  }

  writesSeen = -1;
  commitsSeen = -1;
  clockworkSeen = "";
  /** When it was said, after the step before, that the next attempt of each delivery starts, Unix milliseconds. */
  said: ReadonlyMap<string, number> = new Map();
  refusedWrites = 0;
  /** Of today's code from the first, and nothing of it is past its retention. */
  keptAll: boolean;
  /** Calls that ran in the present step, and a while before it where there are Lanes; `atMs` as of `Evidence.passedMs`. */
  calls: { method: string; args: unknown[]; atMs: number }[] = [];
  /** When the share of an attempt (event id, number) may be closed, Unix milliseconds. */
  readonly closings = new Map<string, number>();
  /** Lanes were given attempts of it. */
  hasLanes = false;
  /** Since when its alarm is later than what is due, with nothing leased; null when it is not. */
  unleasedSinceMs: number | null = null;

  constructor(object: SimulatedObject) {
    this.object = object;
    this.keptAll = !object.isReleased;
  }

  attemptsOf(eventId: string): Attempt[] {
    let list = this.attempts.get(eventId);
    if (list === undefined) {
      list = [];
      this.attempts.set(eventId, list);
    }
    return list;
  }

  /** One that a crash kept from leaving gives its number to the next. */
  attempt(eventId: string, number: number): Attempt | null {
    const attempts = this.attemptsOf(eventId);
    return attempts.findLast((attempt) => attempt.number === number) ?? null;
  }

  /** The delivery is past its retention; should the event come again, it is a new one. */
  forget(eventId: string, nowMs: number): void {
    this.keptAll = false;
    this.goneAtMs.set(eventId, nowMs);
    this.attempts.delete(eventId);
    this.logs.delete(eventId);
    this.openedAt.delete(eventId);
  }

  attemptFor(request: Request): Attempt | null {
    for (const attempt of this.inFlight) if (attempt.request === request) return attempt;
    return null;
  }

  /** Whoever made them is gone. */
  forgetInFlight(isGone: (attempt: Attempt) => boolean): void {
    for (const attempt of this.inFlight) if (isGone(attempt)) this.inFlight.delete(attempt);
    this.unrecorded = this.unrecorded.filter((attempt) => !isGone(attempt));
  }

  get allAttempts(): Attempt[] {
    return [...this.attempts.values()].flat();
  }

  logOf(eventId: string): Map<number, AttemptRecord> {
    let log = this.logs.get(eventId);
    if (log === undefined) {
      log = new Map();
      this.logs.set(eventId, log);
    }
    return log;
  }
}
