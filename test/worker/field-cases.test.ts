/**
 * Cases from the field, each with neighbours of its kind: what people type, paste and configure, and what the relay
 * makes of it. Asked of the whole Worker from outside, so that the same file can be run against another release.
 */
import { createExecutionContext, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import worker from "../../src/index";
import { eventually } from "../rig/eventually";

const ORIGIN = "https://relay.example";
const SECRET = "test-signing-secret-one";
const KEY = "test-key-with-all-rights";
const HOOK = "https://crm.example.com/in";

type Given = Record<string, unknown>;
type Shown = Record<string, unknown> & { id: string; updatedAt: string; signingSecret: string };

/** What the relay said that needs a person. */
let errors: string[] = [];

beforeEach(() => {
  errors = [];
  vi.spyOn(console, "log").mockImplementation(() => undefined);
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  vi.spyOn(console, "error").mockImplementation((line) => void errors.push(String(line)));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

// --- the relay, from outside ----------------------------------------------------------------------------------

async function ask(path: string, init: RequestInit = {}, bindings: Given = {}): Promise<Response> {
  const all = { ...env, LEADTERRA_SIGNING_SECRETS: SECRET, API_KEYS: KEY, ...bindings };
  // What is not bound is not there.
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  const context = createExecutionContext();
  return worker.fetch(new Request(`${ORIGIN}${path}`, init), given as unknown as Env, context);
}

function api(method: string, path: string, body?: unknown, bindings?: Given): Promise<Response> {
  const headers = { authorization: `Bearer ${KEY}` };
  const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
  return ask(path, init, bindings);
}

async function hook(fields: Given = {}): Promise<Shown> {
  const made = await api("POST", "/v1/webhooks", { url: HOOK, events: ["*"], ...fields });
  expect(made.status).toBe(201);
  return (await made.json<{ webhook: Shown }>()).webhook;
}

const OWN = { origin: ORIGIN, "sec-fetch-site": "same-origin" };

/** The cookie of whoever signed in to the dashboard. */
async function signedIn(): Promise<string> {
  const form = new URLSearchParams({ key: KEY });
  const answer = await ask("/dashboard/sign-in", { method: "POST", headers: OWN, body: form });
  return answer.headers.get("set-cookie")?.split(";")[0] ?? "";
}

async function signed(body: Uint8Array | string): Promise<RequestInit & { body: Uint8Array }> {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const hash = { name: "HMAC", hash: "SHA-256" };
  const raw = new TextEncoder().encode(SECRET);
  const key = await crypto.subtle.importKey("raw", raw, hash, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes));
  const hex = [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { method: "POST", headers: { "x-leadterra-signature": hex }, body: bytes };
}

const messages: { id: string; timestamp: Date; attempts: number; body: ArrayBuffer }[] = [];
const queue = {
  send: async (body: Uint8Array) => {
    const { buffer } = body.slice();
    messages.push({ id: crypto.randomUUID(), timestamp: new Date(), attempts: 1, body: buffer });
  },
  metrics: async () => ({ backlogCount: 0, backlogBytes: 0 }),
};

/** Posts an event as Leadterra does and hands it over. @returns its id. */
async function arrive(text: string, bindings: Given = {}, name = "leadterra-events") {
  const answer = await ask("/webhooks/leadterra", await signed(text), { EVENTS: queue });
  expect(answer.status).toBe(202);
  await consume(name, bindings);
  return (await answer.json<{ id: string }>()).id;
}

async function consume(name: string, bindings: Given): Promise<void> {
  const batch = messages.splice(0).map((message) => ({ ...message, ack() {}, retry() {} }));
  await worker.queue(
    { queue: name, messages: batch } as never,
    { ...env, ...bindings } as unknown as Env,
    createExecutionContext(),
  );
}

let made = 0;
const sent = (data: string) => `{"event":"message.clicked","data":{"n":${++made},${data}}}`;
const lead = (data: unknown) => sent(JSON.stringify(data).slice(1, -1));

async function payloadOf(id: string): Promise<string> {
  return (await api("GET", `/v1/events/${id}`)).text();
}

// --- people -----------------------------------------------------------------------------------------------------

/** The ids of the events that a search by address lists. */
async function found(email: string): Promise<string[]> {
  const list = await api("GET", `/v1/events?email=${encodeURIComponent(email)}`);
  return (await list.json<{ data: { id: string }[] }>()).data.map(({ id }) => id);
}

describe("a person is erased however the address is written", () => {
  it.each([
    ["with a space behind it", { lead: { email: "ava@acme.example " } }],
    ["with a name before it", { lead: { email: "Ava <ava@acme.example>" } }],
    ["as a link", { lead: { email: "mailto:ava@acme.example" } }],
    ["with a dot behind it", { lead: { email: "ava@acme.example." } }],
    ["beside the lead", { email: "ava@acme.example" }],
    ["as the recipient", { to: "ava@acme.example" }],
    ["as a lead that is text", { lead: "ava@acme.example" }],
    ["in a list of leads", { leads: [{ email: "bo@b.example" }, { email: "ava@acme.example" }] }],
    ["in brackets alone", { lead: { email: "<AVA@Acme.Example>" } }],
    ["with a name that has a comma", { cc: '"Chen, Ava" <ava@acme.example>' }],
    [
      "deep in a list",
      { a: [{ b: { people: [{ mails: ["x@y.example", "ava@acme.example"] }] } }] },
    ],
    ["with an invisible character", { lead: { email: "ava\u200b@acme.example" } }],
  ])("%s", async (_, data) => {
    const id = await arrive(lead(data));
    const queues = { EVENTS: queue, DEAD_LETTERS: queue };
    const erased = await api("POST", "/v1/events/erase", { email: "ava@acme.example" }, queues);
    expect(await erased.json()).toMatchObject({ erased: 1, next: null, queued: false });
    expect(await payloadOf(id)).toContain('"payload":null');
  });

  it.each([
    ["zo\u00eb@acme.example", "zoe\u0308@acme.example"],
    ["zoe\u0308@acme.example", "zo\u00eb@acme.example"],
    ["ava@b\u00fccher.example", "ava@xn--bcher-kva.example"],
    ["ava@xn--bcher-kva.example", "ava@B\u00dcCHER.example"],
    ["AVA@B\u00fccher.example.", "mailto:ava@xn--bcher-kva.example"],
  ])("whatever the letters are made of: %j for %j", async (written, email) => {
    const id = await arrive(lead({ lead: { email: written } }));
    expect(await found(email)).toEqual([id]);
    const queues = { EVENTS: queue, DEAD_LETTERS: queue };
    const erased = await api("POST", "/v1/events/erase", { email }, queues);
    expect(await erased.json()).toMatchObject({ erased: 1, next: null });
    expect(await payloadOf(id)).toContain('"payload":null');
  });

  it.each(["ava@acme.example ", "Ava <ava@acme.example>", "mailto:AVA@acme.example"])(
    "in a dead letter too: %j",
    async (email) => {
      await arrive(lead({ lead: { email } }), {}, "leadterra-dead-letters");
      const letters = async () =>
        (await (await api("GET", "/v1/dead-letters")).json<{ data: unknown[] }>()).data.length;
      expect(await letters()).toBe(1);
      await api("POST", "/v1/events/erase", { email: "ava@acme.example" });
      expect(await letters()).toBe(0);
    },
  );

  it("and nobody else is", async () => {
    const id = await arrive(
      lead({ lead: { email: "java@acme.example" }, cc: "ava@acme.example.com" }),
    );
    const erased = await api("POST", "/v1/events/erase", { email: "ava@acme.example" });
    expect(await erased.json()).toMatchObject({ erased: 0 });
    expect(await payloadOf(id)).not.toContain('"payload":null');
  });
});

describe("the payload that is shown is the text that was sent", () => {
  it.each([
    ["a long whole number", '"x":8202522731445525542'],
    ["a decimal with a zero", '"x":1.10'],
    ["minus zero", '"x":-0'],
    ["a number beyond all", '"x":1e999'],
    ["a key twice", '"x":1,"x":2'],
    ["an exponent in capitals", '"x":1E+2'],
    ["thirty digits", '"x":0.123456789012345678901234567890'],
    ["an escape that need not be one", '"x":"\\u0041\\/"'],
    ["__proto__ as a key", '"__proto__":{"x":1}'],
  ])("%s", async (_, data) => {
    expect(await payloadOf(await arrive(sent(data)))).toContain(data);
  });

  it.each([
    '{"data.n":9007199254740993}',
    '{"data.n":{"$in":[1,9007199254740992]}}',
    '{"data.n":{"$gt":-9007199254740992}}',
  ])("and a filter that would be rounded is refused: %s", async (filter) => {
    const headers = { authorization: `Bearer ${KEY}` };
    const body = `{"url":"${HOOK}","events":["*"],"filter":${filter}}`;
    expect((await ask("/v1/webhooks", { method: "POST", headers, body })).status).toBe(422);
  });
});

// --- settings ---------------------------------------------------------------------------------------------------

describe("a URL whose query was not shown", () => {
  it.each([`${HOOK}?…`, `${HOOK}?%e2%80%a6`, `${HOOK}?%E2%80%A6`, `${HOOK}?…&b=1`])(
    "is refused: %s",
    async (url) => {
      const { id } = await hook({ url: `${HOOK}?token=1` });
      expect((await api("PATCH", `/v1/webhooks/${id}`, { url })).status).toBe(422);
      expect((await api("POST", "/v1/webhooks", { url, events: ["*"] })).status).toBe(422);
    },
  );
});

describe("a schedule that RETENTION would cut off", () => {
  const short = { RETENTION: "1h", RETRY_SCHEDULE: "1m" };

  it.each(["2h 8h", "59m 1m", "1m 1h"])("is refused: %s", async (retrySchedule) => {
    const body = { url: HOOK, events: ["*"], retrySchedule };
    expect((await api("POST", "/v1/webhooks", body, short)).status).toBe(422);
    const { id } = await hook();
    const patched = await api("PATCH", `/v1/webhooks/${id}`, { retrySchedule }, short);
    expect(patched.status).toBe(422);
  });
});

describe("live secrets", () => {
  const rotate = (id: string, fields: Given) =>
    api("POST", `/v1/webhooks/${id}/rotate-secret`, fields);
  const own = (letter: string) => `whsec_${btoa(letter.repeat(32))}`;

  it("are five at most", async () => {
    const { id } = await hook();
    const answers: number[] = [];
    for (let time = 0; time < 6; time++) answers.push((await rotate(id, {})).status);
    expect(answers).toEqual([200, 200, 200, 200, 409, 409]);
    // Without grace there is always room.
    expect((await rotate(id, { gracePeriodSeconds: 0 })).status).toBe(200);
    expect((await rotate(id, {})).status).toBe(200);
  });

  it.each([
    ["the same again", ["a", "a"]],
    ["one of before", ["a", "b", "a"]],
    ["the same three times", ["c", "c", "c"]],
  ])("sign once each: %s", async (_, letters) => {
    const { id } = await hook();
    await rotate(id, { gracePeriodSeconds: 0, signingSecret: own("z") });
    for (const letter of letters) {
      expect((await rotate(id, { signingSecret: own(letter) })).status).toBe(200);
    }
    const asked = vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response(null));
    await api("POST", `/v1/webhooks/${id}/test`);
    const headers = new Headers(asked.mock.calls[0]?.[1]?.headers);
    const signatures = (headers.get("webhook-signature") ?? "").split(" ");
    expect(signatures).toHaveLength(new Set([...letters, "z"]).size);
    expect(new Set(signatures).size).toBe(signatures.length);
  });
});

describe("a secret that not every library reads", () => {
  it.each([
    ["stray bits at its end", `whsec_${"A".repeat(42)}B=`],
    ["stray bits before two signs", `whsec_${"A".repeat(33)}B==`],
    ["the highest bits there are", `whsec_${"A".repeat(42)}D=`],
    ["another alphabet", `whsec_${"-_".repeat(16)}`],
    ["no sign at its end", `whsec_${"A".repeat(43)}`],
  ])("is refused: %s", async (_, signingSecret) => {
    const body = { url: HOOK, events: ["*"], signingSecret };
    expect((await api("POST", "/v1/webhooks", body)).status).toBe(422);
  });
});

describe("a secret that is printed as an example", () => {
  const signingSecret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0ISE=";
  const body = { url: HOOK, events: ["*"], signingSecret };

  it("is the only one that the description of the API prints", async () => {
    const text = await (await ask("/openapi.json")).text();
    expect(new Set(text.match(/whsec_[A-Za-z0-9+/]{32,88}={0,2}/g))).toEqual(
      new Set([signingSecret]),
    );
  });

  it("is refused for a new webhook", async () => {
    expect((await api("POST", "/v1/webhooks", body)).status).toBe(422);
  });

  it("is refused in a rotation", async () => {
    const { id } = await hook();
    const rotated = await api("POST", `/v1/webhooks/${id}/rotate-secret`, { signingSecret });
    expect(rotated.status).toBe(422);
  });

  it("is refused for a webhook by its name", async () => {
    expect((await api("PUT", "/v1/webhooks/crm", body)).status).toBe(422);
  });
});

describe("a change that changes nothing", () => {
  it.each([
    ["PATCH {}", "", {}],
    ["PATCH with the same values", "", { url: HOOK, events: ["*"], description: null }],
    ["resume of what is active", "/resume", undefined],
    ["PATCH with the same header", "", { headers: { "x-a": "1" } }],
    ["PATCH with the default unset", "", { filter: null, rateLimit: null }],
  ])("writes nothing: %s", async (_, path, body) => {
    const { id, updatedAt } = await hook({ headers: { "x-a": "1" } });
    const audit = async () => (await api("GET", "/v1/audit")).json<{ data: unknown[] }>();
    const { data: before } = await audit();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const changed = await api(path === "" ? "PATCH" : "POST", `/v1/webhooks/${id}${path}`, body);
    expect(changed.status).toBe(200);
    expect((await changed.json<{ webhook: Shown }>()).webhook.updatedAt).toBe(updatedAt);
    expect((await audit()).data).toHaveLength(before.length);
  });
});

// --- configuration ----------------------------------------------------------------------------------------------

describe("a list of keys", () => {
  const one = "key-number-one-0123456789";
  const two = "key-number-two-0123456789";
  const asked = (key: string, API_KEYS: string) =>
    ask("/v1/webhooks", { headers: { authorization: `Bearer ${key}` } }, { API_KEYS });

  it.each([
    ["a line end", `${one}\n${two}`],
    ["a line end of Windows", `${one}\r\n${two}\r\n`],
    ["commas and empty lines", `${one},\n\n${two},`],
  ])("may have %s between", async (_, API_KEYS) => {
    for (const key of [one, two]) expect((await asked(key, API_KEYS)).status).toBe(200);
  });

  it.each([
    ["quotes around it", `"${one}"`],
    ["Bearer before it", `Bearer ${one}`],
    ["a name before it", `API_KEYS=${one}`],
    ["a zero-width space in it", `${one}\u200b`],
    ["single quotes around it", `'${one}'`],
    ["a space between two", `${one} ${two}`],
    ["a soft hyphen in it", `key-number\u00ad-one-0123456789`],
  ])("that can never match is named, and not shown: %s", async (_, API_KEYS) => {
    const health = await ask("/healthz", {}, { API_KEYS });
    expect(health.status).toBe(503);
    const text = await health.text();
    expect(text).toContain("API_KEYS");
    expect(text).not.toContain("0123456789");
  });
});

describe("what is configured and cannot work", () => {
  it.each([
    ["EVENTS", undefined],
    ["IDEMPOTENCY", undefined],
    ["REGISTRY", undefined],
    ["DEAD_LETTERS", undefined],
    ["IDEMPOTENCY_TTL", "30000d"],
    ["IDEMPOTENCY_TTL", "366d"],
    ["RETENTION", "3650d"],
    ["RETENTION", "8761h"],
  ])("is named by /healthz: %s=%s", async (name, value) => {
    const health = await ask("/healthz", {}, { [name]: value });
    expect(health.status).toBe(503);
    expect(await health.text()).toContain(name);
  });

  it.each(["365d", "8760h"])("is not what just can: %s", async (most) => {
    const bindings = { IDEMPOTENCY_TTL: most, RETENTION: most };
    expect((await ask("/healthz", {}, bindings)).status).toBe(200);
  });
});

describe("a dead-letter queue of another name", () => {
  const letters = async () =>
    (await (await api("GET", "/v1/dead-letters")).json<{ data: { reason: string }[] }>()).data;

  it.each(["staging-dead-letters", "Second-Relay-DLQ", "q"])(
    "is consumed as one: %s",
    async (name) => {
      await arrive(sent('"a":1'), { DEAD_LETTER_QUEUE: name }, name);
      expect(await letters()).toMatchObject([{ reason: "not_consumed" }]);
    },
  );

  it("leaves the usual one to be a queue like any other", async () => {
    const bindings = { DEAD_LETTER_QUEUE: "staging-dead-letters" };
    await arrive(sent('"a":1'), bindings, "leadterra-dead-letters");
    expect(await letters()).toEqual([]);
  });
});

describe("an ALERT_URL", () => {
  async function raise(ALERT_URL: string, answer: () => Response) {
    const asked = vi.spyOn(globalThis, "fetch").mockImplementation(async () => answer());
    const stub = env.REGISTRY.getByName("registry");
    await runInDurableObject(stub as unknown as DurableObjectStub, async (object) => {
      const registry = object as unknown as {
        env: object;
        raise(alert: object): Promise<void>;
        sendAlerts(): Promise<void>;
      };
      registry.env = { ...registry.env, ALERT_URL };
      await registry.raise({ cause: "a cause", text: "a text" });
      await registry.sendAlerts();
    });
    return asked;
  }

  it.each([
    ["https://user:password@alerts.example/x", "user:password"],
    ["https://user:p%40ss%3Aword@alerts.example/x", "user:p@ss:word"],
    ["https://user:100%sure@alerts.example/x", "user:100%sure"],
    ["https://user:gr\u00fcn@alerts.example/x", "user:gr\u00c3\u00bcn"],
    ["https://token@alerts.example/x", "token:"],
  ])("with credentials sends them as Basic: %s", async (url, credentials) => {
    const asked = await raise(url, () => new Response(null));
    const [target, init] = asked.mock.calls[0] ?? [];
    expect(String(target)).toBe("https://alerts.example/x");
    const { authorization } = Object.fromEntries(new Headers(init?.headers));
    expect(authorization).toBe(`Basic ${btoa(credentials)}`);
  });

  it.each([404, 301, 500])(
    "that answers %s is told of in the figures and on the overview",
    async (status) => {
      await hook();
      await raise("https://alerts.example/x", () => new Response(null, { status }));
      const stats = await (await api("GET", "/v1/stats")).json<{ alerts: object }>();
      expect.soft(stats.alerts).toMatchObject({ statusCode: status });
      const cookie = await signedIn();
      const overview = await ask("/dashboard", { headers: { cookie } });
      expect(await overview.text()).toContain(`it answered ${status}`);
    },
  );
});

// --- requests ---------------------------------------------------------------------------------------------------

describe("the address with a slash at its end", () => {
  it("takes a signed event", async () => {
    const answer = await ask("/webhooks/leadterra/", await signed(sent('"a":1')), {
      EVENTS: queue,
    });
    expect(answer.status).toBe(202);
    messages.length = 0;
  });

  it("refuses as without: a signature", async () => {
    expect((await ask("/webhooks/leadterra/", { method: "POST", body: "{}" })).status).toBe(401);
  });

  it("refuses as without: a method", async () => {
    const answer = await ask("/webhooks/leadterra/");
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST"]);
  });
});

/** A body that begins and never ends, or breaks. */
const body = (then: (controller: ReadableStreamDefaultController) => void) =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"a":'));
      then(controller);
    },
  });

