/** What becomes of a message of the queue, decided from what happened to it. */
import type { DeadLetterReason } from "./dead-letter";
import type { WebhookId } from "./ids";
import { SECOND_MS } from "./time";

/**
 * So often a message is retried for what an object's recovery can mend: some 20 hours. Less than the platform's own
 * `max_retries` (wrangler.toml), so that the message is kept with what is known of it.
 */
export const MAX_RETRIES = 90;
/** A message is retried after min(2ⁿ, 900) s. */
const MAX_RETRY_SECONDS = 900;
/**
 * The wait before a message that could not be kept as a dead letter is tried again. The retries that the platform
 * allows, each after this wait, outlast the longest retention of a queue: 14 days.
 * https://developers.cloudflare.com/queues/platform/limits/
 */
export const KEEP_AGAIN_SECONDS = 12_600;
/**
 * So often a message of the dead-letter queue waits for the word whether it was erased, each time so long: 17.5 hours,
 * within the shortest retention of a queue.
 */
const MAX_ASKED = 5;

export type Fate =
  /** Its body is no event. */
  | { kind: "unreadable" }
  /** The platform gave it up before the relay could look at it. */
  | { kind: "not_consumed"; mayBeErased: boolean }
  /** Whom it goes to is not settled. */
  | {
      kind: "not_routed";
      reason: "registry_unreachable" | "journal_unreachable" | "journal_full";
    }
  /** A webhook's route is not understood; those that are have the event. */
  | { kind: "half_routed" }
  /** It was handed over, but to those that did not answer (`owed`) or can take nothing any more (`full`). */
  | { kind: "routed"; owed: WebhookId[]; full: WebhookId[] };

/** A dead letter; `owed` is null for a message that was never routed. */
export type Keep = { because: DeadLetterReason; owed: WebhookId[] | null };

export type Verdict = {
  /** What to keep first; without it the message is not done. */
  keep: Keep | null;
  /** Seconds until it comes again; null when it is done. */
  retryAfter: number | null;
};

/**
 * @param attempts how often the message was received, this time included.
 * @param knownForMs for how long whoever took its event still knows that: then it would get it once more.
 */
export function verdictOn(
  fate: Fate,
  attempts: number,
  knownForMs: number = Number.POSITIVE_INFINITY,
): Verdict {
  const seconds = Math.min(2 ** Math.min(attempts, 10), MAX_RETRY_SECONDS);
  const again = attempts > MAX_RETRIES ? null : seconds;
  // The first retries come soon, also of what was long in the queue; the others may be as late as they wait.
  const isKnown =
    seconds < MAX_RETRY_SECONDS || seconds + MAX_RETRY_SECONDS < knownForMs / SECOND_MS;
  switch (fate.kind) {
    case "unreadable":
      return kept(fate.kind, null);
    case "not_consumed":
      if (fate.mayBeErased && attempts <= MAX_ASKED) {
        return { keep: null, retryAfter: KEEP_AGAIN_SECONDS };
      }
      return kept(fate.kind, null);
    case "not_routed":
      if (fate.reason === "journal_full" || again === null) return kept(fate.reason, null);
      return { keep: null, retryAfter: again };
    case "half_routed":
      return again === null || !isKnown
        ? kept("subscriber_unreachable", null)
        : { keep: null, retryAfter: again };
    case "routed":
      return routed(fate, isKnown ? again : null);
  }
}

function routed({ owed, full }: Fate & { kind: "routed" }, again: number | null): Verdict {
  if (owed.length > 0 && again === null) return kept("subscriber_unreachable", [...owed, ...full]);
  const keep = full.length === 0 ? null : { because: "full" as const, owed: full };
  return { keep, retryAfter: owed.length === 0 ? null : again };
}

function kept(because: DeadLetterReason, owed: WebhookId[] | null): Verdict {
  return { keep: { because, owed }, retryAfter: null };
}
