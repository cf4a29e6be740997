/** Of the dashboard, as it is answered and in a browser. */
import type { Mutant } from "../mutants.ts";
import { fault } from "./fault.ts";

export const DASHBOARD: readonly Mutant[] = [
  fault(
    "worker/dashboard-access",
    "unknown keys have the team asked each time",
    "src/dashboard/ui/access-token.ts",
    ["cooldownDuration: ASK_AGAIN_MS", "cooldownDuration: 0"],
  ),
  fault(
    "worker/dashboard-dead-letters",
    "a redrive of what is no event leads to where it is received anew",
    "src/dashboard/events/dead-letters.tsx",
    ['            if (eventId === null) return { done: "redriven" };\n', ""],
  ),
  fault(
    "worker/dashboard-deliveries",
    "the way back from the selected leads to another page",
    "src/dashboard/deliveries/chosen.ts",
    [
      String.raw`/^\/dashboard\/deliveries(?:\?[\x21-\x7e]*)?$/.test(given)`,
      String.raw`/^\/dashboard\/deliveries/.test(given)`,
    ],
  ),
  fault(
    "worker/dashboard-events",
    "an event that goes to nobody looks like any other",
    "src/dashboard/events/table.tsx",
    ["return n === 0 ? <Badge", "return n < 0 ? <Badge"],
  ),
  fault(
    "worker/dashboard-json",
    "the call that a later page of a list names answers with the first",
    "src/dashboard/ui/list.tsx",
    [", ...(cursor && { cursor }) };", " };"],
  ),
  fault(
    "worker/dashboard-overview",
    "a week in bars of six hours",
    "src/dashboard/overview/period.ts",
    ["const HOURS_PER_BAR = 4;", "const HOURS_PER_BAR = 6;"],
  ),
  fault(
    "worker/dashboard-progress",
    "all that are selected are retried by one request",
    "src/dashboard/deliveries/chosen.ts",
    ["const RETRIED_AT_ONCE = 10;", "const RETRIED_AT_ONCE = 100;"],
  ),
  fault(
    "worker/dashboard-rows",
    "undeliverable ones are looked for among all",
    "src/storage/delivery-lists.ts",
    [
      '    if (status !== "pending" && status !== "undeliverable") {\n',
      '    if (status !== "pending") {\n',
    ],
  ),
  fault(
    "worker/dashboard-webhook-changes",
    "a webhook is deleted whatever is typed",
    "src/dashboard/webhooks/changes.tsx",
    ["if (typed !== hostOf(webhook.url).toLowerCase()) return", 'if (typed === "") return'],
  ),
  fault(
    "worker/dashboard-webhook-form",
    "a filter is warned of a path that is documented",
    "src/dashboard/webhooks/filter-trial.tsx",
    ["[...latest, ...documented].map(", "latest.map("],
  ),
  fault(
    "worker/dashboard-webhooks",
    "what makes one emoji of several is spelled out",
    "src/domain/foreign-text.ts",
    ["    if (EMOJI_PARTS.test(character) && EMOJI.test(before)) return character;\n", ""],
  ),
];
