/** scheduled(), every 5 minutes by cron: wakes what should have woken itself, and tells a person what needs one. */
import { configOf } from "./config";
import { expiringAlert, newerDataAlert, overdueAlert, silenceAlert } from "./domain/alert";
import { NewerDataError } from "./domain/newer-data";
import { DAY_MS, HOUR_MS } from "./domain/time";
import type { Webhook } from "./domain/webhook";
import { errorText, logError } from "./log";
import { lastEventAtMs } from "./operations/journal";
import { registry, subscriberOf } from "./operations/objects";

const OVERDUE_AFTER_MS = HOUR_MS;
/** How many Subscribers are asked at a time: an invocation has six connections. */
const AT_A_TIME = 6;

export async function sweep(env: Env): Promise<void> {
  const webhooks = await registry(env).all();
  for (let index = 0; index < webhooks.length; index += AT_A_TIME) {
    await Promise.all(webhooks.slice(index, index + AT_A_TIME).map((each) => check(each, env)));
  }
  await registry(env).check();
  await checkSilence(webhooks, env);
}

async function check(webhook: Webhook, env: Env): Promise<void> {
  const nowMs = Date.now();
  try {
    const { overdueSinceMs, expiresAtMs } = await subscriberOf(env, webhook.id).check();
    if (overdueSinceMs !== null && overdueSinceMs < nowMs - OVERDUE_AFTER_MS) {
      await registry(env).raise(overdueAlert(webhook, overdueSinceMs));
    }
    if (expiresAtMs !== null && expiresAtMs < nowMs + DAY_MS) {
      await registry(env).raise(expiringAlert(webhook, expiresAtMs));
    }
  } catch (thrown) {
    logError("subscriber.not_checked", { subscriber: webhook.id, error: errorText(thrown) });
    if (thrown instanceof NewerDataError) await registry(env).raise(newerDataAlert(thrown.object));
  }
}

/** A secret that changed at Leadterra looks like silence from here. A relay that nobody uses yet is not silent. */
async function checkSilence(webhooks: readonly Webhook[], env: Env): Promise<void> {
  const { silenceAlertMs } = configOf(env);
  if (silenceAlertMs === null || webhooks.length === 0) return;
  const nowMs = Date.now();
  const lastAtMs = await lastEventAtMs(env);
  const sinceMs = lastAtMs ?? Math.min(...webhooks.map(({ createdAtMs }) => createdAtMs));
  if (sinceMs > nowMs - silenceAlertMs) return;
  await registry(env).raise(silenceAlert(lastAtMs));
}
