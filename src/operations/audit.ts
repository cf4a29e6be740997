/** The audit log: reading it, and writing down what is no change of a webhook (the Registry writes those itself). */
import type { Caller } from "../access";
import type { WebhookId } from "../domain/ids";
import { registry } from "./objects";

export type Action =
  | "delivery.retried"
  | "delivery.cancelled"
  | "webhook.replayed"
  | "webhook.discarded"
  | "event.replayed"
  | "event.sampled"
  | "event.erased"
  | "person.erased"
  | "dead_letter.redriven"
  | "dead_letter.deleted";

/** @param after holds what was asked and what it came to: no secret, and nobody's data. */
export async function addToAudit(
  env: Env,
  by: Caller,
  action: Action,
  { webhookId, ...after }: { webhookId?: WebhookId; [name: string]: unknown },
): Promise<void> {
  const entry = { by, atMs: Date.now(), action, webhookId: webhookId ?? null, after };
  await registry(env).addToAudit({ ...entry, isAgain: false });
}

/** Newest first. @param before the number of an entry; null for the newest. */
export async function listAudit(env: Env, before: number | null, limit: number) {
  const found = await registry(env).audit(before, limit + 1);
  const entries = found.slice(0, limit);
  return { entries, next: found.length > limit ? (entries.at(-1)?.number ?? null) : null };
}
