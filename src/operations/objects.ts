/** The objects, by what they are for. Everything that is asked of one from outside `actors` is asked through here. */
import { inTime } from "../deadline";
import type { WebhookId } from "../domain/ids";
import { answered, failureOf, NewerDataError, SilentError } from "../domain/no-answer";
import { DEAD_LETTERS_NAME, REGISTRY_NAME } from "../domain/placement";
import { errorText, logWarning } from "../log";

type ObjectOf<Namespace> = Namespace extends DurableObjectNamespace<infer Class> ? Class : never;

/** What an object answers from elsewhere: the same values, brands included. */
type Remote<Class> = {
  [Method in keyof Class as Class[Method] extends (...given: never[]) => unknown
    ? Method
    : never]: Class[Method] extends (...given: infer Given) => infer Answer
    ? (...given: Given) => Promise<Awaited<Answer>>
    : never;
};

/** What would happen twice if an object had done it and was restarted before it answered. */
const ONCE: ReadonlySet<string> = new Set(["create", "register", "beginCall", "sendTest"]);

export function registry(env: Env): Remote<ObjectOf<Env["REGISTRY"]>> {
  return remote(env.REGISTRY, REGISTRY_NAME, "Registry");
}

export function subscriberOf(env: Env, id: WebhookId): Remote<ObjectOf<Env["SUBSCRIBER"]>> {
  return remote(env.SUBSCRIBER, id, `Subscriber ${id}`);
}

/** @param day as `journalName` has it. */
export function journalOf(env: Env, day: string): Remote<ObjectOf<Env["JOURNAL"]>> {
  return remote(env.JOURNAL, day, `Journal ${day}`);
}

export function deadLetters(env: Env): Remote<ObjectOf<Env["DEAD_LETTER_STORE"]>> {
  return remote(env.DEAD_LETTER_STORE, DEAD_LETTERS_NAME, DEAD_LETTERS);
}

/** After so long an object counts as one that does not answer. */
const CALL_TIMEOUT_MS = 10_000;

export const DEAD_LETTERS = `DeadLetters ${DEAD_LETTERS_NAME}`;

/** An object that does not answer, by what people call it: `Subscriber wh_…`, `Journal 2026-11-29`. */
export type Unanswered = { object: string; code: "newer_data" | "unavailable" };

/**
 * What an object knows of a whole that several know of. Null where it does not answer in time: then `unanswered` names
 * it, and it is not asked again.
 *
 * @param unanswered without it an object that does not answer is an error.
 */
export async function answerOf<T>(
  object: string,
  ask: () => Promise<T>,
  unanswered: Unanswered[] | undefined,
): Promise<T | null> {
  if (unanswered === undefined) return ask();
  const isNamed = () => unanswered.some((each) => each.object === object);
  if (isNamed()) return null;
  try {
    return await inTime(ask(), CALL_TIMEOUT_MS);
  } catch (thrown) {
    logWarning("object.not_asked", { object, error: errorText(thrown) });
    if (!isNamed()) unanswered.push({ object, code: failureOf(thrown).code });
    return null;
  }
}

type Namespace = { getByName(name: string): object };
type Call = (...given: unknown[]) => Promise<unknown>;

/**
 * A stub that has failed once fails for good: each call, and each repetition, takes a new one.
 *
 * @param object what people call it, as the error says that is thrown where it does not answer.
 */
function remote<Class>(namespace: Namespace, name: string, object: string): Remote<Class> {
  const call = async (method: string, given: unknown[]) =>
    answered(await (namespace.getByName(name) as Record<string, Call>)[method]?.(...given));
  const get = (_: object, method: string | symbol) => {
    // Not a promise, wherever it is returned from.
    if (typeof method !== "string" || method === "then") return undefined;
    return (...given: unknown[]) =>
      call(method, given)
        .catch((thrown: unknown) => {
          if (ONCE.has(method) || !wasRestarted(thrown)) throw thrown;
          return call(method, given.map(again));
        })
        .catch((thrown: unknown) => {
          throw thrown instanceof NewerDataError
            ? thrown
            : new SilentError(object, errorText(thrown));
        });
  };
  return new Proxy({}, { get }) as Remote<Class>;
}

/** An object that is asked once more is told so, where it wants to know. */
function again(given: unknown): unknown {
  const { isAgain } = Object(given) as { isAgain?: unknown };
  return isAgain === false ? { ...Object(given), isAgain: true } : given;
}

/** https://developers.cloudflare.com/durable-objects/best-practices/error-handling/ */
function wasRestarted(thrown: unknown): boolean {
  const { retryable, overloaded } = Object(thrown) as { retryable?: boolean; overloaded?: boolean };
  return retryable === true && overloaded !== true;
}
