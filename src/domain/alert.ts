/** What a person is told, and what to do about it. No secrets: of a URL only its host. */
import type { DeadLetterReason } from "./dead-letter";
import { beginning, visible } from "./foreign-text";
import { parseWebhookId, type WebhookId } from "./ids";
import { iso } from "./time";
import { DISABLED_BECAUSE, type StatusReason } from "./vocabulary";
import type { Webhook } from "./webhook";

/**
 * Something that a person should know: told when it begins, daily while it lasts, and when it is over.
 *
 * @property cause what it is about. One about a webhook ends with a space and the webhook's id.
 * @property text sentences that say what is so, and what to do about it; where it is seen is added when it is told.
 */
export type AlertText = { cause: string; text: string };

/** @property foundAtMs when it was last found to be so. */
export type OpenAlert = AlertText & { foundAtMs: number };

const DEAD_LETTERS = "dead letters";
const NAME = "Leadterra Relay: ";
const OVER = "over: ";
const MAX_DESCRIPTION_CHARACTERS = 80;
/** The first sentence, behind what a webhook is called: that ends with the last bracket, and may have full stops. */
const SAID_FIRST = /^(?:webhook .*\) )?.*?\.(?= |$)/s;

export function overAlert({ cause, text }: AlertText): AlertText {
  const [what = ""] = SAID_FIRST.exec(text.slice(NAME.length)) ?? [];
  return { cause: `${OVER}${cause}`, text: `${NAME}it is over: ${what}` };
}

export function isOver({ cause }: AlertText): boolean {
  return cause.startsWith(OVER);
}

/** Where the dashboard shows it. */
export function pageOf({ cause }: AlertText): string {
  const id = webhookOf({ cause });
  if (id !== null) return `/dashboard/webhooks/${id}`;
  return /dead letters|DeadLetters/.test(cause) ? "/dashboard/dead-letters" : "/dashboard";
}

/** The webhook that it is about; null for one about something else. */
export function webhookOf({ cause }: Pick<AlertText, "cause">): WebhookId | null {
  return parseWebhookId(cause.slice(cause.lastIndexOf(" ") + 1));
}

/**
 * As it is sent: with its page, at the address by which its webhook was registered, else the newest one.
 *
 * @param webhooks in the order of their registration.
 */
export function toldText(alert: AlertText, webhooks: readonly Webhook[]): string {
  const id = webhookOf(alert);
  if (isOver(alert)) return alert.text;
  const about = webhooks.find((webhook) => webhook.id === id) ?? webhooks.at(-1);
  if (about === undefined) return `${alert.text} ${pageOf(alert)}`;
  const { relayHost } = about;
  const isLocal = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(relayHost);
  return `${alert.text} ${isLocal ? "http" : "https"}://${relayHost}${pageOf(alert)}`;
}

/** Whether nothing but what a person does ends it: it does not come and go. */
export function endsByHand({ cause }: AlertText): boolean {
  return /^(disabled|undeliverable|expiring|cut off|dead letters)\b/.test(cause);
}

/** Whether it is about how a webhook sends, which one that is held does not. */
export function isOfSending({ cause }: AlertText): boolean {
  return /^(failing|overdue)\b/.test(cause);
}

function alert(cause: string, says: string): AlertText {
  return { cause, text: `${NAME}${says}` };
}

/** What is told of a webhook, by what it is about; behind its name. */
const OF_WEBHOOK = {
  disabled: (reason: StatusReason) =>
    `is disabled: ${DISABLED_BECAUSE[reason]}. Its events are held. When the service is back, resume it.`,
  "cut off": () =>
    "has a retry schedule that is not shorter than RETENTION: deliveries expire before its last attempts. Shorten it, or raise RETENTION.",
  retention: () =>
    "cannot drop what is past RETENTION. Deliveries go on; look for retention.failed in the log.",
  unwritten: (count: number) => {
    const what = count === 1 ? "an attempt" : `${count} attempts`;
    return `cannot write down what came of ${what}. It is tried again every minute; with more than 10, nothing more is sent. Look for outcome.not_written in the log, which names the events.`;
  },
  overdue: (sinceMs: number) =>
    `has a delivery that was due at ${iso(sinceMs)} and has not gone out. Its page says why, and what helps.`,
  failing: (sinceMs: number) =>
    `is failing: its first failure was at ${iso(sinceMs)}, and nothing succeeded since. Its page has the last answer.`,
  undeliverable: (count: number) => {
    const what = count === 1 ? "an undeliverable delivery" : `${count} undeliverable deliveries`;
    return `has ${what}: every attempt failed. When the service takes them again, replay them.`;
  },
  expiring: (expiresAtMs: number) =>
    `has deliveries that are held and expire from ${iso(expiresAtMs)} on. Resume it, or raise RETENTION, to keep them.`,
};

