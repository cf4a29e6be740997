/** Signing in to the dashboard, and who may change things there. */
import { describe, expect, vi } from "vitest";
import { it } from "../rig/worker/fixture";
import { API_KEY, call, callWith, ORIGIN, READ_ONLY_API_KEY } from "../rig/worker/requests";

const FORM = "application/x-www-form-urlencoded";

function signIn(key: string, headers: Record<string, string> = { origin: ORIGIN }) {
  return call("/dashboard/sign-in", {
    method: "POST",
    redirect: "manual",
    headers: { "content-type": FORM, ...headers },
    body: new URLSearchParams({ key }),
  });
}

function cookieOf(response: Response): string {
  return (response.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
}

describe("the dashboard's session", () => {
  it("is a signed cookie for 12 hours that no script and no other site gets", async () => {
    const response = await signIn(API_KEY);
    expect(response.status).toBe(303);
    expect(response.headers.get("location")).toBe("/dashboard");
    const cookie = response.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/^__Host-leadterra-relay=\d+\.[\w%]{44,};/);
    for (const part of ["HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=43200"]) {
      expect(cookie).toContain(part);
    }
    expect(cookie).not.toContain(API_KEY);
    const page = await call("/dashboard/audit", { headers: { cookie: cookieOf(response) } });
    expect(page.status).toBe(200);
    expect(await page.text()).toContain("Sign out");
  });

  it("is not opened by a wrong key", async () => {
    const response = await signIn("a-key-that-nobody-configured");
    expect(response.status).toBe(401);
    expect(response.headers.get("set-cookie")).toBeNull();
  });

  it("ends when its API key is removed, and with it no other", async () => {
    const cookie = cookieOf(await signIn(READ_ONLY_API_KEY));
    const look = (bindings: object) =>
      callWith(bindings, "/dashboard/audit", { headers: { cookie }, redirect: "manual" });
    expect((await look({})).status).toBe(200);
    expect((await look({ API_KEYS: "another-key-of-some-length" })).status).toBe(200);
    expect((await look({ READ_ONLY_API_KEYS: "another-key-of-some-length" })).status).toBe(303);
  });

  it("does not open with a changed cookie, nor after 12 hours", async () => {
    const cookie = cookieOf(await signIn(API_KEY));
    const [name, value = ""] = cookie.split("=");
    const [endsAt = "", mac = ""] = value.split(".");
    const looks = [
      `${name}=${Number(endsAt) + 1}.${mac}`,
      `${name}=${endsAt}.${mac.replace(/^./, (digit) => (digit === "A" ? "B" : "A"))}`,
      `${name}=${endsAt}.`,
      `${name}=`,
    ];
    for (const given of looks) {
      const page = await call("/dashboard/audit", {
        headers: { cookie: given },
        redirect: "manual",
      });
      expect(page.status, given).toBe(303);
    }
    vi.spyOn(Date, "now").mockReturnValue(Number(endsAt) * 1_000 + 1);
    const late = await call("/dashboard/audit", { headers: { cookie }, redirect: "manual" });
    expect(late.status).toBe(303);
  });

  it("C6: gives way to plain http on localhost only, and there has the port in its name", async () => {
    const post = (origin: string) =>
      callWith({}, "/dashboard/sign-in", { method: "POST" }).then(() =>
        fetchAt(origin, { key: API_KEY }),
      );
    const local = await post("http://localhost:8787");
    expect(local.headers.get("set-cookie")).toMatch(/^leadterra-relay-8787=/);
    expect(local.headers.get("set-cookie")).not.toContain("Secure");
    const elsewhere = await post("http://relay.example");
    expect(elsewhere.status).toBe(403);
    expect(elsewhere.headers.get("set-cookie")).toBeNull();
  });

  it.each(["http://localhost", "http://127.0.0.1", "http://[::1]"])(
    "C6: is one for each relay of a machine, and so is what it is told: %s",
    async (host) => {
      const ports = ["8787", "8788"];
      const [one = "", other = ""] = await Promise.all(
        ports.map(async (port) => cookieOf(await fetchAt(`${host}:${port}`, { key: API_KEY }))),
      );
      expect([one, other].map((cookie) => cookie.split("=")[0])).toEqual([
        "leadterra-relay-8787",
        "leadterra-relay-8788",
      ]);
      const both = { cookie: `${one}; ${other}` };
      const told = await fetchAt(`${host}:8787`, {}, { path: "/deliveries/retry", headers: both });
      expect(told.headers.get("set-cookie")).toMatch(/^leadterra-relay-notice-8787=/);
      const out = await fetchAt(`${host}:8788`, {}, { path: "/sign-out", headers: both });
      const closed = out.headers.getSetCookie().map((cookie) => cookie.split("=")[0]);
      expect(closed).toEqual(["leadterra-relay-8788"]);
    },
  );

  it("goes on to a page of the dashboard after signing in, and to no other address", async () => {
    const goOn = async (next: string) => {
      const response = await call("/dashboard/sign-in", {
        method: "POST",
        redirect: "manual",
        headers: { "content-type": FORM, origin: ORIGIN },
        body: new URLSearchParams({ key: API_KEY, next }),
      });
      return response.headers.get("location");
    };
    expect(await goOn("/dashboard/events?email=a@b.co")).toBe("/dashboard/events?email=a@b.co");
    for (const other of [
      "https://evil.example/dashboard",
      "//evil.example",
      "/dashboard/../v1",
      "/dashboardx",
      "/\\evil.example",
      "javascript:alert(1)",
    ]) {
      expect(await goOn(other), other).toBe("/dashboard");
    }
  });

  it("signs out", async () => {
    const cookie = cookieOf(await signIn(API_KEY));
    const response = await call("/dashboard/sign-out", {
      method: "POST",
      redirect: "manual",
      headers: { cookie, origin: ORIGIN },
    });
    expect(response.status).toBe(303);
    expect(response.headers.get("set-cookie")).toMatch(/^__Host-leadterra-relay=;.*Max-Age=0/);
  });
});

