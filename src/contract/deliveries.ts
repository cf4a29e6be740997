/** /v1/deliveries, /v1/webhooks/{id}/deliveries, /replay, /discard: what a webhook is owed, again or no more. */
import * as z from "zod";
import {
  type AttemptRecord,
  DELIVERY_ERRORS,
  DELIVERY_STATUSES,
  type DeliveryView,
  TRIGGERS,
} from "../domain/delivery";
import { RELAY_EVENTS } from "../domain/relay-events";
import { shown } from "../domain/time";
import { WAITING_FOR } from "../domain/waiting";
import { parsePlace, parsePosition, parseReplayCursor } from "./cursor";
import {
  count,
  cursorParam,
  doneToMany,
  EXAMPLE,
  eventId,
  eventIdParam,
  eventName,
  limitParam,
  ofWebhook,
  page,
  text,
  time,
  timeParam,
  webhookId,
} from "./fields";
import { answer, body, call, callsOf, type Fields, optionalBody } from "./route";

// --- what is shown ---

/** One list for attempts and deliveries: generators make constants of its words, which must not be there twice. */
export const deliveryError = z.enum(DELIVERY_ERRORS).meta({ id: "DeliveryError" });

export const attempt = z
  .object({
    number: z.int().positive(),
    trigger: z.enum(TRIGGERS).meta({ id: "Trigger" }),
    startedAt: time,
    durationMs: z.number().nonnegative(),
    statusCode: z.int().nullable(),
    error: deliveryError.nullable().meta({ description: "null on success: a status of 200–299." }),
    responseBody: text.nullable().meta({
      description: "The beginning of the answer, with secrets replaced by ***.",
    }),
    responseTruncated: z.boolean(),
    responseHeaders: z
      .record(z.string(), z.string())
      .nullable()
      .meta({ description: "Of a failure; null for a success." }),
  } satisfies Fields<AttemptRecord>)
  .meta({ id: "Attempt" });

/** An object of the release before does not say the headers. */
export function shownAttempt(record: AttemptRecord): z.infer<typeof attempt> {
  return shown({ ...record, responseHeaders: record.responseHeaders ?? null });
}

export const ATTEMPT_EXAMPLE: z.infer<typeof attempt> = {
  number: 1,
  trigger: "scheduled",
  startedAt: "2026-11-23T09:14:36.480Z",
  durationMs: 212,
  statusCode: 503,
  error: "status",
  responseBody: "try later",
  responseTruncated: false,
  responseHeaders: { "content-type": "text/plain", server: "nginx" },
};

const deliveryStatus = z.enum(DELIVERY_STATUSES).meta({ id: "DeliveryStatus" });

const waitingFor = z
  .enum(WAITING_FOR)
  .meta({ id: "WaitingFor", description: "The first that fits, in this order." });

const fields = {
  webhookId,
  eventId,
  event: text,
  status: deliveryStatus,
  attempts: count.meta({ description: "Requests that may have left, ever." }),
  createdAt: time,
  nextAttemptAt: time.nullable().meta({
    description:
      "When the attempt starts, unless others wait for the same slot; null where it depends on something else.",
  }),
  waitingFor: waitingFor.nullable().meta({ description: "null when it is finished." }),
  completedAt: time.nullable(),
  lastStatusCode: z.int().nullable(),
  lastError: deliveryError.nullable(),
} satisfies Fields<DeliveryView>;

export const delivery = z.object(fields).meta({ id: "Delivery" });

const loggedDelivery = z
  .object({
    ...fields,
    attemptLog: z.array(attempt).meta({ description: "Oldest first, at most 20." }),
  })
  .meta({ id: "LoggedDelivery" });

const attempted = z.object({ ...fields, attempt }).meta({ id: "AttemptedDelivery" });

export const DELIVERY_EXAMPLE: z.infer<typeof delivery> = {
  ...RELAY_EVENTS["relay.delivery.undeliverable"].example.delivery,
  status: "pending",
  attempts: 1,
  nextAttemptAt: "2026-11-23T09:15:38.002Z",
  waitingFor: "schedule",
  completedAt: null,
};

// --- what is given ---

const ofDelivery = ofWebhook.extend({ eventId: eventIdParam.meta({ example: EXAMPLE.eventId }) });

const filters = {
  limit: limitParam,
  status: deliveryStatus.optional(),
  event: eventName.optional(),
  since: timeParam.optional(),
  until: timeParam.optional(),
  attempted: z
    .string()
    .regex(/^(true|false)$/, "must be true or false")
    .transform((given) => given === "true")
    .optional()
    .meta({ type: "boolean", description: "`false`: those that were never tried." }),
  statusCode: z
    .string()
    .regex(/^[1-9]\d{2}$/, "must be a status such as 503")
    .transform(Number)
    .optional()
    .meta({ type: "integer", minimum: 100, maximum: 999, description: "Of the last attempt." }),
  error: deliveryError.optional().meta({ description: "Of the last attempt." }),
};

/** What narrows a list of deliveries, apart from times and pages. */
export const deliveryFilters = z.object(filters).pick({
  status: true,
  event: true,
  attempted: true,
  statusCode: true,
  error: true,
});

