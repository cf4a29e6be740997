/** Fields that many calls share. What comes in is read strictly, and refused in a sentence. */
import * as z from "zod/mini";
import { EVENT_NAME, exampleEvent } from "../domain/event";
import { EVENT_ID, type EventId, WEBHOOK_ID } from "../domain/ids";
import { shown } from "../domain/time";
import { turned } from "../domain/tolerant";
import { answer } from "./route";

const MAX_PAGE = 250;
const DEFAULT_PAGE = 50;

export const EXAMPLE = {
  webhookId: "wh_01HZC7RQNP4XT2KM9QZ8W3V5YA",
  eventId: "evt_QNH783WW52FCCN914ZB1QAYTW0",
  reply: exampleEvent("reply.received", Date.parse("2026-11-23T09:14:35Z")),
};

/** What the document says of a schema beside the schema itself; by its `id` a schema stands in it under a name. */
export const document = z.globalRegistry;

/** The same schema, with a description. */
export function said<S extends z.ZodMiniType>(schema: S, description: string): S {
  const same = z.clone(schema);
  document.add(same, { description });
  return same;
}

/** What is shown: an object that stands in the document under a name. */
export function named<Shape extends z.core.$ZodLooseShape>(
  id: string,
  shape: Shape,
  description?: string,
) {
  return z.object(shape).register(document, { id, ...(description && { description }) });
}

/** The same of what is given: it has no other fields. */
export function namedStrict<Shape extends z.core.$ZodLooseShape>(id: string, shape: Shape) {
  return z.strictObject(shape).register(document, { id });
}

/** Text of a form: what its pattern or its rule lets through. */
export function textLike(form: RegExp | ((given: string) => boolean), message?: string) {
  const isLike =
    typeof form === "function" ? z.refine<string>(form, message) : z.regex(form, message);
  return z.string().check(isLike);
}

export const text = z.string();
export const time = z.iso.datetime();
export const count = z.int().check(z.nonnegative());
export const anyObject = z.record(z.string(), z.unknown());
export const webhookId = textLike(WEBHOOK_ID, "is not a webhook");
export const eventId = textLike(EVENT_ID);

/** In a path: what is no id is nothing that there is. */
const webhookRef = textLike(/^(wh_[0-9A-HJKMNP-TV-Z]{26}|[a-z][a-z0-9-]{0,62})$/).register(
  document,
  {
    example: EXAMPLE.webhookId,
    description: "The webhook's id, or its name.",
  },
);
export const ofWebhook = z.object({ id: webhookRef });
export const eventIdParam = turned(eventId, (given) => given as EventId);

const pageSize = textLike(
  (given) => /^\d{1,3}$/.test(given) && Number(given) >= 1 && Number(given) <= MAX_PAGE,
  `must be a whole number from 1 to ${MAX_PAGE}, such as ${DEFAULT_PAGE}`,
);
export const limitParam = z
  ._default(turned(pageSize, Number), DEFAULT_PAGE)
  .register(document, { type: "integer", minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE });

/** @param parse gives null for what the list never gave. */
export function cursorParam<T>(parse: (text: string) => T | null) {
  const cursor = turned(z.string(), (given, { issues }) => {
    const place = parse(given);
    if (place !== null) return place;
    issues.push({ code: "custom", input: given, message: "is not a cursor that this list gave" });
    return z.NEVER;
  });
  const description = "`next` of the page before; leave it out for the first page.";
  return z.optional(cursor).register(document, { minLength: 1, description });
}

const TO_THE_SECOND = z.iso.datetime({ offset: true });
const TO_THE_MINUTE = z.iso.datetime({ offset: true, precision: -1 });

/** ISO 8601 with an offset, to the minute or finer → Unix milliseconds. */
export const timeParam = turned(z.string(), (given, { issues }) => {
  const isTime = [TO_THE_SECOND, TO_THE_MINUTE].some((form) => form.safeParse(given).success);
  if (isTime) return Date.parse(given);
  // A + that was not escaped in a URL arrives as a space.
  const hint = given.includes(" ") ? "; in a URL a + is written %2B" : "";
  const message = `must be a time in ISO 8601 with Z or an offset, such as 2026-11-27T22:00:00Z${hint}`;
  issues.push({ code: "custom", input: given, message });
  return z.NEVER;
}).register(document, {
  format: "date-time",
  description:
    "ISO 8601 with `Z` or an offset, to the minute or finer. In a URL the `+` of an offset is written `%2B`.",
});

export const eventName = textLike(EVENT_NAME, "must be 1 to 128 of A-Z a-z 0-9 . _ -");

/** A page of a list, under a name of its own; `of`: what it lists. */
export function page<Item extends z.ZodMiniType>(
  id: string,
  item: Item,
  { of, example }: { of: string; example: z.input<NoInfer<Item>> },
) {
  const next = said(z.nullable(text), "Give it as `cursor`; null on the last page.");
  const schema = z.object({ data: z.array(item), next }).register(document, { id });
  return answer(`A page of ${of}.`, schema, { data: [example], next: null } as never);
}

/** Of a thing what the schema of it has, in the form of answers, and no more. */
export function shownBy<S extends z.ZodMiniObject>(schema: S, thing: object): z.infer<S> {
  const told = new Map(Object.entries(shown(thing)));
  const names = Object.keys(schema.shape).filter((name) => told.has(name));
  return Object.fromEntries(names.map((name) => [name, told.get(name)])) as z.infer<S>;
}

/** What one call did to many; `next` goes on behind it. */
export const nextOfMany = said(
  z.nullable(text),
  "Give it as `cursor` to go on; null when all is done.",
);

/** The answer to such a call: `{replayed: 12, next: null}`. */
export function doneToMany<Name extends string>(description: string, id: string, name: Name) {
  const fields = { [name]: count, next: nextOfMany };
  const schema = z.object(fields as Record<Name, typeof count> & { next: typeof nextOfMany });
  return answer(description, schema.register(document, { id }), {
    [name]: 12,
    next: null,
  } as never);
}
