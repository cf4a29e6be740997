import { describe, expect } from "vitest";
import { it, log } from "../rig/worker/fixture";
import {
  API_KEY,
  api,
  call,
  callWith,
  type Problem,
  READ_ONLY_API_KEY,
  SIGNING_SECRET,
} from "../rig/worker/requests";

/** Nobody listens there. */
const URL_OF_NOBODY = "http://127.0.0.1:1/in";
const ULID = "01HZC7RQNP4XT2KM9QZ8W3V5YA";
const WEBHOOK_ID = /^wh_[0-9A-HJKMNP-TV-Z]{26}$/;
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

type Shown = {
  id: string;
  url: string;
  events: string[];
  description: string | null;
  filter: unknown;
  headers: string[];
  rateLimit: number | null;
  ordered: boolean;
  retrySchedule: string | null;
  status: string;
  statusReason: string | null;
  createdAt: string;
  updatedAt: string;
  signingSecret?: string;
};
type Page = { data: Shown[]; next: string | null };

const secretOf = (length: number) => `whsec_${btoa("s".repeat(length))}`;

function bearer(key: string, method = "GET"): RequestInit {
  return { method, headers: { authorization: `Bearer ${key}` } };
}

async function webhookOf(response: Response, status = 200): Promise<Shown> {
  expect(response.status).toBe(status);
  const body = await response.json<{ webhook: Shown }>();
  expect(Object.keys(body)).toEqual(["webhook"]);
  return body.webhook;
}

async function created(fields: Record<string, unknown> = {}): Promise<Required<Shown>> {
  const draft = { url: URL_OF_NOBODY, events: ["*"], ...fields };
  const webhook = await webhookOf(await api("POST", "/v1/webhooks", draft), 201);
  const { signingSecret } = webhook;
  if (signingSecret === undefined) throw new Error("the secret is missing");
  return { ...webhook, signingSecret };
}

async function pageOf(query = "", key = API_KEY): Promise<Page> {
  const response = await call(`/v1/webhooks${query}`, bearer(key));
  expect(response.status).toBe(200);
  return response.json<Page>();
}

