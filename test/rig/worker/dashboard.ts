/** Signed in to the dashboard, as a browser is: with the cookie, and from a page of its own. */
import { it as base } from "./fixture";
import { API_KEY, call, ORIGIN } from "./requests";

/** Whoever is signed in with the full key in the test that runs. */
export let visitor: Visitor;

export const it = base.extend("visitor", { auto: true }, async () => {
  visitor = await signedIn();
  return visitor;
});

export type Visitor = {
  cookie: string;
  get(path: string): Promise<Response>;
  /** A form of a page; redirects are not followed. A field may have several values. */
  post(path: string, form?: Record<string, string | readonly string[]>): Promise<Response>;
};

export async function signedIn(key: string = API_KEY): Promise<Visitor> {
  const answer = await call("/dashboard/sign-in", {
    method: "POST",
    redirect: "manual",
    headers: { origin: ORIGIN },
    body: new URLSearchParams({ key }),
  });
  const cookie = (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  if (cookie === "") throw new Error(`not signed in: ${answer.status}`);
  return {
    cookie,
    get: (path) => call(path, { headers: { cookie }, redirect: "manual" }),
    post: (path, form = {}) =>
      call(path, {
        method: "POST",
        redirect: "manual",
        headers: { cookie, origin: ORIGIN },
        body: fieldsOf(form),
      }),
  };
}

function fieldsOf(form: Record<string, string | readonly string[]>): URLSearchParams {
  const fields = new URLSearchParams();
  for (const [name, given] of Object.entries(form)) {
    for (const value of typeof given === "string" ? [given] : given) fields.append(name, value);
  }
  return fields;
}
