/** /dashboard/deliveries: what webhooks are owed and got, newest first; those that are selected again. */
import { Hono } from "hono";
import type { Child } from "hono/jsx";
import { formatPlace, formatPosition, parsePlace, parsePosition } from "../../contract/cursor";
import { deliveryFilters } from "../../contract/deliveries";
import { DELIVERY_STATUSES, type DeliveryFilter } from "../../domain/delivery";
import type { Webhook } from "../../domain/webhook";
import { listAllDeliveries, type Place } from "../../operations/all-deliveries";
import { listDeliveries } from "../../operations/deliveries";
import { answerOf, type Unanswered } from "../../operations/objects";
import { allWebhooks } from "../../operations/webhooks";
import type { Position } from "../../storage/position";
import { performing } from "../ui/actions";
import { EventNameField, listPage, NoneFound, Search, SearchField, understood } from "../ui/list";
import { Empty, link, Select, toldApart, webhookName } from "../ui/parts";
import { DELIVERIES_PATH, deliveryCall, type Query, webhookPath } from "../ui/paths";
import { type PageContext, type PageEnv, useViewer } from "../ui/session";
import { parseLocalTime, sameQuery, TimeRangeFields, timeRangeOf } from "../ui/time-range";
import { NoWebhooks } from "../webhooks/table";
import { ERRORS } from "./attempts";
import { findChosen, MAX_CHOSEN, parseChosen, retrySelected } from "./chosen";
import { deliveryPage } from "./delivery";
import { DeliveryRows } from "./delivery-rows";

/** All of them may be ticked. */
const DELIVERIES_PER_PAGE = MAX_CHOSEN;
/** What a list can be narrowed by, besides the webhook and the time. */
const FILTERS = ["status", "event", "statusCode", "error", "attempted"] as const;
const TRIED = Object.entries({ true: "at least once", false: "not yet" });
/** And by what was done to many of them: the API has no such list, the notice of that leads here. */
const SINCE = { opened: "Opened again since", ended: "Ended since" } as const;

export const deliveryPages = new Hono<PageEnv>()
  .get("/deliveries", (c) =>
    listPage(c, {
      title: "Deliveries",
      path: DELIVERIES_PATH,
      region: "deliveries",
      search: deliveryFilters,
      fields: ["chosen", "webhook", ...FILTERS, ...Object.keys(SINCE), "within", "since", "until"],
      parseCursor: (text): Place | Position | null => parsePlace(text) ?? parsePosition(text),
      find: (query, before) => find(c, query, before),
      json: (query, { webhook, deliveries }) => {
        const isOfPage = query.opened !== undefined || query.ended !== undefined;
        if (chosenIn(query).length > 0 || isOfPage) return deliveries.map(deliveryCall);
        if (query.webhook !== undefined && webhook === null) return [];
        const path = webhook === null ? "" : `/webhooks/${webhook.id}`;
        return [sameQuery(c, `/v1${path}/deliveries`, understood(deliveryFilters, query))];
      },
      intro: (query, { webhooks, webhook }) =>
        chosenIn(query).length > 0 ? (
          <p class="quiet">
            Only those that were chosen. <a href={DELIVERIES_PATH}>All deliveries</a>
          </p>
        ) : (
          <Filters
            query={webhook ? { ...query, webhook: webhook.id } : query}
            webhooks={webhooks}
          />
        ),
      show: (found, asked) =>
        found.deliveries.length === 0 ? (
          <None found={found} {...asked} />
        ) : (
          <Retry back={asked.address}>
            <DeliveryRows deliveries={found.deliveries} webhooks={found.webhooks} />
          </Retry>
        ),
    }),
  )
  .post("/deliveries/retry", performing(DELIVERIES_PATH, { act: retrySelected }))
  .route("/", deliveryPage);

type Found = Awaited<ReturnType<typeof find>>;

function chosenIn(query: Query) {
  return parseChosen(query.chosen ?? "");
}

