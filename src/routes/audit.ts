/** /v1/audit: who changed what. */
import { Hono } from "hono";
import * as z from "zod";
import { badCursor } from "../contract/problem";
import { listAudit } from "../operations/audit";
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
  const { entries, next } = await listAudit(c.env, before, limit);
  return c.json({ data: entries.map(shownAudit), next: next === null ? null : `aud_${next}` });
});
