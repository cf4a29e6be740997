/** Signing in with an API key, and out; and who is let in. None of it calls an object. */
import { Hono } from "hono";
import { createMiddleware } from "hono/factory";
import { isSafe, scopeOf } from "../access";
import { page, showFailure } from "./ui/page";
import {
  closeSession,
  isLocal,
  openSession,
  type PageContext,
  type PageEnv,
  sessionOf,
} from "./ui/session";
import { zoneOf } from "./ui/time";

const HOME = "/dashboard";

export const signIn = new Hono<PageEnv>()
  .get("/sign-in", async (c) => {
    const next = ownPath(c.req.query("next"));
    if ((await sessionOf(c)) !== null) return c.redirect(next, 303);
    return page(c, { title: "Sign in" }, <Form next={next} wrong={false} />);
  })
  .post("/sign-in", async (c) => {
    const form = await c.req.parseBody();
    const next = ownPath(form.next);
    const key = typeof form.key === "string" ? form.key.trim() : "";
    if (key === "" || (await scopeOf(key, c.env)) === null) {
      return page(c, { title: "Sign in", status: 401 }, <Form next={next} wrong />);
    }
    if (new URL(c.req.url).protocol !== "https:" && !isLocal(c)) {
      return page(c, { title: "Sign in", status: 403 }, <NeedsHttps />);
    }
    await openSession(c, key);
    return c.redirect(next, 303);
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
      <p>
        <a href={next}>Go on to the dashboard</a>
      </p>,
    );
  });

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

/**
 * A link in a chat leads here without the cookie, because the cookie is SameSite=Strict. A page of ours that leads
 * to the same address brings it: only then is it known whether there is a session.
 */
function signInFirst(c: PageContext): Response | Promise<Response> {
  if (!isSafe(c.req.method)) return showFailure(c, { code: "unauthorized" });
  const { pathname, search } = new URL(c.req.url);
  const site = c.req.header("sec-fetch-site");
  const page = site === "cross-site" || site === "same-site" ? "continue" : "sign-in";
  return c.redirect(`${HOME}/${page}?next=${encodeURIComponent(pathname + search)}`, 303);
}

/** Where to go on; never to another host. */
function ownPath(given: unknown): string {
  if (typeof given !== "string" || !/^\/dashboard(?:[/?][\x21-\x7e]*)?$/.test(given)) return HOME;
  const { origin, pathname, search } = new URL(given, "https://relay.invalid");
  return origin === "https://relay.invalid" && pathname.startsWith(HOME) ? pathname + search : HOME;
}

function NeedsHttps() {
  return <p class="notice bad">Sign in over https, or on http://localhost.</p>;
}

function Form({ next, wrong }: { next: string; wrong: boolean }) {
  return (
    <form method="post" action="/dashboard/sign-in" class="panel narrow">
      <p class="quiet">
        One of the keys in the secrets <code>API_KEYS</code> (may change things) or{" "}
        <code>READ_ONLY_API_KEYS</code> (looks only).
      </p>
      {wrong && (
        <p class="notice bad" role="alert">
          This is not a configured API key.
        </p>
      )}
      <input type="hidden" name="next" value={next} />
      {/* Password managers want a name to keep a key under. */}
      <input type="hidden" name="username" value="Leadterra Relay" autocomplete="username" />
      <label>
        API key
        <input
          type="password"
          name="key"
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
