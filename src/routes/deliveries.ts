/** /v1/webhooks/{id}/deliveries, /replay, /discard: what a webhook is owed, again or no more. */
import { type Context, Hono } from "hono";
import * as z from "zod";
import { formatPosition, parsePosition } from "../contract/cursor";
import { badCursor } from "../contract/problem";
import { parseEventId } from "../domain/ids";
import type { Webhook } from "../domain/webhook";
import {
  cancelDelivery,
  discardDeliveries,
  findDelivery,
  listDeliveries,
  type ReplayCursor,
  replay,
  retryDelivery,
} from "../operations/deliveries";
import { findWebhook } from "../operations/webhooks";
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
import { shownAttempt, shownDelivery } from "./views";

export const listQuery = z.strictObject({
  limit: limitParam,
  cursor: cursorParam,
  status: z.enum(["pending", "delivered", "undeliverable", "cancelled"]).optional(),
  event: eventName.optional(),
  since: timeParam.optional(),
  until: timeParam.optional(),
});

export const replaySchema = z.strictObject({
  since: timeParam,
  until: timeParam.optional(),
  only: z.enum(["undeliverable", "all", "missing"]),
  event: eventName.optional(),
  dryRun: z.boolean().default(false),
  cursor: cursorParam,
});

export const discardSchema = z.strictObject({
  until: timeParam.optional(),
  event: eventName.optional(),
  dryRun: z.boolean().default(false),
  cursor: cursorParam,
});

type AppContext = Context<ApiEnv>;

export const deliveries = new Hono<ApiEnv>()
  .get("/:id/deliveries", async (c) => {
    const query = readQuery(c, listQuery);
    if (!query.ok) return problem(c, query.failure);
    const { cursor, since, until, status, event, limit } = query.value;
    const before = cursor === undefined ? undefined : parsePosition(cursor);
    if (before === null) return problem(c, badCursor());
    const webhook = await existing(c);
    if (webhook === null) return problem(c, { code: "not_found" });
    const filter = {
      ...(status && { status }),
      ...(event !== undefined && { event }),
      ...(since !== undefined && { sinceMs: since }),
      ...(until !== undefined && { untilMs: until }),
    };
    const page = await listDeliveries(c.env, webhook, filter, { before: before ?? null, limit });
    const next = page.next === null ? null : formatPosition(page.next);
    return c.json({ data: page.deliveries.map(shownDelivery), next });
  })
  .get("/:id/deliveries/:eventId", takesNothing(), async (c) => {
    const { webhook, eventId } = await named(c);
    if (webhook === null || eventId === null) return problem(c, { code: "not_found" });
    const delivery = await findDelivery(c.env, webhook, eventId);
    if (delivery === null) return problem(c, { code: "not_found" });
    const { attemptLog, ...view } = delivery;
    return c.json({
      ...shownDelivery(view),
      attemptLog: attemptLog.map(shownAttempt),
    });
  })
  .post("/:id/deliveries/:eventId/retry", takesNothing(), async (c) => {
    const { webhook, eventId } = await named(c);
    if (webhook === null || eventId === null) return problem(c, { code: "not_found" });
    const retried = await retryDelivery(c.env, webhook, { id: eventId, by: c.get("caller") });
    return retried.ok ? c.json(shownDelivery(retried.value), 202) : problem(c, retried.failure);
  })
  .post("/:id/deliveries/:eventId/cancel", takesNothing(), async (c) => {
    const { webhook, eventId } = await named(c);
    if (webhook === null || eventId === null) return problem(c, { code: "not_found" });
    const cancelled = await cancelDelivery(c.env, webhook, { id: eventId, by: c.get("caller") });
    return cancelled.ok ? c.json(shownDelivery(cancelled.value)) : problem(c, cancelled.failure);
  })
  .post("/:id/replay", async (c) => {
    const given = await readBody(c, replaySchema);
    if (!given.ok) return problem(c, given.failure);
    const { since, until, only, event, dryRun, cursor } = given.value;
    const from = cursor === undefined ? null : parseReplayCursor(cursor, only);
    if (cursor !== undefined && from === null) return problem(c, badCursor());
    const webhook = await existing(c);
    if (webhook === null) return problem(c, { code: "not_found" });
    // The first call fixes the end: what arrives while pages are replayed is not replayed.
    const untilMs = from?.untilMs ?? until ?? Date.now();
    const { replayed, next } = await replay(c.env, webhook, {
      sinceMs: since,
      untilMs,
      only,
      ...(event !== undefined && { event }),
      dryRun,
      cursor: from?.cursor ?? null,
      by: c.get("caller"),
    });
    return c.json({ replayed, next: next && formatReplayCursor(untilMs, next) }, 202);
  })
  .post("/:id/discard", async (c) => {
    const given = await readOptionalBody(c, discardSchema);
    if (!given.ok) return problem(c, given.failure);
    const { until, event, dryRun, cursor } = given.value;
    const before = cursor === undefined ? undefined : parsePosition(cursor);
    if (before === null) return problem(c, badCursor());
    const webhook = await existing(c);
    if (webhook === null) return problem(c, { code: "not_found" });
    const { discarded, next } = await discardDeliveries(c.env, webhook, {
      dryRun,
      cursor: before ?? null,
      by: c.get("caller"),
      ...(event !== undefined && { event }),
      ...(until !== undefined && { untilMs: until }),
    });
    return c.json({ discarded, next: next && formatPosition(next) }, 202);
  });

function existing(c: AppContext): Promise<Webhook | null> {
  return findWebhook(c.env, c.req.param("id") ?? "");
}

async function named(c: AppContext) {
  return { webhook: await existing(c), eventId: parseEventId(c.req.param("eventId") ?? "") };
}

/** `until~day~seq.index`, the day only where the journals are replayed. */
export function formatReplayCursor(untilMs: number, { day, position }: ReplayCursor): string {
  return [untilMs, day ?? "", position === null ? "" : formatPosition(position)].join("~");
}

export function parseReplayCursor(
  text: string,
  only: "undeliverable" | "all" | "missing",
): { untilMs: number; cursor: ReplayCursor } | null {
  const match = /^(\d{1,15})~(\d{4}-\d{2}-\d{2})?~([\d.]*)$/.exec(text);
  if (match === null) return null;
  const [, untilMs, day = null, rest = ""] = match;
  const position = rest === "" ? null : parsePosition(rest);
  if ((only === "missing") !== (day !== null) || (position === null && rest !== "")) return null;
  if (day === null && position === null) return null;
  return { untilMs: Number(untilMs), cursor: { day, position } };
}
