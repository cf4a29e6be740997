/** Registering, changing and testing webhooks: one way, for routes and dashboard alike. */
import type { Caller } from "../access";
import { configOf, targetRules } from "../config";
import { exampleEvent } from "../domain/event";
import { type FieldError, fail, ok, type Result } from "../domain/failure";
import { newWebhookId, type WebhookId } from "../domain/ids";
import { answered } from "../domain/no-answer";
import { parseSchedule } from "../domain/schedule";
import { newSecret } from "../domain/signature";
import { checkTarget, type TargetCheck } from "../domain/target";
import {
  ALL_EVENTS,
  type Changed,
  type ChangeFailure,
  isListener,
  type Webhook,
  type WebhookChanges,
  type WebhookDraft,
} from "../domain/webhook";
import { registry, subscriberOf } from "./objects";

/** What a test sends for a webhook that takes every event. */
const DEFAULT_TEST_EVENT = "reply.received";

/** Whom a call is about: an id, or the name of one that has a name. */
export type WebhookRef = string;

/** @param secret null for a new random one. @returns `invalid_request` for what the configuration refuses. */
export async function registerWebhook(
  env: Env,
  draft: WebhookDraft,
  { secret, by }: { secret: string | null; by: Caller },
): Promise<Result<Changed, "invalid_request" | "name_taken" | "too_many_webhooks">> {
  const checked = settingsOf(env, draft, draft.relayHost);
  if (!checked.ok) return checked;
  const id = newId();
  const signingSecret = secret ?? newSecret();
  const change = registry(env).register({ ...checked.value, id }, signingSecret, by);
  return change.catch(async (thrown) => {
    const webhook = await madeWith(env, id, signingSecret, thrown);
    return ok({ webhook, signingSecret });
  });
}

type Putting = { secret: string | null; by: Caller; sameService: boolean; dryRun: boolean };

/** Makes the webhook of this name what the draft says, whatever it was. @param secret for one that is new. */
export async function putWebhook(
  env: Env,
  draft: WebhookDraft & { name: string },
  { secret, by, sameService, dryRun }: Putting,
) {
  const before = await findWebhook(env, draft.name);
  const checked = settingsOf(env, draft, draft.relayHost);
  if (!checked.ok) return checked;
  const rechecked = settingsOf(env, draft, before?.relayHost ?? draft.relayHost);
  if (!rechecked.ok) return rechecked;
  const fresh = newSecret();
  // Also as the one that is given: the Registry of the release before makes its own otherwise.
  const options = { signingSecret: secret ?? fresh, sameService, dryRun, id: newId() };
  return shownOnce(env, draft.name, fresh, registry(env).put(checked.value, options, by, fresh));
}

export function findWebhook(env: Env, ref: WebhookRef) {
  return registry(env).get(ref);
}

/** Newest first. */
export async function allWebhooks(env: Env): Promise<Webhook[]> {
  const webhooks = await registry(env).all();
  return webhooks.sort((a, b) => (a.id < b.id ? 1 : -1));
}

/** @returns `not_yet_in_force` when the change is stored but not acknowledged by who acts on it. */
export async function updateWebhook(
  env: Env,
  before: Webhook,
  { changes, by }: { changes: WebhookChanges; by: Caller },
): Promise<Result<Changed, ChangeFailure | "invalid_request" | "name_taken">> {
  const checked = settingsOf(env, changes, before.relayHost);
  if (!checked.ok) return checked;
  const fresh = newSecret();
  const change = registry(env).update(before.id, checked.value, by, fresh);
  return shownOnce(env, before.id, fresh, change);
}

/**
 * A new secret is shown to who asked for it, also where no answer comes of the change that is done. It is made here: where
 * the change has to be asked for again, it is the same.
 */
function shownOnce<Done>(env: Env, ref: WebhookRef, signingSecret: string, change: Promise<Done>) {
  return change.catch(async (thrown) => {
    await madeWith(env, ref, signingSecret, thrown);
    return fail({ code: "not_yet_in_force" as const, signingSecret });
  });
}

/** The webhook whose newest secret this is. @throws `thrown`, the error that came for an answer, where there is none. */
async function madeWith(env: Env, ref: WebhookRef, secret: string, thrown: unknown) {
  const webhook = await findWebhook(env, ref);
  if (webhook?.secrets.at(-1)?.value !== secret) throw thrown;
  return webhook;
}

export function pauseWebhook(env: Env, { id }: Webhook, by: Caller) {
  return registry(env).pause(id, by);
}

