/** What is wrong, most urgent first: the sentence that the overview opens with. */
import type { Child } from "hono/jsx";
import type { ConfigProblem } from "../../config";
import type { StatusReason, Webhook } from "../../domain/webhook";
import type { Stats, WebhookStats } from "../../operations/stats";
import { count, waiting } from "../ui/format";
import { WebhookLink } from "../ui/parts";
import { Time } from "../ui/time";

const MINUTE_MS = 60_000;
/** Shorter, a failing webhook is told but not yet alarming: the first retry often helps. */
const FAILING_MS = 2 * MINUTE_MS;
/** A delivery is due and sent within seconds; past this something holds it up. */
export const OVERDUE_MS = 5 * MINUTE_MS;
/** Unless `SILENCE_ALERT` says when silence is worth a word. */
const DEFAULT_SILENCE_MS = 86_400_000;
/** Webhooks named one by one; the table below has them all. */
const MAX_NAMED = 5;

export type Trouble = { tone: "bad" | "warn"; text: Child };

/** A webhook and how it is doing. */
export type Watched = { webhook: Webhook; stats: WebhookStats };

export type Situation = {
  nowMs: number;
  problems: readonly ConfigProblem[];
  silenceAlertMs: number | null;
  watched: readonly Watched[];
  stats: Stats;
  deadLetters: number;
  /** `the last hour` */
  period: string;
};

/** Most urgent first; empty when everything is all right. */
export function troublesOf(situation: Situation): Trouble[] {
  const ofWebhooks = URGENCY.flatMap(({ applies, say }) => {
    const them = situation.watched.filter((each) => applies(each, situation.nowMs));
    const named = them.slice(0, MAX_NAMED).map((each) => say(each, situation));
    const rest = them.length - named.length;
    return rest === 0 ? named : [...named, andMore(rest, named[0]?.tone ?? "warn")];
  });
  return [
    ...situation.problems.map(
      ({ message }): Trouble => ({ tone: "bad", text: <>Configuration: {message}</> }),
    ),
    ...ofWebhooks,
    ...deadLettersOf(situation),
    ...silenceOf(situation),
    ...undeliverableOf(situation),
    ...situation.watched.filter(isHolding).slice(0, MAX_NAMED).map(sayPaused),
  ];
}

/** Those that need somebody first; the rest in the order that they came in. */
export function byUrgency(watched: readonly Watched[], nowMs: number): Watched[] {
  return watched.toSorted((a, b) => urgencyOf(a, nowMs) - urgencyOf(b, nowMs));
}

/** The place of a webhook among those that need somebody: 0 is the most urgent. */
function urgencyOf(watched: Watched, nowMs: number): number {
  const place = URGENCY.findIndex(({ applies }) => applies(watched, nowMs));
  if (place >= 0) return place;
  if (watched.stats.undeliverable > 0) return URGENCY.length;
  return watched.webhook.status === "paused" ? URGENCY.length + 1 : URGENCY.length + 2;
}

type Kind = {
  applies: (watched: Watched, nowMs: number) => boolean;
  say: (watched: Watched, situation: Situation) => Trouble;
};

const URGENCY: readonly Kind[] = [
  { applies: ({ webhook }) => webhook.status === "disabled", say: sayDisabled },
  { applies: isFailing, say: sayFailing },
  { applies: isOverdue, say: sayOverdue },
];

const DISABLED: Record<StatusReason, string> = {
  gone: "its service answered 410 Gone",
  failing: "it failed for five days",
};

/** It is called, and does not take deliveries. */
export function isFailing({ webhook, stats }: Watched): boolean {
  return webhook.status === "active" && stats.failingSinceMs !== null;
}

function isOverdue({ webhook, stats }: Watched, nowMs: number): boolean {
  const { oldestDueAtMs } = stats;
  return (
    webhook.status === "active" && oldestDueAtMs !== null && oldestDueAtMs < nowMs - OVERDUE_MS
  );
}

function isHolding({ webhook, stats }: Watched): boolean {
  return webhook.status === "paused" && stats.pending > 0;
}

function sayDisabled({ webhook, stats }: Watched): Trouble {
  const why = webhook.statusReason === null ? "" : `: ${DISABLED[webhook.statusReason]}`;
  return {
    tone: "bad",
    text: (
      <>
        <WebhookLink webhook={webhook} /> is disabled{why}. {held(stats)} Resume it when its service
        is back.
      </>
    ),
  };
}

function sayFailing({ webhook, stats }: Watched, { nowMs }: Situation): Trouble {
  const sinceMs = stats.failingSinceMs ?? nowMs;
  return {
    tone: sinceMs < nowMs - FAILING_MS ? "bad" : "warn",
    text: (
      <>
        <WebhookLink webhook={webhook} /> does not take deliveries; the first failure was{" "}
        <Time ms={sinceMs} />. {waiting(stats.pending)} and will be retried.
      </>
    ),
  };
}

function sayOverdue({ webhook, stats }: Watched): Trouble {
  return {
    tone: "bad",
    text: (
      <>
        <WebhookLink webhook={webhook} /> has a delivery that was due{" "}
        <Time ms={stats.oldestDueAtMs} /> and has not gone out;{" "}
        {count(stats.pending, "waits", "wait")} in all.
      </>
    ),
  };
}

function sayPaused({ webhook, stats }: Watched): Trouble {
  return {
    tone: "warn",
    text: (
      <>
        <WebhookLink webhook={webhook} /> is paused. {held(stats)}
      </>
    ),
  };
}

function andMore(rest: number, tone: Trouble["tone"]): Trouble {
  return {
    tone,
    text: (
      <>
        So it is with <a href="/dashboard/webhooks">{count(rest, "more webhook")}</a>.
      </>
    ),
  };
}

function deadLettersOf({ deadLetters }: Situation): Trouble[] {
  if (deadLetters === 0) return [];
  return [
    {
      tone: "bad",
      text: (
        <>
          <a href="/dashboard/dead-letters">{count(deadLetters, "dead letter")}</a>: could not be
          handed over. Redrive or delete {deadLetters === 1 ? "it" : "them"}.
        </>
      ),
    },
  ];
}

function silenceOf({ nowMs, silenceAlertMs, watched, stats }: Situation): Trouble[] {
  const { lastEventAtMs } = stats;
  const longMs = silenceAlertMs ?? DEFAULT_SILENCE_MS;
  if (watched.length === 0 || lastEventAtMs === null || lastEventAtMs > nowMs - longMs) return [];
  return [
    {
      tone: "warn",
      text: (
        <>
          No event was accepted for long; the last came <Time ms={lastEventAtMs} />. Is the signing
          secret still the one that Leadterra signs with?
        </>
      ),
    },
  ];
}

function undeliverableOf({ watched, period }: Situation): Trouble[] {
  const them = watched.filter(({ stats }) => stats.undeliverable > 0);
  if (them.length === 0) return [];
  const total = them.reduce((sum, { stats }) => sum + stats.undeliverable, 0);
  const [first] = them;
  return [
    {
      tone: "warn",
      text: (
        <>
          {count(total, "delivery was", "deliveries were")} given up within {period} (
          {them.length === 1 && first !== undefined ? (
            <WebhookLink webhook={first.webhook} />
          ) : (
            count(them.length, "webhook")
          )}
          ). Replay them when the service takes them again.
        </>
      ),
    },
  ];
}

/** How much a webhook that is held keeps waiting. */
export function held({ pending }: WebhookStats): string {
  return pending === 0
    ? "Nothing waits for it."
    : `${count(pending, "delivery is", "deliveries are")} held.`;
}
