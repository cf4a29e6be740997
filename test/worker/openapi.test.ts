import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import { eventSchemas, openApiDocument } from "../../scripts/openapi";
import { conforms, parseEvent } from "../../src/domain/event";
import { api as router } from "../../src/routes/api";
import { app } from "../../src/routes/app";
import { it } from "../rig/worker/fixture";
import { api, bytesOf, call, callWith } from "../rig/worker/requests";

type Answer = { content?: Record<string, { example?: unknown; examples?: object }> };
type Schema = { pattern?: string };
type Operation = {
  description?: string;
  operationId: string;
  tags: string[];
  security: unknown[];
  parameters?: { name: string; in: string; required: boolean }[];
  requestBody?: { content: Record<string, { example?: unknown; schema: object }> };
  responses: Record<string, Answer | { $ref: string }>;
};
type Document = {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  webhooks: Record<string, { post: Operation }>;
  components: {
    securitySchemes: object;
    examples: Record<string, { value: object }>;
    responses: Record<string, Answer>;
    schemas: Record<string, object>;
  };
};

/** Pages for people, and what they load, are no calls. */
const PAGES = /^\/dashboard/;

const UNREACHABLE = new Proxy(
  {},
  {
    get: (_, name) => {
      throw new Error(`${String(name)} of a binding was asked for`);
    },
  },
);

async function documented(): Promise<Document> {
  const response = await call("/openapi.json");
  expect(response.status).toBe(200);
  return response.json();
}

function operationsOf({ paths }: Document) {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      on: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  );
}

function answersOf(document: Document) {
  return operationsOf(document).flatMap(({ on, operation }) =>
    Object.entries(operation.responses).flatMap(([status, given]) => {
      const shared = "$ref" in given ? given.$ref.split("/").at(-1) : undefined;
      const answer = shared === undefined ? given : document.components.responses[shared];
      return Object.entries((answer as Answer).content ?? {}).map(([type, media]) => {
        return { where: `${on} ${status} ${type}`, status: Number(status), type, media };
      });
    }),
  );
}

/** What the router serves, in the words of OpenAPI. A path for every method is a call by POST. */
function routedCalls(): string[] {
  const calls = [...router.routes, ...app.routes]
    // A path with a slash at its end is another spelling of the one without.
    .filter(({ path }) => !path.includes("*") && !path.endsWith("/") && !PAGES.test(path))
    .map(
      ({ method, path }) =>
        `${method === "ALL" ? "POST" : method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`,
    );
  return [...new Set(calls)].sort();
}

describe("GET /openapi.json", () => {
  it("is what the sources say: it is written anew by `npm run build`", async () => {
    expect(await documented()).toEqual(JSON.parse(JSON.stringify(openApiDocument())));
  });

  it("describes every route that there is, and none that there is not", async () => {
    const described = operationsOf(await documented()).map(({ on }) => on);
    expect(described.length).toBeGreaterThan(30);
    expect([...described].sort()).toEqual(routedCalls());
  });

  it("asks for a key exactly where one is needed", async () => {
    for (const { on, operation } of operationsOf(await documented())) {
      const needsKey = on.includes(" /v1/");
      expect(operation.security, on).toEqual(needsKey ? [{ apiKey: [] }] : []);
      expect("401" in operation.responses, on).toBe(needsKey || on.includes("leadterra"));
      const changes = !on.startsWith("GET") || on.endsWith("/listen");
      expect("403" in operation.responses, on).toBe(needsKey && changes);
    }
  });

  it("gives every call a name of its own, a sentence that says when one needs it, and an example of each body", async () => {
    const document = await documented();
    const operations = operationsOf(document);
    const names = new Set(operations.map(({ operation }) => operation.operationId));
    expect(names.size).toBe(operations.length);
    for (const { on, operation } of operations) {
      expect(operation.description, on).toMatch(/^[A-Z].+\.$/s);
      for (const { example } of Object.values(operation.requestBody?.content ?? {})) {
        expect(example, on).toBeDefined();
      }
    }
    for (const { where, type, media } of answersOf(document)) {
      if (type === "application/json") expect(media.example, where).toBeDefined();
    }
  });

  it("shows each error that a call can answer with", async () => {
    const document = await documented();
    for (const { where, status, type, media } of answersOf(document)) {
      if (type !== "application/problem+json") continue;
      const codes = Object.keys(media.examples ?? {});
      expect(codes.length, where).toBeGreaterThan(0);
      for (const code of codes) {
        expect(document.components.examples[code]?.value, where).toMatchObject({ code, status });
      }
    }
  });

  it("names the headers that calls take", async () => {
    for (const { on, operation } of operationsOf(await documented())) {
      const names = (operation.parameters ?? [])
        .filter((parameter) => parameter.in === "header")
        .map(({ name }) => name);
      if (on === "POST /webhooks/leadterra") expect(names).toEqual(["X-Leadterra-Signature"]);
      else if (on.endsWith("/listen")) expect(names).toEqual(["Upgrade"]);
      else expect(names, on).toEqual(on.startsWith("POST") ? ["Idempotency-Key"] : []);
    }
  });
});

