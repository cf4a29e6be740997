/** Signing in to the dashboard by Cloudflare Access: a token in a header, and nothing else. */
import { env } from "cloudflare:workers";
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { describe, expect } from "vitest";
import { lastAudited, leadsTo } from "../rig/worker/dashboard";
import { register } from "../rig/worker/engine";
import { clock, it, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { API_KEY, call, callWith, ORIGIN, READ_ONLY_API_KEY } from "../rig/worker/requests";

const AUDIENCE = "the-tag-of-the-application";
const ANNA = "anna@acme.example";
let teams = 0;

type Claims = Record<string, unknown>;
type Signing = { alg?: string; kid?: string; key?: CryptoKey | Uint8Array; claims?: Claims };

/** A team of its own: its keys, what it signs, and a relay that trusts it. */
async function team(scope: "full" | "read-only" = "full") {
  const origin = `https://team-${++teams}.cloudflareaccess.com`;
  const pairs = new Map([["one", await generateKeyPair("RS256", { extractable: true })]]);
  const known = new Set(["one"]);
  service.answer = async ({ url }) => {
    expect(url).toBe(`${origin}/cdn-cgi/access/certs`);
    const keys = [...known].map(async (kid) => {
      const jwk = await exportJWK(pairs.get(kid)?.publicKey as CryptoKey);
      return { ...jwk, kid, alg: "RS256", use: "sig" };
    });
    return Response.json({ keys: await Promise.all(keys) });
  };
  const variables = { DASHBOARD_ACCESS: scope, ACCESS_TEAM: origin, ACCESS_AUDIENCE: AUDIENCE };
  const nowSeconds = () => Math.floor(clock.nowMs() / 1_000);
  return {
    origin,
    variables,
    pairs,
    known,
    sign: ({ alg = "RS256", kid = "one", key, claims = {} }: Signing = {}) => {
      const payload = {
        iss: origin,
        aud: [AUDIENCE],
        email: ANNA,
        iat: nowSeconds(),
        exp: nowSeconds() + 3_600,
        ...claims,
      };
      const signer = key ?? (pairs.get(kid)?.privateKey as CryptoKey);
      return new SignJWT(payload as JWTPayload).setProtectedHeader({ alg, kid }).sign(signer);
    },
    get: (headers: Record<string, string>, path = "/dashboard/audit") =>
      callWith({ ...env, ...variables }, path, { headers, redirect: "manual" }),
    post: (path: string, headers: Record<string, string>, body = new URLSearchParams()) =>
      callWith({ ...env, ...variables }, path, {
        method: "POST",
        headers: { origin: ORIGIN, ...headers },
        body,
        redirect: "manual",
      }),
  };
}

const by = (token: string) => ({ "cf-access-jwt-assertion": token });

function unsigned(header: object, payload: object): string {
  const part = (value: object) =>
    btoa(JSON.stringify(value)).replaceAll("=", "").replaceAll("+", "-").replaceAll("/", "_");
  return `${part(header)}.${part(payload)}.`;
}

describe("who comes through Cloudflare Access", () => {
  it("is signed in without a key, and called by their address on the page and in the audit log", async () => {
    const { id } = await register();
    const { sign, get, post } = await team();
    const token = await sign();
    const page = await get(by(token), `/dashboard/webhooks/${id}`);
    expect(page.status).toBe(200);
    expect(page.headers.get("set-cookie")).toBeNull();
    const text = await page.text();
    expect(text).toContain(`<summary>${ANNA}</summary>`);
    expect(text).toContain('href="/cdn-cgi/access/logout"');
    const paused = await post(`/dashboard/webhooks/${id}/pause`, by(token));
    expect(leadsTo(paused)).toContain("done=paused");
    expect(await lastAudited()).toMatchObject({ key: ANNA, action: "webhook.paused" });
  });

  it("may only look where Access is for looking", async () => {
    const { id } = await register();
    const { sign, get, post } = await team("read-only");
    const headers = by(await sign());
    expect(await (await get(headers)).text()).toContain("read only");
    expect((await post(`/dashboard/webhooks/${id}/pause`, headers)).status).toBe(403);
  });

  it("is signed in as long as the token holds", async () => {
    const { sign, get } = await team();
    const headers = by(await sign({ claims: { exp: Math.floor(clock.nowMs() / 1_000) + 60 } }));
    expect((await get(headers)).status).toBe(200);
    clock.advance(59 * SECOND);
    expect((await get(headers)).status).toBe(200);
    clock.advance(2 * SECOND);
    expect((await get(headers)).headers.get("location")).toMatch(/^\/dashboard\/sign-in/);
  });

  it("cannot be made to change anything by another site", async () => {
    const { id } = await register();
    const { sign, post } = await team();
    const headers = { ...by(await sign()), origin: "https://evil.example" };
    expect((await post(`/dashboard/webhooks/${id}/pause`, headers)).status).toBe(403);
  });

  it("may do more with a key that may", async () => {
    const { id } = await register();
    const { sign, post } = await team("read-only");
    const opened = await call("/dashboard/sign-in", {
      method: "POST",
      redirect: "manual",
      headers: { origin: ORIGIN },
      body: new URLSearchParams({ key: API_KEY }),
    });
    const cookie = (opened.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    const headers = { ...by(await sign()), cookie };
    expect((await post(`/dashboard/webhooks/${id}/pause`, headers)).status).toBe(303);
    expect(await lastAudited()).not.toMatchObject({ key: ANNA });
  });

  it("is nobody at the API, and nobody where Access is off", async () => {
    const { sign, get, variables } = await team();
    const token = await sign();
    expect((await get(by(token), "/v1/webhooks")).status).toBe(401);
    const off = { ...variables, DASHBOARD_ACCESS: "off" };
    const init: RequestInit = { headers: by(token), redirect: "manual" };
    expect((await callWith(off, "/dashboard/audit", init)).status).toBe(303);
    expect(service.requests).toHaveLength(0);
  });
});

describe("nobody is signed in by", () => {
  type Made = Awaited<ReturnType<typeof team>>;
  const claims = (given: Claims) => (made: Made) => made.sign({ claims: given });

  it.for<[string, (made: Made) => Promise<string> | string]>([
    ["another issuer", claims({ iss: "https://other.cloudflareaccess.com" })],
    ["no issuer", claims({ iss: undefined })],
    ["another audience", claims({ aud: ["another-tag"] })],
    ["no audience", claims({ aud: undefined })],
    ["an expired token", claims({ exp: 1 })],
    ["a token that never expires", claims({ exp: undefined })],
    ["a token that is not valid yet", claims({ nbf: 9_999_999_999 })],
    ["a token without an address", claims({ email: undefined, common_name: "service" })],
    ["an empty address", claims({ email: "" })],
    ["an address that is no text", claims({ email: ["anna@acme.example"] })],
    ["no token", () => "anna@acme.example"],
    ["an empty header", () => ""],
    [
      "an unsigned token",
      ({ origin }) => {
        const payload = { iss: origin, aud: [AUDIENCE], email: ANNA, exp: 9_999_999_999 };
        return unsigned({ alg: "none", kid: "one" }, payload);
      },
    ],
    [
      "HS256 with the public key as its secret",
      async ({ pairs, sign }) => {
        const spki = await exportSPKI(pairs.get("one")?.publicKey as CryptoKey);
        return sign({ alg: "HS256", key: new TextEncoder().encode(spki) });
      },
    ],
    [
      "another algorithm",
      async ({ sign }) => sign({ alg: "ES256", key: (await generateKeyPair("ES256")).privateKey }),
    ],
    [
      "a key of somebody else under the right name",
      async ({ sign }) => sign({ key: (await generateKeyPair("RS256")).privateKey }),
    ],
    [
      "an unknown key",
      async ({ sign }) => sign({ kid: "other", key: (await generateKeyPair("RS256")).privateKey }),
    ],
    [
      "a changed token",
      async ({ sign }) => {
        const [head, , mac] = (await sign()).split(".");
        const [, other] = (await sign({ claims: { email: "eve@acme.example" } })).split(".");
        return `${head}.${other}.${mac}`;
      },
    ],
  ])("%s", async ([, make]) => {
    const made = await team();
    const { id } = await register();
    const headers = by(await make(made));
    const page = await made.get(headers);
    expect(page.status).toBe(303);
    expect(page.headers.get("location")).toMatch(/^\/dashboard\/sign-in/);
    expect((await made.post(`/dashboard/webhooks/${id}/pause`, headers)).status).toBe(401);
  });

  it("a good token in a cookie, the query, a form or another header", async () => {
    const { sign, get, post } = await team();
    const token = await sign();
    expect((await get({ cookie: `CF_Authorization=${token}` })).status).toBe(303);
    expect((await get({ authorization: `Bearer ${token}` })).status).toBe(303);
    expect((await get({ "cf-access-authenticated-user-email": ANNA })).status).toBe(303);
    expect((await get({}, `/dashboard/audit?cf-access-jwt-assertion=${token}`)).status).toBe(303);
    const form = new URLSearchParams({ "cf-access-jwt-assertion": token });
    expect((await post("/dashboard/webhooks/wh_x/pause", {}, form)).status).toBe(401);
  });
});

describe("the keys of the team", () => {
  it("are asked for once, and again for an unknown key at most once a minute", async () => {
    const { sign, get, pairs, known } = await team();
    for (let each = 0; each < 3; each++) expect((await get(by(await sign()))).status).toBe(200);
    expect(service.requests).toHaveLength(1);
    pairs.set("two", await generateKeyPair("RS256", { extractable: true }));
    const next = by(await sign({ kid: "two" }));
    for (let each = 0; each < 3; each++) expect((await get(next)).status).toBe(303);
    expect(service.requests).toHaveLength(1);
    known.add("two");
    clock.advance(MINUTE + SECOND);
    for (let each = 0; each < 3; each++) expect((await get(next)).status).toBe(200);
    expect(service.requests).toHaveLength(2);
  });

  it("are not asked for by what is no token, and not again at once when the team does not answer", async () => {
    const { sign, get } = await team();
    await get(by("no.token.atall"));
    expect(service.requests).toHaveLength(0);
    service.answer = () => new Response("no", { status: 500 });
    const headers = by(await sign());
    for (let each = 0; each < 3; each++) expect((await get(headers)).status).toBe(303);
    expect(service.requests).toHaveLength(1);
  });

  it("leave signing in with a key as it is", async () => {
    const made = await team();
    service.answer = () => Promise.reject(new Error("unreachable"));
    const opened = await made.post(
      "/dashboard/sign-in",
      by(await made.sign()),
      new URLSearchParams({ key: READ_ONLY_API_KEY }),
    );
    expect(opened.status).toBe(303);
    const cookie = (opened.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
    expect((await made.get({ cookie })).status).toBe(200);
  });
});
