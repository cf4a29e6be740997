/** The relay's HTTP side: what is mounted where, and what happens to what nobody handles. */
import { type Context, Hono } from "hono";
import { capBody } from "../capped-body";
import { configOf } from "../config";
import { failureOf } from "../domain/newer-data";
import { errorText, logError } from "../log";
import { VERSION } from "../version";
import { audit } from "./audit";
import { type ApiEnv, requireKey } from "./auth";
import { deadLetters } from "./dead-letters";
import { deliveries } from "./deliveries";
import { docs } from "./docs";
import { eventTypes } from "./event-types";
import { events } from "./events";
import { filters } from "./filters";
import { idempotent } from "./idempotency";
import { ingest } from "./ingest";
import { problem } from "./problem";
import { stats } from "./stats";
import { webhooks } from "./webhooks";

const tooLarge = (c: Context, limitBytes: number) =>
  problem(c, { code: "payload_too_large", limitBytes });

export const app = new Hono<ApiEnv>()
  .route("/", ingest)
  .get("/healthz", (c) => {
    const { problems } = configOf(c.env);
    const status = problems.length === 0 ? "ok" : "misconfigured";
    c.header("cache-control", "no-store");
    return c.json({ status, version: VERSION, problems }, problems.length === 0 ? 200 : 503);
  })
  .route("/", docs)
  .use("/v1/*", requireKey(), capBody(tooLarge), idempotent())
  .route("/v1/webhooks", webhooks)
  .route("/v1/webhooks", deliveries)
  .route("/v1/events", events)
  .route("/v1/event-types", eventTypes)
  .route("/v1/filters", filters)
  .route("/v1/dead-letters", deadLetters)
  .route("/v1/stats", stats)
  .route("/v1/audit", audit)
  .notFound((c) => problem(c, { code: "not_found" }))
  .onError((thrown, c) => {
    logError("request.threw", { method: c.req.method, path: c.req.path, error: errorText(thrown) });
    return problem(c, failureOf(thrown));
  });
