/** /v1/webhooks: registrations. */
import { type Context, Hono } from "hono";
import { z } from "zod";
import { configOf, serviceBindings } from "../config";
import type { AttemptRecord } from "../domain/delivery";
import { exampleEvent } from "../domain/event";
import { ok, type Result } from "../domain/failure";
import { checkFilter, type Filter } from "../domain/filter";
import { checkHeaders, headersOf } from "../domain/headers";
import { parseWebhookId } from "../domain/ids";
import { REGISTRY_NAME } from "../domain/placement";
import { parseSchedule } from "../domain/schedule";
import { isSecret } from "../domain/signature";
import { checkTarget } from "../domain/target";
import { ALL_EVENTS, type Webhook, type WebhookChanges } from "../domain/webhook";
import type { ApiEnv } from "./auth";
import { problem } from "./problem";
import {
  badCursor,
  cursorParam,
  eventName,
  invalid,
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

type AppContext = Context<ApiEnv>;

export const webhooks = new Hono<ApiEnv>()
  .post("/", async (c) => {
    const given = await readBody(c, draftSchema);
    if (!given.ok) return problem(c, given.failure);
    const { signingSecret: secret, ...draft } = given.value;
    const url = targetUrl(c, draft.url, relayHost(c));
    if (!url.ok) return problem(c, url.failure);
    const created = await registry(c).create(
      {
        ...draft,
        url: url.value,
        filter: draft.filter as Filter | null,
        headers: draft.headers ?? {},
        relayHost: relayHost(c),
      },
      secret ?? null,
      c.get("caller"),
    );
    return c.json(withSecret(created as Changed), 201);
  })
  .get("/", async (c) => {
    const query = readQuery(c, listQuery);
    if (!query.ok) return problem(c, query.failure);
    const { cursor, limit } = query.value;
    if (cursor !== undefined && parseWebhookId(cursor) === null) return problem(c, badCursor());
    const { webhooks: page, next } = await registry(c).list(cursor ?? null, limit);
    return c.json({ data: (page as Webhook[]).map(listedWebhook), next });
  })
  .get("/:id", takesNothing(), async (c) => {
    const webhook = await existing(c);
    if (webhook === null) return problem(c, { code: "not_found" });
    const show = c.get("scope") === "all" ? shownWebhook : listedWebhook;
    return c.json({ webhook: show(webhook) });
  })
  .patch("/:id", async (c) => {
    const given = await readBody(c, changesSchema);
    if (!given.ok) return problem(c, given.failure);
    const before = await existing(c);
    if (before === null) return problem(c, { code: "not_found" });
    const changes = changesOf(c, given.value, before.relayHost);
    if (!changes.ok) return problem(c, changes.failure);
    return answer(c, await registry(c).update(before.id, changes.value, c.get("caller")));
  })
  .delete("/:id", takesNothing(), async (c) => {
    const removed = await registry(c).remove(c.req.param("id"), c.get("caller"));
    return removed.ok ? c.body(null, 204) : problem(c, removed.failure);
  })
  .post("/:id/pause", takesNothing(), async (c) =>
    answer(c, await registry(c).pause(c.req.param("id"), c.get("caller"))),
  )
  .post("/:id/resume", takesNothing(), async (c) =>
    answer(c, await registry(c).resume(c.req.param("id"), c.get("caller"))),
  )
  .post("/:id/rotate-secret", async (c) => {
    const given = await readOptionalBody(c, rotationSchema);
    if (!given.ok) return problem(c, given.failure);
    const rotated = await registry(c).rotateSecret(
      c.req.param("id"),
      {
        graceMs: given.value.gracePeriodSeconds * 1_000,
        signingSecret: given.value.signingSecret ?? null,
      },
      c.get("caller"),
    );
    return answer(c, rotated);
  })
  .post("/:id/test", async (c) => {
    const given = await readOptionalBody(c, testSchema);
    if (!given.ok) return problem(c, given.failure);
    const webhook = await existing(c);
    if (webhook === null) return problem(c, { code: "not_found" });
    const [first = ALL_EVENTS] = webhook.events;
    const event = given.value.event ?? (first === ALL_EVENTS ? "reply.received" : first);
    const body = new TextEncoder().encode(JSON.stringify(exampleEvent(event, Date.now())));
    const attempt = await c.env.SUBSCRIBER.getByName(webhook.id).sendTest({ event, body });
    if (attempt === null) return problem(c, { code: "not_found" });
    return c.json(shownAttempt(attempt as AttemptRecord));
  });

type Changed = { webhook: Webhook; signingSecret: string | null };

/** A webhook after a change, with its secret where that is new: it is shown once. */
function withSecret({ webhook, signingSecret: secret }: Changed) {
  return {
    webhook: { ...shownWebhook(webhook), ...(secret === null ? {} : { signingSecret: secret }) },
  };
}

function answer(c: Context, changed: { ok: boolean }): Response {
  const result = changed as Result<Changed>;
  return result.ok ? c.json(withSecret(result.value)) : problem(c, result.failure);
}

async function existing(c: AppContext): Promise<Webhook | null> {
  return (await registry(c).get(c.req.param("id") ?? "")) as Webhook | null;
}

function registry(c: AppContext) {
  return c.env.REGISTRY.getByName(REGISTRY_NAME);
}

function relayHost(c: Context): string {
  return new URL(c.req.url).host;
}

/** The URL as it is stored, or why it is refused. */
function targetUrl(c: Context, given: string, host: string): Result<string> {
  const checked = checkTarget(given, {
    allowPrivate: configOf(c.env).allowPrivateDestinations,
    relayHost: host,
    services: serviceBindings(c.env),
  });
  return checked.ok ? ok(checked.url) : invalid([{ path: "url", message: checked.reason }]);
}

function changesOf(
  c: Context,
  given: z.output<typeof changesSchema>,
  host: string,
): Result<WebhookChanges> {
  const changes: WebhookChanges = {};
  if (given.url !== undefined) {
    const url = targetUrl(c, given.url, host);
    if (!url.ok) return url;
    changes.url = url.value;
  }
  if (given.events !== undefined) changes.events = given.events;
  if (given.description !== undefined) changes.description = given.description;
  if (given.filter !== undefined) changes.filter = given.filter as Filter | null;
  if (given.headers !== undefined) changes.headers = given.headers ?? {};
  if (given.rateLimit !== undefined) changes.rateLimit = given.rateLimit;
  if (given.ordered !== undefined) changes.ordered = given.ordered ?? false;
  if (given.retrySchedule !== undefined) changes.retrySchedule = given.retrySchedule;
  return ok(changes);
}
