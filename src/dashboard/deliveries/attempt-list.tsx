/** /dashboard/webhooks/{id}/attempts: what a webhook's service was asked and answered. */
import { Hono } from "hono";
import { formatAttemptPlace, parseAttemptPlace } from "../../contract/cursor";
import type { LastFailure } from "../../domain/health";
import type { Webhook } from "../../domain/webhook";
import { findDelivery } from "../../operations/deliveries";
import { answerOf, subscriberOf, type Unanswered } from "../../operations/objects";
import { ownStats } from "../../operations/stats";
import type { AttemptPlace, ListedAttempt } from "../../storage/attempt-list";
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

const ATTEMPTS_PER_PAGE = 50;

type Row = ListedAttempt & { webhookId: string };

export const attemptPages = new Hono<PageEnv>().get(`${WEBHOOK}/attempts`, async (c) => {
  const webhook = await namedWebhook(c);
  if (webhook === null) return showFailure(c, { code: "not_found" });
  return listPage(c, {
    title: "Attempts",
    trail: trailOf(webhook),
    path: `${webhookPath(webhook.id)}/attempts`,
    region: "attempts",
    parseCursor: parseAttemptPlace,
    find: async (_, before) => {
      const unanswered: Unanswered[] = [];
      const ask = () => find(c, webhook, before);
      const found = await answerOf(`Subscriber ${webhook.id}`, ask, unanswered);
      const told = found ?? { rows: [], last: null, isKept: false, next: null };
      return { ...told, unanswered, webhooks: [webhook] };
    },
    json: (_, { rows }) => [
      null,
      ...[...new Set(rows.map(deliveryCall))],
      `/v1/webhooks/${webhook.id}/health`,
    ],
    intro: () => <p class="quiet">Newest first.</p>,
    show: ({ rows, last, isKept, next, unanswered }, { isFirstPage }) => [
      last !== null && (
        <p>
          The last failure, <Time ms={last.atMs} />, was of{" "}
          {isKept
            ? [<a href={deliveryPath(webhook.id, last.eventId)}>a delivery</a>, " on another page."]
            : "a delivery that is not kept any more."}
        </p>
      ),
      rows.length > 0 ? (
        <Table
          label="Attempts"
          columns={COLUMNS}
          rows={rows}
          keyOf={({ eventId, attempt }) => `${eventId}/${attempt.number}`}
        />
      ) : (
        unanswered.length === 0 && (
          <Empty>{isFirstPage && next === null ? "Nothing was tried yet." : "None here."}</Empty>
        )
      ),
    ],
  });
});

/** `last` is the last failure, where it is on another page. */
async function find(c: PageContext, webhook: Webhook, before: AttemptPlace | null) {
  const { id } = webhook;
  const [{ attempts, next }, { health }] = await Promise.all([
    subscriberOf(c.env, id).attempts(before, ATTEMPTS_PER_PAGE),
    ownStats(c.env, id, Date.now()),
  ]);
  const rows = attempts.map((attempt): Row => ({ ...attempt, webhookId: id }));
  const { lastFailure } = health;
  const isHere = lastFailure === null || rows.some((row) => isOf(row, lastFailure));
  const last = isHere ? null : lastFailure;
  const isKept = last !== null && (await findDelivery(c.env, webhook, last.eventId)) !== null;
  return { rows, last, isKept, next: next && formatAttemptPlace(next) };
}

/** Whether it is the attempt that failed then: its delivery may have others. */
function isOf({ eventId, attempt }: Row, { atMs, eventId: failed }: LastFailure): boolean {
  const { error, startedAtMs, durationMs } = attempt;
  return eventId === failed && error !== null && startedAtMs + durationMs === atMs;
}

const COLUMNS: readonly Column<Row>[] = [
  { head: "Started", cell: ({ attempt }) => <Time ms={attempt.startedAtMs} /> },
  { head: "Answer", cell: ({ attempt }) => <AttemptBadge attempt={attempt} /> },
  { head: "Took", cell: ({ attempt }) => duration(attempt.durationMs), isNumber: true },
  {
    head: "Attempt",
    cell: ({ attempt: { number, trigger } }) => [
      number,
      trigger === "manual" && <small class="quiet"> by hand</small>,
    ],
  },
  EVENT,
];