describe("a client that hangs up in the middle of a body", () => {
  it.each([
    ["/webhooks/leadterra", { "x-leadterra-signature": "0".repeat(64) }],
    ["/v1/webhooks", { authorization: `Bearer ${KEY}` }],
    ["/v1/events/erase", { authorization: `Bearer ${KEY}` }],
    ["/v1/filters/test", { authorization: `Bearer ${KEY}` }],
  ])("is answered, and is no error of the relay: %s", async (path, headers) => {
    const broken = body((controller) => controller.error(new Error("Network connection lost.")));
    const answer = await ask(path, { method: "POST", headers, body: broken });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: "incomplete_body" });
    expect(errors).toEqual([]);
  });

  it.each([
    "/dashboard/sign-in",
    "/dashboard/webhooks",
    `/dashboard/events/evt_${"0".repeat(26)}/erase`,
  ])("is answered on a page too: %s", async (path) => {
    const form = new URLSearchParams({ key: KEY });
    const own = { origin: ORIGIN, "sec-fetch-site": "same-origin" };
    const type = "application/x-www-form-urlencoded";
    const signIn = await ask("/dashboard/sign-in", { method: "POST", headers: own, body: form });
    const cookie = signIn.headers.get("set-cookie")?.split(";")[0] ?? "";
    const broken = body((controller) => controller.error(new Error("Network connection lost.")));
    const headers = { ...OWN, cookie, "content-type": type };
    const answer = await ask(path, { method: "POST", headers, body: broken });
    expect(answer.status).toBe(400);
    expect(errors).toEqual([]);
  });
});

