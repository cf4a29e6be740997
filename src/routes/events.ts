/** /v1/events: the journal, and what can be done with an event. */
import { Hono } from "hono";
import * as z from "zod";
import { formatPosition, parsePosition } from "../contract/cursor";
import { badCursor } from "../contract/problem";
import { parseEventId, parseWebhookId, type WebhookId } from "../domain/ids";
import { eraseEvent, erasePerson, replayEvent, wholeEvent } from "../operations/events";
import { type EventCursor, listEvents } from "../operations/journal";
import type { ApiEnv } from "./auth";
import { problem } from "./problem";
import {
  cursorParam,
  eventName,
  limitParam,
  readBody,
  readOptionalBody,
  readQuery,
  takesNothing,
  timeParam,
} from "./request";
import { shownEvent, shownWholeEvent } from "./views";

const MAX_SEARCH_CHARACTERS = 512;
const searchText = z.string().min(1).max(MAX_SEARCH_CHARACTERS);

export const listQuery = z.strictObject({
  limit: limitParam,
  cursor: cursorParam,
  event: eventName.optional(),
  since: timeParam.optional(),
  until: timeParam.optional(),
  email: searchText.optional(),
  campaignId: searchText.optional(),
});

export const replaySchema = z.strictObject({
  webhookIds: z
    .array(z.string().refine((text) => parseWebhookId(text) !== null, "is not a webhook"))
    .min(1)
    .optional(),
});

export const eraseSchema = z.strictObject({ email: searchText, cursor: cursorParam });

export const events = new Hono<ApiEnv>()
  .get("/", async (c) => {
    const query = readQuery(c, listQuery);
    if (!query.ok) return problem(c, query.failure);
    const { limit, cursor, since, until, event, email, campaignId } = query.value;
    const from = cursor === undefined ? null : parseCursor(cursor);
    if (cursor !== undefined && from === null) return problem(c, badCursor());
    const filter = {
      ...(event !== undefined && { event }),
      ...(email !== undefined && { email }),
      ...(campaignId !== undefined && { campaignId }),
      ...(since !== undefined && { sinceMs: since }),
      ...(until !== undefined && { untilMs: until }),
    };
    const page = await listEvents(c.env, filter, { cursor: from, limit });
    return c.json({
      data: page.events.map(shownEvent),
      next: page.next && formatCursor(page.next),
    });
  })
  .post("/erase", async (c) => {
    const given = await readBody(c, eraseSchema);
    if (!given.ok) return problem(c, given.failure);
    const { email, cursor } = given.value;
    const from = cursor === undefined ? null : parseCursor(cursor);
    if (cursor !== undefined && from === null) return problem(c, badCursor());
    const { erased, next } = await erasePerson(c.env, { email, cursor: from, by: c.get("caller") });
    return c.json({ erased, next: next && formatCursor(next) }, 202);
  })
  .get("/:id", takesNothing(), async (c) => {
    const id = parseEventId(c.req.param("id"));
    const whole = id === null ? null : await wholeEvent(c.env, id);
    return whole === null ? problem(c, { code: "not_found" }) : c.json(shownWholeEvent(whole));
  })
  .delete("/:id", takesNothing(), async (c) => {
    const id = parseEventId(c.req.param("id"));
    const erased = id !== null && (await eraseEvent(c.env, { id, by: c.get("caller") }));
    return erased ? c.body(null, 204) : problem(c, { code: "not_found" });
  })
  .post("/:id/replay", async (c) => {
    const given = await readOptionalBody(c, replaySchema);
    if (!given.ok) return problem(c, given.failure);
    const id = parseEventId(c.req.param("id"));
    if (id === null) return problem(c, { code: "not_found" });
    const webhookIds = (given.value.webhookIds ?? null) as WebhookId[] | null;
    const replayed = await replayEvent(c.env, { id, webhookIds, by: c.get("caller") });
    return replayed.ok ? c.json({ replayed: replayed.value }, 202) : problem(c, replayed.failure);
  });

/** `day~seq.index`. */
export function formatCursor({ day, position }: EventCursor): string {
  return `${day}~${position === null ? "" : formatPosition(position)}`;
}

export function parseCursor(text: string): EventCursor | null {
  const match = /^(\d{4}-\d{2}-\d{2})~([\d.]*)$/.exec(text);
  if (match === null) return null;
  const [, day = "", rest = ""] = match;
  const position = rest === "" ? null : parsePosition(rest);
  return position === null && rest !== "" ? null : { day, position };
}
