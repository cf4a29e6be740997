/** One delivery: how it stands and what to do next, its attempts, and the request as it is sent. */
import { Hono } from "hono";
import type { Child } from "hono/jsx";
import type { AttemptRecord, DeliveryView, LoggedDelivery } from "../../domain/delivery";
import { type EventId, parseEventId } from "../../domain/ids";
import { journalName } from "../../domain/placement";
import type { Webhook } from "../../domain/webhook";
import {
  attemptUnderWay,
  cancelDelivery,
  findDelivery,
  retryDelivery,
} from "../../operations/deliveries";
import { bodyOf, findBody } from "../../operations/journal";
import { answerOf, type Unanswered } from "../../operations/objects";
import { actions, type Outcome } from "../ui/actions";
import { page, showFailure } from "../ui/page";
import { Action, DeliveryBadge, Facts, link, Panel, WebhookLink } from "../ui/parts";
import { deliveriesPath, deliveryCall, deliveryPath, eventPath } from "../ui/paths";
import { callerOf, type PageContext, type PageEnv, useViewer } from "../ui/session";
import { Time } from "../ui/time";
import { NotHere } from "../ui/unanswered";
import { namedWebhook, trailOf } from "../webhooks/named-webhook";
import { LastOutcome, Timeline } from "./attempts";
import { NextAttempt, WaitingSentence } from "./delivery-rows";
import { RequestSent } from "./request-sent";

const PATH = "/webhooks/:id/deliveries/:eventId";

/** What the path names; whether the webhook has such a delivery shows when it is asked for. */
type Named = { webhook: Webhook; eventId: EventId };

export const deliveryPage = new Hono<PageEnv>()
  .get(PATH, async (c) => {
    const named = await find(c);
    const delivery = named && (await findDelivery(c.env, named.webhook, named.eventId));
    if (named === null || delivery === null) return showFailure(c, { code: "not_found" });
    const { webhook, eventId } = named;
    const { createdAtMs: receivedAtMs } = delivery;
    const unanswered: Unanswered[] = [];
    const ask = () => bodyOf(c.env, { id: eventId, receivedAtMs });
    const stored =
      (await answerOf(`Journal ${journalName(receivedAtMs)}`, ask, unanswered)) ??
      // A backfilled delivery is younger than the day that received its event.
      (await findBody(c.env, eventId, unanswered));
    return page(
      c,
      {
        title: `Delivery of ${delivery.event}`,
        trail: [...trailOf(webhook), ["Deliveries", deliveriesPath(webhook)]],
        // A finished delivery does not change by itself.
        live: delivery.status === "pending",
        json: [deliveryCall(delivery), `/v1/events/${eventId}`],
      },
      <Delivery {...{ webhook, delivery, unanswered }} body={stored?.body ?? null} />,
    );
  })
  .route(
    "/",
    actions(
      PATH,
      { find, pathOf: ({ webhook, eventId }) => deliveryPath(webhook.id, eventId) },
      {
        retry: {
          act: (c, { webhook, eventId: id }) =>
            attemptNow(c, webhook, { id, at: deliveryPath(webhook.id, id) }),
        },
        cancel: {
          act: async (c, { webhook, eventId: id }) => {
            const cancelled = await cancelDelivery(c.env, webhook, { id, by: callerOf(c) });
            return cancelled.ok ? { done: "cancelled" } : cancelled;
          },
        },
      },
    ),
  );

/** An attempt that a person asks for and waits for. One that is under way is waited for: another would be refused. */
export async function attemptNow(
  c: PageContext,
  webhook: Webhook,
  { id, at }: { id: EventId; at: string },
): Promise<Outcome> {
  const delivery = await findDelivery(c.env, webhook, id);
  const underWay = delivery && (await attemptUnderWay(c.env, webhook, delivery));
  if (underWay !== null) return toldOf(underWay, at);
  const tried = await retryDelivery(c.env, webhook, { id, by: callerOf(c), wait: true });
  if (!tried.ok) {
    const { failure } = tried;
    return failure.code === "not_found" ? { failure } : { failure, at };
  }
  const { attempt } = tried.value;
  return attempt === null ? { done: "attempt_waits", at } : toldOf(attempt, at);
}

export function toldOf({ error }: AttemptRecord, at: string): Outcome {
  return error === null ? { done: "attempt_worked", count: 0, at } : { done: "attempt_failed", at };
}

async function find(c: PageContext): Promise<Named | null> {
  const eventId = parseEventId(c.req.param("eventId") ?? "");
  const webhook = eventId && (await namedWebhook(c));
  return eventId && webhook && { webhook, eventId };
}

type DeliveryProps = {
  webhook: Webhook;
  delivery: LoggedDelivery;
  body: Uint8Array | null;
  /** Where the body may be. */
  unanswered: readonly Unanswered[];
};

