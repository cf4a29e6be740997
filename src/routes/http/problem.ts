/** Failures → HTTP: RFC 9457 problem details. */
import type { Context, Hono, Env as HonoEnv } from "hono";
import { otherMethods } from "../../allowed-methods";
import {
  ANSWERS,
  type Answer,
  newerDataDetail,
  PROBLEM_TYPE,
  typeOf,
} from "../../contract/problem";
import type { Failure } from "../../domain/failure";
import { failureOf } from "../../domain/no-answer";
import { errorText, logError, logWarning } from "../../log";

/** The app with all its routes, and the answers to what none of them handles, and to what throws. */
export function refusing<E extends HonoEnv>(app: Hono<E>): Hono<E> {
  const allowed = otherMethods(app.routes);
  return app
    .notFound((c) => {
      const allow = allowed(c.req.method, c.req.path);
      return problem(
        c,
        allow === null ? { code: "not_found" } : { code: "method_not_allowed", allow },
      );
    })
    .onError((thrown, c) => problem(c, failureOf(thrown), errorText(thrown)));
}

/**
 * The answer to a failure, with a request id that the log line beside it carries too.
 *
 * @param error what was thrown, where that is the cause.
 */
export function problem(c: Context, failure: Failure, error?: string): Response {
  const { status, title, detail, headers } = answerTo(failure);
  const requestId = crypto.randomUUID();
  const log = error === undefined ? logWarning : logError;
  log("request.failed", {
    requestId,
    method: c.req.method,
    path: c.req.path,
    status,
    code: failure.code,
    error,
  });
  const body = { type: typeOf(failure.code), title, status, detail, code: failure.code, requestId };
  const { errors, signingSecret } = { errors: undefined, signingSecret: undefined, ...failure };
  return c.body(JSON.stringify({ ...body, errors, signingSecret }), status, {
    "content-type": PROBLEM_TYPE,
    ...headers,
  });
}

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
    case "newer_data":
      return { ...answer, detail: newerDataDetail(failure.object) };
    default:
      return answer;
  }
}
