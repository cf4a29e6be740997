/** What is wrong, worst first: a line for what is wrong with the relay, and one for each webhook that has a problem. */
import type { Child } from "hono/jsx";
import { type ConfigProblem, holdsDeliveries } from "../../config";
import { type OpenAlert, pageOf, webhookOf } from "../../domain/alert";
import { beginning } from "../../domain/foreign-text";
import { LATE_AFTER_MS } from "../../domain/health";
import type { Webhook } from "../../domain/webhook";
import type { Unanswered } from "../../operations/objects";
import type { KnownStats } from "../../operations/stats";
import { count, deliveries } from "../ui/format";
import { foreign, type Tone, WebhookLink } from "../ui/parts";
import { DEAD_LETTERS_PATH, WEBHOOKS_PATH } from "../ui/paths";
import { Time } from "../ui/time";
import { doesNotAnswer } from "../ui/unanswered";
import { Help } from "../webhooks/health";
import { byUrgency, hasProblem, standing, toneOf, type Watched } from "../webhooks/problem";

/** Webhooks named one by one. */
export const MAX_NAMED = 20;
/** Alerts whose matter is said, or not so any more, by what the page knows of this moment. */
const KNOWN_NOW = /^(disabled|undeliverable|dead letters|misconfigured|silence)\b/;
/** Alerts of an object that did not answer, or would not. */
const SILENT = /^(unreachable|newer data)\b/;
/** What an alert calls its webhook, as it was called then, ends with the last bracket: what is said of it has none. */
const NAMED = /^webhook (.*\)) /s;
const MAX_NAME_CHARACTERS = 80;
const INSTANT = /(\d{4}-\d\d-\d\dT[\d:.]+Z)/;

export type Problem = { tone: Tone; text: Child; help?: Child };

const bad = (text: Child): Problem => ({ tone: "bad", text });
const warn = (text: Child): Problem => ({ tone: "warn", text });

export type Situation = {
  nowMs: number;
  problems: readonly ConfigProblem[];
  silenceAlertMs: number | null;
  webhooks: readonly Webhook[];
  watched: readonly Watched[];
  stats: KnownStats;
  unanswered: readonly Unanswered[];
  /** How many there are; null where nobody knows. */
  deadLetters: number | null;
};

