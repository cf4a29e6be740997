/** /v1/events, /v1/event-types and /v1/filters: the journal, what can be done with an event, and who would get it. */
import { Hono } from "hono";
import SCHEMAS from "../../event-schemas.json";
import { formatErasureCursor, formatEventCursor } from "../contract/cursor";
import { calls, shownEvent, shownWholeEvent } from "../contract/events";
import type { Output } from "../contract/route";
import { type EventTypeName, exampleEvent, KNOWN_EVENTS } from "../domain/event";
import { fail, ok } from "../domain/failure";
import { compileFilter } from "../domain/filter";
import {
  eraseEvent,
  erasePerson,
  findEventsByKey,
  replayEvent,
  wholeEvent,
} from "../operations/events";
import { listEvents } from "../operations/journal";
import type { ApiEnv } from "./http/auth";
import { given, serving } from "./http/serve";

const NOT_FOUND = fail({ code: "not_found" });
/** When the examples happened: the time of the example on Leadterra's page. */
const EXAMPLE_AT_MS = Date.parse("2025-06-11T09:14:35Z");

export const events = new Hono<ApiEnv>();
const serve = serving(events);

serve(calls.listEvents, async ({ query }, c) => {
  const { limit, cursor = null, key, since: sinceMs, until: untilMs, ...rest } = query;
  const filter = given({ ...rest, sinceMs, untilMs });
  const from = { cursor, limit };
  const page =
    key === undefined
      ? await listEvents(c.env, filter, from)
      : await findEventsByKey(c.env, { ...filter, key }, from);
  const next = page.next && formatEventCursor(page.next);
  return ok({ data: page.events.map(shownEvent), next });
});

serve(calls.erasePerson, async ({ body }, c) => {
  const { email, cursor = null } = body;
  const erasure = { email, cursor, by: c.get("caller") };
  const { next, ...rest } = await erasePerson(c.env, erasure);
  return ok({ ...rest, next: next && formatErasureCursor(next) });
});

serve(calls.getEvent, async ({ params }, c) => {
  const whole = await wholeEvent(c.env, params.id);
  return whole === null ? NOT_FOUND : ok(shownWholeEvent(whole));
});

serve(calls.eraseEvent, async ({ params }, c) => {
  await eraseEvent(c.env, { id: params.id, by: c.get("caller") });
  return ok(null);
});

serve(calls.replayEvent, async ({ params, body }, c) => {
  const { webhookIds = null } = body;
  const asked = { id: params.id, webhookIds, by: c.get("caller") };
  const replayed = await replayEvent(c.env, asked);
  return replayed.ok ? ok({ replayed: replayed.value }) : replayed;
});

serve(calls.listEventTypes, async () => ok({ data: eventTypes() }));

serve(calls.testFilter, async ({ body: { filter, event } }) =>
  ok({ matches: filter === null || compileFilter(filter)(event) }),
);

type EventTypes = Output<typeof calls.listEventTypes>["data"];

let made: EventTypes | null = null;

/** Once per isolate. */
function eventTypes(): EventTypes {
  made ??= Object.entries(KNOWN_EVENTS).map(([name, { description }]) => ({
    name,
    description,
    schema: SCHEMAS[name as EventTypeName],
    example: exampleEvent(name, EXAMPLE_AT_MS),
  }));
  return made;
}
