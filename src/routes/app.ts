/** The relay's HTTP side: what is mounted where. */
import { Hono } from "hono";
import { configOf } from "../config";
import { VERSION } from "../version";
import { safeAnswers } from "./http/answer-headers";
import { refusing } from "./http/problem";
import { ingest } from "./ingest";

export const app = refusing(
  new Hono<{ Bindings: Env }>()
    .use(safeAnswers())
    .get("/", (c) => c.redirect("/dashboard", 303))
    .route("/", ingest)
    .get("/healthz", (c) => {
      const { problems } = configOf(c.env);
      const status = problems.length === 0 ? "ok" : "misconfigured";
      c.header("cache-control", "no-store");
      return c.json({ status, version: VERSION, problems }, problems.length === 0 ? 200 : 503);
    })
    // What the API is: written before the Worker is bundled, and served as it is.
    .on("GET", ["/openapi.json", "/docs"], (c) => c.env.ASSETS.fetch(c.req.raw))
    // Its schemas are a quarter of a start: they are not made before somebody calls it.
    .all("/v1/*", async (c) => {
      const { api } = await import("./api");
      return api.fetch(c.req.raw, c.env, c.executionCtx);
    }),
);
