/** `Idempotency-Key` on every POST: the same call with the same key from the same API key gets the same answer. */
import { createHash } from "node:crypto";
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { FieldError } from "../../domain/failure";
import { errorText, logWarning } from "../../log";
import { registry } from "../../operations/objects";
import type { StoredAnswer } from "../../storage/registry-store";
import type { ApiEnv } from "./auth";
import { problem } from "./problem";

const KEY = /^[\x21-\x7e]{1,255}$/;

export function idempotent() {
  return createMiddleware<ApiEnv>(async (c, next) => {
    const key = c.req.header("idempotency-key");
    if (c.req.method !== "POST" || key === undefined) return next();
    if (!KEY.test(key)) {
      const errors = mistake("must be 1 to 255 printable ASCII characters");
      return problem(c, { code: "invalid_request", errors });
    }
    const caller = c.get("caller").key;
    const call = await hashOf(c);
    const begun = await registry(c.env).beginCall(caller, key, call);
    switch (begun.state) {
      case "running":
        return problem(c, { code: "idempotency_key_in_use" });
      case "reused":
        return problem(c, {
          code: "idempotency_key_reused",
          errors: mistake("came with another call before"),
        });
      case "answered":
        return again(begun.answer as StoredAnswer);
      case "begun":
        await next();
        await registry(c.env)
          .endCall(caller, key, call, await answerOf(c.res))
          // It is done all the same, and its answer may hold what is shown nowhere else.
          .catch((thrown) => logWarning("answer.not_kept", { error: errorText(thrown) }));
    }
  });
}

function mistake(message: string): FieldError[] {
  return [{ path: "Idempotency-Key", message }];
}

async function hashOf(c: Context): Promise<string> {
  const { pathname, search } = new URL(c.req.url);
  const hash = createHash("sha256").update(`${c.req.method} ${pathname}${search}\0`);
  return hash.update(new Uint8Array(await c.req.arrayBuffer())).digest("hex");
}

/** What is kept of an answer; null for a 5xx, which may be tried again. */
async function answerOf(response: Response): Promise<StoredAnswer | null> {
  if (response.status >= 500) return null;
  return {
    status: response.status,
    type: response.headers.get("content-type") ?? "",
    body: await response.clone().text(),
  };
}

function again({ status, type, body }: StoredAnswer): Response {
  const headers = new Headers({ "cache-control": "no-store", "idempotency-replayed": "true" });
  if (type !== "") headers.set("content-type", type);
  return new Response(body === "" ? null : body, { status, headers });
}
