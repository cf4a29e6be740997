/** Deliveries as the rows of a table, and what a pending one waits for, in words: the same in lists and on its page. */
import type { DeliveryView } from "../../domain/delivery";
import { WAITS } from "../../domain/vocabulary";
import type { Webhook } from "../../domain/webhook";
import { type Column, DeliveryBadge, RowLink, Table, webhookAmong } from "../ui/parts";
import { deliveryPath } from "../ui/paths";
import { useViewer } from "../ui/session";
import { Time } from "../ui/time";
import { LastOutcome } from "./attempts";

export const EVENT: Column<Pick<DeliveryView, "webhookId" | "eventId" | "event">> = {
  head: "Event",
  cell: ({ webhookId, eventId, event }) => (
    <RowLink href={deliveryPath(webhookId, eventId)} event={event} id={eventId} />
  ),
};

type DeliveryRowsProps = {
  deliveries: readonly DeliveryView[];
  /** Those that they belong to; null on the page of the one that all belong to. */
  webhooks: readonly Webhook[] | null;
};

/** Among those of several webhooks, who may change things can tick rows; the form around gets those as `delivery`. */
export function DeliveryRows({ deliveries, webhooks }: DeliveryRowsProps) {
  const { mayChange } = useViewer();
  const columns: readonly Column<DeliveryView>[] = [
    ...(mayChange && webhooks !== null ? [SELECT] : []),
    EVENT,
    { head: "Status", cell: ({ status }) => <DeliveryBadge status={status} /> },
    ...(webhooks === null ? [] : [webhookAmong(webhooks)]),
    { head: "Attempts", cell: ({ attempts }) => attempts, isNumber: true },
    { head: "Last outcome", cell: (delivery) => <LastOutcome delivery={delivery} /> },
    { head: "Received", cell: ({ createdAtMs }) => <Time ms={createdAtMs} /> },
    {
      head: "Next or end",
      cell: (delivery) =>
        delivery.status === "pending" ? (
          <NextAttempt delivery={delivery} />
        ) : (
          <Time ms={delivery.completedAtMs} />
        ),
    },
  ];
  return <Table label="Deliveries" columns={columns} rows={deliveries} keyOf={keyOf} />;
}

function keyOf({ webhookId, eventId }: DeliveryView): string {
  return `${webhookId}/${eventId}`;
}

const SELECT: Column<DeliveryView> = {
  head: [
    <span class="unseen">Select</span>,
    <input type="checkbox" data-select-all aria-label="Select all shown" hidden />,
  ],
  cell: (delivery) => (
    <input
      type="checkbox"
      name="delivery"
      value={keyOf(delivery)}
      aria-label={`Select ${delivery.event} ${delivery.eventId}`}
    />
  ),
};

type Pending = Pick<DeliveryView, "nextAttemptAtMs" | "waitingFor">;

export function NextAttempt({ delivery: { nextAttemptAtMs, waitingFor } }: { delivery: Pending }) {
  if (nextAttemptAtMs !== null) return <Time ms={nextAttemptAtMs} isAhead />;
  return WAITS[waitingFor ?? "hold"].short;
}

export function WaitingSentence({ delivery }: { delivery: Pending }) {
  const { nextAttemptAtMs, waitingFor } = delivery;
  if (nextAttemptAtMs === null) return WAITS[waitingFor ?? "hold"].sentence;
  return (
    <>
      The next attempt is <Time ms={nextAttemptAtMs} isAhead />
      {waitingFor === "retry_after" && ": the service asked for a pause until then"}
      {waitingFor === "probe" && ": the webhook is probing, and this one is its probe"}
      {waitingFor === "rate_limit" && ", by the rate limit"}.
    </>
  );
}
