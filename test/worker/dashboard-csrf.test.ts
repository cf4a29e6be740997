/** What other sites can make a signed-in browser do: nothing. And what those who are not signed in cause: nothing. */
import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import { app } from "../../src/dashboard/app";
import { DEAD_LETTERS_NAME } from "../../src/domain/placement";
import { signedIn } from "../rig/worker/dashboard";
import { accept, newEvent, register } from "../rig/worker/engine";
import { it } from "../rig/worker/fixture";
import { API_KEY, api, call, callWith, ORIGIN } from "../rig/worker/requests";

const POSTS = [
  ...new Set(
    app.routes
      .filter(({ method, path }) => method === "POST" && !path.includes("*"))
      .map(({ path }) => path),
  ),
];
const GETS = [
  ...new Set(
    app.routes
      .filter(({ method, path }) => method === "GET" && !path.includes("*"))
      .map(({ path }) => path),
  ),
];

/** Where a request may come from that is no page of the dashboard. */
const ELSEWHERE: [string, Record<string, string>][] = [
  ["nobody knows where", {}],
  ["another site", { origin: "https://evil.example", "sec-fetch-site": "cross-site" }],
  ["another site in an old browser", { origin: "https://evil.example" }],
  ["another site that hides its origin", { origin: "null", "sec-fetch-site": "cross-site" }],
  ["a sandboxed frame", { origin: "null" }],
  ["a sibling", { origin: "https://other.relay.example", "sec-fetch-site": "same-site" }],
  ["the same host without TLS", { origin: "http://relay.example" }],
  ["another port", { origin: "https://relay.example:8443", "sec-fetch-site": "same-site" }],
  ["a host that begins alike", { origin: "https://relay.example.evil.example" }],
  ["one that forges Origin only", { origin: ORIGIN, "sec-fetch-site": "cross-site" }],
  ["one that is typed in", { "sec-fetch-site": "none" }],
];

const FIELDS = { key: API_KEY, url: "https://evil.example/in", events: "*", confirm: "yes" };
const BODIES: [string, () => RequestInit][] = [
  ["urlencoded", () => ({ body: new URLSearchParams(FIELDS) })],
  ["multipart", () => ({ body: formOf(FIELDS) })],
  ["text/plain", () => ({ body: "url=https://evil.example/in\r\nevents=*\r\n" })],
  [
    "JSON",
    () => ({ body: JSON.stringify(FIELDS), headers: { "content-type": "application/json" } }),
  ],
  ["nothing", () => ({})],
];

function formOf(fields: Record<string, string>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

type Ids = { webhookId: string; eventId: string };

/** With ids of what there is, so that a call that came through would change something. */
function filled(path: string, { webhookId, eventId }: Ids): string {
  const id = path.startsWith("/dashboard/events") ? eventId : webhookId;
  return path
    .replaceAll(/\{[^/]*\}/g, "")
    .replace(":eventId", eventId)
    .replace(":webhookId", webhookId)
    .replace(":id", path.startsWith("/dashboard/dead-letters") ? "dl_1" : id);
}

async function stage(): Promise<Ids> {
  const webhook = await register();
  const event = await newEvent();
  await accept(webhook.id, [event]);
  const letter = {
    id: "dl_1",
    eventId: event.id,
    event: event.event,
    email: null,
    reason: "subscriber_unreachable" as const,
    receivedAtMs: Date.now(),
    failedAtMs: Date.now(),
    webhookIds: null,
  };
  await env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME).keep({ letter, body: event.body });
  return { webhookId: webhook.id, eventId: event.id };
}

/** All that somebody could have changed. */
async function stateOf({ webhookId, eventId }: Ids): Promise<unknown> {
  const paths = [
    "/v1/webhooks",
    "/v1/audit",
    "/v1/dead-letters",
    `/v1/webhooks/${webhookId}`,
    `/v1/webhooks/${webhookId}/deliveries/${eventId}`,
  ];
  return Promise.all(paths.map(async (path) => (await api("GET", path)).json()));
}

describe("a form of another origin", () => {
  it("has routes to be tried on", () => {
    expect(POSTS).toContain("/dashboard/sign-in");
    expect(POSTS).toContain("/dashboard/dead-letters/:id/redrive");
    expect(POSTS.length).toBeGreaterThanOrEqual(15);
  });

  it.each(POSTS)("changes nothing and gets 403, with a session: POST %s", async (path) => {
    const ids = await stage();
    const { cookie } = await signedIn();
    const before = await stateOf(ids);
    for (const [from, origin] of ELSEWHERE) {
      for (const [kind, bodyOf] of BODIES) {
        const { headers, ...body } = bodyOf();
        const response = await call(filled(path, ids), {
          method: "POST",
          redirect: "manual",
          headers: { ...(headers as Record<string, string> | undefined), ...origin, cookie },
          ...body,
        });
        expect(response.status, `${kind} from ${from}`).toBe(403);
        expect(response.headers.get("set-cookie"), `${kind} from ${from}`).toBeNull();
        await response.body?.cancel();
      }
    }
    expect(await stateOf(ids)).toEqual(before);
  });

  it("is refused for where it is from: the same form from a page of the dashboard is not", async () => {
    const ids = await stage();
    const { post } = await signedIn();
    for (const path of POSTS.filter((each) => !each.endsWith("/sign-in"))) {
      const response = await post(filled(path, ids));
      expect(response.status, path).not.toBe(403);
    }
  });
});

