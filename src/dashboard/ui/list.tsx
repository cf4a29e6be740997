/** A page that lists: what it is asked with, a search, rows or why there are none, and the way to older ones. */
import type { Child } from "hono/jsx";
import type * as z from "zod/mini";
import { badCursor, readBy } from "../../contract/problem";
import { EVENT_TYPES } from "../../domain/event";
import type { Webhook } from "../../domain/webhook";
import type { Unanswered } from "../../operations/objects";
import { type PageOptions, page, showFailure } from "./page";
import { Empty, foreign, link, VERBATIM } from "./parts";
import { type Query, withQuery } from "./paths";
import { type PageContext, useViewer } from "./session";
import { noTimesIn } from "./time-range";
import { NotHere } from "./unanswered";

type Listed = {
  next: string | null;
  webhooks?: readonly Webhook[];
  unanswered?: readonly Unanswered[];
};

type ListPage<Cursor, Found extends Listed> = {
  title: string;
  trail?: PageOptions["trail"];
  path: string;
  /** The region that follows what happens, while the first page is looked at. */
  region: string;
  /** The calls of the API that answer the same; the first lists, and goes on with the same cursor: null where none does. */
  json: (query: Query, found: Found) => readonly (string | null)[];
  /** What the list may be asked with; other parameters are not part of it. */
  fields?: readonly string[];
  /** What of them the API reads in the same way: see {@link understood}. */
  search?: z.ZodMiniObject;
  /** null for what is no cursor of this list. */
  parseCursor: (text: string) => Cursor | null;
  /** @returns with the cursor of the next page, as text; null on the last. */
  find: (query: Query, from: Cursor | null) => Promise<Found>;
  intro?: (query: Query, found: Found) => Child;
  show: (found: Found, asked: { query: Query; isFirstPage: boolean; address: string }) => Child;
};

export async function listPage<Cursor, Found extends Listed>(
  c: PageContext,
  list: ListPage<Cursor, Found>,
): Promise<Response> {
  const { title, trail = [], path, fields = [] } = list;
  const { cursor, ...given } = c.req.query();
  const query = Object.fromEntries(
    fields.map((name) => [name, (given[name] ?? "").trim()]).filter(([, value]) => value !== ""),
  ) as Query;
  const isFirstPage = cursor === undefined;
  const from = isFirstPage ? null : list.parseCursor(cursor);
  if (!isFirstPage && from === null) return showFailure(c, badCursor());
  const found = await list.find(query, from);
  const address = withQuery(path, isFirstPage ? query : { ...query, cursor });
  return page(
    c,
    { title, trail, live: isFirstPage, json: goingOn(list.json(query, found), cursor) },
    <>
      {list.intro?.(query, found)}
      {list.search && <PassedOver search={list.search} query={query} />}
      <div id={list.region} data-live>
        <NotHere unanswered={found.unanswered ?? []} webhooks={found.webhooks ?? []} />
        {list.show(found, { query, isFirstPage, address })}
        <Pager path={path} query={query} isFirstPage={isFirstPage} next={found.next} />
      </div>
    </>,
  );
}

function goingOn(calls: readonly (string | null)[], cursor: string | undefined): string[] {
  const [list = null, ...others] = calls;
  const [path = "", query] = list?.split("?") ?? [];
  const asked = { ...Object.fromEntries(new URLSearchParams(query)), ...(cursor && { cursor }) };
  return [list && withQuery(path, asked), ...others].filter((call) => call !== null);
}

/** What of a query the API understands, by its own schema; the rest counts as not asked, which {@link PassedOver} says. */
export function understood<Schema extends z.ZodMiniObject>(
  schema: Schema,
  query: Query,
): { [Name in keyof z.output<Schema>]?: NonNullable<z.output<Schema>[Name]> } {
  const entries = Object.entries(schema.shape).flatMap(([name, field]) => {
    const { data } = (field as z.ZodMiniType).safeParse(query[name]);
    return data === undefined ? [] : [[name, data]];
  });
  return Object.fromEntries(entries) as ReturnType<typeof understood<Schema>>;
}

/** The list is longer than who typed this asked for, and what is ticked in it may be retried. */
function PassedOver({ search, query }: { search: z.ZodMiniObject; query: Query }) {
  const { zone } = useViewer();
  const asked = Object.entries(query).filter(([name]) => name in search.shape);
  const { errors } = readBy(search, Object.fromEntries(asked));
  return [...errors, ...noTimesIn(query, zone)].map(({ path, message }) => (
    <p class="notice warn" role="alert">
      {foreign(query[path] ?? "")} is not looked for: <code>{path}</code> {message}.
    </p>
  ));
}

type PagerProps = { path: string; query: Query; isFirstPage: boolean; next: string | null };

function Pager({ path, query, isFirstPage, next }: PagerProps) {
  if (isFirstPage && next === null) return null;
  return (
    <nav aria-label="Pages" class="pager">
      {!isFirstPage && <a href={withQuery(path, query)}>Newest</a>}
      {next !== null && (
        <a rel="next" href={withQuery(path, { ...query, cursor: next })}>
          Older
        </a>
      )}
    </nav>
  );
}

type NoneFoundProps = { one: string; many: string; path: string } & Listed;

/** A search found nothing: among all that there is, so far, or in what answers. */
export function NoneFound({ one, many, path, next, unanswered }: NoneFoundProps) {
  if (next !== null) {
    return <Empty>Nothing among the {many} looked through so far; there are older ones.</Empty>;
  }
  if (unanswered && unanswered.length > 0) return <Empty>No {one} in what answers.</Empty>;
  return (
    <Empty title={`No ${one} is like that.`}>
      <p>{link(path, `All ${many}`)}</p>
    </Empty>
  );
}

type SearchProps = { verb: string; path: string; query: Query; children?: Child };

/**
 * The form above a list; its fields are the children. Where there is no room beside each other for them, it is folded
 * until something is asked. @param verb what it is called, and what its button says.
 */
export function Search({ verb, path, query, children }: SearchProps) {
  const isAsked = Object.keys(query).length > 0;
  return (
    <form method="get" action={path} class="panel searching" aria-label={verb}>
      <details open={isAsked}>
        <summary>{verb}</summary>
        <div class="search">
          {children}
          <div class="actions">
            <button type="submit" class="primary">
              {verb}
            </button>
            {isAsked && <a href={path}>Clear</a>}
          </div>
        </div>
      </details>
    </form>
  );
}

type SearchFieldProps = {
  label: string;
  name: string;
  query: Query;
  placeholder?: string;
  list?: string;
  pattern?: string;
  title?: string;
};

export function SearchField({ label, name, query, ...other }: SearchFieldProps) {
  return (
    <label>
      {label}
      <input name={name} value={query[name] ?? ""} placeholder="any" {...VERBATIM} {...other} />
    </label>
  );
}

const NAMES = Object.keys(EVENT_TYPES);
type EventNameProps = { label?: string; names?: readonly string[]; query: Query };

/** Any name; some to choose from, the documented ones unless others are given. A browser keeps what is none, and says so. */
export function EventNameField({ label = "Event name", names = NAMES, query }: EventNameProps) {
  const form = { pattern: " *[A-Za-z0-9._\\-]{1,128} *", title: "1 to 128 of A-Z a-z 0-9 . _ -" };
  return [
    <SearchField label={label} name="event" query={query} list="event-names" {...form} />,
    <datalist id="event-names">
      {names.map((name) => (
        <option value={name} />
      ))}
    </datalist>,
  ];
}
