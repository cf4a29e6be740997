/**
 * How a webhook is doing, in words: the overview, the list of webhooks and a webhook's own page say it from here, and
 * here it comes from the one object that says so, its health, and from what came of its attempts in the last minutes.
 */
import type { Child } from "hono/jsx";
import { type AttemptError, type AttemptRecord, isGivenUp } from "../../domain/delivery";
import { beginning } from "../../domain/foreign-text";
import type { HealthReport, HealthState } from "../../domain/health-report";
import { hasFailedLast, isSoonOver, waitsForRetry } from "../../domain/late";
import { DISABLED_BECAUSE } from "../../domain/vocabulary";
import type { Webhook } from "../../domain/webhook";
import { sumOf, type WebhookStats } from "../../operations/stats";
import { LastOutcome } from "../deliveries/attempts";
import { count, number, waiting } from "../ui/format";
import { Badge, foreign, type Tone } from "../ui/parts";
import { deliveryPath } from "../ui/paths";
import { Time } from "../ui/time";
import { figuresOf, remedyFor } from "./late";

/** A webhook and how it is doing; null where its object does not answer. */
export type Listed = { webhook: Webhook; stats: WebhookStats | null };

export type Watched = Listed & {
  stats: WebhookStats;
  /** What ended the newest that stopped retrying; undefined where nobody looked for it. */
  ended?: AttemptRecord | null;
  /** The delivery of its last failure is not kept any more; undefined where nobody looked for it. */
  isGone?: boolean;
};

/** What a webhook has on top of its health: one that is well by its state may have deliveries that stopped retrying, or fail at many. */
type Kind = HealthState | "undeliverable" | "unsteady";

/** The most urgent first. */
const TONES: Record<Kind, Tone> = {
  disabled: "bad",
  misconfigured: "bad",
  probing: "bad",
  failing: "bad",
  undeliverable: "bad",
  unsteady: "warn",
  unconnected: "warn",
  late: "warn",
  postponed: "warn",
  paused: "warn",
  healthy: "good",
};
const URGENCY = Object.keys(TONES);

/** Of the attempts of the last minutes, fewer failed ones are no trouble, nor is a smaller share of them. */
const UNSTEADY = { failed: 3, share: 0.05 };

function kindOf({ stats: { health, lately } }: Watched): Kind {
  if (health.state !== "healthy") return health.state;
  if (health.undeliverable > 0) return "undeliverable";
  const { failed, all } = attemptsIn(lately);
  const isUnsteady = failed >= UNSTEADY.failed && failed >= UNSTEADY.share * all;
  return isUnsteady && health.pending > 0 && health.lastFailure !== null ? "unsteady" : "healthy";
}

function attemptsIn(steps: WebhookStats["lately"]) {
  const failed = sumOf(steps, "failedAttempts") ?? 0;
  return { failed, all: failed + (sumOf(steps, "delivered") ?? 0) };
}

/** Whether it takes deliveries, and has some that stopped retrying. */
export function isUndeliverable(watched: Watched): boolean {
  return kindOf(watched) === "undeliverable";
}

/** A pause with nothing waiting is what somebody wanted; what stopped retrying nobody did. */
export function hasProblem(watched: Watched): boolean {
  const { pending, undeliverable } = watched.stats.health;
  const kind = kindOf(watched);
  return kind !== "healthy" && (kind !== "paused" || pending + undeliverable > 0);
}

/** The service refuses what it is sent now, or much of it, and is tried again. */
export function isFailing(watched: Watched): boolean {
  const isOne = ["probing", "failing", "postponed", "unsteady"].includes(kindOf(watched));
  return isOne || waitsForRetry(watched.webhook, watched.stats.health);
}

/** It is well by its state, and all that waits has failed before: what is new is due at once. */
export function isRetried({ stats: { health } }: Watched): boolean {
  const waits = (health.oldestDueAtMs ?? 0) > Date.now() && health.lastFailure !== null;
  return waits && health.state === "healthy";
}

/** It is well by its state, for one failure or two are no trouble yet; they are not kept quiet. */
export function hasStumbled(watched: Watched): boolean {
  return kindOf(watched) === "healthy" && hasFailedLast(watched.stats.health);
}

/** Those that need somebody first, those before all of which nothing is known; the rest in the order that they came in. */
export function byUrgency<Each extends Listed>(listed: readonly Each[]): Each[] {
  const place = ({ webhook, stats }: Listed) =>
    stats === null ? -1 : URGENCY.indexOf(kindOf({ webhook, stats }));
  return listed.toSorted((a, b) => place(a) - place(b));
}

export function toneOf(watched: Watched): Tone {
  return TONES[kindOf(watched)];
}

/** The state by its name: the same word on every page and in the API. */
export function StateBadge({ watched }: { watched: Watched }) {
  const { state, undeliverable } = watched.stats.health;
  return [
    <Badge tone={TONES[state]}>{state}</Badge>,
    undeliverable > 0 && <small class="wrong below">{number(undeliverable)} undeliverable</small>,
    kindOf(watched) === "unsteady" && (
      <small class="wrong below">{failedOf(attemptsIn(watched.stats.lately))} failed lately</small>
    ),
    hasStumbled(watched) && <small class="below">last attempt failed</small>,
  ];
}

