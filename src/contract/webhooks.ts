/** /v1/webhooks: registrations, and how each is doing. */
import * as z from "zod/mini";
import type { LastFailure } from "../domain/health";
import { HEALTH_STATES, type HealthReport } from "../domain/health-report";
import { parseWebhookId } from "../domain/ids";
import { RELAY_EVENTS } from "../domain/relay-events";
import { maskQuery } from "../domain/target";
import { glossary, STATES, STATUS_REASONS, WEBHOOK_STATUSES } from "../domain/vocabulary";
import { DEFAULTS, type Kept, type Webhook } from "../domain/webhook";
import { ATTEMPT_EXAMPLE, attempt, deliveryError } from "./deliveries";
import * as f from "./fields";
import { answer, body, call, callsOf, type Fields, json, optionalBody } from "./route";
import {
  changesSchema,
  draftSchema,
  name,
  putSchema,
  rotationSchema,
  SECRET_EXAMPLE,
  testSchema,
} from "./webhook-settings";

const stored = z.object({
  id: f.webhookId,
  name: z.nullable(f.text),
  url: f.said(f.text, "In lists, and to a key that only reads, the query is shown as `?…`."),
  events: z.array(f.text),
  description: z.nullable(f.text),
  filter: z.nullable(f.anyObject),
  headers: f.said(z.array(f.text), "Names only; values are never shown."),
  rateLimit: z.nullable(z.number()),
  ordered: z.boolean(),
  concurrency: z.int(),
  timeout: z.nullable(f.text),
  retrySchedule: z.nullable(f.text),
  giveUpOn: z.array(z.int()),
  status: z.enum(WEBHOOK_STATUSES).register(f.document, { id: "WebhookStatus" }),
  statusReason: z.nullable(z.enum(STATUS_REASONS).register(f.document, { id: "StatusReason" })),
  createdAt: f.time,
  updatedAt: f.time,
} satisfies Fields<Omit<Webhook, Kept>>);

const signingSecret = f.said(
  z.optional(f.text),
  "Only in the answer to the call that made it: it is shown once.",
);
export const webhook = z.extend(stored, { signingSecret }).register(f.document, { id: "Webhook" });

export function shownWebhook(given: Webhook): z.infer<typeof webhook> {
  return f.shownBy(stored, { ...given, headers: Object.keys(given.headers) });
}

/** The same in a list, where a URL's query may hold a token. */
export function listedWebhook(given: Webhook): z.infer<typeof webhook> {
  return shownWebhook({ ...given, url: maskQuery(given.url) });
}

const oneWebhook = f.named("OneWebhook", { webhook });

const WEBHOOK_EXAMPLE: z.infer<typeof webhook> = f.shownBy(stored, {
  ...DEFAULTS,
  id: f.EXAMPLE.webhookId,
  name: "crm",
  url: "https://crm.example.com/webhooks/leadterra",
  events: ["reply.received"],
  description: "The CRM",
  filter: { "data.reply.classification": "interested" },
  headers: ["authorization"],
  status: "active",
  statusReason: null,
  createdAt: "2026-11-23T09:00:00.000Z",
  updatedAt: "2026-11-23T09:00:00.000Z",
});
const one = json(oneWebhook, { webhook: WEBHOOK_EXAMPLE });
const oneWithSecret = json(oneWebhook, {
  webhook: { ...WEBHOOK_EXAMPLE, signingSecret: SECRET_EXAMPLE },
});

// --- how it is doing: one object, wherever it is shown ---

const lastFailure = f.named("LastFailure", {
  at: f.time,
  eventId: f.eventId,
  statusCode: z.nullable(z.int()),
  error: deliveryError,
  responseBody: f.said(
    z.nullable(f.text),
    "At most 1 KB, with secrets replaced by ***; null once the event was erased.",
  ),
} satisfies Fields<LastFailure>);

export const webhookHealth = f.named("WebhookHealth", {
  state: f.said(z.enum(HEALTH_STATES), `The first that fits, in this order. ${glossary(STATES)}.`),
  since: f.said(z.nullable(f.time), "When the state began; null where not known."),
  nextAttemptAt: f.said(z.nullable(f.time), "Of the delivery that goes next."),
  pending: f.count,
  undeliverable: f.said(f.count, "What there is now, however old."),
  oldestDueAt: z.nullable(f.time),
  lastSuccessAt: z.nullable(f.time),
  lastFailure: z.nullable(lastFailure),
} satisfies Fields<HealthReport>);

const { health: told } = RELAY_EVENTS["relay.webhook.failing"].example;
export const HEALTH_EXAMPLE: z.input<typeof webhookHealth> = {
  ...told,
  state: "failing",
  pending: 1,
  oldestDueAt: told.nextAttemptAt,
  lastFailure: { ...told.lastFailure, error: "status", responseBody: "try later" },
};

// --- the calls ---

