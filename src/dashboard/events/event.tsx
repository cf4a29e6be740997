/** One event: its payload, whom it went to and why not to the others; replaying it, and erasing it. */
import { Hono } from "hono";
import { type EventId, parseEventId, parseWebhookId } from "../../domain/ids";
import { SCHEMA } from "../../domain/vocabulary";
import { eraseEvent, replayEvent, type WholeEvent, wholeEvent } from "../../operations/events";
import { findEvent } from "../../operations/journal";
import type { Unanswered } from "../../operations/objects";
import type { JournalEvent } from "../../storage/journal-store";
import { LastOutcome } from "../deliveries/attempts";
import { JsonText } from "../deliveries/request-sent";
import { type Action, actions } from "../ui/actions";
import { texts } from "../ui/form";
import { count, sizeOf } from "../ui/format";
import { page } from "../ui/page";
import {
  Badge,
  type Column,
  Copy,
  DeliveryBadge,
  Empty,
  Facts,
  foreign,
  link,
  Panel,
  Submit,
  Table,
  toldApart,
  WebhookLink,
  webhookName,
} from "../ui/parts";
import { DEAD_LETTERS_PATH, deliveryPath, EVENTS_PATH, eventPath } from "../ui/paths";
import { callerOf, type PageContext, type PageEnv, useViewer } from "../ui/session";
import { Time } from "../ui/time";
import { NotHere } from "../ui/unanswered";
import { GivenTime, noneOf, SearchLink } from "./table";

const EVENTS = ["Events", EVENTS_PATH] as const;
/** Its deliveries come within seconds of it. */
const FRESH_MS = 60_000;

const replay: Action<EventId> = {
  act: async (c, id, form) => {
    // The button of a row sends to that one, whatever is ticked.
    const named = texts(form, "only");
    const webhookIds = (named.length > 0 ? named : texts(form, "webhook"))
      .map(parseWebhookId)
      .filter((webhookId) => webhookId !== null);
    if (webhookIds.length === 0) return { done: "nothing_selected" };
    const replayed = await replayEvent(c.env, { id, webhookIds, by: callerOf(c) });
    return replayed.ok ? { done: "replayed", count: replayed.value } : replayed;
  },
};

const erase: Action<EventId> = {
  ask: async (c, id) => {
    const event = await findEvent(c.env, id);
    if (event === null) return noSuchEvent(c);
    const trail = [EVENTS, [event.event, eventPath(event.id)]] as const;
    return page(c, { title: "Erase this event?", trail }, <ConfirmErasure event={event} />);
  },
  act: async (c, id) => {
    const erased = await eraseEvent(c.env, { id, by: callerOf(c) });
    return erased ? { done: "erased" } : noSuchEvent(c);
  },
};

export const eventPage = new Hono<PageEnv>()
  .get("/:id", async (c) => {
    const id = await find(c);
    const unanswered: Unanswered[] = [];
    const whole = id === null ? null : await wholeEvent(c.env, id, unanswered);
    if (whole === null) return noSuchEvent(c);
    const { event, deliveries } = whole;
    const live =
      event.receivedAtMs > Date.now() - FRESH_MS ||
      deliveries.some(({ status }) => status === "pending");
    return page(
      c,
      { title: event.event, trail: [EVENTS], live, json: [`/v1/events/${event.id}`] },
      <Event whole={whole} unanswered={unanswered} />,
    );
  })
  .route(
    "/",
    actions("/:id", { find, pathOf: eventPath, missing: noSuchEvent }, { replay, erase }),
  );

async function find(c: PageContext): Promise<EventId | null> {
  return parseEventId(c.req.param("id") ?? "");
}

function noSuchEvent(c: PageContext): Promise<Response> {
  return page(
    c,
    { title: "No such event", trail: [EVENTS], status: 404 },
    <p>
      No journal has an event with this id: it never came in, or it is past its retention. What was
      accepted and could not be handed over is among the{" "}
      <a href={DEAD_LETTERS_PATH}>dead letters</a>.
    </p>,
  );
}

type EventProps = { whole: WholeEvent; unanswered: readonly Unanswered[] };

function Event({ whole, unanswered }: EventProps) {
  const { event, payload } = whole;
  const { mayChange } = useViewer();
  return [
    <section id="facts" class="panel" aria-label="Facts" data-live>
      <EventFacts event={event} />
    </section>,
    <h2>Webhooks</h2>,
    <div id="recipients" data-live>
      <NotHere unanswered={unanswered} webhooks={whole.webhooks} />
      <Webhooks whole={whole} unanswered={unanswered} />
    </div>,
    <div id="payload" data-live>
      <Panel id="payload-title" title="Payload">
        {payload === null ? (
          <p class="quiet">
            The payload was erased: only the record of what was delivered is left.
          </p>
        ) : (
          [
            <JsonText label="The event as JSON" text={payload.text} />,
            <p class="quiet">
              Laid out to be read; every number and escape is as Leadterra sent it.{" "}
              <Copy text={payload.text}>Copy as it came</Copy>
            </p>,
          ]
        )}
      </Panel>
      {mayChange && payload !== null && (
        <p class="actions">{link(`${eventPath(event.id)}/erase`, "Erase this event…")}</p>
      )}
    </div>,
  ];
}