describe("what needs no key", () => {
  it.each(["/healthz", "/openapi.json", "/docs"])(
    "calls no object and no store: %s",
    async (path) => {
      const bindings = {
        REGISTRY: UNREACHABLE,
        SUBSCRIBER: UNREACHABLE,
        JOURNAL: UNREACHABLE,
        DEAD_LETTER_STORE: UNREACHABLE,
        IDEMPOTENCY: UNREACHABLE,
        EVENTS: UNREACHABLE,
      };
      expect((await callWith(bindings, path)).status).toBe(200);
    },
  );
});

describe("the description, for those who make clients from it", () => {
  /** Every object with a `properties` of its own, with the way to it. */
  function objectsIn(value: unknown, where: string): string[] {
    if (typeof value !== "object" || value === null) return [];
    const found = Object.entries(value).flatMap(([key, inner]) =>
      objectsIn(inner, `${where}.${key}`),
    );
    return "properties" in value && "type" in value ? [where, ...found] : found;
  }

  it("names every body, page, enum and answer", async () => {
    const { paths } = await documented();
    expect(objectsIn(paths, "paths")).toEqual([]);
    expect(JSON.stringify(paths)).not.toContain('"enum"');
  });

  it("has no default of null, no whole number without a type, no set, no pattern for a time, no open bound", async () => {
    const text = JSON.stringify(await documented());
    expect(text).not.toContain('"default":null');
    expect(text).not.toContain("uniqueItems");
    expect(text).not.toContain("9007199254740991");
    expect(text).not.toContain("-02-29");
    // Was true or false once: ogen reads it so, and refuses the whole document.
    expect(text).not.toContain('"exclusiveMinimum"');
  });

  it("has no asterisks outside of code that markdown would take for emphasis", async () => {
    const said: string[] = [];
    JSON.stringify(await documented(), (key, value: unknown) => {
      if (key === "description" && typeof value === "string") said.push(value);
      return value;
    });
    expect(said.length).toBeGreaterThan(100);
    const isEmphasis = (text: string) => /\*[^*]+\*/.test(text.replace(/`[^`]*`|\*{3}/g, ""));
    expect(said.filter(isEmphasis)).toEqual([]);
  });

  it("has no default in a body: a type made of it would have to be given", async () => {
    const { components } = await documented();
    const fields = Object.values(components.schemas).flatMap((schema) =>
      Object.entries((schema as { properties?: Record<string, object> }).properties ?? {}),
    );
    expect(fields.length).toBeGreaterThan(100);
    expect(fields.filter(([, field]) => "default" in field)).toEqual([]);
  });

  it("says what opens a socket, what a cursor and a URL never are, and which name a webhook can be put under", async () => {
    const { paths, components } = await documented();
    const asked = (on: string, parameter: string) => {
      const [method = "", path = ""] = on.split(" ");
      const { parameters = [] } = paths[path]?.[method.toLowerCase()] ?? {};
      return parameters.find(({ name }) => name === parameter) as { schema?: Schema } | undefined;
    };
    const upgrade = new RegExp(
      asked("GET /v1/webhooks/{id}/listen", "Upgrade")?.schema?.pattern ?? "",
    );
    expect(["websocket", "", "h2c"].map((it) => upgrade.test(it))).toEqual([true, false, false]);
    expect(asked("GET /v1/audit", "cursor")?.schema).toMatchObject({ minLength: 1 });
    const { WebhookDraft } = components.schemas as {
      WebhookDraft: { properties: { url: Schema } };
    };
    const url = new RegExp(WebhookDraft.properties.url.pattern ?? "", "u");
    expect(url.test("https://a.example/in?x=1")).toBe(true);
    expect(url.test("https://a.example/\u0016")).toBe(false);
    expect(url.test("service:A/\u0085")).toBe(false);
    expect(paths["/v1/webhooks/{id}"]?.put?.description).toContain("`name` is that of the path");
  });

  it("has no object of a name that generated clients give their own settings", async () => {
    const { components } = await documented();
    expect(components.schemas.Configuration).toEqual({
      $ref: "#/components/schemas/WebhooksFile",
    });
    expect(components.schemas.WebhooksFile).toHaveProperty("properties.webhooks");
    // By its title a generator would name it, and its other name the same: openapi-python-client makes neither then.
    expect(Object.values(components.schemas).filter((schema) => "title" in schema)).toEqual([]);
  });

  it("says who may use it, by an identifier", async () => {
    expect(await documented()).toMatchObject({
      openapi: "3.1.0",
      info: { license: { name: "MIT", identifier: "MIT" } },
      servers: [{ url: "/" }],
    });
  });

  it("has every code of a failure in one list", async () => {
    const { components } = await documented();
    const { enum: codes } = components.schemas.ProblemCode as { enum: string[] };
    expect([...codes].sort()).toEqual(Object.keys(components.examples).sort());
  });

  it("has no word in two named lists: generators for Go make constants of them", async () => {
    const { components } = await documented();
    const lists = Object.values(components.schemas) as { enum?: string[] }[];
    const words = lists.flatMap(({ enum: list = [] }) => list);
    expect(words.length).toBeGreaterThan(30);
    expect(words.filter((word, index) => words.indexOf(word) !== index)).toEqual([]);
  });

  it("shows one example for each status, and none for a key that may be used once", async () => {
    const document = await documented();
    const shown = (on: string, status: string) => {
      const [method = "", path = ""] = on.split(" ");
      const answer = document.paths[path]?.[method.toLowerCase()]?.responses[status] as Answer;
      return answer.content?.["application/json"]?.example;
    };
    expect(shown("GET /healthz", "200")).toMatchObject({ status: "ok" });
    expect(shown("GET /healthz", "503")).toMatchObject({ status: "misconfigured" });
    expect(shown("POST /webhooks/leadterra", "202")).toMatchObject({ duplicate: false });
    expect(shown("POST /webhooks/leadterra", "200")).toMatchObject({ duplicate: true });
    for (const { operation } of operationsOf(document)) {
      const key = operation.parameters?.find(({ name }) => name === "Idempotency-Key");
      expect(JSON.stringify(key ?? {})).not.toContain("example");
    }
  });

  it("describes the signed delivery of each documented event", async () => {
    const { webhooks } = await documented();
    expect(Object.keys(webhooks)).toEqual([
      "campaign.started",
      "message.sent",
      "message.bounced",
      "reply.received",
      "relay.webhook.failing",
      "relay.webhook.recovered",
      "relay.webhook.disabled",
      "relay.delivery.undeliverable",
      "relay.dead_letter.added",
    ]);
    for (const { post } of Object.values(webhooks)) {
      const headers = (post.parameters ?? []).map(({ name }) => name);
      expect(headers).toContain("webhook-signature");
      expect(headers).toContain("X-Leadterra-Signature");
    }
  });

  it("says of every call below /v1 that what it does not know is refused", async () => {
    for (const { on, operation } of operationsOf(await documented())) {
      if (!on.includes(" /v1/")) continue;
      expect(operation.responses, on).toHaveProperty("422");
      if (!on.startsWith("GET")) expect(operation.responses, on).toHaveProperty("400");
      if (!on.startsWith("GET")) expect(operation.responses, on).toHaveProperty("413");
    }
  });
});

describe("GET /docs", () => {
  it("loads nothing from elsewhere, and is drawn by scripts of its own", async () => {
    const response = await call("/docs");
    expect(response.headers.get("content-type")).toMatch(/^text\/html/);
    const policy = response.headers.get("content-security-policy");
    expect(policy).toMatch(/^default-src 'none'; script-src 'self';/);
    expect(policy).toContain("connect-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/script-src[^;]*unsafe|https?:|\*/);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    const html = await response.text();
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|<iframe|<img/i);
    const links = [...html.matchAll(/\b(?:href|src)="([^"]*)"/g)].map(([, url = ""]) => url);
    expect(links).toEqual([
      "data:,",
      "/openapi.json",
      "/dashboard",
      "/reference/start.js",
      "/reference/scalar.js",
    ]);
    // The other script is copied from its package when the Worker is bundled.
    for (const path of ["/openapi.json", "/reference/start.js"]) {
      const file = await env.ASSETS.fetch(`https://relay.example${path}`);
      expect(file.status, path).toBe(200);
      await file.body?.cancel();
    }
  });

  it("points to the document where nothing draws it", async () => {
    const html = await (await call("/docs")).text();
    expect(html).toMatch(/<noscript>.*href="\/openapi\.json".*<\/noscript>/s);
  });
});

