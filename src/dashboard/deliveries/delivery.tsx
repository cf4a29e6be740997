/** One delivery: how it stands and what to do next, its attempts, and the request as it is sent. */
import { Hono } from "hono";
import { configOf } from "../../config";
import type { DeliveryView } from "../../domain/delivery";
import { type EventId, parseEventId, parseWebhookId } from "../../domain/ids";
import type { Webhook } from "../../domain/webhook";
import {
  cancelDelivery,
  findDelivery,
  type LoggedDelivery,
  retryDelivery,
} from "../../operations/deliveries";
import { findBodies } from "../../operations/journal";
import { findWebhook } from "../../operations/webhooks";
import { seeOther } from "../ui/notice";
import { page, showFailure } from "../ui/page";
import {
  Action,
  DeliveryBadge,
  deliveryPath,
  eventPath,
  WebhookLink,
  webhookName,
  webhookPath,
} from "../ui/parts";
import { callerOf, mayChange, type PageContext, type PageEnv } from "../ui/session";
import { Time } from "../ui/time";
import { LastOutcome, Timeline } from "./attempts";
import { RequestSent } from "./request-sent";

const PATH = "/webhooks/:id/deliveries/:eventId";

export const deliveryPage = new Hono<PageEnv>()
  .get(PATH, async (c) => {
    const { webhook, eventId } = await named(c);
    if (webhook === null || eventId === null) return showFailure(c, { code: "not_found" });
    const delivery = await findDelivery(c.env, webhook, eventId);
    if (delivery === null) return showFailure(c, { code: "not_found" });
    const body = await bodyOf(c.env, eventId, delivery.createdAtMs);
    return page(
      c,
      {
        title: `Delivery of ${delivery.event}`,
        trail: [
          ["Webhooks", "/dashboard/webhooks"],
          [webhookName(webhook), webhookPath(webhook.id)],
          ["Deliveries", `/dashboard/deliveries?webhook=${webhook.id}`],
        ],
        // A finished delivery does not change by itself.
        live: delivery.status === "pending",
      },
      <Delivery
        webhook={webhook}
        delivery={delivery}
        body={body}
        timeoutMs={configOf(c.env).delivery?.timeoutMs ?? null}
        zone={c.get("zone")}
        mayChange={mayChange(c)}
      />,
    );
  })
  .post(`${PATH}/retry`, async (c) => {
    const { webhook, eventId } = await named(c);
    if (webhook === null || eventId === null) return showFailure(c, { code: "not_found" });
    const path = deliveryPath(webhook.id, eventId);
    const retried = await retryDelivery(c.env, webhook, { id: eventId, by: callerOf(c) });
    if (!retried.ok) return afterFailure(c, path, retried.failure);
    return seeOther(c, path, { done: "retried" });
  })
  .post(`${PATH}/cancel`, async (c) => {
    const { webhook, eventId } = await named(c);
    if (webhook === null || eventId === null) return showFailure(c, { code: "not_found" });
    const path = deliveryPath(webhook.id, eventId);
    const cancelled = await cancelDelivery(c.env, webhook, { id: eventId, by: callerOf(c) });
    if (!cancelled.ok) return afterFailure(c, path, cancelled.failure);
    return seeOther(c, path, { done: "cancelled" });
  });

async function named(
  c: PageContext,
): Promise<{ webhook: Webhook | null; eventId: EventId | null }> {
  const id = parseWebhookId(c.req.param("id") ?? "");
  const eventId = parseEventId(c.req.param("eventId") ?? "");
  if (id === null || eventId === null) return { webhook: null, eventId: null };
  return { webhook: await findWebhook(c.env, id), eventId };
}

async function bodyOf(env: Env, id: EventId, createdAtMs: number): Promise<Uint8Array | null> {
  for await (const [found] of findBodies(env, [{ id, createdAtMs }])) return found?.body ?? null;
  return null;
}

/** A conflict is told on the delivery's page, which shows what it is in conflict with. */
function afterFailure(c: PageContext, path: string, failure: Parameters<typeof showFailure>[1]) {
  if (failure.code === "not_found" || failure.code === "cross_origin") {
    return showFailure(c, failure);
  }
  return seeOther(c, path, { failed: failure.code });
}

type DeliveryProps = {
  webhook: Webhook;
  delivery: LoggedDelivery;
  body: Uint8Array | null;
  timeoutMs: number | null;
  zone: string;
  mayChange: boolean;
};

