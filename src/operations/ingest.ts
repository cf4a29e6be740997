/** Taking an event in: signature → event → seen before? → queue. Each step is a value; the first failure is the answer. */
import { type Config, configOf } from "../config";
import { exampleEvent, parseEvent, type RelayEvent } from "../domain/event";
import { fail, ok } from "../domain/failure";
import { isRelayEvent } from "../domain/relay-events";
import { importHmacKey, sha256Hex, signLeadterra, verifyLeadterra } from "../domain/signature";
import { errorText, logError, logInfo, logWarning } from "../log";
import { lookUpSeen, rememberSeen } from "../storage/seen";

/** Leadterra's own first retry comes after a minute; this is for whoever listens. */
const RETRY_AFTER_SECONDS = 30;
export const SAMPLE = "reply.received";
/** Leadterra's id of a sample's reply begins so. */
const SAMPLE_ID = "rpl_sample_";

const NOT_OURS = { path: "event", message: "must not begin with relay., as the relay's own do" };

type Signed = { body: Uint8Array; signature: string | null };
/** Takes what need not be waited for with the answer. */
type After = (work: Promise<void>) => void;

/** Nothing is stored or called before it is known that the body comes from Leadterra. */
export async function takeIn(env: Env, { body, signature }: Signed, after: After) {
  const config = configOf(env);
  if (!(await verifyLeadterra(await signingKeys(config), signature, body))) {
    return fail({ code: "invalid_signature" });
  }
  const event = await parseEvent(body);
  if (!event.ok) return event;
  if (isRelayEvent(event.value.name)) return fail({ code: "invalid_event", errors: [NOT_OURS] });
  if (await isDuplicate(event.value, body, config, env)) {
    return ok({ id: event.value.id, duplicate: true });
  }
  const enqueued = await enqueue(event.value, body, env);
  if (!enqueued.ok) return enqueued;
  if (config.idempotencyTtlSeconds !== null) {
    after(remember(event.value, body, config.idempotencyTtlSeconds, env));
  }
  return ok({ id: event.value.id, duplicate: false });
}

/**
 * A made-up reply takes the whole way, as if Leadterra had sent it: signed, through the queue, to every webhook that
 * wants it. No two are alike.
 */
export async function takeInSample(env: Env, nowMs: number, after: After) {
  const [secret] = configOf(env).signingSecrets;
  if (secret === undefined) return fail({ code: "not_configured" });
  const example = exampleEvent(SAMPLE, nowMs);
  const id = `${SAMPLE_ID}${crypto.randomUUID()}`;
  const data = example.data as Record<string, object>;
  const sample = { ...example, data: { ...data, reply: { ...data.reply, id } } };
  const body = new TextEncoder().encode(JSON.stringify(sample));
  return takeIn(env, { body, signature: signLeadterra(secret, body) }, after);
}

/** @param key Leadterra's own id. */
export function isSample({ key }: { key: string | null }): boolean {
  return key?.startsWith(SAMPLE_ID) ?? false;
}

const keysOfConfig = new WeakMap<Config, Promise<CryptoKey[]>>();

/** Imported once per isolate. */
function signingKeys(config: Config): Promise<CryptoKey[]> {
  let keys = keysOfConfig.get(config);
  if (keys === undefined) {
    keys = Promise.all(config.signingSecrets.map(importHmacKey));
    keysOfConfig.set(config, keys);
  }
  return keys;
}

async function isDuplicate(event: RelayEvent, body: Uint8Array, config: Config, env: Env) {
  if (config.idempotencyTtlSeconds === null) return false;
  const seen = await lookUpSeen(env.IDEMPOTENCY, event.id);
  if (seen === null) return false;
  const differs = seen !== (await sha256Hex(body));
  if (differs) logWarning("event.duplicate_differs", { eventId: event.id, event: event.name });
  else logInfo("event.duplicate", { eventId: event.id, event: event.name });
  return true;
}

async function enqueue(event: RelayEvent, body: Uint8Array, env: Env) {
  try {
    // A copy: sending takes the buffer away.
    await env.EVENTS.send(body.slice(), { contentType: "bytes" });
    return ok(null);
  } catch (thrown) {
    logError("event.not_enqueued", { eventId: event.id, error: errorText(thrown) });
    return fail({ code: "queue_unavailable", retryAfterSeconds: RETRY_AFTER_SECONDS });
  }
}

async function remember(event: RelayEvent, body: Uint8Array, ttlSeconds: number, env: Env) {
  try {
    const bodySha256 = await sha256Hex(body);
    await rememberSeen(env.IDEMPOTENCY, event.id, { bodySha256, ttlSeconds });
  } catch (thrown) {
    logWarning("event.not_remembered", { eventId: event.id, error: errorText(thrown) });
  }
}
