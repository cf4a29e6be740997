/** /v1/stats: how the relay is doing. */
import { Hono } from "hono";
import * as z from "zod";
import { stats as readStats } from "../operations/stats";
import { problem } from "./problem";
import { readQuery, timeParam } from "./request";
import { shownStats } from "./views";

const DAY_MS = 86_400_000;
/** Counters are kept for a month. */
const MAX_DAYS = 31;

export const statsQuery = z.strictObject({
  since: timeParam
    .refine((ms) => ms > Date.now() - MAX_DAYS * DAY_MS, `must be within the last ${MAX_DAYS} days`)
    .optional(),
});

export const stats = new Hono<{ Bindings: Env }>().get("/", async (c) => {
  const query = readQuery(c, statsQuery);
  if (!query.ok) return problem(c, query.failure);
  return c.json(shownStats(await readStats(c.env, query.value.since ?? Date.now() - DAY_MS)));
});
