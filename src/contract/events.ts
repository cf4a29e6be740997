/** /v1/events, /v1/event-types and /v1/filters: the journal, what can be done with an event, and who would get it. */
import * as z from "zod/mini";
import { addressOf } from "../domain/address";
import { shownDelivery } from "../domain/delivery";
import { EVENT_TYPES, isObject, type JsonObject } from "../domain/event";
import type { WebhookId } from "../domain/ids";
import type { Why } from "../domain/match";
import { turned } from "../domain/tolerant";
import { SCHEMA } from "../domain/vocabulary";
import type { WholeEvent } from "../operations/events";
import type { JournalEvent } from "../storage/journal-store";
import { parseErasureCursor, parseEventCursor } from "./cursor";
import { DELIVERY_EXAMPLE, delivery } from "./deliveries";
import * as f from "./fields";
import { answer, body, call, callsOf, type Fields, optionalBody } from "./route";
import { filterSchema } from "./webhook-settings";

const MAX_SEARCH_CHARACTERS = 512;
// --- what is shown ---

/** What the journal keeps for its own use: for the search, and where the event stands. */
type Hidden = "email" | "campaignId" | "erased" | "position" | "key";

const fields = {
  id: f.eventId,
  event: f.text,
  timestamp: f.said(z.nullable(f.text), "As Leadterra gave it."),
  receivedAt: f.time,
  size: f.said(f.count, "Bytes of the body."),
  conforms: f.said(
    z.boolean(),
    `${SCHEMA.fits}: what differs from Leadterra's page is delivered all the same.`,
  ),
  webhookIds: f.said(z.array(f.webhookId), "Those that it matched."),
} satisfies Fields<Omit<JournalEvent, Hidden>>;

const event = f.named("Event", fields);

const why = f.named("Why", {
  webhookId: f.webhookId,
  matched: f.said(z.boolean(), "What the journal says: as it was decided then."),
  why: f.said(f.text, "In a sentence, by the webhook's settings of now."),
} satisfies Fields<Why>);

const wholeEvent = f.named("WholeEvent", {
  ...fields,
  payload: f.said(z.nullable(f.anyObject), "The JSON; null when it was erased."),
  deliveries: z.array(delivery),
  webhooks: f.said(z.array(why), "For every webhook that there is, why it got the event or not."),
});

export function shownEvent(journaled: JournalEvent): z.infer<typeof event> {
  return f.shownBy(event, journaled);
}

export function shownWholeEvent(whole: WholeEvent): z.infer<typeof wholeEvent> {
  return {
    ...shownEvent(whole.event),
    // As Leadterra sent it; the answer is written with it as it came.
    payload: whole.payload as unknown as z.infer<typeof f.anyObject> | null,
    deliveries: whole.deliveries.map(shownDelivery),
    webhooks: whole.reasons,
  };
}

const EVENT_EXAMPLE: z.infer<typeof event> = {
  id: f.EXAMPLE.eventId,
  event: "reply.received",
  timestamp: "2026-11-23T09:14:35Z",
  receivedAt: "2026-11-23T09:14:36.001Z",
  size: 512,
  conforms: true,
  webhookIds: [f.EXAMPLE.webhookId],
};

const eventType = f.named("EventType", {
  name: f.text,
  description: f.text,
  schema: f.said(f.anyObject, "JSON Schema of the whole event."),
  example: f.anyObject,
});

// --- what is given ---

const searchText = z.string().check(z.minLength(1), z.maxLength(MAX_SEARCH_CHARACTERS));
const emailAddress = searchText.check(
  z.refine((given) => addressOf(given) !== null, "must be one e-mail address"),
);
const params = z.object({
  id: z.clone(f.eventIdParam).register(f.document, { example: f.EXAMPLE.eventId }),
});

export const eventQuery = z.strictObject({
  limit: f.limitParam,
  cursor: f.cursorParam(parseEventCursor),
  event: z.optional(f.eventName),
  since: z.optional(f.timeParam),
  until: z.optional(f.timeParam),
  email: z.optional(emailAddress),
  campaignId: z.optional(searchText),
  key: f.said(
    z.optional(searchText),
    "Leadterra's own id: the `messageId` or `reply.id` of a documented event.",
  ),
});

