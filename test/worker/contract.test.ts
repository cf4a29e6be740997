import { describe, expect } from "vitest";
import { it } from "../rig/worker/fixture";
import { API_KEY, api, call, type Problem } from "../rig/worker/requests";

const HOOK = { url: "https://crm.example.com/in", events: ["reply.received"] };

async function errorsOf(response: Response) {
  expect(response.status).toBe(422);
  return (await response.json<Problem>()).errors ?? [];
}

describe("a path that there is", () => {
  it.each([
    ["PUT", "/v1/webhooks", "GET, HEAD, POST"],
    ["POST", "/v1/stats", "GET, HEAD"],
    ["GET", "/v1/events/erase", "POST"],
    ["DELETE", "/v1/events/erase", "POST"],
    ["DELETE", "/v1/dead-letters/redrive", "POST"],
    ["POST", "/healthz", "GET, HEAD"],
    ["OPTIONS", "/docs", "GET, HEAD"],
    ["DELETE", "/openapi.json", "GET, HEAD"],
    ["PUT", "/webhooks/leadterra", "POST"],
    ["PATCH", "/v1/webhooks/wh_01HZC7RQNP4XT2KM9QZ8W3V5YA/pause", "POST"],
  ])("answers 405 with Allow to another method: %s %s", async (method, path, allow) => {
    const response = await api(method, path);
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allow);
    expect((await response.json<Problem>()).code).toBe("method_not_allowed");
  });

  it("asks for a key first where one is needed", async () => {
    expect((await call("/v1/webhooks", { method: "PUT" })).status).toBe(401);
  });
});

describe("a time", () => {
  it.each(["2026-11-27T22:00Z", "2026-11-27T22:00:00Z", "2026-11-27T23:00:00.5%2B01:00"])(
    "is taken to the minute or finer: %s",
    async (since) => {
      expect((await api("GET", `/v1/events?since=${since}`)).status).toBe(200);
    },
  );

  it("whose + was not escaped is refused with what to write", async () => {
    const [error] = await errorsOf(await api("GET", "/v1/events?since=2026-11-27T22:00:00+01:00"));
    expect(error?.path).toBe("since");
    expect(error?.message).toMatch(/such as 2026-11-27T22:00:00Z.*%2B/);
  });
});

describe("what is wrong with a request", () => {
  it("is said in a sentence with an example", async () => {
    const errors = await errorsOf(await api("GET", "/v1/webhooks?limit=abc"));
    expect(errors).toEqual([
      { path: "limit", message: "must be a whole number from 1 to 250, such as 50" },
    ]);
  });

  it("is said all at once", async () => {
    const given = { url: "ftp://x", events: [], retrySchedule: "soon", color: "red" };
    const errors = await errorsOf(await api("POST", "/v1/webhooks?color=red", given));
    expect(errors.map(({ path }) => path).sort()).toEqual([
      "color",
      "color",
      "events",
      "retrySchedule",
      "url",
    ]);
  });
});

describe("an answer", () => {
  it("of 201 says where what was made is, also when it is given again", async () => {
    const headers = { authorization: `Bearer ${API_KEY}`, "idempotency-key": "once" };
    const init = { method: "POST", headers, body: JSON.stringify(HOOK) };
    const first = await call("/v1/webhooks", init);
    const { webhook } = await first.json<{ webhook: { id: string } }>();
    expect(first.headers.get("location")).toBe(`/v1/webhooks/${webhook.id}`);
    const again = await call("/v1/webhooks", init);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(again.headers.get("location")).toBe(`/v1/webhooks/${webhook.id}`);
  });

  it("of 401 at the door of Leadterra says how to come in", async () => {
    const response = await call("/webhooks/leadterra", { method: "POST", body: "{}" });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe("Signature");
  });

  it.each([
    "/v1/webhooks",
    "/healthz",
    "/docs",
    "/openapi.json",
    "/nothing",
    "/webhooks/leadterra",
  ])("is taken for what it says, and keeps https: %s", async (path) => {
    const { headers } = await call(path);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("strict-transport-security")).toMatch(/^max-age=\d{8}/);
  });
});
