/** Erasing a person, by the address that was searched for: first it is counted, then done, a page of events with each form. */
import { formatErasureCursor } from "../../contract/cursor";
import { eraseSchema } from "../../contract/events";
import { erasePerson } from "../../operations/events";
import { listEvents } from "../../operations/journal";
import type { Action } from "../ui/actions";
import { text } from "../ui/form";
import { count } from "../ui/format";
import { page } from "../ui/page";
import { Action as Button, foreign, Hidden, Submit } from "../ui/parts";
import { EVENTS_PATH, withQuery } from "../ui/paths";
import { goOn, soFarIn } from "../ui/progress";
import { callerOf, type PageContext, useViewer } from "../ui/session";
import { check } from "../webhooks/input";

const PATH = `${EVENTS_PATH}/erase`;
const COUNTED_AT_ONCE = 250;
/** What is behind them is told as "or more". */
const PAGES_COUNTED = 10;

export function ErasePerson({ email }: { email: string | undefined }) {
  if (email === undefined || !useViewer().mayChange) return null;
  return (
    <div class="spaced-below">
      <Button action={PATH} fields={{ email }} tone="danger">
        Erase this person…
      </Button>
    </div>
  );
}

const titleOf = (search: string) =>
  ({ title: "Erase this person", trail: [["Events", search]] }) as const;

export const personErasure: Action<null> = {
  async act(c, _, form) {
    const given = text(form, "cursor");
    const asked = check(eraseSchema, {
      email: text(form, "email"),
      ...(given && { cursor: given }),
    });
    if (!asked.ok) return asked;
    const { email, cursor = null } = asked.value;
    const search = withQuery(EVENTS_PATH, { email });
    if (text(form, "step") !== "go") return confirm(c, email, search);
    const before = soFarIn(form);
    const { erased, next, queued } = await erasePerson(c.env, { email, cursor, by: callerOf(c) });
    const done = before.done + erased;
    if (next === null) {
      return queued
        ? { done: "person_erased_so_far", count: done, at: search }
        : { done: "person_erased", count: done };
    }
    return goOn(c, titleOf(search), {
      action: PATH,
      fields: { email, step: "go", cursor: formatErasureCursor(next) },
      done,
      of: before.of,
      headline: `${count(done, "event")} erased so far.`,
      tone: "danger",
      out: search,
    });
  },
};

async function confirm(c: PageContext, email: string, search: string): Promise<Response> {
  let [found, cursor] = [0, null as Awaited<ReturnType<typeof listEvents>>["next"]];
  for (let pages = 0; pages === 0 || (cursor !== null && pages < PAGES_COUNTED); pages++) {
    const listed = await listEvents(c.env, { email }, { cursor, limit: COUNTED_AT_ONCE });
    found += listed.events.length;
    cursor = listed.next;
  }
  const isWhole = cursor === null;
  return page(
    c,
    titleOf(search),
    <section class="panel narrow" aria-label="Confirm">
      <p class="headline">
        {count(found, "event")}
        {!isWhole && " or more"} with {foreign(email)} would be erased.
      </p>
      <ul>
        <li>Their payloads go, and what the journal knows of the lead, whoever else they name.</li>
        <li>Deliveries that still wait for an attempt end; answers of services to them go.</li>
        <li>Dead letters that hold the address go.</li>
        <li>The record of what was delivered when stays. What services have is with them.</li>
      </ul>
      <p>It cannot be undone. Nothing was done yet.</p>
      <form method="post" action={PATH}>
        <Hidden fields={{ email, step: "go", ...(isWhole && { of: String(found) }) }} />
        <Submit tone="danger" out={[search, "Keep it all"]}>
          Erase this person
        </Submit>
      </form>
    </section>,
  );
}
