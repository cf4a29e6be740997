/** A webhook as the configuration file of `npm run apply` has it. Imports types alone: the command reads this file too. */
import type { WebhookChanges } from "../domain/webhook";

type Shown = {
  name: string | null;
  headers: readonly string[];
  status: string;
  [field: string]: unknown;
};

export type Setting = Exclude<keyof WebhookChanges, "sameService">;

/** What `PUT` takes, in the order in which people read it; none can be forgotten. */
export const SETTINGS = Object.keys({
  name: 1,
  url: 1,
  events: 1,
  description: 1,
  filter: 1,
  headers: 1,
  rateLimit: 1,
  ordered: 1,
  concurrency: 1,
  timeout: 1,
  retrySchedule: 1,
  giveUpOn: 1,
} satisfies Record<Setting, 1>) as Setting[];
const DEFAULT_CONCURRENCY = 6;

/** @returns without what has its default; a header's value, which the relay never shows, is named. */
export function configurationOf(webhook: Shown): Record<string, unknown> {
  const headers = webhook.headers.map((header) => [header, { $env: variableOf(webhook, header) }]);
  const whole: Record<string, unknown> = { ...webhook, headers: Object.fromEntries(headers) };
  const said = SETTINGS.filter((field) => !isDefault(field, whole[field]));
  return {
    ...Object.fromEntries(said.map((field) => [field, whole[field]])),
    ...(webhook.status === "paused" && { status: "paused" }),
  };
}

/** `crm`, `authorization` → `CRM_AUTHORIZATION`. */
function variableOf({ name }: Shown, header: string): string {
  return `${name}_${header}`.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_");
}

function isDefault(field: string, value: unknown): boolean {
  if (field === "concurrency") return value === DEFAULT_CONCURRENCY;
  if (value === null || value === undefined || value === false) return true;
  return typeof value === "object" && field !== "filter" && Object.keys(value).length === 0;
}