const dryRun = z
  .boolean()
  .default(false)
  .meta({ description: "Answers as if it had been done, and does nothing." });

const retrySchema = z
  .strictObject({
    wait: z
      .boolean()
      .default(false)
      .meta({ description: "Answer when the attempt has ended, with what came of it." }),
  })
  .meta({ id: "RetryRequest" });

export const replaySchema = z
  .strictObject({
    since: timeParam,
    until: timeParam.optional(),
    only: z.enum(["undeliverable", "all", "missing"]),
    event: eventName.optional(),
    dryRun,
    cursor: cursorParam(parseReplayCursor),
  })
  .refine(({ only, cursor }) => !cursor || (only === "missing") === (cursor.cursor.day !== null), {
    path: ["cursor"],
    message: "is not a cursor that this replay gave",
  })
  .meta({ id: "ReplayRequest" });

export const discardSchema = z
  .strictObject({
    until: timeParam.optional(),
    event: eventName.optional(),
    dryRun,
    cursor: cursorParam(parsePosition),
  })
  .meta({ id: "DiscardRequest" });

// --- the calls ---

const aPage = page("DeliveryPage", delivery, { of: "deliveries", example: DELIVERY_EXAMPLE });

export const calls = callsOf("Deliveries", {
  listDeliveries: call("get /v1/webhooks/{id}/deliveries", {
    summary: "List a webhook's deliveries, newest first",
    description:
      "To find what a service got or did not get. A filtered page may be short or empty while `next` goes on.",
    request: {
      params: ofWebhook,
      query: z.strictObject({ ...filters, cursor: cursorParam(parsePosition) }),
    },
    responses: { 200: aPage },
  }),

  listAllDeliveries: call("get /v1/deliveries", {
    summary: "List the deliveries of all webhooks, newest first",
    description:
      "The same where it may be any webhook. By `createdAt`, event and webhook. A page looks at no more than 2,000 deliveries: it may be short or empty while `next` goes on. Those of deleted webhooks are not listed.",
    request: { query: z.strictObject({ ...filters, cursor: cursorParam(parsePlace) }) },
    responses: { 200: aPage },
  }),

  getDelivery: call("get /v1/webhooks/{id}/deliveries/{eventId}", {
    summary: "Read a delivery with its attempts",
    description: "To see what the service answered each time, and what a pending one waits for.",
    request: { params: ofDelivery },
    responses: {
      200: answer("The delivery with its attempt log.", loggedDelivery, {
        ...DELIVERY_EXAMPLE,
        attemptLog: [ATTEMPT_EXAMPLE],
      }),
    },
  }),

  retryDelivery: call("post /v1/webhooks/{id}/deliveries/{eventId}/retry", {
    summary: "Deliver again now, whatever the status",
    description:
      "When its service is right again and the schedule need not be waited for. With `wait` the answer comes with the attempt, 200; or 202 when it could not start within a second, and `waitingFor` says why.",
    request: { params: ofDelivery, body: optionalBody(retrySchema, {}) },
    responses: {
      200: answer("With `wait`: the delivery after the attempt, and the attempt.", attempted, {
        ...DELIVERY_EXAMPLE,
        attempt: ATTEMPT_EXAMPLE,
      }),
      202: answer("The delivery, due now.", delivery, DELIVERY_EXAMPLE),
    },
    failures: ["in_flight", "payload_gone"],
  }),

  cancelDelivery: call("post /v1/webhooks/{id}/deliveries/{eventId}/cancel", {
    summary: "Cancel a delivery",
    description:
      "For one that nobody wants any more; it also lets those behind it in an ordered webhook go.",
    request: { params: ofDelivery },
    responses: {
      200: answer("The delivery, cancelled.", delivery, {
        ...DELIVERY_EXAMPLE,
        status: "cancelled",
        nextAttemptAt: null,
        waitingFor: null,
        completedAt: "2026-11-23T09:20:00.000Z",
      }),
    },
    failures: ["not_pending"],
  }),

  replayDeliveries: call("post /v1/webhooks/{id}/replay", {
    summary: "Deliver many again, or what the webhook never had",
    description:
      "After an outage, or for a new webhook that should get what came before it. Up to 1,000 a call; go on with `next` as `cursor`. `missing` backfills from the journal what this webhook never had.",
    request: {
      params: ofWebhook,
      body: body(replaySchema, {
        since: "2026-11-22T00:00:00Z",
        only: "undeliverable",
        dryRun: true,
      }),
    },
    responses: { 202: doneToMany("Taken on.", "Replayed", "replayed") },
  }),

  discardDeliveries: call("post /v1/webhooks/{id}/discard", {
    summary: "Discard pending deliveries",
    description:
      "When what waits is of no use any more: it ends as `cancelled`. Up to 1,000 a call; go on with `next` as `cursor`.",
    request: { params: ofWebhook, body: optionalBody(discardSchema, { event: "message.sent" }) },
    responses: { 202: doneToMany("Discarded.", "Discarded", "discarded") },
  }),
});
