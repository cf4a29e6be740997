/** /dashboard/dead-letters: what could not be handed over, why, and what to do about it. */
import { Hono } from "hono";
import { badCursor } from "../../contract/problem";
import type { Webhook } from "../../domain/webhook";
import {
  deleteDeadLetter,
  listDeadLetters,
  redriveDeadLetter,
} from "../../operations/dead-letters";
import { allWebhooks } from "../../operations/webhooks";
import { formatCursor, parseCursor } from "../../routes/dead-letters";
import type { DeadLetter } from "../../storage/dead-letter-store";
import { seeOther } from "../ui/notice";
import { page, showFailure } from "../ui/page";
import { Action, Empty, eventPath, Pager, WebhookLink } from "../ui/parts";
import { callerOf, mayChange, type PageEnv } from "../ui/session";
import { Time } from "../ui/time";

const PATH = "/dashboard/dead-letters";
const LETTERS_PER_PAGE = 25;

export const deadLetterPages = new Hono<PageEnv>()
  .get("/", async (c) => {
    const query = c.req.query();
    const before = query.cursor === undefined ? null : parseCursor(query.cursor);
    if (query.cursor !== undefined && before === null) return showFailure(c, badCursor());
    const { letters, next } = await listDeadLetters(c.env, { before, limit: LETTERS_PER_PAGE });
    const webhooks = letters.some(({ webhookIds }) => webhookIds !== null)
      ? await allWebhooks(c.env)
      : [];
    return page(
      c,
      { title: "Dead letters", live: before === null },
      <>
        <p class="quiet">
          Events that were accepted and could not be handed over. They wait here, body included,
          until somebody redrives or deletes them.
        </p>
        <div id="letters" data-live>
          {letters.length === 0 ? <None isFirstPage={before === null} /> : null}
          {letters.map((letter) => (
            <Letter
              letter={letter}
              webhooks={webhooks}
              zone={c.get("zone")}
              mayChange={mayChange(c)}
            />
          ))}
          <Pager
            path={PATH}
            query={query.cursor === undefined ? {} : query}
            next={next && formatCursor(next)}
          />
        </div>
      </>,
    );
  })
  .post("/:id/redrive", async (c) => {
    const id = c.req.param("id");
    const redriven = await redriveDeadLetter(c.env, { id, by: callerOf(c) });
    if (!redriven.ok && redriven.failure.code === "not_found") {
      return showFailure(c, redriven.failure);
    }
    if (!redriven.ok) return seeOther(c, PATH, { failed: redriven.failure.code });
    return seeOther(c, PATH, { done: "redriven" });
  })
  .post("/:id/delete", async (c) => {
    const id = c.req.param("id");
    const deleted = await deleteDeadLetter(c.env, { id, by: callerOf(c) });
    if (!deleted.ok) return showFailure(c, { code: "not_found" });
    return seeOther(c, PATH, { done: "dead_letter_deleted" });
  });

function None({ isFirstPage }: { isFirstPage: boolean }) {
  if (!isFirstPage) return <Empty>There are no older ones.</Empty>;
  return (
    <Empty>
      <p>
        <strong>There are no dead letters.</strong>
      </p>
      <p class="quiet">
        Nothing to do. What a service refuses is no dead letter: it is retried, and stands under{" "}
        <a href="/dashboard/deliveries">Deliveries</a>.
      </p>
    </Empty>
  );
}

type LetterProps = {
  letter: DeadLetter;
  webhooks: readonly Webhook[];
  zone: string;
  mayChange: boolean;
};

