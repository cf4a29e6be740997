/** Deliveries as the rows of a table. */
import type { DeliveryView } from "../../domain/delivery";
import type { Webhook } from "../../domain/webhook";
import { DeliveryBadge, deliveryPath, Table, WebhookLink } from "../ui/parts";
import { Time } from "../ui/time";
import { LastOutcome } from "./attempts";

type DeliveryRowsProps = {
  deliveries: readonly DeliveryView[];
  webhooks: readonly Webhook[];
  zone: string;
  mayChange: boolean;
};

/** `mayChange`: each row can be ticked; the form around it gets them as `delivery`. */
export function DeliveryRows({ deliveries, webhooks, zone, mayChange }: DeliveryRowsProps) {
  const byId = new Map<string, Webhook>(webhooks.map((webhook) => [webhook.id, webhook]));
  const head = ["Event", "Status", "Webhook", "Attempts", "Last outcome", "Arrived", "Next or end"];
  const select = <span class="unseen">Select</span>;
  return (
    <Table label="Deliveries" head={mayChange ? [select, ...head] : head}>
      {deliveries.map((delivery) => (
        <Row
          delivery={delivery}
          webhook={byId.get(delivery.webhookId)}
          zone={zone}
          mayChange={mayChange}
        />
      ))}
    </Table>
  );
}

type RowProps = {
  delivery: DeliveryView;
  webhook: Webhook | undefined;
  zone: string;
  mayChange: boolean;
};

function Row({ delivery, webhook, zone, mayChange }: RowProps) {
  const { webhookId, eventId, event, status, attempts, createdAtMs } = delivery;
  const key = `${webhookId}/${eventId}`;
  return (
    <tr data-row={key}>
      {mayChange && (
        <td>
          <input
            type="checkbox"
            name="delivery"
            value={key}
            aria-label={`Select ${event} ${eventId}`}
          />
        </td>
      )}
      <td>
        <a class="named" href={deliveryPath(webhookId, eventId)}>
          {event}
          <br />
          <code>{eventId}</code>
        </a>
      </td>
      <td>
        <DeliveryBadge status={status} />
      </td>
      <td class="breaks">
        {webhook === undefined ? webhookId : <WebhookLink webhook={webhook} />}
      </td>
      <td class="number">{attempts}</td>
      <td>
        <LastOutcome delivery={delivery} />
      </td>
      <td>
        <Time ms={createdAtMs} zone={zone} />
      </td>
      <td>
        <NextOrEnded delivery={delivery} zone={zone} />
      </td>
    </tr>
  );
}

function NextOrEnded({ delivery, zone }: { delivery: DeliveryView; zone: string }) {
  const { status, nextAttemptAtMs, completedAtMs } = delivery;
  if (status !== "pending") return <Time ms={completedAtMs} zone={zone} />;
  if (nextAttemptAtMs === null) return <>held</>;
  return nextAttemptAtMs <= Date.now() ? <>now</> : <Time ms={nextAttemptAtMs} zone={zone} />;
}
