/** The relay's HTTP side: what is mounted where, and what happens to what nobody handles. */
import { Hono } from "hono";
import { capBody } from "../capped-body";
import { configOf } from "../config";
import { failureOf } from "../domain/no-answer";
import { errorText } from "../log";
import { VERSION } from "../version";
import { deliveries } from "./deliveries";
import { docs } from "./docs";
import { events } from "./events";
import { located, safeAnswers } from "./http/answer-headers";
import { type ApiEnv, requireKey } from "./http/auth";
import { idempotent } from "./http/idempotency";
import { otherMethods } from "./http/other-methods";
import { problem } from "./http/problem";
import { ingest } from "./ingest";
import { operating } from "./operating";
import { webhooks } from "./webhooks";

export const app = new Hono<ApiEnv>()
  .use(safeAnswers())
  .get("/", (c) => c.redirect("/dashboard", 303))
  .route("/", ingest)
  .get("/healthz", (c) => {
    const { problems } = configOf(c.env);
    const status = problems.length === 0 ? "ok" : "misconfigured";
    c.header("cache-control", "no-store");
    return c.json({ status, version: VERSION, problems }, problems.length === 0 ? 200 : 503);
  })
  .route("/", docs)
  .use("/v1/*", requireKey(), capBody(problem), located(), idempotent())
  .route("/", webhooks)
  .route("/", deliveries)
  .route("/", events)
  .route("/", operating);

const allowed = otherMethods(app.routes);

app
  .notFound((c) => {
    const allow = allowed(c.req.path);
    return problem(
      c,
      allow === null || allow.split(", ").includes(c.req.method)
        ? { code: "not_found" }
        : { code: "method_not_allowed", allow },
    );
  })
  .onError((thrown, c) => problem(c, failureOf(thrown), errorText(thrown)));
