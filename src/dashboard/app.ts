/**
 * The dashboard: pages over the same operations as the API. What comes in passes, in this order: security headers,
 * method, same origin, whether there is a session, the body, sign-in, session. Every change is a POST that answers with
 * a redirect to the page that shows it, but for what is shown once, asks again, or goes on.
 */
import { Hono, type MiddlewareHandler } from "hono";
import { trimTrailingSlash } from "hono/trailing-slash";
import { otherMethods } from "../allowed-methods";
import { capBody } from "../capped-body";
import { failureOf } from "../domain/no-answer";
import { errorText, logError } from "../log";
import { auditPages } from "./audit";
import { attemptPages } from "./deliveries/attempt-list";
import { deliveryPages } from "./deliveries/deliveries";
import { deadLetterPages } from "./events/dead-letters";
import { eventPages } from "./events/events";
import { overview } from "./overview/overview";
import { patienceWith, requireSession, signIn } from "./sign-in";
import { showFailure } from "./ui/page";
import { sameOrigin, securityHeaders } from "./ui/same-origin";
import type { PageEnv } from "./ui/session";
import { webhookChanges } from "./webhooks/changes";
import { webhookPages } from "./webhooks/webhooks";

const pages = new Hono<PageEnv>()
  .basePath("/dashboard")
  .route("/", signIn)
  .use(requireSession())
  .route("/", overview)
  .route("/webhooks", webhookPages)
  .route("/webhooks", webhookChanges)
  .route("/webhooks", attemptPages)
  .route("/", deliveryPages)
  .route("/events", eventPages)
  .route("/dead-letters", deadLetterPages)
  .route("/audit", auditPages);

const allowed = otherMethods(pages.routes);

/** What a page does not know is no matter of where it comes from, or from whom. */
const refuseOtherMethods: MiddlewareHandler<PageEnv> = async (c, next) => {
  const allow = allowed(c.req.method, c.req.path.replace(/\/$/, ""));
  if (allow === null) return next();
  c.header("allow", allow);
  return showFailure(c, { code: "method_not_allowed", allow });
};

export const app = new Hono<PageEnv>()
  .use(
    securityHeaders(),
    refuseOtherMethods,
    trimTrailingSlash(),
    sameOrigin(),
    capBody<PageEnv>(showFailure, patienceWith),
  )
  .route("/", pages)
  .notFound((c) => showFailure(c, { code: "not_found" }))
  .onError((thrown, c) => {
    logError("page.threw", { method: c.req.method, path: c.req.path, error: errorText(thrown) });
    return showFailure(c, failureOf(thrown));
  });
