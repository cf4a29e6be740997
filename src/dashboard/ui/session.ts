/**
 * Sessions without storage. Whoever comes through Cloudflare Access has one for as long as their token holds, by the token
 * alone. Else it is a cookie that says until when it holds, signed with a key made of the API key that it
 * was opened with. Removing that API key ends its sessions; nothing else does before their time.
 *
 * And who looks at a page, from where and when: any part of it may ask, and none has to hand it on.
 */
import type { Context } from "hono";
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import type { Child } from "hono/jsx";
import { type Caller, callerOf as callerOfKey, keysOf, type Scope, scopeOf } from "../../access";
import { configOf } from "../../config";

/** Put there by Cloudflare Access; anybody may send one. */
const ACCESS_HEADER = "cf-access-jwt-assertion";
const SESSION_SECONDS = 12 * 3_600;
const NAME = "leadterra-relay";
/** Tell these uses of an API key from any other, and from each other. */
const SESSION = "leadterra-relay dashboard session v2";
const NOTICE = "leadterra-relay dashboard notice";

export type Session = {
  scope: Scope;
  /** Who, as the audit log calls them. */
  caller: Caller;
  /** Signs what the pages tell this session. */
  secret: string;
  /** By Cloudflare Access: the caller is an address. */
  byAccess?: true;
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

export function mayChange(c: PageContext): boolean {
  return c.get("session")?.scope === "all";
}

/** Who changes something; only where a session is required. */
export function callerOf(c: PageContext): Caller {
  const session = c.get("session");
  if (session === null) throw new Error("there is no session");
  return session.caller;
}

/** @returns the session; null when this is no configured key. */
export async function openSession(c: Context, apiKey: string): Promise<Session | null> {
  const scope = await scopeOf(apiKey, c.env);
  if (scope === null) return null;
  const endsAtSeconds = Math.floor(Date.now() / 1_000) + SESSION_SECONDS;
  const options = { ...attributesOf(c), maxAge: SESSION_SECONDS };
  await setSignedCookie(c, nameOf(c), String(endsAtSeconds), secretOf(SESSION, apiKey), options);
  return sessionBy(apiKey, scope);
}

export function closeSession(c: Context): void {
  deleteCookie(c, nameOf(c), attributesOf(c));
}

/** With both a key and Access, the one that may do more counts; of two alike the one that says who it is. */
export async function sessionOf(c: PageContext): Promise<Session | null> {
  const person = await sessionByAccess(c);
  if (person?.scope === "all") return person;
  const byKey = await sessionByCookie(c);
  return byKey?.scope === "all" ? byKey : (person ?? byKey);
}

async function sessionByAccess(c: PageContext): Promise<Session | null> {
  const { access } = configOf(c.env);
  const token = c.req.header(ACCESS_HEADER);
  if (access === null || token === undefined) return null;
  // Not evaluated before somebody comes so.
  const { whoComes } = await import("./access-token");
  const key = await whoComes(token, access);
  if (key === null) return null;
  return { scope: access.scope, caller: { key }, secret: secretOf(NOTICE, token), byAccess: true };
}

async function sessionByCookie(c: PageContext): Promise<Session | null> {
  const prefix = prefixOf(c);
  for (const { key, scope } of keysOf(c.env)) {
    const endsAtSeconds = await getSignedCookie(c, secretOf(SESSION, key), nameOf(c), prefix);
    if (endsAtSeconds && Number(endsAtSeconds) * 1_000 > Date.now()) {
      return sessionBy(key, scope);
    }
  }
  return null;
}

async function sessionBy(key: string, scope: Scope): Promise<Session> {
  return { scope, caller: await callerOfKey(key), secret: secretOf(NOTICE, key) };
}

function secretOf(purpose: string, apiKey: string): string {
  return `${purpose} ${apiKey}`;
}

/** Cookies do not tell ports apart, and a laptop may run several relays. */
export function nameOf(c: Context, name = NAME): string {
  const { port } = new URL(c.req.url);
  return isLocal(c) && port !== "" ? `${name}-${port}` : name;
}

/** A laptop has no certificate, and a browser keeps the cookie on http://localhost all the same. */
export function isLocal(c: Context): boolean {
  const { protocol, hostname } = new URL(c.req.url);
  return protocol === "http:" && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
}

export function prefixOf(c: Context): "host" | undefined {
  return isLocal(c) ? undefined : "host";
}

export function attributesOf(c: Context) {
  const shared = { path: "/", httpOnly: true, sameSite: "Strict" } as const;
  return isLocal(c) ? shared : ({ ...shared, secure: true, prefix: "host" } as const);
}

type Viewer = {
  /** IANA name of the time zone in which times are told. */
  zone: string;
  mayChange: boolean;
  nowMs: number;
};

const NOBODY: Viewer = { zone: "UTC", mayChange: false, nowMs: 0 };
let viewing = NOBODY;

/** Written out for one viewer, at a stretch: no component waits, so that no other request comes in between. */
export function writtenFor(viewer: Viewer, document: Child): string {
  viewing = viewer;
  try {
    return String(document);
  } finally {
    viewing = NOBODY;
  }
}

/** Within a page only: elsewhere it is nobody, long ago. */
export function useViewer(): Viewer {
  return viewing;
}
