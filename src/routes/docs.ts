/** /openapi.json and /docs: what the API is. Written before the Worker is bundled, and served as they are. */
import { Hono } from "hono";

export const docs = new Hono<{ Bindings: Env }>().on("GET", ["/openapi.json", "/docs"], (c) =>
  c.env.ASSETS.fetch(c.req.raw),
);