async function problemOf(response: Response): Promise<Problem> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = await response.json<Problem>();
  const { errors: _, ...common } = problem;
  expect(common).toEqual({
    type: `urn:leadterra-relay:problem:${problem.code}`,
    title: expect.stringMatching(/./),
    status: response.status,
    detail: expect.stringMatching(/./),
    code: problem.code,
    requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
  return problem;
}

/** The paths of the mistakes that a 422 names. */
async function mistakesOf(response: Response): Promise<string[]> {
  expect(response.status).toBe(422);
  const { code, errors = [] } = await problemOf(response);
  expect(code).toBe("invalid_request");
  for (const { message } of errors) expect(message).not.toBe("");
  return errors.map(({ path }) => path);
}

describe("GET /", () => {
  it("leads to the dashboard, and nothing else is there", async () => {
    const answer = await call("/", { redirect: "manual" });
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/dashboard"]);
    expect((await call("/", { method: "POST" })).status).toBe(405);
    expect((await call("/nowhere")).status).toBe(404);
  });
});

describe("the API", () => {
  const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
  const paths = [
    "/v1",
    "/v1/",
    "/v1/webhooks",
    `/v1/webhooks/wh_${ULID}`,
    `/v1/webhooks/wh_${ULID}/deliveries`,
    "/v1/events",
    "/v1/nothing/at/all",
    "/%76%31/webhooks",
  ];

  describe.each(methods)("called by %s", (method) => {
    it.each(paths)("answers 401 without a key: %s", async (path) => {
      const response = await call(path, { method });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      if (method === "HEAD") return;
      expect(await problemOf(response)).toMatchObject({ code: "unauthorized" });
    });

    it("answers 401 when no key is configured, whatever is sent", async () => {
      const bindings = { API_KEYS: "", READ_ONLY_API_KEYS: "" };
      for (const key of ["", API_KEY, "undefined", "null"]) {
        const response = await callWith(bindings, "/v1/webhooks", bearer(key, method));
        expect(response.status).toBe(401);
      }
    });
  });

  it.each([
    ["a wrong key", "Bearer another-key-that-is-long"],
    ["no key", "Bearer"],
    ["an empty key", "Bearer "],
    ["the key alone", API_KEY],
    ["the key in capitals", `Bearer ${API_KEY.toUpperCase()}`],
    ["the key and more", `Bearer ${API_KEY}x`],
    ["the key without its end", `Bearer ${API_KEY.slice(0, -1)}`],
    ["the key twice", `Bearer ${API_KEY} ${API_KEY}`],
    ["two keys in a list", `Bearer ${API_KEY},${READ_ONLY_API_KEY}`],
    ["the key in quotes", `Bearer "${API_KEY}"`],
    ["another scheme", `Basic ${btoa(`${API_KEY}:`)}`],
    ["another scheme with the key", `Token ${API_KEY}`],
    ["a scheme that only begins like it", `Bearers ${API_KEY}`],
    ["Leadterra's signing secret", `Bearer ${SIGNING_SECRET}`],
  ])("answers 401 to %s", async (_, authorization) => {
    const response = await call("/v1/webhooks", { headers: { authorization } });
    expect(response.status).toBe(401);
    expect(await problemOf(response)).toMatchObject({ code: "unauthorized" });
  });

  it("takes no key from the query or another header", async () => {
    const path = `/v1/webhooks?key=${API_KEY}&access_token=${API_KEY}`;
    const headers = { "x-api-key": API_KEY, cookie: `key=${API_KEY}` };
    expect((await call(path, { headers })).status).toBe(401);
  });

  it.each(["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])(
    "takes the scheme in any letters: %j",
    async (scheme) => {
      const headers = { authorization: `${scheme} ${API_KEY}` };
      expect((await call("/v1/webhooks", { headers })).status).toBe(200);
    },
  );

  it("takes each of several keys, and not one that is too short", async () => {
    const bindings = { API_KEYS: "fifteen-chars-x, sixteen-chars-xy, another-good-key!" };
    const statusFor = async (key: string) =>
      (await callWith(bindings, "/v1/webhooks", bearer(key))).status;
    expect(await statusFor("sixteen-chars-xy")).toBe(200);
    expect(await statusFor("another-good-key!")).toBe(200);
    expect(await statusFor("fifteen-chars-x")).toBe(401);
    expect(await statusFor(API_KEY)).toBe(401);
  });

  it.each(["GET", "HEAD"])("lets a key that only reads %s", async (method) => {
    expect((await call("/v1/webhooks", bearer(READ_ONLY_API_KEY, method))).status).toBe(200);
  });

  it.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])(
    "answers 403 to %s with a key that only reads, whatever the path",
    async (method) => {
      const { id } = await created();
      for (const path of ["/v1/webhooks", `/v1/webhooks/${id}`, "/v1/nothing/at/all"]) {
        const response = await call(path, bearer(READ_ONLY_API_KEY, method));
        expect(response.status).toBe(403);
        expect(await problemOf(response)).toMatchObject({ code: "insufficient_scope" });
      }
      expect((await pageOf()).data).toHaveLength(1);
    },
  );

  it("lets a key that is in both lists do all", async () => {
    const init = {
      ...bearer(API_KEY, "POST"),
      body: '{"url":"http://127.0.0.1:1/","events":["*"]}',
    };
    const response = await callWith({ READ_ONLY_API_KEYS: API_KEY }, "/v1/webhooks", init);
    expect(response.status).toBe(201);
  });

  it.each([
    ["GET", "/v1/nothing/at/all"],
    ["GET", "/v1/"],
    ["POST", "/v1/webhook"],
    ["DELETE", "/v1/webhook/1"],
    ["GET", `/v1/webhooks/wh_${ULID}`],
    ["PATCH", `/v1/webhooks/wh_${ULID}`],
    ["DELETE", `/v1/webhooks/wh_${ULID}`],
    ["GET", `/v1/webhooks/wh_${ULID}/deliveries`],
    ["GET", `/v1/webhooks/wh_${ULID}/deliveries/evt_${ULID}`],
    ["GET", "/v1/webhooks/1"],
    ["GET", "/v1/webhooks/__proto__"],
    ["GET", "/v1/webhooks/constructor"],
    ["GET", "/v1/webhooks/%00"],
    ["GET", "/v1/webhooks/%ff"],
    ["GET", "/v1/webhooks/wh_%2F..%2F.."],
    ["GET", `/v1/webhooks/${"x".repeat(10_240)}`],
    ["DELETE", "/v1/webhooks/__proto__"],
  ])("answers 404 to what does not exist: %s %s", async (method, path) => {
    const response = await api(method, path, method === "GET" ? undefined : {});
    expect(response.status).toBe(404);
    expect(await problemOf(response)).toMatchObject({ code: "not_found" });
  });

  it("never answers with a CORS header, nor lets an answer be cached", async () => {
    const { id } = await created();
    for (const [method, path] of [
      ["GET", "/v1/webhooks"],
      ["GET", `/v1/webhooks/${id}`],
      ["OPTIONS", "/v1/webhooks"],
    ] as const) {
      const response = await call(path, {
        method,
        headers: {
          authorization: `Bearer ${API_KEY}`,
          origin: "https://evil.example",
          "access-control-request-method": "POST",
        },
      });
      const names = [...response.headers.keys()];
      expect(names.filter((name) => name.startsWith("access-control"))).toEqual([]);
      if (method === "GET") expect(response.headers.get("cache-control")).toBe("no-store");
    }
  });

  it("leaves no key in the log", async () => {
    await call("/v1/webhooks", bearer(API_KEY));
    await call("/v1/webhooks", bearer("another-key-that-is-long"));
    await call("/v1/webhooks", bearer(READ_ONLY_API_KEY, "POST"));
    expect(log.lines().map(({ code }) => code)).toEqual(
      expect.arrayContaining(["unauthorized", "insufficient_scope"]),
    );
    for (const key of [API_KEY, "another-key-that-is-long", READ_ONLY_API_KEY]) {
      expect(log.text()).not.toContain(key);
    }
  });
});

