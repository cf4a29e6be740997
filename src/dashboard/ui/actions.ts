/**
 * What can be done on a page, one way for all: the form is read, the operation is called, and a redirect leads to
 * the page that shows what was done, with a word about it. Only what is shown once, asks again, or goes on answers with
 * a page itself.
 */
import { Hono } from "hono";
import type { Failure } from "../../domain/failure";
import { errorText, logWarning } from "../../log";
import { registry } from "../../operations/objects";
import { type Form, formOf, text } from "./form";
import { type Done, seeOther, type Told } from "./notice";
import { showFailure } from "./page";
import { callerOf, mayChange, type PageContext, type PageEnv } from "./session";

const TOKEN = /^[0-9a-f-]{36}$/;
/** No `Idempotency-Key` of the API holds a space. */
const KEY_PREFIX = "dashboard ";

export type Outcome =
  /** Done: `at` shows it, where that is not the page of what it was done to. */
  | (Told & { at?: string })
  /** Done, and this answer alone shows it; `at` is where a repeated form leads. */
  | { shown: Response; at: string }
  /** Nothing was done; this answer asks again. */
  | Response
  /** Told on `at`, or on the page of what it was about; on a page of its own where there is no such thing. */
  | { failure: Failure; at?: string };

export type Action<Subject> = {
  /** The page that asks for the form. Without one, a button elsewhere is all there is. */
  ask?: (c: PageContext, subject: Subject) => Response | Promise<Response>;
  act: (c: PageContext, subject: Subject, form: Form) => Promise<Outcome>;
  /** Acted upon once for each token of a form; what is said of the same form again. */
  onceThen?: Done;
};

type Place<Subject> = {
  /** What the path names; null when there is none. */
  find: (c: PageContext) => Promise<Subject | null>;
  pathOf: (subject: Subject) => string;
  missing?: (c: PageContext) => Promise<Response>;
};

/** Routes for the actions by their name, behind the path of what they are done to. */
export function actions<Subject>(
  path: string,
  place: Place<Subject>,
  table: Readonly<Record<string, Action<Subject>>>,
): Hono<PageEnv> {
  const app = new Hono<PageEnv>();
  const { missing = (c) => showFailure(c, { code: "not_found" }) } = place;
  for (const [name, action] of Object.entries(table)) {
    const { ask } = action;
    if (ask !== undefined) {
      app.get(`${path}/${name}`, async (c) => {
        if (!mayChange(c)) return showFailure(c, { code: "insufficient_scope" });
        const subject = await place.find(c);
        return subject === null ? missing(c) : ask(c, subject);
      });
    }
    app.post(`${path}/${name}`, async (c) => {
      const subject = await place.find(c);
      if (subject === null) return missing(c);
      return perform(c, { subject, home: place.pathOf(subject), action });
    });
  }
  return app;
}

/** The handler of an action on nothing that its path would name. */
export function performing(home: string, action: Action<null>) {
  return (c: PageContext) => perform(c, { subject: null, home, action });
}

async function perform<Subject>(
  c: PageContext,
  { subject, home, action }: { subject: Subject; home: string; action: Action<Subject> },
): Promise<Response> {
  const form = await formOf(c);
  const act = async () => answerTo(c, home, await action.act(c, subject, form));
  const { onceThen: done } = action;
  if (done === undefined) return (await act()).answer;
  return once(c, text(form, "token"), act, (at) => seeOther(c, at ?? home, { done }));
}

export function newToken(): string {
  return crypto.randomUUID();
}

/**
 * Acts once for each token of this API key and path: of a form that must not be acted upon twice, the path that shows
 * what it did is remembered for a day.
 *
 * @param again the answer to a form that was acted upon; null for its path while that still runs.
 */
async function once(
  c: PageContext,
  token: string,
  act: () => ReturnType<typeof answerTo>,
  again: (path: string | null) => Promise<Response>,
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

/** @returns the path that shows what was done; null when nothing was, so that the form may be sent again. */
async function answerTo(c: PageContext, home: string, outcome: Outcome) {
  if (outcome instanceof Response) return { answer: outcome, path: null };
  if ("shown" in outcome) return { answer: outcome.shown, path: outcome.at };
  const path = outcome.at ?? home;
  if ("done" in outcome) {
    const { at: _, ...told } = outcome;
    return { answer: await seeOther(c, path, told), path };
  }
  const { failure, at } = outcome;
  const isNowhere = at === undefined && (failure.code === "not_found" || "errors" in failure);
  const told = isNowhere ? showFailure(c, failure) : seeOther(c, path, { failed: failure.code });
  return { answer: await told, path: null };
}
