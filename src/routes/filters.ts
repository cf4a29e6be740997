/** /v1/filters/test: whether a filter wants an event, before a webhook depends on it. */
import { Hono } from "hono";
import * as z from "zod";
import { isObject, type JsonObject } from "../domain/event";
import { type Filter, matchesFilter } from "../domain/filter";
import type { ApiEnv } from "./auth";
import { problem } from "./problem";
import { readBody } from "./request";
import { filterSchema } from "./webhooks";

export const filterTestSchema = z.strictObject({
  filter: filterSchema.refine((given) => given !== undefined, "must be a filter, or null"),
  event: z
    .custom<JsonObject>(isObject, "must be an object: the envelope of an event")
    .meta({ type: "object", description: "The whole envelope, as Leadterra sends it." }),
});

export const filters = new Hono<ApiEnv>().post("/test", async (c) => {
  const given = await readBody(c, filterTestSchema);
  if (!given.ok) return problem(c, given.failure);
  const { filter, event } = given.value;
  return c.json({ matches: filter === null || matchesFilter(filter as Filter, event) });
});