describe("POST /v1/webhooks", () => {
  it("answers Leadterra's own request with Leadterra's own answer, plus the secret", async () => {
    const events = ["campaign.started", "message.sent", "message.bounced", "reply.received"];
    const url = "https://your-app.com/webhooks/leadterra";
    const webhook = await webhookOf(await api("POST", "/v1/webhooks", { url, events }), 201);
    expect(webhook).toEqual({
      id: expect.stringMatching(WEBHOOK_ID),
      name: null,
      url,
      events,
      description: null,
      filter: null,
      headers: [],
      rateLimit: null,
      ordered: false,
      concurrency: 6,
      timeout: null,
      retrySchedule: null,
      giveUpOn: [],
      status: "active",
      statusReason: null,
      createdAt: expect.stringMatching(ISO_TIME),
      updatedAt: webhook.createdAt,
      signingSecret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    });
  });

  it("keeps everything that is given", async () => {
    const given = {
      url: URL_OF_NOBODY,
      events: ["reply.received", "message.bounced"],
      description: "the CRM — Zürich",
      filter: { "data.reply.classification": { $in: ["interested", "meeting"] } },
      rateLimit: 0.5,
      ordered: true,
      name: "crm-zurich",
      timeout: "30s",
      retrySchedule: "10s 1m",
      giveUpOn: [404, 422],
    };
    const headers = { Authorization: "Bearer of-the-crm", "X-Team": "sales" };
    const webhook = await created({ ...given, headers });
    const expected = { ...given, headers: ["authorization", "x-team"], status: "active" };
    expect(webhook).toMatchObject(expected);
    expect(await webhookOf(await api("GET", `/v1/webhooks/${webhook.id}`))).toMatchObject(expected);
  });

  it("gives each webhook an id and a secret of its own", async () => {
    const webhooks = [await created(), await created(), await created()];
    expect(new Set(webhooks.map(({ id }) => id)).size).toBe(3);
    expect(new Set(webhooks.map(({ signingSecret }) => signingSecret)).size).toBe(3);
  });

  it.each(["text/plain", "application/x-www-form-urlencoded", ""])(
    "does not mind a Content-Type of %j",
    async (contentType) => {
      const response = await call("/v1/webhooks", {
        method: "POST",
        headers: { authorization: `Bearer ${API_KEY}`, "content-type": contentType },
        body: JSON.stringify({ url: URL_OF_NOBODY, events: ["*"] }),
      });
      expect(response.status).toBe(201);
    },
  );

  it.each<[string, string | Uint8Array | null]>([
    ["nothing", null],
    ["empty", ""],
    ["cut short", '{"url":'],
    ["two documents", "{}{}"],
    ["a form", "url=https://a.example&events=*"],
    ["a BOM", "\ufeff{}"],
    ["not UTF-8", new Uint8Array([0x22, 0xff, 0x22])],
  ])("answers 400 when the body is not JSON: %s", async (_, body) => {
    const response = await call("/v1/webhooks", { ...bearer(API_KEY, "POST"), body });
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ code: "invalid_json" });
  });

  it.each<[string, unknown]>([
    ["null", null],
    ["a list", []],
    ["a string", "x"],
    ["a number", 1],
  ])("answers 422 when the body is no object: %s", async (_, body) => {
    expect(await mistakesOf(await api("POST", "/v1/webhooks", body))).toEqual([""]);
  });

  it("answers 422 with every field that is missing", async () => {
    expect(await mistakesOf(await api("POST", "/v1/webhooks", {}))).toEqual(["url", "events"]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ["an unknown field", { color: "red" }, "color"],
    ["a timeout beyond a minute", { timeout: "2m" }, "timeout"],
    ["a timeout of less than a second", { timeout: "0s" }, "timeout"],
    ["an answer that is tried again", { giveUpOn: [404, 429] }, "giveUpOn.1"],
    ["an answer that is no client error", { giveUpOn: [500] }, "giveUpOn.0"],
    ["a field in other letters", { URL: "https://a.example" }, "URL"],
    ["a field that is not for the caller", { status: "disabled" }, "status"],
    ["an id", { id: `wh_${ULID}` }, "id"],
    ["a number as url", { url: 1 }, "url"],
    ["url null", { url: null }, "url"],
    ["an empty url", { url: "" }, "url"],
    ["a url that is none", { url: "somewhere" }, "url"],
    ["a url of another scheme", { url: "ftp://a.example/" }, "url"],
    ["a url with credentials", { url: "https://u:p@a.example/" }, "url"],
    ["a url with a fragment", { url: "https://a.example/#x" }, "url"],
    ["a url with a space", { url: "https://a.example/ x" }, "url"],
    ["the relay itself", { url: "https://relay.example/webhooks/leadterra" }, "url"],
    ["the relay itself, with a dot", { url: "https://RELAY.example./" }, "url"],
    ["a binding of the relay's own", { url: "service:EVENTS/" }, "url"],
    ["no event", { events: [] }, "events"],
    ["a star among names", { events: ["*", "message.sent"] }, "events"],
    ["a string as events", { events: "*" }, "events"],
    ["events null", { events: null }, "events"],
    ["an empty name", { events: [""] }, "events.0"],
    ["a name with a space", { events: ["message.sent", "a b"] }, "events.1"],
    ["a pattern as name", { events: ["message.*"] }, "events.0"],
    ["a name of 129 characters", { events: ["x".repeat(129)] }, "events.0"],
    ["a number as name", { events: [1] }, "events.0"],
    ["a number as description", { description: 1 }, "description"],
    ["a rate of 0", { rateLimit: 0 }, "rateLimit"],
    ["a negative rate", { rateLimit: -1 }, "rateLimit"],
    ["a string as rate", { rateLimit: "5" }, "rateLimit"],
    ["a string as ordered", { ordered: "true" }, "ordered"],
    ["a number as ordered", { ordered: 1 }, "ordered"],
    ["an empty schedule", { retrySchedule: "" }, "retrySchedule"],
    ["a schedule with commas", { retrySchedule: "1m,5m" }, "retrySchedule"],
    ["a schedule with two spaces", { retrySchedule: "1m  5m" }, "retrySchedule"],
    ["a schedule without units", { retrySchedule: "60 300" }, "retrySchedule"],
    ["a schedule of 21 waits", { retrySchedule: Array(21).fill("1m").join(" ") }, "retrySchedule"],
    ["a list as schedule", { retrySchedule: ["1m"] }, "retrySchedule"],
    ["a secret of 23 bytes", { signingSecret: secretOf(23) }, "signingSecret"],
    ["a secret of 65 bytes", { signingSecret: secretOf(65) }, "signingSecret"],
    ["a secret without whsec_", { signingSecret: secretOf(32).slice(6) }, "signingSecret"],
    ["a secret in base64url", { signingSecret: `whsec_${"-_".repeat(20)}` }, "signingSecret"],
    ["an empty secret", { signingSecret: "" }, "signingSecret"],
    ["a list as headers", { headers: ["x-a"] }, "headers"],
    ["a number as filter", { filter: 1 }, "filter"],
    ["a list as filter", { filter: [] }, "filter"],
  ])("answers 422 to %s", async (_, fields, path) => {
    const body = { url: URL_OF_NOBODY, events: ["*"], ...fields };
    expect(await mistakesOf(await api("POST", "/v1/webhooks", body))).toEqual([path]);
    expect((await pageOf()).data).toEqual([]);
  });

  it("says in words what should be there, and all of it at once", async () => {
    const given = { events: [7], name: "", description: "x".repeat(1_001), ordered: "true" };
    const more = { concurrency: 301, rateLimit: 0, giveUpOn: ["404"], status: "disabled" };
    const response = await api("POST", "/v1/webhooks", { ...given, ...more, timeout: null });
    const { errors } = await response.json<{ errors: { path: string; message: string }[] }>();
    expect(Object.fromEntries(errors.map(({ path, message }) => [path, message]))).toEqual({
      url: "is missing",
      "events.0": "must be a string",
      name: "must be 1 to 63 lower-case letters, digits and hyphens, beginning with a letter, such as crm",
      description: "must be at most 1000 characters",
      ordered: "must be true or false",
      concurrency: "must be at most 300",
      rateLimit: "must be at least 0.00001",
      "giveUpOn.0": "must be a number",
      status: 'must be "active" or "paused"',
    });
    expect(await mistakesOf(await api("GET", "/v1/events?key="))).toEqual(["key"]);
  });

  it("answers 422 to a field named like the prototype, and to numbers past the last", async () => {
    for (const [field, path] of [
      ['"__proto__":{"ordered":true}', "__proto__"],
      ['"rateLimit":1e999', "rateLimit"],
    ]) {
      const body = `{"url":"${URL_OF_NOBODY}","events":["*"],${field}}`;
      const response = await call("/v1/webhooks", { ...bearer(API_KEY, "POST"), body });
      expect(await mistakesOf(response)).toEqual([path]);
    }
  });

  it.each<[string, Record<string, unknown>]>([
    ["a name of 128 characters", { events: ["x".repeat(128)] }],
    ["a name that nobody knows", { events: ["lead.clicked"] }],
    ["a name like that of a method", { events: ["toString", "__proto__"] }],
    ["a tenth of a delivery per second", { rateLimit: 0.1 }],
    ["a thousand deliveries per second", { rateLimit: 1000 }],
    ["a schedule of one wait", { retrySchedule: "5s" }],
    ["a schedule of 20 waits", { retrySchedule: Array(20).fill("1m").join(" ") }],
    [
      "null for what may be left out",
      { description: null, filter: null, rateLimit: null, retrySchedule: null, headers: null },
    ],
  ])("takes %s", async (_, fields) => {
    const { headers: __, ...shown } = fields;
    expect(await created(fields)).toMatchObject(shown);
  });

  it.each([24, 32, 64])(
    "takes a signing secret of %i bytes and answers with it",
    async (length) => {
      const signingSecret = secretOf(length);
      expect((await created({ signingSecret })).signingSecret).toBe(signingSecret);
    },
  );

  it("stores the URL as it will be called", async () => {
    expect((await created({ url: "HTTPS://Hooks.Example.COM./a/../in?x=1" })).url).toBe(
      "https://hooks.example.com/in?x=1",
    );
  });

  it("refuses private destinations unless they are allowed", async () => {
    for (const url of ["http://hooks.example.com/", "https://localhost/", "https://10.0.0.1/"]) {
      const body = JSON.stringify({ url, events: ["*"] });
      const init = { ...bearer(API_KEY, "POST"), body };
      const strict = { ALLOW_PRIVATE_DESTINATIONS: "false" };
      expect(await mistakesOf(await callWith(strict, "/v1/webhooks", init))).toEqual(["url"]);
      expect((await callWith({}, "/v1/webhooks", init)).status).toBe(201);
    }
  });

  it.each<[string, unknown, string]>([
    ["an unknown operator", { "data.x": { $regex: "a" } }, "filter.data.x.$regex"],
    [
      "a mistake further in",
      { $and: [{ "data.x": 1 }, { "data.y": { $in: [] } }] },
      "filter.$and.1.data.y.$in",
    ],
    ["an empty $or", { $or: [] }, "filter.$or"],
    ["an operand that cannot be compared", { "data.x": { $gt: null } }, "filter.data.x.$gt"],
    ["an object as value", { "data.x": { y: 1 } }, "filter.data.x"],
  ])("answers 422 with the path to the mistake in a filter: %s", async (_, filter, path) => {
    const body = { url: URL_OF_NOBODY, events: ["*"], filter };
    expect(await mistakesOf(await api("POST", "/v1/webhooks", body))).toEqual([path]);
  });
});

