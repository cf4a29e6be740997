/** What is wrong, worst first: a line for what is wrong with the relay, and one for each webhook that has a problem. */
import type { Child } from "hono/jsx";
import type { ConfigProblem } from "../../config";
import type { Stats } from "../../operations/stats";
import { count } from "../ui/format";
import { DEAD_LETTERS_PATH, type Tone, WEBHOOKS_PATH, WebhookLink } from "../ui/parts";
import { Time } from "../ui/time";
import { byUrgency, Help, hasProblem, Standing, toneOf, type Watched } from "../webhooks/problem";

/** Unless `SILENCE_ALERT` says when silence is worth a word. */
const DEFAULT_SILENCE_MS = 86_400_000;
/** Webhooks named one by one. */
const MAX_NAMED = 20;

export type Problem = { tone: Tone; text: Child; help?: Child };

export type Situation = {
  nowMs: number;
  problems: readonly ConfigProblem[];
  silenceAlertMs: number | null;
  watched: readonly Watched[];
  stats: Stats;
  deadLetters: number;
};

/** Worst first; empty when all is well. */
export function problemsOf(situation: Situation): Problem[] {
  const ofWebhooks = byUrgency(situation.watched)
    // What holds all of them is said once, by its variable.
    .filter((each) => hasProblem(each) && each.stats.health.state !== "misconfigured");
  const found = [
    ...situation.problems.map(
      ({ message }): Problem => ({ tone: "bad", text: <>Configuration: {message}</> }),
    ),
    ...ofWebhooks.slice(0, MAX_NAMED).map(problemOf),
    ...deadLettersOf(situation),
    ...silenceOf(situation),
    ...alertsOf(situation),
    ...moreOf(ofWebhooks.length - MAX_NAMED),
  ];
  return found.toSorted((a, b) => Number(b.tone === "bad") - Number(a.tone === "bad"));
}

export function Problems({ problems }: { problems: readonly Problem[] }) {
  return (
    <ul class="problems" aria-label="What needs somebody, worst first">
      {problems.map(({ tone, text, help }) => (
        <li class={`notice ${tone}`}>
          <p>{text}</p>
          {help}
        </li>
      ))}
    </ul>
  );
}

function problemOf(watched: Watched): Problem {
  return {
    tone: toneOf(watched),
    text: (
      <>
        <WebhookLink webhook={watched.webhook} /> <Standing watched={watched} />
      </>
    ),
    help: <Help watched={watched} />,
  };
}

function moreOf(rest: number): Problem[] {
  if (rest <= 0) return [];
  const text = (
    <>
      <a href={WEBHOOKS_PATH}>{count(rest, "more webhook")}</a> with a problem.
    </>
  );
  return [{ tone: "warn", text }];
}

function deadLettersOf({ deadLetters }: Situation): Problem[] {
  if (deadLetters === 0) return [];
  const text = (
    <>
      <a href={DEAD_LETTERS_PATH}>{count(deadLetters, "dead letter")}</a> could not be handed over:
      redrive or delete {deadLetters === 1 ? "it" : "them"}.
    </>
  );
  return [{ tone: "bad", text }];
}

function silenceOf({ nowMs, silenceAlertMs, stats }: Situation): Problem[] {
  const { lastEventAtMs } = stats;
  const longMs = silenceAlertMs ?? DEFAULT_SILENCE_MS;
  if (lastEventAtMs === null || lastEventAtMs > nowMs - longMs) return [];
  const text = (
    <>
      No event was accepted for long; the last came <Time ms={lastEventAtMs} />. Is the signing
      secret still the one that Leadterra signs with?
    </>
  );
  return [{ tone: "warn", text }];
}

function alertsOf({ stats: { alerts } }: Situation): Problem[] {
  if (alerts === null) return [];
  const { refusedSinceMs, statusCode } = alerts;
  const text = (
    <>
      Alerts reach nobody: ALERT_URL takes none since <Time ms={refusedSinceMs} /> (
      {statusCode === null ? "no answer" : `it answered ${statusCode}`}).
    </>
  );
  return [{ tone: "bad", text }];
}
