/** What a pending delivery waits for, in words: the same in lists and on its page. */
import type { DeliveryView } from "../../domain/delivery";
import { WAITS } from "../../domain/vocabulary";
import { Time } from "../ui/time";

type Pending = Pick<DeliveryView, "nextAttemptAtMs" | "waitingFor">;

/** The time where there is one, else what it waits for. */
export function NextAttempt({ delivery: { nextAttemptAtMs, waitingFor } }: { delivery: Pending }) {
  if (nextAttemptAtMs !== null) return <Time ms={nextAttemptAtMs} isAhead />;
  return <>{WAITS[waitingFor ?? "hold"].short}</>;
}

export function WaitingSentence({
  delivery: { nextAttemptAtMs, waitingFor },
}: {
  delivery: Pending;
}) {
  if (nextAttemptAtMs === null) return <>{WAITS[waitingFor ?? "hold"].sentence}</>;
  return (
    <>
      The next attempt is <Time ms={nextAttemptAtMs} isAhead />
      {waitingFor === "retry_after" && ": the service asked for a pause until then"}
      {waitingFor === "probe" && ": the webhook is probing, and this one is its probe"}
      {waitingFor === "rate_limit" && ", by the rate limit"}.
    </>
  );
}
