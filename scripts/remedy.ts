/** Why a webhook needs somebody and what mends it, as the doctor says it. */
import { boundOf, isSoonOver, waitsForRetry } from "../src/domain/late.ts";
import { DISABLED_BECAUSE, STATES } from "../src/domain/vocabulary.ts";

/** As a webhook may have. */
const MAX_CONCURRENCY = 300;
/** As many as one replay sends again. */
const MAX_REPLAYED = 1_000;

/** After a success that is older one failure is failing; else three in a row are. */
const WITHOUT_SUCCESS_MS = 300_000;

type Json = Record<string, unknown>;

/** Why it is in a state that needs somebody. @param figures what the relay says of it, and its `statusReason`. */
export function whyOf(state: string, figures: Json): string {
  const because = DISABLED_BECAUSE[figures.statusReason as keyof typeof DISABLED_BECAUSE];
  if (because !== undefined) return `held: ${because}`;
  if (state === "probing" && figures.pending === 0) {
    return "it fails, and nothing waits: the next event is the next try";
  }
  const { lastFailure, lastSuccessAt } = figures;
  const failedAtMs = Date.parse(String(Object(lastFailure).at));
  if (state === "failing" && lastSuccessAt !== undefined && !Number.isNaN(failedAtMs)) {
    const succeededAtMs = Date.parse(String(lastSuccessAt)) || 0;
    return succeededAtMs < failedAtMs - WITHOUT_SUCCESS_MS
      ? "its last attempt failed, and none succeeded in the five minutes before it"
      : "its last attempt failed, at least the third in a row";
  }
  return STATES[state as keyof typeof STATES];
}

/** The call that sends again what stopped retrying; null without any. */
export function replayOf({ id, createdAt }: Json, undeliverable: number): string | null {
  if (!(undeliverable > 0)) return null;
  const again = undeliverable > MAX_REPLAYED ? `, again with its "next" as "cursor"` : "";
  return `POST /v1/webhooks/${id}/replay {"since": "${createdAt}", "only": "undeliverable"}${again}`;
}

/**
 * What to do about a webhook that needs somebody; null where it only waits for what is due to go out.
 *
 * @param replay as `replayOf` has it.
 */
export function remedyOf(
  state: string,
  webhook: Json,
  { figures, replay }: { figures: Json; replay: string | null },
): string | null {
  const path = `/v1/webhooks/${webhook.id}`;
  if (state === "disabled") {
    return `When the service is mended: POST ${path}/resume. What was held goes out.`;
  }
  if (state === "misconfigured") {
    return "Mend the variable that is named above: deliveries are held until then.";
  }
  if (state === "late" && !waitsForRetry(paceOf(webhook, figures), standingOf(figures))) {
    const pace = paceOf(webhook, figures);
    if (isSoonOver(pace, pace)) return null;
    return `${fasterThan(pace, path)} Else the service itself is too slow.`;
  }
  const answers = `Its last answers: GET ${path}/deliveries, or /dashboard/webhooks/${webhook.id}`;
  const { lastFailure } = figures;
  if (!lastFailure) return answers;
  const { statusCode, error, eventId } = lastFailure as Json;
  const said = statusCode ? `It said ${statusCode}` : `There was no answer (${error})`;
  const retry = `POST ${path}/deliveries/${eventId}/retry sends that one, "Try now" in the dashboard all that waits`;
  return `${said}. When the service is mended: ${(figures.pending === 0 ? replay : null) ?? retry}. ${answers}`;
}

function standingOf({ state, lastFailure, lastSuccessAt }: Json) {
  const atMs = Date.parse(Object(lastFailure).at) || 0;
  return {
    state: String(state),
    lastFailure: { atMs },
    lastSuccessAtMs: Date.parse(String(lastSuccessAt)) || null,
  };
}

type Pace = ReturnType<typeof paceOf>;

/** What a webhook's pace goes by, where the relay says it. */
function paceOf({ rateLimit, ordered, concurrency }: Json, { pending, latencyMs }: Json) {
  const { p50 } = Object(latencyMs) as Json;
  return {
    rateLimit: typeof rateLimit === "number" ? rateLimit : null,
    ordered: ordered === true,
    concurrency: Number(concurrency ?? 6),
    p50: typeof p50 === "number" ? p50 : null,
    pending: Number(pending),
  };
}

/** What makes a webhook take more, twice as much of it. */
function fasterThan(pace: Pace, path: string): string {
  const change = (field: object) => `PATCH ${path} ${JSON.stringify(field)}`;
  const { field, aSecond } = boundOf(pace, pace);
  if (field === "rateLimit") {
    return `If the service can take more than ${aSecond} a second: ${change({ rateLimit: 2 * aSecond })}.`;
  }
  if (field === "ordered") return `If the order does not matter: ${change({ ordered: false })}.`;
  const more = Math.min(2 * pace.concurrency, MAX_CONCURRENCY);
  return `If the service can take more at once: ${change({ concurrency: more })}.`;
}