describe("the custom headers of a webhook", () => {
  const answerTo = (headers: Record<string, unknown>) =>
    api("POST", "/v1/webhooks", { url: URL_OF_NOBODY, events: ["*"], headers });

  it.each([
    "X-Leadterra-Signature",
    "X-Leadterra-Event",
    "X-Relay-Attempt",
    "Webhook-Id",
    "Webhook-Timestamp",
    "Webhook-Signature",
    "User-Agent",
    "Host",
    "Cookie",
    "Expect",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Content-Anything",
    "CF-Connecting-IP",
    "CF-Worker",
    "X-Forwarded-For",
    "X-Forwarded-Host",
  ])("may not be %s, in any letters, and the answer says why", async (name) => {
    for (const spelling of [name, name.toLowerCase(), name.toUpperCase()]) {
      const response = await answerTo({ [spelling]: "x" });
      expect(response.status).toBe(422);
      const { errors } = await problemOf(response);
      expect(errors).toEqual([
        { path: `headers.${spelling}`, message: expect.stringMatching(/reserved/) },
      ]);
    }
  });

  it.each([
    ["with a space", "x a"],
    ["with a colon", "x:a"],
    ["with a slash", "x/a"],
    ["with a line break", "x-a\r\nx-b"],
    ["with a NUL", "x\0a"],
    ["past ASCII", "x-é"],
    ["in brackets", "(x)"],
  ])("may not have a name that is no token: %s", async (_, name) => {
    expect(await mistakesOf(await answerTo({ [name]: "x" }))).toEqual([`headers.${name}`]);
  });

  it.each<[string, unknown]>([
    ["empty", ""],
    ["a space", " "],
    ["a space in front", " x"],
    ["a space behind", "x "],
    ["a tab", "x\ty"],
    ["a line break", "x\r\nx-b: y"],
    ["a line feed behind", "x\n"],
    ["a NUL", "x\0y"],
    ["past ASCII", "é"],
    ["DEL", "x\x7f"],
    ["4,097 characters", "x".repeat(4_097)],
    ["a number", 1],
    ["null", null],
    ["a list", ["x"]],
  ])("may not have such a value: %s", async (_, value) => {
    expect(await mistakesOf(await answerTo({ "x-a": value }))).toEqual(["headers.x-a"]);
  });

  it.each([
    ["one character", "x"],
    ["two characters", "xy"],
    ["spaces inside", "Bearer a  b"],
    ["every printable character", "!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~"],
    ["4,096 characters", "x".repeat(4_096)],
  ])("may have such a value: %s", async (_, value) => {
    expect((await webhookOf(await answerTo({ "x-a": value }), 201)).headers).toEqual(["x-a"]);
  });

  it.each([
    "Authorization",
    "X-Api-Key",
    "X-Real-IP",
    "Accept",
    "ContentType",
    "X-Content-Type",
    "!#$%&'*+-.^_`|~09AZaz",
  ])("may be %s, shown in lower case", async (name) => {
    const { headers } = await webhookOf(await answerTo({ [name]: "x" }), 201);
    expect(headers).toEqual([name.toLowerCase()]);
  });

  it("may be 50, and not 51", async () => {
    const headers = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, "x"]));
    expect((await webhookOf(await answerTo(headers(50)), 201)).headers).toHaveLength(50);
    expect(await mistakesOf(await answerTo(headers(51)))).toEqual(["headers"]);
  });

  it("may not be given twice, in whatever letters", async () => {
    expect(await mistakesOf(await answerTo({ "X-A": "1", "x-a": "2" }))).toEqual(["headers.x-a"]);
  });

  it("may not have an empty name", async () => {
    expect(await mistakesOf(await answerTo({ "": "x" }))).toEqual([
      expect.stringMatching(/^headers\.?$/),
    ]);
  });

  it.each(["__proto__", "constructor", "toString"])(
    "are never lost without a word: %s",
    async (name) => {
      const body = `{"url":"${URL_OF_NOBODY}","events":["*"],"headers":{"${name}":"x"}}`;
      const response = await call("/v1/webhooks", { ...bearer(API_KEY, "POST"), body });
      const text = await response.text();
      expect(response.status === 422 || text.includes(`"headers":["${name.toLowerCase()}"]`)).toBe(
        true,
      );
    },
  );

  it("never show their values, neither in an answer nor in the log", async () => {
    const value = "hush-hush-value";
    const given = await answerTo({ "x-a": value });
    const { id } = await webhookOf(given.clone(), 201);
    const answers = [
      given,
      await api("GET", `/v1/webhooks/${id}`),
      await api("GET", "/v1/webhooks"),
      await api("PATCH", `/v1/webhooks/${id}`, { headers: { "x-b": value } }),
      await api("PATCH", `/v1/webhooks/${id}`, { headers: { "x-b": `${value}\n` } }),
      await api("PATCH", `/v1/webhooks/${id}`, { headers: { host: value } }),
    ];
    for (const answer of answers) expect(await answer.text()).not.toContain(value);
    expect(log.text()).not.toContain(value);
  });
});

