/** One event: what it says, whom it went to and why not to the others; sending it again, and erasing it. */
import { Hono } from "hono";
import { parseEvent, type RelayEvent } from "../../domain/event";
import { parseEventId, parseWebhookId } from "../../domain/ids";
import { explainMiss } from "../../domain/match";
import type { Webhook } from "../../domain/webhook";
import { eraseEvent, replayEvent, type WholeEvent, wholeEvent } from "../../operations/events";
import { findEvent } from "../../operations/journal";
import type { JournalEvent } from "../../storage/journal-store";
import { LastOutcome } from "../deliveries/attempts";
import { JsonText } from "../deliveries/request-sent";
import { seeOther } from "../ui/notice";
import { page, showFailure } from "../ui/page";
import {
  Copy,
  count,
  DeliveryBadge,
  deliveryPath,
  Empty,
  eventPath,
  Table,
  WebhookLink,
  webhookName,
} from "../ui/parts";
import { callerOf, mayChange, type PageContext, type PageEnv } from "../ui/session";
import { Time } from "../ui/time";
import { Conformity, GivenTime, sizeOf } from "./event-facts";

const EVENTS = ["Events", "/dashboard/events"] as const;
/** Its deliveries come within seconds of it. */
const FRESH_MS = 60_000;

export const eventPage = new Hono<PageEnv>()
  .get("/:id", async (c) => {
    const id = parseEventId(c.req.param("id"));
    const whole = id === null ? null : await wholeEvent(c.env, id);
    if (whole === null) return noSuchEvent(c);
    const parsed = whole.body === null ? null : await parseEvent(whole.body);
    const { event, deliveries } = whole;
    const live =
      event.receivedAtMs > Date.now() - FRESH_MS ||
      deliveries.some(({ status }) => status === "pending");
    return page(
      c,
      { title: event.event, trail: [EVENTS], live },
      <Event
        whole={whole}
        parsed={parsed?.ok ? parsed.value : null}
        zone={c.get("zone")}
        mayChange={mayChange(c)}
      />,
    );
  })
  .post("/:id/replay", async (c) => {
    const id = parseEventId(c.req.param("id"));
    if (id === null) return noSuchEvent(c);
    const form = await c.req.parseBody({ all: true });
    const webhookIds = [form.webhook]
      .flat()
      .map((text) => (typeof text === "string" ? parseWebhookId(text) : null))
      .filter((webhookId) => webhookId !== null);
    if (webhookIds.length === 0) return seeOther(c, eventPath(id), { done: "nothing_selected" });
    const replayed = await replayEvent(c.env, { id, webhookIds, by: callerOf(c) });
    if (!replayed.ok) {
      return replayed.failure.code === "payload_gone"
        ? seeOther(c, eventPath(id), { failed: "payload_gone" })
        : showFailure(c, replayed.failure);
    }
    return seeOther(c, eventPath(id), { done: "replayed", count: replayed.value });
  })
  .get("/:id/erase", async (c) => {
    if (!mayChange(c)) return showFailure(c, { code: "insufficient_scope" });
    const id = parseEventId(c.req.param("id"));
    const event = id === null ? null : await findEvent(c.env, id);
    if (event === null) return noSuchEvent(c);
    const trail = [EVENTS, [event.event, eventPath(event.id)]] as const;
    return page(c, { title: "Erase this event?", trail }, <ConfirmErasure event={event} />);
  })
  .post("/:id/erase", async (c) => {
    const id = parseEventId(c.req.param("id"));
    if (id === null || !(await eraseEvent(c.env, { id, by: callerOf(c) }))) return noSuchEvent(c);
    return seeOther(c, eventPath(id), { done: "erased" });
  });

function noSuchEvent(c: PageContext): Promise<Response> {
  return page(
    c,
    { title: "No such event", trail: [EVENTS], status: 404 },
    <p>
      No journal has an event with this id: it never came in, or it is past its retention. What was
      accepted and could not be handed over is among the{" "}
      <a href="/dashboard/dead-letters">dead letters</a>.
    </p>,
  );
}

type EventProps = {
  whole: WholeEvent;
  /** null when its payload is gone. */
  parsed: RelayEvent | null;
  zone: string;
  mayChange: boolean;
};

function Event({ whole, parsed, zone, mayChange }: EventProps) {
  const { event, body } = whole;
  const text = body === null ? null : new TextDecoder().decode(body);
  return (
    <>
      <section class="panel" aria-label="Facts">
        <Facts event={event} zone={zone} />
      </section>
      <h2>Webhooks</h2>
      <div id="recipients" data-live>
        <Webhooks whole={whole} parsed={parsed} zone={zone} />
      </div>
      {mayChange && text !== null && whole.webhooks.length > 0 && <SendAgain whole={whole} />}
      <section class="panel" aria-labelledby="payload-title">
        <h2 id="payload-title">What it says</h2>
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
      </section>
      {mayChange && text !== null && (
        <p class="actions">
          <a href={`${eventPath(event.id)}/erase`}>Erase this event…</a>
        </p>
      )}
    </>
  );
}

