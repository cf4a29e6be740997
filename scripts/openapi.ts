/**
 * The OpenAPI 3.1 document, from the calls of src/contract. public.mjs writes it before the Worker is bundled: it is not in the
 * Worker. `x-stored-data` is the version of what objects store, for who is about to deploy another release.
 */
import * as z from "zod/mini";
import { calls as deliveries } from "../src/contract/deliveries";
import { calls as events } from "../src/contract/events";
import { EXAMPLE } from "../src/contract/fields";
import { calls as operating } from "../src/contract/operating";
import { ANSWERS, PROBLEM_TYPE, typeOf } from "../src/contract/problem";
import { calls as open } from "../src/contract/public";
import { type Content, json, type Route } from "../src/contract/route";
import { calls as webhooks } from "../src/contract/webhooks";
import { type EventTypeName, eventSchema, exampleEvent, KNOWN_EVENTS } from "../src/domain/event";
import type { FailureCode } from "../src/domain/failure";
import { isRelayEvent } from "../src/domain/relay-events";
import { VERSION as STORED_VERSION } from "../src/storage/schema";
import { VERSION } from "../src/version";
import { Components, withRefs } from "./openapi-components";
import { CONFIGURATION, configurationSchema } from "./openapi-configuration";

const TAGS = [
  { name: "Webhooks", description: "Who gets which events, and where." },
  { name: "Deliveries", description: "What a webhook is owed, and got." },
  { name: "Events", description: "What Leadterra sent." },
  { name: "Operating", description: "Dead letters, audit log and counters." },
  { name: "Signed deliveries", description: "What a service gets." },
  { name: "Public", description: "What needs no key." },
];

/** Every call of the relay, by tag; tags and calls in the order in which the document has them. */
const CALLS = [webhooks, deliveries, events, operating, open].flatMap((calls): Route[] =>
  Object.values(calls),
);

type Answer = {
  description: string;
  headers?: Record<string, Header>;
  content?: Record<string, object>;
};
type Answers = Record<string, Answer | { $ref: string }>;