describe("a body that never comes", () => {
  it.each([
    ["/webhooks/leadterra", { "content-length": "200000" }, 413],
    ["/webhooks/leadterra", { "content-length": "120001" }, 413],
    ["/v1/webhooks", {}, 401],
    ["/v1/webhooks", { authorization: "Bearer another-key-of-nobody" }, 401],
    ["/dashboard/webhooks", { origin: ORIGIN, "sec-fetch-site": "same-origin" }, null],
    ["/dashboard/audit", { origin: ORIGIN }, null],
  ])("holds nothing without a key: %s %j", async (path, headers, status) => {
    const asked = ask(path, { method: "POST", headers, body: body(() => {}) });
    const late = new Promise<null>((resolve) => setTimeout(resolve, 8_000, null));
    const answer = await Promise.race([asked, late]);
    expect(answer).not.toBeNull();
    if (status !== null) expect(answer?.status).toBe(status);
  });

  it.each([
    ["/webhooks/leadterra", {}],
    ["/webhooks/leadterra", { "content-length": "100" }],
    ["/v1/webhooks", { authorization: `Bearer ${KEY}` }],
  ])("is waited for a minute: %s %j", async (path, headers) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    let answer: Response | undefined;
    void ask(path, { method: "POST", headers, body: body(() => {}) }).then((given) => {
      answer = given;
    });
    await eventually(() => expect(vi.getTimerCount()).toBe(1));
    await vi.advanceTimersByTimeAsync(58_000);
    expect(answer).toBeUndefined();
    await vi.advanceTimersByTimeAsync(2_000);
    const detail = "The body did not come whole: send it again.";
    expect(await answer?.json()).toMatchObject({ status: 400, code: "incomplete_body", detail });
  });
});

describe("every answer", () => {
  it.each([
    "/v1/webhooks",
    "/healthz",
    "/nothing-here",
    "/openapi.json",
    "/dashboard",
    "/webhooks/leadterra",
  ])("says HTTPS only, and no sniffing: %s", async (path) => {
    const { headers } = await ask(path);
    expect(headers.get("strict-transport-security")).toContain("max-age=");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  });
});
