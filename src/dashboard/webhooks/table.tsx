/** Webhooks as the rows of a table, with their states and their numbers. */
import { ALL_EVENTS, type Webhook } from "../../domain/webhook";
import type { WebhookStats } from "../../operations/stats";
import { duration, number, share } from "../ui/format";
import {
  Badge,
  type Column,
  Empty,
  link,
  shortUrl,
  Table,
  WebhookLink,
  webhookName,
} from "../ui/parts";
import { WEBHOOKS_PATH } from "../ui/paths";
import { useViewer } from "../ui/session";
import { Time } from "../ui/time";
import { hasProblem, type Listed, StateBadge, type Watched } from "./problem";

const EVENTS_LISTED = 3;

/** @param listed those that need somebody first. */
export function WebhookTable({ listed }: { listed: readonly Listed[] }) {
  if (listed.length === 0) return <NoWebhooks />;
  return (
    <Table
      label="Webhooks, those that need attention first"
      columns={COLUMNS}
      rows={listed}
      keyOf={({ webhook }) => webhook.id}
    />
  );
}

export function NoWebhooks() {
  return (
    <Empty>
      <p>No webhook is registered, so nothing is delivered yet. Events are recorded meanwhile.</p>
      <p>
        {useViewer().mayChange
          ? link(`${WEBHOOKS_PATH}/new`, "Register the first one")
          : "Somebody with a key that may change things has to register one."}
      </p>
    </Empty>
  );
}

/** What its name does not say of it: where it leads, or which it is. */
function Below({ webhook }: { webhook: Webhook }) {
  const [name, url] = [webhookName(webhook), shortUrl(webhook.url)];
  const text = [url, webhook.id].find((each) => !name.includes(each));
  return text !== undefined && <small class="quiet below">{text}</small>;
}

function numeric(head: string, of: (stats: WebhookStats) => string): Column<Listed> {
  return { head, cell: ({ stats }) => (stats === null ? "–" : of(stats)), isNumber: true };
}

/** Since when it is well by its state is not since when it has a problem. */
function isTroubled(watched: Watched): boolean {
  return hasProblem(watched) && watched.stats.health.state !== "healthy";
}

const COLUMNS: readonly Column<Listed>[] = [
  {
    head: "Webhook",
    cell: ({ webhook }) => [<WebhookLink webhook={webhook} />, <Below webhook={webhook} />],
    class: "name",
    isHeader: true,
  },
  {
    head: "State",
    cell: ({ webhook, stats }) =>
      stats === null ? (
        <Badge tone="bad">does not answer</Badge>
      ) : (
        [
          <StateBadge watched={{ webhook, stats }} />,
          isTroubled({ webhook, stats }) && stats.health.sinceMs !== null && (
            <small class="below">
              since <Time ms={stats.health.sinceMs} isSince />
            </small>
          ),
        ]
      ),
  },
  numeric("Pending", ({ health }) => number(health.pending)),
  numeric("Delivered", ({ delivered }) => number(delivered)),
  numeric("Success", ({ successRate }) => share(successRate)),
  numeric("p95", ({ latencyMs }) => duration(latencyMs.p95)),
  {
    head: "Events",
    cell: ({ webhook: { events, filter } }) => [
      <EventNames events={events} />,
      filter !== null && <small class="quiet below">filtered</small>,
    ],
    class: "breaks",
  },
];

function EventNames({ events }: { events: readonly string[] }) {
  if (events.includes(ALL_EVENTS)) return "every event";
  const more = events.length - EVENTS_LISTED;
  return [
    events.slice(0, EVENTS_LISTED).map((name) => <code class="below">{name}</code>),
    more > 0 && <small class="quiet">and {more} more</small>,
  ];
}
