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
import { findWebhook } from "../operations/webhooks";
import type { ApiEnv } from "./http/auth";
import { given, serving } from "./http/serve";

const NOT_FOUND = fail({ code: "not_found" });

export const deliveries = new Hono<ApiEnv>();
const serve = serving(deliveries);

serve(calls.listDeliveries, async ({ params, query }, c) => {
  const { limit, cursor = null, since: sinceMs, until: untilMs, ...last } = query;
  const webhook = await findWebhook(c.env, params.id);
  if (webhook === null) return NOT_FOUND;
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

serve(calls.getDelivery, async ({ params }, c) => {
  const webhook = await findWebhook(c.env, params.id);
  const delivery = webhook && (await findDelivery(c.env, webhook, params.eventId));
  if (delivery === null) return NOT_FOUND;
  const attemptLog = delivery.attemptLog.map(shownAttempt);
  return ok({ ...shownDelivery(delivery), attemptLog });
});

serve(calls.retryDelivery, async ({ params, body: { wait } }, c) => {
  const webhook = await findWebhook(c.env, params.id);
  if (webhook === null) return NOT_FOUND;
  const asked = { id: params.eventId, by: c.get("caller"), wait };
  const retried = await retryDelivery(c.env, webhook, asked);
  if (!retried.ok) return retried;
  const { delivery, attempt } = retried.value;
  const shown = shownDelivery(delivery);
  if (attempt !== null) return ok({ ...shown, attempt: shownAttempt(attempt) });
  c.status(202);
  return ok(shown);
});

serve(calls.cancelDelivery, async ({ params }, c) => {
  const webhook = await findWebhook(c.env, params.id);
  if (webhook === null) return NOT_FOUND;
  const asked = { id: params.eventId, by: c.get("caller") };
  const cancelled = await cancelDelivery(c.env, webhook, asked);
  return cancelled.ok ? ok(shownDelivery(cancelled.value)) : cancelled;
});

serve(calls.replayDeliveries, async ({ params, body }, c) => {
  const { since: sinceMs, until, only, event, dryRun, cursor } = body;
  const webhook = await findWebhook(c.env, params.id);
  if (webhook === null) return NOT_FOUND;
  // The first call fixes the end: what arrives while pages are replayed is not replayed.
  const untilMs = cursor?.untilMs ?? until ?? Date.now();
  const from = { cursor: cursor?.cursor ?? null, by: c.get("caller") };
  const wanted = { sinceMs, untilMs, only, dryRun, ...given({ event }) };
  const { replayed, next } = await replay(c.env, webhook, { ...wanted, ...from });
  return ok({ replayed, next: next && formatReplayCursor(untilMs, next) });
});

serve(calls.discardDeliveries, async ({ params, body }, c) => {
  const { until: untilMs, event, dryRun, cursor = null } = body;
  const webhook = await findWebhook(c.env, params.id);
  if (webhook === null) return NOT_FOUND;
  const wanted = { dryRun, cursor, by: c.get("caller"), ...given({ event, untilMs }) };
  const { discarded, next } = await discardDeliveries(c.env, webhook, wanted);
  return ok({ discarded, next: next && formatPosition(next) });
});
