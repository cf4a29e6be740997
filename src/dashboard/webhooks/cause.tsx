/** What came of an attempt that failed, in the line that says how its webhook is doing. */
import type { AttemptRecord } from "../../domain/delivery";
import { LastOutcome } from "../deliveries/attempts";
import { beginning, Foreign } from "../ui/foreign";

export type Failure = Pick<AttemptRecord, "statusCode" | "error" | "responseBody">;

const MAX_CAUSE_CHARACTERS = 160;

/** `: 500 refused, “could not connect to postgres”`. */
export function Cause({ of }: { of: Failure | null }) {
  if (of === null) return <>.</>;
  const { statusCode, error, responseBody } = of;
  const said = firstLine(responseBody ?? "");
  return (
    <>
      : <LastOutcome delivery={{ lastStatusCode: statusCode, lastError: error }} />
      {said !== "" && (
        <>
          , “<Foreign text={beginning(said, MAX_CAUSE_CHARACTERS)} />”
        </>
      )}
      .
    </>
  );
}

/** Of a page of HTML, what it says. */
function firstLine(body: string): string {
  const text = /^\s*</.test(body) ? body.replace(/<[^>]*>/g, " ") : body;
  return text.replace(/\s+/g, " ").trim();
}
