/** Reads what a caller of the API sends: bodies, parameters and cursors, each strictly. */
import type { Context } from "hono";
import { z } from "zod";
import { type FieldError, fail, ok, type Result } from "../domain/failure";

const MAX_REQUEST_BYTES = 256 * 1024;
const MAX_PAGE = 250;
const DEFAULT_PAGE = 50;

export const limitParam = z
  .string()
  .regex(/^\d{1,3}$/)
  .transform(Number)
  .pipe(z.number().int().min(1).max(MAX_PAGE))
  .default(DEFAULT_PAGE);

/** ISO 8601 with an offset → Unix milliseconds. */
export const timeParam = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));

/** The body as one JSON document, whatever Content-Type says; `invalid_json` when it is none. */
export async function readBody<S extends z.ZodType>(
  c: Context,
  schema: S,
): Promise<Result<z.output<S>>> {
  const bytes = await c.req.arrayBuffer();
  if (bytes.byteLength > MAX_REQUEST_BYTES) {
    return fail({ code: "payload_too_large", limitBytes: MAX_REQUEST_BYTES });
  }
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

function fieldErrors(issue: z.core.$ZodIssue): FieldError[] {
  const path = issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      path: path === "" ? key : `${path}.${key}`,
      message: "is not a known field",
    }));
  }
  return [{ path, message: issue.message }];
}