describe("a webhook", () => {
  it("is read without its secret", async () => {
    const { signingSecret, ...webhook } = await created({ description: "mine" });
    const response = await api("GET", `/v1/webhooks/${webhook.id}`);
    expect(await webhookOf(response)).toEqual(webhook);
    expect(JSON.stringify(await pageOf())).not.toContain(signingSecret);
    expect(log.text()).not.toContain(signingSecret);
  });

  it("shows the query of its URL whole to a full key and masked to one that only reads", async () => {
    const { id } = await created({ url: `${URL_OF_NOBODY}?token=hush` });
    const full = await webhookOf(await call(`/v1/webhooks/${id}`, bearer(API_KEY)));
    expect(full.url).toBe(`${URL_OF_NOBODY}?token=hush`);
    const masked = await webhookOf(await call(`/v1/webhooks/${id}`, bearer(READ_ONLY_API_KEY)));
    expect(masked.url).toBe(`${URL_OF_NOBODY}?…`);
    expect(log.text()).not.toContain("hush");
  });

  it("is gone after DELETE", async () => {
    const { id } = await created();
    const other = await created();
    const removed = await api("DELETE", `/v1/webhooks/${id}`);
    expect(removed.status).toBe(204);
    expect(await removed.text()).toBe("");
    expect((await api("GET", `/v1/webhooks/${id}`)).status).toBe(404);
    expect((await api("PATCH", `/v1/webhooks/${id}`, { ordered: true })).status).toBe(404);
    expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(404);
    expect((await pageOf()).data.map((webhook) => webhook.id)).toEqual([other.id]);
  });
});

