/** Which object serves what, by its name; the name of a Subscriber is the id of its webhook. */
import { parseWebhookId, type WebhookId } from "./ids";
import { DAY_MS } from "./time";

export const REGISTRY_NAME = "registry";
export const DEAD_LETTERS_NAME = "dead-letters";

/**
 * The webhook that a Subscriber object is for.
 *
 * @throws for a name that a later release may have given: what such an object is for is not known, and must not be
 *   taken for a webhook that was deleted.
 */
export function webhookOf(objectName: string | undefined): WebhookId {
  const id = parseWebhookId(objectName ?? "");
  if (id === null) throw new Error(`no webhook is served by an object named ${objectName}`);
  return id;
}

/** The name of a webhook's Lane, by its number from 0 on. */
export function laneName(webhookId: string, lane: number): string {
  return `lane:${webhookId}:${lane}`;
}

/** The name of the Journal object for what was received at `receivedAtMs`: its UTC day, `2026-11-23`. */
export function journalName(receivedAtMs: number): string {
  return new Date(receivedAtMs).toISOString().slice(0, 10);
}

/**
 * When the day of a Journal object begins, Unix milliseconds.
 *
 * @throws for a name that is no day.
 */
export function journalDayMs(objectName: string | undefined): number {
  const dayMs = Date.parse(`${objectName}T00:00:00Z`);
  if (Number.isNaN(dayMs) || journalName(dayMs) !== objectName) {
    throw new Error(`no day is served by an object named ${objectName}`);
  }
  return dayMs;
}

/** The journals of the days from `sinceMs` to `untilMs`, newest first. */
export function journalNames(sinceMs: number, untilMs: number): string[] {
  const names: string[] = [];
  const firstDay = Math.floor(sinceMs / DAY_MS);
  for (let day = Math.floor(untilMs / DAY_MS); day >= firstDay; day--) {
    names.push(journalName(day * DAY_MS));
  }
  return names;
}