/** Worst first; empty when all is well. */
export function problemsOf(situation: Situation): Problem[] {
  const { webhooks, watched, stats, unanswered, deadLetters } = situation;
  const isSaid = ({ cause }: OpenAlert) =>
    unanswered.some(({ object }) => SILENT.test(cause) && cause.endsWith(object));
  const alerts = stats.openAlerts.filter((alert) => isNews(alert, watched) && !isSaid(alert));
  const ofWebhooks = byUrgency(watched).flatMap((each) => webhookLine(each, alerts, situation));
  const others = alerts.filter(
    (alert) => !watched.some(({ webhook }) => webhook.id === webhookOf(alert)),
  );
  const silent = unanswered.slice(0, MAX_NAMED).map((of) => ({
    of,
    own: others.filter((alert) => of.object.endsWith(webhookOf(alert) ?? " ")),
  }));
  const ofLetters = others.filter((alert) => pageOf(alert) === DEAD_LETTERS_PATH);
  const found = [
    situation.problems.map((problem) => configLine(problem, watched)),
    silent.map(({ of, own }) =>
      bad([doesNotAnswer({ of, webhooks }), " ", <Told alerts={own} isNamed />]),
    ),
    ofWebhooks.slice(0, MAX_NAMED),
    deadLetters ? deadLettersLine(deadLetters, ofLetters) : [],
    others
      .filter((alert) => !silent.some(({ own }) => own.includes(alert)))
      .filter((alert) => !ofLetters.includes(alert) || SILENT.test(alert.cause))
      .map((alert) => bad(<Told alerts={[alert]} />)),
    queuesOf(situation),
    silenceOf(situation),
    alertsOf(situation),
    moreOf(
      unanswered,
      (rest) => `${count(rest, "more object does", "more objects do")} not answer.`,
    ),
    moreOf(ofWebhooks, (rest) => [
      <a href={WEBHOOKS_PATH}>{count(rest, "more webhook")}</a>,
      " with a problem.",
    ]),
  ].flat();
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

/**
 * Whether it says more than what the page knows of this moment, and is not gainsaid by it. Of a webhook that does not
 * answer the page knows nothing.
 */
function isNews(alert: OpenAlert, watched: readonly Watched[]): boolean {
  const about = watched.find(({ webhook }) => webhook.id === webhookOf(alert))?.stats;
  if (about === undefined && webhookOf(alert) !== null) return true;
  if (KNOWN_NOW.test(alert.cause)) return false;
  const [what] = alert.cause.split(" ");
  if (what !== "failing" && what !== "overdue") return true;
  if (about?.health.state !== "healthy") return false;
  return (what === "failing" ? about.failingSinceMs : about.oldestDueAtMs) !== null;
}

/** A webhook's one line, by its state and what else was found; none where it is well. */
function webhookLine(watched: Watched, alerts: readonly OpenAlert[], { problems }: Situation) {
  const { webhook, stats } = watched;
  const own = alerts.filter((alert) => webhookOf(alert) === webhook.id);
  // What holds all of them is said once, by its variable.
  const isSaid = stats.health.state === "misconfigured" && problems.some(holdsDeliveries);
  const isShown = hasProblem(watched) && !isSaid;
  if (!isShown && own.length === 0) return [];
  const text = (
    <>
      <WebhookLink webhook={webhook} /> {isShown && standing(watched)} <Told alerts={own} isNamed />
    </>
  );
  const tone = own.length > 0 ? "bad" : toneOf(watched);
  return { tone, text, help: isShown && <Help watched={watched} /> };
}

/** What alerts say, each with when it was found. @param isNamed the webhook's name stands before it already. */
function Told({ alerts, isNamed }: { alerts: readonly OpenAlert[]; isNamed?: boolean }) {
  return [
    alerts.map((alert) => {
      const said = alert.text
        .replace("Leadterra Relay: ", "")
        .replace(NAMED, (_, name: string) =>
          isNamed ? "It " : `webhook ${beginning(name, MAX_NAME_CHARACTERS)} `,
        );
      return (
        <>
          {said
            .split(INSTANT)
            .map((part, index) =>
              index % 2 === 0 ? foreign(part) : <Time ms={Date.parse(part)} />,
            )}{" "}
          <small class="quiet">
            Found <Time ms={alert.foundAtMs} />.
          </small>{" "}
        </>
      );
    }),
  ];
}

function configLine(problem: ConfigProblem, watched: readonly Watched[]): Problem {
  const held = watched.filter(({ stats }) => stats.health.state === "misconfigured");
  const pending = held.reduce((sum, { stats }) => sum + stats.health.pending, 0);
  return bad(
    <>
      Configuration: {problem.message}
      {holdsDeliveries(problem) &&
        pending > 0 &&
        ` ${deliveries(pending)} of ${count(held.length, "webhook")} ${pending === 1 ? "is held until then, and goes" : "are held until then, and go"} out by ${pending === 1 ? "itself" : "themselves"}.`}
    </>,
  );
}

function moreOf(all: readonly unknown[], words: (rest: number) => Child): Problem | [] {
  const rest = all.length - MAX_NAMED;
  return rest > 0 ? warn(words(rest)) : [];
}

function deadLettersLine(deadLetters: number, alerts: readonly OpenAlert[]): Problem {
  return bad(
    <>
      <a href={DEAD_LETTERS_PATH}>{count(deadLetters, "dead letter")}</a> could not be handed over:
      redrive or delete {deadLetters === 1 ? "it" : "them"}.{" "}
      <Told alerts={alerts.filter(({ cause }) => !SILENT.test(cause))} />
    </>,
  );
}

/** What passes through a queue is no problem; what stays in it is. */
function queuesOf({ nowMs, stats: { queues } }: Situation): Problem[] {
  const named = [
    [queues.events, "of events"],
    [queues.deadLetters, "of dead letters"],
  ] as const;
  return named.flatMap(([{ backlog, oldestAtMs }, ofWhat]) => {
    if (!backlog || oldestAtMs === null || oldestAtMs > nowMs - LATE_AFTER_MS) return [];
    return warn(
      <>
        {count(backlog, "message waits", "messages wait")} in the queue {ofWhat}, the oldest since{" "}
        <Time ms={oldestAtMs} isSince />: the relay takes each as soon as what is in its way has
        gone. The log's lines <code>consumer.…</code> say what that is.
      </>,
    );
  });
}

function silenceOf({ nowMs, silenceAlertMs, stats }: Situation): Problem | [] {
  const { lastEventAtMs } = stats;
  if (silenceAlertMs === null || lastEventAtMs === null) return [];
  if (lastEventAtMs > nowMs - silenceAlertMs) return [];
  return warn(
    <>
      No event was accepted for long; the last came <Time ms={lastEventAtMs} />. If Leadterra signs
      with another secret by now, each is refused, and the log has <code>request.failed</code> with{" "}
      <code>invalid_signature</code>: add that secret to <code>LEADTERRA_SIGNING_SECRETS</code>,
      behind a comma. Leadterra sends again what was refused for some eleven hours; replay from its
      dashboard what is older.
    </>,
  );
}

function alertsOf({ stats: { alerts } }: Situation): Problem | [] {
  if (alerts === null) return [];
  const { refusedSinceMs, statusCode } = alerts;
  return bad(
    <>
      Alerts reach nobody: ALERT_URL takes none since <Time ms={refusedSinceMs} isSince /> (
      {statusCode === null ? "no answer" : `it answered ${statusCode}`}).
    </>,
  );
}
