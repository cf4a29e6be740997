/** /v1/deliveries, /v1/webhooks/{id}/deliveries, /replay, /discard: what a webhook is owed, again or no more. */
import { Hono } from "hono";
import { formatPlace, formatPosition, formatReplayCursor } from "../contract/cursor";
import { calls, shownAttempt } from "../contract/deliveries";
import { shownDelivery } from "../domain/delivery";
import { fail, ok } from "../domain/failure";
import { listAllDeliveries } from "../operations/all-deliveries";
import {
  cancelDelivery,
  discardDeliveries,
  findDelivery,
  listDeliveries,
  replay,
  retryDelivery,
} from "../operations/deliveries";
import type { ApiEnv } from "./http/auth";
import { given, serving, servingWebhook } from "./http/serve";

export const deliveries = new Hono<ApiEnv>();
const serve = serving(deliveries);
const serveWebhook = servingWebhook(deliveries);

serveWebhook(calls.listDeliveries, async (webhook, { query }, c) => {
  const { limit, cursor = null, since: sinceMs, until: untilMs, ...last } = query;
  const filter = given({ ...last, sinceMs, untilMs });
  const page = await listDeliveries(c.env, webhook, filter, { before: cursor, limit });
  const next = page.next && formatPosition(page.next);
  return ok({ data: page.deliveries.map(shownDelivery), next });
});

serve(calls.listAllDeliveries, async ({ query }, c) => {
  const { limit, cursor = null, since: sinceMs, until: untilMs, ...last } = query;
  const filter = given({ ...last, sinceMs, untilMs });
  const page = await listAllDeliveries(c.env, filter, { before: cursor, limit });
  return ok({
    data: page.deliveries.map(shownDelivery),
    next: page.next && formatPlace(page.next),
  });
});

serveWebhook(calls.getDelivery, async (webhook, { params }, c) => {
  const delivery = await findDelivery(c.env, webhook, params.eventId);
  if (delivery === null) return fail({ code: "not_found" });
  const attemptLog = delivery.attemptLog.map(shownAttempt);
  return ok({ ...shownDelivery(delivery), attemptLog });
});

serveWebhook(calls.retryDelivery, async (webhook, { params, body: { wait } }, c) => {
  const asked = { id: params.eventId, by: c.get("caller"), wait };
  const retried = await retryDelivery(c.env, webhook, asked);
  if (!retried.ok) return retried;
  const { delivery, attempt } = retried.value;
  const shown = shownDelivery(delivery);
  if (attempt !== null) return ok({ ...shown, attempt: shownAttempt(attempt) });
  c.status(202);
  return ok(shown);
});

serveWebhook(calls.cancelDelivery, async (webhook, { params }, c) => {
  const asked = { id: params.eventId, by: c.get("caller") };
  const cancelled = await cancelDelivery(c.env, webhook, asked);
  return cancelled.ok ? ok(shownDelivery(cancelled.value)) : cancelled;
});

serveWebhook(calls.replayDeliveries, async (webhook, { body }, c) => {
  const { since: sinceMs, until: untilMs, only, event, dryRun, cursor = null } = body;
  const by = c.get("caller");
  const asked = { sinceMs, only, dryRun, cursor, by, ...given({ event, untilMs }) };
  const { replayed, next } = await replay(c.env, webhook, asked);
  return ok({ replayed, next: next && formatReplayCursor(next) });
});

serveWebhook(calls.discardDeliveries, async (webhook, { body }, c) => {
  const { until: untilMs, event, dryRun, cursor = null } = body;
  const wanted = { dryRun, cursor, by: c.get("caller"), ...given({ event, untilMs }) };
  const { discarded, next } = await discardDeliveries(c.env, webhook, wanted);
  return ok({ discarded, next: next && formatPosition(next) });
});
