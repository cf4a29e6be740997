/**
 * JSON in rows, as it is read: parsed, with a default for every field at every depth. What an older release wrote may
 * lack a field; what a newer one wrote may have more, which are kept and written back. Fields are never renamed, and
 * never change their meaning.
 *
 * A type that gets a field gets its default here; the compiler asks for it.
 */
import * as z from "zod";
import type { HourCounters } from "../domain/counters";
import { type AttemptError, type AttemptRecord, TRIGGERS } from "../domain/delivery";
import { isObject } from "../domain/event";
import type { EventTotals } from "../domain/event-totals";
import type { Filter } from "../domain/filter";
import type { Health } from "../domain/health";
import type { EventId, WebhookId } from "../domain/ids";
import { MAX_IN_FLIGHT } from "../domain/pace";
import type { Happening, RelayEventName } from "../domain/relay-events";
import { emptyTotals, type Totals } from "../domain/totals";
import { DEFAULTS, type SigningSecret, type Webhook } from "../domain/webhook";
import type { Place, Position } from "./position";
import type { Lease, LeasedAttempt, Moving, Run, StoredShare } from "./run";

/** An array without those elements that cannot be read: none costs another. */
function list<T>(element: z.ZodType<T>) {
  return z
    .array(z.unknown())
    .catch([])
    .transform((given) => given.flatMap((each) => readable(element, each)));
}

/** The same of an object's values, also of one that is called `__proto__`, which zod leaves out. */
function record<T>(value: z.ZodType<T>) {
  return z
    .custom<object>(isObject)
    .transform((given) =>
      Object.fromEntries(
        Object.entries(given).flatMap(([key, each]) =>
          readable(value, each).map((read) => [key, read] as const),
        ),
      ),
    );
}

function readable<T>(schema: z.ZodType<T>, given: unknown): T[] {
  const { success, data } = schema.safeParse(given);
  return success ? [data] : [];
}

/** An object with fields that have defaults, and any others. */
function fields<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const schema = z.looseObject(shape);
  return schema.catch(() => schema.parse({}));
}

const number = z.number().catch(0);
const numberOrNull = z.number().nullable().catch(null);
/** Of an attempt, or how often something happened. */
const first = z.number().catch(1);
const text = z.string().catch("");
const textOrNull = z.string().nullable().catch(null);
const yes = z.boolean().catch(false);
const trigger = z.enum(TRIGGERS).catch("scheduled");
const eventId = z.custom<EventId>(isText);
const webhookId = z.custom<WebhookId>(isText);
/** Errors and reasons of a newer release are shown as they are. */
const error = z.custom<AttemptError>(isText);

function isText(value: unknown): boolean {
  return typeof value === "string";
}

// --- Subscriber ---------------------------------------------------------------------------------------------

const position: z.ZodType<Position> = fields({ seq: number, index: number });

const place: z.ZodType<Place> = fields({ period: number, seq: number, index: number });

/** Whole or not at all: retention then reserves a way anew. */
const moving: z.ZodType<Moving | null> = z
  .looseObject({ from: z.number(), to: z.number(), seq: z.number(), atMs: z.number() })
  .nullable()
  .catch(null);

const leasedAttempt: z.ZodType<LeasedAttempt> = z.looseObject({
  id: eventId,
  number: first,
  trigger,
  fresh: position.nullable().catch(null),
});

/** As tuples: hundreds of them are written with each share. */
const sharedAttempt = z
  .tuple([eventId, first, trigger])
  .rest(z.unknown())
  .transform(([id, number, trigger, seq, index]): LeasedAttempt => {
    const fresh = position.parse({ seq, index });
    return { id, number, trigger, fresh: seq === undefined ? null : fresh };
  });

const lease: z.ZodType<Lease> = fields({ window: number, attempts: list(leasedAttempt) });

const share: z.ZodType<StoredShare> = fields({
  id: text,
  lane: number,
  slots: z.number().catch(MAX_IN_FLIGHT),
  lastStartAtMs: number,
  closesAtMs: number,
  urlVersion: number,
  attempts: list(sharedAttempt),
});

/** A share without an id gets one that no Lane knows: what is leased in it is closed as interrupted and goes again. */
const shares = list(share).transform((all) =>
  all.map((each, index) => ({ ...each, id: each.id || `unnamed ${index}` })),
);

/** Not without the event that it can be seen at. */
const lastFailure: z.ZodType<Health["lastFailure"]> = z
  .looseObject({
    atMs: number,
    eventId,
    statusCode: numberOrNull,
    error: error.catch("status"),
    responseBody: textOrNull,
  })
  .nullable()
  .catch(null);

const health: z.ZodType<Health> = fields({
  failuresInARow: number,
  failingSinceMs: numberOrNull,
  failuresSince: number,
  probing: yes,
  lastProbeEndedAtMs: numberOrNull,
  postponedUntilMs: numberOrNull,
  disabled: z.enum(["gone", "failing"]).nullable().catch(null),
  lastSuccessAtMs: numberOrNull,
  lastFailure,
  failingFromMs: numberOrNull,
  probingFromMs: numberOrNull,
  postponedFromMs: numberOrNull,
  pauseAskedAtMs: numberOrNull,
  disabledFromMs: numberOrNull,
  lateFromMs: numberOrNull,
  wellFromMs: numberOrNull,
  told: z.enum(["failing", "resumed"]).nullable().catch(null),
});

const happenings: z.ZodType<Happening[]> = list(
  z.looseObject({ event: z.custom<RelayEventName>(isText), count: first, eventId: textOrNull }),
);

/** An object of its own each time: it is counted in. */
const counts = record(z.number()).catch(() => ({}));