/** Releases what was held, also from being disabled. One that is active and well stays as it is. */
export async function resumeWebhook(env: Env, before: Webhook, by: Caller) {
  if (before.status === "active") {
    const { failingSinceMs, probing } = await subscriberOf(env, before.id).stats(Date.now());
    // An object of the release before does not say whether it probes.
    if (failingSinceMs === null && probing === false) {
      // Whether an earlier change has arrived is for the Registry to say. Without a name in it none is taken.
      const same = await registry(env).update(before.id, {}, by);
      return same as Result<Changed, ChangeFailure>;
    }
  }
  return registry(env).resume(before.id, by, Date.now());
}

/** @param signingSecret null for a new random one. */
export function rotateSecret(
  env: Env,
  id: string,
  { graceMs, signingSecret, by }: { graceMs: number; signingSecret: string | null; by: Caller },
) {
  const fresh = signingSecret ?? newSecret();
  const rotation = { graceMs, signingSecret: fresh, atMs: Date.now() };
  return shownOnce(env, id, fresh, registry(env).rotateSecret(id, rotation, by));
}

/** Done is done: where the Registry was restarted before it answered, it is asked again, and finds none any more. */
export async function removeWebhook(env: Env, { id }: Webhook, by: Caller) {
  const removed = await registry(env).remove(id, by);
  return removed.ok || removed.failure.code !== "not_found" ? removed : ok(null);
}

/** The event of a test, where none is named: the first that the webhook asks for. */
export function testEventOf({ events: [first = ALL_EVENTS] }: Pick<Webhook, "events">): string {
  return first === ALL_EVENTS ? DEFAULT_TEST_EVENT : first;
}

/** @param event null for the first that the webhook asks for. */
export async function testWebhook(env: Env, webhook: Webhook, event: string | null) {
  const name = event ?? testEventOf(webhook);
  const body = new TextEncoder().encode(JSON.stringify(exampleEvent(name, Date.now())));
  const attempt = await subscriberOf(env, webhook.id).sendTest({ event: name, body });
  return attempt === null ? fail({ code: "not_found" }) : ok(attempt);
}

/** Connects to a `listener:` webhook; what comes over the socket is in docs/contract.md. */
export async function listenTo(env: Env, ref: WebhookRef) {
  const webhook = await findWebhook(env, ref);
  if (webhook === null) return fail({ code: "not_found" });
  if (!isListener(webhook)) return fail({ code: "not_a_listener" });
  const asked = new Request("https://subscriber/listen", { headers: { upgrade: "websocket" } });
  const answer = await subscriberOf(env, webhook.id).fetch(asked);
  if (answer.webSocket !== null) return ok(answer.webSocket);
  return answered(await answer.json<Result<WebSocket, "not_a_listener">>());
}

/** What is wrong with what was given, by the relay's own configuration: what no schema can know. */
export function mistakesIn(env: Env, given: unknown, relayHost: string): FieldError[] {
  const { url, retrySchedule } = Object(given) as { url?: unknown; retrySchedule?: unknown };
  const errors: FieldError[] = [];
  const target = typeof url === "string" ? checkedUrl(env, url, relayHost) : null;
  if (target?.ok === false) errors.push({ path: "url", message: target.reason });
  const tooLong = typeof retrySchedule === "string" && outlastsRetention(env, retrySchedule);
  if (tooLong) {
    errors.push({ path: "retrySchedule", message: "must be shorter in all than RETENTION" });
  }
  return errors;
}

/** The settings with the URL as it is stored. */
function settingsOf<Settings extends WebhookChanges>(
  env: Env,
  settings: Settings,
  relayHost: string,
): Result<Settings, "invalid_request"> {
  const errors = mistakesIn(env, settings, relayHost);
  if (errors.length > 0) return fail({ code: "invalid_request", errors });
  const target = settings.url === undefined ? null : checkedUrl(env, settings.url, relayHost);
  return ok(target?.ok ? { ...settings, url: target.url } : settings);
}

/** What a URL's query is shown as, also once the parser has seen it, and where more was put behind it. */
const HIDDEN_QUERY = /\?(…|%E2%80%A6)(&|$)/i;

function checkedUrl(env: Env, given: string, relayHost: string): TargetCheck {
  if (HIDDEN_QUERY.test(given)) {
    return {
      ok: false,
      reason: "must be given with its query: the one that is there is not shown",
    };
  }
  return checkTarget(given, targetRules(env, relayHost));
}

/** Whether a delivery would expire before its last attempt: the rule that `RETRY_SCHEDULE` has. */
export function outlastsRetention(env: Env, retrySchedule: string | null): boolean {
  const { retentionMs } = configOf(env);
  const waitsMs = parseSchedule(retrySchedule ?? "") ?? [];
  return retentionMs !== null && waitsMs.reduce((sum, wait) => sum + wait, 0) >= retentionMs;
}

function newId(): WebhookId {
  return newWebhookId(Date.now(), crypto.getRandomValues(new Uint8Array(10)));
}
