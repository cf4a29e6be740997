/** How a webhook is doing: one object, wherever it is shown. */
import * as z from "zod";
import type { LastFailure } from "../domain/health";
import { HEALTH_STATES, type HealthReport } from "../domain/health-report";
import { RELAY_EVENTS } from "../domain/relay-events";
import { glossary, STATES } from "../domain/vocabulary";
import { deliveryError } from "./attempts";
import { count, eventId, ofWebhook, text, time } from "./fields";
import { answer, call, callsOf, type Fields } from "./route";

const lastFailure = z
  .object({
    at: time,
    eventId,
    statusCode: z.int().nullable(),
    error: deliveryError,
    responseBody: text.nullable().meta({
      description: "At most 1 KB, with secrets replaced by ***; null once the event was erased.",
    }),
  } satisfies Fields<LastFailure>)
  .meta({ id: "LastFailure" });

export const webhookHealth = z
  .object({
    state: z.enum(HEALTH_STATES).meta({
      description: `The first that fits, in this order. ${glossary(STATES)}.`,
    }),
    since: time.nullable().meta({ description: "When the state began; null where not known." }),
    nextAttemptAt: time.nullable().meta({ description: "Of the delivery that goes next." }),
    pending: count,
    undeliverable: count.meta({ description: "What there is now, however old." }),
    oldestDueAt: time.nullable(),
    lastSuccessAt: time.nullable(),
    lastFailure: lastFailure.nullable(),
  } satisfies Fields<HealthReport>)
  .meta({ id: "WebhookHealth" });

const { health: told } = RELAY_EVENTS["relay.webhook.failing"].example;
export const HEALTH_EXAMPLE: z.input<typeof webhookHealth> = {
  ...told,
  state: "failing",
  pending: 1,
  oldestDueAt: told.nextAttemptAt,
  lastFailure: { ...told.lastFailure, error: "status", responseBody: "try later" },
};

export const calls = callsOf("Webhooks", {
  getWebhookHealth: call("get /v1/webhooks/{id}/health", {
    summary: "See how a webhook is doing now",
    description:
      "The first look when something does not arrive: its state, since when, what failed last and when it is tried next.",
    request: { params: ofWebhook },
    responses: { 200: answer("How it is doing.", webhookHealth, HEALTH_EXAMPLE) },
  }),
});