function EventFacts({ event }: { event: JournalEvent }) {
  const { id, timestamp, receivedAtMs, campaignId, email, size, conforms, erased } = event;
  return (
    <Facts
      of={[
        ["Event id", [<code>{id}</code>, " ", <Copy text={id} />]],
        ["Received", <Time ms={receivedAtMs} />],
        ["Sent by Leadterra", <GivenTime text={timestamp} />],
        ["Lead", <SearchLink name="email" value={email} none={noneOf(erased)} />],
        ["Campaign", <SearchLink name="campaignId" value={campaignId} none="–" />],
        ["Size", sizeOf(size)],
        [
          SCHEMA.fits,
          conforms
            ? "yes"
            : [
                <Badge tone="warn">no</Badge>,
                " – it differs from Leadterra's page, and is delivered all the same",
              ],
        ],
      ]}
    />
  );
}

/** A webhook that there is, or was when the event came. */
type Recipient = ReturnType<typeof recipientsOf>[number];

/** Those that it went to first, then those that it did not go to, and why. */
function recipientsOf({ whole, unanswered }: EventProps) {
  const { event, webhooks, deliveries, reasons } = whole;
  const there = toldApart(webhooks).map((webhook) => {
    const { id } = webhook;
    const delivery = deliveries.find(({ webhookId }) => webhookId === id);
    // Whether it has one nobody knows: its object does not answer.
    const isSilent = unanswered.some(({ object }) => object.endsWith(id));
    const why = reasons.find(({ webhookId }) => webhookId === id)?.why ?? "";
    return { id, webhook, delivery, isSilent, why };
  });
  const lost = { webhook: null, delivery: undefined, isSilent: false };
  const deleted = event.webhookIds
    .filter((id) => !webhooks.some((webhook) => webhook.id === id))
    .map((id) => ({ id, ...lost, why: "It matched, and was deleted since." }));
  const hasIt = ({ id, delivery }: (typeof there)[number]) =>
    delivery !== undefined || event.webhookIds.includes(id);
  return [...there.toSorted((a, b) => Number(hasIt(b)) - Number(hasIt(a))), ...deleted];
}

/** Every webhook can be given it: one by its row, or those that are ticked. */
function Webhooks({ whole, unanswered }: EventProps) {
  const { event, payload } = whole;
  const { mayChange } = useViewer();
  const rows = recipientsOf({ whole, unanswered });
  if (rows.length === 0) {
    return (
      <Empty>
        There is no webhook. One that is registered later can be given this event, while it is kept.
      </Empty>
    );
  }
  const isOffered = mayChange && payload !== null;
  const columns = isOffered ? [tickFor(event), ...COLUMNS, REPLAY] : COLUMNS;
  const table = <Table label="Webhooks" columns={columns} rows={rows} keyOf={({ id }) => id} />;
  if (!isOffered) return table;
  return (
    <form method="post" action={`${eventPath(event.id)}/replay`}>
      {table}
      <p class="actions chosen">
        <button type="submit">Replay to the ticked webhooks</button>
        <small class="quiet">With the same id, so that a service that had it can tell.</small>
      </p>
    </form>
  );
}

/** What matched and does not have it is ticked. */
function tickFor(event: JournalEvent): Column<Recipient> {
  return {
    head: <span class="unseen">Select</span>,
    cell: ({ id, webhook, delivery, isSilent }) =>
      webhook !== null && (
        <input
          type="checkbox"
          name="webhook"
          value={id}
          checked={
            event.webhookIds.includes(webhook.id) && !isSilent && delivery?.status !== "delivered"
          }
          aria-label={`Select ${webhookName(webhook)}`}
        />
      ),
  };
}

const REPLAY: Column<Recipient> = {
  head: <span class="unseen">Replay</span>,
  cell: ({ id, webhook }) =>
    webhook !== null && (
      <button type="submit" name="only" value={id}>
        Replay<span class="unseen"> to {webhookName(webhook)}</span>
      </button>
    ),
  class: "whole",
};

const COLUMNS: readonly Column<Recipient>[] = [
  {
    head: "Webhook",
    cell: ({ id, webhook }) =>
      webhook === null ? <code>{id}</code> : <WebhookLink webhook={webhook} />,
    class: "breaks",
  },
  {
    head: "Delivery",
    cell: ({ delivery, isSilent }) =>
      delivery === undefined ? (
        <span class={isSilent ? "wrong" : "quiet"}>{isSilent ? "does not answer" : "none"}</span>
      ) : (
        <>
          <DeliveryBadge status={delivery.status} />{" "}
          <a
            class="whole"
            href={deliveryPath(delivery.webhookId, delivery.eventId)}
            aria-label={`${count(delivery.attempts, "attempt")}: the delivery to ${delivery.webhookId}`}
          >
            {count(delivery.attempts, "attempt")}
          </a>{" "}
          <LastOutcome delivery={delivery} />
        </>
      ),
  },
  { head: "Why", cell: ({ why }) => foreign(why), class: "breaks" },
];

function ConfirmErasure({ event }: { event: JournalEvent }) {
  return (
    <section class="panel narrow" aria-label="Confirm">
      <p>
        <strong>{event.event}</strong> <code>{event.id}</code>
      </p>
      <ul>
        <li>Its payload goes, and what the journal knows of the lead.</li>
        <li>Deliveries that still wait for an attempt end; answers of services to it go.</li>
        <li>The record of what was delivered when stays.</li>
        <li>
          Only this event. A person, in every event: search for the address, or{" "}
          <code>POST /v1/events/erase</code>.
        </li>
      </ul>
      <p>It cannot be undone, and the event cannot be replayed.</p>
      <form method="post" action={`${eventPath(event.id)}/erase`}>
        <Submit tone="danger" out={[eventPath(event.id), "Keep it"]}>
          Erase it
        </Submit>
      </form>
    </section>
  );
}
