/** One event: what it says, whom it went to and why not to the others; sending it again, and erasing it. */
import { Hono } from "hono";
import { parseEvent, type RelayEvent } from "../../domain/event";
import { type EventId, parseEventId, parseWebhookId } from "../../domain/ids";
import { explainMiss } from "../../domain/match";
import type { Webhook } from "../../domain/webhook";
import { eraseEvent, replayEvent, type WholeEvent, wholeEvent } from "../../operations/events";
import { findEvent } from "../../operations/journal";
import type { JournalEvent } from "../../storage/journal-store";
import { LastOutcome } from "../deliveries/attempts";
import { JsonText } from "../deliveries/request-sent";
import { type Action, actions } from "../ui/actions";
import { Foreign } from "../ui/foreign";
import { texts } from "../ui/form";
import { count, sizeOf } from "../ui/format";
import { page } from "../ui/page";
import {
  type Column,
  Copy,
  DEAD_LETTERS_PATH,
  DeliveryBadge,
  deliveryPath,
  Empty,
  EVENTS_PATH,
  eventPath,
  Facts,
  Panel,
  Submit,
  Table,
  WebhookLink,
  webhookName,
} from "../ui/parts";
import { callerOf, type PageContext, type PageEnv } from "../ui/session";
import { Time } from "../ui/time";
import { useViewer } from "../ui/viewer";
import { Conformity, GivenTime, noneOf, SearchLink } from "./event-parts";

const EVENTS = ["Events", EVENTS_PATH] as const;
/** Its deliveries come within seconds of it. */
const FRESH_MS = 60_000;

export const eventPage = new Hono<PageEnv>()
  .get("/:id", async (c) => {
    const id = await find(c);
    const whole = id === null ? null : await wholeEvent(c.env, id);
    if (whole === null) return noSuchEvent(c);
    const parsed = whole.body === null ? null : await parseEvent(whole.body);
    const { event, deliveries } = whole;
    const live =
      event.receivedAtMs > Date.now() - FRESH_MS ||
      deliveries.some(({ status }) => status === "pending");
    return page(
      c,
      { title: event.event, trail: [EVENTS], live, json: `/v1/events/${event.id}` },
      <Event whole={whole} parsed={parsed?.ok ? parsed.value : null} />,
    );
  })
  .route(
    "/",
    actions(
      "/:id",
      { find, pathOf: eventPath, missing: noSuchEvent },
      { replay: replaying(), erase: erasing() },
    ),
  );

async function find(c: PageContext): Promise<EventId | null> {
  return parseEventId(c.req.param("id") ?? "");
}

function replaying(): Action<EventId> {
  return {
    act: async (c, id, form) => {
      const webhookIds = texts(form, "webhook")
        .map(parseWebhookId)
        .filter((webhookId) => webhookId !== null);
      if (webhookIds.length === 0) return { done: "nothing_selected" };
      const replayed = await replayEvent(c.env, { id, webhookIds, by: callerOf(c) });
      return replayed.ok ? { done: "replayed", count: replayed.value } : replayed;
    },
  };
}

