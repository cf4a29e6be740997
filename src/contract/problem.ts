/** What can go wrong, as it is answered: RFC 9457 problem details by code, and the mistakes that a schema found. */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type * as z from "zod/mini";
import type { Failure, FailureCode, FieldError } from "../domain/failure";

export const PROBLEM_TYPE = "application/problem+json";

export type Answer = {
  status: ContentfulStatusCode;
  title: string;
  detail: string;
  headers?: Record<string, string>;
};

/** RFC 9457 `type`: one for each code. */
export function typeOf(code: FailureCode): string {
  return `urn:leadterra-relay:problem:${code}`;
}

type Row = [status: ContentfulStatusCode, detail: string, headers?: Record<string, string>];

/** By code: the status, the detail where a failure knows none better, and headers. */
const TABLE = {
  method_not_allowed: [405, "This method is not allowed here: Allow names those that are."],
  not_configured: [
    503,
    "No signing secret of Leadterra is configured: set LEADTERRA_SIGNING_SECRETS.",
  ],
  unsupported_encoding: [
    415,
    "The body must come without Content-Encoding: the signature is of the raw bytes.",
  ],
  payload_too_large: [413, "The body is too large."],
  incomplete_body: [400, "The body did not come whole: send it again."],
  invalid_signature: [
    401,
    "X-Leadterra-Signature does not sign this body under a configured secret.",
    { "www-authenticate": "Signature" },
  ],
  invalid_encoding: [400, "The body is not valid UTF-8."],
  invalid_json: [400, "The body is not one JSON document."],
  invalid_event: [422, "The body is JSON, but not an event of Leadterra."],
  queue_unavailable: [503, "The event was not taken; send it again."],
  unauthorized: [
    401,
    "Send a configured API key as Authorization: Bearer <key>.",
    { "www-authenticate": "Bearer" },
  ],
  insufficient_scope: [403, "This key may only read: take one of API_KEYS."],
  not_found: [404, "There is nothing here."],
  invalid_request: [
    422,
    "Some fields or parameters are not as they should be: errors says which, and how they should be.",
  ],
  idempotency_key_reused: [
    422,
    "This Idempotency-Key came with another call before; take a new one.",
  ],
  idempotency_key_in_use: [
    409,
    "The first call with this Idempotency-Key still runs; ask again in a moment.",
  ],
  in_flight: [409, "An attempt is on its way; look at its outcome first."],
  not_pending: [409, "The delivery is finished: there is nothing to cancel."],
  payload_gone: [
    409,
    "The event's payload was erased or is past its retention: it cannot be replayed.",
  ],
  upgrade_required: [
    426,
    "This is a WebSocket: connect with Upgrade: websocket.",
    { upgrade: "websocket", connection: "Upgrade" },
  ],
  not_a_listener: [
    409,
    "This webhook has an address. Only one with the URL listener: can be listened to.",
  ],
  name_taken: [409, "Another webhook has this name: take another, or change that one."],
  too_many_webhooks: [409, "There are 500 webhooks, and no more may be: delete one first."],
  too_many_secrets: [
    409,
    "Five secrets of this webhook would still sign along: wait for a grace period to end, or rotate with gracePeriodSeconds 0.",
  ],
  not_yet_in_force: [
    503,
    "The change is stored and on its way, but not confirmed yet: an attempt that starts now may still go by the old state.",
    { "retry-after": "5" },
  ],
  unavailable: [503, "The relay could not answer just now; try again.", { "retry-after": "5" }],
  newer_data: [
    503,
    "What is stored is of a newer release of the relay, and is left as it is.",
    { "retry-after": "60" },
  ],
} satisfies Record<FailureCode, Row>;

/** Where it is not the words of the code. */
const TITLES: { [Code in FailureCode]?: string } = {
  unsupported_encoding: "Unsupported content encoding",
  invalid_json: "Invalid JSON",
};

export const ANSWERS = Object.fromEntries(
  (Object.keys(TABLE) as FailureCode[]).map((code) => {
    const [status, detail, headers]: [ContentfulStatusCode, string, Answer["headers"]?] =
      TABLE[code];
    const words = code.replaceAll("_", " ");
    const title = TITLES[code] ?? `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
    return [code, { status, title, detail, ...(headers && { headers }) }];
  }),
) as Record<FailureCode, Answer>;

export function newerDataDetail(object: string): string {
  return `${object} holds data of a newer release: nothing in it was read or changed. Deploy that release again.`;
}

export function badCursor(): Failure {
  return {
    code: "invalid_request",
    errors: [{ path: "cursor", message: "is not a cursor that this list gave" }],
  };
}

/** What was given, as the schema reads it; else what is wrong with it, as it is answered. */
export function readBy<S extends z.ZodMiniType>(schema: S, given: unknown) {
  const { data, error } = schema.safeParse(given, { error: inWords });
  return { data: data as z.output<S>, errors: error?.issues.flatMap(fieldErrors) ?? [] };
}

const TYPES: { [expected: string]: string } = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
};
const COUNTED: { [origin: string]: string } = { string: " characters", array: " entries" };

/** For what a schema has no words of its own. */
function inWords(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      if (issue.input === undefined) return "is missing";
      return `must be ${TYPES[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}`;
    case "too_small":
      if (issue.minimum === 1 && issue.origin in COUNTED) return "must not be empty";
      return `must be at least ${issue.minimum}${COUNTED[issue.origin] ?? ""}`;
    case "too_big":
      return `must be at most ${issue.maximum}${COUNTED[issue.origin] ?? ""}`;
    default:
      return undefined;
  }
}

/** A dotted path and what should be there. */
function fieldErrors(issue: z.core.$ZodIssue): FieldError[] {
  const path = issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      path: path === "" ? key : `${path}.${key}`,
      message: "is not a known field",
    }));
  }
  if (issue.code === "invalid_key") {
    return issue.issues.map(({ message }) => ({ path, message }));
  }
  return [{ path, message: issue.message }];
}
