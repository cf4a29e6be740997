/**
 * What the API answers, as schemas. Only the OpenAPI document is made from them (the shapes themselves are made in
 * `views.ts`), so nothing but `openapi.ts` imports this file, and no cold start pays for it.
 */
import * as z from "zod";
import { exampleEvent } from "../domain/event";

export const webhookId = z.string().regex(/^wh_[0-9A-HJKMNP-TV-Z]{26}$/);
export const eventId = z.string().regex(/^evt_[0-9A-HJKMNP-TV-Z]{26}$/);
const time = z.iso.datetime();
const count = z.int().nonnegative();
const text = z.string();
const anyObject = z.record(z.string(), z.unknown());

const WEBHOOK_ID = "wh_01HZC7RQNP4XT2KM9QZ8W3V5YA";
const EVENT_ID = "evt_QNH783WW52FCCN914ZB1QAYTW0";
const OTHER_EVENT_ID = "evt_7M2K9QZ8W3V5YA01HZC7RQNP4X";

export const EXAMPLE_REPLY = exampleEvent("reply.received", Date.parse("2026-11-23T09:14:35Z"));

const deliveryStatus = z.enum(["pending", "delivered", "undeliverable", "cancelled"]);
const attemptError = z.enum([
  "timeout",
  "connection",
  "redirect",
  "status",
  "forbidden_target",
  "interrupted",
]);
const deliveryError = z.enum([...attemptError.options, "expired", "erased"]);

const WEBHOOK_EXAMPLE = {
  id: WEBHOOK_ID,
  url: "https://crm.example.com/webhooks/leadterra",
  events: ["reply.received"],
  description: "The CRM",
  filter: { "data.reply.classification": "interested" },
  headers: ["authorization"],
  rateLimit: null,
  ordered: false,
  retrySchedule: null,
  status: "active",
  statusReason: null,
  createdAt: "2026-11-23T09:00:00.000Z",
  updatedAt: "2026-11-23T09:00:00.000Z",
};

export const webhook = z
  .object({
    id: webhookId,
    url: text.meta({
      description: "In lists, and to a key that only reads, the query is shown as `?…`.",
    }),
    events: z.array(text),
    description: text.nullable(),
    filter: anyObject.nullable(),
    headers: z.array(text).meta({ description: "Names only; values are never shown." }),
    rateLimit: z.number().nullable(),
    ordered: z.boolean(),
    retrySchedule: text.nullable(),
    status: z.enum(["active", "paused", "disabled"]),
    statusReason: z.enum(["gone", "failing"]).nullable(),
    createdAt: time,
    updatedAt: time,
    signingSecret: text.optional().meta({
      description: "Only in the answer to the call that made it: it is shown once.",
    }),
  })
  .meta({ id: "Webhook", examples: [WEBHOOK_EXAMPLE] });

export const oneWebhook = z.object({ webhook }).meta({
  id: "OneWebhook",
  examples: [
    {
      webhook: {
        ...WEBHOOK_EXAMPLE,
        signingSecret: "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0ISE=",
      },
    },
  ],
});

const DELIVERY_EXAMPLE = {
  webhookId: WEBHOOK_ID,
  eventId: EVENT_ID,
  event: "reply.received",
  status: "pending",
  attempts: 1,
  createdAt: "2026-11-23T09:14:36.120Z",
  nextAttemptAt: "2026-11-23T09:15:38.002Z",
  completedAt: null,
  lastStatusCode: 503,
  lastError: "status",
};

export const delivery = z
  .object({
    webhookId,
    eventId,
    event: text,
    status: deliveryStatus,
    attempts: count.meta({ description: "Requests that may have left, ever." }),
    createdAt: time,
    nextAttemptAt: time.nullable().meta({ description: "null while held, and when finished." }),
    completedAt: time.nullable(),
    lastStatusCode: z.int().nullable(),
    lastError: deliveryError.nullable(),
  })
  .meta({ id: "Delivery", examples: [DELIVERY_EXAMPLE] });

