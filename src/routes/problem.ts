/** Failures → HTTP: RFC 9457 problem details, in one place. */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Failure, FailureCode } from "../domain/failure";
import { logWarning } from "../log";

type Answer = {
  status: ContentfulStatusCode;
  title: string;
  detail: string;
  headers?: Record<string, string>;
};

export const PROBLEM_TYPE = "application/problem+json";

/** The answer to a failure, with a request id that the log line beside it carries too. */
export function problem(c: Context, failure: Failure): Response {
  const { status, title, detail, headers } = answerTo(failure);
  const requestId = crypto.randomUUID();
  logWarning("request.failed", {
    requestId,
    method: c.req.method,
    path: c.req.path,
    status,
    code: failure.code,
  });
  const body = { type: typeOf(failure.code), title, status, detail, code: failure.code, requestId };
  const errors = "errors" in failure ? { errors: failure.errors } : {};
  return c.body(JSON.stringify({ ...body, ...errors }), status, {
    "content-type": PROBLEM_TYPE,
    ...headers,
  });
}

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
  invalid_signature: {
    status: 401,
    title: "Invalid signature",
    detail: "X-Leadterra-Signature does not sign this body under a configured secret.",
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
};

/** The table's answer, with what this failure knows better. */
function answerTo(failure: Failure): Answer {
  const answer = ANSWERS[failure.code];
  switch (failure.code) {
    case "method_not_allowed":
      return {
        ...answer,
        detail: `Only ${failure.allow} is allowed here.`,
        headers: { allow: failure.allow },
      };
    case "payload_too_large":
      return { ...answer, detail: `The body must not be larger than ${failure.limitBytes} bytes.` };
    case "queue_unavailable":
      return { ...answer, headers: { "retry-after": String(failure.retryAfterSeconds) } };
    case "invalid_json":
      return { ...answer, detail: failure.detail };
    default:
      return answer;
  }
}
