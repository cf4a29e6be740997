/** What a form says of a webhook → the JSON that the API takes, checked by the API's own schemas. */
import type * as z from "zod/mini";
import { readBy } from "../../contract/problem";
import { changesOf, changesSchema, draftOf, draftSchema } from "../../contract/webhook-settings";
import { EVENT_TYPES } from "../../domain/event";
import { type FieldError, fail, ok, type Result } from "../../domain/failure";
import { visible } from "../../domain/foreign-text";
import { isRelayEvent } from "../../domain/relay-events";
import { maskQuery } from "../../domain/target";
import { ALL_EVENTS, DEFAULTS, type Webhook, type WebhookChanges } from "../../domain/webhook";
import { type Form, text, texts } from "../ui/form";

/** What is typed again for whoever has to correct something; header values and secrets are not. */
export type Typed = ReturnType<typeof typedIn>;

export function typedIn(form: Form) {
  return {
    url: text(form, "url").trim(),
    name: text(form, "name").trim(),
    // "Only these" is none itself.
    events: texts(form, "events").filter((name) => name !== ""),
    names: text(form, "names"),
    filter: text(form, "filter"),
    description: text(form, "description"),
    headerNames: texts(form, "headerName").map((name) => name.trim()),
    removesHeaders: text(form, "removesHeaders") !== "",
    rateLimit: text(form, "rateLimit").trim(),
    ordered: text(form, "ordered") !== "",
    concurrency: text(form, "concurrency").trim(),
    timeout: text(form, "timeout").trim(),
    retrySchedule: text(form, "retrySchedule").trim(),
    giveUpOn: text(form, "giveUpOn").trim(),
    /** Of a new one only. */
    paused: text(form, "paused") !== "",
  };
}

export function typedOf(webhook: Webhook): Typed {
  const known = new Set([...Object.keys(EVENT_TYPES), ALL_EVENTS]);
  return {
    ...NOTHING_TYPED,
    url: maskQuery(webhook.url),
    name: webhook.name ?? "",
    events: webhook.events.filter((name) => known.has(name)),
    names: webhook.events.filter((name) => !known.has(name)).join(" "),
    // What is not seen in it is spelled out, which JSON takes for the same.
    filter: webhook.filter === null ? "" : visible(JSON.stringify(webhook.filter, null, 2)),
    description: webhook.description ?? "",
    rateLimit: String(webhook.rateLimit ?? ""),
    ordered: webhook.ordered,
    concurrency: webhook.concurrency === DEFAULTS.concurrency ? "" : String(webhook.concurrency),
    timeout: webhook.timeout ?? "",
    retrySchedule: webhook.retrySchedule ?? "",
    giveUpOn: webhook.giveUpOn.join(" "),
  };
}

export const NOTHING_TYPED: Typed = { ...typedIn({}), events: [ALL_EVENTS] };

export function draftIn(form: Form, host: string) {
  const { given, errors } = fieldsIn(form);
  const signingSecret = text(form, "signingSecret").trim();
  const checked = checkFields(draftSchema, errors, {
    ...given,
    ...(typedIn(form).paused && { status: "paused" }),
    ...(signingSecret !== "" && { signingSecret }),
  });
  if (!checked.ok) return checked;
  const { signingSecret: secret = null, ...draft } = checked.value;
  return ok({ draft: draftOf(draft, host), secret });
}

/** What the form would change, of those fields that were changed in it: header values and queries are never shown. */
export function changesIn(form: Form, before: Webhook, changed: ReadonlySet<keyof WebhookChanges>) {
  const { given, errors } = fieldsIn(form);
  const { url } = given;
  const keepsUrl = !changed.has("url") || url === before.url;
  const entries = Object.entries(given).filter(([name]) =>
    name === "url" ? !keepsUrl : changed.has(name as keyof WebhookChanges),
  );
  const checked = checkFields(changesSchema, errors, Object.fromEntries(entries));
  return checked.ok ? ok(changesOf(checked.value)) : checked;
}