describe("a page that there is", () => {
  it.each([
    ["DELETE", "/dashboard", "GET, HEAD"],
    ["POST", "/dashboard", "GET, HEAD"],
    ["OPTIONS", "/dashboard/", "GET, HEAD"],
    ["PUT", "/dashboard/sign-in", "GET, HEAD, POST"],
    ["GET", "/dashboard/sign-out", "POST"],
    ["PATCH", "/dashboard/webhooks", "GET, HEAD, POST"],
    ["POST", "/dashboard/webhooks/new", "GET, HEAD"],
    ["DELETE", "/dashboard/webhooks/crm", "GET, HEAD"],
    ["HEAD", "/dashboard/webhooks/wh_01HZC7RQNP4XT2KM9QZ8W3V5YA/pause", "POST"],
    ["DELETE", "/dashboard/events/evt_QNH783WW52FCCN914ZB1QAYTW0/", "GET, HEAD"],
  ])(
    "answers 405 with Allow to another method, whoever asks: %s %s",
    async (method, path, allow) => {
      const { cookie } = await signedIn();
      for (const headers of [{}, { origin: ORIGIN, cookie }] as Record<string, string>[]) {
        const response = await call(path, { method, headers, redirect: "manual" });
        expect([response.status, response.headers.get("allow")]).toEqual([405, allow]);
        expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
        await response.body?.cancel();
      }
    },
  );
});

const CALLED: unknown[] = [];
const forbidden = (name: string) =>
  new Proxy(
    {},
    {
      get: () => () => {
        CALLED.push(name);
        throw new Error(`${name} was called`);
      },
    },
  );
/** Bindings that tell when they are used. */
const UNTOUCHED = Object.fromEntries(
  ["REGISTRY", "SUBSCRIBER", "JOURNAL", "DEAD_LETTER_STORE", "EVENTS", "IDEMPOTENCY"].map(
    (name) => [name, forbidden(name)],
  ),
);

describe("who is not signed in", () => {
  const ids = { webhookId: `wh_${"0".repeat(26)}`, eventId: `evt_${"0".repeat(26)}` };

  it("calls no object and stores nothing, on any page, by signing in and by signing out", async () => {
    CALLED.length = 0;
    for (const path of GETS) {
      const response = await callWith(UNTOUCHED, filled(path, ids), { redirect: "manual" });
      expect([200, 303], path).toContain(response.status);
    }
    for (const path of POSTS) {
      for (const key of ["a-key-that-nobody-configured", API_KEY]) {
        const response = await callWith(UNTOUCHED, filled(path, ids), {
          method: "POST",
          redirect: "manual",
          headers: { origin: ORIGIN },
          body: new URLSearchParams({ key }),
        });
        expect([303, 401], path).toContain(response.status);
      }
    }
    expect(CALLED).toEqual([]);
  });

  it("calls no object with a cookie that is forged", async () => {
    CALLED.length = 0;
    const endsAt = Math.floor(Date.now() / 1_000) + 3_600;
    const cookie = `__Host-leadterra-relay=${endsAt}.${"A".repeat(43)}`;
    const response = await callWith(UNTOUCHED, "/dashboard", {
      headers: { cookie },
      redirect: "manual",
    });
    expect(response.status).toBe(303);
    expect(CALLED).toEqual([]);
  });
});

describe("security headers", () => {
  it("are on every answer of the dashboard, good or bad", async () => {
    const { cookie } = await signedIn();
    const answers: [string, Response][] = [
      ["the sign-in page", await call("/dashboard/sign-in")],
      ["no such file", await call("/dashboard/nothing.js", { headers: { cookie } })],
      ["a redirect", await call("/dashboard", { redirect: "manual" })],
      ["a page", await call("/dashboard/audit", { headers: { cookie } })],
      ["no such page", await call("/dashboard/nothing", { headers: { cookie } })],
      ["a refusal", await call("/dashboard/sign-out", { method: "POST" })],
      [
        "a body that is too large",
        await call("/dashboard/sign-in", {
          method: "POST",
          headers: { origin: ORIGIN },
          body: "x".repeat(300_000),
        }),
      ],
      [
        "an outage",
        await callWith({ REGISTRY: forbidden("REGISTRY") }, "/dashboard/audit", {
          headers: { cookie },
        }),
      ],
    ];
    for (const [what, { headers }] of answers) {
      const policy = headers.get("content-security-policy") ?? "";
      expect(policy, what).toContain("default-src 'none'");
      expect(policy, what).toContain("frame-ancestors 'none'");
      expect(policy, what).not.toContain("unsafe");
      expect(headers.get("x-content-type-options"), what).toBe("nosniff");
      expect(headers.get("x-frame-options"), what).toBe("DENY");
      expect(headers.get("referrer-policy"), what).toBe("same-origin");
      expect(headers.get("cross-origin-opener-policy"), what).toBe("same-origin");
      expect(headers.get("access-control-allow-origin"), what).toBeNull();
    }
    expect(answers.map(([, { status }]) => status)).toEqual([
      200, 404, 303, 200, 404, 403, 413, 503,
    ]);
    expect(answers[3]?.[1].headers.get("cache-control")).toBe("no-store");
  });

  it("keep the files that every page loads from being sniffed, and current after a deploy", async () => {
    const page = await (await call("/dashboard/sign-in")).text();
    const paths = [...page.matchAll(/(?:href|src)="(\/dashboard\/[\w.-]+\.(?:css|js|svg))"/g)];
    expect(paths.length).toBeGreaterThanOrEqual(3);
    for (const [, path] of paths) {
      const { status, headers } = await env.ASSETS.fetch(`${ORIGIN}${path}`);
      expect(status, path).toBe(200);
      expect(headers.get("x-content-type-options"), path).toBe("nosniff");
      expect(headers.get("cache-control"), path).toBe("no-cache");
      expect(headers.get("etag"), path).not.toBeNull();
    }
  });
});
