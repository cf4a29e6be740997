/** /dashboard/events: the journal, newest first, and what it can be searched by. */
import { Hono } from "hono";
import { configOf } from "../../config";
import { badCursor } from "../../contract/problem";
import { type EventId, parseEventId } from "../../domain/ids";
import { eventsByKey } from "../../operations/events";
import { type EventFilter, listEvents } from "../../operations/journal";
import { allWebhooks } from "../../operations/webhooks";
import { formatCursor, listQuery, parseCursor } from "../../routes/events";
import type { JournalEvent } from "../../storage/journal-store";
import { page, showFailure } from "../ui/page";
import { Badge, Empty, eventPath, Pager, Table } from "../ui/parts";
import { mayChange, type PageContext, type PageEnv } from "../ui/session";
import { Time } from "../ui/time";
import { TimeRangeFields, timeRangeOf } from "../ui/time-range";
import { eventPage } from "./event";
import { Conformity, GivenTime, sizeOf } from "./event-facts";
import { EventNameField } from "./event-name";
import { FirstEvent } from "./first-event";

const PATH = "/dashboard/events";
const EVENTS_PER_PAGE = 50;
/** What a list is asked with; `done` and its like are not part of it. */
const FIELDS = ["event", "email", "campaignId", "within", "since", "until"] as const;

type Query = Readonly<Record<string, string>>;

export const eventPages = new Hono<PageEnv>()
  .get("/", async (c) => {
    const id = c.req.query("id")?.trim() ?? "";
    if (id !== "") return lookUp(c, id);
    const query = queryOf(c);
    const { cursor } = c.req.query();
    const from = cursor === undefined ? null : parseCursor(cursor);
    if (cursor !== undefined && from === null) return showFailure(c, badCursor());
    const { events, next } = await listEvents(c.env, filterOf(c, query), {
      cursor: from,
      limit: EVENTS_PER_PAGE,
    });
    const isWhole = events.length === 0 && next === null;
    return page(
      c,
      { title: "Events", live: from === null },
      <>
        <Search query={query} zone={c.get("zone")} />
        <div id="events" data-live>
          {isWhole && from === null && Object.keys(query).length === 0 ? (
            await firstEvent(c)
          ) : (
            <List events={events} isWhole={isWhole} zone={c.get("zone")} />
          )}
          <Pager
            path={PATH}
            query={{ ...query, ...(cursor !== undefined && { cursor }) }}
            next={next && formatCursor(next)}
          />
        </div>
      </>,
    );
  })
  .route("/", eventPage);

function queryOf(c: PageContext): Query {
  const given = c.req.query();
  return Object.fromEntries(
    FIELDS.map((name) => [name, (given[name] ?? "").trim()]).filter(([, value]) => value !== ""),
  );
}

const searchQuery = listQuery.pick({ event: true, email: true, campaignId: true });

/** What cannot be searched for counts as not asked. */
function filterOf(c: PageContext, query: Query): EventFilter {
  const filter: EventFilter = timeRangeOf(c, Date.now());
  for (const name of ["event", "email", "campaignId"] as const) {
    const { data } = searchQuery.safeParse({ [name]: query[name] });
    if (data?.[name] !== undefined) filter[name] = data[name];
  }
  return filter;
}

/** Straight to the event, by its id here or by Leadterra's id of the reply or message. */
async function lookUp(c: PageContext, text: string): Promise<Response> {
  const id = parseEventId(text);
  if (id !== null) return c.redirect(eventPath(id), 303);
  const found = await eventsByKey(c.env, text);
  const [only] = found;
  if (only !== undefined && found.length === 1) return c.redirect(eventPath(only.id), 303);
  return page(
    c,
    { title: "Events", trail: [["Events", PATH]], status: found.length === 0 ? 404 : 200 },
    <>
      <Search query={{ id: text }} zone={c.get("zone")} />
      {found.length === 0 ? <NoSuchId /> : <Found events={found} />}
    </>,
  );
}

