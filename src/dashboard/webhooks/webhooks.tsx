/** /dashboard/webhooks: the list, and a webhook's page. */
import { Hono } from "hono";
import { configurationOf } from "../../contract/configured";
import { listedWebhook } from "../../contract/webhooks";
import type { DeliveryView } from "../../domain/delivery";
import { parseEventId } from "../../domain/ids";
import { maskQuery } from "../../domain/target";
import { ALL_EVENTS, isListener, type Webhook } from "../../domain/webhook";
import { listDeliveries } from "../../operations/deliveries";
import { answerOf, type Unanswered } from "../../operations/objects";
import { webhookStats } from "../../operations/stats";
import { allWebhooks, findWebhook } from "../../operations/webhooks";
import { DeliveryRows } from "../deliveries/delivery-rows";
import { perSecond } from "../ui/format";
import { page, showFailure } from "../ui/page";
import { Code, Empty, Facts, foreign, link, Panel, toldApart, webhookName } from "../ui/parts";
import { deliveriesPath, deliveryCall, statsCall, WEBHOOKS_PATH, webhookPath } from "../ui/paths";
import { mayChange, type PageContext, type PageEnv, useViewer } from "../ui/session";
import { Time } from "../ui/time";
import { NotHere, Unknown } from "../ui/unanswered";
import { type Answer, attemptsOf, failureOf, newestEnded } from "./ended";
import { type Condition, Controls, Health, Numbers } from "./health";
import { PACED_OVER_MS } from "./late";
import { namedWebhook, WEBHOOK } from "./named-webhook";
import { relaysOwn } from "./pace";
import { byUrgency, hasProblem, hasStumbled, isFailing, type Watched } from "./problem";
import { WebhookTable } from "./table";
import { TestForm } from "./test";

const DELIVERIES_SHOWN = 10;

const lookBackMs = () => Date.now() - PACED_OVER_MS;

export const webhookPages = new Hono<PageEnv>()
  .get("/", async (c) => {
    const webhooks = toldApart(await allWebhooks(c.env));
    const unanswered: Unanswered[] = [];
    const listed = await listAll(c, webhooks, unanswered);
    return page(
      c,
      { title: "Webhooks", live: true, json: ["/v1/webhooks?limit=250", statsCall(lookBackMs())] },
      <>
        {mayChange(c) && (
          <p class="actions">
            {link(`${WEBHOOKS_PATH}/new`, "Register a webhook", "button primary")}
          </p>
        )}
        <div id="list" data-live>
          <NotHere unanswered={unanswered} webhooks={webhooks} />
          <WebhookTable listed={listed} />
          {listed.length > 0 && (
            <p class="quiet">Pending is what waits now; the other numbers are of the last day.</p>
          )}
        </div>
      </>,
    );
  })
  .get(WEBHOOK, async (c) => {
    const webhook = await namedWebhook(c);
    if (webhook === null) return showFailure(c, { code: "not_found" });
    const unanswered: Unanswered[] = [];
    const ask = () => conditionOf(c, webhook);
    const condition = await answerOf(`Subscriber ${webhook.id}`, ask, unanswered);
    const answer = condition?.answer;
    const call = `/v1/webhooks/${webhook.id}`;
    return page(
      c,
      {
        title: webhookName(webhook),
        trail: [["Webhooks", WEBHOOKS_PATH]],
        live: true,
        json: [
          call,
          statsCall(lookBackMs()),
          `${call}/deliveries?limit=${DELIVERIES_SHOWN}`,
          ...(answer ? [deliveryCall({ webhookId: webhook.id, eventId: answer.eventId })] : []),
        ],
      },
      <Whole {...{ webhook, condition, unanswered, own: relaysOwn(c.env) }} />,
    );
  })
  // By its name, as the API knows it too, however it is spelled, and whatever is below; `new` is another page.
  .get("/:name{(?!new$)[a-z][a-z0-9-]{0,62}}/*", async (c) => {
    const webhook = await findWebhook(c.env, c.req.param("name"));
    if (webhook === null) return showFailure(c, { code: "not_found" });
    const { pathname, search } = new URL(c.req.url);
    const below = pathname.replace(/^(\/[^/]+){3}/, "");
    return c.redirect(`${webhookPath(webhook.id)}${below}${search}`, 303);
  });

