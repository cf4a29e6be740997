/** What one service got, held against what the relay says of its attempts: what is lost, and why what came again did. */
import type { LoggedDelivery } from "../rig/api.ts";
import type { Received } from "./receiver.ts";

/** Of a webhook at each kill: in flight, or answered and not on disk. */
const MAX_REPEATED = 12;

/** A request, with the life of the relay that it came from: a kill ends each but the last. */
export type Request = Received & { life: number };

/** What the relay says of the attempts for an event. */
type Log = (eventId: string) => LoggedDelivery["attemptLog"];

/** Why the same event came again after its service had taken it; a number is the kill that it was in flight at. */
type Cause = number | "failed for the relay" | "asked for" | "none";

/** @returns a line that tells it, and what of it must not be. */
export function balance(
  host: string,
  { requests, owed, log }: { requests: readonly Request[]; owed: Iterable<string>; log: Log },
): { told: string; wrong: string[] } {
  const taken = new Set(requests.flatMap(({ eventId, status }) => (status === 200 ? eventId : [])));
  const lost = [...owed].filter((event) => !taken.has(event));
  const repeats = repeatsOf(requests, log);
  const by = (cause: Cause) => repeats.filter((repeat) => repeat.cause === cause);
  const kills = Math.max(...requests.map(({ life }) => life), 0);
  const perKill = Array.from({ length: kills }, (_, kill) => by(kill).length);
  const counts = [by("failed for the relay"), by("asked for"), by("none")].map((all) => all.length);
  return {
    told: `${host}: lost ${lost.length}, repeated ${perKill.join(" + ") || 0} in flight at a kill, ${counts[0]} that failed for the relay, ${counts[1]} that were asked for, ${counts[2]} without cause`,
    wrong: [
      ...lost.map((event) => `${host}: ${event} is lost`),
      ...by("none").map(({ eventId }) => `${host}: ${eventId} came again without cause`),
      ...perKill
        .filter((count) => count > MAX_REPEATED)
        .map((count) => `${host}: ${count} came again for one kill`),
    ],
  };
}

function repeatsOf(requests: readonly Request[], log: Log): { eventId: string; cause: Cause }[] {
  return [...Map.groupBy(requests, ({ eventId }) => eventId)].flatMap(([eventId, all]) =>
    all.flatMap((again, index) => {
      const taken = all.slice(0, index).findLast(({ status }) => status === 200);
      return taken === undefined ? [] : { eventId, cause: causeOf(taken, again, log(eventId)) };
    }),
  );
}

function causeOf(taken: Request, again: Request, log: LoggedDelivery["attemptLog"]): Cause {
  const attempt = (number: number) => log.find((each) => each.number === number);
  if (attempt(again.attempt)?.trigger === "manual") return "asked for";
  const error = attempt(taken.attempt)?.error ?? null;
  if (error === "interrupted" && again.life > taken.life) return taken.life;
  return error === null || error === "interrupted" ? "none" : "failed for the relay";
}
