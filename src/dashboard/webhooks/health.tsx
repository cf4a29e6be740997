/** How a webhook is doing: whether it needs somebody, and its numbers of the last day. */
import type { Child } from "hono/jsx";
import type { DeliveryView } from "../../domain/delivery";
import type { Webhook } from "../../domain/webhook";
import type { Step, WebhookStats } from "../../operations/stats";
import { explainAttempt } from "../deliveries/attempts";
import { Chart } from "../ui/chart";
import { Action, count, webhookPath } from "../ui/parts";
import { duration, Time } from "../ui/time";

const MINUTE_MS = 60_000;
/** A delivery is due and sent within seconds; past this something holds it up. */
const OVERDUE_MS = 5 * MINUTE_MS;

export type Condition = {
  webhook: Webhook;
  stats: WebhookStats;
  hours: readonly Step[];
  /** Newest first. */
  recent: readonly DeliveryView[];
  /** How long a service has to answer; null where that is not configured. */
  timeoutMs: number | null;
  /** The relay's own retry schedule; null where it is not configured well. */
  ownWaits: string | null;
  zone: string;
};

/** What is the matter and what to do about it; of one that is well, that it is. */
export function Health({ condition, actions }: { condition: Condition; actions: Child }) {
  const { tone, headline, text } = situationOf(condition);
  return (
    <div class={`notice ${tone}`}>
      <p class="headline">{headline}</p>
      {text !== null && <p>{text}</p>}
      {actions}
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
  const { stats, zone } = condition;
  return {
    tone: "bad",
    headline: (
      <>
        Failing: the first failure was <Time ms={sinceMs} zone={zone} />, and none has succeeded
        since. {count(stats.pending, "delivery waits", "deliveries wait")}
        {stats.oldestDueAtMs !== null && (
          <>
            ; the next attempt is due <Time ms={stats.oldestDueAtMs} zone={zone} />
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

function overdue({ stats, webhook, zone }: Condition): Situation | null {
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
        Late: {count(stats.pending, "delivery waits", "deliveries wait")}, the oldest was due{" "}
        <Time ms={oldestDueAtMs} zone={zone} />.
      </>
    ),
    text: webhook.ordered
      ? `${slow} It is ordered: one event at a time, and a slow one holds those behind it.`
      : slow,
  };
}

function well({ webhook, stats, recent }: Condition): Situation {
  if (recent.length === 0) {
    return {
      tone: "good",
      headline: "Active. Nothing has come for it yet.",
      text: "Send a test to see what the service answers. The first event that it asks for shows up here by itself.",
    };
  }
  if (stats.undeliverable > 0) {
    return {
      tone: "warn",
      headline: (
        <>
          It takes deliveries, but {count(stats.undeliverable, "delivery was", "deliveries were")}{" "}
          undeliverable within the last day.
        </>
      ),
      text: (
        <>
          <a href={deliveriesPath(webhook, { status: "undeliverable" })}>Look at them</a>, then send
          them again.
        </>
      ),
    };
  }
  const waits =
    stats.pending === 0
      ? "Nothing waits."
      : `${count(stats.pending, "delivery waits", "deliveries wait")}.`;
  return { tone: "good", headline: `Active, and all is well. ${waits}`, text: null };
}

function held({ pending }: WebhookStats): string {
  if (pending === 0) return "Nothing waits for it.";
  return `${count(pending, "delivery is", "deliveries are")} held.`;
}

function LastFailure({ condition: { recent, timeoutMs } }: { condition: Condition }) {
  const failed = recent.find(({ lastError }) => lastError !== null);
  if (failed === undefined || failed.lastError === null) return null;
  const { lastError, lastStatusCode: statusCode } = failed;
  if (lastError === "expired" || lastError === "erased") return null;
  return <>{explainAttempt({ error: lastError, statusCode }, timeoutMs)}</>;
}

/** Buttons that say what to do next; for those who may change things. */
export function HealthActions({ webhook }: { webhook: Webhook }) {
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
  const { webhook, stats, hours, zone } = condition;
  const { pending, delivered, undeliverable, successRate, latencyMs, oldestDueAtMs } = stats;
  const failed = hours.reduce((sum, hour) => sum + hour.failedAttempts, 0);
  return (
    <>
      <dl class="tiles">
        <Tile name="Success rate" note="of attempts" tone={toneOf(successRate)}>
          {share(successRate)}
        </Tile>
        <Tile name="Answer in" note={`95 %: ${duration(latencyMs.p95)}`}>
          {duration(latencyMs.p50)}
        </Tile>
        <Tile
          name="Pending"
          note={
            oldestDueAtMs === null ? (
              pending === 0 ? (
                "nothing is due"
              ) : (
                "held"
              )
            ) : (
              <>
                oldest due <Time ms={oldestDueAtMs} zone={zone} />
              </>
            )
          }
        >
          <a href={deliveriesPath(webhook, { status: "pending" })}>
            {pending.toLocaleString("en")}
          </a>
        </Tile>
        <Tile name="Delivered" note={count(failed, "failed attempt")}>
          <a href={deliveriesPath(webhook, { status: "delivered" })}>
            {delivered.toLocaleString("en")}
          </a>
        </Tile>
        <Tile name="Undeliverable" note="retries used up" tone={undeliverable > 0 ? "bad" : ""}>
          <a href={deliveriesPath(webhook, { status: "undeliverable" })}>
            {undeliverable.toLocaleString("en")}
          </a>
        </Tile>
      </dl>
      <div class="panel">
        <Chart
          steps={hours}
          label="Deliveries by the hour, last day"
          zone={zone}
          showsEvents={false}
        />
      </div>
    </>
  );
}

type TileProps = { name: string; note: Child; tone?: "" | "warn" | "bad"; children?: Child };

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

const POOR = 0.5;
const GOOD = 0.95;

function toneOf(successRate: number | null): "" | "warn" | "bad" {
  if (successRate === null || successRate >= GOOD) return "";
  return successRate < POOR ? "bad" : "warn";
}

/** `98.7 %`; never 100 % while something failed. */
export function share(value: number | null): string {
  if (value === null) return "–";
  const percent = value * 100;
  const rounded = Math.round(percent * 10) / 10;
  return `${rounded === 100 && percent < 100 ? 99.9 : rounded} %`;
}

/** The list of its deliveries. */
export function deliveriesPath(webhook: Webhook, query: Readonly<Record<string, string>> = {}) {
  return `/dashboard/deliveries?${new URLSearchParams({ webhook: webhook.id, ...query })}`;
}