function Facts({ event, zone }: { event: JournalEvent; zone: string }) {
  const { id, timestamp, receivedAtMs, campaignId, email, size, conforms, erased } = event;
  return (
    <dl class="facts">
      <dt>Event id</dt>
      <dd>
        <code>{id}</code> <Copy text={id} />
      </dd>
      <dt>Received</dt>
      <dd>
        <Time ms={receivedAtMs} zone={zone} />
      </dd>
      <dt>Sent by Leadterra</dt>
      <dd>
        <GivenTime text={timestamp} zone={zone} />
      </dd>
      <dt>Lead</dt>
      <dd>
        <SearchLink name="email" value={email} none={erased ? "erased" : "–"} />
      </dd>
      <dt>Campaign</dt>
      <dd>
        <SearchLink name="campaignId" value={campaignId} none="–" />
      </dd>
      <dt>Size</dt>
      <dd>{sizeOf(size)}</dd>
      <dt>As documented</dt>
      <dd>
        <Conformity conforms={conforms} />
        {!conforms && " – it differs from Leadterra's page, and is delivered all the same"}
      </dd>
    </dl>
  );
}

/** Leads to the other events of the same lead or campaign. */
function SearchLink({
  name,
  value,
  none,
}: {
  name: "email" | "campaignId";
  value: string | null;
  none: string;
}) {
  if (value === null) return <span class="quiet">{none}</span>;
  return <a href={`/dashboard/events?${new URLSearchParams({ [name]: value })}`}>{value}</a>;
}

type WebhooksProps = Pick<EventProps, "whole" | "parsed" | "zone">;

/** Those that it went to first, then those that it did not go to, and why. */
function Webhooks({ whole: { event, webhooks, deliveries }, parsed, zone }: WebhooksProps) {
  if (webhooks.length === 0 && event.webhookIds.length === 0) {
    return (
      <Empty>
        There is no webhook. One that is registered later can be given this event, while it is kept.
      </Empty>
    );
  }
  const byWebhook = new Map(deliveries.map((delivery) => [delivery.webhookId, delivery]));
  const got = webhooks.filter(({ id }) => byWebhook.has(id) || event.webhookIds.includes(id));
  const others = webhooks.filter((webhook) => !got.includes(webhook));
  const deleted = event.webhookIds.filter((id) => !webhooks.some((webhook) => webhook.id === id));
  return (
    <Table label="Webhooks" head={["Webhook", "Delivery", "Last outcome", "Why"]}>
      {got.map((webhook) => (
        <tr data-row={webhook.id}>
          <td class="breaks">
            <WebhookLink webhook={webhook} />
          </td>
          <DeliveryCells delivery={byWebhook.get(webhook.id)} />
          <td>
            {event.webhookIds.includes(webhook.id)
              ? "It asked for this event."
              : "It did not ask for it then; somebody sent it later."}
          </td>
        </tr>
      ))}
      {others.map((webhook) => (
        <tr data-row={webhook.id}>
          <td class="breaks">
            <WebhookLink webhook={webhook} />
          </td>
          <DeliveryCells delivery={undefined} />
          <td>
            <WhyNot webhook={webhook} event={event} parsed={parsed} zone={zone} />
          </td>
        </tr>
      ))}
      {deleted.map((id) => (
        <tr data-row={id}>
          <td>
            <code>{id}</code>
          </td>
          <DeliveryCells delivery={undefined} />
          <td>It asked for this event, and was deleted since.</td>
        </tr>
      ))}
    </Table>
  );
}

function DeliveryCells({ delivery }: { delivery: WholeEvent["deliveries"][number] | undefined }) {
  if (delivery === undefined) {
    return (
      <>
        <td class="quiet">none</td>
        <td class="quiet">–</td>
      </>
    );
  }
  const { webhookId, eventId, status, attempts } = delivery;
  return (
    <>
      <td>
        <DeliveryBadge status={status} />{" "}
        <a
          class="whole"
          href={deliveryPath(webhookId, eventId)}
          aria-label={`${count(attempts, "attempt")}: the delivery to ${webhookId}`}
        >
          {count(attempts, "attempt")}
        </a>
      </td>
      <td>
        <LastOutcome delivery={delivery} />
      </td>
    </>
  );
}

type WhyNotProps = {
  webhook: Webhook;
  event: JournalEvent;
  parsed: RelayEvent | null;
  zone: string;
};

function WhyNot({ webhook, event, parsed, zone }: WhyNotProps) {
  if (webhook.createdAtMs > event.receivedAtMs) {
    return (
      <>
        It was registered after the event came in, <Time ms={webhook.createdAtMs} zone={zone} />.
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
      No match: {miss}
      {changed}.
    </>
  );
}

/** Every webhook can be given it; those that it matched are ticked. */
function SendAgain({ whole: { event, webhooks } }: { whole: WholeEvent }) {
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
                checked={event.webhookIds.includes(webhook.id)}
              />{" "}
              {webhookName(webhook)}
              {!event.webhookIds.includes(webhook.id) && (
                <span class="quiet"> – did not ask for it</span>
              )}
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
      <form method="post" action={`${eventPath(event.id)}/erase`} class="actions">
        <button type="submit" class="danger">
          Erase it
        </button>
        <a href={eventPath(event.id)}>Keep it</a>
      </form>
    </section>
  );
}
