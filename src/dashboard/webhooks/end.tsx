/** Deleting a webhook, after whoever does it has said which. */
import { Hono } from "hono";
import type { Webhook } from "../../domain/webhook";
import { removeWebhook } from "../../operations/webhooks";
import { seeOther } from "../ui/notice";
import { page, showFailure } from "../ui/page";
import { webhookPath } from "../ui/parts";
import { callerOf, mayChange, type PageContext, type PageEnv } from "../ui/session";
import { text } from "./input";
import { namedWebhook, trailOf, WEBHOOKS_PATH } from "./named-webhook";

export const webhookEnd = new Hono<PageEnv>()
  .get("/:id/delete", async (c) => {
    if (!mayChange(c)) return showFailure(c, { code: "insufficient_scope" });
    const webhook = await namedWebhook(c);
    return webhook === null ? showFailure(c, { code: "not_found" }) : showForm(c, webhook, false);
  })
  .post("/:id/delete", async (c) => {
    const webhook = await namedWebhook(c);
    if (webhook === null) return showFailure(c, { code: "not_found" });
    const typed = text(await c.req.parseBody(), "host")
      .trim()
      .toLowerCase();
    if (typed !== hostOf(webhook.url).toLowerCase()) return showForm(c, webhook, true);
    const removed = await removeWebhook(c.env, webhook.id, callerOf(c));
    return seeOther(
      c,
      WEBHOOKS_PATH,
      removed.ok ? { done: "deleted" } : { failed: removed.failure.code },
    );
  });

/** What is typed to confirm: the host, with its port; of `service:NAME/path` the binding's name. */
function hostOf(url: string): string {
  const [, binding] = /^service:([^/?]+)/.exec(url) ?? [];
  return binding ?? URL.parse(url)?.host ?? url;
}

function showForm(c: PageContext, webhook: Webhook, isWrong: boolean) {
  const host = hostOf(webhook.url);
  return page(
    c,
    {
      title: "Delete the webhook",
      trail: trailOf(webhook),
      status: isWrong ? 422 : 200,
    },
    <form
      method="post"
      action={`${webhookPath(webhook.id)}/delete`}
      class="panel narrow"
      autocomplete="off"
    >
      <p>
        What waits for it is given up, and the record of its deliveries goes. To stop for a while,
        pause it instead. Events stay recorded: a webhook registered later can be sent what it
        missed.
      </p>
      <div class="field">
        <label for="host">
          To confirm, type <code>{host}</code>
        </label>
        <input
          type="text"
          id="host"
          name="host"
          required
          autocapitalize="none"
          spellcheck={false}
          {...(isWrong
            ? { "aria-invalid": "true" as const, "aria-describedby": "host-wrong" }
            : {})}
        />
        {isWrong && (
          <p class="wrong" id="host-wrong" role="alert">
            This is not {host}: nothing was deleted.
          </p>
        )}
      </div>
      <p class="actions">
        <button type="submit" class="danger">
          Delete the webhook
        </button>
        <a href={webhookPath(webhook.id)}>Keep it</a>
      </p>
    </form>,
  );
}