describe("PATCH of a webhook", () => {
  const patch = (id: string, changes: unknown) => api("PATCH", `/v1/webhooks/${id}`, changes);
  const FULL = {
    description: "mine",
    filter: { "data.bounceType": "hard" },
    headers: { "x-a": "1" },
    rateLimit: 2,
    ordered: true,
    retrySchedule: "1m",
  };

  it.each<[string, unknown, unknown]>([
    ["events", ["message.sent"], ["message.sent"]],
    ["description", "another", "another"],
    ["filter", { "data.bounceType": "soft" }, { "data.bounceType": "soft" }],
    ["headers", { "X-B": "2", "X-C": "3" }, ["x-b", "x-c"]],
    ["headers", {}, []],
    ["rateLimit", 7.5, 7.5],
    ["ordered", false, false],
    ["retrySchedule", "5s 10s", "5s 10s"],
    ["giveUpOn", [422, 404, 422], [404, 422]],
    ["url", `${URL_OF_NOBODY}/elsewhere?x=1`, `${URL_OF_NOBODY}/elsewhere?x=1`],
  ])("changes %s to %j and nothing else", async (field, value, shown) => {
    const { signingSecret: _, ...before } = await created(FULL);
    const changed = await webhookOf(await patch(before.id, { [field]: value }));
    expect(changed).toEqual({
      ...before,
      [field]: shown,
      updatedAt: expect.stringMatching(ISO_TIME),
    });
    expect(await webhookOf(await api("GET", `/v1/webhooks/${before.id}`))).toEqual(changed);
  });

  it.each<[string, unknown]>([
    ["description", null],
    ["filter", null],
    ["headers", []],
    ["rateLimit", null],
    ["ordered", false],
    ["retrySchedule", null],
  ])("unsets %s with null", async (field, unset) => {
    const { signingSecret: _, ...before } = await created(FULL);
    const changed = await webhookOf(await patch(before.id, { [field]: null }));
    expect(changed).toEqual({ ...before, [field]: unset, updatedAt: changed.updatedAt });
  });

  it("changes nothing when nothing is given", async () => {
    const { signingSecret: _, ...before } = await created(FULL);
    const changed = await webhookOf(await patch(before.id, {}));
    expect(changed).toEqual({ ...before, updatedAt: changed.updatedAt });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ["an unknown field", { color: "red" }, "color"],
    ["a secret, which is rotated instead", { signingSecret: secretOf(32) }, "signingSecret"],
    ["a status, which is paused and resumed instead", { status: "paused" }, "status"],
    ["url null", { url: null }, "url"],
    ["a url that is none", { url: "somewhere" }, "url"],
    ["the relay itself", { url: "https://relay.example/" }, "url"],
    ["events null", { events: null }, "events"],
    ["no event", { events: [] }, "events"],
    ["a star among names", { events: ["*", "x"] }, "events"],
    ["a rate of 0", { rateLimit: 0 }, "rateLimit"],
    ["a bad schedule", { retrySchedule: "often" }, "retrySchedule"],
    ["a reserved header", { headers: { host: "x" } }, "headers.host"],
    ["a bad filter", { filter: { "data.x": { $foo: 1 } } }, "filter.data.x.$foo"],
  ])("answers 422 to %s and changes nothing", async (_, changes, path) => {
    const { signingSecret: __, ...before } = await created(FULL);
    const response = await patch(before.id, { description: "changed", ...changes });
    expect(await mistakesOf(response)).toEqual([path]);
    expect(await webhookOf(await api("GET", `/v1/webhooks/${before.id}`))).toEqual(before);
  });

  it("answers 400 when the body is not JSON", async () => {
    const { id } = await created();
    const init = { ...bearer(API_KEY, "PATCH"), body: "{" };
    const response = await call(`/v1/webhooks/${id}`, init);
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ code: "invalid_json" });
  });

  it.each([
    ["another path", "https://a.example/in", "https://a.example/out"],
    ["another query", "https://a.example/in?token=1", "https://a.example/in?token=2"],
    ["the port that it had", "https://a.example/in", "https://a.example:443/in"],
    ["the host in capitals", "https://a.example/in", "https://A.EXAMPLE/in"],
  ])("to a URL of the same origin keeps secret and headers: %s", async (_, from, to) => {
    const { id } = await created({ url: from, headers: { "x-a": "1" } });
    const changed = await webhookOf(await patch(id, { url: to }));
    expect(changed).not.toHaveProperty("signingSecret");
    expect(changed.headers).toEqual(["x-a"]);
  });

  it.each([
    ["another host", "https://a.example/in", "https://b.example/in"],
    ["a host below it", "https://a.example/in", "https://x.a.example/in"],
    ["another port", "https://a.example/in", "https://a.example:8443/in"],
    ["another scheme", "https://a.example/in", "http://a.example:443/in"],
  ])(
    "to a URL of another origin rotates the secret and drops the headers: %s",
    async (_, from, to) => {
      const before = await created({ url: from, headers: { "x-a": "1" } });
      const changed = await webhookOf(await patch(before.id, { url: to }));
      expect(changed).toMatchObject({ url: to, headers: [] });
      expect(changed.signingSecret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
      expect(changed.signingSecret).not.toBe(before.signingSecret);
      expect(await webhookOf(await api("GET", `/v1/webhooks/${before.id}`))).toMatchObject({
        url: to,
        headers: [],
      });
    },
  );

  it("to a URL of another origin keeps the headers that are given anew", async () => {
    const { id } = await created({ headers: { "x-a": "1", "x-b": "2" } });
    const changes = { url: "https://b.example/", headers: { "X-B": "2" } };
    expect((await webhookOf(await patch(id, changes))).headers).toEqual(["x-b"]);
  });
});

