/** Who may do what under /v1. */
import { createMiddleware } from "hono/factory";
import { type Caller, callerOf, isSafe, type Scope, scopeOf } from "../../access";
import { problem } from "./problem";

/** The scheme is case-insensitive (RFC 9110 §11.1), the key is not. */
const BEARER = /^bearer +(\S+) *$/i;

/** What handlers behind `requireKey` find. */
export type ApiEnv = { Bindings: Env; Variables: { scope: Scope; caller: Caller } };

export function requireKey() {
  return createMiddleware<ApiEnv>(async (c, next) => {
    const key = BEARER.exec(c.req.header("authorization") ?? "")?.[1];
    const scope = key === undefined ? null : await scopeOf(key, c.env);
    if (scope === null) return problem(c, { code: "unauthorized" });
    if (scope === "read" && !isSafe(c.req.method)) {
      return problem(c, { code: "insufficient_scope" });
    }
    c.set("scope", scope);
    c.set("caller", await callerOf(key ?? ""));
    c.header("cache-control", "no-store");
    await next();
  });
}
