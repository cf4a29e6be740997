/** /dashboard: is everything all right? */
import { Hono } from "hono";
import { configOf } from "../../config";
import { DAY_MS, earliest } from "../../domain/time";
import type { Webhook } from "../../domain/webhook";
import { countDeadLetters } from "../../operations/dead-letters";
import { findDelivery } from "../../operations/deliveries";
import { isSample, SAMPLE } from "../../operations/ingest";
import { eventTotals, listEvents } from "../../operations/journal";
import { answerOf, DEAD_LETTERS, type Unanswered } from "../../operations/objects";
import { knownStats, type Step, sumOf, webhookStats } from "../../operations/stats";
import { allWebhooks } from "../../operations/webhooks";
import { type EventRow, EventTable, eventRows, NoneKept } from "../events/table";
import { Chart } from "../ui/chart";
import { count, deliveries, number, share } from "../ui/format";
import { page } from "../ui/page";
import { Empty, link, Panel, Tiles, toldApart, WebhookLink } from "../ui/parts";
import {
  DEAD_LETTERS_PATH,
  DELIVERIES_PATH,
  EVENTS_PATH,
  statsCall,
  WEBHOOKS_PATH,
  withQuery,
} from "../ui/paths";
import type { PageContext, PageEnv } from "../ui/session";
import { exactTime, Time } from "../ui/time";
import { NotCounted } from "../ui/unanswered";
import { newestEnded } from "../webhooks/ended";
import { FirstDue, responseTime } from "../webhooks/health";
import { PACED_OVER_MS } from "../webhooks/late";
import {
  byUrgency,
  hasStumbled,
  isUndeliverable,
  LastAttempt,
  type Listed,
  type Watched,
} from "../webhooks/problem";
import { NoWebhooks, WebhookTable } from "../webhooks/table";
import { FirstSteps, progressOf } from "./first-steps";
import { firstHourMs, PERIODS, type Period, parsePeriod, stepsOf } from "./period";
import { MAX_NAMED, Problems, problemsOf } from "./problems";

const NEWEST_EVENTS = 8;
/** Where the newest are all samples, so many are looked at for another. */
const SEARCHED_EVENTS = 100;
const WEBHOOKS_SHOWN = 10;
/** What came in with the last event is shown with it. */
const SAME_MOMENT_MS = 1_000;

export const overview = new Hono<PageEnv>().get("/", async (c) => {
  const over = parsePeriod(c.req.query("over"));
  const look = await lookAt(c, over);
  return page(
    c,
    {
      title: "Overview",
      live: true,
      json: [
        statsCall(firstHourMs(over, Date.now())),
        "/v1/webhooks?limit=250",
        `/v1/events?limit=${NEWEST_EVENTS}`,
      ],
    },
    <Overview look={look} over={over} />,
  );
});

type Look = Awaited<ReturnType<typeof lookAt>>;

/** The Registry first; then the Subscribers, the dead letters and the journals of the period at once. */
async function lookAt(c: PageContext, over: Period) {
  const nowMs = Date.now();
  const { problems, silenceAlertMs } = configOf(c.env);
  const webhooks = toldApart(await allWebhooks(c.env));
  const unanswered: Unanswered[] = [];
  const [stats, deadLetters] = await Promise.all([
    knownStats(c.env, firstHourMs(over, nowMs), webhooks, unanswered),
    answerOf(DEAD_LETTERS, () => countDeadLetters(c.env), unanswered),
  ]);
  const statsOf = ({ id }: Webhook) => stats.webhooks.find((each) => each.id === id) ?? null;
  const listed = webhooks.map((webhook): Listed => ({ webhook, stats: statsOf(webhook) }));
  const known = listed.filter((each): each is Watched => each.stats !== null);
  const watched = await looked(c.env, known, { over, unanswered });
  const { lastEventAtMs } = stats;
  // Where a journal does not answer, it may be that which has the last.
  const mayHaveEvent = lastEventAtMs !== null || unanswered.some(isJournal);
  const events = mayHaveEvent ? await newestEvents(c.env, lastEventAtMs, unanswered) : [];
  // A relay that has a webhook is no new one: what its journals do not say is not asked for.
  const hasEvent = webhooks.length > 0 ? mayHaveEvent : lastEventAtMs !== null || events.length > 0;
  const isConnected = hasEvent && (events.length === 0 || (await hasOther(c.env, events)));
  const progress = progressOf(c, { webhooks, hasEvent, isConnected });
  const shared = { nowMs, webhooks, stats, unanswered, deadLetters, watched };
  return {
    ...shared,
    listed,
    events,
    problems: problemsOf({ ...shared, problems, silenceAlertMs }),
    // The relay has a webhook and had an event of Leadterra's: there is no step left.
    progress: progress.hasWebhook && progress.isConnected ? null : progress,
  };
}

