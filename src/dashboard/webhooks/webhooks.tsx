/** /dashboard/webhooks: the list, and a webhook's page. */
import { Hono } from "hono";
import { configOf } from "../../config";
import { formatSchedule } from "../../domain/schedule";
import { maskQuery } from "../../domain/target";
import { ALL_EVENTS, type Webhook } from "../../domain/webhook";
import { subscriberOf } from "../../operations/objects";
import { webhookStats } from "../../operations/stats";
import { allWebhooks } from "../../operations/webhooks";
import { LastOutcome } from "../deliveries/attempts";
import { urgencyOf, type Watched } from "../overview/trouble";
import { page, showFailure } from "../ui/page";
import {
  Code,
  DeliveryBadge,
  deliveryPath,
  Empty,
  eventPath,
  shortUrl,
  Table,
  WebhookLink,
  WebhookStatus,
  webhookName,
  webhookPath,
} from "../ui/parts";
import { mayChange, type PageContext, type PageEnv } from "../ui/session";
import { duration, Time } from "../ui/time";
import { type Condition, deliveriesPath, Health, HealthActions, Numbers, share } from "./health";
import { namedWebhook, WEBHOOKS_PATH } from "./named-webhook";
import { TestForm } from "./test";

const HOUR_MS = 3_600_000;
/** With the running hour, 24 of them. */
const LOOK_BACK_MS = 23 * HOUR_MS;
const DELIVERIES_SHOWN = 10;
/** Names of events in a row of the list. */
const EVENTS_LISTED = 3;

export const webhookPages = new Hono<PageEnv>()
  .get("/", async (c) => {
    const watched = await watchAll(c);
    return page(
      c,
      { title: "Webhooks", live: true },
      <>
        {mayChange(c) && (
          <p class="actions">
            <a class="button primary" href={`${WEBHOOKS_PATH}/new`}>
              Register a webhook
            </a>
          </p>
        )}
        <div id="list" data-live>
          {watched.length === 0 ? (
            <NoWebhooks mayChange={mayChange(c)} />
          ) : (
            <List watched={watched} zone={c.get("zone")} />
          )}
        </div>
      </>,
    );
  })
  // Only what can be an id: /new and the like are other pages.
  .get("/:id{wh_[0-9A-Z]{26}}", async (c) => {
    const webhook = await namedWebhook(c);
    if (webhook === null) return showFailure(c, { code: "not_found" });
    const condition = await conditionOf(c, webhook);
    return page(
      c,
      { title: webhookName(webhook), trail: [["Webhooks", WEBHOOKS_PATH]], live: true },
      <Whole condition={condition} mayChange={mayChange(c)} />,
    );
  });

/** Those that need attention first, then the newest. One call to each webhook's object. */
async function watchAll(c: PageContext): Promise<Watched[]> {
  const nowMs = Date.now();
  const webhooks = await allWebhooks(c.env);
  const watched = await Promise.all(
    webhooks.map(async (webhook) => {
      const { stats } = await webhookStats(c.env, webhook.id, nowMs - LOOK_BACK_MS);
      return { webhook, stats };
    }),
  );
  return watched.sort((a, b) => urgencyOf(a, nowMs) - urgencyOf(b, nowMs));
}

async function conditionOf(c: PageContext, webhook: Webhook): Promise<Condition> {
  const { delivery } = configOf(c.env);
  const [{ stats, hours }, { deliveries }] = await Promise.all([
    webhookStats(c.env, webhook.id, Date.now() - LOOK_BACK_MS),
    subscriberOf(c.env, webhook.id).deliveries({ limit: DELIVERIES_SHOWN }),
  ]);
  return {
    webhook,
    stats,
    hours,
    recent: deliveries,
    timeoutMs: delivery?.timeoutMs ?? null,
    ownWaits: delivery === null ? null : formatSchedule(delivery.retryScheduleMs),
    zone: c.get("zone"),
  };
}

