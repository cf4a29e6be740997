/**
 * Why an object gives no answer: it does not answer at all, or its data is of a newer release. An object that finds
 * such data writes nothing and answers every call with that failure, which crosses RPC as a value; whoever calls an
 * object takes its answers through `answered`.
 */
import { type FailureOf, fail } from "./failure";

type Refusal = { ok: false; failure: FailureOf<"newer_data"> };

/** @param object which one, for people: `Subscriber wh_…`. */
export function newerData(object: string): Refusal {
  return fail({ code: "newer_data", object }) as Refusal;
}

/** Thrown by `answered`: the caller goes on as if the object could not be reached. */
export class NewerDataError extends Error {
  readonly object: string;

  constructor(object: string) {
    super(`${object} holds data of a newer release`);
    this.name = "NewerDataError";
    this.object = object;
  }
}

/** Thrown where an object does not answer. @param object for people: `Journal 2026-11-29`. */
export class SilentError extends Error {
  readonly object: string;

  constructor(object: string, cause = "does not answer") {
    super(`${object}: ${cause}`);
    this.name = "SilentError";
    this.object = object;
  }
}

/** The answer of an object. @throws NewerDataError when it is that the object's data is newer than its code. */
export function answered<T>(answer: T): T {
  if (isRefusal(answer)) throw new NewerDataError(answer.failure.object);
  return answer;
}

/** What to answer when something was thrown on the way to an answer. */
export function failureOf(thrown: unknown): FailureOf<"newer_data" | "unavailable"> {
  if (thrown instanceof NewerDataError) return { code: "newer_data", object: thrown.object };
  return { code: "unavailable", ...(thrown instanceof SilentError && { object: thrown.object }) };
}

function isRefusal(answer: unknown): answer is Refusal {
  return Object(Object(answer).failure).code === "newer_data";
}
