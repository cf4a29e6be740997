/** Reads what a caller of the API sends: bodies, parameters and cursors, each strictly. */
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import * as z from "zod";
import { fieldErrors } from "../contract/problem";
import { type FieldError, fail, ok, type Result } from "../domain/failure";
import { problem } from "./problem";

const MAX_PAGE = 250;
const DEFAULT_PAGE = 50;

export const limitParam = z
  .string()
  .regex(/^\d{1,3}$/)
  .transform(Number)
  .pipe(z.number().int().min(1).max(MAX_PAGE))
  .default(DEFAULT_PAGE)
  .meta({ type: "integer", minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE });

export const cursorParam = z
  .string()
  .optional()
  .meta({ description: "`next` of the page before." });

/** ISO 8601 with an offset → Unix milliseconds. */
export const timeParam = z.iso
  .datetime({ offset: true })
  .transform((text) => Date.parse(text))
  .meta({ description: "ISO 8601 with an offset." });

export const eventName = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,128}$/, "must be 1 to 128 of A-Z a-z 0-9 . _ -");

/** For a call that takes neither parameters nor a body: any is a mistake. */
export function takesNothing() {
  return createMiddleware(async (c, next) => {
    const query = readQuery(c, z.strictObject({}));
    if (!query.ok) return problem(c, query.failure);
    const body = await readOptionalBody(c, z.strictObject({}));
    return body.ok ? next() : problem(c, body.failure);
  });
}

/** The body of a call that may be made without. */
export async function readOptionalBody<S extends z.ZodType>(
  c: Context,
  schema: S,
): Promise<Result<z.output<S>>> {
  const query = readQuery(c, z.strictObject({}));
  if (!query.ok) return query;
  const { byteLength } = await c.req.arrayBuffer();
  return byteLength === 0 ? check({}, schema) : readBody(c, schema);
}

/** The body as one JSON document, whatever Content-Type says; `invalid_json` when it is none. */
export async function readBody<S extends z.ZodType>(
  c: Context,
  schema: S,
): Promise<Result<z.output<S>>> {
  const query = readQuery(c, z.strictObject({}));
  if (!query.ok) return query;
  const bytes = await c.req.arrayBuffer();
  let given: unknown;
  try {
    given = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return fail({ code: "invalid_json", detail: "The body is not one JSON document in UTF-8." });
  }
  return check(given, schema);
}

/** The query parameters; unknown and repeated ones are mistakes too. */
export function readQuery<S extends z.ZodType>(c: Context, schema: S): Result<z.output<S>> {
  const queries = c.req.queries();
  const repeated = Object.entries(queries).find(([, values]) => values.length > 1);
  if (repeated !== undefined) {
    return invalid([{ path: repeated[0], message: "must be given once" }]);
  }
  return check(
    Object.fromEntries(Object.entries(queries).map(([name, [value]]) => [name, value])),
    schema,
  );
}

export function invalid(errors: FieldError[]): ReturnType<typeof fail> {
  return fail({ code: "invalid_request", errors });
}

function check<S extends z.ZodType>(given: unknown, schema: S): Result<z.output<S>> {
  const parsed = schema.safeParse(given);
  return parsed.success ? ok(parsed.data) : invalid(parsed.error.issues.flatMap(fieldErrors));
}
