/**
 * The relay's own events: that a webhook fails, recovers, is disabled, that a delivery is undeliverable, that a dead
 * letter arrived. They go the way of every event, to the webhooks that name them, and can make no loop: none is about
 * a relay event, and none goes to the webhook that it is about. Pure: what is to be sent is plain data.
 */

const PREFIX = "relay.";

export const OWN_EVENTS = {
  failing: "relay.webhook.failing",
  recovered: "relay.webhook.recovered",
  disabled: "relay.webhook.disabled",
  undeliverable: "relay.delivery.undeliverable",
  deadLetter: "relay.dead_letter.added",
} as const;
export type OwnEventName = (typeof OWN_EVENTS)[keyof typeof OWN_EVENTS];

/** Of one kind and about one webhook no more than one event is sent in this time. */
export const MIN_GAP_MS = 60_000;

export function isOwnEvent(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** The webhook that a relay event is about; null for every other event, and for a dead letter. */
export function subjectOf(name: string, data: unknown): string | null {
  if (!isOwnEvent(name) || typeof data !== "object" || data === null || !("id" in data))
    return null;
  return typeof data.id === "string" ? data.id : null;
}

/** Something that happened `count` times, of which `data` tells the first. */
export type Notice = {
  event: OwnEventName;
  /** The webhook's id; empty for a dead letter. */
  about: string;
  atMs: number;
  /** As the event shows it, but for `count`. */
  data: Record<string, unknown>;
  count: number;
};

/** What is to be sent of one kind about one webhook. */
export type OutboxEntry = Pick<Notice, "event" | "about"> & {
  /** null when nothing happened since the last one was sent. */
  notice: Notice | null;
  /** The body that may be in the queue already: sent again as it is, so that both are one event. */
  body: string | null;
  sentAtMs: number | null;
};

/** The entry with another notice in it: the first is told, the others are counted. */
export function addNotice(entry: OutboxEntry | null, notice: Notice): OutboxEntry {
  const { event, about } = notice;
  const before = entry ?? { event, about, notice: null, body: null, sentAtMs: null };
  const waiting = before.notice;
  const gathered = waiting && { ...waiting, count: waiting.count + notice.count };
  return { ...before, notice: gathered ?? notice };
}

/** When the entry may be sent, Unix milliseconds; null when there is nothing to send. */
export function sendAtMs({ notice, body, sentAtMs }: OutboxEntry): number | null {
  if (body !== null) return 0;
  if (notice === null) return null;
  return sentAtMs === null ? 0 : sentAtMs + MIN_GAP_MS;
}

/** The entry with the body that is sent now, on disk before it is: what happens from here on is for the next one. */
export function seal(entry: OutboxEntry): OutboxEntry & { body: string } {
  const { body, notice, event } = entry;
  if (body !== null || notice === null) return { ...entry, body: body ?? "" };
  const timestamp = new Date(notice.atMs).toISOString();
  const data = { ...notice.data, count: notice.count };
  return { ...entry, notice: null, body: JSON.stringify({ event, timestamp, data }) };
}

/** The queue has it. */
export function sent(entry: OutboxEntry, nowMs: number): OutboxEntry {
  return { ...entry, body: null, sentAtMs: nowMs };
}
