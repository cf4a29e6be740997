/** Deleting a webhook, after whoever does it has said which. */
import type { Webhook } from "../../domain/webhook";
import { removeWebhook } from "../../operations/webhooks";
import type { Action } from "../ui/actions";
import { text } from "../ui/form";
import { page } from "../ui/page";
import { Submit } from "../ui/parts";
import { WEBHOOKS_PATH, webhookPath } from "../ui/paths";
import { callerOf, type PageContext } from "../ui/session";
import { trailOf } from "./named-webhook";

export const deletion: Action<Webhook> = {
  ask: (c, webhook) => showForm(c, webhook, false),
  act: async (c, webhook, form) => {
    const typed = text(form, "host").trim().toLowerCase();
    if (typed !== hostOf(webhook.url).toLowerCase()) {
      return { asked: await showForm(c, webhook, true) };
    }
    const removed = await removeWebhook(c.env, webhook.id, callerOf(c));
    return removed.ok
      ? { done: "deleted", at: WEBHOOKS_PATH }
      : { failure: removed.failure, at: WEBHOOKS_PATH };
  },
};

/** What is typed to confirm: the host, with its port; of `service:NAME/path` the binding's name. */
function hostOf(url: string): string {
  const [, binding] = /^service:([^/?]+)/.exec(url) ?? [];
  return binding ?? URL.parse(url)?.host ?? url;
}

function showForm(c: PageContext, webhook: Webhook, isWrong: boolean) {
  const host = hostOf(webhook.url);
  const mistake = isWrong
    ? { "aria-invalid": "true" as const, "aria-describedby": "host-wrong" }
    : {};
  return page(
    c,
    { title: "Delete the webhook", trail: trailOf(webhook), status: isWrong ? 422 : 200 },
    <form
      method="post"
      action={`${webhookPath(webhook.id)}/delete`}
      class="panel narrow"
      autocomplete="off"
    >
      <p>
        What waits for it is discarded, and the record of its deliveries goes. To stop for a while,
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
          {...mistake}
        />
        {isWrong && (
          <p class="wrong" id="host-wrong" role="alert">
            This is not {host}: nothing was deleted.
          </p>
        )}
      </div>
      <Submit tone="danger" out={[webhookPath(webhook.id), "Keep it"]}>
        Delete the webhook
      </Submit>
    </form>,
  );
}
