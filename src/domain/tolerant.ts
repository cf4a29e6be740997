/**
 * Reading what is stored or was sent by another release: with a default for every field at every depth. What an older
 * release wrote may lack a field; what a newer one wrote may have more, which are kept and written back. Fields are
 * never renamed, and never change their meaning. Imported as `t`, as zod is as `z`. Pure.
 */
import * as z from "zod/mini";

/** What is read by a schema, and then made into something else. */
export function turned<S extends z.ZodMiniType, T>(
  schema: S,
  into: (given: z.output<S>, context: z.core.ParsePayload) => T,
) {
  return z.pipe(schema, z.transform(into));
}

/** An array without those elements that cannot be read: none costs another. */
export function list<T>(element: z.ZodMiniType<T>) {
  return turned(z.catch(z.array(z.unknown()), []), (given) =>
    given.flatMap((each) => readable(element, each)),
  );
}

/** The same of an object's values, also of one that is called `__proto__`, which zod leaves out. */
export function record<T>(value: z.ZodMiniType<T>) {
  return turned(
    z.custom<object>((given) => Object(given) === given && !Array.isArray(given)),
    (given) =>
      Object.fromEntries(
        Object.entries(given).flatMap(([key, each]) =>
          readable(value, each).map((read) => [key, read] as const),
        ),
      ),
  );
}

function readable<T>(schema: z.ZodMiniType<T>, given: unknown): T[] {
  const { success, data } = schema.safeParse(given);
  return success ? [data] : [];
}

/** An object with these fields, and any others, of which nothing else knows. */
export function loose<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.looseObject(shape) as unknown as z.ZodMiniType<z.output<z.ZodMiniObject<Shape>>>;
}

/** The same, where each field has a default. */
export function fields<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const schema = loose(shape);
  return z.catch(schema, () => schema.parse({}));
}

export const number = z.catch(z.number(), 0);
export const numberOrNull = z.catch(z.nullable(z.number()), null);
/** Of an attempt, or how often something happened. */
export const first = z.catch(z.number(), 1);
export const text = z.catch(z.string(), "");
export const textOrNull = z.catch(z.nullable(z.string()), null);
export const yes = z.catch(z.boolean(), false);

export function isText(value: unknown): boolean {
  return typeof value === "string";
}

/** An object of its own each time: it is counted in. */
export const counts = z.catch(record(z.number()), () => ({}));
