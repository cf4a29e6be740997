import fc from "fast-check";
import { describe, expect } from "vitest";
import { api as router } from "../../src/routes/api";
import { accept, newEvents, register } from "../rig/worker/engine";
import { answering, it, service } from "../rig/worker/fixture";
import { API_KEY, api, call, type Problem, READ_ONLY_API_KEY } from "../rig/worker/requests";

const ULID = "01HZC7RQNP4XT2KM9QZ8W3V5YA";

type Route = { method: string; path: string };

/** Every call below /v1, as the router itself knows them. */
const ROUTES: Route[] = [
  ...new Map(
    router.routes
      .filter(({ path }) => path.startsWith("/v1/") && !path.includes("*"))
      .map(({ method, path }) => [`${method} ${path}`, { method, path }]),
  ).values(),
];
const WRITING = ROUTES.filter(({ method }) => method === "POST" || method === "PATCH");

type Ids = { webhookId: string; eventId: string };

function pathOf(route: Route, ids: Ids = { webhookId: `wh_${ULID}`, eventId: `evt_${ULID}` }) {
  const id = route.path.startsWith("/v1/webhooks") ? ids.webhookId : ids.eventId;
  return route.path.replace(":id", id).replace(":eventId", ids.eventId);
}

function ask(route: Route, headers: Record<string, string>, body?: BodyInit): Promise<Response> {
  const { method } = route;
  return call(pathOf(route), { method, headers, ...(body !== undefined && { body }) });
}

async function codeOf(response: Response): Promise<string> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  return (await response.json<Problem>()).code;
}

describe("the router's own table", () => {
  it("has every call of the API", () => {
    expect(ROUTES.length).toBeGreaterThanOrEqual(27);
    expect(WRITING.length).toBeGreaterThanOrEqual(14);
    expect(ROUTES.map(({ method }) => method)).not.toContain("ALL");
  });
});

describe.each(ROUTES)("$method $path", (route) => {
  it.each<[string, Record<string, string>]>([
    ["no key", {}],
    ["a wrong key", { authorization: "Bearer another-key-that-is-long" }],
    ["an empty key", { authorization: "Bearer " }],
    ["the key as Basic", { authorization: `Basic ${btoa(`${API_KEY}:`)}` }],
  ])("answers 401 to %s", async (_, headers) => {
    const response = await ask(route, headers);
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(await codeOf(response)).toBe("unauthorized");
  });

  it("lets a key that only reads do no more than read", async () => {
    const headers = { authorization: `Bearer ${READ_ONLY_API_KEY}` };
    const response = await ask(route, headers);
    // Whoever listens takes the deliveries.
    if (route.method === "GET" && !route.path.endsWith("/listen")) {
      expect([200, 404]).toContain(response.status);
    } else {
      expect(response.status).toBe(403);
      expect(await codeOf(response)).toBe("insufficient_scope");
    }
  });

  it("has no CORS header, whoever asks and however, and is not cached", async () => {
    for (const method of [route.method, "OPTIONS"]) {
      for (const key of [API_KEY, READ_ONLY_API_KEY, "another-key-that-is-long"]) {
        const response = await ask(
          { ...route, method },
          {
            authorization: `Bearer ${key}`,
            origin: "https://evil.example",
            "access-control-request-method": route.method,
            "access-control-request-headers": "authorization",
          },
        );
        const names = [...response.headers.keys()];
        expect(names.filter((name) => name.startsWith("access-control"))).toEqual([]);
        expect(names).not.toContain("vary");
        if (response.ok) expect(response.headers.get("cache-control")).toBe("no-store");
      }
    }
  });
});

describe("a parameter that there is not", () => {
  it.each(ROUTES.filter(({ method }) => method === "GET"))("is refused: $path", async (route) => {
    const response = await api("GET", `${pathOf(route)}?color=1`);
    expect(response.status).toBe(422);
    expect((await response.json<Problem>()).errors?.map(({ path }) => path)).toEqual(["color"]);
  });
});

describe("what needs no key", () => {
  it.each(["/healthz", "/openapi.json", "/docs"])("has no CORS header either: %s", async (path) => {
    const response = await call(path, { headers: { origin: "https://evil.example" } });
    const names = [...response.headers.keys()];
    expect(names.filter((name) => name.startsWith("access-control"))).toEqual([]);
  });
});