function erasing(): Action<EventId> {
  return {
    ask: async (c, id) => {
      const event = await findEvent(c.env, id);
      if (event === null) return noSuchEvent(c);
      const trail = [EVENTS, [event.event, eventPath(event.id)]] as const;
      return page(c, { title: "Erase this event?", trail }, <ConfirmErasure event={event} />);
    },
    act: async (c, id) => {
      const erased = await eraseEvent(c.env, { id, by: callerOf(c) });
      return erased ? { done: "erased" } : { asked: await noSuchEvent(c) };
    },
  };
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

type EventProps = {
  whole: WholeEvent;
  /** null when its payload is gone. */
  parsed: RelayEvent | null;
};

function Event({ whole, parsed }: EventProps) {
  const { event, body } = whole;
  const { mayChange } = useViewer();
  const text = body === null ? null : new TextDecoder().decode(body);
  return (
    <>
      <section class="panel" aria-label="Facts">
        <EventFacts event={event} />
      </section>
      <h2>Webhooks</h2>
      <div id="recipients" data-live>
        <Webhooks whole={whole} parsed={parsed} />
      </div>
      {mayChange && text !== null && whole.webhooks.length > 0 && <SendAgain whole={whole} />}
      <Panel id="payload-title" title="What it says">
        {text === null ? (
          <p class="quiet">
            The payload was erased: only the record of what was delivered is left.
          </p>
        ) : (
          <>
            <JsonText label="The event as JSON" text={text} />
            <p class="quiet">
              Laid out to be read; every number and escape is as Leadterra sent it.{" "}
              <Copy text={text}>Copy as it came</Copy>
            </p>
          </>
        )}
      </Panel>
      {mayChange && text !== null && (
        <p class="actions">
          <a href={`${eventPath(event.id)}/erase`}>Erase this event…</a>
        </p>
      )}
    </>
  );
}

function EventFacts({ event }: { event: JournalEvent }) {
  const { id, timestamp, receivedAtMs, campaignId, email, size, conforms, erased } = event;
  return (
    <Facts
      of={[
        [
          "Event id",
          <>
            <code>{id}</code> <Copy text={id} />
          </>,
        ],
        ["Received", <Time ms={receivedAtMs} />],
        ["Sent by Leadterra", <GivenTime text={timestamp} />],
        ["Lead", <SearchLink name="email" value={email} none={noneOf(erased)} />],
        ["Campaign", <SearchLink name="campaignId" value={campaignId} none="–" />],
        ["Size", sizeOf(size)],
        [
          "As documented",
          <>
            <Conformity conforms={conforms} />
            {!conforms && " – it differs from Leadterra's page, and is delivered all the same"}
          </>,
        ],
      ]}
    />
  );
}

/** A webhook that there is, or was when the event came. */
type Recipient = { id: string; webhook: Webhook | null };

/** Those that it went to first, then those that it did not go to, and why. */
function Webhooks({ whole: { event, webhooks, deliveries }, parsed }: EventProps) {
  if (webhooks.length === 0 && event.webhookIds.length === 0) {
    return (
      <Empty>
        There is no webhook. One that is registered later can be given this event, while it is kept.
      </Empty>
    );
  }
  const deliveryTo = new Map<string, WholeEvent["deliveries"][number]>(
    deliveries.map((delivery) => [delivery.webhookId, delivery]),
  );
  const isMatched = (id: string) => event.webhookIds.some((each) => each === id);
  const hasIt = ({ id }: Webhook) => deliveryTo.has(id) || isMatched(id);
  const deleted = event.webhookIds.filter((id) => !webhooks.some((webhook) => webhook.id === id));
  const rows: Recipient[] = [
    ...[...webhooks.filter(hasIt), ...webhooks.filter((webhook) => !hasIt(webhook))].map(
      (webhook) => ({ id: webhook.id, webhook }),
    ),
    ...deleted.map((id) => ({ id, webhook: null })),
  ];
  const columns: readonly Column<Recipient>[] = [
    {
      head: "Webhook",
      cell: ({ id, webhook }) =>
        webhook === null ? <code>{id}</code> : <WebhookLink webhook={webhook} />,
      class: ({ webhook }) => (webhook === null ? "" : "breaks"),
    },
    {
      head: "Delivery",
      cell: ({ id }) => <Delivery delivery={deliveryTo.get(id)} />,
      class: ({ id }) => (deliveryTo.has(id) ? "" : "quiet"),
    },
    {
      head: "Last outcome",
      cell: ({ id }) => {
        const delivery = deliveryTo.get(id);
        return delivery === undefined ? "–" : <LastOutcome delivery={delivery} />;
      },
      class: ({ id }) => (deliveryTo.has(id) ? "" : "quiet"),
    },
    {
      head: "Why",
      cell: ({ id, webhook }) => {
        if (webhook === null) return "It asked for this event, and was deleted since.";
        if (isMatched(id)) return "It asked for this event.";
        if (deliveryTo.has(id)) return "It did not ask for it then; somebody sent it later.";
        return <WhyNot webhook={webhook} event={event} parsed={parsed} />;
      },
    },
  ];
  return <Table label="Webhooks" columns={columns} rows={rows} keyOf={({ id }) => id} />;
}

function Delivery({ delivery }: { delivery: WholeEvent["deliveries"][number] | undefined }) {
  if (delivery === undefined) return <>none</>;
  const { webhookId, eventId, status, attempts } = delivery;
  return (
    <>
      <DeliveryBadge status={status} />{" "}
      <a
        class="whole"
        href={deliveryPath(webhookId, eventId)}
        aria-label={`${count(attempts, "attempt")}: the delivery to ${webhookId}`}
      >
        {count(attempts, "attempt")}
      </a>
    </>
  );
}

type WhyNotProps = {
  webhook: Webhook;
  event: JournalEvent;
  parsed: RelayEvent | null;
};

function WhyNot({ webhook, event, parsed }: WhyNotProps) {
  if (webhook.createdAtMs > event.receivedAtMs) {
    return (
      <>
        It was registered after the event came in, <Time ms={webhook.createdAtMs} />.
      </>
    );
  }
  if (parsed === null) return <>What the event said is gone, so there is no telling why not.</>;
  const miss = explainMiss(webhook, parsed);
  if (miss === null) {
    return <>It would match by its settings of now: they have changed since.</>;
  }
  const changed = webhook.updatedAtMs > event.receivedAtMs ? " (by its settings of now)" : "";
  return (
    <>
      No match: <Foreign text={miss} />
      {changed}.
    </>
  );
}

/** Every webhook can be given it; those that it matched and that do not have it are ticked. */
function SendAgain({ whole: { event, webhooks, deliveries } }: { whole: WholeEvent }) {
  const isDelivered = ({ id }: Webhook) =>
    deliveries.some(({ webhookId, status }) => webhookId === id && status === "delivered");
  return (
    <details class="panel">
      <summary>Send it again…</summary>
      <form method="post" action={`${eventPath(event.id)}/replay`}>
        <fieldset>
          <legend>To these webhooks</legend>
          {webhooks.map((webhook) => (
            <label class="inline">
              <input
                type="checkbox"
                name="webhook"
                value={webhook.id}
                checked={event.webhookIds.includes(webhook.id) && !isDelivered(webhook)}
              />{" "}
              <bdi>{webhookName(webhook)}</bdi>
              {!event.webhookIds.includes(webhook.id) && (
                <span class="quiet"> – did not ask for it</span>
              )}
              {isDelivered(webhook) && <span class="quiet"> – has it</span>}
            </label>
          ))}
          <small>It comes with the same id, so a service that had it can tell.</small>
        </fieldset>
        <div class="actions">
          <button type="submit">Send to the ticked webhooks</button>
        </div>
      </form>
    </details>
  );
}

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
      </ul>
      <p>It cannot be undone, and the event cannot be sent again.</p>
      <form method="post" action={`${eventPath(event.id)}/erase`}>
        <Submit tone="danger" out={[eventPath(event.id), "Keep it"]}>
          Erase it
        </Submit>
      </form>
    </section>
  );
}