describe("GET /v1/webhooks", () => {
  it("is an empty list at first", async () => {
    expect(await pageOf()).toEqual({ data: [], next: null });
  });

  it("lists the newest first, without secrets and with the query of every URL masked", async () => {
    const first = await created({ url: "https://a.example/in?token=hush" });
    // Ids of one millisecond have no order.
    await new Promise((resolve) => setTimeout(resolve, 2));
    const second = await created({ url: "https://b.example/in" });
    const { data, next } = await pageOf("", READ_ONLY_API_KEY);
    const { signingSecret: _, ...shownFirst } = first;
    const { signingSecret: __, ...shownSecond } = second;
    expect(data).toEqual([shownSecond, { ...shownFirst, url: "https://a.example/in?…" }]);
    expect(next).toBeNull();
  });

  it("goes on page by page with its cursor, and shows each webhook once", async () => {
    const ids = new Set<string>();
    for (let count = 0; count < 5; count++) ids.add((await created()).id);
    const seen: string[] = [];
    const lengths: number[] = [];
    let query = "?limit=2";
    for (;;) {
      const page = await pageOf(query);
      lengths.push(page.data.length);
      seen.push(...page.data.map(({ id }) => id));
      if (page.next === null) break;
      query = `?limit=2&cursor=${encodeURIComponent(page.next)}`;
    }
    expect(lengths).toEqual([2, 2, 1]);
    expect(seen).toEqual([...ids].sort().reverse());
  });

  it("ends with a full last page", async () => {
    await created();
    await created();
    expect((await pageOf("?limit=2")).next).toBeNull();
    expect((await pageOf("?limit=250")).data).toHaveLength(2);
  });

  it("shows 50 when no limit is given", async () => {
    await Promise.all(Array.from({ length: 51 }, () => created()));
    const page = await pageOf();
    expect(page.data).toHaveLength(50);
    expect((await pageOf(`?cursor=${page.next}`)).data).toHaveLength(1);
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=251", "limit"],
    ["limit=-1", "limit"],
    ["limit=1.5", "limit"],
    ["limit=1e2", "limit"],
    ["limit=", "limit"],
    ["limit=ten", "limit"],
    ["limit=%2050", "limit"],
    ["limit=1&limit=2", "limit"],
    ["cursor=", "cursor"],
    ["cursor=garbage", "cursor"],
    [`cursor=${ULID}`, "cursor"],
    [`cursor=evt_${ULID}`, "cursor"],
    [`cursor=wh_${ULID}%00`, "cursor"],
    [`cursor=wh_${ULID.toLowerCase()}`, "cursor"],
    [`cursor=${"x".repeat(10_240)}`, "cursor"],
    ["status=active", "status"],
    ["Limit=5", "Limit"],
    ["__proto__=1", "__proto__"],
    ["toString=1", "toString"],
    ["=1", ""],
    ["limit=5&=", ""],
  ])("answers 422 to ?%s", async (query, path) => {
    expect(await mistakesOf(await api("GET", `/v1/webhooks?${query}`))).toEqual([path]);
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=251", "limit"],
    ["cursor=garbage", "cursor"],
    ["cursor=-1.0", "cursor"],
    ["status=failed", "status"],
    ["event=a%20b", "event"],
    ["since=yesterday", "since"],
    ["since=2026-11-23", "since"],
    ["until=2026-11-23T12:00:00", "until"],
    ["until=1795435200000", "until"],
    ["order=asc", "order"],
  ])("answers 422 to ?%s of the deliveries of one", async (query, path) => {
    const { id } = await created();
    const response = await api("GET", `/v1/webhooks/${id}/deliveries?${query}`);
    expect(await mistakesOf(response)).toEqual([path]);
  });

  it("lists no deliveries at first", async () => {
    const { id } = await created();
    const response = await api("GET", `/v1/webhooks/${id}/deliveries?limit=250&status=pending`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ data: [], next: null });
  });
});
