/** /dashboard: is everything all right? */

import { Hono } from "hono";
import { configOf } from "../../config";
import { inTime } from "../../deadline";
import type { Failure } from "../../domain/failure";
import { failureOf } from "../../domain/newer-data";
import { DAY_MS } from "../../domain/time";
import { countDeadLetters } from "../../operations/dead-letters";
import { listEvents } from "../../operations/journal";
import {
  CALL_TIMEOUT_MS,
  type Stats,
  type Step,
  stats as statsSince,
} from "../../operations/stats";
import { allWebhooks } from "../../operations/webhooks";
import { type EventRow, EventTable, eventRows, NoneKept } from "../events/table";
import { Chart } from "../ui/chart";
import { count, deliveries, duration, number, share } from "../ui/format";
import { page } from "../ui/page";
import {
  DEAD_LETTERS_PATH,
  DELIVERIES_PATH,
  Empty,
  EVENTS_PATH,
  statsCall,
  Tiles,
  WEBHOOKS_PATH,
  withQuery,
} from "../ui/parts";
import type { PageContext, PageEnv } from "../ui/session";
import { exactTime, Time } from "../ui/time";
import { useViewer } from "../ui/viewer";
import { newestEnded } from "../webhooks/ended";
import { byUrgency, isUndeliverable, type Watched } from "../webhooks/problem";
import { NoWebhooks, WebhookTable } from "../webhooks/table";
import { FirstSteps, type Progress, progressOf } from "./first-steps";
import { firstHourMs, PERIODS, type Period, parsePeriod, stepsOf, sumOf } from "./period";
import { MAX_NAMED, type Problem, Problems, problemsOf, type Silent } from "./problems";

const NEWEST_EVENTS = 8;
const WEBHOOKS_SHOWN = 10;
/** What came in with the last event is shown with it. */
const SAME_MOMENT_MS = 1_000;

export const overview = new Hono<PageEnv>().get("/", async (c) => {
  const over = parsePeriod(c.req.query("over"));
  const look = await lookAt(c, over);
  return page(
    c,
    { title: "Overview", live: true, json: callsOf(over) },
    <Overview look={look} over={over} />,
  );
});

function callsOf(over: Period): string[] {
  const since = statsCall(firstHourMs(over, Date.now()));
  return [since, "/v1/webhooks?limit=250", `/v1/events?limit=${NEWEST_EVENTS}`];
}

/** All that the page is made of. */
type Look = {
  nowMs: number;
  stats: Stats;
  watched: readonly Watched[];
  problems: readonly Problem[];
  events: readonly EventRow[];
  deadLetters: number | Failure;
  /** null once the relay has a webhook and had an event of Leadterra's. */
  progress: Progress | null;
};

/** The Registry first; then the Subscribers, the dead letters and the journals of the period at once. */
async function lookAt(c: PageContext, over: Period): Promise<Look> {
  const nowMs = Date.now();
  const { problems, silenceAlertMs } = configOf(c.env);
  const webhooks = await allWebhooks(c.env);
  const silent: Silent[] = [];
  const [stats, deadLetters] = await Promise.all([
    statsSince(c.env, firstHourMs(over, nowMs), webhooks, (id, failure) => {
      silent.push(
        ...webhooks.filter((each) => each.id === id).map((webhook) => ({ webhook, failure })),
      );
    }),
    // That it does not answer is said in their place.
    inTime(countDeadLetters(c.env), CALL_TIMEOUT_MS).catch(failureOf),
  ]);
  const { lastEventAtMs } = stats;
  const watched = webhooks.flatMap((webhook) => {
    const own = stats.webhooks.find(({ id }) => id === webhook.id);
    return own === undefined ? [] : [{ webhook, stats: own }];
  });
  const told = await withEnds(c.env, watched);
  const events = lastEventAtMs === null ? [] : await newestEvents(c.env, lastEventAtMs);
  const progress = progressOf(c, { webhooks, hasEvent: lastEventAtMs !== null, events });
  return {
    nowMs,
    stats,
    watched,
    deadLetters,
    problems: problemsOf({
      nowMs,
      problems,
      silenceAlertMs,
      watched: told,
      silent,
      stats,
      deadLetters,
    }),
    events,
    progress: progress.hasWebhook && progress.isConnected ? null : progress,
  };
}

/** Of those that are named with what stopped retrying, how it ended. */
async function withEnds(env: Env, watched: readonly Watched[]): Promise<Watched[]> {
  const named = new Set(byUrgency(watched).filter(isUndeliverable).slice(0, MAX_NAMED));
  return Promise.all(
    watched.map(async (each) => {
      if (!named.has(each)) return each;
      return { ...each, ended: (await newestEnded(env, each.webhook))?.attempt ?? null };
    }),
  );
}

