/** /v1: the calls of the API, behind a key. */
import { Hono } from "hono";
import { capBody } from "../capped-body";
import { deliveries } from "./deliveries";
import { events } from "./events";
import { located } from "./http/answer-headers";
import { type ApiEnv, requireKey } from "./http/auth";
import { idempotent } from "./http/idempotency";
import { problem, refusing } from "./http/problem";
import { operating } from "./operating";
import { webhooks } from "./webhooks";

export const api = refusing(
  new Hono<ApiEnv>()
    .use(requireKey(), capBody(problem), located(), idempotent())
    .route("/", webhooks)
    .route("/", deliveries)
    .route("/", events)
    .route("/", operating),
);
