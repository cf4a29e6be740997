/** A webhook: one registration, a URL and the events it wants; and which events it wants. */
import * as z from "zod/mini";
import { isObject, type RelayEvent } from "./event";
import { fail, ok, type Result } from "./failure";
import { compileFilter, type Filter } from "./filter";
import type { WebhookId } from "./ids";
import { isRelayEvent } from "./relay-events";
import { parseTimeout } from "./schedule";
import { LISTENER, maskQuery, sameOrigin } from "./target";
import * as t from "./tolerant";
import { STATUS_REASONS, type StatusReason, WEBHOOK_STATUSES } from "./vocabulary";

/** A signing secret; without an end it is the newest, with one it signs along until the grace period ends. */
export type SigningSecret = z.output<typeof secret>;
const secret = t.fields({ value: t.text, expiresAtMs: t.numberOrNull });

const DEFAULT_CONCURRENCY = 6;

/** All that people decided about a webhook. Owned by the Registry, which pushes it to the Subscriber. */
export type Webhook = z.output<typeof storedWebhook>;
export const storedWebhook = t.fields({
  id: z.catch(z.custom<WebhookId>(t.isText), "" as WebhookId),
  /** Grows by one with each change; an older one never replaces a newer. */
  version: t.number,
  /** Unique, and stands for the id wherever the API takes one; null for none. */
  name: t.textOrNull,
  url: t.text,
  events: t.list(z.string()),
  description: t.textOrNull,
  filter: z.catch(
    z.nullable(z.custom<Filter>((value) => typeof value === "object" && value !== null)),
    null,
  ),
  /** Custom headers by lower-case name; the values are secret. */
  headers: z.catch(t.record(z.string()), {}),
  /** Deliveries per second, > 0. */
  rateLimit: t.numberOrNull,
  ordered: t.yes,
  /** How many attempts may be in flight at once, 1–300. */
  concurrency: z.catch(z.number(), DEFAULT_CONCURRENCY),
  /** A duration, 1–60 s; null for `DELIVERY_TIMEOUT`. */
  timeout: t.textOrNull,
  /** In the form of `RETRY_SCHEDULE`; null for the relay's own. */
  retrySchedule: t.textOrNull,
  /** Statuses after which a delivery is undeliverable at once. */
  giveUpOn: t.list(z.number()),
  /** What a newer release calls otherwise is held until a person looks. */
  status: z.catch(z.enum(WEBHOOK_STATUSES), "paused"),
  statusReason: z.catch(z.nullable(z.enum(STATUS_REASONS)), null),
  /** When `status` became what it is; null for one that was active from the start, and where that was not kept. */
  statusSinceMs: t.numberOrNull,
  /** `URL.host` of the request that registered it: deliveries to the relay itself are refused. */
  relayHost: t.text,
  /** Oldest first. */
  secrets: t.list(secret),
  /** The version of the last resume, and of the last change of URL: an older report of failure is void. */
  resumedVersion: t.number,
  urlVersion: t.number,
  createdAtMs: t.number,
  updatedAtMs: t.number,
});

/** What the relay keeps of a webhook for itself. */
export type Kept =
  | "version"
  | "statusSinceMs"
  | "relayHost"
  | "secrets"
  | "resumedVersion"
  | "urlVersion";

/** Whether its deliveries go to whoever listens. */
export function isListener({ url }: Pick<Webhook, "url">): boolean {
  return url === LISTENER;
}

/** One line of the routing table: what decides whether a webhook gets an event. */
export type Route = Pick<Webhook, "id" | "events" | "filter">;

export const ALL_EVENTS = "*";

export type CompiledRoute = {
  id: WebhookId;
  wants(event: Pick<RelayEvent, "name" | "envelope">): boolean;
};

/** Whether `events` has the name; `*` does not mean the relay's own. */
export function asksFor(events: Pick<Set<string>, "has">, name: string): boolean {
  return events.has(name) || (events.has(ALL_EVENTS) && !isRelayEvent(name));
}

/** Whether one of the relay's own events is about the webhook, which is not told of itself. */
export function isAbout({ name, envelope }: Pick<RelayEvent, "name" | "envelope">, id: WebhookId) {
  return isRelayEvent(name) && Object(envelope.data).id === id;
}

export function compileRoute({ id, events, filter }: Route): CompiledRoute {
  const names = new Set(events);
  const matches = filter === null ? () => true : compileFilter(filter);
  return {
    id,
    wants: (event) => asksFor(names, event.name) && !isAbout(event, id) && matches(event.envelope),
  };
}

