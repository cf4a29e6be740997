/** A form that must not be acted upon twice: what it did is remembered for a day under a token that it carries. */
import { errorText, logWarning } from "../../log";
import { registry } from "../../operations/objects";
import { callerOf, type PageContext } from "./session";

const TOKEN = /^[0-9a-f-]{36}$/;
/** No `Idempotency-Key` of the API holds a space. */
const KEY_PREFIX = "dashboard ";

export function newToken(): string {
  return crypto.randomUUID();
}

/**
 * Acts once for each token of this API key and path.
 *
 * @param act what the form asks for: its answer, and the path of the page that shows what was done, which is all
 *   that is kept; `path` null when nothing was done, so that the form may be sent again.
 * @param again the answer to a form that was acted upon, or null while that still runs.
 */
export async function once(
  c: PageContext,
  token: string,
  act: () => Promise<{ answer: Response; path: string | null }>,
  again: (path: string | null) => Response | Promise<Response>,
): Promise<Response> {
  const caller = callerOf(c).key;
  // A form without a token of ours is acted upon as it is: the token guards against mishaps, not against people.
  const key = KEY_PREFIX + (TOKEN.test(token) ? token : newToken());
  const call = c.req.path;
  const begun = await registry(c.env).beginCall(caller, key, call);
  if (begun.state !== "begun") return again(begun.answer?.body ?? null);
  let done: string | null = null;
  try {
    const { answer, path } = await act();
    done = path;
    return answer;
  } finally {
    const kept = done === null ? null : { status: 303, type: "", body: done };
    await registry(c.env)
      .endCall(caller, key, call, kept)
      .catch((thrown: unknown) => {
        // What was done is done, and its answer may hold a secret that is shown once.
        logWarning("form.not_remembered", { path: call, error: errorText(thrown) });
      });
  }
}
