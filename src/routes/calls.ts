/** Every call of the relay as one row of a table, with the very schemas that the routes check with. */
import * as z from "zod";
import { EVENT_TYPES, type EventTypeName, eventSchema, MAX_BODY_BYTES } from "../domain/event";
import type { FailureCode } from "../domain/failure";
import * as answers from "./answers";
import { listQuery as auditQuery } from "./audit";
import { listQuery as deadLettersQuery } from "./dead-letters";
import { listQuery as deliveriesQuery, discardSchema, replaySchema } from "./deliveries";
import { eraseSchema, replaySchema as eventReplaySchema, listQuery as eventsQuery } from "./events";
import { filterTestSchema } from "./filters";
import { statsQuery } from "./stats";
import {
  changesSchema,
  draftSchema,
  rotationSchema,
  testSchema,
  listQuery as webhooksQuery,
} from "./webhooks";

export type Call = {
  id: string;
  /** Method and path. */
  on: `${"GET" | "POST" | "PATCH" | "DELETE"} /${string}`;
  summary: string;
  description?: string;
  query?: z.ZodObject;
  body?: { schema: z.ZodType; example: unknown; optional?: true };
  /** By status; null for an answer without a body. */
  answers: Record<number, z.ZodType | null>;
  /** Beside those that every call of its kind can have. */
  failures?: FailureCode[];
};

const WEBHOOK_CALLS: Call[] = [
  {
    id: "createWebhook",
    on: "POST /v1/webhooks",
    summary: "Register a webhook",
    description:
      "Leadterra's own request gets Leadterra's own answer, plus the signing secret, which is shown here and on rotation only.",
    body: {
      schema: draftSchema,
      example: {
        url: "https://crm.example.com/webhooks/leadterra",
        events: ["reply.received"],
        filter: { "data.reply.classification": "interested" },
        headers: { Authorization: "Bearer token-of-the-crm" },
      },
    },
    answers: { 201: answers.oneWebhook },
  },
  {
    id: "listWebhooks",
    on: "GET /v1/webhooks",
    summary: "List webhooks, newest first",
    query: webhooksQuery,
    answers: { 200: answers.page(answers.webhook) },
  },
  {
    id: "getWebhook",
    on: "GET /v1/webhooks/{id}",
    summary: "Read a webhook",
    answers: { 200: answers.oneWebhook },
  },
  {
    id: "changeWebhook",
    on: "PATCH /v1/webhooks/{id}",
    summary: "Change a webhook",
    description:
      "null unsets a field. A URL of another origin gets a new signing secret at once, shown in the answer, and drops the custom headers that are not given anew.",
    body: { schema: changesSchema, example: { rateLimit: 5, description: null } },
    answers: { 200: answers.oneWebhook },
    failures: ["not_yet_in_force"],
  },
  {
    id: "deleteWebhook",
    on: "DELETE /v1/webhooks/{id}",
    summary: "Delete a webhook and its deliveries",
    answers: { 204: null },
    failures: ["not_yet_in_force"],
  },
  {
    id: "rotateSecret",
    on: "POST /v1/webhooks/{id}/rotate-secret",
    summary: "Give a webhook a new signing secret",
    description: "The old ones sign along until the grace period ends.",
    body: { schema: rotationSchema, example: { gracePeriodSeconds: 3_600 }, optional: true },
    answers: { 200: answers.oneWebhook },
    failures: ["not_yet_in_force"],
  },
  {
    id: "pauseWebhook",
    on: "POST /v1/webhooks/{id}/pause",
    summary: "Hold a webhook's deliveries",
    answers: { 200: answers.oneWebhook },
    failures: ["not_yet_in_force"],
  },
  {
    id: "resumeWebhook",
    on: "POST /v1/webhooks/{id}/resume",
    summary: "Release a webhook, also one that was disabled",
    answers: { 200: answers.oneWebhook },
    failures: ["not_yet_in_force"],
  },
  {
    id: "testWebhook",
    on: "POST /v1/webhooks/{id}/test",
    summary: "Deliver a signed example event now, even while held",
    body: { schema: testSchema, example: { event: "reply.received" }, optional: true },
    answers: { 200: answers.attempt },
  },
];

const DELIVERY_CALLS: Call[] = [
  {
    id: "listDeliveries",
    on: "GET /v1/webhooks/{id}/deliveries",
    summary: "List a webhook's deliveries, newest first",
    query: deliveriesQuery,
    answers: { 200: answers.page(answers.delivery) },
  },
  {
    id: "getDelivery",
    on: "GET /v1/webhooks/{id}/deliveries/{eventId}",
    summary: "Read a delivery with its attempts",
    answers: { 200: answers.loggedDelivery },
  },
  {
    id: "retryDelivery",
    on: "POST /v1/webhooks/{id}/deliveries/{eventId}/retry",
    summary: "Deliver again now, whatever the status",
    answers: { 202: answers.delivery },
    failures: ["in_flight", "payload_gone"],
  },
  {
    id: "cancelDelivery",
    on: "POST /v1/webhooks/{id}/deliveries/{eventId}/cancel",
    summary: "Give up on a delivery",
    answers: { 200: answers.delivery },
    failures: ["not_pending"],
  },
  {
    id: "replayDeliveries",
    on: "POST /v1/webhooks/{id}/replay",
    summary: "Deliver many again, or what the webhook never had",
    description:
      "Up to 1,000 a call; go on with `next` as `cursor`. `missing` backfills from the journal what this webhook never had.",
    body: {
      schema: replaySchema,
      example: { since: "2026-11-22T00:00:00Z", only: "undeliverable", dryRun: true },
    },
    answers: { 202: answers.counted("replayed") },
  },
  {
    id: "discardDeliveries",
    on: "POST /v1/webhooks/{id}/discard",
    summary: "Give up on the waiting deliveries",
    description: "Up to 1,000 a call; go on with `next` as `cursor`.",
    body: { schema: discardSchema, example: { event: "message.sent" }, optional: true },
    answers: { 202: answers.counted("discarded") },
  },
];

