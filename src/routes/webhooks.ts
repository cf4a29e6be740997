/** /v1/webhooks: registrations. */
import { type Context, Hono } from "hono";
import * as z from "zod";
import { badCursor } from "../contract/problem";
import type { Result } from "../domain/failure";
import { checkFilter, type Filter } from "../domain/filter";
import { checkHeaders, headersOf } from "../domain/headers";
import { parseWebhookId } from "../domain/ids";
import { parseSchedule } from "../domain/schedule";
import { isSecret } from "../domain/signature";
import { ALL_EVENTS, type WebhookChanges, type WebhookDraft } from "../domain/webhook";
import {
  type Changed,
  findWebhook,
  listWebhooks,
  pauseWebhook,
  registerWebhook,
  removeWebhook,
  resumeWebhook,
  rotateSecret,
  testWebhook,
  updateWebhook,
} from "../operations/webhooks";
import type { ApiEnv } from "./auth";
import { problem } from "./problem";
import {
  cursorParam,
  eventName,
  limitParam,
  readBody,
  readOptionalBody,
  readQuery,
  takesNothing,
} from "./request";
import { listedWebhook, shownAttempt, shownWebhook } from "./views";

const MAX_DESCRIPTION_CHARACTERS = 1_000;
const MAX_EVENT_NAMES = 100;
/** Less than one a day would keep a delivery beyond any retention. */
const MIN_RATE_PER_SECOND = 0.00001;
const DEFAULT_GRACE_SECONDS = 86_400;
const MAX_GRACE_SECONDS = 604_800;

const events = z
  .array(z.union([eventName, z.literal(ALL_EVENTS)]))
  .min(1, "must name at least one event")
  .max(MAX_EVENT_NAMES)
  .refine(
    (names) => !names.includes(ALL_EVENTS) || names.length === 1,
    'must be names or ["*"], not both',
  )
  .refine((names) => new Set(names).size === names.length, "must name each event once")
  .meta({ description: 'Names of events, or ["*"] for all of them.', uniqueItems: true });
const headers = z
  .unknown()
  .superRefine((given, context) => {
    for (const { name, message } of checkHeaders(given)) {
      context.addIssue({ code: "custom", path: name === null ? [] : [name], message });
    }
  })
  .transform((given) => headersOf(given as Record<string, string>))
  .meta({
    type: ["object", "null"],
    additionalProperties: { type: "string", minLength: 1, maxLength: 4_096 },
    maxProperties: 50,
    description:
      "Sent with every delivery. Values are never shown again; reserved names are refused.",
  });
/** Null for none; the paths of mistakes lead into the filter. */
export const filterSchema = z
  .unknown()
  .superRefine((given, context) => {
    if (given === null || given === undefined) return;
    for (const mistake of checkFilter(given)) {
      context.addIssue({
        code: "custom",
        path: mistake.path === "filter" ? [] : [mistake.path.slice("filter.".length)],
        message: mistake.message,
      });
    }
  })
  .meta({
    type: ["object", "null"],
    description:
      "A query in MongoDB's form over the event's envelope: paths, $eq $ne $in $nin $gt $gte $lt $lte $exists $startsWith $endsWith $not under them, $and and $or beside them. null matches every event.",
  });
const retrySchedule = z
  .string()
  .refine(
    (text) => parseSchedule(text) !== null,
    'must be 1 to 20 durations such as "1m 5m 30m 2h 8h"',
  )
  .meta({ description: "Waits after each failed attempt; null for the relay's own." });

const rateLimit = z
  .number()
  .min(MIN_RATE_PER_SECOND)
  .meta({ description: "Deliveries per second; fractions are allowed." });
const signingSecret = z
  .string()
  .refine(isSecret, 'must be "whsec_" and the base64 of 24 to 64 bytes')
  .meta({
    description: '"whsec_" and the base64 of 24 to 64 bytes; made by the relay when left out.',
  });

const url = z.string().meta({
  description:
    "An https: URL with a public DNS name, or service:NAME/path for a binding of the Worker.",
});
const ordered = z.boolean().meta({
  description: "One event at a time in the order of arrival; a failing one holds those behind it.",
});

export const draftSchema = z.strictObject({
  url,
  events,
  description: z.string().max(MAX_DESCRIPTION_CHARACTERS).nullable().default(null),
  filter: filterSchema.default(null),
  headers: headers.nullable().default(null),
  rateLimit: rateLimit.nullable().default(null),
  ordered: ordered.default(false),
  retrySchedule: retrySchedule.nullable().default(null),
  signingSecret: signingSecret.optional(),
});

export const changesSchema = z.strictObject({
  url: url.optional(),
  events: events.optional(),
  description: z.string().max(MAX_DESCRIPTION_CHARACTERS).nullable().optional(),
  filter: filterSchema.optional(),
  headers: headers.nullable().optional(),
  rateLimit: rateLimit.nullable().optional(),
  ordered: ordered.nullable().optional(),
  retrySchedule: retrySchedule.nullable().optional(),
});

