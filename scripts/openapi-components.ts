/** From the schemas of src/contract to those of the OpenAPI document: one that has an id stands once, under its name. */
import * as z from "zod/mini";

type JsonSchema = { [key: string]: unknown };

/** Patterns that the formats say already. */
const FORMATS_ENOUGH = new Set(["date-time", "uuid"]);

export class Components {
  readonly schemas: Record<string, JsonSchema> = {};
  /** Answers that several calls have in common, by the codes that they carry. */
  readonly responses: Record<string, object> = {};

  /** What stands in place of `schema`: a reference where it has a name. What is given is described, not what is made of it. */
  of(schema: z.ZodMiniType): JsonSchema {
    const made = z.toJSONSchema(z.object({ it: schema }), {
      io: "input",
      unrepresentable: "any",
      override: ({ zodSchema, jsonSchema }) => {
        // Of a parameter alone, which says it itself: what has one must be given in a type that is made of a body.
        jsonSchema.default = z.globalRegistry.get(zodSchema)?.default as never;
        simplify(jsonSchema);
      },
    });
    const { $defs, properties } = withRefs(made, "#/$defs/", "#/components/schemas/");
    Object.assign(this.schemas, $defs);
    return (properties as JsonSchema).it as JsonSchema;
  }

  /** The properties of an object, as parameters are described. */
  parameters(
    where: "path" | "query" | "header",
    object: z.ZodMiniObject | undefined,
  ): JsonSchema[] {
    return Object.entries(object?.shape ?? {}).map(([name, field]) => {
      const { description, example, ...schema } = this.of(field as z.ZodMiniType);
      const required = where === "path" || !(field as z.ZodMiniType).safeParse(undefined).success;
      return { name, in: where, required, description, schema, example };
    });
  }
}

/** As generators of clients know it best: fewer bounds and patterns that say nothing, none that is open, null as a second type. */
function simplify(schema: JsonSchema): void {
  const [only, none] = Array.isArray(schema.anyOf) ? (schema.anyOf as JsonSchema[]) : [];
  if (
    none?.type === "null" &&
    typeof only?.type === "string" &&
    (schema.anyOf as unknown[]).length === 2
  ) {
    delete schema.anyOf;
    Object.assign(schema, { ...only, ...schema, type: [only.type, "null"] });
  }
  delete schema.id;
  // Go's client would have 32 bits otherwise, and could not read every number of JSON.
  if ([schema.type].flat()[0] === "number") schema.format = "double";
  if (schema.type === "integer" && schema.exclusiveMinimum !== undefined) {
    schema.minimum = Number(schema.exclusiveMinimum) + 1;
    delete schema.exclusiveMinimum;
  }
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (FORMATS_ENOUGH.has(String(schema.format))) delete schema.pattern;
  const { pattern } = (schema.propertyNames ?? {}) as JsonSchema;
  if (pattern === undefined) delete schema.propertyNames;
}

/** The same with its references to another place. */
export function withRefs(schema: object, from: string, to: string): JsonSchema {
  return JSON.parse(JSON.stringify(schema).replaceAll(from, to));
}