describe("an address with a slash at its end", () => {
  it.each(["/dashboard/?over=week", "/dashboard/webhooks/", "/dashboard/audit/"])(
    "leads to the page without it: %s",
    async (path) => {
      const cookie = cookieOf(await signIn(API_KEY));
      const response = await call(path, { headers: { cookie }, redirect: "manual" });
      expect(response.status).toBe(301);
      const to = new URL(response.headers.get("location") ?? "", ORIGIN);
      expect(to.origin + to.pathname + to.search).toBe(ORIGIN + path.replace(/\/(?=$|\?)/, ""));
      expect((await call(to.pathname + to.search, { headers: { cookie } })).status).toBe(200);
    },
  );

  it("leads nowhere where there is no page, and not to another host", async () => {
    const cookie = cookieOf(await signIn(API_KEY));
    const response = await call("/dashboard//evil.example/", {
      headers: { cookie },
      redirect: "manual",
    });
    expect(new URL(response.headers.get("location") ?? "/", ORIGIN).origin).toBe(ORIGIN);
  });
});

describe("C3: a form that is sent when the session has ended", () => {
  const form = (fields: Record<string, string | string[]>, path = "/dashboard/webhooks") => {
    const body = new URLSearchParams();
    for (const [name, values] of Object.entries(fields)) {
      for (const value of [values].flat()) body.append(name, value);
    }
    const headers = { origin: ORIGIN };
    return call(path, { method: "POST", redirect: "manual", headers, body });
  };
  const FIELDS = {
    url: "https://crm.example.com/in",
    events: ["message.sent", "reply.received"],
    description: 'The "CRM"',
  };

  it("asks for the key, with every field kept, and does nothing before it is there", async () => {
    const answer = await form(FIELDS);
    expect(answer.status).toBe(401);
    const page = await answer.text();
    expect(page).toContain("The session has ended");
    expect(page).toContain('<form method="post" action="/dashboard/webhooks"');
    expect(page).toContain('name="url" value="https://crm.example.com/in"');
    expect(page).toContain('name="events" value="message.sent"');
    expect(page).toContain('name="events" value="reply.received"');
    expect(page).toContain('name="description" value="The &quot;CRM&quot;"');
    const wrong = await form({ ...FIELDS, signInKey: "a-key-that-nobody-configured" });
    expect(wrong.status).toBe(401);
    const again = await wrong.text();
    expect(again).toContain("This is not a configured API key");
    expect(again).not.toContain("a-key-that-nobody-configured");
    expect(wrong.headers.get("set-cookie")).toBeNull();
  });

  it("does what was asked once the key is there, and the session goes on", async () => {
    const done = await form({ ...FIELDS, signInKey: API_KEY });
    expect(done.status).toBe(200);
    expect(await done.text()).toContain("The webhook is registered");
    const cookie = cookieOf(done);
    const list = await call("/dashboard/webhooks", { headers: { cookie } });
    expect(await list.text()).toContain("The &quot;CRM&quot;");
  });

  const WEBHOOK = "/dashboard/webhooks/wh_00000000000000000000000000";
  it.each([
    ["a deletion that was confirmed", `${WEBHOOK}/delete`, { host: ["crm.example.com"] }],
    [
      "what was counted",
      `${WEBHOOK}/replay`,
      { step: ["go"], only: ["all"], since: ["2026-11-23T09:00:00Z"] },
    ],
    ["deliveries that were ticked", "/dashboard/deliveries/retry", { delivery: ["a/b", "c/d"] }],
    ["webhooks that were ticked", "/dashboard/events/evt_x/replay", { webhook: ["a", "b"] }],
  ])("is not lost, whatever it asks for: %s", async (_, path, fields) => {
    const answer = await form(fields, path);
    expect(answer.status).toBe(401);
    const page = await answer.text();
    expect(page).toContain(`<form method="post" action="${path}"`);
    for (const [name, values] of Object.entries(fields)) {
      for (const value of values) expect(page).toContain(`name="${name}" value="${value}"`);
    }
  });

  it("does nothing for a key that only reads", async () => {
    const refused = await form({ ...FIELDS, signInKey: READ_ONLY_API_KEY });
    expect(refused.status).toBe(403);
    const cookie = cookieOf(refused);
    const list = await call("/dashboard/webhooks", { headers: { cookie } });
    expect(await list.text()).toContain("No webhook is registered");
  });
});