function NoWebhooks({ mayChange }: { mayChange: boolean }) {
  return (
    <Empty>
      <p>No webhook is registered, so no event goes anywhere yet. Events are recorded meanwhile.</p>
      <p>
        {mayChange ? (
          <a href={`${WEBHOOKS_PATH}/new`}>Register the first one</a>
        ) : (
          "Somebody with a key that may change things has to register one."
        )}
      </p>
    </Empty>
  );
}

function List({ watched, zone }: { watched: readonly Watched[]; zone: string }) {
  const head = [
    "Webhook",
    "Status",
    <span class="right">Pending</span>,
    "Oldest due",
    <span class="right">Delivered</span>,
    <span class="right">Undeliverable</span>,
    <span class="right">Success</span>,
    <span class="right">p95</span>,
    "Events",
  ];
  return (
    <>
      <Table label="Webhooks, those that need attention first" head={head}>
        {watched.map((each) => (
          <Row watched={each} zone={zone} />
        ))}
      </Table>
      <p class="quiet">
        Delivered, undeliverable, success and p95 are of the last day; those that need attention
        come first.
      </p>
    </>
  );
}

function Row({ watched: { webhook, stats }, zone }: { watched: Watched; zone: string }) {
  const isFailing = webhook.status === "active" && stats.failingSinceMs !== null;
  return (
    <tr data-row={webhook.id}>
      <th scope="row" class="name">
        <WebhookLink webhook={webhook} />
        {webhook.description?.trim() && <small class="quiet below">{shortUrl(webhook.url)}</small>}
      </th>
      <td>
        <WebhookStatus webhook={webhook} />
        {isFailing && (
          <small class="wrong below">
            first failed <Time ms={stats.failingSinceMs} zone={zone} />
          </small>
        )}
      </td>
      <td class="number">{stats.pending.toLocaleString("en")}</td>
      <td>
        <Time ms={stats.oldestDueAtMs} zone={zone} />
      </td>
      <td class="number">{stats.delivered.toLocaleString("en")}</td>
      <td class={stats.undeliverable > 0 ? "number wrong" : "number"}>
        {stats.undeliverable.toLocaleString("en")}
      </td>
      <td class="number">{share(stats.successRate)}</td>
      <td class="number">{duration(stats.latencyMs.p95)}</td>
      <td>
        <EventNames events={webhook.events} />
        {webhook.filter !== null && <small class="quiet below">filtered</small>}
      </td>
    </tr>
  );
}

function EventNames({ events }: { events: readonly string[] }) {
  if (events.includes(ALL_EVENTS)) return <>every event</>;
  const more = events.length - EVENTS_LISTED;
  return (
    <>
      {events.slice(0, EVENTS_LISTED).map((name) => (
        <code class="below">{name}</code>
      ))}
      {more > 0 && <small class="quiet">and {more} more</small>}
    </>
  );
}

function Whole({ condition, mayChange }: { condition: Condition; mayChange: boolean }) {
  const { webhook } = condition;
  return (
    <>
      <div id="health" data-live>
        <Health
          condition={condition}
          actions={mayChange ? <HealthActions webhook={webhook} /> : null}
        />
      </div>
      <h2>The last day</h2>
      <div id="numbers" data-live>
        <Numbers condition={condition} />
      </div>
      <div class="head spaced">
        <h2>Latest deliveries</h2>
        <a href={deliveriesPath(webhook)}>All its deliveries</a>
      </div>
      <div id="deliveries" data-live>
        <Latest condition={condition} />
      </div>
      <div class="columns spaced">
        <Settings condition={condition} mayChange={mayChange} />
        {mayChange && <Tools webhook={webhook} />}
      </div>
    </>
  );
}

