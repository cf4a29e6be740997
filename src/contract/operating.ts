/** /v1/dead-letters, /v1/audit, /v1/stats: what those who run the relay look at. */
import * as z from "zod/mini";
import type { OpenAlert } from "../domain/alert";
import { DEAD_LETTER_REASONS } from "../domain/dead-letter";
import { shownHealth } from "../domain/health-report";
import { OPEN_METRICS_TYPE } from "../domain/open-metrics";
import { RELAY_EVENTS } from "../domain/relay-events";
import { DAY_MS, shown } from "../domain/time";
import type { Backlog, Outcomes, Queues, Stats, WebhookStats } from "../operations/stats";
import type { DeadLetter } from "../storage/dead-letter-store";
import type { AuditEntry } from "../storage/registry-store";
import { formatAuditId, parseAuditId, parseDeadLetterCursor } from "./cursor";
import * as f from "./fields";
import { answer, call, callsOf, type Fields, optionalBody } from "./route";
import { HEALTH_EXAMPLE, webhookHealth } from "./webhooks";

/** Counters are kept for a month. */
const MAX_STATS_DAYS = 31;
// --- dead letters ---

const reason = z.enum(DEAD_LETTER_REASONS).register(f.document, { id: "DeadLetterReason" });

const deadLetter = f.named("DeadLetter", {
  id: f.text,
  eventId: z.nullable(f.eventId),
  event: z.nullable(f.text),
  reason,
  receivedAt: f.time,
  failedAt: f.time,
  webhookIds: f.said(z.array(f.webhookId), "Those that are still owed."),
} satisfies Fields<Omit<DeadLetter, "email">>);

const LETTER_EXAMPLE: z.infer<typeof deadLetter> = {
  ...RELAY_EVENTS["relay.dead_letter.added"].example.deadLetter,
  webhookIds: [f.EXAMPLE.webhookId],
};

const letterParams = z.object({
  id: f.textLike(/^dl_[\w-]{1,128}$/).register(f.document, { example: LETTER_EXAMPLE.id }),
});

const bulkRedriveSchema = f.namedStrict("RedriveRequest", {
  reason: z.optional(reason),
  dryRun: z._default(z.boolean(), false),
  cursor: f.cursorParam(parseDeadLetterCursor),
});

// --- audit ---

const auditEntry = f.named("AuditEntry", {
  id: f.text,
  at: f.time,
  key: f.said(
    z.nullable(f.text),
    "A fingerprint of the API key; null for what the relay did by itself.",
  ),
  action: f.text,
  webhookId: z.nullable(f.webhookId),
  before: z.nullable(f.anyObject),
  after: z.nullable(f.anyObject),
});

export function shownAudit(entry: AuditEntry): z.infer<typeof auditEntry> {
  const { number, ...rest } = entry;
  return { id: formatAuditId(number), ...shown(rest) };
}

// --- stats ---

const step = f.named("StatsStep", {
  at: f.time,
  events: f.count,
  delivered: f.count,
  failedAttempts: f.count,
});
const outcomeFields = {
  pending: f.count,
  delivered: f.count,
  undeliverable: f.count,
  cancelled: f.count,
  successRate: z.nullable(z.number().check(z.minimum(0), z.maximum(1))),
  latencyMs: f.named("Latency", { p50: z.nullable(z.number()), p95: z.nullable(z.number()) }),
} satisfies Fields<Outcomes>;
const webhookStats = f.named("WebhookStats", {
  id: f.webhookId,
  ...outcomeFields,
  oldestDueAt: z.nullable(f.time),
  failingSince: f.said(
    z.nullable(f.time),
    "The first failure since the last success; null while all is well.",
  ),
  health: webhookHealth,
} satisfies Fields<Omit<WebhookStats, "totals" | "lately">>);

const backlog = f.named("Backlog", {
  backlog: f.said(z.nullable(f.count), "Messages; null where the queue does not say."),
  oldestAt: z.nullable(f.time),
} satisfies Fields<Backlog>);
const alerts = f.named(
  "AlertsRefused",
  { refusedSince: f.time, statusCode: z.nullable(z.int()) },
  "Since when ALERT_URL does not take alerts.",
);

const openAlert = f.named("OpenAlert", {
  cause: f.said(f.text, "What it is about; it ends with a webhook's id, if any."),
  text: f.text,
  foundAt: f.said(f.time, "When it was last found to be so."),
} satisfies Fields<OpenAlert>);

const stats = f.named("Stats", {
  lastEventAt: z.nullable(f.time),
  events: f.count,
  all: f.named("Outcomes", outcomeFields, "Of all webhooks together."),
  webhooks: z.array(webhookStats),
  hours: z.array(step),
  recent: f.said(z.array(step), "The last hour in steps of five minutes."),
  queues: f.named("Queues", { events: backlog, deadLetters: backlog } satisfies Fields<Queues>),
  alerts: f.said(z.nullable(alerts), "null while they are taken, or go nowhere."),
  openAlerts: f.said(
    z.array(openAlert),
    "What is not over, whether ALERT_URL was told of it or not.",
  ),
} satisfies Fields<Stats>);

