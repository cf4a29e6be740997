/**
 * A form that two people fill in at once, or that a call of the API overtakes: it carries what it showed. Only what
 * was changed in it is saved, and what somebody else changed meanwhile is shown beside it first.
 */
import { SETTINGS, type Setting } from "../../contract/configured";
import type { Webhook } from "../../domain/webhook";
import { type Form, text } from "../ui/form";
import { eventsOf, type Typed, typedIn, typedOf, wordsOf } from "./input";

/** Each setting of the API has its field, in one writing: what is written alike is no change. */
export type Written = Readonly<Record<Setting, string>>;

export function writtenOf(webhook: Webhook): Written {
  return { ...written(typedOf(webhook)), headers: Object.keys(webhook.headers).join(" ") };
}

/** What the form showed when it was made; null in one that does not say so. */
export function shownIn(form: Form): Written | null {
  try {
    const given: unknown = JSON.parse(text(form, "shown"));
    const fields = Object(given) as Record<string, unknown>;
    const entries = SETTINGS.map((field) => [field, String(fields[field] ?? "")]);
    return Object.fromEntries(entries) as Written;
  } catch {
    return null;
  }
}

type Comparison = {
  changed: ReadonlySet<Setting>;
  /** Of those, what somebody else has changed too, to something else. */
  overtaken: readonly Setting[];
};

/** The form against what it showed, and against the webhook as it is now. */
export function compare(form: Form, webhook: Webhook): Comparison {
  const now = writtenOf(webhook);
  const shown = shownIn(form) ?? now;
  const typed = typedIn(form);
  const own = written(typed);
  const replacesHeaders = typed.removesHeaders || typed.headerNames.some((name) => name !== "");
  const isChanged = (field: Setting) =>
    field === "headers" ? replacesHeaders : own[field] !== shown[field];
  const changed = SETTINGS.filter(isChanged);
  const overtaken = changed.filter(
    (field) => now[field] !== shown[field] && (field === "headers" || own[field] !== now[field]),
  );
  return { changed: new Set(changed), overtaken };
}

/** The form to be shown again: what was not changed in it is as it is now. */
export function merged(form: Form, webhook: Webhook, { changed }: Comparison): Typed {
  const own = typedIn(form);
  const now = typedOf(webhook);
  const kept = SETTINGS.filter((field) => field !== "headers" && changed.has(field));
  return {
    ...now,
    ...Object.fromEntries(kept.map((field) => [field, own[field as keyof Typed]])),
    ...(changed.has("events") && { names: own.names }),
    ...(changed.has("headers") && {
      headerNames: own.headerNames,
      removesHeaders: own.removesHeaders,
    }),
  };
}

function written(typed: Typed): Omit<Written, "headers"> {
  const { url, name, rateLimit, concurrency, timeout, retrySchedule } = typed;
  return {
    url,
    name,
    rateLimit,
    concurrency,
    timeout,
    retrySchedule,
    // A field of one line drops the ends of lines.
    description: typed.description.replace(/[\r\n]+/g, "").trim(),
    events: eventsOf(typed).toSorted().join(" "),
    filter: compact(typed.filter),
    ordered: typed.ordered ? "yes" : "",
    giveUpOn: wordsOf(typed.giveUpOn).join(" "),
  };
}

/** JSON without its layout; what is none as it is. */
function compact(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json));
  } catch {
    return json.trim();
  }
}
