/** What can go wrong, as it is answered: RFC 9457 problem details by code, and the mistakes that a schema found. */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type * as z from "zod";
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

export const ANSWERS: { [Code in FailureCode]: Answer } = {
  method_not_allowed: {
    status: 405,
    title: "Method not allowed",
    detail: "This method is not allowed here.",
  },
  not_configured: {
    status: 503,
    title: "Not configured",
    detail: "No signing secret of Leadterra is configured.",
  },
  unsupported_encoding: {
    status: 415,
    title: "Unsupported content encoding",
    detail: "The body must come without Content-Encoding: the signature is of the raw bytes.",
  },
  payload_too_large: { status: 413, title: "Payload too large", detail: "The body is too large." },
  incomplete_body: {
    status: 400,
    title: "Incomplete body",
    detail: "The body ended before it was whole.",
  },
  invalid_signature: {
    status: 401,
    title: "Invalid signature",
    detail: "X-Leadterra-Signature does not sign this body under a configured secret.",
    headers: { "www-authenticate": "Signature" },
  },
  invalid_encoding: {
    status: 400,
    title: "Invalid encoding",
    detail: "The body is not valid UTF-8.",
  },
  invalid_json: {
    status: 400,
    title: "Invalid JSON",
    detail: "The body is not one JSON document.",
  },
  invalid_event: {
    status: 422,
    title: "Invalid event",
    detail: "The body is JSON, but not an event of Leadterra.",
  },
  queue_unavailable: {
    status: 503,
    title: "Queue unavailable",
    detail: "The event was not taken; send it again.",
  },
  unauthorized: {
    status: 401,
    title: "Unauthorized",
    detail: "Send a configured API key as Authorization: Bearer <key>.",
    headers: { "www-authenticate": "Bearer" },
  },
  insufficient_scope: {
    status: 403,
    title: "Insufficient scope",
    detail: "This key may only read.",
  },
  not_found: { status: 404, title: "Not found", detail: "There is nothing here." },
  invalid_request: {
    status: 422,
    title: "Invalid request",
    detail: "Some fields or parameters are not as they should be.",
  },
  idempotency_key_reused: {
    status: 422,
    title: "Idempotency key reused",
    detail: "This Idempotency-Key came with another call before; take a new one.",
  },
  idempotency_key_in_use: {
    status: 409,
    title: "Idempotency key in use",
    detail: "The first call with this Idempotency-Key still runs; ask again in a moment.",
  },
  in_flight: {
    status: 409,
    title: "In flight",
    detail: "An attempt is on its way; look at its outcome first.",
  },
  not_pending: {
    status: 409,
    title: "Not pending",
    detail: "The delivery is finished: there is nothing to give up on.",
  },
  payload_gone: {
    status: 409,
    title: "Payload gone",
    detail: "The event's payload was erased or is past its retention: it cannot be sent again.",
  },
  upgrade_required: {
    status: 426,
    title: "Upgrade required",
    detail: "This is a WebSocket: connect with Upgrade: websocket.",
    headers: { upgrade: "websocket", connection: "Upgrade" },
  },
  not_a_listener: {
    status: 409,
    title: "Not a listener",
    detail: "This webhook has an address. Only one with the URL listener: can be listened to.",
  },
  name_taken: {
    status: 409,
    title: "Name taken",
    detail: "Another webhook has this name.",
  },
  too_many_webhooks: {
    status: 409,
    title: "Too many webhooks",
    detail: "There are 500 webhooks, and no more may be: delete one first.",
  },
  too_many_secrets: {
    status: 409,
    title: "Too many secrets",
    detail:
      "Five secrets of this webhook would still sign along: wait for a grace period to end, or rotate with gracePeriodSeconds 0.",
  },
  not_yet_in_force: {
    status: 503,
    title: "Not yet in force",
    detail:
      "The change is stored and on its way, but not confirmed yet: an attempt that starts now may still go by the old state.",
    headers: { "retry-after": "5" },
  },
  unavailable: {
    status: 503,
    title: "Unavailable",
    detail: "The relay could not answer just now; try again.",
    headers: { "retry-after": "5" },
  },
  newer_data: {
    status: 503,
    title: "Newer data",
    detail: "What is stored is of a newer release of the relay, and is left as it is.",
    headers: { "retry-after": "60" },
  },
};

export function newerDataDetail(object: string): string {
  return `${object} holds data of a newer release: nothing in it was read or changed. Deploy that release again.`;
}

/** The failure for a cursor that no list gave. */
export function badCursor(): Failure {
  return {
    code: "invalid_request",
    errors: [{ path: "cursor", message: "is not a cursor that this list gave" }],
  };
}

/** What a schema found wrong, as it is answered: a dotted path and what should be there. */
export function fieldErrors(issue: z.core.$ZodIssue): FieldError[] {
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
