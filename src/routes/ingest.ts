/** POST /webhooks/leadterra: the inbound contract. Each step is a value; the first failure is the answer. */
import { Hono } from "hono";
import { readCapped } from "../capped-body";
import { type Config, configOf } from "../config";
import { MAX_BODY_BYTES, parseEvent, type RelayEvent } from "../domain/event";
import { fail, ok, type Result } from "../domain/failure";
import { importHmacKey, sha256Hex, verifyLeadterra } from "../domain/signature";
import { errorText, logError, logInfo, logWarning } from "../log";
import { lookUpSeen, rememberSeen } from "../storage/seen";
import { problem } from "./http/problem";

/** Leadterra's own first retry comes after a minute; this is for whoever listens. */
const RETRY_AFTER_SECONDS = 30;

export const ingest = new Hono<{ Bindings: Env }>().on(
  "ALL",
  ["/webhooks/leadterra", "/webhooks/leadterra/"],
  async (c) => {
    const accepted = await accept(c.req.raw, c.env, (work) => c.executionCtx.waitUntil(work));
    if (!accepted.ok) return problem(c, accepted.failure);
    return c.json(accepted.value, accepted.value.duplicate ? 200 : 202);
  },
);

/** @param after takes what need not be waited for with the answer. */
async function accept(request: Request, env: Env, after: (work: Promise<void>) => void) {
  const config = configOf(env);
  const body = await readSigned(request, config);
  if (!body.ok) return body;
  const event = await parseEvent(body.value);
  if (!event.ok) return event;
  if (await isDuplicate(event.value, body.value, config, env)) {
    return ok({ id: event.value.id, duplicate: true });
  }
  const enqueued = await enqueue(event.value, body.value, env);
  if (!enqueued.ok) return enqueued;
  if (config.idempotencyTtlSeconds !== null) {
    after(remember(event.value, body.value, config.idempotencyTtlSeconds, env));
  }
  return ok({ id: event.value.id, duplicate: false });
}

/** The raw body, once it is known to come from Leadterra. Nothing is stored or called before that. */
async function readSigned(request: Request, config: Config) {
  if (request.method !== "POST") return fail({ code: "method_not_allowed", allow: "POST" });
  if (config.signingSecrets.length === 0) {
    return fail({ code: "not_configured" });
  }
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    return fail({ code: "unsupported_encoding" });
  }
  const body = await readCapped(request, MAX_BODY_BYTES);
  if (!body.ok) return body;
  const signature = request.headers.get("x-leadterra-signature");
  if (!(await verifyLeadterra(await signingKeys(config), signature, body.value))) {
    return fail({ code: "invalid_signature" });
  }
  return body;
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

async function isDuplicate(
  event: RelayEvent,
  body: Uint8Array,
  config: Config,
  env: Env,
): Promise<boolean> {
  if (config.idempotencyTtlSeconds === null) return false;
  const seen = await lookUpSeen(env.IDEMPOTENCY, event.id);
  if (seen === null) return false;
  const differs = seen !== (await sha256Hex(body));
  if (differs) logWarning("event.duplicate_differs", { eventId: event.id, event: event.name });
  else logInfo("event.duplicate", { eventId: event.id, event: event.name });
  return true;
}

async function enqueue(
  event: RelayEvent,
  body: Uint8Array,
  env: Env,
): Promise<Result<null, "queue_unavailable">> {
  try {
    // A copy: sending takes the buffer away.
    await env.EVENTS.send(body.slice(), { contentType: "bytes" });
    return ok(null);
  } catch (thrown) {
    logError("event.not_enqueued", { eventId: event.id, error: errorText(thrown) });
    return fail({ code: "queue_unavailable", retryAfterSeconds: RETRY_AFTER_SECONDS });
  }
}

async function remember(
  event: RelayEvent,
  body: Uint8Array,
  ttlSeconds: number,
  env: Env,
): Promise<void> {
  try {
    const bodySha256 = await sha256Hex(body);
    await rememberSeen(env.IDEMPOTENCY, event.id, { bodySha256, ttlSeconds });
  } catch (thrown) {
    logWarning("event.not_remembered", { eventId: event.id, error: errorText(thrown) });
  }
}
