/**
 * What a caller can act on. A failure is a value: it crosses Durable Object RPC whole and becomes an HTTP
 * answer in one place (`routes/http/problem.ts`). What is thrown instead is a bug or an outage.
 */
export type FieldError = { path: string; message: string };

export type Failure =
  | { code: "method_not_allowed"; allow: string }
  | { code: "not_configured" }
  | { code: "unsupported_encoding" }
  | { code: "payload_too_large"; limitBytes: number }
  /** The client went away before its body was whole. */
  | { code: "incomplete_body" }
  | { code: "invalid_signature" }
  | { code: "invalid_encoding" }
  | { code: "invalid_json"; detail: string }
  | { code: "invalid_event"; errors: FieldError[] }
  | { code: "queue_unavailable"; retryAfterSeconds: number }
  | { code: "unauthorized" }
  | { code: "insufficient_scope" }
  | { code: "not_found" }
  | { code: "invalid_request"; errors: FieldError[] }
  | { code: "idempotency_key_reused"; errors: FieldError[] }
  | { code: "idempotency_key_in_use" }
  | { code: "in_flight" }
  | { code: "not_pending" }
  | { code: "payload_gone" }
  | { code: "upgrade_required" }
  | { code: "not_a_listener" }
  | { code: "name_taken" }
  | { code: "too_many_webhooks" }
  | { code: "too_many_secrets" }
  /** With the new secret where the change made one: it is shown nowhere else. */
  | { code: "not_yet_in_force"; signingSecret?: string }
  /** `object` names one that does not answer, for people, where that is why. */
  | { code: "unavailable"; object?: string }
  /** The object's data is of a newer release than this code. */
  | { code: "newer_data"; object: string };

export type FailureCode = Failure["code"];

export type FailureOf<Code extends FailureCode> = Extract<Failure, { code: Code }>;

/** `Code` names the failures that a caller can get. */
export type Result<T, Code extends FailureCode> =
  | { ok: true; value: T }
  | { ok: false; failure: FailureOf<Code> };

export function ok<T>(value: T): { ok: true; value: T } {
  return { ok: true, value };
}

export function fail<F extends Failure>(failure: F): { ok: false; failure: F } {
  return { ok: false, failure };
}
