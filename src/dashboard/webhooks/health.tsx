/** A webhook's page from its top: how it is doing and what to do, the last answer, its numbers of the last day. */
import type { DeliveryView } from "../../domain/delivery";
import { boundOf, isSoonOver } from "../../domain/late";
import { iso } from "../../domain/time";
import type { Webhook } from "../../domain/webhook";
import { type Step, sumOf, type WebhookStats } from "../../operations/stats";
import { Attempted } from "../deliveries/attempts";
import { newToken } from "../ui/actions";
import { Chart } from "../ui/chart";
import { count, duration, number, share } from "../ui/format";
import { Action, link, Panel, type Tile, Tiles } from "../ui/parts";
import { deliveriesPath, deliveryPath, type Query, webhookPath } from "../ui/paths";
import { useViewer } from "../ui/session";
import { Time } from "../ui/time";
import type { Answer } from "./ended";
import { figuresOf } from "./late";
import { hasStumbled, isFailing, isRetried, standing, toneOf, type Watched } from "./problem";

export type Condition = Watched & {
  hours: readonly Step[];
  /** What its page begins with: of what was just tried, else of the last failure or of what stopped retrying; or none. */
  answer: Answer | null;
  /** Newest first. */
  recent: readonly DeliveryView[];
};

export function Health({ condition }: { condition: Condition }) {
  const { webhook, answer, recent } = condition;
  const { lastSuccessAtMs, pending } = condition.stats.health;
  return [
    <div class={`notice ${toneOf(condition)}`}>
      <p class="headline">{standing(condition)}</p>
      {lastSuccessAtMs !== null && (
        <p>
          The last success was <Time ms={lastSuccessAtMs} />.
        </p>
      )}
      {/* What waits leaves: the script shows how much has, since the page was opened. */}
      {pending > 0 && (
        <progress aria-label="What has left of what waited" data-pending={pending} hidden />
      )}
      {recent.length === 0 && <p>Nothing is kept for it: a test shows how it answers.</p>}
      <Controls webhook={webhook} watched={condition} />
    </div>,
    answer !== null && (
      <Panel
        id="answer"
        title={answer.title}
        action={<a href={deliveryPath(webhook.id, answer.eventId)}>Its delivery</a>}
      >
        <Attempted attempt={answer.attempt} />
      </Panel>
    ),
  ];
}

/** The button that helps first, then what else can be done; for those who may change things. */
export function Controls({ webhook, watched }: { webhook: Webhook; watched: Watched | null }) {
  if (!useViewer().mayChange) return null;
  const path = webhookPath(webhook.id);
  return (
    <div class="actions">
      {watched !== null && <Help watched={watched} />}
      {webhook.status === "active" && <Action action={`${path}/pause`}>Pause</Action>}
      {link(`${path}/edit`, "Edit", "button")}
      {link(`${path}/replay`, "Replay…", "button")}
      {link(`${path}/discard`, "Discard pending…", "button")}
    </div>
  );
}

/** What helps a webhook that has a problem, as one button: nothing where none does, or for whoever may only look. */
export function Help({ watched }: { watched: Watched }) {
  const { webhook, stats } = watched;
  if (!useViewer().mayChange) return null;
  const path = webhookPath(webhook.id);
  const button = (name: string, text: string, fields: Query = {}) => (
    <Action action={`${path}/${name}`} tone="primary" fields={fields}>
      {text}
    </Action>
  );
  const { state, pending, undeliverable } = stats.health;
  // What waits for nothing but a replay is not helped by a resume.
  const isForReplay = pending === 0 && undeliverable > 0;
  if (state === "disabled" || (state === "paused" && !isForReplay)) {
    return button("resume", "Resume");
  }
  const isTried = isFailing(watched) && (pending > 0 || undeliverable === 0);
  if (
    isTried ||
    (isRetried(watched) && undeliverable === 0) ||
    (hasStumbled(watched) && pending > 0)
  ) {
    return button("try", "Try now", { token: newToken() });
  }
  if (state === "late" && !isSoonOver(webhook, figuresOf(stats))) {
    const { field } = boundOf(webhook, figuresOf(stats));
    return link(`${path}/edit?pace#${field}`, "Change its pace", "button");
  }
  if (undeliverable === 0) return null;
  const fields = {
    step: "go",
    token: newToken(),
    only: "undeliverable",
    of: String(undeliverable),
    since: iso(webhook.createdAtMs),
  };
  return button("replay", `Replay ${number(undeliverable)}`, fields);
}

export function Numbers({ condition }: { condition: Condition }) {
  const { webhook, stats, hours } = condition;
  const { health, successRate, latencyMs } = stats;
  const failed = sumOf(hours, "failedAttempts") ?? 0;
  const { pending, undeliverable } = health;
  const tone = undeliverable > 0 ? "bad" : "";
  const counts = { pending, delivered: stats.delivered, undeliverable };
  const listed = (status: keyof typeof counts) =>
    link(deliveriesPath(webhook, { status }), number(counts[status]));
  return [
    <Tiles
      of={[
        ["Success rate", share(successRate), "of attempts", toneOfRate(successRate)],
        responseTime(latencyMs),
        ["Pending", listed("pending"), <FirstDue ms={health.oldestDueAtMs} />],
        ["Delivered", listed("delivered"), count(failed, "failed attempt")],
        ["Undeliverable", listed("undeliverable"), "not retried any more", tone],
      ]}
    />,
    <div class="panel">
      <Chart steps={hours} label="Deliveries by the hour, last day" showsEvents={false} />
    </div>,
  ];
}

export function responseTime({ p50, p95 }: WebhookStats["latencyMs"]): Tile {
  return ["Response time", duration(p50), `p95: ${duration(p95)}`];
}

/** Of what waits, when the first was or is due, Unix milliseconds; null where nothing waits for a time. */
export function FirstDue({ ms }: { ms: number | null }) {
  return ms === null ? "nothing is due" : ["first due ", <Time ms={ms} />];
}

const POOR = 0.5;
const GOOD = 0.95;

function toneOfRate(successRate: number | null): "" | "warn" | "bad" {
  if (successRate === null || successRate >= GOOD) return "";
  return successRate < POOR ? "bad" : "warn";
}