export function eventsOf({ events, names }: Typed): string[] {
  if (events.includes(ALL_EVENTS)) return [ALL_EVENTS, ...wordsOf(names).filter(isRelayEvent)];
  return [...new Set([...events, ...wordsOf(names)])];
}

export function wordsOf(typed: string): string[] {
  return typed.split(/[\s,]+/).filter((word) => word !== "");
}

/** null without one; what is no JSON is a mistake of the field `filter`. */
export function filterIn(form: Form): Result<unknown, "invalid_request"> {
  const typed = text(form, "filter");
  if (typed.trim() === "") return ok(null);
  try {
    return ok(JSON.parse(typed));
  } catch (thrown) {
    const why = thrown instanceof Error ? ` (${thrown.message})` : "";
    return fail({
      code: "invalid_request",
      errors: [{ path: "filter", message: `is not JSON yet${why}` }],
    });
  }
}

/** The fields of both schemas, and what no schema can see: JSON that is none, a header that is given twice. */
function fieldsIn(form: Form) {
  const typed = typedIn(form);
  const errors: FieldError[] = [];
  const number = (word: string, path: string) => {
    if (Number.isNaN(Number(word))) errors.push({ path, message: "must be a number" });
    return Number(word);
  };
  const numberOrNull = (field: "rateLimit" | "concurrency") => {
    const given = typed[field] === "" ? null : number(typed[field], field);
    return Number.isNaN(given) ? null : given;
  };
  const filter = filterIn(form);
  if (!filter.ok && "errors" in filter.failure) errors.push(...filter.failure.errors);
  const statuses = wordsOf(typed.giveUpOn).map((word) => number(word, `giveUpOn.${word}`));
  const given = {
    url: typed.url,
    name: typed.name || null,
    events: eventsOf(typed),
    description: typed.description.trim() || null,
    filter: filter.ok ? filter.value : null,
    headers: headersIn(form, errors),
    rateLimit: numberOrNull("rateLimit"),
    ordered: typed.ordered,
    concurrency: numberOrNull("concurrency"),
    timeout: typed.timeout || null,
    retrySchedule: typed.retrySchedule || null,
    giveUpOn: statuses.filter((status) => !Number.isNaN(status)),
  };
  return { given, errors };
}

/** Rows with a name or a value; null without any. */
function headersIn(form: Form, errors: FieldError[]): Record<string, string> | null {
  const values = texts(form, "headerValue");
  const rows = typedIn(form)
    .headerNames.map((name, index) => [name, (values[index] ?? "").trim()] as const)
    .filter(([name, value]) => name !== "" || value !== "");
  if (rows.length === 0) return null;
  const names = rows.map(([name]) => name.toLowerCase());
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) {
    errors.push({ path: `headers.${repeated}`, message: "must be given once" });
  }
  return Object.fromEntries(rows);
}

type Lists = { events?: readonly string[]; giveUpOn?: readonly number[] };

/** `events.1` is of no use to whoever typed names: they see the name. */
function byName(lists: Lists) {
  return ({ path, message }: FieldError): FieldError => {
    const [, list, index] = /^(events|giveUpOn)\.(\d+)$/.exec(path) ?? [];
    const given = lists[list as keyof Lists]?.[Number(index)];
    return { path: given === undefined ? path : `${list}.${given}`, message };
  };
}

function checkFields<S extends z.ZodMiniType>(
  schema: S,
  errors: readonly FieldError[],
  given: Lists,
) {
  const checked = check(schema, given);
  if (checked.ok && errors.length === 0) return checked;
  const all = [...errors, ...(checked.ok ? [] : checked.failure.errors)];
  return fail({ code: "invalid_request", errors: all.map(byName(given)) });
}

/** @returns `invalid_request` with the mistakes under the API's field names. */
export function check<S extends z.ZodMiniType>(schema: S, given: unknown) {
  const { data, errors } = readBy(schema, given);
  return errors.length === 0 ? ok(data) : fail({ code: "invalid_request", errors });
}