/**
 * Makes the routing table ready. A filter that this release does not understand is no reason to hold the events of
 * other webhooks.
 *
 * @returns `broken`: the routes whose filter does not compile; they want by name alone.
 */
export function compileRoutes(routes: readonly Route[]) {
  const compiled: Record<"routes" | "broken", CompiledRoute[]> = { routes: [], broken: [] };
  for (const route of routes) {
    try {
      compiled.routes.push(compileRoute(route));
    } catch {
      compiled.broken.push(compileRoute({ ...route, filter: null }));
    }
  }
  return compiled;
}

/** Secrets that sign now, oldest first. */
export function liveSecrets(secrets: readonly SigningSecret[], nowMs: number): string[] {
  return secrets
    .filter(({ expiresAtMs }) => expiresAtMs === null || expiresAtMs > nowMs)
    .map(({ value }) => value);
}

/** How long an attempt may take, in milliseconds. @param ownMs of the relay. */
export function timeoutMsOf<Own extends number | null>(
  { timeout }: Pick<Webhook, "timeout">,
  ownMs: Own,
): number | Own {
  return parseTimeout(timeout ?? "") ?? ownMs;
}

/** What a person decides when registering a webhook; `url` as `checkTarget` normalised it. @property id to be known by. */
export type WebhookDraft = Partial<LaterSettings> &
  Omit<Webhook, Unaudited | "status" | "statusReason" | keyof LaterSettings> &
  Pick<Webhook, "relayHost"> & { id?: WebhookId; status?: "active" | "paused" };

/** What a change replaces; a field that is missing stays as it is. */
export type WebhookChanges = Partial<Omit<WebhookDraft, "relayHost" | "status" | "id">> & {
  /** No setting: the service has moved to another origin, and keeps its secret and its headers. */
  sameService?: boolean;
};

/** `not_yet_in_force`: stored, and on its way to the webhook's object. */
export type ChangeFailure = "not_found" | "not_yet_in_force";

/** A webhook after a change, with its secret where that is new: it is shown once. */
export type Changed = { webhook: Webhook; signingSecret: string | null };

/** The secret goes along also when its push is late: nobody would ever see it else. */
export function withSecret(changed: Result<Changed, ChangeFailure>, signingSecret: string) {
  if (changed.ok) return ok({ ...changed.value, signingSecret });
  const { failure } = changed;
  return failure.code === "not_yet_in_force" ? fail({ ...failure, signingSecret }) : changed;
}

type LaterSettings = Pick<Webhook, "name" | "concurrency" | "timeout" | "giveUpOn">;

/** What a setting is that is left out or unset by null, or that there was not yet when a webhook was registered. */
export const DEFAULTS: Omit<Webhook, Unaudited | "url" | "events" | "status" | "statusReason"> = {
  name: null,
  description: null,
  filter: null,
  headers: {},
  rateLimit: null,
  ordered: false,
  concurrency: DEFAULT_CONCURRENCY,
  timeout: null,
  retrySchedule: null,
  giveUpOn: [],
};

