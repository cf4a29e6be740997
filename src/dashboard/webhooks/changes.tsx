/** What is changed about a webhook: registering, editing, holding, its secret, its end. */
import { Hono } from "hono";
import { configOf, serviceBindings } from "../../config";
import { EVENT_TYPES } from "../../domain/event";
import type { FieldError } from "../../domain/failure";
import { formatSchedule } from "../../domain/schedule";
import { sameOrigin } from "../../domain/target";
import type { Webhook } from "../../domain/webhook";
import {
  pauseWebhook,
  registerWebhook,
  resumeWebhook,
  updateWebhook,
} from "../../operations/webhooks";
import { relayHost } from "../../routes/webhooks";
import { seeOther } from "../ui/notice";
import { newToken, once } from "../ui/once";
import { page, showFailure } from "../ui/page";
import { webhookPath } from "../ui/parts";
import { callerOf, mayChange, type PageContext, type PageEnv } from "../ui/session";
import { webhookEnd } from "./end";
import { filterTrial } from "./filter-trial";
import { WebhookForm } from "./form";
import {
  changesIn,
  draftIn,
  type Form,
  NOTHING_TYPED,
  type Typed,
  text,
  typedIn,
  typedOf,
} from "./input";
import { namedWebhook, trailOf, WEBHOOKS_PATH } from "./named-webhook";
import { webhookReplay } from "./replay";
import { webhookRotation } from "./rotation";
import { showSecret } from "./secret";
import { webhookTest } from "./test";

/** A path that no id can be taken for. */
const ID = "/:id{wh_[0-9A-Z]{26}}";

export const webhookChanges = new Hono<PageEnv>()
  .route("/", filterTrial)
  .get("/new", (c) =>
    mayChange(c)
      ? showForm(c, { typed: NOTHING_TYPED, errors: [], webhook: null })
      : showFailure(c, { code: "insufficient_scope" }),
  )
  .post("/", register)
  .get(`${ID}/edit`, async (c) => {
    if (!mayChange(c)) return showFailure(c, { code: "insufficient_scope" });
    const webhook = await namedWebhook(c);
    if (webhook === null) return showFailure(c, { code: "not_found" });
    const typed = typedOf(webhook, Object.keys(EVENT_TYPES));
    return showForm(c, { typed, errors: [], webhook });
  })
  .post(`${ID}/edit`, edit)
  .post(`${ID}/pause`, async (c) => {
    const id = c.req.param("id");
    const paused = await pauseWebhook(c.env, id, callerOf(c));
    if (!paused.ok && paused.failure.code === "not_found") return showFailure(c, paused.failure);
    return seeOther(
      c,
      webhookPath(id),
      paused.ok ? { done: "paused" } : { failed: paused.failure.code },
    );
  })
  .post(`${ID}/resume`, async (c) => {
    const id = c.req.param("id");
    const resumed = await resumeWebhook(c.env, id, callerOf(c));
    if (!resumed.ok && resumed.failure.code === "not_found") return showFailure(c, resumed.failure);
    return seeOther(
      c,
      webhookPath(id),
      resumed.ok ? { done: "resumed" } : { failed: resumed.failure.code },
    );
  })
  .route("/", webhookTest)
  .route("/", webhookRotation)
  .route("/", webhookReplay)
  .route("/", webhookEnd);

async function register(c: PageContext): Promise<Response> {
  const form: Form = await c.req.parseBody({ all: true });
  return once(
    c,
    text(form, "token"),
    async () => {
      const wrong = async (errors: readonly FieldError[]) => ({
        answer: await showForm(c, { typed: typedIn(form), errors, webhook: null }),
        path: null,
      });
      const given = draftIn(form, relayHost(c.req.url));
      if (!given.ok) return wrong(errorsOf(given.failure));
      const { draft, secret } = given.value;
      const created = await registerWebhook(c.env, draft, { secret, by: callerOf(c) });
      if (!created.ok) return wrong(errorsOf(created.failure));
      const { webhook, signingSecret } = created.value;
      const path = webhookPath(webhook.id);
      if (signingSecret === null) return { answer: seeOther(c, path, { done: "created" }), path };
      return {
        answer: await showSecret(c, { webhook, secret: signingSecret, occasion: "created" }),
        path,
      };
    },
    (path) => seeOther(c, path ?? WEBHOOKS_PATH, { done: "created_before" }),
  );
}

async function edit(c: PageContext): Promise<Response> {
  const webhook = await namedWebhook(c);
  if (webhook === null) return showFailure(c, { code: "not_found" });
  const form: Form = await c.req.parseBody({ all: true });
  const path = webhookPath(webhook.id);
  return once(
    c,
    text(form, "token"),
    async () => {
      const wrong = async (errors: readonly FieldError[]) => ({
        answer: await showForm(c, { typed: typedIn(form), errors, webhook }),
        path: null,
      });
      const given = changesIn(form, webhook);
      if (!given.ok) return wrong(errorsOf(given.failure));
      const { url } = given.value;
      const moves = url !== undefined && !sameOrigin(url, webhook.url);
      if (moves && text(form, "replacesSecret") === "") return wrong([UNCONFIRMED]);
      const changed = await updateWebhook(c.env, webhook.id, {
        changes: given.value,
        by: callerOf(c),
      });
      if (!changed.ok && "errors" in changed.failure) return wrong(changed.failure.errors);
      if (!changed.ok) {
        return { answer: seeOther(c, path, { failed: changed.failure.code }), path };
      }
      const { webhook: after, signingSecret: secret } = changed.value;
      const answer =
        secret === null
          ? seeOther(c, path, { done: "changed" })
          : await showSecret(c, { webhook: after, secret, occasion: "moved" });
      return { answer, path };
    },
    () => seeOther(c, path, { done: "changed" }),
  );
}

const UNCONFIRMED: FieldError = {
  path: "replacesSecret",
  message:
    "must be ticked, because the URL has another scheme, host or port than before: its secret is replaced",
};

function errorsOf(failure: object): readonly FieldError[] {
  return "errors" in failure ? (failure.errors as FieldError[]) : [];
}

type Shown = { typed: Typed; errors: readonly FieldError[]; webhook: Webhook | null };

function showForm(c: PageContext, { typed, errors, webhook }: Shown): Promise<Response> {
  const { delivery } = configOf(c.env);
  return page(
    c,
    {
      title: webhook === null ? "Register a webhook" : "Change the webhook",
      trail: webhook === null ? [["Webhooks", WEBHOOKS_PATH]] : trailOf(webhook),
      status: errors.length === 0 ? 200 : 422,
    },
    <WebhookForm
      action={webhook === null ? WEBHOOKS_PATH : `${webhookPath(webhook.id)}/edit`}
      typed={typed}
      errors={errors}
      token={newToken()}
      webhook={webhook}
      services={serviceBindings(c.env)}
      retrySchedule={delivery === null ? null : formatSchedule(delivery.retryScheduleMs)}
    />,
  );
}
