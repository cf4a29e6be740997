/** /dashboard/events: the journal, newest first, and what it can be searched by. */

import { Hono } from "hono";
import { formatEventCursor, parseEventCursor } from "../../contract/cursor";
import { eventQuery } from "../../contract/events";
import { type EventId, parseEventId } from "../../domain/ids";
import { addToAudit } from "../../operations/audit";
import { eventsByKey } from "../../operations/events";
import { takeInSample } from "../../operations/ingest";
import { type EventFilter, listEvents } from "../../operations/journal";
import { allWebhooks } from "../../operations/webhooks";
import { FirstSteps, type Progress, progressOf } from "../overview/first-steps";
import { type Outcome, performing } from "../ui/actions";
import {
  EventNameField,
  listPage,
  NoneFound,
  type Query,
  Search,
  SearchField,
  understood,
} from "../ui/list";
import { page } from "../ui/page";
import { EVENTS_PATH, eventPath } from "../ui/parts";
import { callerOf, type PageContext, type PageEnv } from "../ui/session";
import { TimeRangeFields, timeRangeOf } from "../ui/time-range";
import { eventPage } from "./event";
import { type EventRow, EventTable, eventRows } from "./table";

const EVENTS_PER_PAGE = 50;

type Found = {
  events: EventRow[];
  next: string | null;
  /** Of a relay that never had an event. */
  progress: Progress | null;
};

export const eventPages = new Hono<PageEnv>()
  .get("/", (c) => {
    const id = c.req.query("id")?.trim() ?? "";
    if (id !== "") return lookUp(c, id);
    return listPage(c, {
      title: "Events",
      path: EVENTS_PATH,
      region: "events",
      json: "/v1/events",
      fields: ["event", "email", "campaignId", "within", "since", "until"],
      parseCursor: parseEventCursor,
      find: (query, cursor) => find(c, query, cursor),
      intro: (query) => <EventSearch query={query} />,
      show: ({ events, next, progress }) =>
        progress === null ? <List events={events} next={next} /> : <FirstSteps {...progress} />,
    });
  })
  .post("/sample", performing(EVENTS_PATH, { act: sendSample }))
  .route("/", eventPage);

async function sendSample(c: PageContext): Promise<Outcome> {
  const sample = { id: `rpl_sample_${crypto.randomUUID()}`, nowMs: Date.now() };
  const taken = await takeInSample(c.env, sample, (work) => c.executionCtx.waitUntil(work));
  if (!taken.ok) return { failure: taken.failure, at: EVENTS_PATH };
  const after = { id: taken.value.id };
  await addToAudit(c.env, { by: callerOf(c), action: "event.sampled", after });
  return { done: "sampled" };
}

async function find(
  c: PageContext,
  query: Query,
  cursor: ReturnType<typeof parseEventCursor>,
): Promise<Found> {
  const { events, next } = await listEvents(c.env, filterOf(c, query), {
    cursor,
    limit: EVENTS_PER_PAGE,
  });
  const isEmpty = events.length === 0 && next === null && cursor === null;
  const progress =
    isEmpty && Object.keys(query).length === 0
      ? progressOf(c, { webhooks: await allWebhooks(c.env), hasEvent: false })
      : null;
  return {
    events: await eventRows(c.env, events),
    next: next && formatEventCursor(next),
    progress,
  };
}

const searchQuery = eventQuery.pick({ event: true, email: true, campaignId: true });

function filterOf(c: PageContext, query: Query): EventFilter {
  return { ...timeRangeOf(c, Date.now()), ...understood(searchQuery, query) };
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
    { title: "Events", trail: [["Events", EVENTS_PATH]], status: found.length === 0 ? 404 : 200 },
    <>
      <EventSearch query={{ id: text }} />
      {found.length === 0 ? <NoSuchId /> : <Several events={found} />}
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

function Several({ events }: { events: readonly { id: EventId; event: string }[] }) {
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

function EventSearch({ query }: { query: Query }) {
  return (
    <Search label="Search" verb="Search" path={EVENTS_PATH} query={query}>
      <SearchField label="Id" name="id" query={query} placeholder="evt_…, rpl_…, msg_…" />
      <EventNameField query={query} />
      <SearchField label="Lead's e-mail" name="email" query={query} />
      <SearchField label="Campaign" name="campaignId" query={query} />
      <TimeRangeFields query={query} />
    </Search>
  );
}

function List({ events, next }: Pick<Found, "events" | "next">) {
  if (events.length > 0) return <EventTable label="Events" events={events} />;
  return <NoneFound one="event" many="events" path={EVENTS_PATH} isWhole={next === null} />;
}
