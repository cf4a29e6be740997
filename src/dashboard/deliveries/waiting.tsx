/** What a pending delivery waits for, in words: the same in lists and on its page. */
import type { DeliveryView } from "../../domain/delivery";
import type { WaitingFor } from "../../domain/waiting";
import { Time } from "../ui/time";

type Pending = Pick<DeliveryView, "nextAttemptAtMs" | "waitingFor">;

type Words = {
  /** For a line of a list. */
  short: string;
  /** Where it stands, when no time is known. */
  sentence: string;
};

const WORDS: Record<WaitingFor, Words> = {
  attempt: { short: "under way", sentence: "An attempt is under way." },
  hold: { short: "held", sentence: "It is held: the webhook is paused or disabled." },
  listener: { short: "no listener", sentence: "It waits until a listener is connected." },
  order: { short: "behind another", sentence: "It waits for the one before it, in order." },
  probe: {
    short: "after a probe",
    sentence: "The service fails: one delivery at a time is tried, and it is not this one's turn.",
  },
  schedule: { short: "due", sentence: "It goes out now." },
  retry_after: { short: "postponed", sentence: "The service asked for a pause." },
  rate_limit: { short: "rate limit", sentence: "It waits for the rate limit." },
  turn: { short: "next in turn", sentence: "It goes out as soon as it is its turn." },
};

/** The time where there is one, else what it waits for. */
export function NextAttempt({ delivery: { nextAttemptAtMs, waitingFor } }: { delivery: Pending }) {
  if (nextAttemptAtMs !== null) return <Time ms={nextAttemptAtMs} />;
  return <>{WORDS[waitingFor ?? "hold"].short}</>;
}

export function WaitingSentence({
  delivery: { nextAttemptAtMs, waitingFor },
}: {
  delivery: Pending;
}) {
  if (nextAttemptAtMs === null) return <>{WORDS[waitingFor ?? "hold"].sentence}</>;
  return (
    <>
      The next attempt is <Time ms={nextAttemptAtMs} />
      {waitingFor === "retry_after" && ": the service asked for a pause until then"}
      {waitingFor === "probe" && ": the service fails, and this one tries it"}
      {waitingFor === "rate_limit" && ", by the rate limit"}.
    </>
  );
}
