/** Events as the rows of a table, and what an event is like, as lists and its own page say it. */
import { valuesOf } from "../../domain/filter";
import { SCHEMA } from "../../domain/vocabulary";
import { readEvents } from "../../operations/journal";
import type { Unanswered } from "../../operations/objects";
import type { JournalEvent } from "../../storage/journal-store";
import { count } from "../ui/format";
import { Badge, type Column, Empty, foreign, link, RowLink, Table } from "../ui/parts";
import { EVENTS_PATH, eventPath, withQuery } from "../ui/paths";
import { Time } from "../ui/time";

/** An event, and of what it says what tells replies and bounces apart. */
export type EventRow = JournalEvent & { kind: string | null };

export async function eventRows(
  env: Env,
  events: readonly JournalEvent[],
  unanswered: Unanswered[],
): Promise<EventRow[]> {
  const told = events.filter(({ event, erased }) => !erased && KINDS.has(event));
  const read = new Map(
    (await readEvents(env, told, unanswered)).map(({ event, envelope }) => [event.id, envelope]),
  );
  return events.map((event) => {
    const [kind] = valuesOf(KINDS.get(event.event) ?? "", read.get(event.id));
    return { ...event, kind: typeof kind === "string" ? kind : null };
  });
}

/** Where a reply or a bounce says of what kind it is. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ["reply.received", "data.reply.classification"],
  ["message.bounced", "data.bounceType"],
]);

export function NoneKept({ lastAtMs }: { lastAtMs: number }) {
  return (
    <Empty>
      No event is kept any more: the last came <Time ms={lastAtMs} />, and <code>RETENTION</code>{" "}
      has passed. The next one shows up here by itself.
    </Empty>
  );
}

export function EventTable({ label, events }: { label: string; events: readonly EventRow[] }) {
  return <Table label={label} columns={COLUMNS} rows={events} keyOf={({ id }) => id} />;
}

const COLUMNS: readonly Column<EventRow>[] = [
  {
    head: "Event",
    cell: ({ id, event }) => <RowLink href={eventPath(id)} event={event} id={id} />,
  },
  {
    head: "Lead",
    cell: ({ email, erased }) => <SearchLink name="email" value={email} none={noneOf(erased)} />,
    class: "breaks",
  },
  {
    head: "Classification",
    cell: ({ kind, conforms }) => [
      kind === null ? <span class="quiet">–</span> : foreign(kind),
      !conforms && [" ", <Badge tone="warn">{SCHEMA.differs}</Badge>],
    ],
    class: "name",
  },
  { head: "Received", cell: ({ receivedAtMs }) => <Time ms={receivedAtMs} /> },
  { head: "Goes to", cell: ({ webhookIds }) => recipients(webhookIds.length), class: "whole" },
  {
    head: "Campaign",
    cell: ({ campaignId }) => <SearchLink name="campaignId" value={campaignId} none="–" />,
    class: "name",
  },
];

/** An event that nobody gets stands out: somebody may be missing it. */
function recipients(n: number) {
  return n === 0 ? <Badge tone="warn">matched no webhook</Badge> : count(n, "webhook");
}

/** A time that a stranger gave: as one if it is one, else as it is. */
export function GivenTime({ text }: { text: string | null }) {
  const ms = text === null ? null : Date.parse(text);
  if (text === null || !Number.isNaN(ms)) return <Time ms={ms} none="missing" />;
  return <code>{foreign(text)}</code>;
}

type SearchLinkProps = { name: "email" | "campaignId"; value: string | null; none: string };

export function SearchLink({ name, value, none }: SearchLinkProps) {
  if (value === null) return <span class="quiet">{none}</span>;
  return link(withQuery(EVENTS_PATH, { [name]: value }), foreign(value));
}

export function noneOf(erased: boolean): string {
  return erased ? "erased" : "–";
}
