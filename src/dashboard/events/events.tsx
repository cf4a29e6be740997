/** /dashboard/events: the journal, newest first, and what it can be searched by. */
import { Hono } from "hono";
import * as z from "zod/mini";
import { formatEventCursor, parseEventCursor } from "../../contract/cursor";
import { eventQuery } from "../../contract/events";
import { parseEventId } from "../../domain/ids";
import { addToAudit } from "../../operations/audit";
import { findEventsByKey } from "../../operations/events";
import { takeInSample } from "../../operations/ingest";
import { lastEventAtMs, listEvents } from "../../operations/journal";
import type { Unanswered } from "../../operations/objects";
import { allWebhooks } from "../../operations/webhooks";
import { FirstSteps, progressOf } from "../overview/first-steps";
import { type Outcome, performing } from "../ui/actions";
import { EventNameField, listPage, NoneFound, Search, SearchField, understood } from "../ui/list";
import { page } from "../ui/page";
import { EVENTS_PATH, eventPath, type Query } from "../ui/paths";
import { callerOf, type PageContext, type PageEnv } from "../ui/session";
import { sameQuery, TimeRangeFields, timeRangeOf } from "../ui/time-range";
import { eventPage } from "./event";
import { ErasePerson, personErasure } from "./person";
import { EventTable, eventRows, NoneKept } from "./table";

const EVENTS_PER_PAGE = 50;
const searchQuery = z.pick(eventQuery, { event: true, email: true, campaignId: true });

export const eventPages = new Hono<PageEnv>()
  .get("/", async (c) => {
    const id = c.req.query("id")?.trim() ?? "";
    const straight = id === "" ? null : await lookUp(c, id);
    if (straight !== null) return straight;
    return listPage(c, {
      title: "Events",
      path: EVENTS_PATH,
      region: "events",
      json: (query) => {
        const key = query.id !== undefined && { key: query.id };
        return [sameQuery(c, "/v1/events", { ...understood(searchQuery, query), ...key })];
      },
      search: searchQuery,
      fields: ["id", ...Object.keys(searchQuery.shape), "within", "since", "until"],
      parseCursor: parseEventCursor,
      find: (query, cursor) => find(c, query, cursor),
      intro: (query) => [
        <EventSearch query={query} />,
        <ErasePerson email={understood(searchQuery, query).email} />,
      ],
      show: ({ events, progress, lastGoneAtMs, ...found }) => {
        if (progress !== null) return <FirstSteps {...progress} />;
        if (lastGoneAtMs !== null) return <NoneKept lastAtMs={lastGoneAtMs} />;
        if (events.length > 0) return <EventTable label="Events" events={events} />;
        return <NoneFound one="event" many="events" path={EVENTS_PATH} {...found} />;
      },
    });
  })
  .post("/sample", performing(EVENTS_PATH, { act: sendSample }))
  .post("/erase", performing(EVENTS_PATH, personErasure))
  .route("/", eventPage);

async function sendSample(c: PageContext): Promise<Outcome> {
  const taken = await takeInSample(c.env, Date.now(), (work) => c.executionCtx.waitUntil(work));
  if (!taken.ok) return { failure: taken.failure, at: EVENTS_PATH };
  await addToAudit(c.env, callerOf(c), "event.sampled", { id: taken.value.id });
  return { done: "sampled" };
}

async function find(c: PageContext, query: Query, cursor: ReturnType<typeof parseEventCursor>) {
  const filter = { ...timeRangeOf(c, Date.now()), ...understood(searchQuery, query) };
  const from = { cursor, limit: EVENTS_PER_PAGE };
  const unanswered: Unanswered[] = [];
  const { events, next } = await (query.id === undefined
    ? listEvents(c.env, filter, from, unanswered)
    : findEventsByKey(c.env, { ...filter, key: query.id }, from, unanswered));
  const isWhole = next === null && cursor === null && unanswered.length === 0;
  const isEmpty = events.length === 0 && isWhole;
  const isAll = isEmpty && Object.keys(query).length === 0;
  // Where no event is kept any more; of a relay that never had one, how far it is.
  const lastGoneAtMs = isAll ? await lastEventAtMs(c.env) : null;
  const isNew = isAll && lastGoneAtMs === null;
  const never = { hasEvent: false, isConnected: false };
  const progress = isNew ? progressOf(c, { webhooks: await allWebhooks(c.env), ...never }) : null;
  return {
    events: await eventRows(c.env, events, unanswered),
    unanswered,
    next: next && formatEventCursor(next),
    progress,
    lastGoneAtMs,
  };
}

/** Straight to the event, by its id here or by Leadterra's id of the reply or message; null where several are to be listed. */
async function lookUp(c: PageContext, text: string): Promise<Response | null> {
  const id = parseEventId(text);
  if (id !== null) return c.redirect(eventPath(id), 303);
  if (c.req.query("cursor") !== undefined) return null;
  const { data: key } = eventQuery.shape.key.safeParse(text);
  const unanswered: Unanswered[] = [];
  const from = { cursor: null, limit: EVENTS_PER_PAGE };
  const { events, next } =
    key === undefined
      ? { events: [], next: null }
      : await findEventsByKey(c.env, { key }, from, unanswered);
  const [only] = events;
  if (next !== null || events.length > 1 || unanswered.length > 0) return null;
  if (only !== undefined) return c.redirect(eventPath(only.id), 303);
  return page(
    c,
    { title: "Events", trail: [["Events", EVENTS_PATH]], status: 404 },
    <>
      <EventSearch query={{ id: text }} />
      <p class="notice bad" role="alert">
        <strong>There is no event with this id.</strong> An event id is <code>evt_</code> and 26
        letters and digits; Leadterra's id of a reply (<code>rpl_…</code>) or a message (
        <code>msg_…</code>) leads to its event too.
      </p>
    </>,
  );
}

function EventSearch({ query }: { query: Query }) {
  return (
    <Search verb="Search" path={EVENTS_PATH} query={query}>
      <SearchField label="Id" name="id" query={query} placeholder="evt_, rpl_, msg_" />
      <EventNameField query={query} />
      <SearchField label="Lead's e-mail" name="email" query={query} placeholder="whole address" />
      <SearchField label="Campaign" name="campaignId" query={query} />
      <TimeRangeFields query={query} />
    </Search>
  );
}
