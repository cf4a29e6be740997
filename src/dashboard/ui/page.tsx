/** What every page has around it; and the page for what went wrong. */
import type { Context } from "hono";
import type { Child } from "hono/jsx";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { ANSWERS } from "../../contract/problem";
import type { Failure } from "../../domain/failure";
import { VERSION } from "../../version";
import { takeNotice } from "./notice";
import { Commas, Errors, link } from "./parts";
import { mayChange, type PageEnv, type Session, writtenFor } from "./session";
import { NotHere } from "./unanswered";

const SECTIONS = [
  ["Overview", "/dashboard"],
  ["Webhooks", "/dashboard/webhooks"],
  ["Deliveries", "/dashboard/deliveries"],
  ["Events", "/dashboard/events"],
  ["Dead letters", "/dashboard/dead-letters"],
  ["Audit", "/dashboard/audit"],
] as const;

/** Served beside the style and the script as static assets, which anyone may load. */
const ICON = "/dashboard/icon.svg";

export type PageOptions = {
  title: string;
  /** What stands before the title in the way to this page: text and address of each. */
  trail?: readonly (readonly [string, string])[];
  status?: ContentfulStatusCode;
  /** Regions marked with `data-live` and an id follow what happens, while somebody looks. */
  live?: boolean;
  /** The calls of the API that answer with what the page shows. */
  json?: readonly string[];
  refresh?: string;
};

export async function page(c: Context<PageEnv>, options: PageOptions, content: Child) {
  const { title, trail = [], status = 200, live = false, refresh, json = [] } = options;
  const session = c.get("session") ?? null;
  const viewer = { zone: c.get("zone") ?? "UTC", mayChange: mayChange(c), nowMs: Date.now() };
  const notice = await takeNotice(c);
  const document = (
    <html lang="en" data-zone={viewer.zone}>
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        {refresh !== undefined && <meta http-equiv="refresh" content={refresh} />}
        <title>{`${title} · Leadterra Relay`}</title>
        <link rel="icon" href={ICON} type="image/svg+xml" />
        <link rel="stylesheet" href="/dashboard/style.css" />
        <script src="/dashboard/live.js" defer></script>
      </head>
      <body>
        <a class="skip" href="#content">
          Skip to the content
        </a>
        <Header path={c.req.path} session={session} />
        <main id="content" data-follows={live ? "" : undefined}>
          {live && <NotCurrent />}
          {trail.length > 0 && (
            <nav aria-label="Breadcrumb" class="trail">
              {trail.map(([text, href]) => link(href, <bdi>{text}</bdi>))}
            </nav>
          )}
          <h1>
            <bdi>{title}</bdi>
          </h1>
          {notice}
          {content}
        </main>
        <footer class="quiet">
          Leadterra Relay {VERSION} · <a href="/docs">API</a>
          {json.length > 0 &&
            json.length <= CALLS_BESIDE && [" · as JSON: ", <Commas of={json.map(callOf)} />]}
          {session !== null && ` · Times are those of ${viewer.zone}`}
          {json.length > CALLS_BESIDE && (
            <details>
              <summary>As JSON: {json.length} calls</summary>
              <ul class="plain">
                {json.map((path) => (
                  <li>{callOf(path)}</li>
                ))}
              </ul>
            </details>
          )}
        </footer>
      </body>
    </html>
  );
  const text = writtenFor(viewer, document);
  return c.html(`<!DOCTYPE html>${text}`, status);
}

/** More than these fold. */
const CALLS_BESIDE = 4;

function callOf(path: string) {
  return <code>GET {path}</code>;
}

export function showFailure(c: Context<PageEnv>, failure: Failure | { code: "cross_origin" }) {
  const { title, detail, status } =
    failure.code === "cross_origin" ? CROSS_ORIGIN : ANSWERS[failure.code];
  const errors = "errors" in failure ? failure.errors : [];
  const isSignedOut = failure.code === "unauthorized";
  const { object, code } = { object: undefined, ...failure };
  const { pathname, search } = new URL(c.req.url);
  return page(
    c,
    { title, status },
    <>
      <p>{isSignedOut ? "The session has ended. Sign in, then do it again." : detail}</p>
      {object !== undefined && <NotHere unanswered={[{ object, code }]} webhooks={[]} />}
      {errors.length > 0 && <Errors of={errors} />}
      <p class="actions">
        {status === 503 &&
          c.req.method === "GET" &&
          link(pathname + search, "Try again", "button primary")}
        <a href="/dashboard">To the overview</a>
      </p>
    </>,
  );
}

/** Shown by the script when the page could not be asked for anew. */
function NotCurrent() {
  return (
    <p id="not-current" class="notice warn" role="status" hidden>
      This page is not up to date since <span data-since></span>.{" "}
      <a href="/dashboard/sign-in" data-sign-in hidden>
        The session has ended: sign in
      </a>
      <span data-gone hidden>
        What it shows is not there any more.
      </span>
      <span data-offline hidden>
        The relay does not answer; it is asked again.
      </span>
    </p>
  );
}

const CROSS_ORIGIN = {
  title: "Not from here",
  detail: "This request did not come from a page of this dashboard, so nothing was changed.",
  status: 403,
} as const satisfies { title: string; detail: string; status: ContentfulStatusCode };

function Header({ path, session }: { path: string; session: Session | null }) {
  return (
    <header class="top">
      <a class="brand" href="/dashboard">
        <img src={ICON} alt="" width="24" height="24" /> Leadterra Relay
      </a>
      {session !== null && [
        <nav aria-label="Sections">
          {SECTIONS.map(([name, href]) => (
            <a href={href} aria-current={isWithin(path, href) ? "page" : undefined}>
              {name}
            </a>
          ))}
        </nav>,
        <form method="post" action="/dashboard/sign-out" class="who">
          <details class="quiet">
            <summary>
              {!session.byAccess && "key "}
              {session.caller.key}
              {session.scope === "read" && " · read only"}
            </summary>
            <p class="panel">
              {session.byAccess
                ? "You came through Cloudflare Access: the audit log calls you so."
                : "You are signed in with the API key of this fingerprint: the audit log calls you so."}
              {session.scope === "read"
                ? " It looks and changes nothing."
                : " It may change everything."}
            </p>
          </details>
          {session.byAccess ? (
            <a href="/cdn-cgi/access/logout">Sign out</a>
          ) : (
            <button type="submit" class="plain">
              Sign out
            </button>
          )}
        </form>,
      ]}
    </header>
  );
}

function isWithin(path: string, section: string): boolean {
  if (section === "/dashboard") return path === section;
  return path === section || path.startsWith(`${section}/`);
}
