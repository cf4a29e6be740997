/**
 * JSON in rows, as it is read: parsed, with a default for every field at every depth. What an older release wrote may
 * lack a field; what a newer one wrote may have more, which are kept and written back. Fields are never renamed, and
 * never change their meaning.
 *
 * A type that gets a field gets its default here; the compiler asks for it.
 */
import * as z from "zod";
import { type AttemptError, type AttemptRecord, TRIGGERS } from "../domain/delivery";
import { isObject } from "../domain/event";
import type { EventTotals } from "../domain/event-totals";
import type { Filter } from "../domain/filter";
import type { EventId, WebhookId } from "../domain/ids";
import { DEFAULTS, type SigningSecret, type Webhook } from "../domain/webhook";

/** An array without those elements that cannot be read: none costs another. */
export function list<T>(element: z.ZodType<T>) {
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

/** An object with these fields, and any others, of which nothing else knows. */
export function loose<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.looseObject(shape) as unknown as z.ZodType<z.output<z.ZodObject<Shape>>>;
}

/** The same, where each field has a default. */
export function fields<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const schema = loose(shape);
  return schema.catch(() => schema.parse({}));
}

export const number = z.number().catch(0);
export const numberOrNull = z.number().nullable().catch(null);
/** Of an attempt, or how often something happened. */
export const first = z.number().catch(1);
export const text = z.string().catch("");
export const textOrNull = z.string().nullable().catch(null);
export const yes = z.boolean().catch(false);
export const trigger = z.enum(TRIGGERS).catch("scheduled");
export const eventId = z.custom<EventId>(isText);
const webhookId = z.custom<WebhookId>(isText);
/** Errors and reasons of a newer release are shown as they are. */
export const error = z.custom<AttemptError>(isText);

export function isText(value: unknown): boolean {
  return typeof value === "string";
}

/** An object of its own each time: it is counted in. */
export const counts = record(z.number()).catch(() => ({}));

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

/** In the order of a tuple's places; a shorter one was written before the last of them were. */
const attempt = z.object({
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
} satisfies Record<keyof AttemptRecord, z.ZodType>);
const ATTEMPT_PLACES = Object.keys(attempt.shape) as (keyof AttemptRecord)[];

// --- what stores ask for ------------------------------------------------------------------------------------

export function reading<T>(schema: z.ZodType<T>): (json: string | null) => T {
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