const ATTEMPT_EXAMPLE = {
  number: 1,
  trigger: "scheduled",
  startedAt: "2026-11-23T09:14:36.480Z",
  durationMs: 212,
  statusCode: 503,
  error: "status",
  responseBody: "try later",
  responseTruncated: false,
};

export const attempt = z
  .object({
    number: z.int().positive(),
    trigger: z.enum(["scheduled", "manual", "test"]),
    startedAt: time,
    durationMs: z.number().nonnegative(),
    statusCode: z.int().nullable(),
    error: attemptError.nullable().meta({ description: "null on success: a status of 200–299." }),
    responseBody: text.nullable().meta({
      description: "The beginning of the answer, with secrets replaced by ***.",
    }),
    responseTruncated: z.boolean(),
  })
  .meta({ id: "Attempt", examples: [ATTEMPT_EXAMPLE] });

export const loggedDelivery = delivery
  .extend({ attemptLog: z.array(attempt).meta({ description: "Oldest first, at most 20." }) })
  .meta({
    id: "LoggedDelivery",
    examples: [{ ...DELIVERY_EXAMPLE, attemptLog: [ATTEMPT_EXAMPLE] }],
  });

const EVENT_EXAMPLE = {
  id: EVENT_ID,
  event: "reply.received",
  timestamp: "2026-11-23T09:14:35Z",
  receivedAt: "2026-11-23T09:14:36.001Z",
  size: 512,
  conforms: true,
  webhookIds: [WEBHOOK_ID],
};

export const event = z
  .object({
    id: eventId,
    event: text,
    timestamp: text.nullable().meta({ description: "As Leadterra gave it." }),
    receivedAt: time,
    size: count.meta({ description: "Bytes of the body." }),
    conforms: z.boolean().meta({ description: "Whether it is as Leadterra documents it." }),
    webhookIds: z.array(webhookId).meta({ description: "Those that it matched." }),
  })
  .meta({ id: "Event", examples: [EVENT_EXAMPLE] });

export const wholeEvent = event
  .extend({
    payload: anyObject.nullable().meta({ description: "The JSON; null when it was erased." }),
    deliveries: z.array(delivery),
  })
  .meta({
    id: "WholeEvent",
    examples: [{ ...EVENT_EXAMPLE, payload: EXAMPLE_REPLY, deliveries: [DELIVERY_EXAMPLE] }],
  });

export const deadLetter = z
  .object({
    id: text,
    eventId: eventId.nullable(),
    event: text.nullable(),
    reason: text,
    receivedAt: time,
    failedAt: time,
    webhookIds: z.array(webhookId).meta({ description: "Those that are still owed." }),
  })
  .meta({
    id: "DeadLetter",
    examples: [
      {
        id: "dl_4d1f8a6be0c2",
        eventId: OTHER_EVENT_ID,
        event: "message.bounced",
        reason: "subscriber_unreachable",
        receivedAt: "2026-11-23T09:14:36.001Z",
        failedAt: "2026-11-23T11:58:12.730Z",
        webhookIds: [WEBHOOK_ID],
      },
    ],
  });

export const auditEntry = z
  .object({
    id: text,
    at: time,
    key: text.nullable().meta({
      description: "A fingerprint of the API key; null for what the relay did by itself.",
    }),
    action: text,
    webhookId: webhookId.nullable(),
    before: anyObject.nullable(),
    after: anyObject.nullable(),
  })
  .meta({
    id: "AuditEntry",
    examples: [
      {
        id: "aud_12",
        at: "2026-11-23T09:20:00.000Z",
        key: "3f8a91c2",
        action: "webhook.updated",
        webhookId: WEBHOOK_ID,
        before: { ordered: false },
        after: { ordered: true },
      },
    ],
  });

