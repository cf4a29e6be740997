/** How a webhook is doing: whether it needs somebody, and its numbers of the last day. */
import type { Child } from "hono/jsx";
import type { DeliveryView } from "../../domain/delivery";
import type { HealthReport } from "../../domain/health-report";
import type { Webhook } from "../../domain/webhook";
import type { Step, WebhookStats } from "../../operations/stats";
import { explainAttempt } from "../deliveries/attempts";
import { held, OVERDUE_MS } from "../overview/trouble";
import { Chart } from "../ui/chart";
import { count, deliveries, duration, number, share, waiting } from "../ui/format";
import { Action, Code, deliveriesPath, Tiles, webhookPath } from "../ui/parts";
import { Time } from "../ui/time";
import { useViewer } from "../ui/viewer";

export type Condition = {
  webhook: Webhook;
  stats: WebhookStats;
  hours: readonly Step[];
  health: HealthReport | null;
  /** Newest first. */
  recent: readonly DeliveryView[];
  /** How long a service has to answer; null where that is not configured. */
  timeoutMs: number | null;
  /** The relay's own retry schedule; null where it is not configured well. */
  ownWaits: string | null;
};

/** What is the matter and what to do about it; of one that is well, that it is. */
export function Health({ condition }: { condition: Condition }) {
  const { tone, headline, text } = situationOf(condition);
  return (
    <div class={`notice ${tone}`}>
      <p class="headline">{headline}</p>
      {text !== null && <div>{text}</div>}
      <HealthActions webhook={condition.webhook} />
    </div>
  );
}

type Situation = { tone: "good" | "warn" | "bad"; headline: Child; text: Child | null };

function situationOf(condition: Condition): Situation {
  const { webhook, stats } = condition;
  if (webhook.status === "disabled") return disabled(condition);
  if (webhook.status === "paused") {
    return {
      tone: "warn",
      headline: <>Paused. {held(stats)}</>,
      text: "What arrives is kept, and goes out when it is resumed. A test goes out even now.",
    };
  }
  if (stats.failingSinceMs !== null) return failing(condition, stats.failingSinceMs);
  return overdue(condition) ?? well(condition);
}

function disabled(condition: Condition): Situation {
  const { webhook, stats } = condition;
  const isGone = webhook.statusReason === "gone";
  return {
    tone: "bad",
    headline: (
      <>
        Disabled: {isGone ? "the service answered 410 Gone" : "no attempt succeeded for five days"}.{" "}
        {held(stats)}
      </>
    ),
    text: (
      <>
        {isGone
          ? "By its own word there is nothing at this URL any more. Correct the URL, or get the service to take events again; then resume."
          : "Get the service to answer again; a test shows whether it does. Then resume: what is held goes out, one at a time until the first succeeds."}{" "}
        <LastFailure condition={condition} />
      </>
    ),
  };
}

function failing(condition: Condition, sinceMs: number): Situation {
  const { stats, health } = condition;
  const nextAttemptAtMs = health?.nextAttemptAtMs ?? null;
  return {
    tone: "bad",
    headline: (
      <>
        Failing: the first failure was <Time ms={sinceMs} />, and none has succeeded since.{" "}
        {waiting(stats.pending)}
        {nextAttemptAtMs !== null && (
          <>
            ; the next attempt is <Time ms={nextAttemptAtMs} />
          </>
        )}
        .
      </>
    ),
    text: (
      <>
        <LastFailure condition={condition} /> Attempts go on by the retry schedule, and nothing has
        to be done here once the service answers again.
      </>
    ),
  };
}

function overdue({ stats, webhook }: Condition): Situation | null {
  const { oldestDueAtMs } = stats;
  if (oldestDueAtMs === null || oldestDueAtMs > Date.now() - OVERDUE_MS) return null;
  const slow =
    webhook.rateLimit === null
      ? "The service answers too slowly for what arrives, or the relay is not well: its log says so."
      : `Its rate limit lets ${webhook.rateLimit} a second through, which is less than what arrives.`;
  return {
    tone: "warn",
    headline: (
      <>
        Late: {waiting(stats.pending)}, the oldest was due <Time ms={oldestDueAtMs} />.
      </>
    ),
    text: webhook.ordered
      ? `${slow} It is ordered: one event at a time, and a slow one holds those behind it.`
      : slow,
  };
}

