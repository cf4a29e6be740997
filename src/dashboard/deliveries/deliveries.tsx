/** /dashboard/deliveries: what webhooks are owed and got, newest first; those that are selected again. */
import { Hono } from "hono";
import { formatPosition, parsePosition } from "../../contract/cursor";
import { badCursor } from "../../contract/problem";
import type { DeliveryStatus, DeliveryView } from "../../domain/delivery";
import { type EventId, parseEventId, parseWebhookId, type WebhookId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import {
  type DeliveryFilter,
  latestDeliveries,
  listDeliveries,
  type NotRetried,
  retryDeliveries,
} from "../../operations/deliveries";
import { allWebhooks } from "../../operations/webhooks";
import { eventName } from "../../routes/request";
import { EventNameField } from "../events/event-name";
import { seeOther } from "../ui/notice";
import { page, showFailure } from "../ui/page";
import { Empty, Pager, webhookName, webhookPath } from "../ui/parts";
import { callerOf, mayChange, type PageContext, type PageEnv } from "../ui/session";
import { TimeRangeFields, timeRangeOf } from "../ui/time-range";
import { deliveryPage } from "./delivery";
import { DeliveryRows } from "./delivery-rows";

const PATH = "/dashboard/deliveries";
const DELIVERIES_PER_PAGE = 50;
const STATUSES = [
  "pending",
  "delivered",
  "undeliverable",
  "cancelled",
] as const satisfies DeliveryStatus[];
/** What a list is asked with; `done` and its like are not part of it. */
const FIELDS = ["webhook", "status", "event", "within", "since", "until"] as const;

type Query = Readonly<Record<string, string>>;

export const deliveryPages = new Hono<PageEnv>()
  .get("/deliveries", async (c) => {
    const query = queryOf(c);
    const { cursor } = c.req.query();
    const before = cursor === undefined ? null : parsePosition(cursor);
    if (cursor !== undefined && before === null) return showFailure(c, badCursor());
    const list = await listOf(c, query, before);
    return page(
      c,
      { title: "Deliveries", live: before === null },
      <>
        <Filters query={query} webhooks={list.webhooks} zone={c.get("zone")} />
        <div id="deliveries" data-live>
          <List
            list={list}
            query={query}
            cursor={cursor}
            zone={c.get("zone")}
            mayChange={mayChange(c)}
          />
        </div>
      </>,
    );
  })
  .post("/deliveries/retry", async (c) => {
    const form = await c.req.parseBody({ all: true });
    const back = backOf(form.back);
    const chosen = chosenIn([form.delivery].flat());
    if (chosen.size === 0) return seeOther(c, back, { done: "nothing_selected" });
    const webhooks = (await allWebhooks(c.env)).filter(({ id }) => chosen.has(id));
    if (webhooks.length < chosen.size) return showFailure(c, { code: "not_found" });
    let count = 0;
    const failed: NotRetried[] = [];
    for (const webhook of webhooks) {
      const retried = await retryDeliveries(c.env, webhook, {
        ids: chosen.get(webhook.id) ?? [],
        by: callerOf(c),
      });
      count += retried.retried.length;
      failed.push(...retried.failed);
    }
    const [first] = failed;
    if (count === 0 && first !== undefined) return seeOther(c, back, { failed: first.code });
    return seeOther(c, back, { done: failed.length === 0 ? "retried" : "retried_in_part", count });
  })
  .route("/", deliveryPage);

function queryOf(c: PageContext): Query {
  const given = c.req.query();
  return Object.fromEntries(
    FIELDS.map((name) => [name, given[name] ?? ""]).filter(([, value]) => value !== ""),
  );
}

type List = {
  webhooks: Webhook[];
  /** null for all of them. */
  webhook: Webhook | null;
  deliveries: DeliveryView[];
  next: string | null;
  /** There may be older ones that this list does not lead to. */
  more: boolean;
};

async function listOf(
  c: PageContext,
  query: Query,
  before: ReturnType<typeof parsePosition>,
): Promise<List> {
  const filter = filterOf(c, query);
  if (query.webhook === undefined) {
    const latest = await latestDeliveries(c.env, filter, DELIVERIES_PER_PAGE);
    return { ...latest, webhook: null, next: null };
  }
  const webhooks = await allWebhooks(c.env);
  const webhook = webhooks.find(({ id }) => id === query.webhook) ?? null;
  if (webhook === null) return { webhooks, webhook, deliveries: [], next: null, more: false };
  const { deliveries, next } = await listDeliveries(c.env, webhook, filter, {
    before,
    limit: DELIVERIES_PER_PAGE,
  });
  return { webhooks, webhook, deliveries, next: next && formatPosition(next), more: false };
}

/** What is no status or no event name counts as not asked. */
function filterOf(c: PageContext, { status, event }: Query): DeliveryFilter {
  const known = STATUSES.find((each) => each === status);
  return {
    ...(known !== undefined && { status: known }),
    ...(event !== undefined && eventName.safeParse(event).success && { event }),
    ...timeRangeOf(c, Date.now()),
  };
}

/** Values of the form `<webhook id>/<event id>`, by webhook; a page's worth at most. */
function chosenIn(values: readonly unknown[]): Map<WebhookId, EventId[]> {
  const chosen = new Map<WebhookId, EventId[]>();
  for (const value of values.slice(0, DELIVERIES_PER_PAGE)) {
    const [webhook = "", event = ""] = typeof value === "string" ? value.split("/") : [];
    const webhookId = parseWebhookId(webhook);
    const eventId = parseEventId(event);
    if (webhookId === null || eventId === null) continue;
    chosen.set(webhookId, [...(chosen.get(webhookId) ?? []), eventId]);
  }
  return chosen;
}

/** The list that the form was sent from; never another page. */
function backOf(given: unknown): string {
  const isList =
    typeof given === "string" && /^\/dashboard\/deliveries(?:\?[\x21-\x7e]*)?$/.test(given);
  return isList ? given : PATH;
}

type FiltersProps = { query: Query; webhooks: readonly Webhook[]; zone: string };

function Filters({ query, webhooks, zone }: FiltersProps) {
  return (
    <form method="get" action={PATH} class="panel search" aria-label="Filter">
      <label>
        Webhook
        <select name="webhook">
          <option value="">All webhooks</option>
          {webhooks.map((webhook) => (
            <option value={webhook.id} selected={query.webhook === webhook.id}>
              {webhookName(webhook)}
            </option>
          ))}
        </select>
      </label>
      <label>
        Status
        <select name="status">
          <option value="">Any status</option>
          {STATUSES.map((status) => (
            <option value={status} selected={query.status === status}>
              {status}
            </option>
          ))}
        </select>
      </label>
      <EventNameField value={query.event} />
      <TimeRangeFields query={query} zone={zone} />
      <div class="actions">
        <button type="submit" class="primary">
          Filter
        </button>
        {Object.keys(query).length > 0 && <a href={PATH}>Clear</a>}
      </div>
    </form>
  );
}

type ListProps = {
  list: List;
  query: Query;
  cursor: string | undefined;
  zone: string;
  mayChange: boolean;
};

function List({ list, query, cursor, zone, mayChange }: ListProps) {
  const { deliveries, webhooks, next, more } = list;
  const asked = { ...query, ...(cursor !== undefined && { cursor }) };
  const rows = (
    <DeliveryRows deliveries={deliveries} webhooks={webhooks} zone={zone} mayChange={mayChange} />
  );
  return (
    <>
      {deliveries.length === 0 ? (
        <None list={list} query={query} isFirstPage={cursor === undefined} mayChange={mayChange} />
      ) : mayChange ? (
        <Retry back={pathWith(asked)}>{rows}</Retry>
      ) : (
        rows
      )}
      {more && (
        <p class="quiet">These are the newest. Choose a webhook above to go further back.</p>
      )}
      <Pager path={PATH} query={asked} next={next} />
    </>
  );
}

function pathWith(query: Query): string {
  const search = new URLSearchParams(query).toString();
  return search === "" ? PATH : `${PATH}?${search}`;
}

/** A form around the rows: those that are ticked are retried. */
function Retry({ back, children }: { back: string; children?: unknown }) {
  return (
    <form method="post" action={`${PATH}/retry`}>
      <input type="hidden" name="back" value={back} />
      {children}
      <div class="actions chosen">
        <label class="inline" hidden>
          <input type="checkbox" data-select-all /> Select all shown
        </label>
        <button type="submit">Retry the selected</button>
      </div>
    </form>
  );
}

type NoneProps = { list: List; query: Query; isFirstPage: boolean; mayChange: boolean };

/** Why there is nothing to show, and what to do next. */
function None({ list, query, isFirstPage, mayChange }: NoneProps) {
  const { webhooks, webhook, next } = list;
  if (webhooks.length === 0) return <NoWebhook mayChange={mayChange} />;
  if (query.webhook !== undefined && webhook === null) {
    return (
      <Empty>
        <p>
          <strong>There is no such webhook.</strong>
        </p>
        <p>
          It may have been deleted, and its deliveries with it.{" "}
          <a href={PATH}>Deliveries of all webhooks</a>
        </p>
      </Empty>
    );
  }
  if (next !== null) {
    return <Empty>Nothing among the deliveries looked through so far; there are older ones.</Empty>;
  }
  const { webhook: _, ...narrowing } = query;
  if (!isFirstPage || Object.keys(narrowing).length > 0) {
    return (
      <Empty>
        <p>
          <strong>No delivery is like that.</strong>
        </p>
        <p>
          <a href={PATH}>All deliveries</a>
        </p>
      </Empty>
    );
  }
  return <NoDelivery webhook={webhook} />;
}

function NoWebhook({ mayChange }: { mayChange: boolean }) {
  return (
    <Empty>
      <p>
        <strong>There is no webhook yet, so nothing is delivered.</strong>
      </p>
      <p>
        {mayChange ? (
          <a href="/dashboard/webhooks/new">Register a webhook</a>
        ) : (
          "Somebody whose key may change things can register one."
        )}
      </p>
    </Empty>
  );
}

function NoDelivery({ webhook }: { webhook: Webhook | null }) {
  return (
    <Empty>
      <p>
        <strong>No delivery yet.</strong> The next event that a webhook wants shows up here by
        itself.
      </p>
      <p>
        On a laptop <code>npm run leadterra -- send</code> sends signed events.{" "}
        {webhook === null ? (
          <a href="/dashboard/events">Look at the events that came in</a>
        ) : (
          <a href={webhookPath(webhook.id)}>Send an example from the webhook's page</a>
        )}
      </p>
    </Empty>
  );
}
