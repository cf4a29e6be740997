/** Headers that stand on every answer of a kind, whoever made it. */
import { createMiddleware } from "hono/factory";

/** A year: the relay has one name, and it has https. */
const HTTPS_ONLY = "max-age=31536000";
const CREATED = 201;

/** No answer is taken for something else than it says it is, and https stays https. */
export function safeAnswers() {
  return createMiddleware(async (c, next) => {
    await next();
    c.header("x-content-type-options", "nosniff");
    if (c.req.url.startsWith("https:")) c.header("strict-transport-security", HTTPS_ONLY);
  });
}

/** A 201 says where what was made is; one that is given again for an Idempotency-Key too. */
export function located() {
  return createMiddleware(async (c, next) => {
    await next();
    if (c.res.status !== CREATED) return;
    const { webhook } = await c.res.clone().json<{ webhook: { id: string } }>();
    c.header("location", `/v1/webhooks/${webhook.id}`);
  });
}
