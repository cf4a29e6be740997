/**
 * What a relay says of what it has stored, in its API and on its pages, and whether another release says it still.
 * A newer one may say more.
 */
import { type Api, type LoggedDelivery, mapInParallel } from "../rig/api.ts";

const STATUSES = ["pending", "delivered", "undeliverable", "cancelled"] as const;
/** Shows what is wrong at the moment: it must open. What it counts is compared as statistics. */
const OVERVIEW = "/dashboard";
/** So many calls at a time. */
const CALLS = 8;

type Webhook = { id: string; status: string; url: string };
type EventWhole = { deliveries: { webhookId: string }[] };
type Counted = { id: string } & Record<string, unknown>;

export type Said = {
  webhooks: Webhook[];
  events: { id: string }[];
  /** By id, with payload and matches. */
  eventsWhole: Record<string, EventWhole>;
  deadLetters: object[];
  audit: object[];
  stats: Counted[];
  /** By webhook, then by status: ids of events. */
  lists: Record<string, Record<string, string[]>>;
  /** By `webhook event`, with the attempt log. */
  deliveries: Record<string, LoggedDelivery>;
  /** By path: the facts that a page shows. */
  pages: Record<string, string[]>;
};

/** @param sinceMs from when on it counts, Unix milliseconds; the same for both. */
export async function whatSays(api: Api, sinceMs: number): Promise<Said> {
  const webhooks = await api.all<Webhook>("/webhooks");
  const events = await api.all<{ id: string }>("/events");
  const since = new Date(sinceMs).toISOString();
  const lists: Said["lists"] = {};
  const deliveries: Said["deliveries"] = {};
  for (const { id } of webhooks) {
    const byStatus: Record<string, string[]> = {};
    for (const status of STATUSES) {
      const path = `/webhooks/${id}/deliveries`;
      const listed = await api.all<LoggedDelivery>(`${path}?status=${status}`);
      byStatus[status] = listed.map(({ eventId }) => eventId);
      const whole = await mapInParallel(listed, CALLS, ({ eventId }) =>
        api.call<LoggedDelivery>(`${path}/${eventId}`),
      );
      for (const each of whole) deliveries[`${id} ${each.eventId}`] = each;
    }
    lists[id] = byStatus;
  }
  const whole = await mapInParallel(events, CALLS, ({ id }) =>
    api.call<EventWhole>(`/events/${id}`),
  );
  return {
    webhooks,
    events,
    eventsWhole: Object.fromEntries(events.map(({ id }, at) => [id, whole[at] as EventWhole])),
    deadLetters: await api.all("/dead-letters"),
    audit: await api.all("/audit"),
    stats: (await api.call<{ webhooks: Counted[] }>(`/stats?since=${since}`)).webhooks,
    lists,
    deliveries,
    pages: await pagesOf(api, webhooks, events),
  };
}

async function pagesOf(
  api: Api,
  webhooks: readonly Webhook[],
  events: readonly { id: string }[],
): Promise<Said["pages"]> {
  const cookie = await signIn(api);
  const paths = [
    OVERVIEW,
    "/dashboard/webhooks",
    "/dashboard/events",
    "/dashboard/deliveries?status=undeliverable",
    "/dashboard/deliveries?status=cancelled",
    "/dashboard/dead-letters",
    "/dashboard/audit",
    ...webhooks.map(({ id }) => `/dashboard/webhooks/${id}`),
    ...[...events.slice(0, 5), ...events.slice(-20)].map(({ id }) => `/dashboard/events/${id}`),
  ];
  const facts = await mapInParallel(paths, CALLS, async (path) => {
    const page = await api.fetch(path, { headers: { cookie }, redirect: "manual" });
    if (page.status !== 200) throw new Error(`${path} answered ${page.status}`);
    return factsOn(await page.text());
  });
  return Object.fromEntries(paths.map((path, index) => [path, facts[index] ?? []]));
}

async function signIn(api: Api): Promise<string> {
  const answer = await api.fetch("/dashboard/sign-in", {
    method: "POST",
    redirect: "manual",
    headers: { origin: api.url },
    body: new URLSearchParams({ key: api.apiKey, next: "/dashboard" }),
  });
  const [cookie = ""] = answer.headers.getSetCookie();
  if (answer.status !== 303 || cookie === "") throw new Error(`sign-in answered ${answer.status}`);
  return cookie.split(";", 1)[0] ?? "";
}

/** Ids, hosts, names of events, and days, wherever they stand on a page. */
function factsOn(html: string): string[] {
  const facts = html.match(
    /\b(?:evt|wh)_[0-9A-Z]{26}\b|\bdl_\w+|[\w-]+\.example\.com|\b(?:test|message|reply)\.[a-z]\w*/g,
  );
  return [...new Set(facts)].sort();
}