const replaySchema = f.namedStrict("EventReplay", {
  webhookIds: z.optional(
    z.array(turned(f.webhookId, (given) => given as WebhookId)).check(z.minLength(1)),
  ),
});

const queued = f.said(
  z.boolean(),
  "Whether events may still be on their way: then repeat the call later.",
);
const erased = f.named("Erased", { erased: f.count, next: f.nextOfMany, queued });

export const eraseSchema = f.namedStrict("PersonErasure", {
  email: f.said(emailAddress, "The person's e-mail address."),
  cursor: f.cursorParam(parseErasureCursor),
});

const filterTest = f.namedStrict("FilterTest", {
  filter: z.nullable(filterSchema),
  event: z
    .custom<JsonObject>(isObject, "must be an object: the envelope of an event")
    .register(f.document, {
      type: "object",
      additionalProperties: true,
      description: "The whole envelope, as Leadterra sends it.",
    }),
});

// --- the calls ---

export const calls = callsOf("Events", {
  listEvents: call("get /v1/events", {
    summary: "List events, newest first",
    description:
      "To find an event by its lead, campaign, time or Leadterra's own id. A filtered page may be short or empty while `next` goes on.",
    request: { query: eventQuery },
    responses: { 200: f.page("EventPage", event, { of: "events", example: EVENT_EXAMPLE }) },
  }),

  getEvent: call("get /v1/events/{id}", {
    summary: "Read an event with its payload and its deliveries",
    description: "To see what Leadterra sent, whom it went to, and why not to the others.",
    request: { params },
    responses: {
      200: answer("The event as a whole.", wholeEvent, {
        ...EVENT_EXAMPLE,
        payload: f.EXAMPLE.reply,
        deliveries: [DELIVERY_EXAMPLE],
        webhooks: [
          {
            webhookId: f.EXAMPLE.webhookId,
            matched: true,
            why: "It asks for reply.received, and its filter holds.",
          },
        ],
      }),
    },
  }),

  replayEvent: call("post /v1/events/{id}/replay", {
    summary: "Send an event again",
    description:
      "When a service has lost it, or is to get it all the same. To the webhooks that it matched; others may be named.",
    request: { params, body: optionalBody(replaySchema, { webhookIds: [f.EXAMPLE.webhookId] }) },
    responses: {
      202: answer("Taken on.", f.named("EventReplayed", { replayed: f.count }), {
        replayed: 1,
      }),
    },
    failures: ["payload_gone"],
  }),

  eraseEvent: call("delete /v1/events/{id}", {
    summary: "Erase an event's payload and what is known of the lead",
    description: "When a person asks for it and the event is known; by address, erase the person.",
    request: { params },
    responses: {
      204: { description: "Erased, or not known: a copy that still arrives goes to nobody." },
    },
  }),

  erasePerson: call("post /v1/events/erase", {
    summary: "Erase what is known of a person, by e-mail address",
    description:
      "When a person asks for it. A page of events a call; go on with `next` as `cursor`.",
    request: { body: body(eraseSchema, { email: "ava@acmecorp.com" }) },
    responses: { 202: answer("Erased.", erased, { erased: 12, next: null, queued: false }) },
  }),

  listEventTypes: call("get /v1/event-types", {
    summary: "List the documented events with schemas and examples",
    description: "Before writing a handler or a filter.",
    responses: {
      200: answer(
        "Every documented event.",
        f.named("EventTypeList", { data: z.array(eventType) }),
        {
          data: [
            {
              name: "reply.received",
              description: EVENT_TYPES["reply.received"].description,
              schema: { type: "object" },
              example: f.EXAMPLE.reply,
            },
          ],
        },
      ),
    },
  }),

  testFilter: call("post /v1/filters/test", {
    summary: "Try a filter on an event",
    description: "Before a filter is put in force.",
    request: {
      body: body(filterTest, {
        filter: { "data.reply.classification": "interested" },
        event: f.EXAMPLE.reply,
      }),
    },
    responses: {
      200: answer(
        "Whether the filter wants the event.",
        f.named("FilterVerdict", { matches: z.boolean() }),
        { matches: true },
      ),
    },
  }),
});