function isJournal({ object }: Unanswered): boolean {
  return object.startsWith("Journal ");
}

/**
 * Of those that are named with what stopped retrying, how it ended; of those that are late, the figures of a day; of the
 * one that stumbled last, whether the delivery is kept.
 */
async function looked(
  env: Env,
  watched: readonly Watched[],
  { over, unanswered }: { over: Period; unanswered: Unanswered[] },
): Promise<Watched[]> {
  const named = new Set(byUrgency(watched).slice(0, MAX_NAMED));
  const [stumbled] = stumbledIn(watched);
  return Promise.all(
    watched.map(async (each) => {
      const { webhook, stats } = each;
      const answer = <T,>(ask: () => Promise<T>) =>
        answerOf(`Subscriber ${webhook.id}`, ask, unanswered);
      if (each === stumbled) {
        const { eventId } = stats.health.lastFailure ?? {};
        const failed = eventId && (await answer(() => findDelivery(env, webhook, eventId)));
        return { ...each, isGone: !failed };
      }
      if (!named.has(each)) return each;
      if (isUndeliverable(each)) {
        const ended = await answer(() => newestEnded(env, webhook));
        return { ...each, ended: ended?.attempt ?? null };
      }
      if (over === "day" || stats.health.state !== "late") return each;
      const ofDay = await answer(() => webhookStats(env, webhook.id, Date.now() - PACED_OVER_MS));
      return { ...each, stats: ofDay?.stats ?? stats };
    }),
  );
}

/** From the day of the last event and the one before it, two journals at most; of the last two days where it is not known. */
async function newestEvents(env: Env, lastEventAtMs: number | null, unanswered: Unanswered[]) {
  const around =
    lastEventAtMs === null
      ? { sinceMs: Date.now() - 2 * DAY_MS }
      : { sinceMs: lastEventAtMs - DAY_MS, untilMs: lastEventAtMs + SAME_MOMENT_MS };
  const page = { cursor: null, limit: NEWEST_EVENTS };
  const { events } = await listEvents(env, around, page, unanswered);
  return eventRows(env, events, unanswered);
}

/** Whether an event came that is no sample: among the newest, ever by another name, or not long before them. */
async function hasOther(env: Env, newest: readonly EventRow[]): Promise<boolean> {
  if (!newest.every(isSample)) return true;
  const totals = await answerOf("event totals", () => eventTotals(env), []);
  if (Object.keys(totals?.events ?? {}).some((name) => name !== SAMPLE)) return true;
  const { events } = await listEvents(env, {}, { cursor: null, limit: SEARCHED_EVENTS }, []);
  return !events.every(isSample);
}

function Overview({ look, over }: { look: Look; over: Period }) {
  const { words } = PERIODS[over];
  const steps = stepsOf(look.stats, over);
  // No figure is a sum of what the dead letters say.
  const counted = look.unanswered.filter(({ object }) => object !== DEAD_LETTERS);
  return [
    <div id="first-steps" data-live>
      {look.progress !== null && <FirstSteps {...look.progress} />}
    </div>,
    <div id="condition" data-live>
      <Condition look={look} words={words} steps={steps} />
    </div>,
    <Panel id="flow-title" title="In and out" action={<Periods over={over} />}>
      <div id="tiles" data-live>
        <Numbers look={look} steps={steps} over={over} />
        <NotCounted unanswered={counted} webhooks={look.webhooks} />
      </div>
      <div id="chart" data-live>
        {steps.every(isIdle) ? (
          <p class="quiet">Nothing came in or went out in {words}.</p>
        ) : (
          <Chart steps={steps} label={`Over ${words}`} />
        )}
      </div>
    </Panel>,
    <h2>Webhooks</h2>,
    <div id="webhooks" data-live>
      <Webhooks look={look} />
    </div>,
    <h2>Newest events</h2>,
    <div id="events" data-live>
      <Events look={look} />
    </div>,
  ];
}

function isIdle({ events, delivered, failedAttempts }: Step): boolean {
  return events === 0 && delivered === 0 && failedAttempts === 0;
}

/** What needs somebody, worst first; else that all is well. What has failed once or twice, in either case. */
function Condition({ look, words, steps }: { look: Look; words: string; steps: readonly Step[] }) {
  const [last, ...others] = stumbledIn(look.watched);
  const stumbled = last && (
    <>
      <LastAttempt {...last} of={<WebhookLink webhook={last.webhook} />} />
      {others.length > 0 && ` So did that of ${count(others.length, "other webhook")}.`}
    </>
  );
  if (look.problems.length > 0) {
    return [<Problems problems={look.problems} />, stumbled && <p>The {stumbled}</p>];
  }
  if (look.progress !== null) return null;
  const delivered = sumOf(steps, "delivered") ?? 0;
  return (
    <div class="notice good">
      <p class="headline">
        All is well{stumbled ? <>, but the {stumbled}</> : "."}{" "}
        {delivered === 0
          ? `Nothing was delivered in ${words}, and nothing is stuck.`
          : `${deliveries(delivered)} in ${words}, and nothing is stuck.`}
      </p>
    </div>
  );
}

