/**
 * Sessions without storage: a cookie that says until when it holds, signed with a key derived from the API key it
 * was opened with. Removing that API key ends its sessions; nothing else does before their time.
 */
import type { Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { createMiddleware } from "hono/factory";
import { configOf } from "../../config";
import { importHmacKey } from "../../domain/signature";
import { fingerprintOf, isSafe, type Scope } from "../../routes/auth";
import { showFailure } from "./layout";
import { zoneOf } from "./time";

const SESSION_SECONDS = 12 * 3_600;
const NAME = "leadterra-relay";
/** Tells this use of an API key from any other. */
const PURPOSE = "leadterra-relay dashboard session v1";

export type Session = {
  scope: Scope;
  /** Who, as the audit log calls them. */
  caller: { key: string };
};

export type PageEnv = {
  Bindings: Env;
  Variables: {
    /** null on pages that need none. */
    session: Session | null;
    /** The visitor's time zone, as far as it is known; else UTC. */
    zone: string;
  };
};

export type PageContext = Context<PageEnv>;

/** Lets in who has a session; whoever may only read gets pages and changes nothing. */
export function requireSession() {
  return createMiddleware<PageEnv>(async (c, next) => {
    const session = await sessionOf(c);
    if (session === null) return signInFirst(c);
    c.set("session", session);
    c.set("zone", zoneOf(c.req.raw));
    if (session.scope === "read" && !isSafe(c.req.method)) {
      return showFailure(c, { code: "insufficient_scope" });
    }
    return next();
  });
}

/** Whether whoever looks at this page may change things. */
export function mayChange(c: PageContext): boolean {
  return c.get("session")?.scope === "all";
}

/** Who changes something; only behind `requireSession`. */
export function callerOf(c: PageContext): { key: string } {
  const session = c.get("session");
  if (session === null) throw new Error("there is no session");
  return session.caller;
}

export async function openSession(c: Context, apiKey: string): Promise<void> {
  const endsAt = Math.floor(Date.now() / 1_000) + SESSION_SECONDS;
  const mac = await crypto.subtle.sign("HMAC", await keyOf(apiKey), bytesOf(endsAt));
  const value = `${endsAt}.${base64Url(new Uint8Array(mac))}`;
  setCookie(c, cookieName(c), value, { ...attributes(c), maxAge: SESSION_SECONDS });
}

export function closeSession(c: Context): void {
  deleteCookie(c, cookieName(c), attributes(c));
}

export async function sessionOf(c: Context<PageEnv>): Promise<Session | null> {
  const match = /^(\d{1,12})\.([\w-]{43})$/.exec(getCookie(c, cookieName(c)) ?? "");
  if (match === null) return null;
  const endsAt = Number(match[1]);
  if (endsAt * 1_000 <= Date.now()) return null;
  const mac = bytesOfBase64Url(match[2] ?? "");
  const { apiKeys, readOnlyApiKeys } = configOf(c.env);
  const scopes: [Scope, readonly string[]][] = [
    ["all", apiKeys],
    ["read", readOnlyApiKeys],
  ];
  for (const [scope, keys] of scopes) {
    for (const key of keys) {
      // Constant in time: WebCrypto compares.
      if (await crypto.subtle.verify("HMAC", await keyOf(key), mac, bytesOf(endsAt))) {
        return { scope, caller: { key: await fingerprintOf(key) } };
      }
    }
  }
  return null;
}

/** A key for signing sessions, from which the API key cannot be told. */
async function keyOf(apiKey: string): Promise<CryptoKey> {
  const derived = await crypto.subtle.sign(
    "HMAC",
    await importHmacKey(apiKey),
    new TextEncoder().encode(PURPOSE),
  );
  return importHmacKey(new Uint8Array(derived));
}

function bytesOf(endsAt: number): Uint8Array {
  return new TextEncoder().encode(String(endsAt));
}

/** A laptop has no certificate: on http://localhost the prefix and Secure give way. */
function isLocal(c: Context): boolean {
  const { protocol, hostname } = new URL(c.req.url);
  return protocol === "http:" && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
}

function cookieName(c: Context): string {
  return isLocal(c) ? NAME : `__Host-${NAME}`;
}

function attributes(c: Context) {
  return { path: "/", httpOnly: true, secure: !isLocal(c), sameSite: "Strict" } as const;
}

/**
 * A link in a chat leads here without the cookie, because the cookie is SameSite=Strict. A page of ours that leads
 * to the same address brings it: only then is it known whether there is a session.
 */
function signInFirst(c: PageContext): Response | Promise<Response> {
  if (!isSafe(c.req.method)) return showFailure(c, { code: "unauthorized" });
  const { pathname, search } = new URL(c.req.url);
  const site = c.req.header("sec-fetch-site");
  if (site === "cross-site" || site === "same-site") {
    return c.redirect(`/dashboard/continue?next=${encodeURIComponent(pathname + search)}`, 303);
  }
  return c.redirect(`/dashboard/sign-in?next=${encodeURIComponent(pathname + search)}`, 303);
}

function base64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function bytesOfBase64Url(text: string): Uint8Array {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
