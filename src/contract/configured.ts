/** A webhook as the configuration file of `npm run apply` has it. Imports nothing: the command reads this file too. */

type Shown = {
  name: string | null;
  headers: readonly string[];
  status: string;
  [field: string]: unknown;
};

/** What `PUT` takes, in the order in which people read it. */
const FIELDS = [
  ...["name", "url", "events", "description", "filter", "headers", "rateLimit", "ordered"],
  ...["concurrency", "timeout", "retrySchedule", "giveUpOn"],
] as const;
const DEFAULT_CONCURRENCY = 6;

/** @returns without what has its default; a header's value, which the relay never shows, is named. */
export function configurationOf(webhook: Shown): Record<string, unknown> {
  const headers = webhook.headers.map((header) => [header, { $env: variableOf(webhook, header) }]);
  const whole: Record<string, unknown> = { ...webhook, headers: Object.fromEntries(headers) };
  const said = FIELDS.filter((field) => !isDefault(field, whole[field]));
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