function Latest({ condition: { webhook, recent, zone } }: { condition: Condition }) {
  if (recent.length === 0) {
    return (
      <Empty>
        <p>No delivery yet: no event came that it asks for.</p>
        <p>
          <a href="/dashboard/events">Look at the events</a> that came: each says why it did not
          match.
        </p>
      </Empty>
    );
  }
  return (
    <Table
      label="Its latest deliveries"
      head={["Event", "Status", "Attempts", "Last answer", "Arrived", "Next attempt"]}
    >
      {recent.map((delivery) => (
        <tr data-row={delivery.eventId}>
          <th scope="row" class="name">
            <a href={deliveryPath(webhook.id, delivery.eventId)}>{delivery.event}</a>
            <small class="quiet below">
              <a class="quiet" href={eventPath(delivery.eventId)}>
                {delivery.eventId}
              </a>
            </small>
          </th>
          <td>
            <DeliveryBadge status={delivery.status} />
          </td>
          <td>{delivery.attempts}</td>
          <td>
            <LastOutcome delivery={delivery} />
          </td>
          <td>
            <Time ms={delivery.createdAtMs} zone={zone} />
          </td>
          <td>
            <Time
              ms={delivery.nextAttemptAtMs}
              zone={zone}
              none={delivery.status === "pending" ? "held" : "–"}
            />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function Settings({ condition, mayChange }: { condition: Condition; mayChange: boolean }) {
  const { webhook, zone } = condition;
  const { url, events, filter, headers, rateLimit, ordered, retrySchedule } = webhook;
  const names = Object.keys(headers);
  const { ownWaits } = condition;
  return (
    <section class="panel" aria-labelledby="settings">
      <div class="head">
        <h2 id="settings">Settings</h2>
        {mayChange && <a href={`${webhookPath(webhook.id)}/edit`}>Edit the settings</a>}
      </div>
      <dl class="facts">
        <dt>URL</dt>
        <dd>
          <code>{maskQuery(url)}</code>
        </dd>
        <dt>Events</dt>
        <dd>{events.includes(ALL_EVENTS) ? "every event" : <code>{events.join(" ")}</code>}</dd>
        <dt>Filter</dt>
        <dd>
          {filter === null ? (
            <span class="quiet">none: each of them</span>
          ) : (
            <Code label="The filter" text={JSON.stringify(filter, null, 2)} />
          )}
        </dd>
        <dt>Headers</dt>
        <dd>
          {names.length === 0 ? (
            <span class="quiet">none of its own</span>
          ) : (
            <>
              <code>{names.join(", ")}</code> <span class="quiet">values are never shown</span>
            </>
          )}
        </dd>
        <dt>Order</dt>
        <dd>{ordered ? "one at a time, in the order of arrival" : "as fast as it answers"}</dd>
        <dt>Rate limit</dt>
        <dd>{rateLimit === null ? <span class="quiet">none</span> : `${rateLimit} a second`}</dd>
        <dt>Retries after</dt>
        <dd>{retrySchedule ?? <span class="quiet">{ownWaits ?? "–"}, as the relay's own</span>}</dd>
        <dt>Id</dt>
        <dd>
          <code>{webhook.id}</code>
        </dd>
        <dt>Registered</dt>
        <dd>
          <Time ms={webhook.createdAtMs} zone={zone} />, changed{" "}
          <Time ms={webhook.updatedAtMs} zone={zone} />
        </dd>
      </dl>
    </section>
  );
}

function Tools({ webhook }: { webhook: Webhook }) {
  const path = webhookPath(webhook.id);
  return (
    <div>
      <section class="panel" aria-labelledby="test">
        <h2 id="test">Send a test</h2>
        <p class="quiet">
          A signed example goes out at once, even while it is paused. Nothing is counted or retried.
        </p>
        <TestForm webhook={webhook} />
      </section>
      <section class="panel" aria-labelledby="secret">
        <h2 id="secret">Signing secret</h2>
        <p class="quiet">
          {webhook.secrets.length > 1
            ? "Several sign along until the grace period of the older ones ends."
            : "It was shown once, when it was made. Who lost it, or fears that others know it, rotates it."}
        </p>
        <p class="actions">
          <a class="button" href={`${path}/rotate`}>
            Rotate the secret…
          </a>
        </p>
      </section>
      <section class="panel" aria-labelledby="end">
        <h2 id="end">Delete</h2>
        <p class="quiet">For good, with what waits for it.</p>
        <p class="actions">
          <a class="button danger" href={`${path}/delete`}>
            Delete the webhook…
          </a>
        </p>
      </section>
    </div>
  );
}
