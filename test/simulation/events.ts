/** The source's events and the relay's own, and which of them a webhook wants: written anew, as the judge of the code's own matching. */
import { createHash } from "node:crypto";
import type { Filter } from "../../src/domain/filter";
import type { Chance } from "./chance";

type Envelope = { event: string; data: Record<string, unknown> };

export type SourceEvent = { id: string; name: string; envelope: Envelope; body: Uint8Array };

export const EVENT_NAMES = [
  "reply.received",
  "message.sent",
  "message.bounced",
  "campaign.started",
] as const;

/** Filters with what they mean. */
export const FILTERS: { filter: Filter | null; matches: (envelope: Envelope) => boolean }[] = [
  { filter: null, matches: () => true },
  { filter: { "data.score": { $gte: 5 } }, matches: ({ data }) => Number(data.score) >= 5 },
  {
    filter: { event: { $startsWith: "message." } },
    matches: ({ event }) => event.startsWith("message."),
  },
  {
    filter: { "data.bounceType": { $ne: "soft" } },
    matches: ({ data }) => data.bounceType !== "soft",
  },
];

export function wants(
  webhook: { id: string; events: string[]; filter: Filter | null },
  event: SourceEvent,
): boolean {
  if (!asksFor(webhook, event.name) || aboutOf(event) === webhook.id) return false;
  const known = FILTERS.find(
    ({ filter }) => JSON.stringify(filter) === JSON.stringify(webhook.filter),
  );
  if (known === undefined) throw new Error("the simulation does not know this filter");
  return known.matches(event.envelope);
}

/** `*` means Leadterra's events. */
export function asksFor({ events }: { events: string[] }, name: string): boolean {
  return events.includes(name) || (events.includes("*") && !isOwn({ name }));
}

// --- the relay's own events -----------------------------------------------------------------------------------

export const OWN_EVENTS = [
  "relay.webhook.failing",
  "relay.webhook.recovered",
  "relay.webhook.disabled",
  "relay.delivery.undeliverable",
  "relay.dead_letter.added",
] as const;

export function isOwn({ name }: { name: string }): boolean {
  return name.startsWith("relay.");
}

/** The webhook that one of the relay's own events is about; null of a dead letter, and of Leadterra's events. */
export function aboutOf({ name, envelope }: SourceEvent): string | null {
  return isOwn({ name }) ? ((envelope.data.id as string | undefined) ?? null) : null;
}

/** What the relay gives to the queue. */
export function ownEventOf(body: Uint8Array): SourceEvent {
  const envelope: Envelope = JSON.parse(new TextDecoder().decode(body));
  const { event: name, data } = envelope;
  return { id: eventIdOf(name, data, body), name, envelope, body };
}

/** What a webhook asks for that is to hear of others: with all of Leadterra's, with one of them, or alone. */
export function someOwnEvents(chance: Chance): string[] {
  const own = chance.happens(0.8) ? [...OWN_EVENTS] : [chance.pick(OWN_EVENTS)];
  return [...chance.pick([["*"], [chance.pick(EVENT_NAMES)], []]), ...own];
}

/** An event of its own; `variant` changes the bytes and not the event. */
export function makeEvent(chance: Chance, number: number, variant = 0): SourceEvent {
  const name = EVENT_NAMES[number % EVENT_NAMES.length] ?? "message.sent";
  const data: Record<string, unknown> = {
    score: number % 10,
    campaignId: "cmp_1",
    lead: { email: `lead${number}@example.com` },
    reply: { id: `rpl_${number}`, classification: "interested" },
    messageId: `msg_${number}`,
    bounceType: number % 3 === 0 ? "soft" : "hard",
    note: `ü\u2028 \u{1f4ec} ${"x".repeat(chance.between(0, 40))}`,
  };
  const timestamp = "2026-11-20T10:00:00Z";
  const envelope = { event: name, timestamp, data, variant };
  const text = JSON.stringify(envelope, null, chance.pick([0, 1, 2]));
  const body = new TextEncoder().encode(text);
  return { id: eventIdOf(name, data, body), name, envelope, body };
}

/** Design §3, "Event id". */
function eventIdOf(name: string, data: Record<string, unknown>, body: Uint8Array): string {
  const key =
    name === "reply.received"
      ? (data.reply as { id: string }).id
      : name === "message.sent"
        ? String(data.messageId)
        : name === "message.bounced"
          ? `${data.messageId}\0${data.bounceType}`
          : createHash("sha256").update(body).digest("hex");
  const digest = createHash("sha256").update(`${name}\0${key}`).digest();
  const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  let id = "";
  for (let digit = 0; digit < 26; digit++) {
    let value = 0;
    for (let bit = digit * 5; bit < digit * 5 + 5; bit++) {
      value = value * 2 + (((digest[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    }
    id += digits.charAt(value);
  }
  return `evt_${id}`;
}
