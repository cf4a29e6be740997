/** /dashboard/webhooks/{id}/attempts: what a webhook's service was asked and answered. */
import { Hono } from "hono";
import { formatPosition, parsePosition } from "../../contract/cursor";
import type { AttemptRecord, DeliveryView } from "../../domain/delivery";
import type { Webhook } from "../../domain/webhook";
import { findDelivery, listDeliveries } from "../../operations/deliveries";
import { answerOf, type Unanswered } from "../../operations/objects";
import { ownStats } from "../../operations/stats";
import type { Position } from "../../storage/position";
import { duration } from "../ui/format";
import { listPage } from "../ui/list";
import { showFailure } from "../ui/page";
import { type Column, Empty, Table } from "../ui/parts";
import { deliveryCall, deliveryPath, webhookPath } from "../ui/paths";
import type { PageContext, PageEnv } from "../ui/session";
import { Time } from "../ui/time";
import { namedWebhook, trailOf, WEBHOOK } from "../webhooks/named-webhook";
import { AttemptBadge } from "./attempts";
import { EVENT } from "./delivery-rows";

/**
 * Each is a call to the webhook's object, for its log. Attempts stand in the rows of their deliveries, which are in
 * the order of arrival: one order of all attempts would be a row more to write for each of them.
 */
const DELIVERIES_PER_PAGE = 20;

type Row = Pick<DeliveryView, "webhookId" | "eventId" | "event"> & { attempt: AttemptRecord };

export const attemptPages = new Hono<PageEnv>().get(`${WEBHOOK}/attempts`, async (c) => {
  const webhook = await namedWebhook(c);
  if (webhook === null) return showFailure(c, { code: "not_found" });
  return listPage(c, {
    title: "Attempts",
    trail: trailOf(webhook),
    path: `${webhookPath(webhook.id)}/attempts`,
    region: "attempts",
    parseCursor: parsePosition,
    find: async (_, before) => {
      const unanswered: Unanswered[] = [];
      const ask = () => find(c, webhook, before);
      const found = await answerOf(`Subscriber ${webhook.id}`, ask, unanswered);
      const told = found ?? { rows: [], deliveries: [], last: null, next: null };
      return { ...told, unanswered, webhooks: [webhook] };
    },
    json: (_, { deliveries }) => [
      `/v1/webhooks/${webhook.id}/deliveries?attempted=true&limit=${DELIVERIES_PER_PAGE}`,
      ...deliveries.map(deliveryCall),
      `/v1/webhooks/${webhook.id}/health`,
    ],
    intro: () => (
      <p class="quiet">
        A page has the attempts at {DELIVERIES_PER_PAGE} deliveries, those received last on the
        first; within a page the newest attempt stands first. What was received earlier is on a
        later page, however lately it was tried.
      </p>
    ),
    show: ({ rows, last, unanswered }) =>
      rows.length === 0 ? (
        unanswered.length === 0 && <Empty>Nothing was tried yet.</Empty>
      ) : (
        <>
          {last !== null && !rows.some(({ eventId }) => eventId === last.eventId) && (
            <p>
              The last failure, <Time ms={last.atMs} />, was of{" "}
              <a href={deliveryPath(webhook.id, last.eventId)}>a delivery</a> on another page.
            </p>
          )}
          <Table
            label="Attempts"
            columns={COLUMNS}
            rows={rows}
            keyOf={({ eventId, attempt }) => `${eventId}/${attempt.number}`}
          />
        </>
      ),
  });
});

async function find(c: PageContext, webhook: Webhook, before: Position | null) {
  const { deliveries, next } = await listDeliveries(
    c.env,
    webhook,
    { attempted: true },
    { before, limit: DELIVERIES_PER_PAGE },
  );
  const [{ health }, ...logged] = await Promise.all([
    ownStats(c.env, webhook.id, Date.now()),
    ...deliveries.map(({ eventId }) => findDelivery(c.env, webhook, eventId)),
  ]);
  const rows = logged
    .filter((each) => each !== null)
    .flatMap(({ webhookId, eventId, event, attemptLog }) =>
      attemptLog.map((attempt): Row => ({ webhookId, eventId, event, attempt })),
    )
    .sort((a, b) => b.attempt.startedAtMs - a.attempt.startedAtMs);
  return { rows, deliveries, last: health.lastFailure, next: next && formatPosition(next) };
}

const COLUMNS: readonly Column<Row>[] = [
  { head: "Started", cell: ({ attempt }) => <Time ms={attempt.startedAtMs} /> },
  { head: "Answer", cell: ({ attempt }) => <AttemptBadge attempt={attempt} /> },
  { head: "Took", cell: ({ attempt }) => duration(attempt.durationMs), isNumber: true },
  {
    head: "Attempt",
    cell: ({ attempt: { number, trigger } }) => (
      <>
        {number}
        {trigger === "manual" && <small class="quiet"> by hand</small>}
      </>
    ),
  },
  EVENT,
];
