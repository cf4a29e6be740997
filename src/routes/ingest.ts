/** POST /webhooks/leadterra: the inbound contract, up to the body; what becomes of that is an operation. */
import { Hono } from "hono";
import { readCapped } from "../capped-body";
import { configOf } from "../config";
import { MAX_BODY_BYTES } from "../domain/event";
import { fail } from "../domain/failure";
import { takeIn } from "../operations/ingest";
import { problem } from "./http/problem";

export const ingest = new Hono<{ Bindings: Env }>().on(
  "ALL",
  ["/webhooks/leadterra", "/webhooks/leadterra/"],
  async (c) => {
    const accepted = await accept(c.req.raw, c.env, (work) => c.executionCtx.waitUntil(work));
    if (!accepted.ok) return problem(c, accepted.failure);
    return Response.json(accepted.value, { status: accepted.value.duplicate ? 200 : 202 });
  },
);

async function accept(request: Request, env: Env, after: Parameters<typeof takeIn>[2]) {
  if (request.method !== "POST") return fail({ code: "method_not_allowed", allow: "POST" });
  if (configOf(env).signingSecrets.length === 0) {
    return fail({ code: "not_configured" });
  }
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    return fail({ code: "unsupported_encoding" });
  }
  const body = await readCapped(request, MAX_BODY_BYTES);
  if (!body.ok) return body;
  const signature = request.headers.get("x-leadterra-signature");
  return takeIn(env, { body: body.value, signature }, after);
}