/** What is undefined in it is not there: JSON leaves it out. */
export function openApiDocument(): object {
  const components = new Components();
  components.of(configurationSchema);
  return {
    openapi: "3.1.0",
    info: {
      title: "Leadterra Relay",
      version: VERSION,
      "x-stored-data": STORED_VERSION,
      description:
        "Takes Leadterra's webhooks and delivers each event to every service that asked for it. Unknown fields and parameters are refused with 422; every error is problem+json.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: TAGS,
    paths: Object.fromEntries(
      [...Map.groupBy(CALLS, ({ path }) => path)].map(([path, calls]) => [
        path,
        Object.fromEntries(calls.map((call) => [call.method, described(call, components)])),
      ]),
    ),
    webhooks: byName(Object.keys(KNOWN_EVENTS) as EventTypeName[], (name) => ({
      post: signedDelivery(components, name),
    })),
    components: {
      securitySchemes: {
        apiKey: {
          type: "http",
          scheme: "bearer",
          description: "One of API_KEYS, or one of READ_ONLY_API_KEYS for GET.",
        },
      },
      schemas: { ...components.schemas, ...CONFIGURATION },
      responses: components.responses,
      examples: byName(Object.keys(ANSWERS) as FailureCode[], (code) => ({
        value: problemExample(code),
      })),
    },
  };
}

function byName<Name extends string>(names: readonly Name[], of: (name: Name) => object) {
  return Object.fromEntries(names.map((name) => [name, of(name)]));
}

function described(call: Route, components: Components): object {
  const { operationId, path, summary, description, request = {}, tags } = call;
  const parameters = [
    ...components.parameters("path", request.params),
    ...components.parameters("query", request.query),
    ...components.parameters("header", headersOf(call)),
  ];
  return {
    operationId,
    tags,
    summary,
    description,
    security: path.startsWith("/v1/") ? [{ apiKey: [] }] : [],
    parameters: parameters.length > 0 ? parameters : undefined,
    requestBody: request.body && {
      required: request.body.required,
      content: contentOf(components, request.body.content),
    },
    responses: {
      ...successesOf(call, components),
      ...failuresOf(failureCodes(call), components),
    },
  };
}

function contentOf(components: Components, content: Content) {
  const { schema, example } = content["application/json"];
  return { "application/json": { schema: components.of(schema), example } };
}

const idempotencyKey = z
  .optional(z.string().check(z.regex(/^[\x21-\x7e]{1,255}$/)))
  .register(z.globalRegistry, {
    description:
      "For 24 h the same key from the same API key, with the same path and body, gets the same answer, marked Idempotency-Replayed: true.",
  });

const leadterraSignature = z
  .string()
  .check(z.regex(/^[0-9A-Fa-f]{64}$/))
  .register(z.globalRegistry, {
    description: "Hex HMAC-SHA256 of the raw body, keyed with Leadterra's signing secret.",
    example: "a".repeat(64),
  });

const upgrade = z
  .string()
  .register(z.globalRegistry, { pattern: "^websocket$", example: "websocket" });

function headersOf({ method, path, responses }: Route): z.ZodMiniObject | undefined {
  if (101 in responses) return z.object({ Upgrade: upgrade });
  if (path.startsWith("/webhooks/")) {
    return z.object({ "X-Leadterra-Signature": leadterraSignature });
  }
  return method === "post" ? z.object({ "Idempotency-Key": idempotencyKey }) : undefined;
}

type Header = { description: string; required: boolean; schema: { type: "string" } };

function header(description: string, required = false): Header {
  return { description, required, schema: { type: "string" } };
}

function successesOf(call: Route, components: Components): Answers {
  return Object.fromEntries(
    Object.entries(call.responses).map(([status, { description, content, text }]) => {
      const headers = successHeaders(call, status);
      return [
        status,
        {
          description,
          ...(Object.keys(headers).length > 0 && { headers }),
          ...(content && { content: contentOf(components, content) }),
          ...(text && { content: { [text]: { schema: { type: "string" } } } }),
        },
      ];
    }),
  );
}

function successHeaders({ method, path }: Route, status: string): Record<string, Header> {
  return {
    ...(status === "201" && { Location: header("The path of what was made.", true) }),
    ...(method === "post" &&
      path.startsWith("/v1/") && {
        "Idempotency-Replayed": header(
          "`true` where the answer is that of an earlier call with the same Idempotency-Key.",
        ),
      }),
  };
}

/** What can go wrong with this call, by the rules of the API as a whole. */
function failureCodes({ failures = [], request, method, path }: Route) {
  const codes = new Set<FailureCode>(failures);
  if (!path.startsWith("/v1/")) return codes;
  codes.add("unauthorized").add("invalid_request").add("unavailable").add("newer_data");
  if (request?.params !== undefined) codes.add("not_found");
  if (method !== "get") {
    codes
      .add("insufficient_scope")
      .add("invalid_json")
      .add("payload_too_large")
      .add("incomplete_body");
  }
  if (method === "post") codes.add("idempotency_key_reused").add("idempotency_key_in_use");
  return codes;
}

/** One answer for each status, with an example for each code that it can carry. */
function failuresOf(codes: ReadonlySet<FailureCode>, components: Components): Answers {
  const statuses = [...new Set([...codes].map((code) => ANSWERS[code].status))];
  return Object.fromEntries(
    statuses
      .sort((a, b) => a - b)
      .map((status) => {
        const alike = [...codes].filter((code) => ANSWERS[code].status === status);
        const name = alike.map(componentOf).join("Or");
        components.responses[name] ??= failureAnswer(alike, components);
        return [status, { $ref: `#/components/responses/${name}` }];
      }),
  );
}

function failureAnswer(codes: readonly FailureCode[], components: Components): Answer {
  const headers = Object.assign({}, ...codes.map((code) => HEADERS_WITH[code] ?? {}));
  return {
    description: codes.map((code) => `\`${code}\`: ${ANSWERS[code].detail}`).join("\n\n"),
    ...(Object.keys(headers).length > 0 && { headers }),
    content: {
      [PROBLEM_TYPE]: {
        schema: components.of(problemDetails),
        examples: byName(codes, (code) => ({ $ref: `#/components/examples/${code}` })),
      },
    },
  };
}

const retryAfter = { "Retry-After": header("Seconds to wait before asking again.") };
const HEADERS_WITH: { [Code in FailureCode]?: Record<string, Header> } = {
  unauthorized: { "WWW-Authenticate": header("`Bearer`", true) },
  invalid_signature: { "WWW-Authenticate": header("`Signature`", true) },
  method_not_allowed: { Allow: header("The methods that there are.", true) },
  queue_unavailable: retryAfter,
  not_yet_in_force: retryAfter,
  unavailable: retryAfter,
  newer_data: retryAfter,
};

const problemDetails = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int().check(z.minimum(400), z.maximum(599)),
    detail: z.string(),
    code: z
      .enum(Object.keys(ANSWERS) as [FailureCode])
      .register(z.globalRegistry, { id: "ProblemCode" }),
    requestId: z
      .uuid()
      .register(z.globalRegistry, { description: "Stands in the log line beside it too." }),
    errors: z
      .optional(
        z.array(
          z
            .object({ path: z.string(), message: z.string() })
            .register(z.globalRegistry, { id: "FieldError" }),
        ),
      )
      .register(z.globalRegistry, {
        description: "With every 422; `path` is empty where it is the whole.",
      }),
    signingSecret: z.optional(z.string()).register(z.globalRegistry, {
      description: "With `not_yet_in_force`, when the change made a new one: shown here only.",
    }),
  })
  .register(z.globalRegistry, { id: "Problem", description: "RFC 9457 problem details." });

