/** What events and a filter would let through, tried on the latest events while one types. */
import { Hono } from "hono";
import * as z from "zod/mini";
import { filterSchema } from "../../contract/webhook-settings";
import { EVENT_TYPES, exampleEvent, type JsonObject } from "../../domain/event";
import { type Filter, valuesOf } from "../../domain/filter";
import { visible } from "../../domain/foreign-text";
import type { WebhookId } from "../../domain/ids";
import { explainMiss } from "../../domain/match";
import { ALL_EVENTS, type Route } from "../../domain/webhook";
import { latestEvents, type ReadEvent } from "../../operations/journal";
import type { Unanswered } from "../../operations/objects";
import { formOf } from "../ui/form";
import { count } from "../ui/format";
import { page } from "../ui/page";
import { Badge, type Column, Commas, Errors, foreign, Table } from "../ui/parts";
import { eventPath } from "../ui/paths";
import type { PageEnv } from "../ui/session";
import { Time } from "../ui/time";
import { NotHere } from "../ui/unanswered";
import { check, eventsOf, filterIn, typedIn } from "./input";

export const TRIAL_ID = "trial";
export const TRIAL_PATH = "/dashboard/webhooks/filter-trial";
const EVENTS_TRIED = 20;
/** A route that is asked for and never stored. */
const NO_ID = "" as WebhookId;

export const filterTrial = new Hono<PageEnv>().post("/filter-trial", async (c) => {
  const form = await formOf(c);
  const given = filterIn(form);
  const filter = given.ok ? check(z.nullable(filterSchema), given.value) : given;
  const unanswered: Unanswered[] = [];
  const events = eventsOf(typedIn(form));
  const names = events.includes(ALL_EVENTS) ? null : events;
  const asked = { names, count: EVENTS_TRIED };
  const latest = filter.ok ? await latestEvents(c.env, asked, unanswered) : [];
  return page(
    c,
    { title: "Filter trial" },
    <div id={TRIAL_ID}>
      <NotHere unanswered={unanswered} webhooks={[]} />
      {filter.ok ? (
        <Tried route={{ id: NO_ID, events, filter: filter.value }} latest={latest} />
      ) : (
        <div role="status">
          <Errors of={filter.failure.errors} nameOf={nameOf} class="wrong" />
        </div>
      )}
    </div>,
  );
});

function nameOf(path: string) {
  return path === "" || path === "filter" ? "The filter" : <code>{visible(path)}</code>;
}

type TriedProps = { route: Route; latest: readonly ReadEvent[] };

function Tried({ route, latest }: TriedProps) {
  if (route.events.length === 0) {
    return <p role="status">Without an event ticked or named, it would get nothing.</p>;
  }
  const isTriedOnExamples = latest.length === 0;
  const tried = (isTriedOnExamples ? examples() : latest).map(({ event, envelope }) => ({
    event,
    miss: explainMiss(route, { name: event.event, envelope }),
  }));
  const got = tried.filter(({ miss }) => miss === null).length;
  const { events } = route;
  const named = events.length === 1 ? `${visible(events[0] ?? "")} ` : "such ";
  const which = events.includes(ALL_EVENTS) ? "" : named;
  return [
    <p role="status">
      {isTriedOnExamples
        ? `No ${which}event is among the latest of the last week. Of the ${tried.length} documented examples`
        : `Of the latest ${count(tried.length, `${which}event`)}`}{" "}
      it would get <strong>{got}</strong>.
    </p>,
    <UnknownPaths route={route} latest={latest} />,
    <Table
      label="The latest events and what would become of them"
      columns={COLUMNS}
      rows={tried}
    />,
  ];
}

/** A path that no event has is most often a slip of the pen. */
function UnknownPaths({ route: { events, filter }, latest }: TriedProps) {
  const asked = examples().filter(({ event }) => events.includes(event.event));
  const isAnyEvent = events.includes(ALL_EVENTS) || asked.length + latest.length === 0;
  const documented = isAnyEvent ? examples() : asked;
  const known = [...latest, ...documented].map(({ envelope }) => envelope);
  const unknown = pathsIn(filter).filter((path) =>
    known.every((envelope) => valuesOf(path, envelope).every((value) => value === undefined)),
  );
  if (unknown.length === 0) return null;
  return (
    <p class="wrong">
      <Commas of={unknown.map((path) => <code>{visible(path)}</code>)} />: none of these events, and
      no documented one{isAnyEvent ? "" : " that it asks for"}, has such a field.
    </p>
  );
}

function pathsIn(filter: Filter | null): string[] {
  const paths = Object.entries(filter ?? {}).flatMap(([name, value]) =>
    name.startsWith("$") ? (value as readonly Filter[]).flatMap(pathsIn) : [name],
  );
  return [...new Set(paths)];
}

type TriedEvent = {
  event: { id: string | null; event: string; receivedAtMs: number | null };
  envelope: JsonObject;
};

/** The documented events, as far as a filter can be tried on them. */
function examples(): TriedEvent[] {
  return Object.keys(EVENT_TYPES).map((event) => ({
    event: { id: null, event, receivedAtMs: null },
    envelope: exampleEvent(event, Date.now()),
  }));
}

/** `miss` says why the event would not be sent; null when it would. */
const COLUMNS: readonly Column<{ event: TriedEvent["event"]; miss: string | null }>[] = [
  {
    head: "Gets it",
    cell: ({ miss }) =>
      miss === null ? <Badge tone="good">yes</Badge> : <Badge tone="quiet">no</Badge>,
  },
  {
    head: "Event",
    cell: ({ event: { id, event }, miss }) => [
      id === null ? event : <a href={eventPath(id)}>{event}</a>,
      miss !== null && <small class="below">{foreign(miss)}</small>,
    ],
    class: "name",
  },
  { head: "Received", cell: ({ event }) => <Time ms={event.receivedAtMs} /> },
];
