/** What makes a webhook late: what bounds its pace, and whether that is over by itself. Pure. */

type Standing = {
  state: string;
  lastFailure: { atMs: number } | null;
  lastSuccessAtMs: number | null;
};
type Paced = { rateLimit: number | null; ordered: boolean; concurrency: number };

/** `p50` of its answers, in milliseconds, null without any. */
type Figures = { p50: number | null; pending: number };

/** The setting that makes a late webhook no faster than it is, and how many go out a second; null where nobody knows. */
export function boundOf({ rateLimit, ordered, concurrency }: Paced, { p50 }: Figures) {
  const atOnce = ordered ? 1 : concurrency;
  const capacity = p50 === null ? null : (atOnce * 1_000) / Math.max(1, p50);
  if (rateLimit !== null && (capacity === null || rateLimit <= capacity)) {
    return { field: "rateLimit", aSecond: rateLimit, p50, atOnce } as const;
  }
  const field = ordered ? ("ordered" as const) : ("concurrency" as const);
  return { field, aSecond: capacity, p50, atOnce };
}

/** Whether what failed last is later than all that succeeded. */
export function hasFailedLast({ lastFailure, lastSuccessAtMs }: Omit<Standing, "state">): boolean {
  return (lastFailure?.atMs ?? 0) > (lastSuccessAtMs ?? 0);
}

/** Whether its order waits for one that failed since the last success: until the retry, pace has no part in it. */
export function waitsForRetry({ ordered }: Pick<Paced, "ordered">, standing: Standing): boolean {
  return ordered && standing.state === "late" && hasFailedLast(standing);
}

/**
 * Whether all that waits goes out by itself before anybody has changed a thing: what it is late with waited for its
 * service to come back, and not for its pace.
 */
export function isSoonOver(webhook: Paced, figures: Figures): boolean {
  const { aSecond } = boundOf(webhook, figures);
  return aSecond !== null && figures.pending / aSecond < 60;
}
