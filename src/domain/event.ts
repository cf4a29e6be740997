/**
 * What Leadterra sends (leadterra-webhooks.md): the envelope, which must hold, and the schemas of the known
 * events, which are tolerant: what does not fit is delivered all the same and marked in the journal.
 */
import * as z from "zod/mini";
import { normalAddress } from "./address";
import { type FieldError, fail, ok, type Result } from "./failure";
import { type EventId, eventIdOf } from "./ids";
import { RELAY_EVENTS } from "./relay-events";
import { sha256Hex } from "./signature";

/** Leaves room for the queue's own overhead within its 128,000 bytes a message. */
export const MAX_BODY_BYTES = 120_000;
/** Arrays and objects within each other, the envelope being the first. */
const MAX_JSON_DEPTH = 32;
const MAX_KEY_PART_CHARACTERS = 512;
export const EVENT_NAME = /^[A-Za-z0-9._-]{1,128}$/;
const KEY_SEPARATOR = "\0";

export type JsonObject = { [key: string]: unknown };

/** A body that passed every check of the inbound contract from "valid UTF-8" on. */
export type RelayEvent = { id: EventId; name: string; envelope: JsonObject };

/** Why a body is no event. */
type Unreadable = "invalid_encoding" | "invalid_json" | "invalid_event";

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads an event from the raw body.
 *
 * @returns `invalid_encoding`, `invalid_json` or `invalid_event` (field paths, no values) when it is none.
 */
export async function parseEvent(body: Uint8Array): Promise<Result<RelayEvent, Unreadable>> {
  const document = parseJson(body);
  if (!document.ok) return document;
  const envelope = document.value;
  const errors = envelopeErrors(envelope);
  if (errors.length > 0) return fail({ code: "invalid_event", errors });
  const { event: name, data } = envelope as { event: string; data: JsonObject };
  const key = naturalKey(name, data) ?? (await sha256Hex(body));
  return ok({ id: await eventIdOf(name, key), name, envelope: envelope as JsonObject });
}

function parseJson(body: Uint8Array): Result<unknown, "invalid_encoding" | "invalid_json"> {
  let text: string;
  try {
    text = strictUtf8.decode(body);
  } catch {
    return fail({ code: "invalid_encoding" });
  }
  if (jsonDepth(text) > MAX_JSON_DEPTH) {
    return invalidJson(
      `The body nests arrays and objects more than ${MAX_JSON_DEPTH} levels deep.`,
    );
  }
  try {
    return ok(JSON.parse(text));
  } catch {
    return invalidJson("The body is not one JSON document.");
  }
}

function invalidJson(detail: string) {
  return fail({ code: "invalid_json", detail });
}

/** The deepest nesting of brackets outside strings; exact for JSON, and harmless for what is not. */
function jsonDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x22) index = endOfString(text, index);
    else if (code === 0x7b || code === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (code === 0x7d || code === 0x5d) depth--;
  }
  return deepest;
}

/** The index of the quote that closes the string opened at `start`, or the end of the text. */
function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (index < text.length) {
    const code = text.charCodeAt(index);
    if (code === 0x22) return index;
    index += code === 0x5c ? 2 : 1;
  }
  return text.length;
}

function envelopeErrors(envelope: unknown): FieldError[] {
  if (!isObject(envelope)) return [{ path: "", message: "must be an object" }];
  const errors: FieldError[] = [];
  const name = own(envelope, "event");
  if (typeof name !== "string" || !EVENT_NAME.test(name)) {
    errors.push({ path: "event", message: "must be a string of 1 to 128 of A-Z a-z 0-9 . _ -" });
  }
  if (!isObject(own(envelope, "data"))) {
    errors.push({ path: "data", message: "must be an object" });
  }
  return errors;
}

/**
 * The idempotency key that Leadterra's page names, or null where the event has none: then the body itself is
 * the key, because two clicks on one message are two events, and a repeat is better than a loss.
 */
function naturalKey(name: string, data: JsonObject): string | null {
  switch (name) {
    case "reply.received":
      return keyPart(own(own(data, "reply"), "id"));
    case "message.sent":
      return keyPart(own(data, "messageId"));
    case "message.bounced": {
      const messageId = keyPart(own(data, "messageId"));
      const bounceType = keyPart(own(data, "bounceType"));
      return messageId === null || bounceType === null
        ? null
        : messageId + KEY_SEPARATOR + bounceType;
    }
    default:
      return null;
  }
}

/** The events that Leadterra's id of a reply or a message may stand for, by the rules of the event id. */
export async function idsOfKey(key: string): Promise<EventId[]> {
  const part = keyPart(key);
  if (part === null) return [];
  return Promise.all([
    eventIdOf("reply.received", part),
    eventIdOf("message.sent", part),
    ...["hard", "soft"].map((type) => eventIdOf("message.bounced", part + KEY_SEPARATOR + type)),
  ]);
}

