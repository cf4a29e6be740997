/**
 * scheduled(), every 5 minutes by cron: wakes what should have woken itself, and finds what a person should know.
 * What does not answer in time is itself such a thing, and keeps nothing else from being looked at.
 */
import { configOf } from "./config";
import { inTime } from "./deadline";
import {
  type AlertText,
  objectAlert,
  relayAlert,
  waitingLettersAlert,
  webhookAlert,
} from "./domain/alert";
import { NewerDataError } from "./domain/no-answer";
import { journalName } from "./domain/placement";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "./domain/time";
import type { Webhook } from "./domain/webhook";
import { errorText, logError } from "./log";
import { lastEventAtMs } from "./operations/journal";
import { DEAD_LETTERS, deadLetters, journalOf, registry, subscriberOf } from "./operations/objects";
import { outlastsRetention } from "./operations/webhooks";

const OVERDUE_AFTER_MS = HOUR_MS;
const FAILING_AFTER_MS = 15 * MINUTE_MS;
/** How many Subscribers are asked at a time: an invocation has six connections. */
const AT_A_TIME = 6;
const CALL_TIMEOUT_MS = 10_000;
/** How often the sweep comes. */
const SWEEP_MS = 5 * MINUTE_MS;
/** So many days behind `RETENTION` are looked at, all of them within 33 hours. */
const OLD_DAYS = 400;
/** A listener that was not connected for so long is forgotten. */
const UNCONNECTED_FOR_MS = DAY_MS;

/** What may be so: each is raised when it is, and over when it is not. */
type Finding = readonly [alert: AlertText, isSo: boolean];

export async function sweep(env: Env): Promise<void> {
  const sinceMs = Date.now();
  const webhooks = await inTime(registry(env).all(), CALL_TIMEOUT_MS);
  const findings: Finding[] = [];
  for (let index = 0; index < webhooks.length; index += AT_A_TIME) {
    const some = webhooks.slice(index, index + AT_A_TIME);
    findings.push(...(await Promise.all(some.map((each) => checkSubscriber(each, env)))).flat());
  }
  findings.push(
    ...(await checkDeadLetters(env)),
    ...(await checkOldJournals(env)),
    ...(await checkSilence(webhooks, env)),
    checkConfig(env),
  );
  await inTime(
    registry(env).report({
      raised: findings.filter(([, isSo]) => isSo).map(([alert]) => alert),
      looked: findings.map(([alert]) => alert.cause),
      sinceMs,
    }),
    CALL_TIMEOUT_MS,
  );
  await inTime(registry(env).check(), CALL_TIMEOUT_MS);
}

async function checkSubscriber(webhook: Webhook, env: Env): Promise<Finding[]> {
  const { status, statusReason } = webhook;
  const decided: Finding[] = [
    [webhookAlert(webhook, "disabled", statusReason ?? "failing"), status === "disabled"],
    [webhookAlert(webhook, "cut off"), outlastsRetention(env, webhook.retrySchedule)],
  ];
  const found = await ask(`Subscriber ${webhook.id}`, subscriberOf(env, webhook.id).check());
  if (found.answer === null) return [...decided, ...found.findings];
  // An object of the release before does not say the last four.
  const { overdueSinceMs, expiresAtMs, cannotRetain = false, unwritten = 0 } = found.answer;
  const { undeliverable = 0, failingSinceMs = null } = found.answer;
  const nowMs = Date.now();
  const { unconnectedSinceMs = null, pending = 0 } = found.answer;
  if (unconnectedSinceMs !== null && unconnectedSinceMs <= nowMs - UNCONNECTED_FOR_MS) {
    const expired = registry(env).expireListener(webhook.id, pending);
    return (await ask(`Subscriber ${webhook.id}`, expired)).findings;
  }
  return [
    ...decided,
    ...found.findings,
    [
      webhookAlert(webhook, "failing", failingSinceMs ?? nowMs),
      failingSinceMs !== null && failingSinceMs <= nowMs - FAILING_AFTER_MS,
    ],
    [webhookAlert(webhook, "undeliverable", undeliverable), undeliverable > 0],
    [
      webhookAlert(webhook, "overdue", overdueSinceMs ?? nowMs),
      overdueSinceMs !== null && overdueSinceMs < nowMs - OVERDUE_AFTER_MS,
    ],
    [webhookAlert(webhook, "expiring", expiresAtMs ?? nowMs), isExpiring(expiresAtMs, env)],
    [webhookAlert(webhook, "retention"), cannotRetain],
    [webhookAlert(webhook, "unwritten", unwritten), unwritten > 0],
  ];
}

