/**
 * From a call as `contract` describes it to a route: what comes in is read and checked, strictly and all of it before
 * anything is refused; the handler gets values and gives a value; failures become problem details.
 */
import type { Context, Hono } from "hono";
import * as z from "zod/mini";
import { isSafe } from "../../access";
import { readBy } from "../../contract/problem";
import type { Input, Output, Route } from "../../contract/route";
import { type FailureCode, type FieldError, fail, ok, type Result } from "../../domain/failure";
import { stringify } from "../../domain/json-text";
import type { Webhook } from "../../domain/webhook";
import { findWebhook } from "../../operations/webhooks";
import type { ApiEnv } from "./auth";
import { problem } from "./problem";

/** Only those that are there. */
export function given<T extends object>(values: T) {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

export type ApiContext = Context<ApiEnv>;

/** Where the answer has no body a handler may make it whole. */
type Own<R extends Route> = null extends Output<R> ? Response : never;
type Handler<R extends Route> = (
  input: Input<R>,
  c: ApiContext,
) => Promise<Result<Output<R> | Own<R>, FailureCode>>;
/** Finds what no schema can know, in what was given as it came. */
type Check = (body: unknown, c: ApiContext) => FieldError[];

/** @returns what adds a call to `app`, with its handler. */
export function serving(app: Hono<ApiEnv>) {
  return <R extends Route>(route: R, handle: Handler<R>, check: Check = () => []): void => {
    const status = Number(Object.keys(route.responses)[0]);
    const path = route.path.replaceAll(/\{(\w+)\}/g, ":$1");
    app.on(route.method.toUpperCase(), path, async (c) => {
      const params = paramsOf(c, route);
      if (params === null) return c.notFound();
      const input = await read(c, route, check);
      if (!input.ok) return problem(c, input.failure);
      // A handler may say another one of those that are described.
      c.status(status as 200);
      const done = await handle({ ...input.value, params } as Input<R>, c);
      if (!done.ok) return problem(c, done.failure);
      if (done.value instanceof Response) return done.value;
      if (done.value === null) return c.body(null);
      return c.body(stringify(done.value), { headers: { "content-type": "application/json" } });
    });
  };
}

/** @returns what adds a call about a webhook, which is there by the id or the name in its path. */
export function servingWebhook(app: Hono<ApiEnv>) {
  const serve = serving(app);
  type About<R extends Route> = (
    webhook: Webhook,
    ...asked: Parameters<Handler<R>>
  ) => ReturnType<Handler<R>>;
  return <R extends Route>(route: R, handle: About<R>, check?: Check): void => {
    const find = async (input: Input<R>, c: ApiContext) => {
      const webhook = await findWebhook(c.env, c.req.param("id") ?? "");
      return webhook === null ? fail({ code: "not_found" }) : handle(webhook, input, c);
    };
    serve(route, find, check);
  };
}

/** Null when a part of the path cannot be what it stands for: then there is nothing there. */
function paramsOf(c: ApiContext, { request }: Route): object | null {
  if (request?.params === undefined) return {};
  const parsed = request.params.safeParse(c.req.param());
  return parsed.success ? parsed.data : null;
}

async function read(c: ApiContext, { request = {} }: Route, check: Check) {
  const errors: FieldError[] = [];
  const query = parse(request.query, queryOf(c, errors), errors);
  const body = isSafe(c.req.method) ? ok({}) : await bodyOf(c, request.body?.required ?? false);
  if (!body.ok && errors.length === 0) return body;
  const given = body.ok ? body.value : {};
  const value = parse(request.body?.content["application/json"].schema, given, errors);
  const known = new Set(errors.map(({ path }) => path));
  errors.push(...check(given, c).filter(({ path }) => !known.has(path)));
  if (errors.length > 0) return fail({ code: "invalid_request", errors });
  return ok({ query, body: value });
}

const nothing = z.strictObject({});

function parse(schema: z.ZodMiniType | undefined, given: unknown, errors: FieldError[]): unknown {
  const parsed = readBy(schema ?? nothing, given);
  errors.push(...parsed.errors);
  return parsed.data;
}

/** The query parameters, also one without a name, which Hono passes over; one that is given twice is a mistake. */
function queryOf(c: ApiContext, errors: FieldError[]): Record<string, string> {
  const given = [...new URL(c.req.url).searchParams];
  for (const [path, { length }] of Map.groupBy(given, ([name]) => name)) {
    if (length > 1) errors.push({ path, message: "must be given once" });
  }
  return Object.fromEntries(given);
}

/** One JSON document in UTF-8, whatever Content-Type says. */
async function bodyOf(c: ApiContext, required: boolean): Promise<Result<unknown, "invalid_json">> {
  const bytes = await c.req.arrayBuffer();
  if (bytes.byteLength === 0 && !required) return ok({});
  try {
    return ok(JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)));
  } catch {
    return fail({ code: "invalid_json", detail: "The body is not one JSON document in UTF-8." });
  }
}
