/** Requests to the whole Worker inside workerd, with the same values that vitest.config.ts binds. */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import worker from "../../../src/index";

export const SIGNING_SECRET = "test-signing-secret-one";
export const OTHER_SIGNING_SECRET = "test-signing-secret-two";
export const API_KEY = "test-key-with-all-rights";
export const READ_ONLY_API_KEY = "test-key-that-only-reads";

export const ORIGIN = "https://relay.example";

/** The hex HMAC-SHA256 that Leadterra's page describes, by WebCrypto alone. */
export async function leadterraSignature(
  body: Uint8Array,
  secret: string = SIGNING_SECRET,
): Promise<string> {
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, body));
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function bytesOf(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
}

/** A request to the whole Worker. */
export function call(path: string, init: RequestInit = {}): Promise<Response> {
  return exports.default.fetch(new Request(`${ORIGIN}${path}`, init));
}

/**
 * A request to the Worker with other bindings than the configured ones. Unlike `call`, it returns only when the
 * work that goes on behind the answer is done too.
 */
export async function callWith(
  bindings: { [Name in keyof Env]?: unknown },
  path: string,
  init: RequestInit = {},
): Promise<Response> {
  const context = createExecutionContext();
  const request = new Request(`${ORIGIN}${path}`, init);
  const response = await worker.fetch(request, { ...env, ...bindings } as Env, context);
  await waitOnExecutionContext(context);
  return response;
}

/** An RFC 9457 problem, as every error of the relay is one. */
export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  requestId: string;
  errors?: { path: string; message: string }[];
};

/** A request to the API with the full key; `body` is sent as JSON. */
export function api(method: string, path: string, body?: unknown): Promise<Response> {
  return call(path, {
    method,
    headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** A signed event, as Leadterra posts it. */
export async function post(
  event: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  const body = bytesOf(event);
  return call("/webhooks/leadterra", {
    method: "POST",
    headers: { "x-leadterra-signature": await leadterraSignature(body), ...headers },
    body,
  });
}

/** The very example of Leadterra's page. */
export const DOCUMENTED_REPLY = {
  event: "reply.received",
  timestamp: "2025-06-11T09:14:35Z",
  webhookId: "wh_01HZC7RQNP4XT2KM",
  data: {
    campaignId: "camp_01HZA1TPNQ8RD4KF",
    lead: {
      email: "ava@acmecorp.com",
      firstName: "Ava",
      lastName: "Chen",
      company: "Acme Corp",
      jobTitle: "VP Sales",
    },
    reply: {
      id: "rpl_01HZB3MNPW6XT8QA",
      classification: "interested",
      receivedAt: "2025-06-11T09:14:32Z",
      threadSnippet:
        "Hey, this actually looks relevant — can we jump on a call Thursday afternoon?",
    },
  },
};
