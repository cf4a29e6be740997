/** Headers that stand on every answer of a kind, whoever made it. */
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";

/** A year: the relay has one name, and it has https. */
const HTTPS_ONLY = "max-age=31536000";
const CREATED = 201;

/** No answer is taken for something else than it says it is, and https stays https. */
export function safeAnswers() {
  return createMiddleware(async (c, next) => {
    await next();
    put(c, "x-content-type-options", "nosniff");
    if (c.req.url.startsWith("https:")) put(c, "strict-transport-security", HTTPS_ONLY);
  });
}

/**
 * On the answer itself: `c.header` puts a finished one into another, and its body into a stream, which costs ingest
 * more than its signature does (bench: `ingest-code`). It has to where the headers are sealed: an object's answer.
 */
function put(c: Context, name: string, value: string): void {
  try {
    c.res.headers.set(name, value);
  } catch {
    c.header(name, value);
  }
}

/** A 201 says where what was made is; one that is given again for an Idempotency-Key too. */
export function located() {
  return createMiddleware(async (c, next) => {
    await next();
    if (c.res.status !== CREATED) return;
    const { webhook } = await c.res.clone().json<{ webhook: { id: string } }>();
    put(c, "location", `/v1/webhooks/${webhook.id}`);
  });
}
