/** Signed in to the dashboard, as a browser is: with the cookie, and from a page of its own. */
import { expect } from "vitest";
import { it as base } from "./fixture";
import { API_KEY, api, call, ORIGIN } from "./requests";

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
  // What the last answer told to be said on the page that it led to.
  let notice = "";
  const ask = async (path: string, init: RequestInit) => {
    const headers = { cookie: notice === "" ? cookie : `${cookie}; ${notice}`, origin: ORIGIN };
    const response = await call(path, { ...init, headers, redirect: "manual" });
    notice = noticeIn(response)?.pair ?? notice;
    return response;
  };
  return {
    cookie,
    get: (path) => ask(path, {}),
    post: (path, form = {}) => ask(path, { method: "POST", body: fieldsOf(form) }),
  };
}

/** Where an answer leads, and what is to be said there: `/dashboard?done=paused`. */
export function leadsTo(response: Response): string {
  const path = response.headers.get("location") ?? "";
  const told = new URLSearchParams(noticeIn(response)?.text ?? "");
  for (const name of ["at", "touched", "isAmong"]) told.delete(name);
  if (told.size === 0) return path;
  return `${path}${path.includes("?") ? "&" : "?"}${told}`;
}

/** The list that a notice leads to; empty when it leads to none. */
export function touchedBy(response: Response): string {
  return new URLSearchParams(noticeIn(response)?.text ?? "").get("touched") ?? "";
}

/** A form, and those that go on with it, to the end; `pages` said how far it was. */
export async function goingOn(
  path: string,
  form: Record<string, string | readonly string[]>,
): Promise<{ pages: string[]; answer: Response }> {
  const pages: string[] = [];
  for (let fields = form; ; ) {
    const answer = await visitor.post(path, fields);
    if (answer.status !== 200) return { pages, answer };
    const page = await answer.text();
    const [, inputs] = /<form [^>]*data-goes-on=""[^>]*>(.*?)<\/form>/s.exec(page) ?? [];
    if (inputs === undefined) throw new Error(`does not go on: ${page}`);
    pages.push(page);
    fields = Object.fromEntries(
      [...inputs.matchAll(/name="([^"]+)" value="([^"]*)"/g)].map(([, name = "", value = ""]) => [
        name,
        value.replaceAll("&amp;", "&"),
      ]),
    );
  }
}

function noticeIn(response: Response): { pair: string; text: string } | null {
  const cookies = response.headers.getSetCookie().map((cookie) => cookie.split(";")[0] ?? "");
  const pair = cookies.find((cookie) => cookie.startsWith("__Host-leadterra-relay-notice="));
  if (pair === undefined) return null;
  const value = decodeURIComponent(pair.slice(pair.indexOf("=") + 1));
  return { pair, text: value.slice(0, Math.max(0, value.lastIndexOf("."))) };
}

function fieldsOf(form: Record<string, string | readonly string[]>): URLSearchParams {
  const fields = new URLSearchParams();
  for (const [name, given] of Object.entries(form)) {
    for (const value of typeof given === "string" ? [given] : given) fields.append(name, value);
  }
  return fields;
}

/** A page that is there. */
export async function textOf(path: string, who: Visitor = visitor): Promise<string> {
  const response = await who.get(path);
  expect(response.status).toBe(200);
  return response.text();
}

/** What a page lists, in its order: a delivery as `<webhook id>/<event id>`. */
export function rowsOf(page: string): string[] {
  return [...page.matchAll(/<tr data-row="([^"]+)"/g)].map(([, key = ""]) => key);
}

/** The newest line of the audit log. */
export async function lastAudited(): Promise<unknown> {
  const { data } = await (await api("GET", "/v1/audit?limit=1")).json<{ data: unknown[] }>();
  return data[0];
}
