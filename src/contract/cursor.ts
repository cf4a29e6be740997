/** Where a page of a list ends: opaque outside, read strictly when it comes back; null for what no list gave. */
import * as z from "zod/mini";
import { parseEventId, parseWebhookId } from "../domain/ids";
import type { Place } from "../operations/all-deliveries";
import type { ReplayCursor } from "../operations/deliveries";
import type { ErasureCursor } from "../operations/events";
import type { EventCursor } from "../operations/journal";
import type { AttemptPlace } from "../storage/attempt-list";
import type { DeadLetterPosition } from "../storage/dead-letter-store";
import type { Position } from "../storage/position";

/** A day that there is: `2026-02-30` is none. */
const isDay = (text: string) => z.iso.date().safeParse(text).success;

/** `seq.index`: a place in the order of arrival. */
export function parsePosition(text: string): Position | null {
  const match = /^(\d{1,15})\.(\d{1,4})$/.exec(text);
  return match === null ? null : { seq: Number(match[1]), index: Number(match[2]) };
}

export function formatPosition({ seq, index }: Position): string {
  return `${seq}.${index}`;
}

/** `seq.index~seq.index`: a place among first attempts, and one among the others. */
export function formatAttemptPlace({ first, again }: AttemptPlace): string {
  return `${formatPosition(first)}~${formatPosition(again)}`;
}

export function parseAttemptPlace(text: string): AttemptPlace | null {
  const [first = null, again = null, ...more] = text.split("~").map(parsePosition);
  return first === null || again === null || more.length > 0 ? null : { first, again };
}

/** `arrival~event~webhook`: a place among the deliveries of all webhooks. */
export function formatPlace({ atMs, eventId, webhookId }: Place): string {
  return [atMs, eventId, webhookId].join("~");
}

export function parsePlace(text: string): Place | null {
  const [, atMs, event = "", webhook = ""] = /^(\d{1,15})~([^~]*)~([^~]*)$/.exec(text) ?? [];
  const [eventId, webhookId] = [parseEventId(event), parseWebhookId(webhook)];
  if (eventId === null || webhookId === null) return null;
  return { atMs: Number(atMs), eventId, webhookId };
}

/** `day~seq.index`, and `~event` for each that came ahead. */
export function formatEventCursor({ day, position, ahead = [] }: EventCursor): string {
  return [day, position === null ? "" : formatPosition(position), ...ahead].join("~");
}

export function parseEventCursor(text: string): EventCursor | null {
  const [, day = "", rest = "", ids = ""] =
    /^(\d{4}-\d{2}-\d{2})~([\d.]*)((?:~evt_[0-9A-Z]{26}){0,4})$/.exec(text) ?? [];
  if (!isDay(day)) return null;
  const position = parsePosition(rest);
  if (position === null && rest !== "") return null;
  return { day, position, ...(ids !== "" && { ahead: ids.slice(1).split("~") }) };
}

/** `day~seq.index`, and `~queued`. */
export function formatErasureCursor({ queued, ...cursor }: ErasureCursor): string {
  return `${formatEventCursor(cursor)}${queued ? "~queued" : ""}`;
}

export function parseErasureCursor(text: string): ErasureCursor | null {
  const [, place = "", queued] = /^(.*?)(~queued)?$/.exec(text) ?? [];
  const cursor = parseEventCursor(place);
  return cursor && { ...cursor, queued: queued !== undefined };
}

/** `until~day~seq.index`, the day only where the journals are replayed. */
export function formatReplayCursor({ untilMs, day, position }: ReplayCursor): string {
  return [untilMs, day ?? "", position === null ? "" : formatPosition(position)].join("~");
}

export function parseReplayCursor(text: string): ReplayCursor | null {
  const [, untilMs, day = "", rest = ""] = /^(\d{1,15})~([\d-]*)~([\d.]*)$/.exec(text) ?? [];
  const position = parsePosition(rest);
  const ofDelivery = position && { day: null, position };
  const cursor = day === "" ? ofDelivery : parseEventCursor(`${day}~${rest}`);
  return cursor && { untilMs: Number(untilMs), ...cursor };
}

export function formatDeadLetterCursor({ failedAtMs, id }: DeadLetterPosition): string {
  return `${failedAtMs}~${id}`;
}

export function parseDeadLetterCursor(text: string): DeadLetterPosition | null {
  const match = /^(\d{1,15})~(dl_[\w-]{1,128})$/.exec(text);
  return match === null ? null : { failedAtMs: Number(match[1]), id: match[2] ?? "" };
}

export function formatAuditId(number: number): string {
  return `aud_${number}`;
}

export function parseAuditId(text: string): number | null {
  return /^aud_\d{1,15}$/.test(text) ? Number(text.slice(4)) : null;
}