function Delivery({ webhook, delivery, body, unanswered }: DeliveryProps) {
  const isUnknown = body === null && unanswered.length > 0;
  const isGone = (body === null && !isUnknown) || delivery.lastError === "expired";
  return [
    <div id="delivery" data-live>
      <section class="panel" aria-label="How it stands">
        <p>
          <DeliveryBadge status={delivery.status} />{" "}
          <strong>{situationOf({ webhook, delivery })}</strong>
        </p>
        <p>{nextStep({ webhook, delivery, isGone })}</p>
        <Actions delivery={delivery} isGone={isGone} />
      </section>
      <div class="columns delivery">
        <Panel id="facts-title" title="Delivery">
          <DeliveryFacts webhook={webhook} delivery={delivery} />
        </Panel>
        <Panel id="attempts-title" title="Attempts">
          <Timeline delivery={delivery} />
        </Panel>
      </div>
    </div>,
    <Panel id="request-title" title="The request">
      {isUnknown && <NotHere unanswered={unanswered} webhooks={[]} />}
      <p class="quiet">As {madeBy(delivery)} it, by the webhook's settings of now.</p>
      <RequestSent {...{ webhook, delivery, body, isUnknown }} />
    </Panel>,
  ];
}

function madeBy({ attemptLog, status }: LoggedDelivery): string {
  const last = attemptLog.at(-1);
  if (last !== undefined) return `attempt ${last.number} made`;
  return status === "pending" ? "the first attempt will make" : "an attempt would make";
}

type ViewProps = { webhook: Webhook; delivery: DeliveryView };

/** What is said of one that has ended, before the time. */
const ENDED = {
  delivered: "The service has it, since ",
  undeliverable: "The last attempt failed, and no other follows by itself; undeliverable since ",
  cancelled: "Somebody cancelled it ",
  expired: "It waited for as long as events are kept; ended ",
  erased: "The event was erased, and with it this delivery, ",
} as const;

function situationOf({ webhook, delivery }: ViewProps): Child {
  const { status, completedAtMs, lastError, waitingFor } = delivery;
  if (status !== "pending") {
    const isCut = status === "cancelled" && (lastError === "expired" || lastError === "erased");
    const isSince = status !== "cancelled";
    return [ENDED[isCut ? lastError : status], <Time ms={completedAtMs} isSince={isSince} />, "."];
  }
  if (waitingFor === "attempt" || webhook.status === "active") {
    return <WaitingSentence delivery={delivery} />;
  }
  return `It waits: the webhook is ${webhook.status}.`;
}

function nextStep({ webhook, delivery, isGone }: ViewProps & { isGone: boolean }): Child {
  const { status, attempts, waitingFor, lastError } = delivery;
  if (status === "delivered") return <>Nothing to do. It can be replayed, with the same id.</>;
  if (status === "undeliverable") {
    return isGone
      ? "The event's payload is gone, so it cannot be replayed."
      : "Look at the last answer below, put the service right, then retry.";
  }
  if (status === "cancelled") {
    if (isGone || lastError === "erased") return <>It cannot be replayed.</>;
    return <>A retry opens it again.</>;
  }
  if (waitingFor === "hold" || waitingFor === "listener") {
    return (
      <>
        Nothing is lost. <WebhookLink webhook={webhook} /> says why it is held; once that is over,
        this goes out.
      </>
    );
  }
  if (waitingFor === "order") {
    return (
      <>
        It goes out by itself once those before it have ended: <WebhookLink webhook={webhook} />{" "}
        says what holds them up.
      </>
    );
  }
  const order = webhook.ordered
    ? " This webhook is sent its events in order: those behind wait for this one, and cancelling it lets them go."
    : "";
  if (waitingFor === "attempt") return <>What comes of it shows up here by itself.{order}</>;
  if (attempts === 0) return <>It goes out by itself.{order}</>;
  return <>It is retried by itself; a retry by hand does not wait for that.{order}</>;
}

function Actions({ delivery, isGone }: { delivery: DeliveryView; isGone: boolean }) {
  const { webhookId, eventId, status } = delivery;
  const { mayChange } = useViewer();
  const path = deliveryPath(webhookId, eventId);
  const isPending = status === "pending";
  if (!mayChange || (isGone && !isPending)) return null;
  // It would stay where it is: its webhook is to be resumed, a listener to come, or what is before it to end, first.
  const isHeld = ["hold", "listener", "order"].includes(delivery.waitingFor ?? "");
  const isWanted = status === "undeliverable" || isPending;
  return (
    <div class="actions">
      {!isHeld && (
        <Action action={`${path}/retry`} tone={isWanted ? "primary" : "normal"}>
          {status === "delivered" ? "Replay" : "Try now"}
        </Action>
      )}
      {isPending && (
        <Action action={`${path}/cancel`} tone="danger">
          Cancel it
        </Action>
      )}
    </div>
  );
}

function DeliveryFacts({ webhook, delivery }: ViewProps) {
  const { event, eventId, attempts, createdAtMs, completedAtMs } = delivery;
  const eventLink = link(eventPath(eventId), [event, " ", <code>{eventId}</code>]);
  return (
    <Facts
      of={[
        ["Event", eventLink],
        ["Webhook", <WebhookLink webhook={webhook} />],
        ["Attempts", attempts],
        ["Last outcome", <LastOutcome delivery={delivery} />],
        ["Received", <Time ms={createdAtMs} />],
        delivery.status === "pending"
          ? ["Next attempt", <NextAttempt delivery={delivery} />]
          : ["Ended", <Time ms={completedAtMs} />],
      ]}
    />
  );
}