/** @param from of the list of one webhook, or of that of all of them, where `webhook` is null. */
async function find(c: PageContext, query: Query, from: Place | Position | null) {
  const chosen = chosenIn(query);
  const unanswered: Unanswered[] = [];
  const filter = filterOf(c, query);
  const limit = DELIVERIES_PER_PAGE;
  const { webhook: ref } = query;
  if (chosen.length === 0 && ref === undefined) {
    const before = from !== null && "atMs" in from ? from : null;
    const place = { before, limit };
    const { next, ...found } = await listAllDeliveries(c.env, filter, place, unanswered);
    const webhooks = toldApart(found.webhooks);
    return { ...found, webhooks, webhook: null, unanswered, next: next && formatPlace(next) };
  }
  const webhooks = toldApart(await allWebhooks(c.env));
  const none = { webhooks, webhook: null, deliveries: [], unanswered, next: null };
  if (chosen.length > 0) {
    return { ...none, deliveries: await findChosen(c.env, { webhooks, chosen, unanswered }) };
  }
  const webhook = webhooks.find(({ id, name }) => id === ref || name === ref);
  if (webhook === undefined) return none;
  const before = from !== null && "seq" in from ? from : null;
  const ask = () => listDeliveries(c.env, webhook, filter, { before, limit });
  const answer = await answerOf(`Subscriber ${webhook.id}`, ask, unanswered);
  const { deliveries, next } = answer ?? { deliveries: [], next: null };
  return { webhooks, webhook, deliveries, unanswered, next: next && formatPosition(next) };
}

function filterOf(c: PageContext, query: Query): DeliveryFilter {
  const { opened = "", ended = "" } = query;
  const openedSinceMs = parseLocalTime(opened, c.get("zone"));
  const endedSinceMs = parseLocalTime(ended, c.get("zone"));
  return {
    ...timeRangeOf(c, Date.now()),
    ...understood(deliveryFilters, query),
    ...(openedSinceMs !== null && { openedSinceMs }),
    ...(endedSinceMs !== null && { endedSinceMs }),
  };
}

function Filters({ query, webhooks }: { query: Query; webhooks: readonly Webhook[] }) {
  const names = webhooks.map((webhook) => [webhook.id, webhookName(webhook)] as const);
  return (
    <Search verb="Filter" path={DELIVERIES_PATH} query={query}>
      <Select label="Webhook" name="webhook" any="All webhooks" of={names} chosen={query.webhook} />
      <Select
        label="Status"
        name="status"
        any="Any status"
        of={DELIVERY_STATUSES}
        chosen={query.status}
      />
      <Select label="Last error" name="error" any="Any, or none" of={ERRORS} chosen={query.error} />
      <SearchField label="Status code" name="statusCode" query={query} placeholder="503" />
      <Select label="Tried" name="attempted" any="Either way" of={TRIED} chosen={query.attempted} />
      <EventNameField query={query} />
      {Object.entries(SINCE).map(
        ([name, label]) =>
          query[name] !== undefined && (
            <label>
              {label}
              <input type="datetime-local" step="1" name={name} value={query[name]} />
            </label>
          ),
      )}
      <TimeRangeFields query={query} />
    </Search>
  );
}

/** For those who may change things, a form around the rows: those that are ticked are retried. */
function Retry({ back, children }: { back: string; children?: Child }) {
  if (!useViewer().mayChange) return <>{children}</>;
  return (
    <form method="post" action={`${DELIVERIES_PATH}/retry`}>
      <input type="hidden" name="back" value={back} />
      {children}
      <div class="actions chosen stays">
        <button type="submit">Retry the selected</button>
      </div>
    </form>
  );
}

function None({ found, query, isFirstPage }: { found: Found; query: Query; isFirstPage: boolean }) {
  const { webhooks, webhook, next, unanswered } = found;
  if (webhooks.length === 0) return <NoWebhooks />;
  if (query.webhook !== undefined && webhook === null) {
    return (
      <Empty title="There is no such webhook.">
        <p>
          It may have been deleted, and its deliveries with it.{" "}
          <a href={DELIVERIES_PATH}>Deliveries of all webhooks</a>
        </p>
      </Empty>
    );
  }
  const { webhook: _, ...narrowing } = query;
  const isWhole = next === null && isFirstPage && unanswered.length === 0;
  if (isWhole && Object.keys(narrowing).length === 0) {
    return <NoDelivery webhook={webhook} />;
  }
  const names = { one: "delivery", many: "deliveries", path: DELIVERIES_PATH };
  return <NoneFound {...names} next={next} unanswered={unanswered} />;
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
        {webhook === null
          ? link("/dashboard/events", "Look at the events that came in")
          : link(webhookPath(webhook.id), "Send an example from the webhook's page")}
      </p>
    </Empty>
  );
}
