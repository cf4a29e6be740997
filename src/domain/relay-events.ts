/**
 * The relay's own events: what happens to webhooks, deliveries and dead letters, sent as events to those webhooks that
 * name them. None tells of what happened to another of them, or a service that fails on them would never hear the end
 * of it; and none goes to the webhook that it is about. Pure.
 */
import * as z from "zod/mini";
import { DELIVERY_STATUSES } from "./delivery";
import { HEALTH_STATES } from "./health-report";

const PREFIX = "relay.";

export function isRelayEvent(name: string): boolean {
  return name.startsWith(PREFIX);
}

const count = z
  .int()
  .check(z.positive())
  .register(z.globalRegistry, { description: "So often it happened; the first is told." });
const subject = { id: z.string(), name: z.nullable(z.string()) };
const health = z
  .nullable(z.looseObject({ state: z.enum(HEALTH_STATES) }))
  .register(z.globalRegistry, {
    description: "As GET /v1/webhooks/{id}/health has it, without bodies of answers.",
  });
const aboutWebhook = z.looseObject({ ...subject, health, count });

const FAILING = {
  id: "wh_01HZC7RQNP4XT2KM9QZ8W3V5YA",
  name: "crm",
  health: {
    state: "probing",
    since: "2026-11-23T09:14:38.002Z",
    nextAttemptAt: "2026-11-23T09:15:38.002Z",
    pending: 12,
    undeliverable: 0,
    oldestDueAt: "2026-11-23T09:14:38.002Z",
    lastSuccessAt: "2026-11-23T08:59:12.870Z",
    lastFailure: {
      at: "2026-11-23T09:14:38.002Z",
      eventId: "evt_QNH783WW52FCCN914ZB1QAYTW0",
      statusCode: 503,
      error: "status",
    },
  },
  count: 1,
};
const { health: failing, ...crm } = FAILING;

export const RELAY_EVENTS = {
  "relay.webhook.failing": {
    description:
      "Ten attempts of a webhook failed in a row: its service is probed, one attempt at a time.",
    schema: aboutWebhook,
    example: FAILING,
  },
  "relay.webhook.recovered": {
    description: "The service of a webhook that was failing takes deliveries again.",
    schema: aboutWebhook,
    example: { ...crm, health: { ...failing, state: "healthy", nextAttemptAt: null, pending: 0 } },
  },
  "relay.webhook.disabled": {
    description: "A webhook is disabled: its service is gone, or failed for five days.",
    schema: aboutWebhook,
    example: { ...crm, health: { ...failing, state: "disabled", nextAttemptAt: null } },
  },
  "relay.delivery.undeliverable": {
    description: "Every attempt of a delivery failed.",
    schema: z.looseObject({
      ...subject,
      delivery: z.looseObject({
        webhookId: z.string(),
        eventId: z.string(),
        event: z.string(),
        status: z.enum(DELIVERY_STATUSES),
        attempts: z.int(),
      }),
      count,
    }),
    example: {
      ...crm,
      delivery: {
        webhookId: FAILING.id,
        eventId: "evt_QNH783WW52FCCN914ZB1QAYTW0",
        event: "reply.received",
        status: "undeliverable",
        attempts: 6,
        createdAt: "2026-11-23T09:14:36.120Z",
        nextAttemptAt: null,
        waitingFor: null,
        completedAt: "2026-11-23T19:52:11.480Z",
        lastStatusCode: 503,
        lastError: "status",
      },
      count: 1,
    },
  },
  "relay.dead_letter.added": {
    description: "A message could not be handed over, and waits for somebody to redrive it.",
    schema: z.looseObject({
      deadLetter: z.looseObject({ id: z.string(), reason: z.string() }),
      count,
    }),
    example: {
      deadLetter: {
        id: "dl_4d1f8a6be0c2",
        eventId: "evt_7M2K9QZ8W3V5YA01HZC7RQNP4X",
        event: "message.bounced",
        reason: "subscriber_unreachable",
        receivedAt: "2026-11-23T09:14:36.001Z",
        failedAt: "2026-11-23T11:58:12.730Z",
        webhookIds: [FAILING.id],
      },
      count: 1,
    },
  },
} as const;

export type RelayEventName = keyof typeof RELAY_EVENTS;

/** What happened in a Subscriber that is to be told, so often; of deliveries, the first. */
export type Happening = { event: RelayEventName; count: number; eventId: string | null };

/** One more time; `happenings` have each kind once. */
export function addHappening(
  happenings: readonly Happening[],
  event: RelayEventName,
  eventId: string | null = null,
): Happening[] {
  const known = happenings.find((each) => each.event === event);
  if (known === undefined) return [...happenings, { event, count: 1, eventId }];
  return happenings.map((each) => (each === known ? { ...known, count: known.count + 1 } : each));
}
