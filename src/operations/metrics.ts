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
    {
      name: "relay_dead_letters",
      type: "gauge",
      help: "Dead letters that are kept.",
      samples: [{ value: letters }],
    },
    {
      name: "relay_last_event_timestamp_seconds",
      type: "gauge",
      help: "When the last event was accepted, Unix time.",
      samples: lastAtMs === null ? [] : [{ value: lastAtMs / 1_000 }],
    },
  ];
}

async function scrape(env: Env, { id, name }: Webhook): Promise<Scraped> {
  const { health, totals } = await ownStats(env, id, Date.now());
  return { health, totals, labels: { webhook: name ?? id } };
}

function eventCounters({ events, duplicates }: EventTotals): Family[] {
  const documented = Object.fromEntries(Object.keys(EVENT_TYPES).map((name) => [name, 0]));
  return [
    {
      name: "relay_events",
      type: "counter",
      help: "Leadterra's events; names that were neither documented nor asked for are other.",
      samples: samplesBy({}, "event", { ...documented, ...events }),
    },
    {
      name: "relay_duplicates",
      type: "counter",
      help: "Copies of events that reached a Journal; what KV answered is in the log only.",
      samples: [{ value: duplicates }],
    },
  ];
}

function counters(scraped: readonly Counted[]): Family[] {
  return [
    {
      name: "relay_attempts",
      type: "counter",
      help: "Attempts by what came of them; tests are not among them.",
      samples: scraped.flatMap(({ labels, totals: { attempts } }) =>
        samplesBy(labels, "outcome", attempts),
      ),
    },
    {
      name: "relay_deliveries",
      type: "counter",
      help: "Deliveries that ended, by how; one that is opened again ends again.",
      samples: scraped.flatMap(({ labels, totals: { deliveries } }) =>
        samplesBy(labels, "status", deliveries),
      ),
    },
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
  return [
    {
      name: "relay_pending",
      type: "gauge",
      help: "Deliveries that wait.",
      samples: scraped.map(({ labels, health }) => ({ labels, value: health.pending })),
    },
    {
      name: "relay_undeliverable",
      type: "gauge",
      help: "Deliveries that are undeliverable now.",
      samples: scraped.map(({ labels, health }) => ({ labels, value: health.undeliverable })),
    },
    {
      name: "relay_oldest_due_seconds",
      type: "gauge",
      help: "How long ago the oldest delivery became due that has not gone out.",
      samples: scraped.flatMap(({ labels, health: { oldestDueAtMs } }) =>
        oldestDueAtMs === null || oldestDueAtMs > nowMs
          ? []
          : [{ labels, value: (nowMs - oldestDueAtMs) / 1_000 }],
      ),
    },
    {
      name: "relay_webhook_state",
      type: "gauge",
      help: "1 for the state that the webhook is in, 0 for the others.",
      samples: scraped.flatMap(({ labels, health }) =>
        HEALTH_STATES.map((state) => ({
          labels: { ...labels, state },
          value: health.state === state ? 1 : 0,
        })),
      ),
    },
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
