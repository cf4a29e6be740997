/** /dashboard: is everything all right? */
import { Hono } from "hono";
import type { Child } from "hono/jsx";
import { configOf } from "../../config";
import { countDeadLetters } from "../../operations/dead-letters";
import { listEvents } from "../../operations/journal";
import { type Stats, type Step, stats as statsSince } from "../../operations/stats";
import { allWebhooks } from "../../operations/webhooks";
import type { JournalEvent } from "../../storage/journal-store";
import { Chart } from "../ui/chart";
import { page } from "../ui/page";
import {
  Badge,
  count,
  Empty,
  eventPath,
  Table,
  WebhookLink,
  WebhookStatus,
  webhookName,
} from "../ui/parts";
import { mayChange, type PageContext, type PageEnv } from "../ui/session";
import { duration, exactTime, Time } from "../ui/time";
import { FirstSteps, type Progress } from "./first-steps";
import { firstHourMs, PERIODS, type Period, parsePeriod, stepsOf, sumOf } from "./period";
import { type Trouble, troublesOf, urgencyOf, type Watched } from "./trouble";

const DAY_MS = 86_400_000;
const NEWEST_EVENTS = 8;
const WEBHOOKS_SHOWN = 10;
const NAMES_SHOWN = 2;
/** What came in with the last event is shown with it. */
const SAME_MOMENT_MS = 1_000;

export const overview = new Hono<PageEnv>().get("/", async (c) => {
  const over = parsePeriod(c.req.query("over"));
  const look = await lookAt(c, over);
  return page(c, { title: "Overview", live: true }, <Overview look={look} over={over} />);
});

/** All that the page is made of. */
type Look = {
  nowMs: number;
  zone: string;
  stats: Stats;
  watched: readonly Watched[];
  troubles: readonly Trouble[];
  events: readonly JournalEvent[];
  deadLetters: number;
  /** null once the relay has a webhook and had an event. */
  progress: Progress | null;
};

/** The Registry first; then the Subscribers, the dead letters and the journals of the period at once. */
async function lookAt(c: PageContext, over: Period): Promise<Look> {
  const nowMs = Date.now();
  const zone = c.get("zone");
  const { problems, silenceAlertMs, signingSecrets } = configOf(c.env);
  const webhooks = await allWebhooks(c.env);
  const [stats, deadLetters] = await Promise.all([
    statsSince(c.env, firstHourMs(over, nowMs), webhooks),
    countDeadLetters(c.env),
  ]);
  const { lastEventAtMs } = stats;
  const watched = webhooks.flatMap((webhook) => {
    const its = stats.webhooks.find(({ id }) => id === webhook.id);
    return its === undefined ? [] : [{ webhook, stats: its }];
  });
  const period = PERIODS[over].counted;
  const situation = { nowMs, zone, problems, silenceAlertMs, watched, stats, deadLetters, period };
  const progress = {
    origin: new URL(c.req.url).origin,
    hasSecret: signingSecrets.length > 0,
    hasWebhook: webhooks.length > 0,
    hasEvent: lastEventAtMs !== null,
    mayChange: mayChange(c),
  };
  return {
    nowMs,
    zone,
    stats,
    watched,
    deadLetters,
    troubles: troublesOf(situation),
    events: lastEventAtMs === null ? [] : await newestEvents(c.env, lastEventAtMs),
    progress: progress.hasWebhook && progress.hasEvent ? null : progress,
  };
}

/** From the day of the last event and the one before it: two journals at most. */
async function newestEvents(env: Env, lastEventAtMs: number): Promise<JournalEvent[]> {
  const around = { sinceMs: lastEventAtMs - DAY_MS, untilMs: lastEventAtMs + SAME_MOMENT_MS };
  return (await listEvents(env, around, { cursor: null, limit: NEWEST_EVENTS })).events;
}

