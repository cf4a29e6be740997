/** Why a webhook does not want an event, in words for a person. Whether it does is for `compileRoute` to say. */
import type { RelayEvent } from "./event";
import { compileFilter, type Filter, valuesOf } from "./filter";
import type { WebhookId } from "./ids";
import { isRelayEvent } from "./relay-events";
import { ALL_EVENTS, asksFor, compileRoute, isAbout, type Route, type Webhook } from "./webhook";

/** Of a value, an operand or a name, before it ends in `…`. */
const MAX_TEXT_CHARACTERS = 80;
/** Of values found, of operands, of names, and of the alternatives of an `$or`. */
const MAX_LISTED = 3;
const MAX_SENTENCE_CHARACTERS = 600;

/**
 * Why `route` does not want `event`: its name, or the first condition of the filter that does not hold, with what
 * was found instead.
 *
 * @returns null when it wants it; else a clause without a capital and a full stop, of at most 600 characters. It
 *   repeats text of the event: to be shown as text.
 */
export function explainMiss(route: Route, event: Pick<RelayEvent, "name" | "envelope">) {
  if (compileRoute(route).wants(event)) return null;
  const { events, filter } = route;
  if (isAbout(event, route.id)) return "it is about this webhook itself";
  if (!asksFor(new Set(events), event.name)) {
    return cut(
      `asks for ${listed(events.map(asked))}, not for ${short(event.name)}`,
      MAX_SENTENCE_CHARACTERS,
    );
  }
  const miss = filter === null ? null : missOf(filter, event.envelope);
  return cut(miss ?? "the filter does not match", MAX_SENTENCE_CHARACTERS);
}

function asked(name: string): string {
  return name === ALL_EVENTS ? "every event of Leadterra's" : short(name);
}

/** What a webhook has to do with an event, in a sentence. */
export type Why = { webhookId: WebhookId; matched: boolean; why: string };

/**
 * Why a webhook got an event or not: the journal's answer, explained by the webhook as it is now.
 *
 * @param received what the journal says of it. @param event null when what it said was erased: then its name tells.
 */
export function explain(
  webhook: Webhook,
  received: Received & { size: number },
  event: Pick<RelayEvent, "name" | "envelope"> | null,
): Why {
  const matched = received.webhookIds.includes(webhook.id);
  // No event that was kept has no bytes.
  if (received.size === 0) {
    return { webhookId: webhook.id, matched, why: "It was erased before it came in." };
  }
  const subject = event ?? { name: received.event, envelope: {} };
  const byName = { id: webhook.id, events: webhook.events, filter: null };
  const miss = explainMiss(event === null ? byName : webhook, subject);
  const unknown = event === null && miss === null ? unknownOf(webhook, received) : null;
  const why =
    unknown === null
      ? sentenceOf(webhook, received, miss)
      : `It asks for ${received.event}; what the event said is gone, so there is no telling ${unknown}.`;
  return { webhookId: webhook.id, matched, why };
}

/** What depends on more than the name of an event that was erased; null when nothing does. */
function unknownOf(webhook: Webhook, { event, webhookIds, receivedAtMs }: Received): string | null {
  if (webhook.filter !== null) return "what its filter makes of it";
  const missedIt = webhook.createdAtMs <= receivedAtMs && !webhookIds.includes(webhook.id);
  return isRelayEvent(event) && missedIt ? "whether it was about this webhook itself" : null;
}

type Received = { event: string; webhookIds: readonly WebhookId[]; receivedAtMs: number };

function sentenceOf(webhook: Webhook, received: Received, miss: string | null): string {
  const matched = received.webhookIds.includes(webhook.id);
  const isByStar = webhook.events.includes(ALL_EVENTS) && !isRelayEvent(received.event);
  const asks = isByStar ? "every event" : received.event;
  if (miss === null && matched) {
    return `It asks for ${asks}${webhook.filter === null ? "" : ", and its filter holds"}.`;
  }
  if (miss !== null && !matched) return `It did not match: ${miss}.`;
  if (miss !== null)
    return `It matched when it came in; by the settings of now it would not: ${miss}.`;
  const since =
    webhook.createdAtMs > received.receivedAtMs
      ? "the webhook was registered after it came in"
      : "the settings have changed since";
  return `It did not match when it came in; by the settings of now it would: ${since}.`;
}