function NoSuchId() {
  return (
    <p class="notice bad" role="alert">
      <strong>There is no event with this id.</strong> An event id is <code>evt_</code> and 26
      letters and digits; Leadterra's id of a reply (<code>rpl_…</code>) or a message (
      <code>msg_…</code>) leads to its event too, while its payload is kept.
    </p>
  );
}

function Found({ events }: { events: readonly { id: EventId; event: string }[] }) {
  return (
    <section class="panel" aria-label="Found">
      <p>Several events are about it:</p>
      <ul>
        {events.map(({ id, event }) => (
          <li>
            <a href={eventPath(id)}>
              {event} <code>{id}</code>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

async function firstEvent(c: PageContext) {
  const { origin } = new URL(c.req.url);
  return (
    <FirstEvent
      progress={{
        origin,
        hasSecret: configOf(c.env).signingSecrets.length > 0,
        hasWebhook: (await allWebhooks(c.env)).length > 0,
        hasEvent: false,
        mayChange: mayChange(c),
      }}
    />
  );
}

function Search({ query, zone }: { query: Query; zone: string }) {
  const hasMore = Object.keys(query).length > 0;
  return (
    <form method="get" action={PATH} class="panel search" aria-label="Search">
      <label>
        Id
        <input
          name="id"
          value={query.id ?? ""}
          placeholder="evt_…, rpl_…, msg_…"
          spellcheck={false}
          autocomplete="off"
        />
      </label>
      <EventNameField value={query.event} />
      <label>
        Lead's e-mail
        <input name="email" value={query.email ?? ""} placeholder="any" autocomplete="off" />
      </label>
      <label>
        Campaign
        <input
          name="campaignId"
          value={query.campaignId ?? ""}
          placeholder="any"
          spellcheck={false}
          autocomplete="off"
        />
      </label>
      <TimeRangeFields query={query} zone={zone} />
      <div class="actions">
        <button type="submit" class="primary">
          Search
        </button>
        {hasMore && <a href={PATH}>Clear</a>}
      </div>
    </form>
  );
}

type ListProps = { events: readonly JournalEvent[]; isWhole: boolean; zone: string };

function List({ events, isWhole, zone }: ListProps) {
  if (events.length > 0) return <Rows events={events} zone={zone} />;
  if (!isWhole) {
    return <Empty>Nothing among the events looked through so far; there are older ones.</Empty>;
  }
  return (
    <Empty>
      <p>
        <strong>No event is like that.</strong>
      </p>
      <p>
        <a href={PATH}>All events</a>
      </p>
    </Empty>
  );
}

const HEAD = [
  "Event",
  "Received",
  "Goes to",
  "Campaign",
  "Sent by Leadterra",
  "Size",
  "As documented",
];

function Rows({ events, zone }: { events: readonly JournalEvent[]; zone: string }) {
  return (
    <Table label="Events" head={HEAD}>
      {events.map((event) => (
        <Row event={event} zone={zone} />
      ))}
    </Table>
  );
}

function Row({ event, zone }: { event: JournalEvent; zone: string }) {
  return (
    <tr data-row={event.id}>
      <td>
        <a class="named" href={eventPath(event.id)}>
          {event.event}
          <br />
          <code>{event.id}</code>
        </a>
      </td>
      <td>
        <Time ms={event.receivedAtMs} zone={zone} />
      </td>
      <td>
        <Matched count={event.webhookIds.length} />
      </td>
      <td>
        <code>{event.campaignId ?? "–"}</code>
      </td>
      <td>
        <GivenTime text={event.timestamp} zone={zone} />
      </td>
      <td class="number">{event.erased ? "erased" : sizeOf(event.size)}</td>
      <td>
        <Conformity conforms={event.conforms} />
      </td>
    </tr>
  );
}

/** An event that nobody gets stands out: somebody may be missing it. */
function Matched({ count }: { count: number }) {
  if (count === 0) return <Badge tone="warn">no webhook</Badge>;
  return <>{count === 1 ? "1 webhook" : `${count} webhooks`}</>;
}
