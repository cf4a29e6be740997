/** Signing in with an API key, and out; and who is let in. None of it calls an object. */
import { Hono } from "hono";
import { createMiddleware } from "hono/factory";
import type { Child } from "hono/jsx";
import { isSafe } from "../access";
import { formOf, text, texts } from "./ui/form";
import { page, showFailure } from "./ui/page";
import { Hidden, link } from "./ui/parts";
import {
  closeSession,
  isLocal,
  openSession,
  type PageContext,
  type PageEnv,
  type Session,
  sessionOf,
} from "./ui/session";
import { zoneOf } from "./ui/time";

/** A form that outlived its session comes at once, and nobody else without one may hold a request. */
const STRANGERS_BODY_MS = 2_000;

const HOME = "/dashboard";
/** Not the name of a field of any form. */
const KEY_FIELD = "signInKey";

export const signIn = new Hono<PageEnv>()
  .get("/sign-in", async (c) => {
    const next = ownPath(c.req.query("next"));
    if ((await sessionOf(c)) !== null) return c.redirect(next, 303);
    return page(c, { title: "Sign in" }, <SignIn next={next} wrong={false} />);
  })
  .post("/sign-in", async (c) => {
    const form = await formOf(c);
    const next = ownPath(text(form, "next"));
    const key = text(form, "key").trim();
    if (!isSecure(c)) {
      const refusal = <p class="notice bad">Sign in over https, or on http://localhost.</p>;
      return page(c, { title: "Sign in", status: 403 }, refusal);
    }
    if ((await openSession(c, key)) !== null) return c.redirect(next, 303);
    return page(c, { title: "Sign in", status: 401 }, <SignIn next={next} wrong />);
  })
  .post("/sign-out", (c) => {
    closeSession(c);
    return c.redirect("/dashboard/sign-in", 303);
  })
  .get("/continue", (c) => {
    const next = ownPath(c.req.query("next"));
    return page(
      c,
      { title: "One moment", refresh: `0;url=${next}` },
      <p>{link(next, "Go on to the dashboard")}</p>,
    );
  });

/** For how long a body is waited for: no longer than from anybody from whoever has a session. */
export async function patienceWith(c: PageContext): Promise<number | undefined> {
  return (await sessionOf(c)) === null ? STRANGERS_BODY_MS : undefined;
}

/** Lets in who has a session; whoever may only read gets pages and changes nothing. */
export function requireSession() {
  return createMiddleware<PageEnv>(async (c, next) => {
    const session = (await sessionOf(c)) ?? (await signedInBy(c));
    if (session === null) return signInFirst(c);
    c.set("session", session);
    c.set("zone", zoneOf(c));
    if (session.scope === "read" && !isSafe(c.req.method)) {
      return showFailure(c, { code: "insufficient_scope" });
    }
    return next();
  });
}

/**
 * A link in a chat leads here without the cookie, because the cookie is SameSite=Strict. A page of ours that leads
 * to the same address brings it: only then is it known whether there is a session.
 */
function signInFirst(c: PageContext): Response | Promise<Response> {
  if (!isSafe(c.req.method)) return askAgain(c);
  const { pathname, search } = new URL(c.req.url);
  const site = c.req.header("sec-fetch-site");
  const page = site === "cross-site" || site === "same-site" ? "continue" : "sign-in";
  return c.redirect(`${HOME}/${page}?next=${encodeURIComponent(pathname + search)}`, 303);
}

/** A form that came without a session brings its own key, once it was asked for. */
async function signedInBy(c: PageContext): Promise<Session | null> {
  if (isSafe(c.req.method) || !isSecure(c)) return null;
  const key = text(await formOf(c), KEY_FIELD).trim();
  return key === "" ? null : openSession(c, key);
}

/** The session ended while a form was filled in: it comes along, and is sent when the key is there. */
async function askAgain(c: PageContext): Promise<Response> {
  const { [KEY_FIELD]: key, ...form } = await formOf(c);
  return page(
    c,
    { title: "Sign in", status: 401 },
    <SignIn again={c.req.path} wrong={key !== undefined}>
      <p>
        <strong>The session has ended.</strong> Sign in, and what you sent is done.
      </p>
      {Object.keys(form).flatMap((name) =>
        texts(form, name).map((value) => <Hidden fields={{ [name]: value }} />),
      )}
    </SignIn>,
  );
}

/** Where to go on; never to another host. */
function ownPath(given: unknown): string {
  if (typeof given !== "string" || !/^\/dashboard(?:[/?][\x21-\x7e]*)?$/.test(given)) return HOME;
  const { origin, pathname, search } = new URL(given, "https://relay.invalid");
  return origin === "https://relay.invalid" && pathname.startsWith(HOME) ? pathname + search : HOME;
}

/** A browser keeps the cookie on https only, and on http://localhost. */
function isSecure(c: PageContext): boolean {
  return new URL(c.req.url).protocol === "https:" || isLocal(c);
}

type SignInProps = { wrong: boolean; next?: string; again?: string; children?: Child };

/** Where the way leads with the key: to `next`, or `again` to what was sent without one, which are the children. */
function SignIn({ wrong, next, again, children }: SignInProps) {
  return (
    <form method="post" action={again ?? `${HOME}/sign-in`} class="panel narrow">
      {children}
      {next !== undefined && <Hidden fields={{ next }} />}
      <p class="quiet">
        One of the keys in the secrets <code>API_KEYS</code> (may change things) or{" "}
        <code>READ_ONLY_API_KEYS</code> (looks only).
      </p>
      {wrong && (
        <p class="notice bad" role="alert">
          This is not a configured API key.
        </p>
      )}
      {/* Password managers want a name to keep a key under. */}
      <input type="hidden" name="username" value="Leadterra Relay" autocomplete="username" />
      <label>
        API key
        <input
          type="password"
          name={again === undefined ? "key" : KEY_FIELD}
          required
          autofocus
          autocomplete="current-password"
          spellcheck={false}
        />
      </label>
      <button type="submit">Sign in</button>
    </form>
  );
}