export function newWebhook(
  draft: WebhookDraft,
  { id, secret, nowMs }: { id: WebhookId; secret: string; nowMs: number },
): Webhook {
  return {
    ...DEFAULTS,
    ...draft,
    id,
    version: 1,
    status: draft.status ?? "active",
    statusReason: null,
    statusSinceMs: draft.status === "paused" ? nowMs : null,
    secrets: [{ value: secret, expiresAtMs: null }],
    resumedVersion: 0,
    urlVersion: 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
}

/**
 * The webhook after a change; `before` itself when nothing differs. Another origin is another service, unless the
 * change says that it has moved: it must neither see the headers that were meant for the first one nor be able to
 * forge its signatures, so headers go and the secret is new, without grace.
 *
 * @param newSecret used only if the origin changes.
 */
export function changeWebhook(
  before: Webhook,
  { sameService = false, ...changes }: WebhookChanges,
  { nowMs, newSecret }: { nowMs: number; newSecret: string },
): Webhook {
  if (!differs(before, changes)) return before;
  const webhook = nextVersion(before, changes, nowMs);
  if (webhook.url !== before.url) webhook.urlVersion = webhook.version;
  if (!sameService && !sameOrigin(webhook.url, before.url)) {
    webhook.headers = changes.headers ?? {};
    webhook.secrets = [{ value: newSecret, expiresAtMs: null }];
  }
  return webhook;
}

function differs(before: Webhook, changes: WebhookChanges): boolean {
  return Object.entries(changes).some(
    ([field, value]) => textOf(before[field as keyof Webhook]) !== textOf(value),
  );
}

/** As JSON, in which the order of an object's fields says nothing. */
function textOf(value: unknown): string | undefined {
  return JSON.stringify(value, (_, each: unknown) =>
    isObject(each) ? Object.fromEntries(Object.entries(each).sort()) : each,
  );
}

/** The webhook held by a person. One that is disabled stays so: only a resume ends that. */
export function pauseWebhook(before: Webhook, nowMs: number): Webhook {
  if (before.status !== "active") return before;
  return nextVersion(before, { status: "paused", statusSinceMs: nowMs }, nowMs);
}

/**
 * The webhook released by a person, also from being disabled; the failure clock starts anew.
 *
 * @param nowMs when it was asked for. Asked for again, after a restart, it is done.
 */
export function resumeWebhook(before: Webhook, nowMs: number): Webhook {
  if (before.updatedAtMs === nowMs && before.resumedVersion === before.version) return before;
  const resumed = {
    status: "active",
    statusReason: null,
    statusSinceMs: before.status === "active" ? before.statusSinceMs : nowMs,
    resumedVersion: before.version + 1,
  } as const;
  return nextVersion(before, resumed, nowMs);
}

/**
 * The webhook disabled because of what its Subscriber saw; unchanged when a person released it, or gave it another
 * URL, after the version that the report is about.
 */
export function disableWebhook(
  before: Webhook,
  report: { reason: StatusReason; version: number },
  nowMs: number,
): Webhook {
  if (before.status === "disabled") return before;
  if (before.resumedVersion > report.version || before.urlVersion > report.version) return before;
  const disabled = { status: "disabled", statusReason: report.reason } as const;
  return nextVersion(before, { ...disabled, statusSinceMs: nowMs }, nowMs);
}

/** A service is sent a signature for each: more than it can read would be refused for their size. */
const MAX_LIVE_SECRETS = 5;

/**
 * The webhook with a new secret; the live ones sign along until the grace period ends.
 *
 * @param rotation `atMs`: when it was asked for. Asked for again, after a restart, it is done.
 * @returns null when more would be live at once than may be.
 */
export function rotateSecret(
  before: Webhook,
  { secret, graceMs, atMs }: { secret: string; graceMs: number; atMs: number },
): Webhook | null {
  if (before.updatedAtMs === atMs && before.secrets.at(-1)?.value === secret) return before;
  const untilMs = atMs + graceMs;
  const old = before.secrets
    .map(({ value, expiresAtMs }) => ({
      value,
      expiresAtMs: Math.min(expiresAtMs ?? untilMs, untilMs),
    }))
    .filter(({ value, expiresAtMs }) => expiresAtMs > atMs && value !== secret);
  if (old.length >= MAX_LIVE_SECRETS) return null;
  return nextVersion(before, { secrets: [...old, { value: secret, expiresAtMs: null }] }, atMs);
}

function nextVersion(before: Webhook, changes: Partial<Webhook>, nowMs: number): Webhook {
  return { ...before, ...changes, version: before.version + 1, updatedAtMs: nowMs };
}

/** What no audit line says of a webhook: secrets but for their number, and what the line says itself. */
type Unaudited = Kept | "id" | "createdAtMs" | "updatedAtMs";
type AuditView = Record<Exclude<keyof Webhook, Unaudited> | "signingSecrets", unknown>;

/** What the audit log keeps of a change: of a changed webhook only what differs, and nothing secret. */
export function auditViews(before: Webhook | null, after: Webhook | null) {
  if (before === null || after === null) {
    return { before: before && auditView(before), after: after && auditView(after) };
  }
  // By what is not shown too: another value of a header, another query of the URL, another secret.
  const values = (webhook: Webhook) => ({ ...webhook, signingSecrets: webhook.secrets });
  const [old, now] = [values(before), values(after)];
  const differs = (Object.keys(auditView(after)) as (keyof AuditView)[]).filter(
    (field) => textOf(old[field]) !== textOf(now[field]),
  );
  const only = (webhook: Webhook) => {
    const view = auditView(webhook);
    return Object.fromEntries(differs.map((field) => [field, view[field]]));
  };
  return { before: only(before), after: only(after) };
}

function auditView(webhook: Webhook): AuditView {
  const { name, url, events, description, filter, headers, status, statusReason } = webhook;
  const { rateLimit, ordered, concurrency, timeout, retrySchedule, giveUpOn } = webhook;
  return {
    name,
    url: maskQuery(url),
    events,
    description,
    filter,
    headers: Object.keys(headers),
    rateLimit,
    ordered,
    concurrency,
    timeout,
    retrySchedule,
    giveUpOn,
    status,
    statusReason,
    signingSecrets: webhook.secrets.length,
  };
}
