import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { configurationJsonSchema, openApiDocument } from "../../scripts/openapi.ts";
import { ROOT } from "../../scripts/wrangler.ts";

const stored = JSON.parse(readFileSync(join(ROOT, "webhooks.schema.json"), "utf8"));
type Schemas = Record<string, { properties: object }>;

const CRM = { name: "crm", url: "https://crm.example.com/in", events: ["*"] };

describe("webhooks.schema.json", () => {
  it("is what the sources say (npm run build writes it)", () => {
    expect(stored).toEqual(JSON.parse(JSON.stringify(configurationJsonSchema())));
  });

  it("is a component of the OpenAPI document", () => {
    const { components } = openApiDocument() as { components: { schemas: Schemas } };
    expect(Object.keys(stored.properties)).toEqual(
      Object.keys(components.schemas.WebhooksFile?.properties ?? {}),
    );
  });

  it.for([
    [true, { webhooks: [] }],
    [true, { $schema: "./webhooks.schema.json", webhooks: [CRM] }],
    [true, { webhooks: [{ ...CRM, headers: { "x-a": "b", "x-c": { $env: "C" } } }] }],
    [true, { webhooks: [{ ...CRM, filter: { event: "x" }, status: "paused", rateLimit: null }] }],
    [false, { webhooks: [{ ...CRM, colour: "red" }] }],
    [false, { webhooks: [{ ...CRM, name: "CRM" }] }],
    [false, { webhooks: [{ ...CRM, dryRun: true }] }],
    [false, { webhooks: [{ url: CRM.url, events: ["*"] }] }],
    [false, { webhooks: [{ ...CRM, headers: { "x-c": { $env: "not a name" } } }] }],
    [false, { hooks: [] }],
  ] as const)("says %s of %j", ([isRight, file]) => {
    const ajv = new Ajv2020({ strict: false, formats: { double: true } });
    expect(ajv.validate(stored, file)).toBe(isRight);
  });
});