describe("a form whose body never comes", () => {
  it.each(["/dashboard/webhooks", "/dashboard/sign-in"])(
    "is answered all the same without a session: %s",
    async (path) => {
      const body = new ReadableStream({ pull: () => new Promise<void>(() => {}) });
      const headers = { origin: ORIGIN, "content-type": FORM };
      const answer = await callWith({}, path, { method: "POST", headers, body });
      expect(answer.status).toBe(400);
      expect(await answer.text()).toContain("Incomplete body");
    },
  );
});

describe("a body that is no form", () => {
  const send = (path: string, cookie = "") => {
    const headers = { origin: ORIGIN, cookie, "content-type": "multipart/form-data" };
    return call(path, { method: "POST", headers, body: "garbage", redirect: "manual" });
  };

  it.each(["/dashboard/webhooks", "/dashboard/sign-in"])(
    "is no error of the relay, and signs nobody in: %s",
    async (path) => {
      const answer = await send(path);
      expect(answer.status).toBe(401);
      expect(answer.headers.get("set-cookie")).toBeNull();
    },
  );

  it("has no fields", async () => {
    const answer = await send("/dashboard/webhooks", cookieOf(await signIn(API_KEY)));
    expect(answer.status).toBe(422);
  });
});

describe("C8: what a page says of what was done", () => {
  it.each([
    "?done=sampled",
    "/webhooks?done=deleted&name=forged",
    "/events?done=erased&count=7",
    "/dead-letters?done=redriven_many&count=999999999",
    "/audit?failed=not_found&touched=/dashboard/events",
  ])("is not taken from the address: %s", async (address) => {
    const headers = { cookie: cookieOf(await signIn(API_KEY)) };
    const page = await (await call(`/dashboard${address}`, { headers })).text();
    expect(page).toContain("Sign out");
    expect(page).not.toMatch(/<p class="notice (?:good|warn|bad)" role/);
    expect(page).not.toMatch(/999999999|forged/);
  });

  it("comes from what was done, once, and from no address", async () => {
    const cookie = cookieOf(await signIn(API_KEY));
    const get = async (path: string, more = "") => {
      const headers = { cookie: more === "" ? cookie : `${cookie}; ${more}` };
      return call(path, { headers });
    };
    const forged = "/dashboard/deliveries?done=cancelled&count=999999999&failed=in_flight";
    expect(await (await get(forged)).text()).not.toMatch(
      /<p class="notice (?:good|warn|bad)" role/,
    );
    const posted = await call("/dashboard/deliveries/retry", {
      method: "POST",
      redirect: "manual",
      headers: { origin: ORIGIN, cookie },
    });
    const notice = cookieOf(posted);
    expect(notice).toMatch(/^__Host-leadterra-relay-notice=/);
    const page = await get("/dashboard/deliveries", notice);
    expect(await page.text()).toContain("Nothing was selected");
    expect(page.headers.get("set-cookie")).toMatch(/^__Host-leadterra-relay-notice=;.*Max-Age=0/);
    for (const changed of [
      notice.replace("nothing_selected", "cancelled%26count%3D9"),
      notice.replace(/.{6}$/, "AAAAAA"),
    ]) {
      expect(await (await get("/dashboard/deliveries", changed)).text()).not.toMatch(
        /<p class="notice (?:good|warn)" role/,
      );
    }
    expect(await (await get("/dashboard/events", notice)).text()).not.toMatch(
      /<p class="notice (?:good|warn)" role/,
    );
  });

  it("does not open a session", async () => {
    const cookie = cookieOf(await signIn(API_KEY));
    const headers = { origin: ORIGIN, cookie };
    const posted = await call("/dashboard/deliveries/retry", {
      method: "POST",
      redirect: "manual",
      headers,
    });
    const stolen = cookieOf(posted).replace("-notice=", "=");
    const page = await call("/dashboard", { headers: { cookie: stolen }, redirect: "manual" });
    expect(page.status).toBe(303);
  });
});

async function fetchAt(
  origin: string,
  form: Record<string, string>,
  { path = "/sign-in", headers = {} } = {},
): Promise<Response> {
  const { exports } = await import("cloudflare:workers");
  return exports.default.fetch(
    new Request(`${origin}/dashboard${path}`, {
      method: "POST",
      redirect: "manual",
      headers: { "content-type": FORM, origin, ...headers },
      body: new URLSearchParams(form),
    }),
  );
}
