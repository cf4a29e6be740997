import { describe, expect } from "vitest";
import { conforms, parseEvent } from "../../src/domain/event";
import { app } from "../../src/routes/app";
import { it } from "../rig/worker/fixture";
import { api, bytesOf, call, callWith } from "../rig/worker/requests";

type Operation = {
  operationId: string;
  tags: string[];
  security: unknown[];
  parameters?: { name: string; in: string; required: boolean }[];
  requestBody?: { content: Record<string, { example?: unknown }> };
  responses: Record<string, { content?: Record<string, { example?: unknown; examples?: object }> }>;
};
type Document = {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { securitySchemes: object; examples: Record<string, { value: object }> };
};

/** Pages for people, and what they load, are no calls. */
const PAGES = /^\/(dashboard|docs\/)/;

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

function answersOf(operations: ReturnType<typeof operationsOf>) {
  return operations.flatMap(({ on, operation }) =>
    Object.entries(operation.responses).flatMap(([status, { content = {} }]) =>
      Object.entries(content).map(([type, media]) => {
        return { where: `${on} ${status} ${type}`, status: Number(status), type, media };
      }),
    ),
  );
}

/** What the router serves, in the words of OpenAPI. A path for every method is a call by POST. */
function routedCalls(): string[] {
  const calls = app.routes
    .filter(({ path }) => !path.includes("*") && !PAGES.test(path))
    .map(
      ({ method, path }) =>
        `${method === "ALL" ? "POST" : method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`,
    );
  return [...new Set(calls)].sort();
}

describe("GET /openapi.json", () => {
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
      expect("403" in operation.responses, on).toBe(needsKey && !on.startsWith("GET"));
    }
  });

  it("gives every call a name of its own, and an example of each body", async () => {
    const operations = operationsOf(await documented());
    const names = new Set(operations.map(({ operation }) => operation.operationId));
    expect(names.size).toBe(operations.length);
    for (const { on, operation } of operations) {
      for (const { example } of Object.values(operation.requestBody?.content ?? {})) {
        expect(example, on).toBeDefined();
      }
    }
    for (const { where, type, media } of answersOf(operations)) {
      if (type === "application/json") expect(media.example, where).toBeDefined();
    }
  });

  it("shows each error that a call can answer with", async () => {
    const document = await documented();
    for (const { where, status, type, media } of answersOf(operationsOf(document))) {
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

describe("GET /docs", () => {
  const linksOf = (html: string) =>
    [...html.matchAll(/\b(?:href|src)="([^"]*)"/g)].map(([, url = ""]) => url);

  it("shows every call, and every link within it leads somewhere", async () => {
    const html = await (await call("/docs")).text();
    for (const { on, operation } of operationsOf(await documented())) {
      expect(html, on).toContain(`id="${operation.operationId}"`);
    }
    const ids = new Set([...html.matchAll(/\bid="([^"]*)"/g)].map(([, id]) => id));
    const anchors = linksOf(html).filter((url) => url.startsWith("#"));
    expect(anchors.length).toBeGreaterThan(30);
    for (const anchor of anchors) expect(ids).toContain(anchor.slice(1));
  });

  it("loads nothing from elsewhere and runs nothing", async () => {
    const response = await call("/docs");
    expect(response.headers.get("content-type")).toMatch(/^text\/html/);
    const policy = response.headers.get("content-security-policy");
    expect(policy).toMatch(/^default-src 'none'; style-src 'self';/);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|script|https?:|\*/);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    const html = await response.text();
    expect(html).not.toMatch(/<script|<style|\sstyle=|\son\w+=|<iframe|<img/i);
    const links = linksOf(html);
    expect(links.length).toBeGreaterThan(30);
    for (const url of links) expect(url).toMatch(/^(#|\/(?!\/))/);
  });

  it("has a stylesheet whose name changes with its content, so that it may be kept", async () => {
    const html = await (await call("/docs")).text();
    const path = /<link rel="stylesheet" href="([^"]+)"/.exec(html)?.[1] ?? "";
    const style = await call(path);
    expect(style.status).toBe(200);
    expect(style.headers.get("content-type")).toBe("text/css; charset=utf-8");
    expect(style.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    expect(style.headers.get("x-content-type-options")).toBe("nosniff");
    const text = await style.text();
    expect(text).toContain("light-dark(");
    expect(text).not.toMatch(/url\(|@import/);
    const digest = await crypto.subtle.digest("SHA-256", bytesOf(text));
    const hash = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0"));
    expect(path).toBe(`/docs/style-${hash.join("").slice(0, 16)}.css`);
    expect((await call("/docs/style-0000000000000000.css")).status).toBe(404);
  });
});

describe("GET /v1/event-types", () => {
  type EventType = {
    name: string;
    description: string;
    schema: { properties: Record<string, unknown>; required: string[] };
    example: Record<string, unknown>;
  };

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