export const calls = callsOf("Webhooks", {
  createWebhook: call("post /v1/webhooks", {
    summary: "Register a webhook",
    description:
      "When a service is to get events. Leadterra's own request gets Leadterra's own answer, plus the signing secret, which is shown here and on rotation only.",
    request: {
      body: body(draftSchema, {
        url: "https://crm.example.com/webhooks/leadterra",
        events: ["reply.received"],
        filter: { "data.reply.classification": "interested" },
        headers: { Authorization: "Bearer token-of-the-crm" },
      }),
    },
    responses: { 201: { description: "Registered.", content: oneWithSecret } },
    failures: ["name_taken", "too_many_webhooks"],
  }),

  listWebhooks: call("get /v1/webhooks", {
    summary: "List webhooks, newest first",
    description: "To find a webhook's id, or to see what is registered.",
    request: {
      query: z.strictObject({ limit: f.limitParam, cursor: f.cursorParam(parseWebhookId) }),
    },
    responses: {
      200: f.page("WebhookPage", webhook, { of: "webhooks", example: WEBHOOK_EXAMPLE }),
    },
  }),

  putWebhook: call("put /v1/webhooks/{id}", {
    summary: "Make the webhook of a name what the body says",
    description:
      "For settings that are kept in a file. Registers it where there is none of this name, else changes it, whatever it was: a field that is left out gets its default. The same again changes nothing. `name` is that of the path, or left out. `status` and `signingSecret` count when it is made. A URL of another origin gets a new signing secret, shown in the answer, unless `sameService`.",
    request: {
      params: z.object({ id: z.clone(name).register(f.document, { example: "crm" }) }),
      body: body(putSchema, {
        url: "https://crm.example.com/webhooks/leadterra",
        events: ["reply.received"],
      }),
    },
    responses: {
      200: { description: "The webhook as it is now.", content: one },
      201: { description: "Registered.", content: oneWithSecret },
    },
    failures: ["too_many_webhooks", "not_yet_in_force"],
  }),

  getWebhook: call("get /v1/webhooks/{id}", {
    summary: "Read a webhook",
    description:
      "To see its settings as they are in force; a full key sees the URL whole, headers by name only.",
    request: { params: f.ofWebhook },
    responses: { 200: { description: "The webhook.", content: one } },
  }),

  changeWebhook: call("patch /v1/webhooks/{id}", {
    summary: "Change a webhook",
    description:
      "For what is to differ, and nothing else: `null` unsets a field. A URL of another origin gets a new signing secret at once, shown in the answer, and drops the custom headers that are not given anew.",
    request: {
      params: f.ofWebhook,
      body: optionalBody(changesSchema, { rateLimit: 5, description: null }),
    },
    responses: { 200: { description: "The webhook as it is now.", content: one } },
    failures: ["name_taken", "not_yet_in_force"],
  }),

  deleteWebhook: call("delete /v1/webhooks/{id}", {
    summary: "Delete a webhook and its deliveries",
    description:
      "When its service is gone for good; what waits for it goes too. To stop for a while, pause it.",
    request: { params: f.ofWebhook },
    responses: { 204: { description: "Deleted." } },
    failures: ["not_yet_in_force"],
  }),

  rotateSecret: call("post /v1/webhooks/{id}/rotate-secret", {
    summary: "Give a webhook a new signing secret",
    description:
      "When others may know the old one, or it is old enough. The old ones sign along until the grace period ends.",
    request: {
      params: f.ofWebhook,
      body: optionalBody(rotationSchema, { gracePeriodSeconds: 3_600 }),
    },
    responses: { 200: { description: "The webhook with its new secret.", content: oneWithSecret } },
    failures: ["too_many_secrets", "not_yet_in_force"],
  }),

  pauseWebhook: call("post /v1/webhooks/{id}/pause", {
    summary: "Hold a webhook's deliveries",
    description:
      "While its service is worked on: events are accepted for it and go out when it is resumed.",
    request: { params: f.ofWebhook },
    responses: {
      200: answer("The webhook, held.", oneWebhook, {
        webhook: { ...WEBHOOK_EXAMPLE, status: "paused" },
      }),
    },
    failures: ["not_yet_in_force"],
  }),

  resumeWebhook: call("post /v1/webhooks/{id}/resume", {
    summary: "Release a webhook, also one that was disabled",
    description:
      "When its service is back: what was held goes out, after a disable one at a time until the first succeeds.",
    request: { params: f.ofWebhook },
    responses: { 200: { description: "The webhook, released.", content: one } },
    failures: ["not_yet_in_force"],
  }),

  testWebhook: call("post /v1/webhooks/{id}/test", {
    summary: "Deliver a signed example event now, even while held",
    description: "To see what the service answers, without counting for anything.",
    request: { params: f.ofWebhook, body: optionalBody(testSchema, { event: "reply.received" }) },
    responses: {
      200: answer("The attempt, whatever came of it.", attempt, {
        ...ATTEMPT_EXAMPLE,
        trigger: "test",
      }),
    },
  }),

  listenToWebhook: call("get /v1/webhooks/{id}/listen", {
    summary: "Get the deliveries of a `listener:` webhook over a WebSocket",
    description:
      'Where there is no address that the relay could reach, such as a laptop: `npm run listen` does it. Needs a key that may change things. Each delivery comes as a text frame `{type: "delivery", eventId, attempt, headers, body}` with the body in base64, and is answered with `{type: "outcome", eventId, attempt, statusCode, body?}`, which counts as a service\'s answer would. Send `ping` every 20 seconds: a socket that is silent for 60 is closed.',
    request: { params: f.ofWebhook },
    responses: { 101: { description: "The socket." } },
    failures: ["insufficient_scope", "upgrade_required", "not_a_listener"],
  }),

  getWebhookHealth: call("get /v1/webhooks/{id}/health", {
    summary: "See how a webhook is doing now",
    description:
      "The first look when something does not arrive: its state, since when, what failed last and when it is tried next.",
    request: { params: f.ofWebhook },
    responses: { 200: answer("How it is doing.", webhookHealth, HEALTH_EXAMPLE) },
  }),
});