export const eventType = z
  .object({
    name: text,
    description: text,
    schema: anyObject.meta({ description: "JSON Schema of the whole event." }),
    example: anyObject,
  })
  .meta({
    id: "EventType",
    examples: [
      {
        name: "reply.received",
        description: "A reply came in and was classified.",
        schema: { type: "object" },
        example: EXAMPLE_REPLY,
      },
    ],
  });

const step = z.object({ at: time, events: count, delivered: count, failedAttempts: count });
const outcomes = z.object({
  delivered: count,
  successRate: z.number().min(0).max(1).nullable(),
  latencyMs: z.object({ p50: z.number().nullable(), p95: z.number().nullable() }),
});
const STEP_EXAMPLE = {
  at: "2026-11-23T09:00:00.000Z",
  events: 12,
  delivered: 11,
  failedAttempts: 1,
};

export const stats = z
  .object({
    lastEventAt: time.nullable(),
    events: count,
    all: outcomes.meta({ description: "Of all webhooks together." }),
    webhooks: z.array(
      outcomes.extend({
        id: webhookId,
        pending: count,
        undeliverable: count,
        cancelled: count,
        oldestDueAt: time.nullable(),
        failingSince: time.nullable().meta({
          description: "The first failure since the last success; null while all is well.",
        }),
      }),
    ),
    hours: z.array(step),
    recent: z.array(step).meta({ description: "The last hour in steps of five minutes." }),
  })
  .meta({
    id: "Stats",
    examples: [
      {
        lastEventAt: "2026-11-23T09:14:36.001Z",
        events: 12,
        all: { delivered: 11, successRate: 0.92, latencyMs: { p50: 120, p95: 480 } },
        webhooks: [
          {
            id: WEBHOOK_ID,
            pending: 1,
            delivered: 11,
            undeliverable: 0,
            cancelled: 0,
            successRate: 0.92,
            latencyMs: { p50: 120, p95: 480 },
            oldestDueAt: "2026-11-23T09:15:38.002Z",
            failingSince: "2026-11-23T09:14:38.002Z",
          },
        ],
        hours: [STEP_EXAMPLE],
        recent: [STEP_EXAMPLE],
      },
    ],
  });

export const problemDetails = z
  .object({
    type: text,
    title: text,
    status: z.int().min(400).max(599),
    detail: text,
    code: text,
    requestId: z.uuid().meta({ description: "Stands in the log line beside it too." }),
    errors: z.array(z.object({ path: text, message: text })).optional(),
  })
  .meta({ id: "Problem", description: "RFC 9457 problem details." });

export const accepted = z
  .object({ id: eventId, duplicate: z.boolean() })
  .meta({ id: "Accepted", examples: [{ id: EVENT_ID, duplicate: false }] });

export const health = z
  .object({
    status: z.enum(["ok", "misconfigured"]),
    version: text,
    problems: z.array(z.object({ name: text, message: text })),
  })
  .meta({ id: "Health", examples: [{ status: "ok", version: "0.1.0", problems: [] }] });

export const redriven = z.object({ id: text }).meta({ examples: [{ id: "dl_4d1f8a6be0c2" }] });
export const replayed = z.object({ replayed: count }).meta({ examples: [{ replayed: 1 }] });
export const matches = z.object({ matches: z.boolean() }).meta({ examples: [{ matches: true }] });
export const eventTypeList = z
  .object({ data: z.array(eventType) })
  .meta({ examples: [{ data: eventType.meta()?.examples }] });

/** A count of what one call did; `next` goes on behind it. */
export function counted(what: "replayed" | "discarded" | "erased") {
  return z
    .object({
      [what]: count,
      next: text.nullable().meta({ description: "Give it as `cursor`; null when all is done." }),
    })
    .meta({ examples: [{ [what]: 12, next: null }] });
}

export function page(item: z.ZodType) {
  return z
    .object({
      data: z.array(item),
      next: text.nullable().meta({ description: "Give it as `cursor`; null on the last page." }),
    })
    .meta({ examples: [{ data: item.meta()?.examples, next: null }] });
}
