/** API keys: what each of them may do, and what the audit log calls it. */
import { configOf } from "./config";
import { secretsEqual, sha256Hex } from "./domain/signature";

/** Enough to tell keys apart, too few to guess one by. */
const FINGERPRINT_DIGITS = 8;

export type Scope = "all" | "read";

/** Who asks: a fingerprint of the API key, or the address of who came through Cloudflare Access. */
export type Caller = { key: string };

/** Whether the method changes nothing (RFC 9110 §9.2.1); what else is safe is not used here. */
export function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

export function keysOf(env: object): { key: string; scope: Scope }[] {
  const { apiKeys, readOnlyApiKeys } = configOf(env);
  return [
    ...apiKeys.map((key) => ({ key, scope: "all" as const })),
    ...readOnlyApiKeys.map((key) => ({ key, scope: "read" as const })),
  ];
}

/** What `given` may do; null when it is no configured key. Takes as long for a wrong key as for a right one. */
export async function scopeOf(given: string, env: object): Promise<Scope | null> {
  const keys = keysOf(env);
  const equal = await Promise.all(keys.map(({ key }) => secretsEqual(key, given)));
  return keys.find((_, index) => equal[index])?.scope ?? null;
}

export async function callerOf(key: string): Promise<Caller> {
  const digest = await sha256Hex(new TextEncoder().encode(key));
  return { key: digest.slice(0, FINGERPRINT_DIGITS) };
}