const EVENT_CALLS: Call[] = [
  {
    id: "listEvents",
    on: "GET /v1/events",
    summary: "List events, newest first",
    description: "A filtered page may be short or empty while `next` goes on.",
    query: eventsQuery,
    answers: { 200: answers.page(answers.event) },
  },
  {
    id: "getEvent",
    on: "GET /v1/events/{id}",
    summary: "Read an event with its payload and its deliveries",
    answers: { 200: answers.wholeEvent },
  },
  {
    id: "replayEvent",
    on: "POST /v1/events/{id}/replay",
    summary: "Send an event again",
    description: "To the webhooks that it matched; others may be named.",
    body: {
      schema: eventReplaySchema,
      example: { webhookIds: ["wh_01HZC7RQNP4XT2KM9QZ8W3V5YA"] },
      optional: true,
    },
    answers: { 202: answers.replayed },
    failures: ["payload_gone"],
  },
  {
    id: "eraseEvent",
    on: "DELETE /v1/events/{id}",
    summary: "Erase an event's payload and what is known of the lead",
    answers: { 204: null },
  },
  {
    id: "erasePerson",
    on: "POST /v1/events/erase",
    summary: "Erase what is known of a person, by e-mail address",
    description: "A page of events a call; go on with `next` as `cursor`.",
    body: { schema: eraseSchema, example: { email: "ava@acmecorp.com" } },
    answers: { 202: answers.counted("erased") },
  },
  {
    id: "listEventTypes",
    on: "GET /v1/event-types",
    summary: "List the documented events with schemas and examples",
    answers: { 200: answers.eventTypeList },
  },
  {
    id: "testFilter",
    on: "POST /v1/filters/test",
    summary: "Try a filter on an event",
    body: {
      schema: filterTestSchema,
      example: {
        filter: { "data.reply.classification": "interested" },
        event: answers.EXAMPLE_REPLY,
      },
    },
    answers: { 200: answers.matches },
  },
];

const OPERATING_CALLS: Call[] = [
  {
    id: "listDeadLetters",
    on: "GET /v1/dead-letters",
    summary: "List what could not be handed over, newest first",
    query: deadLettersQuery,
    answers: { 200: answers.page(answers.deadLetter) },
  },
  {
    id: "redriveDeadLetter",
    on: "POST /v1/dead-letters/{id}/redrive",
    summary: "Hand a dead letter over again",
    answers: { 202: answers.redriven },
  },
  {
    id: "deleteDeadLetter",
    on: "DELETE /v1/dead-letters/{id}",
    summary: "Delete a dead letter",
    answers: { 204: null },
  },
  {
    id: "listAudit",
    on: "GET /v1/audit",
    summary: "List who changed what, newest first",
    query: auditQuery,
    answers: { 200: answers.page(answers.auditEntry) },
  },
  {
    id: "getStats",
    on: "GET /v1/stats",
    summary: "See how the relay is doing",
    query: statsQuery,
    answers: { 200: answers.stats },
  },
];

/** As tolerant as the inbound contract: names and data that nobody documented are taken too. */
const leadterraEvent = z
  .union([
    ...(Object.keys(EVENT_TYPES) as EventTypeName[]).map(eventSchema),
    z.looseObject({
      event: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/),
      data: z.looseObject({}),
    }),
  ])
  .meta({ id: "LeadterraEvent", examples: [answers.EXAMPLE_REPLY] });

const PUBLIC_CALLS: Call[] = [
  {
    id: "ingestEvent",
    on: "POST /webhooks/leadterra",
    summary: "Take an event from Leadterra",
    description: `At most ${MAX_BODY_BYTES} bytes, without Content-Encoding. 202 for a new event, 200 for one that was seen before.`,
    body: { schema: leadterraEvent, example: answers.EXAMPLE_REPLY },
    answers: { 202: answers.accepted, 200: answers.accepted },
    failures: [
      "method_not_allowed",
      "not_configured",
      "unsupported_encoding",
      "payload_too_large",
      "invalid_signature",
      "invalid_encoding",
      "invalid_json",
      "invalid_event",
      "queue_unavailable",
    ],
  },
  {
    id: "getHealth",
    on: "GET /healthz",
    summary: "See whether the relay is configured as it should be",
    answers: { 200: answers.health, 503: answers.health },
  },
  {
    id: "getOpenApi",
    on: "GET /openapi.json",
    summary: "This document",
    answers: {
      200: z.looseObject({ openapi: z.string() }).meta({ examples: [{ openapi: "3.1.0" }] }),
    },
  },
  {
    id: "getDocs",
    on: "GET /docs",
    summary: "This document as a page",
    answers: { 200: z.string() },
  },
];

/** The calls by what they are about, in the order in which the document has them. */
export const TAGS: { name: string; description: string; calls: Call[] }[] = [
  { name: "Webhooks", description: "Who gets which events, and where.", calls: WEBHOOK_CALLS },
  { name: "Deliveries", description: "What a webhook is owed, and got.", calls: DELIVERY_CALLS },
  { name: "Events", description: "What Leadterra sent.", calls: EVENT_CALLS },
  {
    name: "Operating",
    description: "Dead letters, audit log and counters.",
    calls: OPERATING_CALLS,
  },
  { name: "Public", description: "What needs no key.", calls: PUBLIC_CALLS },
];