type Words = (watched: Watched) => Child;

const CAUSES: Record<Kind, Words> = {
  disabled: ({ webhook: { statusReason }, stats: { health } }) =>
    became(health, statusReason !== null && `: ${DISABLED_BECAUSE[statusReason]}`, "."),
  misconfigured: () =>
    "Misconfigured: a variable of the relay's configuration has no usable value.",
  probing: failing,
  failing,
  unconnected: ({ stats }) => became(stats.health, ": no listener is connected."),
  late: (watched) => {
    const { health } = watched.stats;
    return waitsForRetry(watched.webhook, health)
      ? failing(watched, ", because the order waits for one that failed")
      : became(health, ": the oldest delivery was due ", <Time ms={health.oldestDueAtMs} />, ".");
  },
  undeliverable: (watched) => {
    const { ended, stats } = watched;
    return [
      `Healthy, but ${number(stats.health.undeliverable)} undeliverable`,
      ended && [", the last ", <Time ms={ended.startedAtMs + ended.durationMs} />],
      cause(endedBy(watched)),
    ];
  },
  unsteady: ({ stats: { health, lately } }) => [
    `Healthy, but ${failedOf(attemptsIn(lately))} attempts since `,
    <Time ms={lately[0]?.atMs ?? null} isSince />,
    " failed, the last ",
    <Time ms={health.lastFailure?.atMs ?? null} />,
    cause(health.lastFailure),
  ],
  postponed: (watched) => failing(watched, ", because the service asked for a pause"),
  paused: ({ stats }) => became(stats.health, "."),
  healthy: (watched) =>
    hasStumbled(watched) ? ["All is well, but the ", <LastAttempt {...watched} />] : "All is well.",
};

function failedOf({ failed, all }: ReturnType<typeof attemptsIn>): string {
  return `${number(failed)} of ${number(all)}`;
}

/** `last attempt of CRM failed: 500 refused.` @param of what it is said of, where that is not the page's own */
export function LastAttempt({ webhook, stats, isGone, of }: Watched & { of?: Child }) {
  const { health } = stats;
  const path = deliveryPath(webhook.id, health.lastFailure?.eventId ?? "");
  return (
    <>
      {isGone ? "last attempt" : <a href={path}>last attempt</a>}
      {of !== undefined && <> of {of}</>} failed
      {cause(health.lastFailure)}
    </>
  );
}

function failing({ stats: { health } }: Watched, why?: string): Child {
  return became(health, why, cause(health.lastFailure));
}

/** `Late since 21:14`, and what there is to say of it. */
function became({ state, sinceMs }: HealthReport, ...more: Child[]): Child {
  const name = state.charAt(0).toUpperCase() + state.slice(1);
  return [name, sinceMs !== null && [" since ", <Time ms={sinceMs} isSince />], more];
}

type Failure = Pick<AttemptRecord, "statusCode" | "error" | "responseBody">;

/** An answer of `giveUpOn` is no failure of the webhook: only where it has none is the last failure what ended them. */
function endedBy({ webhook, stats, ended }: Watched): Failure | null {
  if (ended !== undefined) return ended;
  return webhook.giveUpOn.length === 0 ? stats.health.lastFailure : null;
}

const MAX_CAUSE_CHARACTERS = 160;

/** `: 500 refused, “could not connect to postgres”`. */
function cause(of: Failure | null): Child {
  if (of === null) return ".";
  const { statusCode, error, responseBody } = of;
  const said = firstLine(responseBody ?? "");
  return [
    ": ",
    <LastOutcome delivery={{ lastStatusCode: statusCode, lastError: error }} />,
    said !== "" && [", “", foreign(beginning(said, MAX_CAUSE_CHARACTERS)), "”"],
    ".",
  ];
}

const UNSAID = /<(style|script)\b.*?(<\/\1>|$)|<!--.*?(-->|$)|<[^<>]*(>|$)/gis;

/** Of a page of HTML, what it says. */
function firstLine(body: string): string {
  const text = /^\s*</.test(body) ? body.replace(UNSAID, " ") : body;
  return text.replace(/\s+/g, " ").trim();
}

