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

  it("gives way to plain http on localhost only", async () => {
    const post = (origin: string) =>
      callWith({}, "/dashboard/sign-in", { method: "POST" }).then(() =>
        fetchAt(origin, { key: API_KEY }),
      );
    const local = await post("http://localhost:8787");
    expect(local.headers.get("set-cookie")).toMatch(/^leadterra-relay=/);
    expect(local.headers.get("set-cookie")).not.toContain("Secure");
    const elsewhere = await post("http://relay.example");
    expect(elsewhere.status).toBe(403);
    expect(elsewhere.headers.get("set-cookie")).toBeNull();
  });

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

async function fetchAt(origin: string, form: Record<string, string>): Promise<Response> {
  const { exports } = await import("cloudflare:workers");
  return exports.default.fetch(
    new Request(`${origin}/dashboard/sign-in`, {
      method: "POST",
      redirect: "manual",
      headers: { "content-type": FORM, origin },
      body: new URLSearchParams(form),
    }),
  );
}
