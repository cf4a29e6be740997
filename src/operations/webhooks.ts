/** Registering, changing and testing webhooks: one way, for routes and dashboard alike. */
import type { Caller } from "../access";
import { configOf, serviceBindings } from "../config";
import type { AttemptRecord } from "../domain/delivery";
import { exampleEvent } from "../domain/event";
import { type FieldError, fail, ok, type Result } from "../domain/failure";
import { checkTarget } from "../domain/target";
import {
  ALL_EVENTS,
  type Webhook,
  type WebhookChanges,
  type WebhookDraft,
} from "../domain/webhook";
import { registry, subscriberOf } from "./objects";

/** Why a webhook that there may be was not changed, or not yet for everyone. */
type ChangeFailure = "not_found" | "not_yet_in_force";

/** What a test sends for a webhook that takes every event. */
const DEFAULT_TEST_EVENT = "reply.received";

/** A webhook after a change, with its secret where that is new: it is shown once. */
export type Changed = { webhook: Webhook; signingSecret: string | null };

/** @param secret null for a new random one. @returns `invalid_request` for a URL that is refused. */
export async function registerWebhook(
  env: Env,
  draft: WebhookDraft,
  { secret, by }: { secret: string | null; by: Caller },
): Promise<Result<Changed, "invalid_request">> {
  const url = targetUrl(env, draft.url, draft.relayHost);
  if (!url.ok) return url;
  return ok(await registry(env).create({ ...draft, url: url.value }, secret, by));
}

export async function findWebhook(env: Env, id: string): Promise<Webhook | null> {
  return registry(env).get(id);
}

/** Newest first. */
export async function allWebhooks(env: Env): Promise<Webhook[]> {
  const webhooks = await registry(env).all();
  return webhooks.sort((a, b) => (a.id < b.id ? 1 : -1));
}

export async function listWebhooks(
  env: Env,
  before: string | null,
  limit: number,
): Promise<{ webhooks: Webhook[]; next: string | null }> {
  return registry(env).list(before, limit);
}

/** @returns `not_yet_in_force` when the change is stored but not acknowledged by who acts on it. */
export async function updateWebhook(
  env: Env,
  id: string,
  { changes, by }: { changes: WebhookChanges; by: Caller },
): Promise<Result<Changed, ChangeFailure | "invalid_request">> {
  const before = await findWebhook(env, id);
  if (before === null) return fail({ code: "not_found" });
  if (changes.url === undefined) return registry(env).update(id, changes, by);
  const url = targetUrl(env, changes.url, before.relayHost);
  if (!url.ok) return url;
  return registry(env).update(id, { ...changes, url: url.value }, by);
}

/** Holds its deliveries. */
export async function pauseWebhook(
  env: Env,
  id: string,
  by: Caller,
): Promise<Result<Changed, ChangeFailure>> {
  return registry(env).pause(id, by);
}

/** Releases what was held, also from being disabled. */
export async function resumeWebhook(
  env: Env,
  id: string,
  by: Caller,
): Promise<Result<Changed, ChangeFailure>> {
  return registry(env).resume(id, by);
}

/** @param signingSecret null for a new random one. */
export async function rotateSecret(
  env: Env,
  id: string,
  { graceMs, signingSecret, by }: { graceMs: number; signingSecret: string | null; by: Caller },
): Promise<Result<Changed, ChangeFailure>> {
  return registry(env).rotateSecret(id, { graceMs, signingSecret }, by);
}

export async function removeWebhook(
  env: Env,
  id: string,
  by: Caller,
): Promise<Result<null, ChangeFailure>> {
  return registry(env).remove(id, by);
}

/** @param event null for the first that the webhook asks for. */
export async function testWebhook(
  env: Env,
  id: string,
  event: string | null,
): Promise<Result<AttemptRecord, "not_found">> {
  const webhook = await findWebhook(env, id);
  if (webhook === null) return fail({ code: "not_found" });
  const [first = ALL_EVENTS] = webhook.events;
  const name = event ?? (first === ALL_EVENTS ? DEFAULT_TEST_EVENT : first);
  const body = new TextEncoder().encode(JSON.stringify(exampleEvent(name, Date.now())));
  const attempt = await subscriberOf(env, webhook.id).sendTest({ event: name, body });
  return attempt === null ? fail({ code: "not_found" }) : ok(attempt);
}

/** What is wrong with what was given, by the relay's own configuration: what no schema can know. */
export function mistakesIn(env: Env, given: unknown, relayHost: string): FieldError[] {
  const { url } = Object(given) as { url?: unknown };
  if (typeof url !== "string") return [];
  const checked = targetUrl(env, url, relayHost);
  return checked.ok ? [] : checked.failure.errors;
}

/** The URL as it is stored, or why it is refused. */
function targetUrl(env: Env, given: string, relayHost: string): Result<string, "invalid_request"> {
  const checked = checkTarget(given, {
    allowPrivate: configOf(env).allowPrivateDestinations,
    relayHost,
    services: serviceBindings(env),
  });
  if (checked.ok) return ok(checked.url);
  return fail({
    code: "invalid_request",
    errors: [{ path: "url", message: checked.reason }],
  });
}