function Letter({ letter, webhooks, zone, mayChange }: LetterProps) {
  const { id, eventId, event, reason, receivedAtMs, failedAtMs } = letter;
  const { why, advice } = explain(reason);
  return (
    <article class="panel letter" data-row={id} aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>{event ?? "A message that is no event"}</h2>
      <p>
        <strong>{why}</strong> {advice}
      </p>
      <dl class="facts">
        <dt>Event</dt>
        <dd>
          <EventOf letter={letter} />
        </dd>
        <dt>Owed to</dt>
        <dd>
          <Owed webhookIds={letter.webhookIds} isEvent={eventId !== null} webhooks={webhooks} />
        </dd>
        <dt>Received</dt>
        <dd>
          <Time ms={receivedAtMs} zone={zone} />
        </dd>
        <dt>Given up</dt>
        <dd>
          <Time ms={failedAtMs} zone={zone} />
        </dd>
        <dt>Reason</dt>
        <dd>
          <code>{reason}</code>
        </dd>
        <dt>Dead letter</dt>
        <dd>
          <code>{id}</code>
        </dd>
      </dl>
      {mayChange && <Actions id={id} isEvent={eventId !== null} />}
    </article>
  );
}

/** One that was never routed is in no journal: there is no page to lead to. */
function EventOf({ letter: { eventId, webhookIds } }: { letter: DeadLetter }) {
  if (eventId === null) return <span class="quiet">none</span>;
  if (webhookIds === null) return <code>{eventId}</code>;
  return (
    <a href={eventPath(eventId)}>
      <code>{eventId}</code>
    </a>
  );
}

function Actions({ id, isEvent }: { id: string; isEvent: boolean }) {
  return (
    <div class="actions">
      <Action action={`${PATH}/${id}/redrive`} tone={isEvent ? "primary" : "normal"}>
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
        <Action action={`${PATH}/${id}/delete`} tone="danger">
          Delete <span class="unseen">{id} </span>for good
        </Action>
      </details>
    </div>
  );
}

type OwedProps = {
  webhookIds: DeadLetter["webhookIds"];
  isEvent: boolean;
  webhooks: readonly Webhook[];
};

function Owed({ webhookIds, isEvent, webhooks }: OwedProps) {
  if (webhookIds === null) {
    return (
      <span class="quiet">
        {isEvent ? "every webhook that matches: it was never routed" : "nobody"}
      </span>
    );
  }
  return (
    <ul class="plain">
      {webhookIds.map((id) => {
        const webhook = webhooks.find((each) => each.id === id);
        return (
          <li>
            {webhook === undefined ? (
              <>
                <code>{id}</code> <span class="quiet">(deleted)</span>
              </>
            ) : (
              <WebhookLink webhook={webhook} />
            )}
          </li>
        );
      })}
    </ul>
  );
}

type Explanation = { why: string; advice: string };

/** By the reason that the consumer writes. */
const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  not_consumed: {
    why: "The queue gave up on it before the relay could look at it.",
    advice: "Look in the log for exceptions of the Worker, then redrive it.",
  },
  full: {
    why: "The storage of the webhooks it is owed to is full.",
    advice: "Shorten RETENTION or discard what waits there, then redrive it.",
  },
  journal_full: {
    why: "The journal of its day is full, so it was not routed.",
    advice: "Redrive it tomorrow: it goes into that day's journal.",
  },
  journal_unreachable: {
    why: "The journal did not answer, over 20 retries.",
    advice: "See whether Cloudflare reports trouble with Durable Objects, then redrive it.",
  },
  registry_unreachable: {
    why: "The registry of webhooks did not answer, over 20 retries.",
    advice: "See whether Cloudflare reports trouble with Durable Objects, then redrive it.",
  },
  subscriber_unreachable: {
    why: "A webhook's object did not take it, over 20 retries.",
    advice: "See whether Cloudflare reports trouble with Durable Objects, then redrive it.",
  },
};

function explain(reason: string): Explanation {
  if (reason.startsWith("unreadable")) {
    return {
      why: "What was in the queue is no event, so nobody can be given it.",
      advice: "Redriving it would end the same way; find out who else writes to the queue.",
    };
  }
  return (
    (Object.hasOwn(EXPLANATIONS, reason) ? EXPLANATIONS[reason] : undefined) ?? {
      why: "It could not be handed over, over 20 retries.",
      advice: "Look in the log for what went wrong, then redrive it.",
    }
  );
}
