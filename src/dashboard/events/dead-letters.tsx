/** /dashboard/dead-letters: what could not be handed over, why, and what to do about it. */
import { Hono } from "hono";
import { formatDeadLetterCursor, parseDeadLetterCursor } from "../../contract/cursor";
import { DEAD_LETTER_REASONS, type DeadLetterReason } from "../../domain/dead-letter";
import { iso } from "../../domain/time";
import { DEAD_BECAUSE } from "../../domain/vocabulary";
import type { Webhook } from "../../domain/webhook";
import {
  countDeadLetters,
  deleteDeadLetter,
  listDeadLetters,
  redriveDeadLetter,
  redriveDeadLetters,
} from "../../operations/dead-letters";
import { allWebhooks } from "../../operations/webhooks";
import type { DeadLetter, DeadLetterPosition } from "../../storage/dead-letter-store";
import { type Chosen, chosenPath, MAX_CHOSEN } from "../deliveries/chosen";
import { actions, type Outcome, performing } from "../ui/actions";
import { type Form, text } from "../ui/form";
import { count } from "../ui/format";
import { listPage } from "../ui/list";
import { Action, Commas, Empty, Facts, link, Select, toldApart, WebhookOrId } from "../ui/parts";
import { DEAD_LETTERS_PATH, DELIVERIES_PATH, EVENTS_PATH, eventPath, withQuery } from "../ui/paths";
import { goOn, soFarIn } from "../ui/progress";
import { callerOf, type PageContext, type PageEnv, useViewer } from "../ui/session";
import { Time } from "../ui/time";
import { sinceStart } from "../ui/time-range";

const LETTERS_PER_PAGE = 25;
/** Of 1,000 dead letters each. */
const PAGES_COUNTED = 10;

export const deadLetterPages = new Hono<PageEnv>()
  .get("/", (c) =>
    listPage(c, {
      title: "Dead letters",
      path: DEAD_LETTERS_PATH,
      region: "letters",
      json: () => [`/v1/dead-letters?limit=${LETTERS_PER_PAGE}`],
      parseCursor: parseDeadLetterCursor,
      find: async (_, before) => {
        const asked = { before, limit: LETTERS_PER_PAGE, reason: null };
        const { letters, next } = await listDeadLetters(c.env, asked);
        const isOwed = letters.some(({ webhookIds }) => webhookIds !== null);
        const webhooks = toldApart(isOwed ? await allWebhooks(c.env) : []);
        return { letters, webhooks, next: next && formatDeadLetterCursor(next) };
      },
      intro: () => (
        <p class="quiet">
          Events that were accepted and could not be handed over. They wait here, body included,
          until somebody redrives or deletes them, or RETENTION ends.
        </p>
      ),
      show: ({ letters, webhooks }, { isFirstPage }) =>
        letters.length === 0 ? (
          <None isFirstPage={isFirstPage} />
        ) : (
          [
            <RedriveMany letters={letters} />,
            letters.map((letter) => <Letter letter={letter} webhooks={webhooks} />),
          ]
        ),
    }),
  )
  .post("/redrive", performing(DEAD_LETTERS_PATH, { act: redriveMany }))
  .route(
    "/",
    actions<string>(
      "/:id",
      { find: async (c) => c.req.param("id") ?? null, pathOf: () => DEAD_LETTERS_PATH },
      {
        redrive: {
          act: async (c, id) => {
            const startedMs = Date.now();
            const redriven = await redriveDeadLetter(c.env, { id, by: callerOf(c) });
            if (!redriven.ok) return redriven;
            const { eventId, webhookIds } = redriven.value;
            // What is no event comes back here.
            if (eventId === null) return { done: "redriven" };
            if (webhookIds !== null) return { done: "redriven", touched: eventPath(eventId) };
            const since = sinceStart(startedMs, c.get("zone"));
            return { done: "redriven", touched: withQuery(EVENTS_PATH, { since }), isAmong: true };
          },
        },
        delete: {
          act: async (c, id) => {
            const deleted = await deleteDeadLetter(c.env, { id, by: callerOf(c) });
            return deleted.ok ? { done: "dead_letter_deleted" } : deleted;
          },
        },
      },
    ),
  );

/** A page of 1,000 with each form. */
async function redriveMany(c: PageContext, _: null, form: Form): Promise<Outcome> {
  const reason = DEAD_LETTER_REASONS.find((each) => each === text(form, "reason")) ?? null;
  const cursor = parseDeadLetterCursor(text(form, "cursor"));
  const sinceMs = Date.parse(text(form, "since")) || Date.now();
  const before = soFarIn(form);
  const given = { reason, dryRun: false, cursor, by: callerOf(c) };
  const owed = cursor === null ? await owedIn(c, reason) : null;
  const { redriven, next } = await redriveDeadLetters(c.env, given);
  const done = before.done + redriven;
  if (next === null) {
    return { done: "redriven_many", count: done, ...(done > 0 && listOf(c, owed, sinceMs)) };
  }
  const left = cursor === null ? await countLeft(c, reason, next) : null;
  const title = { title: "Redrive many", trail: [["Dead letters", DEAD_LETTERS_PATH]] } as const;
  return goOn(c, title, {
    action: `${DEAD_LETTERS_PATH}/redrive`,
    fields: { reason: reason ?? "", cursor: formatDeadLetterCursor(next), since: iso(sinceMs) },
    done,
    of: left === null ? before.of : done + left,
    headline: `${count(done, "dead letter")} redriven so far.`,
    out: DEAD_LETTERS_PATH,
  });
}

