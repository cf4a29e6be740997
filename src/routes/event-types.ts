/** /v1/event-types: the events that Leadterra documents, each with its schema and an example. */
import { Hono } from "hono";
import * as z from "zod";
import { EVENT_TYPES, type EventTypeName, eventSchema, exampleEvent } from "../domain/event";
import type { ApiEnv } from "./auth";
import { takesNothing } from "./request";

/** When the examples happened: the time of the example on Leadterra's page. */
const EXAMPLE_AT_MS = Date.parse("2025-06-11T09:14:35Z");

let shown: unknown[] | null = null;

export const eventTypes = new Hono<ApiEnv>().get("/", takesNothing(), (c) => {
  shown ??= Object.entries(EVENT_TYPES).map(([name, { description }]) => ({
    name,
    description,
    schema: z.toJSONSchema(eventSchema(name as EventTypeName)),
    example: exampleEvent(name, EXAMPLE_AT_MS),
  }));
  return c.json({ data: shown });
});