/** How many wait, when the relay tries next, and what happens then. */
const NEXT: Record<Kind, Words> = {
  disabled: (watched) => [
    held(watched),
    watched.webhook.statusReason === "gone"
      ? " Resume it once the service is there again, or give it the URL that the service has now."
      : " Resume it once the service takes what it is sent.",
  ],
  misconfigured: held,
  probing: tried,
  failing: tried,
  unconnected: (watched) => (
    <>
      {held(watched)} Whoever has <code>npm run listen</code> starts it again; after 24 hours
      without a listener the webhook is deleted, with what it holds.
    </>
  ),
  late: (watched) => {
    const isOver = isFailing(watched) || isSoonOver(watched.webhook, figuresOf(watched.stats));
    return [tried(watched), " ", !isOver && remedyFor(watched)];
  },
  undeliverable: (watched) => [
    watched.stats.health.pending === 0
      ? "What stopped retrying is not tried again by itself; nothing else waits."
      : tried(watched),
    givenUp(watched),
  ],
  unsteady: tried,
  postponed: tried,
  paused: held,
  healthy: (watched) => {
    const { pending } = watched.stats.health;
    if (pending === 0) return "Nothing waits.";
    const isFailed = hasStumbled(watched) || isRetried(watched);
    return isFailed ? tried(watched) : `${waiting(pending)}.`;
  },
};

function givenUp({ webhook, ended }: Watched): Child {
  if (ended == null || !isGivenUp(ended, webhook)) return null;
  return ` By its settings it gives up on ${ended.statusCode} at once. Replay them once the service takes them, or take that status out of the settings.`;
}

function held({ stats: { health } }: Watched): string {
  if (health.pending === 0) return "Nothing waits for it.";
  return `${count(health.pending, "delivery is", "deliveries are")} held.`;
}

/** Of one that waits, and of several. */
const HOW_AND_THEN: { [State in HealthState]?: Record<"one" | "many", readonly [string, string]> } =
  {
    probing: {
      one: ["It is probed,", "a success ends that."],
      many: ["They are probed one at a time,", "the first success lets the others go."],
    },
    failing: {
      one: [
        "It is tried again by its schedule,",
        "nothing has to be done here once the service takes it.",
      ],
      many: [
        "Each is tried again by its schedule,",
        "nothing has to be done here once the service takes them.",
      ],
    },
    postponed: {
      one: ["As it asked,", "then it goes out."],
      many: ["As it asked,", "then they go out."],
    },
    late: {
      one: ["It goes out in its turn,", "what comes meanwhile goes behind it."],
      many: ["They go out in turn,", "what comes meanwhile goes behind them."],
    },
    healthy: {
      one: ["It goes out by its schedule,", "what stopped retrying waits for a replay."],
      many: ["Each goes out by its schedule,", "what stopped retrying waits for a replay."],
    },
  };

const RETRIED_IN_ORDER = [
  "It is tried again by its schedule,",
  "the others go out behind it.",
] as const;

/** While it fails, nothing that came later is tried. */
const FAILS_IN_ORDER = [
  "The oldest is tried again by its schedule,",
  "the others wait until it is taken, given up on or cancelled.",
] as const;

/** How what waits is tried, and what happens then. */
function howAndThen(webhook: Webhook, health: HealthReport, state: HealthState) {
  if (waitsForRetry(webhook, health)) return RETRIED_IN_ORDER;
  const isOne = health.pending === 1;
  if (webhook.ordered && state === "failing" && !isOne) return FAILS_IN_ORDER;
  return HOW_AND_THEN[state]?.[isOne ? "one" : "many"] ?? [];
}

/** What is due waits for a slot, and goes as soon as there is one; else what has no time is under way. */
function untimed({ ordered }: Webhook, { state, oldestDueAtMs }: HealthReport): string {
  const isUnderWay = ordered || state === "probing" || oldestDueAtMs === null;
  return isUnderWay ? "an attempt is under way" : "now";
}

/** What ends a failure that no retry ends; a change since then may have been just that. */
const NEEDED: { [error in AttemptError]?: string } = {
  redirect: "the webhook needs the URL that it is redirected to.",
  forbidden_target: "the webhook needs a URL that is allowed.",
};

function tried(watched: Watched): Child {
  const { webhook, stats } = watched;
  const { health } = stats;
  const { pending, nextAttemptAtMs } = health;
  if (pending === 0) return "Nothing waits, so nothing is tried before the next event.";
  const isFailed = health.state === "healthy" && !isUndeliverable(watched);
  const state = isFailed ? "failing" : health.state;
  const [how, then] = howAndThen(webhook, health, state);
  const isAsItFailed =
    hasFailedLast(health) && webhook.updatedAtMs <= (health.lastFailure?.atMs ?? 0);
  const needed = isAsItFailed && NEEDED[health.lastFailure?.error ?? "status"];
  const isTimed = nextAttemptAtMs !== null;
  const next = isTimed
    ? ["next ", <Time ms={nextAttemptAtMs} isAhead />]
    : untimed(webhook, health);
  return [`${waiting(pending)}. `, how, " ", next, "; ", needed || then];
}

export function standing(watched: Watched): Child {
  const kind = kindOf(watched);
  const { undeliverable } = watched.stats.health;
  const isSaid = kind === "undeliverable" || undeliverable === 0;
  return [
    <strong>{CAUSES[kind](watched)}</strong>,
    " ",
    NEXT[kind](watched),
    !isSaid &&
      ` ${number(undeliverable)} undeliverable: ${undeliverable === 1 ? "it" : "they"} stopped retrying.`,
  ];
}
