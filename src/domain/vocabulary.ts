/**
 * The words in which people are told how things stand. Pages, alerts, the doctor and the API's own description take
 * them from here, so that the same thing is called the same everywhere.
 */

/** How a webhook is doing: the first that fits, in this order. */
export const STATES = {
  disabled: "held, because its service is gone or failed for five days",
  paused: "held, because somebody paused it",
  misconfigured: "held, because a variable of the relay has no usable value",
  unconnected: "held, because no listener is connected",
  probing: "is failing; one delivery at a time is tried until it is back",
  postponed: "its service asked for a pause",
  failing:
    "its last attempt failed: at least the third in a row, or none succeeded in the five minutes before it",
  late: "takes deliveries, but slower than they come",
  healthy: "takes deliveries",
} as const;

/** Whether a webhook sends, and why it was disabled. */
export const WEBHOOK_STATUSES = ["active", "paused", "disabled"] as const;
export type WebhookStatus = (typeof WEBHOOK_STATUSES)[number];
export const DISABLED_BECAUSE = {
  gone: "the service answered 410 Gone",
  failing: "no attempt succeeded for five days",
} as const;
export type StatusReason = keyof typeof DISABLED_BECAUSE;
export const STATUS_REASONS = Object.keys(DISABLED_BECAUSE) as StatusReason[];

type Words = {
  /** For a line of a list. */
  short: string;
  /** Where it stands, when no time is known. */
  sentence: string;
};

/**
 * What a delivery waits for: the first that fits, in this order; of `schedule`, `retry_after` and `rate_limit` the gate that
 * opens last.
 */
export const WAITS = {
  attempt: { short: "under way", sentence: "An attempt is under way." },
  hold: {
    short: "held",
    sentence:
      "It is held: the webhook is paused or disabled, or a variable of the relay has no usable value.",
  },
  listener: { short: "no listener", sentence: "It waits until a listener is connected." },
  order: { short: "behind another", sentence: "It waits for the one before it, in order." },
  probe: {
    short: "after a probe",
    sentence:
      "The webhook is probing: one delivery at a time is tried, and it is not this one's turn.",
  },
  schedule: { short: "due", sentence: "It goes out now." },
  retry_after: { short: "postponed", sentence: "The service asked for a pause." },
  rate_limit: { short: "rate limit", sentence: "It waits for the rate limit." },
  turn: { short: "next in turn", sentence: "It goes out as soon as it is its turn." },
} as const satisfies Record<string, Words>;

/** Whether an event is as Leadterra's page describes it. */
export const SCHEMA = { fits: "Matches schema", differs: "does not match schema" } as const;

const UNREACHABLE = "See whether Cloudflare reports trouble with Durable Objects, then redrive it.";

/** Why a message could not be handed over, and what to do about it. */
export const DEAD_BECAUSE = {
  unreadable: {
    why: "What was in the queue is no event, so nobody can be given it.",
    advice: "Redriving it would end the same way; find out who else writes to the queue.",
  },
  not_consumed: {
    why: "The queue's retries were used up before the relay could look at it.",
    advice: "Look in the log for exceptions of the Worker, then redrive it.",
  },
  registry_unreachable: {
    why: "The registry of webhooks did not answer, over 90 retries.",
    advice: UNREACHABLE,
  },
  journal_unreachable: {
    why: "The journal did not answer, over 90 retries.",
    advice: UNREACHABLE,
  },
  journal_full: {
    why: "The journal of its day is full, so it was not routed.",
    advice: "Redrive it tomorrow: it goes into that day's journal.",
  },
  subscriber_unreachable: {
    why: "A webhook's object did not take it, over 90 retries.",
    advice: UNREACHABLE,
  },
  full: {
    why: "The storage of the webhooks it is owed to is full.",
    advice: "Shorten RETENTION or discard what waits there, then redrive it.",
  },
} as const;

/** As Markdown, for a description: each word with what it means. */
export function glossary(words: Readonly<Record<string, string>>): string {
  return Object.entries(words)
    .map(([word, meaning]) => `\`${word}\`: ${meaning}`)
    .join("; ");
}