/**
 * The day that has just passed its retention: its Journal should be gone. And one before it, another in each sweep:
 * behind a `RETENTION` that was made shorter there are days that wait for an alarm of before.
 */
async function checkOldJournals(env: Env): Promise<Finding[]> {
  const { retentionMs } = configOf(env);
  if (retentionMs === null) return [];
  const nowMs = Date.now();
  const back = 1 + (Math.floor(nowMs / SWEEP_MS) % OLD_DAYS);
  const days = [1, 1 + back].map((each) => journalName(nowMs - retentionMs - each * DAY_MS));
  const asked = days.map((day) => ask(`Journal ${day}`, journalOf(env, day).check()));
  return (await Promise.all(asked)).flatMap(({ findings }) => findings);
}

async function checkDeadLetters(env: Env): Promise<Finding[]> {
  const { answer, findings } = await ask(DEAD_LETTERS, deadLetters(env).check());
  if (answer === null) return findings;
  const { count, isFull, expiresAtMs } = answer;
  const nowMs = Date.now();
  return [
    ...findings,
    [waitingLettersAlert(count), count > 0],
    [relayAlert("full DeadLetters"), isFull],
    [relayAlert("expiring dead letters", expiresAtMs ?? nowMs), isExpiring(expiresAtMs, env)],
  ];
}

/** A day before it goes, or half of a `RETENTION` before that is shorter than two. */
function isExpiring(expiresAtMs: number | null, env: Env): boolean {
  const { retentionMs } = configOf(env);
  const aheadMs = Math.min(DAY_MS, (retentionMs ?? Number.POSITIVE_INFINITY) / 2);
  return expiresAtMs !== null && expiresAtMs < Date.now() + aheadMs;
}

/** A secret that changed at Leadterra looks like silence from here. A relay without webhooks and events is not silent. */
async function checkSilence(webhooks: readonly Webhook[], env: Env): Promise<Finding[]> {
  const { silenceAlertMs } = configOf(env);
  if (silenceAlertMs === null) return [];
  const asked = lastEventAtMs(env).then((lastAtMs) => ({ lastAtMs }));
  const { answer, findings } = await ask("Journal", asked);
  if (answer === null) return findings;
  const { lastAtMs } = answer;
  const sinceMs = lastAtMs ?? Math.min(...webhooks.map(({ createdAtMs }) => createdAtMs));
  const isSo = sinceMs <= Date.now() - silenceAlertMs;
  return [...findings, [relayAlert("silence", lastAtMs), isSo]];
}

function checkConfig(env: Env): Finding {
  const { problems } = configOf(env);
  const alert = relayAlert(
    "misconfigured",
    problems.map(({ name }) => name),
  );
  return [alert, problems.length > 0];
}

/** @returns `answer` is null when there is none in time; `findings` say so. */
async function ask<T>(what: string, asked: Promise<T>) {
  let answer: T | null = null;
  let newer: string | null = null;
  try {
    answer = await inTime(asked, CALL_TIMEOUT_MS);
  } catch (thrown) {
    logError("object.not_checked", { object: what, error: errorText(thrown) });
    if (thrown instanceof NewerDataError) newer = thrown.object;
  }
  const findings: Finding[] = [
    [objectAlert("unreachable", what), answer === null && newer === null],
    [objectAlert("newer data", newer ?? what), newer !== null],
  ];
  return { answer, findings };
}