export function shownStats({ webhooks, queues, alerts: refused, openAlerts, ...told }: Stats) {
  return {
    ...shown(told),
    webhooks: webhooks.map(({ health, totals: _, lately: __, ...each }) => ({
      ...shown(each),
      health: shownHealth(health),
    })),
    hours: told.hours.map(shown),
    recent: told.recent.map(shown),
    queues: { events: shown(queues.events), deadLetters: shown(queues.deadLetters) },
    alerts: refused && shown(refused),
    openAlerts: openAlerts.map(shown),
  };
}

const statsSince = z
  .optional(
    f.timeParam.check(
      z.refine(
        (ms) => ms > Date.now() - MAX_STATS_DAYS * DAY_MS,
        `must be within the last ${MAX_STATS_DAYS} days`,
      ),
    ),
  )
  .register(f.document, {
    format: "date-time",
    description: `ISO 8601 with \`Z\` or an offset, within the last ${MAX_STATS_DAYS} days; a day ago when left out.`,
  });

const OUTCOMES_EXAMPLE = {
  pending: 1,
  delivered: 11,
  undeliverable: 0,
  cancelled: 0,
  successRate: 0.92,
  latencyMs: { p50: 120, p95: 480 },
};

const STEP_EXAMPLE = {
  at: "2026-11-23T09:00:00.000Z",
  events: 12,
  delivered: 11,
  failedAttempts: 1,
};

// --- the calls ---

export const calls = callsOf("Operating", {
  listDeadLetters: call("get /v1/dead-letters", {
    summary: "List what could not be handed over, newest first",
    description: "When an alert says so: each has its reason, and who is still owed it.",
    request: {
      query: z.strictObject({
        limit: f.limitParam,
        cursor: f.cursorParam(parseDeadLetterCursor),
        reason: z.optional(reason),
      }),
    },
    responses: {
      200: f.page("DeadLetterPage", deadLetter, { of: "dead letters", example: LETTER_EXAMPLE }),
    },
  }),

  redriveDeadLetters: call("post /v1/dead-letters/redrive", {
    summary: "Hand many dead letters over again",
    description:
      "Once what kept them is mended. Up to 1,000 a call; go on with `next` as `cursor`. What somebody cannot take stays.",
    request: { body: optionalBody(bulkRedriveSchema, { reason: "subscriber_unreachable" }) },
    responses: { 202: f.doneToMany("Handed over.", "RedrivenMany", "redriven") },
  }),

  redriveDeadLetter: call("post /v1/dead-letters/{id}/redrive", {
    summary: "Hand a dead letter over again",
    description: "Once its reason is gone: it goes to those that are still owed it.",
    request: { params: letterParams },
    responses: {
      202: answer("Handed over.", f.named("Redriven", { id: f.text }), {
        id: LETTER_EXAMPLE.id,
      }),
    },
  }),

  deleteDeadLetter: call("delete /v1/dead-letters/{id}", {
    summary: "Delete a dead letter",
    description: "When nobody needs it any more: it is not delivered.",
    request: { params: letterParams },
    responses: { 204: { description: "Deleted." } },
  }),

  listAudit: call("get /v1/audit", {
    summary: "List who changed what, newest first",
    description: "To find out when a setting became what it is, and by whom.",
    request: {
      query: z.strictObject({ limit: f.limitParam, cursor: f.cursorParam(parseAuditId) }),
    },
    responses: {
      200: f.page("AuditPage", auditEntry, {
        of: "the audit log",
        example: {
          id: "aud_12",
          at: "2026-11-23T09:20:00.000Z",
          key: "3f8a91c2",
          action: "webhook.updated",
          webhookId: f.EXAMPLE.webhookId,
          before: { ordered: false },
          after: { ordered: true },
        },
      }),
    },
  }),

  getStats: call("get /v1/stats", {
    summary: "See how the relay is doing",
    description: "For a page or a script of one's own; a monitoring system scrapes `/v1/metrics`.",
    request: {
      query: z.strictObject({
        since: statsSince,
      }),
    },
    responses: {
      200: answer("Counters.", stats, {
        lastEventAt: "2026-11-23T09:14:36.001Z",
        events: 12,
        all: OUTCOMES_EXAMPLE,
        webhooks: [
          {
            id: f.EXAMPLE.webhookId,
            ...OUTCOMES_EXAMPLE,
            oldestDueAt: "2026-11-23T09:15:38.002Z",
            failingSince: "2026-11-23T09:14:38.002Z",
            health: HEALTH_EXAMPLE,
          },
        ],
        hours: [STEP_EXAMPLE],
        recent: [STEP_EXAMPLE],
        queues: {
          events: { backlog: 0, oldestAt: null },
          deadLetters: { backlog: 0, oldestAt: null },
        },
        alerts: null,
        openAlerts: [],
      }),
    },
  }),

  getMetrics: call("get /v1/metrics", {
    summary: "Scrape metrics",
    description:
      "For Prometheus and everything that reads OpenMetrics 1.0. A read-only key will do.",
    responses: {
      200: {
        description: "Counters that never fall, and how things stand now.",
        text: OPEN_METRICS_TYPE,
      },
    },
  }),
});