/** Of those that are well, what failed last comes first, if nothing succeeded since. */
function stumbledIn(watched: readonly Watched[]): Watched[] {
  const failedAtMs = ({ stats }: Watched) => stats.health.lastFailure?.atMs ?? 0;
  return watched.filter(hasStumbled).toSorted((a, b) => failedAtMs(b) - failedAtMs(a));
}

function Periods({ over }: { over: Period }) {
  return (
    <nav aria-label="Period" class="periods">
      {Object.entries(PERIODS).map(([period, { name }]) => (
        <a href={`/dashboard?over=${period}`} aria-current={period === over ? "true" : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}

/** What is counted; at least that, where it is a part. */
function least(counted: number | null, isPart: boolean): string {
  return counted !== null && isPart ? `≥ ${number(counted)}` : number(counted);
}

type NumbersProps = { look: Look; steps: readonly Step[]; over: Period };

function Numbers({ look, steps, over }: NumbersProps) {
  const { stats, listed, deadLetters, watched } = look;
  const delivered = sumOf(steps, "delivered");
  const failed = sumOf(steps, "failedAttempts");
  const failures = failed === null ? "unknown" : count(failed, "failed attempt");
  const attempts = (delivered ?? 0) + (failed ?? 0);
  const successRate = delivered === null || attempts === 0 ? null : delivered / attempts;
  const oldestDueAtMs = earliest(...watched.map(({ stats }) => stats.health.oldestDueAtMs));
  const pending = watched.reduce((sum, each) => sum + each.stats.health.pending, 0);
  const isPart = watched.length < listed.length;
  const isPartOfEvents = look.unanswered.some(isJournal);
  const stuck = deadLetters !== 0;
  const waiting = withQuery(DELIVERIES_PATH, { status: "pending" });
  const last = (
    <>
      last: <Time ms={stats.lastEventAtMs} none={isPartOfEvents ? "unknown" : "never"} />
      <Queued backlog={stats.queues.events.backlog} />
    </>
  );
  // Steps are of five minutes there, and what has no steps is counted by whole hours.
  const sinceMs = over === "hour" && stats.hours[0]?.atMs;
  const [latency, p50, p95] = responseTime(stats.all?.latencyMs ?? { p50: null, p95: null });
  return (
    <Tiles
      of={[
        ["Events in", least(sumOf(steps, "events"), isPartOfEvents), last],
        ["Delivered", least(delivered, isPart), failures],
        ["Success rate", share(successRate), "of attempts"],
        [latency, p50, [p95, sinceMs && [", since ", <Time ms={sinceMs} isSince />]]],
        [
          "Pending",
          link(waiting, least(stats.all && pending, isPart)),
          stats.all === null ? "unknown" : <FirstDue ms={oldestDueAtMs} />,
        ],
        [
          "Dead letters",
          number(deadLetters),
          [
            stuck ? link(DEAD_LETTERS_PATH, "look at them") : "nothing got stuck",
            <Queued backlog={stats.queues.deadLetters.backlog} />,
          ],
          stuck ? "bad" : "",
        ],
      ]}
    />
  );
}

function Queued({ backlog }: { backlog: number | null }) {
  return backlog ? <>; {number(backlog)} in the queue</> : null;
}

function Webhooks({ look: { listed, nowMs, stats } }: { look: Look }) {
  if (listed.length === 0) return <NoWebhooks />;
  return [
    <WebhookTable listed={byUrgency(listed).slice(0, WEBHOOKS_SHOWN)} />,
    <p class="quiet">
      Counted from {exactTime(stats.hours[0]?.atMs ?? nowMs)} on.{" "}
      {listed.length > WEBHOOKS_SHOWN && <a href={WEBHOOKS_PATH}>All {listed.length} webhooks</a>}
    </p>,
  ];
}

function Events({ look }: { look: Look }) {
  const { events, stats, webhooks } = look;
  const unanswered = look.unanswered.filter(isJournal);
  const isWhole = unanswered.length === 0;
  if (events.length === 0 && isWhole) {
    if (stats.lastEventAtMs !== null) return <NoneKept lastAtMs={stats.lastEventAtMs} />;
    return <Empty>No event yet. The first one shows up here by itself.</Empty>;
  }
  return [
    <NotCounted unanswered={unanswered} webhooks={webhooks} />,
    events.length > 0 && <EventTable label="Newest events" events={events} />,
    <p>{link(EVENTS_PATH, "All events")}</p>,
  ];
}
