/**
 * The form in which a call is described: much as `createRoute` of @hono/zod-openapi has it, with the codes that it can
 * fail with by name. The handlers are checked against it, the schemas in it decide what is taken, and the OpenAPI document
 * is made from it (`scripts/openapi.ts`), so that nothing is said twice.
 */
import type * as z from "zod/mini";
import type { FailureCode } from "../domain/failure";
import type { ShownName } from "../domain/time";

export type Content = { "application/json": { schema: z.ZodMiniType; example: unknown } };

export type Route = {
  method: "get" | "post" | "put" | "patch" | "delete";
  path: `/${string}`;
  operationId: string;
  tags: readonly [string];
  summary: string;
  description?: string;
  request?: {
    params?: z.ZodMiniObject;
    query?: z.ZodMiniObject;
    body?: { required: boolean; content: Content };
  };
  /** Of what went well, by status; those of failures come from `failures`. `text`: the type of one that is no JSON. */
  responses: {
    readonly [status: number]: { description: string; content?: Content; text?: string };
  };
  /** Beside those that every call of its kind can have. */
  failures?: readonly FailureCode[];
};

/** One that has no name yet. */
type Call = Omit<Route, "operationId" | "tags">;

export function call<const Described extends Omit<Call, "method" | "path">>(
  where: `${Route["method"]} /${string}`,
  described: Described,
) {
  const [method, path] = where.split(" ") as [Route["method"], Route["path"]];
  return { ...described, method, path };
}

/** The calls of a file, by their names, in the order in which the document has them. */
export function callsOf<Calls extends Record<string, Call>>(tag: string, calls: Calls) {
  const named = Object.entries(calls).map(([operationId, each]) => [
    operationId,
    { ...each, operationId, tags: [tag] },
  ]);
  return Object.fromEntries(named) as {
    [Name in keyof Calls]: Calls[Name] & Pick<Route, "operationId" | "tags">;
  };
}

export function json<S extends z.ZodMiniType>(schema: S, example: z.input<NoInfer<S>>) {
  return { "application/json": { schema, example } };
}

export function answer<S extends z.ZodMiniType>(
  description: string,
  schema: S,
  example: z.input<NoInfer<S>>,
) {
  return { description, content: json(schema, example) };
}

export function body<S extends z.ZodMiniType>(schema: S, example: z.input<NoInfer<S>>) {
  return { required: true, content: json(schema, example) };
}

/** No body is `{}`. */
export function optionalBody<S extends z.ZodMiniType>(schema: S, example: z.input<NoInfer<S>>) {
  return { required: false, content: json(schema, example) };
}

type Parsed<S> = S extends z.ZodMiniType ? z.output<S> : Record<string, never>;
type RequestOf<R extends Route> = R extends { request: infer Given } ? Given : object;

/** What a handler gets: everything that came in, read and checked. */
export type Input<R extends Route> = {
  params: RequestOf<R> extends { params: infer S } ? Parsed<S> : Record<string, never>;
  query: RequestOf<R> extends { query: infer S } ? Parsed<S> : Record<string, never>;
  body: RequestOf<R> extends { body: { content: { "application/json": { schema: infer S } } } }
    ? Parsed<S>
    : Record<string, never>;
};

/** What a handler answers when it went well; null where the answer has no body. */
export type Output<R extends Route> = {
  [Status in keyof R["responses"]]: R["responses"][Status] extends {
    content: { "application/json": { schema: infer S extends z.ZodMiniType } };
  }
    ? z.input<S>
    : null;
}[keyof R["responses"]];

/** The fields of a domain object as the API names them: a moment in time loses its unit. A schema must have them all. */
export type Fields<T> = { [K in keyof T as ShownName<K>]: z.ZodMiniType };
