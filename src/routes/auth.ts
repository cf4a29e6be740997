/** API keys: who may do what under /v1. */
import { createMiddleware } from "hono/factory";
import { configOf } from "../config";
import { secretsEqual } from "../domain/signature";
import { problem } from "./problem";

/** The scheme is case-insensitive (RFC 9110 §11.1), the key is not. */
const BEARER = /^bearer +(\S+) *$/i;
const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

export type Scope = "all" | "read";

export function requireKey() {
  return createMiddleware<{ Bindings: Env }>(async (c, next) => {
    const key = BEARER.exec(c.req.header("authorization") ?? "")?.[1];
    const scope = key === undefined ? null : await scopeOf(key, c.env);
    if (scope === null) return problem(c, { code: "unauthorized" });
    if (scope === "read" && !SAFE_METHODS.has(c.req.method)) {
      return problem(c, { code: "insufficient_scope" });
    }
    c.header("cache-control", "no-store");
    await next();
  });
}

/** What `given` may do; null when it is no configured key. Takes as long for a wrong key as for a right one. */
export async function scopeOf(given: string, env: object): Promise<Scope | null> {
  const { apiKeys, readOnlyApiKeys } = configOf(env);
  const [all, read] = await Promise.all([isAmong(given, apiKeys), isAmong(given, readOnlyApiKeys)]);
  if (all) return "all";
  return read ? "read" : null;
}

async function isAmong(given: string, keys: readonly string[]): Promise<boolean> {
  const equal = await Promise.all(keys.map((key) => secretsEqual(key, given)));
  return equal.includes(true);
}