/** Fields that some call knows, and some that none does. */
const field = fc.constantFrom(
  ...["url", "events", "description", "filter", "headers", "rateLimit", "ordered"],
  ...["retrySchedule", "signingSecret", "gracePeriodSeconds", "event", "since", "until", "only"],
  ...["dryRun", "cursor", "webhookIds", "email", "__proto__", "constructor", "", "color"],
);
/** Values that are nearly right. */
const telling = fc.constantFrom<unknown>(
  ...["https://crm.example.com/in", "http://[::ffff:127.0.0.1]/", "service:X/", "*", "a.b"],
  ...["1m 5m", "whsec_", `whsec_${btoa("s".repeat(32))}`, "2026-11-23T00:00:00Z", "all", "missing"],
  ...["undeliverable", "+275760-09-13T00:00:00Z", "0001-01-01T00:00:00+23:59", "1.0", "~~"],
  ...["1795435200000~2026-11-23~", "9999-99-99~", "9999-12-31~1.1", "999999999999999.9999"],
  ...["\ud800", "\0", "x".repeat(5_000), `evt_${ULID}`, `wh_${ULID}`],
  ...[0, -0, 1e308, 1e-320, Number.MAX_SAFE_INTEGER, 0.00001, 604_800, true, false, null],
  ...[[], {}, ["*"], ["a.b"], [`wh_${ULID}`], { "x-a": "1" }, { __proto__: "x" }],
  ...[{ $or: [{ a: 1 }] }, { "data.x": { $in: ["y"] } }, { a: { $not: { $gt: 1 } } }],
);
const json = fc.jsonValue({ maxDepth: 4 });
const filter = fc.letrec<{ filter: unknown; operators: unknown }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 5 },
    fc.dictionary(fc.constantFrom("a", "data.x", "$and", "a..b", "__proto__"), tie("operators")),
    fc.record({ $or: fc.array(tie("filter"), { maxLength: 3 }) }),
  ),
  operators: fc.oneof(
    { maxDepth: 5 },
    json,
    fc.dictionary(
      fc.constantFrom("$eq", "$in", "$not", "$gt", "$exists", "$regex"),
      tie("operators"),
    ),
  ),
})).filter;
const body = fc.oneof(
  { weight: 5, arbitrary: fc.dictionary(field, fc.oneof(telling, json), { maxKeys: 8 }) },
  { weight: 2, arbitrary: fc.record({ filter, event: fc.oneof(json, telling) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      url: fc.webUrl(),
      events: fc.constant(["*"]),
      filter,
      headers: fc.dictionary(fc.string(), fc.string()),
    }),
  },
  { weight: 1, arbitrary: json },
);
const bytes = fc.oneof(
  { weight: 8, arbitrary: body.map((value) => new TextEncoder().encode(JSON.stringify(value))) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom("[", '{"a":', '{"filter":', '{"filter":{"a":{"$not":'), fc.nat(20_000))
      .map(([open, times]) => new TextEncoder().encode(open.repeat(times))),
  },
);
/** What every 422 says, and of which fields. */
const WITH_ERRORS = {
  errors: expect.arrayContaining([{ path: expect.any(String), message: expect.any(String) }]),
};
const idempotencyKey = fc.option(fc.stringMatching(/^[\x20-\x7e]{0,20}$/), { nil: undefined });

describe("a request body of any shape", () => {
  it.each(WRITING)(
    "is never answered with a 5xx, and a 422 says what is wrong: $method $path",
    async (route) => {
      service.answer = answering(200);
      const webhook = await register({ url: "https://crm.example.com/in" });
      const [event] = await newEvents(1);
      if (event === undefined) throw new Error("there is no event");
      await accept(webhook.id, [event]);
      const path = pathOf(route, { webhookId: webhook.id, eventId: event.id });
      const statuses = new Set<number>();
      await fc.assert(
        fc.asyncProperty(bytes, idempotencyKey, async (sent, key) => {
          const response = await call(path, {
            method: route.method,
            headers: {
              authorization: `Bearer ${API_KEY}`,
              ...(key !== undefined && { "idempotency-key": key }),
            },
            body: sent,
          });
          statuses.add(response.status);
          const text = await response.text();
          expect(response.status, text).toBeLessThan(500);
          if (response.status >= 400) expect(JSON.parse(text)).toHaveProperty("requestId");
          if (response.status === 422) expect(JSON.parse(text)).toMatchObject(WITH_ERRORS);
        }),
        { numRuns: 60 },
      );
      expect(statuses.size).toBeGreaterThan(0);
    },
    60_000,
  );
});
