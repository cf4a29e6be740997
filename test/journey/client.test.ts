/** A client that knows the relay by /openapi.json alone: paths, methods, examples and schemas come from there. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv, { type ValidateFunction } from "ajv/dist/2020.js";
import createClient, { type Client } from "openapi-fetch";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DOCUMENTED_REPLY } from "../../scripts/leadterra.ts";
import { PATIENCE_MS } from "../rig/api.ts";
import { answering, GENUINE, inTurn, startReceiver, verdicts } from "../rig/receiver.ts";
import { API_KEY, type JourneyRelay, startRelay } from "./relay.ts";

type Json = Record<string, unknown>;
type Media = { schema: Json; example?: unknown };
type Operation = {
  operationId: string;
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, Answer>;
};
type Answer = { content?: Record<string, Media>; $ref?: string };
type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, Json>;
    responses: Record<string, Answer>;
    examples: Record<string, { value: unknown }>;
  };
};
type Named = { method: string; path: string; operation: Operation };

let relay: JourneyRelay;
let document: Document;

beforeAll(async () => {
  relay = await startRelay();
  document = (await (await relay.fetch("/openapi.json")).json()) as Document;
});

afterAll(() => relay?.close());

function operations(): Named[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method, path, operation })),
  );
}

function named(operationId: string): Named {
  const found = operations().find(({ operation }) => operation.operationId === operationId);
  if (found === undefined) throw new Error(`the document has no ${operationId}`);
  return found;
}

/** Objects with fields have those fields and no others: what is not documented is not answered. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, value]) => [key, closed(value)]);
  const open = "properties" in schema && !("additionalProperties" in schema);
  return { ...Object.fromEntries(entries), ...(open && { additionalProperties: false }) };
}

const compiled = new Map<string, ValidateFunction>();

/** Compiled by an independent validator of JSON Schema. */
function validator(schema: Json): ValidateFunction {
  const key = JSON.stringify(schema);
  let validate = compiled.get(key);
  if (validate === undefined) {
    const ajv = new Ajv({ strict: true, strictTypes: false, allErrors: true });
    ajv.addVocabulary(["example", "components"]);
    ajv.addFormat("double", true);
    ajv.addFormat("date-time", (text) => !Number.isNaN(Date.parse(text)));
    ajv.addFormat("uuid", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const components = { schemas: closed(document.components.schemas) };
    validate = ajv.compile({ ...(closed(schema) as Json), components });
    compiled.set(key, validate);
  }
  return validate;
}

function expectToFit(value: unknown, schema: Json, where: string): void {
  const validate = validator(schema);
  validate(value);
  expect(validate.errors ?? [], where).toEqual([]);
}

type Given = { params?: Json; body?: unknown; query?: Json };

/** Makes a documented call, and holds the answer against what is documented for its status. */
async function ask<T = Json>(
  operationId: string,
  { params = {}, body, query = {} }: Given = {},
): Promise<{ status: number; data: T }> {
  const { method, path, operation } = named(operationId);
  const client: Client<Record<string, never>> = createClient({ baseUrl: relay.url });
  const request = client.request as unknown as (
    method: string,
    path: string,
    init: Json,
  ) => Promise<{ data?: unknown; error?: unknown; response: Response }>;
  const { data, error, response } = await request(method, path, {
    params: { path: params, query },
    headers: { authorization: `Bearer ${API_KEY}` },
    ...(body !== undefined && { body }),
  });
  const where = `${operationId} ${response.status}`;
  const given = operation.responses[response.status];
  const answer = document.components.responses[given?.$ref?.split("/").at(-1) ?? ""] ?? given;
  expect(answer, where).toBeDefined();
  const type = response.headers.get("content-type")?.split(";")[0] ?? "";
  const media = answer?.content?.[type];
  if (response.status !== 204) {
    expect(media, `${where} as ${type}`).toBeDefined();
    expectToFit(data ?? error, media?.schema ?? {}, where);
  }
  return { status: response.status, data: (data ?? error) as T };
}

/** The example of a call's body, with some of it replaced. */
function example(operationId: string, fields: Json = {}): Json {
  const media = named(operationId).operation.requestBody?.content["application/json"];
  return { ...(media?.example as Json), ...fields };
}

type Webhook = { webhook: { id: string; url: string; status: string; signingSecret?: string } };
type Delivery = { status: string; attempts: number; attemptLog: Json[] };

async function deliveryOnce(params: Json, isAsWanted: (delivery: Delivery) => boolean) {
  const endsAtMs = Date.now() + PATIENCE_MS;
  for (;;) {
    const { status, data } = await ask<Delivery>("getDelivery", { params });
    if (status === 200 && isAsWanted(data)) return data;
    if (Date.now() > endsAtMs) throw new Error(`waited in vain: ${JSON.stringify(data)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("/openapi.json", () => {
  it("is valid OpenAPI 3.1, by an independent validator", async () => {
    const specification: Json = structuredClone(document);
    expect(await new Validator().validate(specification)).toEqual({ valid: true });
  });

  it("gives examples that fit their own schemas", () => {
    let count = 0;
    for (const { operation } of operations()) {
      const contents = [
        operation.requestBody?.content ?? {},
        ...Object.values(operation.responses).map(({ content = {} }) => content),
      ];
      for (const [type, media] of contents.flatMap((content) => Object.entries(content))) {
        if (type !== "application/json") continue;
        expectToFit(media.example, media.schema, operation.operationId);
        count += 1;
      }
    }
    expect(count).toBeGreaterThan(35);
    const { Problem: problem = {} } = document.components.schemas;
    for (const [code, { value }] of Object.entries(document.components.examples)) {
      expectToFit(value, problem, code);
    }
  });

  it("describes events by schemas that their own examples fit", async () => {
    const { data } = await ask<{ data: { schema: Json; example: Json; name: string }[] }>(
      "listEventTypes",
    );
    for (const { name, schema, example: event } of data.data) {
      expectToFit(event, schema, name);
      const { data: wrong, ...rest } = event as { data: unknown };
      expect(validator(schema)(rest), name).toBe(false);
      expect(wrong).toBeDefined();
    }
  });
});

describe("a client made from /openapi.json", () => {
  it("registers, sends, inspects, retries, rotates and deletes", async () => {
    const receiver = await startReceiver(inTurn(answering(500, { body: "no" }), answering(204)));
    const created = await ask<Webhook>("createWebhook", {
      body: example("createWebhook", { url: receiver.url }),
    });
    expect(created.status).toBe(201);
    const { id, signingSecret = "" } = created.data.webhook;
    const params = { id };

    const ping = await ask("testWebhook", { params, body: example("testWebhook") });
    expect(ping).toMatchObject({ status: 200, data: { trigger: "test", statusCode: 500 } });

    receiver.answer = inTurn(answering(500, { body: "no" }), answering(204));
    const { id: eventId } = (await relay.post(DOCUMENTED_REPLY)).body;
    const failed = await deliveryOnce({ id, eventId }, ({ attempts }) => attempts === 1);
    expect(failed).toMatchObject({
      status: "pending",
      attemptLog: [{ number: 1, statusCode: 500, error: "status", responseBody: "no" }],
    });

    expect((await ask("retryDelivery", { params: { id, eventId } })).status).toBe(202);
    const delivered = await deliveryOnce({ id, eventId }, ({ status }) => status === "delivered");
    expect(delivered.attemptLog).toMatchObject([{ number: 1 }, { number: 2, trigger: "manual" }]);
    const request = await receiver.last();
    expect(verdicts(request, signingSecret)).toEqual(GENUINE);

    const query = { status: "delivered", limit: 1, since: "2020-01-01T00:00:00Z" };
    expect((await ask("listDeliveries", { params, query })).data).toMatchObject({
      data: [{ eventId }],
    });
    expect((await ask("getEvent", { params: { id: eventId } })).data).toMatchObject({
      payload: JSON.parse(DOCUMENTED_REPLY),
      deliveries: [{ webhookId: id, status: "delivered" }],
    });

    const rotated = await ask<Webhook>("rotateSecret", { params, body: { gracePeriodSeconds: 0 } });
    const newSecret = rotated.data.webhook.signingSecret ?? "";
    expect(newSecret).not.toBe(signingSecret);
    await ask("replayEvent", { params: { id: eventId }, body: { webhookIds: [id] } });
    await deliveryOnce({ id, eventId }, ({ attempts }) => attempts === 3);
    expect(verdicts(await receiver.last(), newSecret)).toEqual(GENUINE);

    expect((await ask("deleteWebhook", { params })).status).toBe(204);
    expect(await ask("getWebhook", { params })).toMatchObject({
      status: 404,
      data: { code: "not_found" },
    });
  });

  it("finds every other call as it is described", async () => {
    const receiver = await startReceiver();
    const { data } = await ask<Webhook>("createWebhook", {
      body: { url: `${receiver.url}/?a=1`, events: ["*"] },
    });
    const params = { id: data.webhook.id };
    const { id: eventId } = (await relay.post({ event: "a.b", data: { lead: { email: "z@z" } } }))
      .body;
    await deliveryOnce({ ...params, eventId }, ({ status }) => status === "delivered");
    const since = "2020-01-01T00:00:00Z";
    const calls: [string, Given, number][] = [
      ["listWebhooks", { query: { limit: 5 } }, 200],
      ["getWebhook", { params }, 200],
      ["changeWebhook", { params, body: example("changeWebhook") }, 200],
      ["changeWebhook", { params, body: { color: "red" } }, 422],
      ["putWebhook", { params: { id: "crm" }, body: example("putWebhook") }, 201],
      ["putWebhook", { params: { id: "crm" }, body: example("putWebhook") }, 200],
      ["getWebhook", { params: { id: "crm" } }, 200],
      ["getWebhookHealth", { params }, 200],
      ["listenToWebhook", { params }, 426],
      ["pauseWebhook", { params }, 200],
      ["listAllDeliveries", { query: { event: "a.b" } }, 200],
      ["retryDelivery", { params: { ...params, eventId } }, 202],
      ["cancelDelivery", { params: { ...params, eventId } }, 200],
      ["cancelDelivery", { params: { ...params, eventId } }, 409],
      ["resumeWebhook", { params }, 200],
      ["replayDeliveries", { params, body: { since, only: "all", dryRun: true } }, 202],
      ["discardDeliveries", { params, body: example("discardDeliveries") }, 202],
      ["listDeliveries", { params, query: { status: "lost" } }, 422],
      ["listEvents", { query: { event: "a.b", limit: 1 } }, 200],
      ["testFilter", { body: example("testFilter") }, 200],
      ["listDeadLetters", {}, 200],
      ["redriveDeadLetters", { body: example("redriveDeadLetters", { dryRun: true }) }, 202],
      ["redriveDeadLetter", { params: { id: "dl_none" } }, 404],
      ["deleteDeadLetter", { params: { id: "dl_none" } }, 404],
      ["erasePerson", { body: { email: "z@z" } }, 202],
      ["eraseEvent", { params: { id: eventId } }, 204],
      ["getEvent", { params: { id: eventId } }, 200],
      ["replayEvent", { params: { id: eventId } }, 409],
      ["listAudit", { query: { limit: 250 } }, 200],
      ["getStats", { query: {} }, 200],
      ["getHealth", {}, 200],
      ["getOpenApi", {}, 200],
    ];
    for (const [operationId, given, status] of calls) {
      expect((await ask(operationId, given)).status, operationId).toBe(status);
    }
    const asked = new Set(calls.map(([operationId]) => operationId));
    const elsewhere = ["createWebhook", "deleteWebhook", "rotateSecret", "testWebhook"];
    elsewhere.push("getDelivery", "listEventTypes", "ingestEvent", "getDocs", "getMetrics");
    for (const { operation } of operations()) {
      const known = asked.has(operation.operationId) || elsewhere.includes(operation.operationId);
      expect(known, operation.operationId).toBe(true);
    }
  });
});

describe("code written against Leadterra's API", () => {
  /** The example of Leadterra's page, letter for letter ("Register a webhook"). */
  const CURL = `curl -X POST https://app.leadterra.co/v1/webhooks \\
  -H "Authorization: Bearer sk_live_YOUR_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "url": "https://your-app.com/webhooks/leadterra",
    "events": [
      "campaign.started",
      "message.sent",
      "message.bounced",
      "reply.received"
    ]
  }'`;
  /** What the page shows as the answer. */
  const DOCUMENTED_ANSWER = {
    webhook: {
      id: "wh_01HZC7RQNP4XT2KM",
      url: "https://your-app.com/webhooks/leadterra",
      events: ["campaign.started", "message.sent", "message.bounced", "reply.received"],
      status: "active",
      createdAt: "2025-06-10T16:00:00Z",
    },
  };

  /** As a shell takes such a command apart: words, and words in quotes. */
  function wordsOf(command: string): string[] {
    const words = command.replaceAll("\\\n", " ").matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g);
    return [...words].map(([, double, single, bare]) => double ?? single ?? bare ?? "");
  }

  it("registers unchanged, but for the host and the key", async () => {
    const [, , method = "", url = "", , authorization = "", , type = "", , body = ""] =
      wordsOf(CURL);
    const headers = [authorization, type].map((line) => line.split(": ") as [string, string]);
    const response = await relay.fetch(new URL(url).pathname, {
      method,
      headers: new Headers(
        headers.map(([name, value]) => [name, value.replace("sk_live_YOUR_KEY", API_KEY)]),
      ),
      body,
    });
    expect(response.status).toBe(201);
    const answer = (await response.json()) as { webhook: Json };
    expect(answer).toMatchObject({
      webhook: {
        ...DOCUMENTED_ANSWER.webhook,
        id: expect.stringMatching(/^wh_[0-9A-Z]+$/),
        createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/),
        signingSecret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
      },
    });
    await relay.request("DELETE", `/v1/webhooks/${answer.webhook.id}`);
  });
});

describe("a client that sends Content-Length: 0 with a GET", () => {
  it("is answered as any other", async () => {
    const asked = request(`${relay.url}/v1/webhooks`, {
      headers: { authorization: `Bearer ${API_KEY}`, "content-length": "0" },
    }).end();
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    answer.resume();
    expect(answer.statusCode).toBe(200);
  });
});