function Overview({ look, over }: { look: Look; over: Period }) {
  const { zone, progress } = look;
  const steps = stepsOf(look.stats, over);
  return (
    <>
      <div id="first-steps" data-live>
        {progress !== null && <FirstSteps {...progress} />}
      </div>
      <div id="condition" data-live>
        <Condition look={look} over={over} steps={steps} />
      </div>
      <section class="panel" aria-labelledby="flow-title">
        <div class="head">
          <h2 id="flow-title">In and out</h2>
          <Periods over={over} />
        </div>
        <div id="tiles" data-live>
          <Tiles look={look} steps={steps} />
        </div>
        <div id="chart" data-live>
          {steps.some(isBusy) ? (
            <Chart steps={steps} label={`Over ${PERIODS[over].words}`} zone={zone} />
          ) : (
            <p class="quiet">Nothing came in or went out in {PERIODS[over].words}.</p>
          )}
        </div>
      </section>
      <h2>Webhooks</h2>
      <div id="webhooks" data-live>
        <Webhooks look={look} />
      </div>
      <h2>Newest events</h2>
      <div id="events" data-live>
        <Events look={look} />
      </div>
    </>
  );
}

function isBusy({ events, delivered, failedAttempts }: Step): boolean {
  return events + delivered + failedAttempts > 0;
}

/** One sentence; when something is wrong, the most urgent first. */
function Condition({ look, over, steps }: { look: Look; over: Period; steps: readonly Step[] }) {
  const [first, ...others] = look.troubles;
  if (first !== undefined) {
    return (
      <div class={`notice ${look.troubles.some(({ tone }) => tone === "bad") ? "bad" : "warn"}`}>
        <p class="headline">{first.text}</p>
        {others.length > 0 && (
          <ul>
            {others.map(({ text }) => (
              <li>{text}</li>
            ))}
          </ul>
        )}
      </div>
    );
  }
  if (look.progress !== null) return null;
  const delivered = sumOf(steps, "delivered");
  return (
    <div class="notice good">
      <p class="headline">
        Everything is all right.{" "}
        {delivered === 0
          ? `Nothing had to be delivered in ${PERIODS[over].words}.`
          : `${count(delivered, "delivery", "deliveries")} in ${PERIODS[over].words}, and nothing is stuck.`}
      </p>
    </div>
  );
}

function Periods({ over }: { over: Period }) {
  return (
    <nav aria-label="Period" class="periods">
      {Object.entries(PERIODS).map(([period, { name }]) => (
        <a
          href={`/dashboard?over=${period}`}
          {...(period === over ? { "aria-current": "true" as const } : {})}
        >
          {name}
        </a>
      ))}
    </nav>
  );
}

function Tiles({ look, steps }: { look: Look; steps: readonly Step[] }) {
  const { stats, zone, watched, deadLetters } = look;
  const delivered = sumOf(steps, "delivered");
  const failed = sumOf(steps, "failedAttempts");
  const pending = watched.reduce((sum, each) => sum + each.stats.pending, 0);
  const { p50, p95 } = stats.all.latencyMs;
  return (
    <dl class="tiles">
      <Tile
        name="Events in"
        note={
          <>
            last: <Time ms={stats.lastEventAtMs} zone={zone} none="never" />
          </>
        }
      >
        {number(sumOf(steps, "events"))}
      </Tile>
      <Tile name="Delivered" note={count(failed, "failed attempt")}>
        {number(delivered)}
      </Tile>
      <Tile name="Success rate" note="of attempts">
        {share(delivered + failed === 0 ? null : delivered / (delivered + failed))}
      </Tile>
      <Tile name="Answer in" note={`95 %: ${duration(p95)}`}>
        {duration(p50)}
      </Tile>
      <Tile name="Waiting" note={<OldestDue look={look} />}>
        {number(pending)}
      </Tile>
      <Tile
        name="Dead letters"
        tone={deadLetters === 0 ? "" : "bad"}
        note={
          deadLetters === 0 ? (
            "nothing got stuck"
          ) : (
            <a href="/dashboard/dead-letters">look at them</a>
          )
        }
      >
        {number(deadLetters)}
      </Tile>
    </dl>
  );
}

type TileProps = { name: string; note: Child; tone?: "" | "bad"; children?: Child };

function Tile({ name, note, tone = "", children }: TileProps) {
  return (
    <div class={`tile ${tone}`}>
      <dt>{name}</dt>
      <dd>
        {children}
        <small>{note}</small>
      </dd>
    </div>
  );
}

