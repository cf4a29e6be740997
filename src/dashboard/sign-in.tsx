/** Signing in with an API key, and out. Neither calls an object. */
import { Hono } from "hono";
import { scopeOf } from "../routes/auth";
import { page } from "./ui/layout";
import { closeSession, openSession, type PageContext, type PageEnv, sessionOf } from "./ui/session";

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
    if (isUnsafe(c)) return page(c, { title: "Sign in", status: 403 }, <NeedsHttps />);
    await openSession(c, key);
    return c.redirect(next, 303);
  })
  .post("/sign-out", (c) => {
    closeSession(c);
    return c.redirect("/dashboard/sign-in", 303);
  })
  .get("/continue", (c) => {
    const next = ownPath(c.req.query("next"));
    const refresh = `0;url=${next}`;
    return page(
      c,
      { title: "One moment", refresh },
      <p>
        <a href={next}>Go on to the dashboard</a>
      </p>,
    );
  });

/** Where to go on; never to another host. */
function ownPath(given: unknown): string {
  if (typeof given !== "string" || !/^\/dashboard(?:[/?][\x21-\x7e]*)?$/.test(given)) return HOME;
  const { origin, pathname, search } = new URL(given, "https://relay.invalid");
  return origin === "https://relay.invalid" && pathname.startsWith(HOME) ? pathname + search : HOME;
}

/** A browser keeps the cookie on https only, and on http://localhost. */
function isUnsafe(c: PageContext): boolean {
  const { protocol, hostname } = new URL(c.req.url);
  return protocol !== "https:" && !/^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
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