function well({ webhook, stats, health, recent }: Condition): Situation {
  if (recent.length === 0) {
    return {
      tone: "good",
      headline: "Active. Nothing has come for it yet.",
      text: "Send a test to see what the service answers. The first event that it asks for shows up here by itself.",
    };
  }
  const undeliverable = health?.undeliverable ?? stats.undeliverable;
  if (undeliverable > 0) {
    return {
      tone: "warn",
      headline: (
        <>
          It takes deliveries, but {deliveries(undeliverable)} stopped retrying and did not arrive.
        </>
      ),
      text: (
        <>
          <a href={deliveriesPath(webhook, { status: "undeliverable" })}>Look at them</a>, then{" "}
          <a href={`${webhookPath(webhook.id)}/replay`}>send them again</a>.
        </>
      ),
    };
  }
  const waits = stats.pending === 0 ? "Nothing waits." : `${waiting(stats.pending)}.`;
  return { tone: "good", headline: `Active, and all is well. ${waits}`, text: null };
}

/** What came of the last attempt that failed, and what the service said. */
function LastFailure({ condition: { health, timeoutMs } }: { condition: Condition }) {
  const failure = health?.lastFailure ?? null;
  if (failure === null) return null;
  const { atMs, error, statusCode, responseBody } = failure;
  return (
    <>
      Last failure <Time ms={atMs} />: {explainAttempt({ error, statusCode }, timeoutMs)}
      {responseBody && <Code label="What the service answered" text={responseBody} />}
    </>
  );
}

/** Buttons that say what to do next; for those who may change things. */
function HealthActions({ webhook }: { webhook: Webhook }) {
  if (!useViewer().mayChange) return null;
  const path = webhookPath(webhook.id);
  return (
    <div class="actions">
      {webhook.status === "active" ? (
        <Action action={`${path}/pause`}>Pause</Action>
      ) : (
        <Action action={`${path}/resume`} tone="primary">
          Resume
        </Action>
      )}
      <a class="button" href={`${path}/edit`}>
        Edit
      </a>
      <a class="button" href={`${path}/replay`}>
        Send again…
      </a>
      <a class="button" href={`${path}/discard`}>
        Give up on what waits…
      </a>
    </div>
  );
}

/** The numbers of the last day, and its hours. */
export function Numbers({ condition }: { condition: Condition }) {
  const { webhook, stats, hours } = condition;
  const { undeliverable, successRate, latencyMs } = stats;
  const failed = hours.reduce((sum, hour) => sum + hour.failedAttempts, 0);
  const listed = (status: "pending" | "delivered" | "undeliverable") => (
    <a href={deliveriesPath(webhook, { status })}>{number(stats[status])}</a>
  );
  return (
    <>
      <Tiles
        of={[
          {
            name: "Success rate",
            value: share(successRate),
            note: "of attempts",
            tone: toneOf(successRate),
          },
          {
            name: "Answer in",
            value: duration(latencyMs.p50),
            note: `95 %: ${duration(latencyMs.p95)}`,
          },
          { name: "Pending", value: listed("pending"), note: <Due stats={stats} /> },
          {
            name: "Delivered",
            value: listed("delivered"),
            note: count(failed, "failed attempt"),
          },
          {
            name: "Undeliverable",
            value: listed("undeliverable"),
            note: "retries used up",
            tone: undeliverable > 0 ? "bad" : "",
          },
        ]}
      />
      <div class="panel">
        <Chart steps={hours} label="Deliveries by the hour, last day" showsEvents={false} />
      </div>
    </>
  );
}

function Due({ stats: { pending, oldestDueAtMs } }: { stats: WebhookStats }) {
  if (oldestDueAtMs === null) return <>{pending === 0 ? "nothing is due" : "held"}</>;
  return (
    <>
      oldest due <Time ms={oldestDueAtMs} />
    </>
  );
}

const POOR = 0.5;
const GOOD = 0.95;

function toneOf(successRate: number | null): "" | "warn" | "bad" {
  if (successRate === null || successRate >= GOOD) return "";
  return successRate < POOR ? "bad" : "warn";
}