// --- whether it is said still -------------------------------------------------------------------------------

/**
 * What `now` does not say of what was said. What moves with time is held to what cannot change: an attempt that was
 * logged stays logged, and a delivery that was finished stays as it was.
 */
export function unsaid(before: Said, now: Said): string[] {
  const finished = ({ status }: LoggedDelivery) => status !== "pending";
  const atRest = new Set(
    before.webhooks.flatMap(({ id, status }) =>
      status === "active" && (before.lists[id]?.pending ?? []).length > 0 ? [] : id,
    ),
  );
  return [
    ...missing("webhooks", before.webhooks.map(settled), now.webhooks),
    ...missing("events", before.events.map(settled), now.events),
    ...missing("dead letters", before.deadLetters.map(settled), now.deadLetters),
    ...missing("audit", before.audit, now.audit.slice(-before.audit.length)),
    ...Object.entries(before.eventsWhole).flatMap(([id, said]) =>
      missing(`event ${id}`, matched(said), matched(now.eventsWhole[id] ?? { deliveries: [] })),
    ),
    ...Object.entries(before.deliveries).flatMap(([key, said]) => {
      const is = now.deliveries[key];
      if (is === undefined) return [`delivery ${key}: gone`];
      const { webhookId, eventId, event, createdAt, attemptLog } = said;
      const lasting = { webhookId, eventId, event, createdAt, attemptLog };
      const log = is.attemptLog.slice(0, attemptLog.length);
      return missing(`delivery ${key}`, finished(said) ? said : lasting, {
        ...is,
        ...(!finished(said) && { attemptLog: log }),
      });
    }),
    ...Object.entries(before.lists).flatMap(([id, byStatus]) =>
      STATUSES.flatMap((status) => listUnsaid(`${id} ${status}`, byStatus, now.lists[id], status)),
    ),
    ...before.stats.flatMap((said) => {
      const is = now.stats.find(({ id }) => id === said.id);
      const { pending, delivered, undeliverable, cancelled } = said;
      if (atRest.has(said.id)) {
        return missing(`stats ${said.id}`, { pending, delivered, undeliverable, cancelled }, is);
      }
      return Number(is?.delivered) >= Number(delivered)
        ? []
        : [`stats ${said.id}: fewer delivered`];
    }),
    ...Object.entries(before.pages).flatMap(([path, facts]) =>
      facts
        .filter((fact) => path !== OVERVIEW && !now.pages[path]?.includes(fact))
        .map((fact) => `${path}: no ${fact}`),
    ),
  ];
}

/** Whether what was listed is there still, in its order: what is pending alone may have become something else. */
function listUnsaid(
  name: string,
  before: Record<string, string[]>,
  now: Record<string, string[]> | undefined,
  status: (typeof STATUSES)[number],
): string[] {
  const was = new Set(before[status]);
  const kept = (now?.[status] ?? []).filter((id) => was.has(id));
  if (status !== "pending") return missing(`list ${name}`, before[status], kept);
  const still = new Set(kept);
  return missing(
    `list ${name}`,
    before[status]?.filter((id) => still.has(id)),
    kept,
  );
}

/** An event with whom it matched; what became of it there is said by each delivery. */
function matched({ deliveries, ...event }: EventWhole) {
  return { ...event, deliveries: deliveries.map(({ webhookId }) => webhookId) };
}

/** Without what time alone changes; a reason that was text is one of today's list. */
function settled(said: object): object {
  const { nextAttemptAt: _, deliveries: __, ...rest } = said as Record<string, unknown>;
  const isText = typeof rest.reason === "string" && rest.reason.startsWith("unreadable");
  return isText ? { ...rest, reason: "unreadable" } : rest;
}

/** Where `now` has not all that `before` has: an object may have more fields, a list no other elements. */
function missing(path: string, before: unknown, now: unknown): string[] {
  if (typeof before !== "object" || before === null) {
    return Object.is(before, now) ? [] : [`${path}: ${text(before)} is ${text(now)}`];
  }
  if (typeof now !== "object" || now === null) return [`${path}: is ${text(now)}`];
  if (Array.isArray(before) && before.length !== (now as unknown[]).length) {
    return [`${path}: ${before.length} are ${(now as unknown[]).length}`];
  }
  return Object.entries(before).flatMap(([key, value]) =>
    missing(`${path}.${key}`, value, (now as Record<string, unknown>)[key]),
  );
}

function text(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 100);
}
