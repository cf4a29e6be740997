/** /dashboard as the Worker mounts it. The pages are not evaluated before somebody asks for one. */
import { Hono } from "hono";

export const dashboard = new Hono<{ Bindings: Env }>().all("/*", async (c) => {
  const { app } = await import("./app");
  return app.fetch(c.req.raw, c.env, c.executionCtx);
});
