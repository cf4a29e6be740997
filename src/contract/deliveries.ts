/** /v1/deliveries, /v1/webhooks/{id}/deliveries, /replay, /discard: what a webhook is owed, again or no more. */
import * as z from "zod/mini";
import {
  type AttemptRecord,
  DELIVERY_ERRORS,
  DELIVERY_STATUSES,
  type DeliveryView,
  TRIGGERS,
} from "../domain/delivery";
import { RELAY_EVENTS } from "../domain/relay-events";
import { shown } from "../domain/time";
import { turned } from "../domain/tolerant";
import { WAITING_FOR } from "../domain/waiting";
import { parsePlace, parsePosition, parseReplayCursor } from "./cursor";
import * as f from "./fields";
import { answer, body, call, callsOf, type Fields, optionalBody } from "./route";

// --- what is shown ---

/** One list for attempts and deliveries: generators make constants of its words, which must not be there twice. */
export const deliveryError = z.enum(DELIVERY_ERRORS).register(f.document, { id: "DeliveryError" });

export const attempt = f.named("Attempt", {
  number: z.int().check(z.positive()),
  trigger: z.enum(TRIGGERS).register(f.document, { id: "Trigger" }),
  startedAt: f.time,
  durationMs: z.number().check(z.nonnegative()),
  statusCode: z.nullable(z.int()),
  error: f.said(z.nullable(deliveryError), "null on success: a status of 200–299."),
  responseBody: f.said(
    z.nullable(f.text),
    "The beginning of the answer, with secrets replaced by ***.",
  ),
  responseTruncated: z.boolean(),
  responseHeaders: f.said(
    z.nullable(z.record(z.string(), z.string())),
    "Of a failure; null for a success.",
  ),
} satisfies Fields<AttemptRecord>);

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

const deliveryStatus = z.enum(DELIVERY_STATUSES).register(f.document, { id: "DeliveryStatus" });

const waitingFor = z
  .enum(WAITING_FOR)
  .register(f.document, { id: "WaitingFor", description: "The first that fits, in this order." });

const fields = {
  webhookId: f.webhookId,
  eventId: f.eventId,
  event: f.text,
  status: deliveryStatus,
  attempts: f.said(f.count, "Requests that may have left, ever."),
  createdAt: f.time,
  nextAttemptAt: f.said(
    z.nullable(f.time),
    "When the attempt starts, unless others wait for the same slot; null where it depends on something else.",
  ),
  waitingFor: f.said(z.nullable(waitingFor), "null when it is finished."),
  completedAt: z.nullable(f.time),
  lastStatusCode: z.nullable(z.int()),
  lastError: z.nullable(deliveryError),
} satisfies Fields<DeliveryView>;

export const delivery = f.named("Delivery", fields);

const loggedDelivery = f.named("LoggedDelivery", {
  ...fields,
  attemptLog: f.said(z.array(attempt), "Oldest first, at most 20."),
});

const attempted = f.named("AttemptedDelivery", { ...fields, attempt });

export const DELIVERY_EXAMPLE: z.infer<typeof delivery> = {
  ...RELAY_EVENTS["relay.delivery.undeliverable"].example.delivery,
  status: "pending",
  attempts: 1,
  nextAttemptAt: "2026-11-23T09:15:38.002Z",
  waitingFor: "schedule",
  completedAt: null,
};

// --- what is given ---

const ofDelivery = z.extend(f.ofWebhook, {
  eventId: z.clone(f.eventIdParam).register(f.document, { example: f.EXAMPLE.eventId }),
});

const filters = {
  limit: f.limitParam,
  status: z.optional(deliveryStatus),
  event: z.optional(f.eventName),
  since: z.optional(f.timeParam),
  until: z.optional(f.timeParam),
  attempted: z
    .optional(
      turned(f.textLike(/^(true|false)$/, "must be true or false"), (given) => given === "true"),
    )
    .register(f.document, {
      type: "boolean",
      description: "`false`: those that were never tried.",
    }),
  statusCode: z
    .optional(turned(f.textLike(/^[1-9]\d{2}$/, "must be a status such as 503"), Number))
    .register(f.document, {
      type: "integer",
      minimum: 100,
      maximum: 999,
      description: "Of the last attempt.",
    }),
  error: f.said(z.optional(deliveryError), "Of the last attempt."),
};

/** What narrows a list of deliveries, apart from times and pages. */
export const deliveryFilters = z.omit(z.object(filters), { limit: true, since: true, until: true });

const dryRun = f.said(
  z._default(z.boolean(), false),
  "Answers as if it had been done, and does nothing.",
);

const retrySchema = f.namedStrict("RetryRequest", {
  wait: f.said(
    z._default(z.boolean(), false),
    "Answer when the attempt has ended, with what came of it.",
  ),
});

export const replaySchema = z
  .strictObject({
    since: f.timeParam,
    until: z.optional(f.timeParam),
    only: z.enum(["undeliverable", "all", "missing"]),
    event: z.optional(f.eventName),
    dryRun,
    cursor: f.cursorParam(parseReplayCursor),
  })
  .check(
    z.refine(({ only, cursor }) => !cursor || (only === "missing") === (cursor.day !== null), {
      path: ["cursor"],
      message: "is not a cursor that this replay gave",
    }),
  )
  .register(f.document, { id: "ReplayRequest" });

export const discardSchema = f.namedStrict("DiscardRequest", {
  until: z.optional(f.timeParam),
  event: z.optional(f.eventName),
  dryRun,
  cursor: f.cursorParam(parsePosition),
});

// --- the calls ---

const aPage = f.page("DeliveryPage", delivery, { of: "deliveries", example: DELIVERY_EXAMPLE });

export const calls = callsOf("Deliveries", {
  listDeliveries: call("get /v1/webhooks/{id}/deliveries", {
    summary: "List a webhook's deliveries, newest first",
    description:
      "To find what a service got or did not get. A filtered page may be short or empty while `next` goes on.",
    request: {
      params: f.ofWebhook,
      query: z.strictObject({ ...filters, cursor: f.cursorParam(parsePosition) }),
    },
    responses: { 200: aPage },
  }),

  listAllDeliveries: call("get /v1/deliveries", {
    summary: "List the deliveries of all webhooks, newest first",
    description:
      "The same where it may be any webhook. By `createdAt`, event and webhook. A page looks at no more than 2,000 deliveries: it may be short or empty while `next` goes on. Those of deleted webhooks are not listed.",
    request: { query: z.strictObject({ ...filters, cursor: f.cursorParam(parsePlace) }) },
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
      params: f.ofWebhook,
      body: body(replaySchema, {
        since: "2026-11-22T00:00:00Z",
        only: "undeliverable",
        dryRun: true,
      }),
    },
    responses: { 202: f.doneToMany("Taken on.", "Replayed", "replayed") },
  }),

  discardDeliveries: call("post /v1/webhooks/{id}/discard", {
    summary: "Discard pending deliveries",
    description:
      "When what waits is of no use any more: it ends as `cancelled`. Up to 1,000 a call; go on with `next` as `cursor`.",
    request: { params: f.ofWebhook, body: optionalBody(discardSchema, { event: "message.sent" }) },
    responses: { 202: f.doneToMany("Discarded.", "Discarded", "discarded") },
  }),
});
