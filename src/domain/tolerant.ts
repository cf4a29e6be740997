/**
 * Reading what is stored or was sent by another release: with a default for every field at every depth. What an older
 * release wrote may lack a field; what a newer one wrote may have more, which are kept and written back. Fields are
 * never renamed, and never change their meaning. Pure.
 */
import * as z from "zod";

/** An array without those elements that cannot be read: none costs another. */
export function list<T>(element: z.ZodType<T>) {
  return z
    .array(z.unknown())
    .catch([])
    .transform((given) => given.flatMap((each) => readable(element, each)));
}

/** The same of an object's values, also of one that is called `__proto__`, which zod leaves out. */
export function record<T>(value: z.ZodType<T>) {
  return z
    .custom<object>((given) => Object(given) === given && !Array.isArray(given))
    .transform((given) =>
      Object.fromEntries(
        Object.entries(given).flatMap(([key, each]) =>
          readable(value, each).map((read) => [key, read] as const),
        ),
      ),
    );
}

function readable<T>(schema: z.ZodType<T>, given: unknown): T[] {
  const { success, data } = schema.safeParse(given);
  return success ? [data] : [];
}

/** An object with these fields, and any others, of which nothing else knows. */
export function loose<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.looseObject(shape) as unknown as z.ZodType<z.output<z.ZodObject<Shape>>>;
}

/** The same, where each field has a default. */
export function fields<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const schema = loose(shape);
  return schema.catch(() => schema.parse({}));
}

export const number = z.number().catch(0);
export const numberOrNull = z.number().nullable().catch(null);
/** Of an attempt, or how often something happened. */
export const first = z.number().catch(1);
export const text = z.string().catch("");
export const textOrNull = z.string().nullable().catch(null);
export const yes = z.boolean().catch(false);

export function isText(value: unknown): boolean {
  return typeof value === "string";
}

/** An object of its own each time: it is counted in. */
export const counts = record(z.number()).catch(() => ({}));