/**
 * The filter taken apart: each part is asked as a filter of its own, so that this cannot disagree with the whole.
 * null when all of it holds.
 */
function missOf(filter: Filter, envelope: unknown): string | null {
  for (const [key, operand] of Object.entries(filter)) {
    if (compileFilter({ [key]: operand })(envelope)) continue;
    const parts = operand as readonly Filter[];
    if (key === "$and") {
      return parts.reduce<string | null>((miss, each) => miss ?? missOf(each, envelope), null);
    }
    if (key === "$or") return everyMiss(parts, envelope);
    return missAt(key, operand, envelope);
  }
  return null;
}

function everyMiss(filters: readonly Filter[], envelope: unknown): string {
  const misses = filters.slice(0, MAX_LISTED).map((filter) => missOf(filter, envelope) ?? "");
  const [only = ""] = misses;
  if (filters.length === 1) return only;
  const more = filters.length > MAX_LISTED ? "; …" : "";
  return `none of the ${filters.length} in $or holds: ${misses.join("; ")}${more}`;
}

function missAt(path: string, operand: Filter[string], envelope: unknown): string {
  const name = path === "event" ? "the event" : short(path);
  const head = `${name} is ${found(valuesOf(path, envelope))}, and the filter wants`;
  if (typeof operand !== "object" || operand === null) return `${head} ${text(operand)}`;
  const missed = Object.entries(operand).find(
    ([operator, value]) => !compileFilter({ [path]: { [operator]: value } })(envelope),
  );
  return missed === undefined ? head : `${head} ${wanted(...missed)}`;
}

const WORDS: ReadonlyMap<string, string> = new Map([
  ["$ne", "anything but"],
  ["$gt", "more than"],
  ["$gte", "at least"],
  ["$lt", "less than"],
  ["$lte", "at most"],
  ["$startsWith", "a text that starts with"],
  ["$endsWith", "a text that ends with"],
]);

function wanted(operator: string, operand: unknown): string {
  const list = Array.isArray(operand) ? operand.map(text) : [];
  switch (operator) {
    case "$eq":
      return text(operand);
    case "$in":
      return list.length === 1 ? listed(list) : `one of ${listed(list)}`;
    case "$nin":
      return `none of ${listed(list)}`;
    case "$exists":
      return operand === true ? "it to be there" : "it to be missing";
    case "$not":
      return `what does not fit ${text(operand)}`;
    default:
      return `${WORDS.get(operator) ?? operator} ${text(operand)}`;
  }
}

function found(values: readonly unknown[]): string {
  return values.length === 0 ? text(undefined) : listed(values.map(text));
}

/** `a, b, c and 2 more`. */
function listed(items: readonly string[]): string {
  if (items.length > MAX_LISTED) {
    return `${items.slice(0, MAX_LISTED).join(", ")} and ${items.length - MAX_LISTED} more`;
  }
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

function text(value: unknown): string {
  return typeof value === "number"
    ? String(exactly("", value))
    : short(JSON.stringify(value, exactly) ?? "missing");
}

/** What JSON has beyond the whole numbers that are exact is read as another number, and may be too large for any. */
function exactly(_: string, value: unknown): unknown {
  const isExact = typeof value !== "number" || Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  return isExact ? value : `about ${value}`;
}

function short(given: string): string {
  return cut(given, MAX_TEXT_CHARACTERS);
}

/** Never through the middle of a character. */
function cut(given: string, characters: number): string {
  if (given.length <= characters) return given;
  return `${given.slice(0, characters - 1).replace(/[\uD800-\uDBFF]$/, "")}…`;
}
