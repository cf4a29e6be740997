/**
 * The OpenAPI 3.1 document, from the table of calls. Imported when the document is first asked for, and made once
 * per isolate: no cold start pays for it.
 */
import { OpenAPIRegistry, OpenApiGeneratorV31 } from "@asteasolutions/zod-to-openapi";
import * as z from "zod";
import { ANSWERS, PROBLEM_TYPE, typeOf } from "../contract/problem";
import type { FailureCode } from "../domain/failure";
import { VERSION } from "../version";
import * as answers from "./answers";
import { type Call, TAGS } from "./calls";

const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/)
  .optional()
  .meta({
    description:
      "For 24 h the same key from the same API key, with the same path and body, gets the same answer, marked Idempotency-Replayed: true.",
    example: "5f1c0c7e-0b5d-4a0e-9c1e-2a7c1d1f8f5b",
  });

const leadterraSignature = z
  .string()
  .regex(/^[0-9A-Fa-f]{64}$/)
  .meta({
    description: "Hex HMAC-SHA256 of the raw body, keyed with Leadterra's signing secret.",
    example: "a".repeat(64),
  });

const PATH_PARAMETERS: Record<string, z.ZodType> = {
  webhooks: answers.webhookId.meta({ example: "wh_01HZC7RQNP4XT2KM9QZ8W3V5YA" }),
  events: answers.eventId.meta({ example: "evt_QNH783WW52FCCN914ZB1QAYTW0" }),
  "dead-letters": z.string().meta({ example: "dl_4d1f8a6be0c2" }),
};

const EXAMPLES = "#/components/examples/";

export type Document = ReturnType<OpenApiGeneratorV31["generateDocument"]>;

let made: Document | null = null;

export function openApiDocument(): Document {
  made ??= makeDocument();
  return made;
}

function makeDocument(): Document {
  const registry = new OpenAPIRegistry();
  registry.registerComponent("securitySchemes", "apiKey", {
    type: "http",
    scheme: "bearer",
    description: "One of API_KEYS, or one of READ_ONLY_API_KEYS for GET.",
  });
  for (const code of Object.keys(ANSWERS) as FailureCode[]) {
    registry.registerComponent("examples", code, { value: problemExample(code) });
  }
  for (const { name, calls } of TAGS) {
    for (const call of calls) registry.registerPath(routeOf(call, name));
  }
  return new OpenApiGeneratorV31(registry.definitions).generateDocument({
    openapi: "3.1.0",
    info: {
      title: "Leadterra Relay",
      version: VERSION,
      description:
        "Takes Leadterra's webhooks and delivers each event to every service that asked for it. Unknown fields and parameters are refused with 422; every error is problem+json.",
      license: { name: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: TAGS.map(({ name, description }) => ({ name, description })),
  });
}

type Route = Parameters<OpenAPIRegistry["registerPath"]>[0];

function routeOf(call: Call, tag: string): Route {
  const [method = "", path = ""] = call.on.split(" ");
  const { query, body, summary, description } = call;
  return {
    method: method.toLowerCase() as Route["method"],
    path,
    operationId: call.id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    security: path.startsWith("/v1/") ? [{ apiKey: [] }] : [],
    request: {
      ...headersOf(method, path),
      ...paramsOf(path),
      ...(query && { query }),
      ...(body && {
        body: {
          required: body.optional !== true,
          content: { "application/json": { schema: body.schema, example: body.example } },
        },
      }),
    },
    responses: { ...successesOf(call), ...failuresOf(failureCodes(call, method, path)) },
  };
}

function headersOf(method: string, path: string) {
  if (path.startsWith("/webhooks/")) {
    return { headers: z.object({ "X-Leadterra-Signature": leadterraSignature }) };
  }
  if (method !== "POST") return {};
  return { headers: z.object({ "Idempotency-Key": idempotencyKey }) };
}

function paramsOf(path: string) {
  const [, , resource = ""] = path.split("/");
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  if (names.length === 0) return {};
  const schemaOf = (name: string) =>
    PATH_PARAMETERS[name === "eventId" ? "events" : resource] ?? z.string();
  return { params: z.object(Object.fromEntries(names.map((name) => [name, schemaOf(name)]))) };
}

function successesOf({ answers: bodies, id }: Call): Route["responses"] {
  return Object.fromEntries(
    Object.entries(bodies).map(([status, schema]) => {
      if (schema === null) return [status, { description: "Done." }];
      const [example] = (schema.meta()?.examples ?? []) as unknown[];
      const type = id === "getDocs" ? "text/html" : "application/json";
      const media = { schema, ...(example !== undefined && { example }) };
      return [status, { description: DESCRIPTIONS[status] ?? "Done.", content: { [type]: media } }];
    }),
  );
}

const DESCRIPTIONS: Record<string, string> = {
  200: "Here it is.",
  201: "Registered.",
  202: "Taken on.",
  503: "Something is misconfigured.",
};

/** What can go wrong with this call, by the rules of the API as a whole. */
function failureCodes({ query, body, failures = [] }: Call, method: string, path: string) {
  const codes = new Set<FailureCode>(failures);
  if (!path.startsWith("/v1/")) return codes;
  codes.add("unauthorized");
  if (method !== "GET") codes.add("insufficient_scope");
  if (path.includes("{")) codes.add("not_found");
  if (query !== undefined || body !== undefined || method === "POST") codes.add("invalid_request");
  if (body !== undefined) codes.add("invalid_json").add("payload_too_large");
  if (method === "POST") codes.add("idempotency_key_reused").add("idempotency_key_in_use");
  return codes.add("unavailable");
}

/** One answer for each status, with an example for each code that it can carry. */
function failuresOf(codes: ReadonlySet<FailureCode>): Route["responses"] {
  const statuses = new Set([...codes].map((code) => ANSWERS[code].status));
  return Object.fromEntries(
    [...statuses].sort().map((status) => {
      const its = [...codes].filter((code) => ANSWERS[code].status === status);
      return [status, failureAnswer(its)];
    }),
  );
}

function failureAnswer(codes: FailureCode[]): Route["responses"][string] {
  const names = new Set(codes.flatMap((code) => HEADERS_WITH[code] ?? []));
  const headers = [...names].map((name) => [
    name,
    { required: false, schema: { type: "string" as const } },
  ]);
  return {
    description: codes.map((code) => `\`${code}\`: ${ANSWERS[code].detail}`).join("\n\n"),
    ...(names.size > 0 && { headers: Object.fromEntries(headers) }),
    content: {
      [PROBLEM_TYPE]: {
        schema: answers.problemDetails,
        examples: Object.fromEntries(codes.map((code) => [code, { $ref: EXAMPLES + code }])),
      },
    },
  };
}

const HEADERS_WITH: { [Code in FailureCode]?: string[] } = {
  unauthorized: ["WWW-Authenticate"],
  method_not_allowed: ["Allow"],
  queue_unavailable: ["Retry-After"],
  not_yet_in_force: ["Retry-After"],
  unavailable: ["Retry-After"],
};

function problemExample(code: FailureCode) {
  const { status, title, detail } = ANSWERS[code];
  const requestId = "0b0b7f7e-4c1d-4a4e-9a3f-7d6f5e4c3b2a";
  const errors = ERRORS_WITH[code];
  return { type: typeOf(code), title, status, detail, code, requestId, ...(errors && { errors }) };
}

const ERRORS_WITH: { [Code in FailureCode]?: { path: string; message: string }[] } = {
  invalid_request: [{ path: "limit", message: "Too big: expected number to be <=250" }],
  invalid_event: [{ path: "data", message: "must be an object" }],
};
