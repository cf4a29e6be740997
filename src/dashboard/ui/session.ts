/**
 * Sessions without storage: a cookie that says until when it holds, signed with a key made of the API key that it
 * was opened with. Removing that API key ends its sessions; nothing else does before their time.
 */
import type { Context } from "hono";
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import { type Caller, callerOf as callerOfKey, keysOf, type Scope } from "../../access";

const SESSION_SECONDS = 12 * 3_600;
const NAME = "leadterra-relay";
/** Tells this use of an API key from any other. */
const PURPOSE = "leadterra-relay dashboard session v2";

export type Session = {
  scope: Scope;
  /** Who, as the audit log calls them. */
  caller: Caller;
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

/** Whether whoever looks at this page may change things. */
export function mayChange(c: PageContext): boolean {
  return c.get("session")?.scope === "all";
}

/** Who changes something; only where a session is required. */
export function callerOf(c: PageContext): Caller {
  const session = c.get("session");
  if (session === null) throw new Error("there is no session");
  return session.caller;
}

export async function openSession(c: Context, apiKey: string): Promise<void> {
  const endsAtSeconds = Math.floor(Date.now() / 1_000) + SESSION_SECONDS;
  const options = { ...attributesOf(c), maxAge: SESSION_SECONDS };
  await setSignedCookie(c, NAME, String(endsAtSeconds), secretOf(apiKey), options);
}

export function closeSession(c: Context): void {
  deleteCookie(c, NAME, attributesOf(c));
}

export async function sessionOf(c: PageContext): Promise<Session | null> {
  const prefix = isLocal(c) ? undefined : "host";
  for (const { key, scope } of keysOf(c.env)) {
    const endsAtSeconds = await getSignedCookie(c, secretOf(key), NAME, prefix);
    if (endsAtSeconds && Number(endsAtSeconds) * 1_000 > Date.now()) {
      return { scope, caller: await callerOfKey(key) };
    }
  }
  return null;
}

function secretOf(apiKey: string): string {
  return `${PURPOSE} ${apiKey}`;
}

/** A laptop has no certificate, and a browser keeps the cookie on http://localhost all the same. */
export function isLocal(c: Context): boolean {
  const { protocol, hostname } = new URL(c.req.url);
  return protocol === "http:" && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
}

function attributesOf(c: Context) {
  const shared = { path: "/", httpOnly: true, sameSite: "Strict" } as const;
  return isLocal(c) ? shared : ({ ...shared, secure: true, prefix: "host" } as const);
}
