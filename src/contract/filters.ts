/** /v1/filters/test: whether a filter wants an event, before a webhook depends on it. */
import * as z from "zod";
import { isObject, type JsonObject } from "../domain/event";
import { EXAMPLE } from "./fields";
import { answer, body, call, callsOf } from "./route";
import { filterSchema } from "./webhook-settings";

const filterTest = z
  .strictObject({
    filter: filterSchema.nullable(),
    event: z.custom<JsonObject>(isObject, "must be an object: the envelope of an event").meta({
      type: "object",
      additionalProperties: true,
      description: "The whole envelope, as Leadterra sends it.",
    }),
  })
  .meta({ id: "FilterTest" });

export const calls = callsOf("Events", {
  testFilter: call("post /v1/filters/test", {
    summary: "Try a filter on an event",
    description: "Before a filter is put in force.",
    request: {
      body: body(filterTest, {
        filter: { "data.reply.classification": "interested" },
        event: EXAMPLE.reply,
      }),
    },
    responses: {
      200: answer(
        "Whether the filter wants the event.",
        z.object({ matches: z.boolean() }).meta({ id: "FilterVerdict" }),
        { matches: true },
      ),
    },
  }),
});
