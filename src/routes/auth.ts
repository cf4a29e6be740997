/** API keys: who may do what under /v1. */
import { createMiddleware } from "hono/factory";
import { configOf } from "../config";
import { secretsEqual, sha256Hex } from "../domain/signature";
import { problem } from "./problem";

/** The scheme is case-insensitive (RFC 9110 §11.1), the key is not. */
const BEARER = /^bearer +(\S+) *$/i;

/** Enough to tell keys apart, too few to guess one by. */
const FINGERPRINT_DIGITS = 8;

export type Scope = "all" | "read";

/** What handlers behind `requireKey` find. */
export type ApiEnv = { Bindings: Env; Variables: { scope: Scope; caller: { key: string } } };

export function requireKey() {
  return createMiddleware<ApiEnv>(async (c, next) => {
    const key = BEARER.exec(c.req.header("authorization") ?? "")?.[1];
    const scope = key === undefined ? null : await scopeOf(key, c.env);
    if (scope === null) return problem(c, { code: "unauthorized" });
    if (scope === "read" && !isSafe(c.req.method)) {
      return problem(c, { code: "insufficient_scope" });
    }
    c.set("scope", scope);
    c.set("caller", { key: await fingerprintOf(key ?? "") });
    c.header("cache-control", "no-store");
    await next();
  });
}

/** Whether the method changes nothing (RFC 9110 §9.2.1); what else is safe is not used here. */
export function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

/** What `given` may do; null when it is no configured key. Takes as long for a wrong key as for a right one. */
export async function scopeOf(given: string, env: object): Promise<Scope | null> {
  const { apiKeys, readOnlyApiKeys } = configOf(env);
  const [all, read] = await Promise.all([isAmong(given, apiKeys), isAmong(given, readOnlyApiKeys)]);
  if (all) return "all";
  return read ? "read" : null;
}

/** What the audit log calls a key. */
export async function fingerprintOf(key: string): Promise<string> {
  const digest = await sha256Hex(new TextEncoder().encode(key));
  return digest.slice(0, FINGERPRINT_DIGITS);
}

async function isAmong(given: string, keys: readonly string[]): Promise<boolean> {
  const equal = await Promise.all(keys.map((key) => secretsEqual(key, given)));
  return equal.includes(true);
}
