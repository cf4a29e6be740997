/** /v1/webhooks: registrations. */
import { Hono } from "hono";
import { shownAttempt } from "../contract/deliveries";
import { changesOf, draftOf, relayHost } from "../contract/webhook-settings";
import { calls, listedWebhook, shownWebhook } from "../contract/webhooks";
import { type FailureCode, fail, ok, type Result } from "../domain/failure";
import { shownHealth } from "../domain/health-report";
import { SECOND_MS } from "../domain/time";
import type { Changed } from "../domain/webhook";
import { registry } from "../operations/objects";
import { ownStats } from "../operations/stats";
import {
  listenTo,
  mistakesIn,
  pauseWebhook,
  putWebhook,
  registerWebhook,
  removeWebhook,
  resumeWebhook,
  rotateSecret,
  testWebhook,
  updateWebhook,
} from "../operations/webhooks";
import type { ApiEnv } from "./http/auth";
import { type ApiContext, serving, servingWebhook } from "./http/serve";

const NOT_ITS_NAME = fail({
  code: "invalid_request",
  errors: [{ path: "name", message: "must be the name in the path, or be left out" }],
});

export const webhooks = new Hono<ApiEnv>();
const serve = serving(webhooks);
const serveWebhook = servingWebhook(webhooks);

serve(
  calls.createWebhook,
  async ({ body }, c) => {
    const { signingSecret: secret = null, ...given } = body;
    const draft = draftOf(given, relayHost(c.req.url));
    return shown(await registerWebhook(c.env, draft, { secret, by: c.get("caller") }));
  },
  mistakes,
);

serve(calls.listWebhooks, async ({ query }, c) => {
  const { webhooks: page, next } = await registry(c.env).list(query.cursor ?? null, query.limit);
  return ok({ data: page.map(listedWebhook), next });
});

serve(
  calls.putWebhook,
  async ({ params: { id: name }, body }, c) => {
    const { signingSecret: secret = null, sameService = false, dryRun = false, ...given } = body;
    if (given.name !== undefined && given.name !== name) return NOT_ITS_NAME;
    const draft = { ...draftOf(given, relayHost(c.req.url)), name };
    const by = c.get("caller");
    const put = await putWebhook(c.env, draft, { secret, sameService, dryRun, by });
    if (put.ok && put.value.created) c.status(201);
    return shown(put);
  },
  mistakes,
);

serveWebhook(calls.getWebhook, async (webhook, _, c) => {
  const show = c.get("scope") === "all" ? shownWebhook : listedWebhook;
  return ok({ webhook: show(webhook) });
});

serve(calls.listenToWebhook, async ({ params }, c) => {
  // Deliveries are taken from it, so it is no reading.
  if (c.get("scope") !== "all") return fail({ code: "insufficient_scope" });
  const upgrade = c.req.header("upgrade")?.toLowerCase();
  // A HEAD comes here too, and connects nobody.
  if (upgrade !== "websocket" || c.req.method === "HEAD") return fail({ code: "upgrade_required" });
  const socket = await listenTo(c.env, params.id);
  if (!socket.ok) return socket;
  return ok(new Response(null, { status: 101, webSocket: socket.value }));
});

serveWebhook(calls.getWebhookHealth, async ({ id }, _, c) => {
  const { health } = await ownStats(c.env, id, Date.now());
  return ok(shownHealth(health));
});

serveWebhook(
  calls.changeWebhook,
  async (webhook, { body }, c) =>
    shown(await updateWebhook(c.env, webhook, { changes: changesOf(body), by: c.get("caller") })),
  mistakes,
);

serveWebhook(calls.deleteWebhook, async (webhook, _, c) =>
  removeWebhook(c.env, webhook, c.get("caller")),
);

serveWebhook(calls.pauseWebhook, async (webhook, _, c) =>
  shown(await pauseWebhook(c.env, webhook, c.get("caller"))),
);

serveWebhook(calls.resumeWebhook, async (webhook, _, c) =>
  shown(await resumeWebhook(c.env, webhook, c.get("caller"))),
);

serve(calls.rotateSecret, async ({ params, body }, c) => {
  const { gracePeriodSeconds, signingSecret = null } = body;
  const graceMs = gracePeriodSeconds * SECOND_MS;
  const by = c.get("caller");
  return shown(await rotateSecret(c.env, params.id, { graceMs, signingSecret, by }));
});

serveWebhook(calls.testWebhook, async (webhook, { body }, c) => {
  const tested = await testWebhook(c.env, webhook, body.event ?? null);
  return tested.ok ? ok(shownAttempt(tested.value)) : tested;
});

function mistakes(body: unknown, c: ApiContext) {
  return mistakesIn(c.env, body, relayHost(c.req.url));
}

/** A webhook after a change, with its secret where that is new: it is shown once. */
function shown<Code extends FailureCode>(changed: Result<Changed, Code>) {
  if (!changed.ok) return changed;
  const { webhook, signingSecret } = changed.value;
  const secret = signingSecret !== null && { signingSecret };
  return ok({ webhook: { ...shownWebhook(webhook), ...secret } });
}
