/** /v1/webhooks: registrations and their deliveries. */
import { type Context, Hono } from "hono";
import { z } from "zod";
import { configOf, serviceBindings } from "../config";
import type { AttemptRecord, DeliveryView } from "../domain/delivery";
import { ok, type Result } from "../domain/failure";
import { checkFilter, type Filter } from "../domain/filter";
import { parseEventId, parseWebhookId } from "../domain/ids";
import { REGISTRY_NAME, subscriberName } from "../domain/placement";
import { parseSchedule } from "../domain/schedule";
import { isSecret } from "../domain/signature";
import { checkTarget, maskQuery } from "../domain/target";
import { ALL_EVENTS, type Webhook, type WebhookChanges } from "../domain/webhook";
import { problem } from "./problem";
import { invalid, limitParam, readBody, readQuery, timeParam } from "./request";

const MAX_DESCRIPTION_CHARACTERS = 1_000;
const MAX_EVENT_NAMES = 100;
const MAX_HEADERS = 50;
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/;
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?$/;
/** Ours (design §4), hop-by-hop (RFC 9110 §7.6.1), and what the platform or a cookie jar sets. */
const RESERVED_HEADERS =
  /^(x-leadterra-signature|x-leadterra-event|x-relay-attempt|webhook-(id|timestamp|signature)|user-agent|host|cookie|expect|connection|keep-alive|proxy-(authenticate|authorization|connection)|te|trailer|transfer-encoding|upgrade|(content|cf|x-forwarded)-.*)$/i;

const eventName = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,128}$/, "must be 1 to 128 of A-Z a-z 0-9 . _ -");
const events = z
  .array(z.union([eventName, z.literal(ALL_EVENTS)]))
  .min(1, "must name at least one event")
  .max(MAX_EVENT_NAMES)
  .refine(
    (names) => !names.includes(ALL_EVENTS) || names.length === 1,
    'must be names or ["*"], not both',
  )
  .refine((names) => new Set(names).size === names.length, "must name each event once");
const headers = z
  .record(
    z
      .string()
      .regex(HEADER_NAME, "must be an HTTP token")
      .refine((name) => !RESERVED_HEADERS.test(name), "is a reserved header"),
    z.string().regex(HEADER_VALUE, "must be 1 to 4,096 printable ASCII characters, spaces inside"),
  )
  .refine(
    (given) => Object.keys(given).length <= MAX_HEADERS,
    `must be at most ${MAX_HEADERS} headers`,
  )
  .refine(
    (given) =>
      new Set(Object.keys(given).map((name) => name.toLowerCase())).size ===
      Object.keys(given).length,
    "must name each header once",
  )
  .transform((given) =>
    Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), value])),
  );
const filter = z.unknown().superRefine((given, context) => {
  if (given === null || given === undefined) return;
  for (const mistake of checkFilter(given)) {
    context.addIssue({
      code: "custom",
      path: mistake.path === "filter" ? [] : [mistake.path.slice("filter.".length)],
      message: mistake.message,
    });
  }
});
const retrySchedule = z
  .string()
  .refine(
    (text) => parseSchedule(text) !== null,
    'must be 1 to 20 durations such as "1m 5m 30m 2h 8h"',
  );

const draftSchema = z.strictObject({
  url: z.string(),
  events,
  description: z.string().max(MAX_DESCRIPTION_CHARACTERS).nullable().default(null),
  filter: filter.default(null),
  headers: headers.nullable().default(null),
  rateLimit: z.number().positive().nullable().default(null),
  ordered: z.boolean().default(false),
  retrySchedule: retrySchedule.nullable().default(null),
  signingSecret: z
    .string()
    .refine(isSecret, 'must be "whsec_" and the base64 of 24 to 64 bytes')
    .optional(),
});

const changesSchema = z.strictObject({
  url: z.string().optional(),
  events: events.optional(),
  description: z.string().max(MAX_DESCRIPTION_CHARACTERS).nullable().optional(),
  filter: filter.optional(),
  headers: headers.nullable().optional(),
  rateLimit: z.number().positive().nullable().optional(),
  ordered: z.boolean().nullable().optional(),
  retrySchedule: retrySchedule.nullable().optional(),
});

const webhookListQuery = z.strictObject({ limit: limitParam, cursor: z.string().optional() });
const deliveryListQuery = z.strictObject({
  limit: limitParam,
  cursor: z.string().optional(),
  status: z.enum(["pending", "delivered", "undeliverable", "cancelled"]).optional(),
  event: eventName.optional(),
  since: timeParam.optional(),
  until: timeParam.optional(),
});