/** From the day of the last event and the one before it: two journals at most. */
async function newestEvents(env: Env, lastEventAtMs: number): Promise<EventRow[]> {
  const around = { sinceMs: lastEventAtMs - DAY_MS, untilMs: lastEventAtMs + SAME_MOMENT_MS };
  const { events } = await listEvents(env, around, { cursor: null, limit: NEWEST_EVENTS });
  return eventRows(env, events);
}

function Overview({ look, over }: { look: Look; over: Period }) {
  const { words } = PERIODS[over];
  const steps = stepsOf(look.stats, over);
  return (
    <>
      <div id="first-steps" data-live>
        {look.progress !== null && <FirstSteps {...look.progress} />}
      </div>
      <div id="condition" data-live>
        <Condition look={look} words={words} steps={steps} />
      </div>
      <section class="panel" aria-labelledby="flow-title">
        <div class="head">
          <h2 id="flow-title">In and out</h2>
          <Periods over={over} />
        </div>
        <div id="tiles" data-live>
          <Numbers look={look} steps={steps} />
        </div>
        <div id="chart" data-live>
          {steps.some(isBusy) ? (
            <Chart steps={steps} label={`Over ${words}`} />
          ) : (
            <p class="quiet">Nothing came in or went out in {words}.</p>
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

/** What needs somebody, worst first; else that all is well. */
function Condition({ look, words, steps }: { look: Look; words: string; steps: readonly Step[] }) {
  if (look.problems.length > 0) return <Problems problems={look.problems} />;
  if (look.progress !== null) return null;
  const delivered = sumOf(steps, "delivered");
  return (
    <div class="notice good">
      <p class="headline">
        All is well.{" "}
        {delivered === 0
          ? `Nothing was delivered in ${words}, and nothing is stuck.`
          : `${deliveries(delivered)} in ${words}, and nothing is stuck.`}
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

function Numbers({ look, steps }: { look: Look; steps: readonly Step[] }) {
  const { stats, watched, deadLetters } = look;
  const delivered = sumOf(steps, "delivered");
  const failed = sumOf(steps, "failedAttempts");
  const attempts = delivered + failed;
  const pending = watched.reduce((sum, each) => sum + each.stats.health.pending, 0);
  const { p50, p95 } = stats.all.latencyMs;
  const counted = typeof deadLetters === "number" ? deadLetters : null;
  const stuck = counted !== 0;
  const last = (
    <>
      last: <Time ms={stats.lastEventAtMs} none="never" />
      <Queued backlog={stats.queues.events.backlog} />
    </>
  );
  return (
    <Tiles
      of={[
        { name: "Events in", value: number(sumOf(steps, "events")), note: last },
        { name: "Delivered", value: number(delivered), note: count(failed, "failed attempt") },
        {
          name: "Success rate",
          value: share(attempts === 0 ? null : delivered / attempts),
          note: "of attempts",
        },
        { name: "Response time", value: duration(p50), note: `p95: ${duration(p95)}` },
        {
          name: "Pending",
          value: <a href={withQuery(DELIVERIES_PATH, { status: "pending" })}>{number(pending)}</a>,
          note: <OldestDue watched={watched} />,
        },
        {
          name: "Dead letters",
          value: counted === null ? "–" : number(counted),
          tone: stuck ? "bad" : "",
          note: (
            <>
              {stuck ? <a href={DEAD_LETTERS_PATH}>look at them</a> : "nothing got stuck"}
              <Queued backlog={stats.queues.deadLetters.backlog} />
            </>
          ),
        },
      ]}
    />
  );
}

function Queued({ backlog }: { backlog: number | null }) {
  return backlog ? <>; {number(backlog)} in the queue</> : null;
}

function OldestDue({ watched }: { watched: readonly Watched[] }) {
  const dues = watched.flatMap(({ stats }) => stats.health.oldestDueAtMs ?? []);
  if (dues.length === 0) return <>nothing is due</>;
  return (
    <>
      first due <Time ms={Math.min(...dues)} />
    </>
  );
}

function Webhooks({ look: { watched, nowMs, stats } }: { look: Look }) {
  const { zone } = useViewer();
  if (watched.length === 0) return <NoWebhooks />;
  return (
    <>
      <WebhookTable watched={byUrgency(watched).slice(0, WEBHOOKS_SHOWN)} />
      <p class="quiet">
        Counted from {exactTime(stats.hours[0]?.atMs ?? nowMs, zone)} on.{" "}
        {watched.length > WEBHOOKS_SHOWN && (
          <a href={WEBHOOKS_PATH}>All {watched.length} webhooks</a>
        )}
      </p>
    </>
  );
}

function Events({ look: { events, stats } }: { look: Look }) {
  if (events.length === 0 && stats.lastEventAtMs !== null) {
    return <NoneKept lastAtMs={stats.lastEventAtMs} />;
  }
  if (events.length === 0) {
    return <Empty>No event yet. The first one shows up here by itself.</Empty>;
  }
  return (
    <>
      <EventTable label="Newest events" events={events} />
      <p>
        <a href={EVENTS_PATH}>All events</a>
      </p>
    </>
  );
}