const hour: z.ZodType<HourCounters> = fields({
  atMs: number,
  delivered: number,
  undeliverable: number,
  cancelled: number,
  failedAttempts: number,
  latency: counts,
  steps: list(z.tuple([z.number(), z.number()])),
});

const totals: z.ZodType<Totals> = fields({
  attempts: counts,
  deliveries: counts,
  durations: z.array(number).catch(() => emptyTotals().durations),
  durationSumMs: number,
});

const run: z.ZodType<Run> = fields({
  lease,
  shares,
  arrivedTo: number,
  head: position,
  attemptedTo: position,
  health,
  nextStartAtMs: number,
  unconnectedSinceMs: numberOrNull,
  hour,
  ended: number,
  totals,
  undeliverable: counts,
  // Where none is written down, nothing is counted yet.
  undeliverableTo: place.nullable().catch(() => place.parse({})),
  moving,
  happenings,
  told: happenings,
  saved: number,
  endedAsOf: number,
});

const secret: z.ZodType<SigningSecret> = fields({ value: text, expiresAtMs: numberOrNull });

const webhook: z.ZodType<Webhook> = fields({
  id: z.custom<WebhookId>(isText).catch("" as WebhookId),
  version: number,
  name: textOrNull,
  url: text,
  events: list(z.string()),
  description: textOrNull,
  filter: z
    .custom<Filter>((value) => typeof value === "object" && value !== null)
    .nullable()
    .catch(null),
  headers: record(z.string()).catch({}),
  rateLimit: numberOrNull,
  ordered: yes,
  concurrency: z.number().catch(DEFAULTS.concurrency),
  timeout: textOrNull,
  retrySchedule: textOrNull,
  giveUpOn: list(z.number()),
  // What a newer release calls otherwise is held until a person looks.
  status: z.enum(["active", "paused", "disabled"]).catch("paused"),
  statusReason: z.enum(["gone", "failing"]).nullable().catch(null),
  relayHost: text,
  secrets: list(secret),
  resumedVersion: number,
  urlVersion: number,
  createdAtMs: number,
  updatedAtMs: number,
  statusSinceMs: numberOrNull,
});

/** A tuple's places, in order; a shorter one was written before the last of them were. */
const ATTEMPT_PLACES = [
  "number",
  "trigger",
  "startedAtMs",
  "durationMs",
  "statusCode",
  "error",
  "responseBody",
  "responseTruncated",
  "responseHeaders",
] as const satisfies (keyof AttemptRecord)[];

const attempt: z.ZodType<AttemptRecord> = z.object({
  number,
  trigger,
  startedAtMs: number,
  durationMs: number,
  statusCode: numberOrNull,
  error: error.nullable().catch(null),
  responseBody: textOrNull,
  responseTruncated: z
    .literal(1)
    .transform(() => true)
    .catch(false),
  responseHeaders: record(z.string()).nullable().catch(null),
});

// --- what stores ask for ------------------------------------------------------------------------------------

function reading<T>(schema: z.ZodType<T>): (json: string | null) => T {
  return (json) => schema.parse(parsed(json));
}

/** What is no JSON is read as if it were not there. */
function parsed(json: string | null): unknown {
  if (json === null) return null;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

export const runOf = reading(run);

/** What `runOf` reads. */
export function jsonOfRun(run: Run): string {
  const tuple = ({ id, number, trigger, fresh }: LeasedAttempt) =>
    fresh === null ? [id, number, trigger] : [id, number, trigger, fresh.seq, fresh.index];
  const shares = run.shares.map((share) => ({ ...share, attempts: share.attempts.map(tuple) }));
  return JSON.stringify({ ...run, shares });
}

export const hourOf = reading(hour);
export const webhookOf = reading(webhook);

export const attemptsOf = reading(
  list(z.array(z.unknown())).transform((tuples) =>
    tuples.map((tuple) =>
      attempt.parse(Object.fromEntries(ATTEMPT_PLACES.map((name, at) => [name, tuple[at]]))),
    ),
  ),
);

/** What `attemptsOf` reads: a line without its field names, which would be most of a delivered row. */
export function jsonOfAttempts(attempts: readonly AttemptRecord[]): string {
  const tuples = attempts.map((attempt) => {
    const line = { ...attempt, responseTruncated: attempt.responseTruncated ? 1 : 0 };
    return ATTEMPT_PLACES.map((name) => line[name]);
  });
  return JSON.stringify(tuples);
}

/** A place is counted by where it is in the list, so one that cannot be read keeps it. */
export const eventIdsOf = reading(z.array(eventId.catch("" as EventId)).catch(() => []));

export const webhookIdsOf = reading(list(webhookId));

/** One attempt of a webhook; of an event that came again after `RETENTION` the number alone would be another one. */
export type AttemptKey = Pick<AttemptRecord, "number" | "startedAtMs"> & { id: EventId };

const attemptKey = z
  .tuple([eventId, z.number(), z.number()])
  .rest(z.unknown())
  .catch(["" as EventId, 0, 0])
  .transform(([id, number, startedAtMs]): AttemptKey => ({ id, number, startedAtMs }));

/** `[[event id, number, Unix milliseconds], …]`. A place is counted by where it is in the list, as above. */
export const attemptKeysOf = reading(z.array(attemptKey).catch(() => []));

export const eventTotalsOf = reading<EventTotals>(
  fields({ events: counts, duplicates: number, lastAtMs: numberOrNull }),
);

/** What one of the relay's own events tells. */
export const jsonObjectOf = reading(z.record(z.string(), z.unknown()).catch(() => ({})));

/** What an audit line says of before or after. */
export const auditValuesOf = reading(z.record(z.string(), z.unknown()).nullable().catch(null));
