/** What events and a filter would let through, tried on the latest events while one types. */
import { Hono } from "hono";
import { fieldErrors } from "../../contract/problem";
import { type FieldError, ok, type Result } from "../../domain/failure";
import type { Filter } from "../../domain/filter";
import type { WebhookId } from "../../domain/ids";
import { explainMiss } from "../../domain/match";
import type { Route } from "../../domain/webhook";
import { latestEvents, type ReadEvent } from "../../operations/journal";
import { filterSchema } from "../../routes/webhooks";
import { page } from "../ui/page";
import { Badge, count, eventPath, Table } from "../ui/parts";
import type { PageEnv } from "../ui/session";
import { Time } from "../ui/time";
import { eventsIn, type Form, filterIn } from "./input";

/** The region of the form that shows the answer. */
export const TRIAL_ID = "trial";
export const TRIAL_PATH = "/dashboard/webhooks/filter-trial";
const EVENTS_TRIED = 20;
/** A route that is asked for and never stored. */
const NO_ID = "" as WebhookId;

export const filterTrial = new Hono<PageEnv>().post("/filter-trial", async (c) => {
  const form: Form = await c.req.parseBody({ all: true });
  const filter = checkedFilter(form);
  const latest = filter.ok ? await latestEvents(c.env, EVENTS_TRIED) : [];
  return page(
    c,
    { title: "Filter trial" },
    <div id={TRIAL_ID}>
      {filter.ok ? (
        <Tried
          route={{ id: NO_ID, events: eventsIn(form), filter: filter.value }}
          latest={latest}
          zone={c.get("zone")}
        />
      ) : (
        <Mistakes errors={"errors" in filter.failure ? filter.failure.errors : []} />
      )}
    </div>,
  );
});

function checkedFilter(form: Form): Result<Filter | null> {
  const given = filterIn(form);
  if (!given.ok) return given;
  const checked = filterSchema.safeParse(given.value);
  if (checked.success) return ok(checked.data as Filter | null);
  const errors = checked.error.issues.flatMap(fieldErrors);
  return { ok: false, failure: { code: "invalid_request", errors } };
}

function Mistakes({ errors }: { errors: readonly FieldError[] }) {
  return (
    <div role="status">
      <ul class="wrong">
        {errors.map(({ path, message }) => (
          <li>
            {path === "" || path === "filter" ? "The filter" : <code>{path}</code>} {message}
          </li>
        ))}
      </ul>
    </div>
  );
}

type TriedProps = { route: Route; latest: readonly ReadEvent[]; zone: string };

function Tried({ route, latest, zone }: TriedProps) {
  if (route.events.length === 0) {
    return <p role="status">Without an event ticked or named, it would get nothing.</p>;
  }
  if (latest.length === 0) {
    return (
      <p role="status" class="quiet">
        No event came in within the last week, so there is nothing to try this on yet.
      </p>
    );
  }
  const tried = latest.map(({ event, envelope }) => ({
    event,
    miss: explainMiss(route, { name: event.event, envelope }),
  }));
  const got = tried.filter(({ miss }) => miss === null).length;
  return (
    <>
      <p role="status">
        Of the latest {count(latest.length, "event")} it would get <strong>{got}</strong>.
      </p>
      <Table
        label="The latest events and what would become of them"
        head={["Gets it?", "Event", "Came"]}
      >
        {tried.map(({ event, miss }) => (
          <tr>
            <td>
              {miss === null ? <Badge tone="good">yes</Badge> : <Badge tone="quiet">no</Badge>}
            </td>
            <td class="name">
              <a href={eventPath(event.id)}>{event.event}</a>
              {miss !== null && <small class="below">{miss}</small>}
            </td>
            <td>
              <Time ms={event.receivedAtMs} zone={zone} />
            </td>
          </tr>
        ))}
      </Table>
    </>
  );
}
