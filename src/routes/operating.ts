/** /v1/dead-letters, /v1/audit, /v1/stats: what those who run the relay look at. */
import { Hono } from "hono";
import { formatAuditId, formatDeadLetterCursor } from "../contract/cursor";
import { calls, shownAudit, shownStats } from "../contract/operating";
import { shownDeadLetter } from "../domain/dead-letter";
import { ok } from "../domain/failure";
import { OPEN_METRICS_TYPE, renderMetrics } from "../domain/open-metrics";
import { DAY_MS } from "../domain/time";
import { listAudit } from "../operations/audit";
import {
  deleteDeadLetter,
  listDeadLetters,
  redriveDeadLetter,
  redriveDeadLetters,
} from "../operations/dead-letters";
import { metrics } from "../operations/metrics";
import { stats } from "../operations/stats";
import type { ApiEnv } from "./http/auth";
import { serving } from "./http/serve";

export const operating = new Hono<ApiEnv>();
const serve = serving(operating);

serve(calls.listDeadLetters, async ({ query: { cursor = null, limit, reason = null } }, c) => {
  const { letters, next } = await listDeadLetters(c.env, { before: cursor, limit, reason });
  return ok({ data: letters.map(shownDeadLetter), next: next && formatDeadLetterCursor(next) });
});

serve(calls.redriveDeadLetter, async ({ params: { id } }, c) => {
  const redriven = await redriveDeadLetter(c.env, { id, by: c.get("caller") });
  return redriven.ok ? ok({ id }) : redriven;
});

serve(calls.redriveDeadLetters, async ({ body }, c) => {
  const { reason = null, dryRun, cursor = null } = body;
  const by = c.get("caller");
  const { redriven, next } = await redriveDeadLetters(c.env, { reason, dryRun, cursor, by });
  return ok({ redriven, next: next && formatDeadLetterCursor(next) });
});

serve(calls.deleteDeadLetter, async ({ params: { id } }, c) =>
  deleteDeadLetter(c.env, { id, by: c.get("caller") }),
);

serve(calls.listAudit, async ({ query: { cursor = null, limit } }, c) => {
  const { entries, next } = await listAudit(c.env, cursor, limit);
  return ok({ data: entries.map(shownAudit), next: next === null ? null : formatAuditId(next) });
});

serve(calls.getStats, async ({ query: { since = Date.now() - DAY_MS } }, c) =>
  ok(shownStats(await stats(c.env, since))),
);

serve(calls.getMetrics, async (_, c) => {
  const text = renderMetrics(await metrics(c.env));
  return ok(c.body(text, { headers: { "content-type": OPEN_METRICS_TYPE } }));
});