/** Those that are still to come; null where they are too many to be counted. */
async function countLeft(
  c: PageContext,
  reason: DeadLetterReason | null,
  next: DeadLetterPosition,
): Promise<number | null> {
  if (reason === null) return countDeadLetters(c.env);
  let left = 0;
  let cursor: DeadLetterPosition | null = next;
  for (let pages = 0; cursor !== null; pages++) {
    if (pages === PAGES_COUNTED) return null;
    const given = { reason, dryRun: true, cursor, by: callerOf(c) };
    const found = await redriveDeadLetters(c.env, given);
    left += found.redriven;
    cursor = found.next;
  }
  return left;
}

/** The deliveries that are to come of a redrive; null where they are not known, or are more than a list names. */
async function owedIn(c: PageContext, reason: DeadLetterReason | null): Promise<Chosen[] | null> {
  const asked = { before: null, limit: MAX_CHOSEN, reason };
  const { letters, next } = await listDeadLetters(c.env, asked);
  if (next !== null) return null;
  const owed: Chosen[] = [];
  for (const { eventId, webhookIds } of letters) {
    // What is no event brings nothing about; what was never routed is received anew.
    if (eventId === null) continue;
    if (webhookIds === null) return null;
    owed.push(...webhookIds.map((webhookId) => ({ webhookId, eventId })));
  }
  return owed.length > MAX_CHOSEN ? null : owed;
}

/** What a redrive brought about; where only its beginning is known, what was received since then. */
function listOf(c: PageContext, owed: readonly Chosen[] | null, startedMs: number) {
  if (owed !== null && owed.length > 0) return { touched: chosenPath(owed) };
  const since = sinceStart(startedMs, c.get("zone"));
  return { touched: withQuery(DELIVERIES_PATH, { since }), isAmong: true };
}

function RedriveMany({ letters }: { letters: readonly DeadLetter[] }) {
  if (!useViewer().mayChange) return null;
  const reasons = [...new Set(letters.map(({ reason }) => reason))];
  return (
    <form method="post" action={`${DEAD_LETTERS_PATH}/redrive`} class="inline-form spaced-below">
      <Select label="Many at once" name="reason" any="whatever the reason" of={reasons} />
      <button type="submit">Redrive them</button>
    </form>
  );
}

function None({ isFirstPage }: { isFirstPage: boolean }) {
  if (!isFirstPage) return <Empty>There are no older ones.</Empty>;
  return (
    <Empty title="There are no dead letters.">
      <p class="quiet">
        Nothing to do. What a service refuses is no dead letter: it is retried, and stands under{" "}
        <a href={DELIVERIES_PATH}>Deliveries</a>.
      </p>
    </Empty>
  );
}

type LetterProps = { letter: DeadLetter; webhooks: readonly Webhook[] };

function Letter({ letter, webhooks }: LetterProps) {
  const { id, event, reason, receivedAtMs, failedAtMs } = letter;
  const { why, advice } = DEAD_BECAUSE[reason];
  return (
    <article class="panel letter" data-row={id} aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>{event ?? "A message that is no event"}</h2>
      <p>
        <strong>{why}</strong> {advice}
      </p>
      <Facts
        of={[
          ["Event", <EventOf letter={letter} />],
          ["Owed to", <Owed letter={letter} webhooks={webhooks} />],
          ["Received", <Time ms={receivedAtMs} />],
          ["Failed", <Time ms={failedAtMs} />],
          ["Reason", <code>{reason}</code>],
          ["Dead letter", <code>{id}</code>],
        ]}
      />
      <Actions letter={letter} />
    </article>
  );
}

/** One that was never routed is in no journal: there is no page to lead to. */
function EventOf({ letter: { eventId, webhookIds } }: { letter: DeadLetter }) {
  if (eventId === null) return <span class="quiet">none</span>;
  if (webhookIds === null) return <code>{eventId}</code>;
  return link(eventPath(eventId), <code>{eventId}</code>);
}

function Actions({ letter: { id, eventId } }: { letter: DeadLetter }) {
  if (!useViewer().mayChange) return null;
  const path = `${DEAD_LETTERS_PATH}/${id}`;
  return (
    <div class="actions">
      <Action action={`${path}/redrive`} tone={eventId === null ? "normal" : "primary"}>
        Redrive<span class="unseen"> {id}</span>
      </Action>
      <details>
        <summary>
          Delete<span class="unseen"> {id}</span>…
        </summary>
        <p>
          The event is not sent to those it is owed to. This cannot be undone; only what the journal
          has of it stays.
        </p>
        <Action action={`${path}/delete`} tone="danger">
          Delete <span class="unseen">{id} </span>for good
        </Action>
      </details>
    </div>
  );
}

function Owed({ letter: { webhookIds, eventId }, webhooks }: LetterProps) {
  if (webhookIds === null) {
    const text = eventId === null ? "nobody" : "every webhook that matches: it was never routed";
    return <span class="quiet">{text}</span>;
  }
  return (
    <Commas
      of={webhookIds.map((id) => (
        <WebhookOrId id={id} webhook={webhooks.find((webhook) => webhook.id === id)} />
      ))}
    />
  );
}
