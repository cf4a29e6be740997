/** The webhook that a path names. */
import { parseWebhookId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import { findWebhook } from "../../operations/webhooks";
import { webhookName } from "../ui/parts";
import { WEBHOOKS_PATH, webhookPath } from "../ui/paths";
import type { PageContext } from "../ui/session";

/** A path that no other page can be taken for: `/new` is one. */
export const WEBHOOK = "/:id{wh_[0-9A-Z]{26}}";

/** By `:id`; null when there is none. No object is called for what is no id. */
export async function namedWebhook(c: PageContext): Promise<Webhook | null> {
  const id = parseWebhookId(c.req.param("id") ?? "");
  return id === null ? null : findWebhook(c.env, id);
}

export function trailOf(webhook: Webhook): readonly (readonly [string, string])[] {
  return [
    ["Webhooks", WEBHOOKS_PATH],
    [webhookName(webhook), webhookPath(webhook.id)],
  ];
}