export const listQuery = z.strictObject({ limit: limitParam, cursor: cursorParam });

export const rotationSchema = z.strictObject({
  gracePeriodSeconds: z.int().min(0).max(MAX_GRACE_SECONDS).default(DEFAULT_GRACE_SECONDS),
  signingSecret: signingSecret.optional(),
});

export const testSchema = z.strictObject({ event: eventName.optional() });

export const webhooks = new Hono<ApiEnv>()
  .post("/", async (c) => {
    const given = await readBody(c, draftSchema);
    if (!given.ok) return problem(c, given.failure);
    const { signingSecret: secret = null, ...draft } = given.value;
    const created = await registerWebhook(c.env, draftOf(draft, relayHost(c.req.url)), {
      secret,
      by: c.get("caller"),
    });
    return created.ok ? c.json(withSecret(created.value), 201) : problem(c, created.failure);
  })
  .get("/", async (c) => {
    const query = readQuery(c, listQuery);
    if (!query.ok) return problem(c, query.failure);
    const { cursor, limit } = query.value;
    if (cursor !== undefined && parseWebhookId(cursor) === null) return problem(c, badCursor());
    const { webhooks: page, next } = await listWebhooks(c.env, cursor ?? null, limit);
    return c.json({ data: page.map(listedWebhook), next });
  })
  .get("/:id", takesNothing(), async (c) => {
    const webhook = await findWebhook(c.env, c.req.param("id"));
    if (webhook === null) return problem(c, { code: "not_found" });
    const show = c.get("scope") === "all" ? shownWebhook : listedWebhook;
    return c.json({ webhook: show(webhook) });
  })
  .patch("/:id", async (c) => {
    const given = await readBody(c, changesSchema);
    if (!given.ok) return problem(c, given.failure);
    const changes = changesOf(given.value);
    const by = c.get("caller");
    return answer(c, await updateWebhook(c.env, c.req.param("id"), { changes, by }));
  })
  .delete("/:id", takesNothing(), async (c) => {
    const removed = await removeWebhook(c.env, c.req.param("id"), c.get("caller"));
    return removed.ok ? c.body(null, 204) : problem(c, removed.failure);
  })
  .post("/:id/pause", takesNothing(), async (c) =>
    answer(c, await pauseWebhook(c.env, c.req.param("id"), c.get("caller"))),
  )
  .post("/:id/resume", takesNothing(), async (c) =>
    answer(c, await resumeWebhook(c.env, c.req.param("id"), c.get("caller"))),
  )
  .post("/:id/rotate-secret", async (c) => {
    const given = await readOptionalBody(c, rotationSchema);
    if (!given.ok) return problem(c, given.failure);
    const { gracePeriodSeconds, signingSecret = null } = given.value;
    const rotated = await rotateSecret(c.env, c.req.param("id"), {
      graceMs: gracePeriodSeconds * 1_000,
      signingSecret,
      by: c.get("caller"),
    });
    return answer(c, rotated);
  })
  .post("/:id/test", async (c) => {
    const given = await readOptionalBody(c, testSchema);
    if (!given.ok) return problem(c, given.failure);
    const tested = await testWebhook(c.env, c.req.param("id"), given.value.event ?? null);
    return tested.ok ? c.json(shownAttempt(tested.value)) : problem(c, tested.failure);
  });

/** A webhook after a change, with its secret where that is new: it is shown once. */
function withSecret({ webhook, signingSecret: secret }: Changed) {
  return {
    webhook: { ...shownWebhook(webhook), ...(secret === null ? {} : { signingSecret: secret }) },
  };
}

function answer(c: Context, changed: Result<Changed>): Response {
  return changed.ok ? c.json(withSecret(changed.value)) : problem(c, changed.failure);
}

/** The host by which the relay is reached: a webhook must not lead back to it. */
export function relayHost(requestUrl: string): string {
  return new URL(requestUrl).host;
}

/** @param given without its secret. */
export function draftOf(
  given: Omit<z.output<typeof draftSchema>, "signingSecret">,
  host: string,
): WebhookDraft {
  return {
    ...given,
    filter: given.filter as Filter | null,
    headers: given.headers ?? {},
    relayHost: host,
  };
}

export function changesOf(given: z.output<typeof changesSchema>): WebhookChanges {
  const changes: WebhookChanges = {};
  if (given.url !== undefined) changes.url = given.url;
  if (given.events !== undefined) changes.events = given.events;
  if (given.description !== undefined) changes.description = given.description;
  if (given.filter !== undefined) changes.filter = given.filter as Filter | null;
  if (given.headers !== undefined) changes.headers = given.headers ?? {};
  if (given.rateLimit !== undefined) changes.rateLimit = given.rateLimit;
  if (given.ordered !== undefined) changes.ordered = given.ordered ?? false;
  if (given.retrySchedule !== undefined) changes.retrySchedule = given.retrySchedule;
  return changes;
}
