/** What needs no key: the events that come in, whether all is configured, and what the API is. */
import * as z from "zod/mini";
import { EVENT_NAME, MAX_BODY_BYTES } from "../domain/event";
import { document, EXAMPLE, eventId, named, said, text, textLike } from "./fields";
import { answer, body, call, callsOf } from "./route";

/** As tolerant as the inbound contract: names and data that nobody documented are taken too. */
const leadterraEvent = z
  .looseObject({
    event: textLike(EVENT_NAME),
    timestamp: said(
      z.optional(z.unknown()),
      "ISO 8601 as Leadterra sends it; nothing depends on it.",
    ),
    webhookId: said(z.optional(z.unknown()), "Text as Leadterra sends it."),
    data: z.looseObject({}),
  })
  .register(document, {
    id: "LeadterraEvent",
    description:
      "An event of any name. Those that Leadterra documents are under webhooks, and in `GET /v1/event-types` with their schemas.",
  });

const accepted = named("Accepted", { id: eventId, duplicate: z.boolean() });

const health = named("Health", {
  status: z.enum(["ok", "misconfigured"]).register(document, { id: "HealthStatus" }),
  version: text,
  problems: z.array(named("ConfigProblem", { name: text, message: text })),
});

export const calls = callsOf("Public", {
  ingestEvent: call("post /webhooks/leadterra", {
    summary: "Take an event from Leadterra",
    description: `Leadterra calls it for each event; by hand only to try. At most ${MAX_BODY_BYTES} bytes, without Content-Encoding.`,
    request: { body: body(leadterraEvent, EXAMPLE.reply as never) },
    responses: {
      202: answer("A new event: it is durable.", accepted, {
        id: EXAMPLE.eventId,
        duplicate: false,
      }),
      200: answer("Seen before: nothing is done again.", accepted, {
        id: EXAMPLE.eventId,
        duplicate: true,
      }),
    },
    failures: [
      "method_not_allowed",
      "not_configured",
      "unsupported_encoding",
      "payload_too_large",
      "incomplete_body",
      "invalid_signature",
      "invalid_encoding",
      "invalid_json",
      "invalid_event",
      "queue_unavailable",
    ],
  }),

  getHealth: call("get /healthz", {
    summary: "See whether the relay is configured as it should be",
    description: "For a monitor from outside, and after a deploy: 503 names what is missing.",
    responses: {
      200: answer("It is.", health, { status: "ok", version: "0.2.0", problems: [] }),
      503: answer("Something is misconfigured.", health, {
        status: "misconfigured",
        version: "0.2.0",
        problems: [{ name: "API_KEYS", message: "must be set: without a key nobody is let in" }],
      }),
    },
  }),

  getOpenApi: call("get /openapi.json", {
    summary: "This document",
    description: "To generate a client from.",
    responses: {
      200: answer(
        "OpenAPI 3.1.",
        z.looseObject({ openapi: text }).register(document, { id: "OpenApiDocument" }),
        { openapi: "3.1.0" },
      ),
    },
  }),

  /** The page itself is HTML. */
  getDocs: call("get /docs", {
    summary: "This document as a page",
    description: "To read, and to try calls with a key.",
    responses: { 200: { description: "HTML.", text: "text/html" } },
  }),
});
