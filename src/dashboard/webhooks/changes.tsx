/** What can be done to a webhook, in one table, and registering one. */
import { Hono } from "hono";
import type { HealthState } from "../../domain/health-report";
import type { WebhookId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import { webhookHealth } from "../../operations/stats";
import { pauseWebhook, resumeWebhook } from "../../operations/webhooks";
import { type Action, actions, performing } from "../ui/actions";
import type { Done } from "../ui/notice";
import { showFailure } from "../ui/page";
import { WEBHOOKS_PATH, webhookPath } from "../ui/paths";
import { callerOf, mayChange, type PageEnv } from "../ui/session";
import { batch } from "./batch";
import { DISCARD, REPLAY } from "./batch-kinds";
import { deletion } from "./deletion";
import { editing, registration, showEmptyForm } from "./editing";
import { filterTrial } from "./filter-trial";
import { namedWebhook, WEBHOOK } from "./named-webhook";
import { rotation } from "./rotation";
import { testing, trying } from "./test";

export const webhookChanges = new Hono<PageEnv>()
  .route("/", filterTrial)
  .get("/new", (c) =>
    mayChange(c) ? showEmptyForm(c) : showFailure(c, { code: "insufficient_scope" }),
  )
  .post("/", performing(WEBHOOKS_PATH, registration))
  .route(
    "/",
    actions(
      WEBHOOK,
      { find: namedWebhook, pathOf: ({ id }) => webhookPath(id) },
      {
        edit: editing,
        pause: switching(pauseWebhook, async () => "paused"),
        resume: switching(resumeWebhook, async (env, id) => {
          const health = await webhookHealth(env, id);
          return RESUMED[health?.state ?? "healthy"] ?? "resumed";
        }),
        rotate: rotation,
        test: testing,
        try: trying,
        replay: batch(REPLAY),
        discard: batch(DISCARD),
        delete: deletion,
      },
    ),
  );

type Then = (env: Env, id: WebhookId) => Promise<Done>;

function switching(operation: typeof pauseWebhook, then: Then): Action<Webhook> {
  return {
    act: async (c, { id }) => {
      const result = await operation(c.env, id, callerOf(c));
      return result.ok ? { done: await then(c.env, id) } : result;
    },
  };
}

/** What a resume leads to, where that is not that all goes. */
const RESUMED: { [State in HealthState]?: Done } = {
  probing: "resumed_probing",
  misconfigured: "resumed_held",
  unconnected: "resumed_held",
  postponed: "resumed_held",
};