/** What is told of an object, by what it is about; behind what people call it: `Subscriber wh_…`. */
const OF_OBJECT = {
  unreachable:
    "does not answer. What is for it waits in the queue. See whether Cloudflare reports trouble with Durable Objects.",
  full: 'is full: what it cannot take goes to the dead letters. Shorten RETENTION, or spread the load (docs/performance.md, "Scale").',
  "newer data":
    "holds data of a newer release and takes nothing until that release is deployed again. What is for it waits in the queue for 20 hours, then goes to the dead letters.",
};

/** What is told of the relay as a whole, by what it is about. */
const OF_RELAY = {
  /** @param names of variables and bindings. */
  misconfigured: (names: readonly string[]) =>
    `${names.join(", ")} ${names.length === 1 ? "has" : "have"} no usable value: what depends on it is held or refused. GET /healthz says what to write.`,
  "expiring dead letters": (expiresAtMs: number) =>
    `dead letters expire from ${iso(expiresAtMs)} on. Redrive them, or raise RETENTION, to keep them.`,
  /** Nothing that is full loses what it cannot take: it stays in the queue. */
  "full DeadLetters": () =>
    "there are too many dead letters (100,000, or 5 GB): what would be one stays in the queue, until the queue's retention ends. Redrive or delete some.",
  "full Registry": () =>
    "the Registry is nearly full: soon it takes no change, and no call with an Idempotency-Key. Its answers to such calls are kept for a day: see who makes so many.",
  silence: (lastEventAtMs: number | null) =>
    `no event was accepted ${lastEventAtMs === null ? "ever" : `since ${iso(lastEventAtMs)}`}. Is the signing secret still the one that Leadterra signs with? Look for invalid_signature in the log.`,
};

/** @param given what its text tells. */
export function webhookAlert<Cause extends keyof typeof OF_WEBHOOK>(
  webhook: Webhook,
  cause: Cause,
  ...given: Parameters<(typeof OF_WEBHOOK)[Cause]>
): AlertText {
  const textOf = OF_WEBHOOK[cause] as (...given: unknown[]) => string;
  return alert(`${cause} ${webhook.id}`, `webhook ${nameOf(webhook)} ${textOf(...given)}`);
}

export function objectAlert(cause: keyof typeof OF_OBJECT, object: string): AlertText {
  return alert(`${cause} ${object}`, `${object} ${OF_OBJECT[cause]}`);
}

/** @param given what its text tells. */
export function relayAlert<Cause extends keyof typeof OF_RELAY>(
  cause: Cause,
  ...given: Parameters<(typeof OF_RELAY)[Cause]>
): AlertText {
  const textOf = OF_RELAY[cause] as (...given: unknown[]) => string;
  return alert(cause, textOf(...given));
}

export function deadLetterAlert(count: number, reason: DeadLetterReason): AlertText {
  const says = `${count === 1 ? "an event" : `${count} events`} could not be handed over (${reason}). Redrive them.`;
  return alert(DEAD_LETTERS, says);
}

export function waitingLettersAlert(count: number): AlertText {
  const says = `${count === 1 ? "a dead letter waits" : `${count} dead letters wait`} for somebody to redrive or delete them.`;
  return alert(DEAD_LETTERS, says);
}

export function brokenRouteAlert(webhookId: WebhookId): AlertText {
  const says = `the filter of webhook ${webhookId} is not understood by this release: the events that it may want wait in the queue, for 20 hours. Set its filter anew.`;
  return alert(`filter ${webhookId}`, says);
}

/** By its name where it has one: `crm (crm.example.com)`. A long description would hide what is told. */
export function nameOf({ id, name, url, description }: Webhook): string {
  // `service:CRM` and `listener:` have no host.
  const host = URL.parse(url)?.host || url.split("/")[0];
  const described = visible(beginning(description?.trim() ?? "", MAX_DESCRIPTION_CHARACTERS));
  return `${name ?? id} (${[host, described.replace(/\s+/g, " ")].filter(Boolean).join(", ")})`;
}