function OldestDue({ look }: { look: Look }) {
  const dues = look.watched.flatMap(({ stats }) => stats.oldestDueAtMs ?? []);
  if (dues.length === 0) return <>nothing is due</>;
  return (
    <>
      the oldest due <Time ms={Math.min(...dues)} zone={look.zone} />
    </>
  );
}

function Webhooks({ look }: { look: Look }) {
  const { watched, nowMs, zone, stats } = look;
  if (watched.length === 0) {
    return (
      <Empty>
        <p>No webhook is registered, so nothing is delivered. Events are kept meanwhile.</p>
        {look.progress?.mayChange && (
          <p>
            <a class="button" href="/dashboard/webhooks/new">
              Register a webhook
            </a>
          </p>
        )}
      </Empty>
    );
  }
  const inOrder = [...watched].sort((a, b) => urgencyOf(a, nowMs) - urgencyOf(b, nowMs));
  const head = [
    "Webhook",
    "Status",
    "Waiting",
    "Delivered",
    "Success",
    "Answer in",
    "Failing since",
  ];
  return (
    <>
      <Table label="Webhooks, those that need attention first" head={head}>
        {inOrder.slice(0, WEBHOOKS_SHOWN).map((each) => (
          <WebhookRow watched={each} zone={zone} />
        ))}
      </Table>
      <p class="quiet">
        Counted from {exactTime(stats.hours[0]?.atMs ?? nowMs, zone)} on.{" "}
        {watched.length > WEBHOOKS_SHOWN && (
          <a href="/dashboard/webhooks">All {watched.length} webhooks</a>
        )}
      </p>
    </>
  );
}

function WebhookRow({ watched: { webhook, stats }, zone }: { watched: Watched; zone: string }) {
  const { pending, delivered, undeliverable, successRate, latencyMs, failingSinceMs } = stats;
  return (
    <tr data-row={webhook.id}>
      <th scope="row">
        <WebhookLink webhook={webhook} />
      </th>
      <td>
        {webhook.status === "active" && failingSinceMs !== null ? (
          <Badge tone="bad">failing</Badge>
        ) : (
          <WebhookStatus webhook={webhook} />
        )}
      </td>
      <td class="number">{number(pending)}</td>
      <td class="number">
        {number(delivered)}
        {undeliverable > 0 && <small class="wrong"> {number(undeliverable)} given up</small>}
      </td>
      <td class="number">{share(successRate)}</td>
      <td class="number">{duration(latencyMs.p50)}</td>
      <td>
        <Time ms={failingSinceMs} zone={zone} />
      </td>
    </tr>
  );
}

function Events({ look: { events, zone, watched } }: { look: Look }) {
  if (events.length === 0) {
    return <Empty>No event yet. The first one shows up here by itself.</Empty>;
  }
  return (
    <>
      <Table label="Newest events" head={["Received", "Event", "Id", "Webhooks it matched"]}>
        {events.map(({ id, event, receivedAtMs, webhookIds }) => (
          <tr data-row={id}>
            <td>
              <Time ms={receivedAtMs} zone={zone} />
            </td>
            <td>{event}</td>
            <td>
              <a href={eventPath(id)}>
                <code>{id}</code>
              </a>
            </td>
            <td>
              <Matched webhookIds={webhookIds} watched={watched} />
            </td>
          </tr>
        ))}
      </Table>
      <p>
        <a href="/dashboard/events">All events</a>
      </p>
    </>
  );
}

function Matched({
  webhookIds,
  watched,
}: {
  webhookIds: readonly string[];
  watched: readonly Watched[];
}) {
  if (webhookIds.length === 0) return <span class="quiet">none</span>;
  const names = webhookIds.map((id) => {
    const found = watched.find(({ webhook }) => webhook.id === id);
    return found === undefined ? "a deleted one" : webhookName(found.webhook);
  });
  const shown = names.slice(0, NAMES_SHOWN).join(", ");
  const rest = names.length - NAMES_SHOWN;
  return <>{rest > 0 ? `${shown} and ${count(rest, "more", "more")}` : shown}</>;
}

function number(value: number): string {
  return value.toLocaleString("en");
}

/** `99.2 %`; never rounded up to 100. */
function share(value: number | null): string {
  if (value === null) return "–";
  return `${(Math.floor(value * 1_000) / 10).toLocaleString("en")} %`;
}
