/** JSON in rows, as it is read: parsed, with a default for every field at every depth (`domain/tolerant.ts`). */
import * as z from "zod/mini";
import { type AttemptRecord, storedAttempt, TRIGGERS } from "../domain/delivery";
import type { EventTotals } from "../domain/event-totals";
import type { EventId, WebhookId } from "../domain/ids";
import * as t from "../domain/tolerant";
import { storedWebhook } from "../domain/webhook";

export const trigger = z.catch(z.enum(TRIGGERS), "scheduled");
export const eventId = z.custom<EventId>(t.isText);
const webhookId = z.custom<WebhookId>(t.isText);
const ATTEMPT_PLACES = Object.keys(storedAttempt.shape) as (keyof AttemptRecord)[];

// --- what stores ask for ------------------------------------------------------------------------------------

export function reading<T>(schema: z.ZodMiniType<T>): (json: string | null) => T {
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

export const webhookOf = reading(storedWebhook);

export const attemptsOf = reading(
  t.turned(t.list(z.array(z.unknown())), (tuples) =>
    tuples.map((tuple) =>
      storedAttempt.parse(Object.fromEntries(ATTEMPT_PLACES.map((name, at) => [name, tuple[at]]))),
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
export const eventIdsOf = reading(z.catch(z.array(z.catch(eventId, "" as EventId)), () => []));

export const webhookIdsOf = reading(t.list(webhookId));

/** One attempt of a webhook; of an event that came again after `RETENTION` the number alone would be another one. */
export type AttemptKey = Pick<AttemptRecord, "number" | "startedAtMs"> & { id: EventId };

const attemptKey = t.turned(
  z.catch(z.tuple([eventId, z.number(), z.number()], z.unknown()), ["" as EventId, 0, 0]),
  ([id, number, startedAtMs]): AttemptKey => ({ id, number, startedAtMs }),
);

/** `[[event id, number, Unix milliseconds], …]`. A place is counted by where it is in the list, as above. */
export const attemptKeysOf = reading(z.catch(z.array(attemptKey), () => []));

export const eventTotalsOf = reading<EventTotals>(
  t.fields({ events: t.counts, duplicates: t.number, lastAtMs: t.numberOrNull }),
);

/** What one of the relay's own events tells. */
export const jsonObjectOf = reading(z.catch(z.record(z.string(), z.unknown()), () => ({})));

/** What an audit line says of before or after. */
export const auditValuesOf = reading(z.catch(z.nullable(z.record(z.string(), z.unknown())), null));