export const webhooks = new Hono<{ Bindings: Env }>()
  .post("/", async (c) => {
    const given = await readBody(c, draftSchema);
    if (!given.ok) return problem(c, given.failure);
    const { signingSecret, ...draft } = given.value;
    const url = targetUrl(c, draft.url, relayHost(c));
    if (!url.ok) return problem(c, url.failure);
    const { webhook, signingSecret: secret } = await registry(c).create(
      {
        ...draft,
        url: url.value,
        filter: draft.filter as Filter | null,
        headers: draft.headers ?? {},
        relayHost: relayHost(c),
      },
      signingSecret ?? null,
    );
    return c.json({ webhook: { ...shown(webhook), signingSecret: secret } }, 201);
  })
  .get("/", async (c) => {
    const query = readQuery(c, webhookListQuery);
    if (!query.ok) return problem(c, query.failure);
    const { cursor, limit } = query.value;
    if (cursor !== undefined && parseWebhookId(cursor) === null) return badCursor(c);
    const page = await registry(c).list(cursor ?? null, limit);
    const data = (page.webhooks as Webhook[]).map((webhook) => ({
      ...shown(webhook),
      url: maskQuery(webhook.url),
    }));
    return c.json({ data, next: page.next });
  })
  .get("/:id", async (c) => {
    const webhook = await registry(c).get(c.req.param("id"));
    if (webhook === null) return problem(c, { code: "not_found" });
    return c.json({ webhook: shown(webhook as Webhook) });
  })
  .patch("/:id", async (c) => {
    const given = await readBody(c, changesSchema);
    if (!given.ok) return problem(c, given.failure);
    const before = (await registry(c).get(c.req.param("id"))) as Webhook | null;
    if (before === null) return problem(c, { code: "not_found" });
    const changes = changesOf(c, given.value, before.relayHost);
    if (!changes.ok) return problem(c, changes.failure);
    const changed = await registry(c).update(before.id, changes.value);
    if (!changed.ok) return problem(c, changed.failure);
    const { webhook, signingSecret } = changed.value;
    return c.json({
      webhook: {
        ...shown(webhook as Webhook),
        ...(signingSecret === null ? {} : { signingSecret }),
      },
    });
  })
  .delete("/:id", async (c) => {
    const removed = await registry(c).remove(c.req.param("id"));
    return removed.ok ? c.body(null, 204) : problem(c, removed.failure);
  })
  .get("/:id/deliveries", async (c) => {
    const query = readQuery(c, deliveryListQuery);
    if (!query.ok) return problem(c, query.failure);
    const { cursor, since, until, status, event, limit } = query.value;
    const before = cursor === undefined ? undefined : positionOf(cursor);
    if (before === null) return badCursor(c);
    const webhook = await registry(c).get(c.req.param("id"));
    if (webhook === null) return problem(c, { code: "not_found" });
    const page = await c.env.SUBSCRIBER.getByName(webhook.id).deliveries({
      limit,
      ...(before && { before }),
      ...(status && { status }),
      ...(event !== undefined && { event }),
      ...(since !== undefined && { sinceMs: since }),
      ...(until !== undefined && { untilMs: until }),
    });
    const next = page.next === null ? null : `${page.next.seq}.${page.next.index}`;
    return c.json({ data: (page.deliveries as DeliveryView[]).map(shownDelivery), next });
  })
  .get("/:id/deliveries/:eventId", async (c) => {
    const eventId = parseEventId(c.req.param("eventId"));
    const webhook = await registry(c).get(c.req.param("id"));
    if (webhook === null || eventId === null) return problem(c, { code: "not_found" });
    const name = subscriberName((webhook as Webhook).id, eventId);
    const delivery = await c.env.SUBSCRIBER.getByName(name).delivery(eventId);
    if (delivery === null) return problem(c, { code: "not_found" });
    const { attemptLog, ...view } = delivery;
    return c.json({
      ...shownDelivery(view as DeliveryView),
      attemptLog: (attemptLog as AttemptRecord[]).map(shownAttempt),
    });
  });

function registry(c: Context<{ Bindings: Env }>) {
  return c.env.REGISTRY.getByName(REGISTRY_NAME);
}

function relayHost(c: Context): string {
  return new URL(c.req.url).host;
}

function badCursor(c: Context): Response {
  return problem(c, {
    code: "invalid_request",
    errors: [{ path: "cursor", message: "is not a cursor that this list gave" }],
  });
}

/** A cursor of the delivery list: the position of the last one shown. */
function positionOf(cursor: string): { seq: number; index: number } | null {
  const match = /^(\d{1,15})\.(\d{1,3})$/.exec(cursor);
  return match === null ? null : { seq: Number(match[1]), index: Number(match[2]) };
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

/** A webhook as the API shows it: header values and secrets never leave. */
function shown(webhook: Webhook) {
  return {
    id: webhook.id,
    url: webhook.url,
    events: webhook.events,
    description: webhook.description,
    filter: webhook.filter,
    headers: Object.keys(webhook.headers),
    rateLimit: webhook.rateLimit,
    ordered: webhook.ordered,
    retrySchedule: webhook.retrySchedule,
    status: webhook.status,
    statusReason: webhook.statusReason,
    createdAt: iso(webhook.createdAtMs),
    updatedAt: iso(webhook.updatedAtMs),
  };
}

function shownDelivery(delivery: DeliveryView) {
  return {
    webhookId: delivery.webhookId,
    eventId: delivery.eventId,
    event: delivery.event,
    status: delivery.status,
    attempts: delivery.attempts,
    createdAt: iso(delivery.createdAtMs),
    nextAttemptAt: iso(delivery.nextAttemptAtMs),
    completedAt: iso(delivery.completedAtMs),
    lastStatusCode: delivery.lastStatusCode,
    lastError: delivery.lastError,
  };
}

function shownAttempt({ startedAtMs, ...record }: AttemptRecord) {
  return {
    number: record.number,
    trigger: record.trigger,
    startedAt: iso(startedAtMs),
    durationMs: record.durationMs,
    statusCode: record.statusCode,
    error: record.error,
    responseBody: record.responseBody,
    responseTruncated: record.responseTruncated,
  };
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