/** Those that need attention first, then the newest. One call to each webhook's object. */
async function listAll(c: PageContext, webhooks: readonly Webhook[], unanswered: Unanswered[]) {
  const listed = await Promise.all(
    webhooks.map(async (webhook) => {
      const ask = () => webhookStats(c.env, webhook.id, lookBackMs());
      const answer = await answerOf(`Subscriber ${webhook.id}`, ask, unanswered);
      return { webhook, stats: answer?.stats ?? null };
    }),
  );
  return byUrgency(listed);
}

async function conditionOf(c: PageContext, webhook: Webhook): Promise<Condition> {
  const [{ stats, hours }, { deliveries }] = await Promise.all([
    webhookStats(c.env, webhook.id, lookBackMs()),
    listDeliveries(c.env, webhook, {}, { before: null, limit: DELIVERIES_SHOWN }),
  ]);
  const ended = stats.health.undeliverable === 0 ? null : await newestEnded(c.env, webhook);
  const watched = { webhook, stats, ended: ended?.attempt ?? null };
  const failed = await lastFailure(c.env, watched);
  return {
    ...watched,
    isGone: failed === null,
    hours,
    answer: (await triedAnswer(c, watched)) ?? failed ?? ended,
    recent: deliveries,
  };
}

/** Of what was tried, whatever came of it, until a later failure: the address names it for good. */
async function triedAnswer(c: PageContext, { webhook, stats }: Watched): Promise<Answer | null> {
  const tried = parseEventId(c.req.query("tried") ?? "");
  const attempt = tried && (await attemptsOf(c.env, webhook, tried)).at(-1);
  const failedAtMs = stats.health.lastFailure?.atMs ?? 0;
  if (!attempt || attempt.startedAtMs + attempt.durationMs < failedAtMs) return null;
  return { title: "The last attempt at this delivery", eventId: tried, attempt };
}

/** While there is a problem or it was what came last; of one that does not fail now, only where nothing stopped retrying. */
async function lastFailure(env: Env, watched: Watched): Promise<Answer | null> {
  const { state, lastFailure: last } = watched.stats.health;
  if (last === null || !(hasProblem(watched) || hasStumbled(watched))) return null;
  if (watched.ended != null && !isFailing(watched) && state !== "disabled") return null;
  return failureOf(env, watched.webhook, { eventId: last.eventId, title: "The last failure" });
}

type WholeProps = {
  webhook: Webhook;
  own: ReturnType<typeof relaysOwn>;
  /** null where its object, which then is all that is unanswered, does not say. */
  condition: Condition | null;
  unanswered: readonly Unanswered[];
};

function Whole({ webhook, own, condition, unanswered }: WholeProps) {
  return [
    <div id="health" data-live>
      <NotHere unanswered={unanswered} webhooks={[webhook]} />
      {condition === null ? (
        <Controls webhook={webhook} watched={null} />
      ) : (
        <Health condition={condition} />
      )}
    </div>,
    <h2>The last day</h2>,
    <div id="numbers" data-live>
      {condition === null ? <Unknown /> : <Numbers condition={condition} />}
    </div>,
    <div class="head spaced">
      <h2>Latest deliveries</h2>
      <span>
        <a href={deliveriesPath(webhook)}>All its deliveries</a> ·{" "}
        <a href={`${webhookPath(webhook.id)}/attempts`}>All its attempts</a>
      </span>
    </div>,
    <div id="deliveries" data-live>
      {condition === null ? <Unknown /> : <Latest deliveries={condition.recent} />}
    </div>,
    <div id="set" class="columns spaced" data-live>
      <Settings webhook={webhook} own={own} />
      {useViewer().mayChange && <Tools webhook={webhook} />}
    </div>,
  ];
}

function Latest({ deliveries }: { deliveries: readonly DeliveryView[] }) {
  if (deliveries.length === 0) {
    return (
      <Empty>
        <p>
          It has no delivery yet, or none that is still kept. What came before it was registered is
          not sent to it by itself.
        </p>
        <p>
          <a href="/dashboard/events">Look at the events</a> that came: each says whether it
          matches, and why.
        </p>
      </Empty>
    );
  }
  return <DeliveryRows deliveries={deliveries} webhooks={null} />;
}