/** Text with lone surrogates does not count: UTF-8 cannot tell one from another, so two ids could be one. */
function keyPart(value: unknown): string | null {
  if (typeof value !== "string" || value === "" || value.length > MAX_KEY_PART_CHARACTERS)
    return null;
  return value.isWellFormed() ? value : null;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A property of its own; `undefined` where there is none, or no object. */
export function own(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

const isoTime = z.iso.datetime({ offset: true });
const envelopeSchema = z.looseObject({ timestamp: isoTime, webhookId: z.optional(z.string()) });

const EXAMPLE_LEAD = {
  email: "ava@acmecorp.com",
  firstName: "Ava",
  lastName: "Chen",
  company: "Acme Corp",
  jobTitle: "VP Sales",
};

/** The documented events. `schema` describes `data`, and `example` is one; unknown fields are always welcome. */
export const EVENT_TYPES = {
  "campaign.started": {
    description: "A campaign went from draft to running and is queueing messages.",
    schema: z.looseObject({}),
    example: { campaignId: "camp_01HZA1TPNQ8RD4KF" },
  },
  "message.sent": {
    description: "A sequence step was delivered to a recipient's mail server.",
    schema: z.looseObject({ messageId: z.string(), sequenceStep: z.int().check(z.nonnegative()) }),
    example: {
      campaignId: "camp_01HZA1TPNQ8RD4KF",
      lead: EXAMPLE_LEAD,
      messageId: "msg_01HZB2K8QW4YT6RA",
      sequenceStep: 1,
    },
  },
  "message.bounced": {
    description: "A message failed for good (hard) or beyond its retries (soft).",
    schema: z.looseObject({ bounceType: z.enum(["hard", "soft"]), bounceReason: z.string() }),
    example: {
      campaignId: "camp_01HZA1TPNQ8RD4KF",
      lead: EXAMPLE_LEAD,
      messageId: "msg_01HZB2K8QW4YT6RA",
      bounceType: "hard",
      bounceReason: "550 5.1.1 The email account that you tried to reach does not exist.",
    },
  },
  "reply.received": {
    description: "A reply came in and was classified.",
    schema: z.looseObject({
      campaignId: z.string(),
      lead: z.looseObject({ email: z.string() }),
      reply: z.looseObject({
        id: z.string(),
        classification: z.string(),
        receivedAt: isoTime,
        threadSnippet: z.string(),
      }),
    }),
    example: {
      campaignId: "camp_01HZA1TPNQ8RD4KF",
      lead: EXAMPLE_LEAD,
      reply: {
        id: "rpl_01HZB3MNPW6XT8QA",
        classification: "interested",
        receivedAt: "2025-06-11T09:14:32Z",
        threadSnippet:
          "Hey, this actually looks relevant — can we jump on a call Thursday afternoon?",
      },
    },
  },
} as const satisfies Record<
  string,
  { description: string; schema: z.ZodMiniType; example: JsonObject }
>;

/** Leadterra's and the relay's own. */
export const KNOWN_EVENTS = { ...EVENT_TYPES, ...RELAY_EVENTS };
export type EventTypeName = keyof typeof KNOWN_EVENTS;

/** The whole of a documented event, envelope and data. */
export function eventSchema(name: EventTypeName) {
  return z.extend(envelopeSchema, { event: z.literal(name), data: KNOWN_EVENTS[name].schema });
}

/** An example event of any name, as it would be sent. */
export function exampleEvent(name: string, nowMs: number): JsonObject {
  const data = isKnown(name) ? KNOWN_EVENTS[name].example : {};
  return { event: name, timestamp: new Date(nowMs).toISOString(), data };
}

function isKnown(name: string): name is EventTypeName {
  return Object.hasOwn(KNOWN_EVENTS, name);
}

/** Whether the event is as Leadterra documents it: envelope fields, and the data of the events we know. */
export function conforms(event: RelayEvent): boolean {
  if (!envelopeSchema.safeParse(event.envelope).success) return false;
  return (
    !isKnown(event.name) || KNOWN_EVENTS[event.name].schema.safeParse(event.envelope.data).success
  );
}

/** What the journal can be searched by. */
export type EventFacts = {
  /** As Leadterra gave it; null when it is missing or no text. */
  timestamp: string | null;
  conforms: boolean;
  /** Of the lead, in normal form. */
  email: string | null;
  campaignId: string | null;
  /** Leadterra's own ids of the reply and the message, with NUL between. */
  key: string | null;
};

/** Which events a list shows; times are those of receipt, both ends included. */
export type EventFilter = {
  event?: string;
  /** Any of these names; a Journal of the release before does not look at it. */
  names?: readonly string[];
  sinceMs?: number;
  untilMs?: number;
  /** Of a person, anywhere in the event. */
  email?: string;
  campaignId?: string;
  /** Leadterra's own id. */
  key?: string;
};

/** Whether a list by this filter has an event, whosever it is. */
export function isListed({ event, campaignId, key, receivedAtMs }: Listed, filter: EventFilter) {
  if (filter.key !== undefined && !hasKey(key, filter.key)) return false;
  if ((filter.event ?? event) !== event) return false;
  if (filter.names?.includes(event) === false) return false;
  if ((filter.campaignId ?? campaignId) !== campaignId) return false;
  const { sinceMs = receivedAtMs, untilMs = receivedAtMs } = filter;
  return sinceMs <= receivedAtMs && receivedAtMs <= untilMs;
}

type Listed = Pick<EventFacts, "campaignId" | "key"> & { event: string; receivedAtMs: number };

function hasKey(key: string | null, id: string): boolean {
  return key === id || key?.split(KEY_SEPARATOR).includes(id) === true;
}

export function factsOf(event: RelayEvent): EventFacts {
  const data = event.envelope.data as JsonObject;
  const ids = [keyPart(own(own(data, "reply"), "id")), keyPart(own(data, "messageId"))];
  return {
    timestamp: textOrNull(own(event.envelope, "timestamp")),
    conforms: conforms(event),
    email: normalAddress(textOrNull(own(own(data, "lead"), "email")) ?? ""),
    campaignId: textOrNull(own(data, "campaignId")),
    key: ids.filter((id) => id !== null).join(KEY_SEPARATOR) || null,
  };
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" && value.length <= MAX_KEY_PART_CHARACTERS ? value : null;
}