function Delivery({ webhook, delivery, body, timeoutMs, zone, mayChange }: DeliveryProps) {
  const { attemptLog, ...view } = delivery;
  const last = attemptLog.at(-1);
  return (
    <>
      <div id="delivery" data-live>
        <section class="panel" aria-label="How it stands">
          <p>
            <DeliveryBadge status={view.status} />{" "}
            <strong>
              <Situation webhook={webhook} delivery={view} zone={zone} />
            </strong>
          </p>
          <p>
            <NextStep webhook={webhook} delivery={view} isGone={body === null} />
          </p>
          {mayChange && <Actions delivery={view} isGone={body === null} />}
        </section>
        <div class="columns delivery">
          <section class="panel" aria-labelledby="facts-title">
            <h2 id="facts-title">Delivery</h2>
            <Facts webhook={webhook} delivery={view} zone={zone} />
          </section>
          <section class="panel" aria-labelledby="attempts-title">
            <h2 id="attempts-title">Attempts</h2>
            <Timeline delivery={view} attempts={attemptLog} timeoutMs={timeoutMs} zone={zone} />
          </section>
        </div>
      </div>
      <section class="panel" aria-labelledby="request-title">
        <h2 id="request-title">The request</h2>
        <p class="quiet">
          {last === undefined
            ? "As the first attempt will make it, by the webhook's settings of now."
            : `As attempt ${last.number} made it, by the webhook's settings of now.`}
        </p>
        <RequestSent
          webhook={webhook}
          eventId={view.eventId}
          event={view.event}
          attempt={last?.number ?? 1}
          startedAtMs={last?.startedAtMs ?? Date.now()}
          body={body}
        />
      </section>
    </>
  );
}

type ViewProps = { webhook: Webhook; delivery: DeliveryView };

/** The one sentence that says where it stands. */
function Situation({ webhook, delivery, zone }: ViewProps & { zone: string }) {
  const { status, completedAtMs, nextAttemptAtMs, lastError } = delivery;
  const ended = <Time ms={completedAtMs} zone={zone} />;
  if (status === "delivered") return <>The service has it, since {ended}.</>;
  if (status === "undeliverable") return <>Every attempt failed; given up {ended}.</>;
  if (status === "cancelled") {
    if (lastError === "expired")
      return <>It waited for as long as events are kept; ended {ended}.</>;
    if (lastError === "erased")
      return <>The event was erased, and with it this delivery, {ended}.</>;
    return <>Somebody gave up on it {ended}.</>;
  }
  if (webhook.status === "paused") return <>It waits: the webhook is paused.</>;
  if (nextAttemptAtMs === null) return <>It waits: the webhook is disabled.</>;
  if (nextAttemptAtMs <= Date.now()) return <>It goes out as soon as it is its turn.</>;
  return (
    <>
      The next attempt is <Time ms={nextAttemptAtMs} zone={zone} />.
    </>
  );
}

/** What a person can do about it. */
function NextStep({ webhook, delivery, isGone }: ViewProps & { isGone: boolean }) {
  const { status, attempts, nextAttemptAtMs, lastError } = delivery;
  if (status === "delivered") return <>Nothing to do. It can be sent again, with the same id.</>;
  if (status === "undeliverable") {
    return isGone ? (
      <>The event's payload is gone, so it cannot be sent again.</>
    ) : (
      <>Look at the last answer below, put the service right, then retry.</>
    );
  }
  if (status === "cancelled") {
    if (isGone || lastError === "erased") return <>It cannot be sent again.</>;
    return <>A retry opens it again.</>;
  }
  if (nextAttemptAtMs === null) {
    return (
      <>
        Nothing is lost. <WebhookLink webhook={webhook} /> says why it is held; once it is resumed,
        this goes out.
      </>
    );
  }
  const order = webhook.ordered
    ? " This webhook is sent its events in order: those behind wait for this one, and giving up on it lets them go."
    : "";
  if (attempts === 0) return <>Nothing to do.{order}</>;
  return <>It is retried by itself. Once the service is right, a retry need not wait.{order}</>;
}

function Actions({ delivery, isGone }: { delivery: DeliveryView; isGone: boolean }) {
  const { webhookId, eventId, status } = delivery;
  const path = deliveryPath(webhookId, eventId);
  const isPending = status === "pending";
  if (isGone && !isPending) return null;
  // What is held would stay held: its webhook is to be resumed first.
  const isHeld = isPending && delivery.nextAttemptAtMs === null;
  const isWanted = status === "undeliverable" || isPending;
  return (
    <div class="actions">
      {!isHeld && (
        <Action action={`${path}/retry`} tone={isWanted ? "primary" : "normal"}>
          {status === "delivered" ? "Send again" : "Retry now"}
        </Action>
      )}
      {isPending && (
        <Action action={`${path}/cancel`} tone="danger">
          Give up on it
        </Action>
      )}
    </div>
  );
}

function Facts({ webhook, delivery, zone }: ViewProps & { zone: string }) {
  const { event, eventId, attempts, createdAtMs, nextAttemptAtMs, completedAtMs } = delivery;
  return (
    <dl class="facts">
      <dt>Event</dt>
      <dd>
        <a href={eventPath(eventId)}>
          {event} <code>{eventId}</code>
        </a>
      </dd>
      <dt>Webhook</dt>
      <dd>
        <WebhookLink webhook={webhook} />
      </dd>
      <dt>Attempts</dt>
      <dd>{attempts}</dd>
      <dt>Last outcome</dt>
      <dd>
        <LastOutcome delivery={delivery} />
      </dd>
      <dt>Arrived</dt>
      <dd>
        <Time ms={createdAtMs} zone={zone} />
      </dd>
      {delivery.status === "pending" ? (
        <>
          <dt>Next attempt</dt>
          <dd>
            <Time ms={nextAttemptAtMs} zone={zone} none="held" />
          </dd>
        </>
      ) : (
        <>
          <dt>Ended</dt>
          <dd>
            <Time ms={completedAtMs} zone={zone} />
          </dd>
        </>
      )}
    </dl>
  );
}
