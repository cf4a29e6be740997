/** /v1/audit: who changed what; and the middleware that writes down what is no change of a webhook. */
import { type Context, Hono } from "hono";
import { createMiddleware } from "hono/factory";
import * as z from "zod";
import { badCursor } from "../contract/problem";
import { writeDown } from "../operations/audit";
import { registry } from "../operations/objects";
import type { ApiEnv } from "./auth";
import { problem } from "./problem";
import { cursorParam, limitParam, readQuery } from "./request";
import { shownAudit } from "./views";

export const listQuery = z.strictObject({ limit: limitParam, cursor: cursorParam });

export const audit = new Hono<ApiEnv>().get("/", async (c) => {
  const query = readQuery(c, listQuery);
  if (!query.ok) return problem(c, query.failure);
  const { cursor, limit } = query.value;
  const before =
    cursor === undefined ? null : /^aud_\d{1,15}$/.test(cursor) ? Number(cursor.slice(4)) : -1;
  if (before === -1) return problem(c, badCursor());
  const entries = await registry(c.env).audit(before, limit + 1);
  const data = entries.slice(0, limit).map(shownAudit);
  return c.json({ data, next: entries.length > limit ? (data.at(-1)?.id ?? null) : null });
});

/** Writes a successful call into the audit log, as `action`. */
export function audited(action: string) {
  return createMiddleware<ApiEnv>(async (c, next) => {
    await next();
    if (!c.res.ok || (await isDryRun(c))) return;
    const { id = null, eventId } = c.req.param() as { id?: string; eventId?: string };
    const isWebhook = id?.startsWith("wh_") ?? false;
    await writeDown(c.env, {
      by: c.get("caller"),
      action,
      webhookId: isWebhook ? id : null,
      after: { ...(isWebhook || id === null ? {} : { id }), ...(eventId && { eventId }) },
    });
  });
}

/** Whether the call only asked what it would do. Its body has been read and checked before. */
async function isDryRun(c: Context): Promise<boolean> {
  const body = await c.req.text();
  if (!body.includes("dryRun")) return false;
  return (JSON.parse(body) as { dryRun?: unknown }).dryRun === true;
}