function problemExample(code: FailureCode) {
  const { status, title, detail } = ANSWERS[code];
  const requestId = "0b0b7f7e-4c1d-4a4e-9a3f-7d6f5e4c3b2a";
  const errors = ERRORS_WITH[code];
  return { type: typeOf(code), title, status, detail, code, requestId, ...(errors && { errors }) };
}

const ERRORS_WITH: { [Code in FailureCode]?: { path: string; message: string }[] } = {
  invalid_request: [{ path: "limit", message: "must be a whole number from 1 to 250, such as 50" }],
  invalid_event: [{ path: "data", message: "must be an object" }],
  idempotency_key_reused: [{ path: "Idempotency-Key", message: "came with another call before" }],
};

/** What `GET /v1/event-types` shows of each: it is written before the Worker is bundled, which makes no schemas of schemas. */
export function eventSchemas(): object {
  return byName(Object.keys(KNOWN_EVENTS) as EventTypeName[], (name) =>
    z.toJSONSchema(eventSchema(name)),
  );
}

/** The same schema as a file of its own, by which an editor completes `webhooks.json`. */
export function configurationJsonSchema(): object {
  const components = new Components();
  components.of(configurationSchema);
  const { WebhooksFile, ...others } = components.schemas;
  const whole = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Webhooks of a Leadterra Relay",
    ...WebhooksFile,
    $defs: others,
  };
  return withRefs(whole, "#/components/schemas/", "#/$defs/");
}

/** What a service gets when an event of this name is delivered to it. */
function signedDelivery(components: Components, name: EventTypeName): object {
  const { description } = KNOWN_EVENTS[name];
  // Named and not referred to: a generator that writes code for webhooks makes none that compiles of a reference.
  components.of(eventSchema(name).register(z.globalRegistry, { id: componentOf(name) }));
  const schema = z.looseObject({});
  const example = exampleEvent(name, Date.parse("2026-11-23T09:14:35Z"));
  return {
    operationId: `deliver${componentOf(name)}`,
    tags: ["Signed deliveries"],
    summary: `An event is delivered: ${name}`,
    description: `${description} ${isRelayEvent(name) ? "The relay makes it itself, and sends it to webhooks that name it." : "The body is what Leadterra sent, byte for byte; events of other names come the same way."} Its fields are those of the schema \`${componentOf(name)}\`.`,
    security: [],
    parameters: components.parameters("header", DELIVERY_HEADERS),
    requestBody: {
      required: true,
      content: contentOf(components, json(schema, example)),
    },
    responses: {
      "2XX": { description: "Taken. Every other status is tried again on the schedule." },
      410: { description: "Disables the webhook: there is nobody here any more." },
    },
  };
}

/** `reply.received` → `ReplyReceived`. */
function componentOf(name: string): string {
  return name.replaceAll(/(?:^|[._])(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function told(description: string, example?: string) {
  return z
    .string()
    .register(z.globalRegistry, { description, ...(example !== undefined && { example }) });
}

const DELIVERY_HEADERS = z.object({
  "webhook-id": told("The event id: the same over all attempts.", EXAMPLE.eventId),
  "webhook-timestamp": told("Unix seconds of this attempt.", "1795425276"),
  "webhook-signature": told(
    "Standard Webhooks 1.0: `v1,` and base64 for each live secret, newest first, separated by a space.",
  ),
  "X-Leadterra-Signature": z.clone(leadterraSignature).register(z.globalRegistry, {
    description:
      "Hex HMAC-SHA256 of the raw body, keyed with the webhook's oldest live signing secret.",
    example: "a".repeat(64),
  }),
  "X-Leadterra-Event": told("The name of the event.", "reply.received"),
  "X-Relay-Attempt": told("1, 2, 3 …", "1"),
});
