/** What holds for every request and answer of the dashboard, whoever asks: headers, and who may change things. */
import { createMiddleware } from "hono/factory";
import { isSafe } from "../../access";
import { showFailure } from "./page";
import type { PageEnv } from "./session";

const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  // Not "no-referrer": browsers would then send `Origin: null` with the dashboard's own forms.
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

/** A page is never kept, framed or sniffed, and loads nothing but the dashboard's own files. */
export function securityHeaders() {
  return createMiddleware(async (c, next) => {
    await next();
    for (const [name, value] of Object.entries(HEADERS)) {
      if (!c.res.headers.has(name)) c.res.headers.set(name, value);
    }
  });
}

/**
 * Whatever is no GET must come from a page of this origin, whatever its body is: browsers say where a request is
 * from in Origin, and in Sec-Fetch-Site. One that says neither is not a browser's form, and is refused too.
 */
export function sameOrigin() {
  return createMiddleware<PageEnv>(async (c, next) => {
    if (isSafe(c.req.method)) return next();
    const origin = c.req.header("origin");
    const site = c.req.header("sec-fetch-site");
    const own = new URL(c.req.url).origin;
    const isOwn = origin === undefined ? site === "same-origin" : origin === own;
    if (!isOwn || (site !== undefined && site !== "same-origin")) {
      return showFailure(c, { code: "cross_origin" });
    }
    return next();
  });
}
