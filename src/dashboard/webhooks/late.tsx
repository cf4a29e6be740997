/** What makes a late webhook late, and faster. */
import type { Webhook } from "../../domain/webhook";
import type { WebhookStats } from "../../operations/stats";
import { duration, number, perSecond } from "../ui/format";

type Late = { webhook: Webhook; stats: WebhookStats };

/** The setting that makes a late webhook no faster than it is, and how many go out a second; null where nobody knows. */
export function boundOf({ webhook, stats }: Late) {
  const { rateLimit, ordered } = webhook;
  const { p50 } = stats.latencyMs;
  const atOnce = ordered ? 1 : webhook.concurrency;
  const capacity = p50 === null ? null : (atOnce * 1_000) / Math.max(1, p50);
  if (rateLimit !== null && (capacity === null || rateLimit <= capacity)) {
    return { field: "rateLimit", aSecond: rateLimit, p50, atOnce } as const;
  }
  const field = ordered ? ("ordered" as const) : ("concurrency" as const);
  return { field, aSecond: capacity, p50, atOnce };
}

/**
 * Whether all that waits goes out by itself before anybody has changed a thing: what it is late with waited for its
 * service to come back, and not for its pace.
 */
export function isSoonOver(watched: Late): boolean {
  const { aSecond } = boundOf(watched);
  return aSecond !== null && watched.stats.health.pending / aSecond < 60;
}

/** What makes a late webhook faster, with the number that says so. */
export function Remedy(watched: Late) {
  const { pending } = watched.stats.health;
  const { field, aSecond, p50, atOnce } = boundOf(watched);
  if (field === "rateLimit") {
    return (
      <>
        Its rate limit lets {perSecond(aSecond)} through,{" "}
        <InAll pending={pending} aSecond={aSecond} />: raise the limit.
      </>
    );
  }
  const help =
    field === "ordered"
      ? "It is ordered, so only faster answers help, or giving up the order."
      : `Raise “at once” above ${atOnce}, or have it answer faster.`;
  if (aSecond === null) return <>{help}</>;
  return (
    <>
      Its response time is {duration(p50)} (p50), {number(atOnce)} at once: {perSecond(aSecond)},{" "}
      <InAll pending={pending} aSecond={aSecond} />. {help}
    </>
  );
}

function InAll({ pending, aSecond }: { pending: number; aSecond: number }) {
  return <>which takes {duration((pending / aSecond) * 1_000)} for what waits</>;
}