describe("GET /v1/event-types", () => {
  type EventType = {
    name: string;
    description: string;
    schema: { properties: Record<string, unknown>; required: string[] };
    example: Record<string, unknown>;
  };

  it("has the schemas that the sources say: they are written anew by `npm run build`", async () => {
    const { data } = await (await api("GET", "/v1/event-types")).json<{ data: EventType[] }>();
    const shown = Object.fromEntries(data.map(({ name, schema }) => [name, schema]));
    expect(shown).toEqual(JSON.parse(JSON.stringify(eventSchemas())));
  });

  it("gives each documented event with a schema and an example of the whole", async () => {
    const response = await api("GET", "/v1/event-types");
    expect(response.status).toBe(200);
    const { data, ...rest } = await response.json<{ data: EventType[] }>();
    expect(rest).toEqual({});
    expect(data.map(({ name }) => name)).toEqual([
      "campaign.started",
      "message.sent",
      "message.bounced",
      "reply.received",
      "relay.webhook.failing",
      "relay.webhook.recovered",
      "relay.webhook.disabled",
      "relay.delivery.undeliverable",
      "relay.dead_letter.added",
    ]);
    for (const { name, description, schema, example } of data) {
      expect(description).not.toBe("");
      expect(schema.required).toEqual(expect.arrayContaining(["event", "timestamp", "data"]));
      expect(schema.properties.event).toMatchObject({ const: name });
      const parsed = await parseEvent(bytesOf(example));
      expect(parsed).toMatchObject({ ok: true, value: { name } });
      expect(parsed.ok && conforms(parsed.value)).toBe(true);
    }
  });
});
