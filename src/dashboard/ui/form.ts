/** A form as it comes in. */
import type { Context } from "hono";

/** As Hono parses it with `all`: a field that came several times is a list. */
export type Form = Readonly<Record<string, unknown>>;

/** What comes; a body that is no form has no fields. */
export function formOf(c: Context): Promise<Form> {
  return c.req.parseBody({ all: true }).catch(() => ({}));
}

/** The first value of a field; empty when it did not come. */
export function text(form: Form, name: string): string {
  return texts(form, name)[0] ?? "";
}

export function texts(form: Form, name: string): string[] {
  const given = Object.hasOwn(form, name) ? form[name] : undefined;
  return [given].flat().filter((each) => typeof each === "string");
}