function Settings({ webhook, own }: Pick<WholeProps, "webhook" | "own">) {
  const { mayChange } = useViewer();
  const { url, events, filter, headers, rateLimit, ordered, retrySchedule, giveUpOn } = webhook;
  const names = Object.keys(headers);
  const none = (text: string) => <span class="quiet">{text}</span>;
  const relays = (value: string | null) => none(`${value ?? "–"}, as the relay's own`);
  const shownFilter = filter && <Code label="The filter" text={JSON.stringify(filter, null, 2)} />;
  const shownHeaders = [<code>{names.join(", ")}</code>, " ", none("values are never shown")];
  const edit = mayChange && <a href={`${webhookPath(webhook.id)}/edit`}>Edit the settings</a>;
  return (
    <Panel id="settings" title="Settings" action={edit}>
      <Facts
        of={[
          isCut(webhook) && ["Description", foreign(webhook.description ?? "")],
          ["Name", webhook.name === null ? none("none") : <code>{webhook.name}</code>],
          ["URL", <code>{maskQuery(url)}</code>],
          ["Events", events.includes(ALL_EVENTS) ? "every event" : <code>{events.join(" ")}</code>],
          ["Filter", shownFilter ?? none("none: each of them")],
          ["Headers", names.length === 0 ? none("none of its own") : shownHeaders],
          ["Order", ordered ? "one at a time, in the order of arrival" : "as fast as it answers"],
          ["Rate limit", rateLimit === null ? none("none") : perSecond(rateLimit)],
          ["At once", ordered ? "1" : webhook.concurrency],
          ["Time to answer", webhook.timeout ?? relays(own.timeout)],
          ["Retries after", retrySchedule ?? relays(own.retrySchedule)],
          ["Gives up on", giveUpOn.length === 0 ? none("no status at once") : giveUpOn.join(", ")],
          ["Id", <code>{webhook.id}</code>],
          ["Registered", <Dates webhook={webhook} />],
        ]}
      />
      <AsConfiguration webhook={webhook} />
    </Panel>
  );
}

/** The webhook as the file of `npm run apply` would have it. */
function AsConfiguration({ webhook }: { webhook: Webhook }) {
  if (isListener(webhook)) return null;
  const json = JSON.stringify(configurationOf(listedWebhook(webhook)), null, 2);
  return (
    <details id="configuration">
      <summary>As configuration</summary>
      {webhook.name === null ? (
        <p class="quiet">A webhook is kept in a file by its name: give it one first.</p>
      ) : (
        [
          <p class="quiet">
            For the file of <code>npm run apply</code>. Values of headers come from the environment;
            the query of a URL is not shown.
          </p>,
          <Code label="The webhook as configuration" text={json} />,
        ]
      )}
    </details>
  );
}

function Dates({ webhook: { createdAtMs, updatedAtMs } }: { webhook: Webhook }) {
  if (updatedAtMs === createdAtMs) return <Time ms={createdAtMs} />;
  return [<Time ms={createdAtMs} />, ", changed ", <Time ms={updatedAtMs} />];
}

/** The description says more than the heading has room for. */
function isCut(webhook: Webhook): boolean {
  const whole = webhook.description?.trim() ?? "";
  return whole !== "" && webhookName(webhook) !== whole;
}

function Tools({ webhook }: { webhook: Webhook }) {
  const { nowMs } = useViewer();
  const ends = webhook.secrets.map(({ expiresAtMs }) => expiresAtMs ?? 0);
  // What has run out stays in the list until the next rotation.
  const older = ends.filter((ms) => ms > nowMs);
  const path = webhookPath(webhook.id);
  return (
    <div>
      <Panel id="test" title="Send a test">
        <p class="quiet">
          A signed example goes out at once, even while it is paused. Nothing is counted or retried.
        </p>
        <TestForm webhook={webhook} />
      </Panel>
      <Panel id="secret" title="Signing secret">
        <p class="quiet">
          {older.length > 0 ? (
            <>
              {older.length === 1 ? "An older one signs" : `${older.length} older ones sign`} along
              until the grace period ends: <Time ms={Math.max(...older)} isAhead />.
            </>
          ) : (
            "It was shown once, when it was made. Who lost it, or fears that others know it, rotates it."
          )}
        </p>
        <p class="actions">{link(`${path}/rotate`, "Rotate the secret…", "button")}</p>
      </Panel>
      <Panel id="end" title="Delete">
        <p class="quiet">For good, with what waits for it.</p>
        <p class="actions">{link(`${path}/delete`, "Delete the webhook…", "button danger")}</p>
      </Panel>
    </div>
  );
}
