/** What Prometheus scrapes: totals that never fall, and how things stand now. */
import { EVENT_TYPES } from "../domain/event";
import type { EventTotals } from "../domain/event-totals";
import { HEALTH_STATES } from "../domain/health-report";
import type { Family, Sample } from "../domain/open-metrics";
import { DURATION_BOUNDS } from "../domain/totals";
import type { Webhook } from "../domain/webhook";
import { countDeadLetters } from "./dead-letters";
import { eventTotals, lastEventAtMs } from "./journal";
import { ownStats, type WebhookStats } from "./stats";
import { allWebhooks } from "./webhooks";

type Scraped = Pick<WebhookStats, "health" | "totals"> & { labels: { webhook: string } };
type Counted = Scraped & { totals: NonNullable<Scraped["totals"]> };

export async function metrics(env: Env): Promise<Family[]> {
  const nowMs = Date.now();
  const webhooks = await allWebhooks(env);
  const [letters, lastAtMs, events, scraped] = await Promise.all([
    countDeadLetters(env),
    lastEventAtMs(env),
    eventTotals(env),
    Promise.all(webhooks.map((webhook) => scrape(env, webhook))),
  ]);
  return [
    ...eventCounters(events),
    ...counters(scraped.filter((each): each is Counted => each.totals !== null)),
    ...gauges(scraped, nowMs),
    gauge("relay_dead_letters", "Dead letters that are kept.", [{ value: letters }]),
    gauge(
      "relay_last_event_timestamp_seconds",
      "When the last event was accepted, Unix time.",
      lastAtMs === null ? [] : [{ value: lastAtMs / 1_000 }],
    ),
  ];
}

function familyOf(type: "gauge" | "counter") {
  return (name: string, help: string, samples: Sample[]): Family => ({ name, type, help, samples });
}
const [gauge, counter] = [familyOf("gauge"), familyOf("counter")];

async function scrape(env: Env, { id, name }: Webhook): Promise<Scraped> {
  const { health, totals } = await ownStats(env, id, Date.now());
  return { health, totals, labels: { webhook: name ?? id } };
}

function eventCounters({ events, duplicates }: EventTotals): Family[] {
  const documented = Object.fromEntries(Object.keys(EVENT_TYPES).map((name) => [name, 0]));
  return [
    counter(
      "relay_events",
      "Leadterra's events; names that were neither documented nor asked for are other.",
      samplesBy({}, "event", { ...documented, ...events }),
    ),
    counter(
      "relay_duplicates",
      "Copies of events that reached a Journal; what KV answered is in the log only.",
      [{ value: duplicates }],
    ),
  ];
}

function counters(scraped: readonly Counted[]): Family[] {
  return [
    counter(
      "relay_attempts",
      "Attempts by what came of them; tests are not among them.",
      scraped.flatMap(({ labels, totals }) => samplesBy(labels, "outcome", totals.attempts)),
    ),
    counter(
      "relay_deliveries",
      "Deliveries that ended, by how; one that is opened again ends again.",
      scraped.flatMap(({ labels, totals }) => samplesBy(labels, "status", totals.deliveries)),
    ),
    {
      name: "relay_attempt_duration_seconds",
      type: "histogram",
      help: "How long attempts took that had an answer.",
      bounds: DURATION_BOUNDS,
      histograms: scraped.map(({ labels, totals: { durations, durationSumMs } }) => ({
        labels,
        counts: durations,
        sum: durationSumMs / 1_000,
      })),
    },
  ];
}

function gauges(scraped: readonly Scraped[], nowMs: number): Family[] {
  const samples = (name: "pending" | "undeliverable"): Sample[] =>
    scraped.map(({ labels, health }) => ({ labels, value: health[name] }));
  const overdue = scraped.flatMap(({ labels, health: { oldestDueAtMs: dueAtMs } }) =>
    dueAtMs === null || dueAtMs > nowMs ? [] : [{ labels, value: (nowMs - dueAtMs) / 1_000 }],
  );
  return [
    gauge("relay_pending", "Deliveries that wait.", samples("pending")),
    gauge(
      "relay_undeliverable",
      "Deliveries that are undeliverable now.",
      samples("undeliverable"),
    ),
    gauge(
      "relay_oldest_due_seconds",
      "How long ago the oldest delivery became due that has not gone out.",
      overdue,
    ),
    gauge(
      "relay_webhook_state",
      "1 for the state that the webhook is in, 0 for the others.",
      scraped.flatMap(({ labels, health }) =>
        HEALTH_STATES.map((state) => ({
          labels: { ...labels, state },
          value: health.state === state ? 1 : 0,
        })),
      ),
    ),
  ];
}

function samplesBy(
  labels: Readonly<Record<string, string>>,
  label: string,
  counts: Readonly<Record<string, number>>,
): Sample[] {
  return Object.entries(counts).map(([value, count]) => ({
    labels: { ...labels, [label]: value },
    value: count,
  }));
}
