/** What came of attempts, in words: the timeline of a delivery, and the last outcome in a list. */
import type { Child } from "hono/jsx";
import type {
  AttemptRecord,
  DeliveryError,
  DeliveryView,
  LoggedDelivery,
} from "../../domain/delivery";
import { count, duration } from "../ui/format";
import { Badge, Code, foreign, type Tone } from "../ui/parts";
import { Time } from "../ui/time";

const SHORT: Record<DeliveryError, string> = {
  timeout: "no answer in time",
  connection: "not reached",
  redirect: "redirect",
  status: "refused",
  forbidden_target: "URL not allowed",
  interrupted: "interrupted",
  expired: "expired",
  erased: "erased",
};

type Outcome = Pick<AttemptRecord, "statusCode" | "error">;

export const ERRORS = Object.entries(SHORT);

type Last = Pick<DeliveryView, "lastStatusCode" | "lastError">;

export function LastOutcome({ delivery: { lastStatusCode, lastError } }: { delivery: Last }) {
  if (lastStatusCode === null && lastError === null) return <span class="quiet">–</span>;
  const code = lastStatusCode !== null && <code>{lastStatusCode}</code>;
  return [code, " ", lastError !== null && SHORT[lastError]];
}

/** What a status outside 200–299 most often means, and whose turn it is. */
const STATUS_HINTS: Readonly<Record<number, string>> = {
  400: "It does not understand the request.",
  401: "It does not accept the signature or the credentials: compare its secret and the webhook's headers.",
  403: "It does not let the request in: a firewall, or credentials in the webhook's headers.",
  404: "There is nothing at this path: compare the webhook's URL.",
  405: "It does not take POST at this path: compare the webhook's URL.",
  410: "It is gone for good by its own word: a delivery that is answered so disables its webhook, a test does not.",
  413: "The body is too large for it.",
  429: "It wants fewer requests: a rate limit of the webhook helps.",
};

/** Why an attempt failed, as a sentence; of a success that it is one. */
function explainAttempt({ error, statusCode, trigger, responseHeaders }: AttemptRecord): Child {
  const isTest = trigger === "test";
  const sent = isTest ? "the test" : "the event";
  switch (error) {
    case null:
      return `It answered ${statusCode}: the service has ${sent}.`;
    case "timeout":
      return `No answer came in time. The service may have ${sent} all the same.`;
    case "connection":
      return "The service was not reached, or it hung up: its name, its certificate, its network, a process that is down, or a listener that is not connected.";
    case "redirect":
      return (
        <>
          It answered {statusCode}, a redirect
          {responseHeaders?.location && [" to ", foreign(responseHeaders.location)]}. Redirects are
          not followed: the webhook needs the final URL.
        </>
      );
    case "status":
      return `It answered ${statusCode}; only 200 to 299 means that it has ${sent}. ${hintFor(statusCode ?? 0)}`;
    case "forbidden_target":
      return "No request was made: the URL is not allowed any more. Give the webhook another one.";
    case "interrupted":
      return `The attempt was cut short: the relay was restarted, the platform did not let it go out, or the listener went away. The service may have ${sent}${isTest ? "" : "; a delivery that is pending goes out again, with the same id"}.`;
  }
}

function hintFor(status: number): string {
  return STATUS_HINTS[status] ?? (status >= 500 ? "The service failed: its log says why." : "");
}

export function Timeline({ delivery }: { delivery: LoggedDelivery }) {
  const { attemptLog: attempts } = delivery;
  const forgotten = delivery.attempts - attempts.length;
  return [
    attempts.length > 1 && <p class="quiet">Newest first.</p>,
    <ol class="timeline" reversed>
      {attempts
        .map((attempt, index) => (
          <Attempt attempt={attempt} isLast={index === attempts.length - 1} />
        ))
        .reverse()}
      <li>
        <strong>Received</strong> <Time ms={delivery.createdAtMs} />
      </li>
    </ol>,
    forgotten > 0 && (
      <p class="quiet">The log no longer holds {count(forgotten, "earlier attempt")}.</p>
    ),
  ];
}

function Attempt({ attempt, isLast }: { attempt: AttemptRecord; isLast: boolean }) {
  const { number, trigger } = attempt;
  return (
    <li class={toneOf(attempt)} data-row={number}>
      <h3>
        Attempt {number} <AttemptBadge attempt={attempt} />
      </h3>
      <p class="quiet">
        <When attempt={attempt} />
        {trigger === "manual" && ", asked for by hand"}
      </p>
      <p>{explainAttempt(attempt)}</p>
      <Answer attempt={attempt} isOpen={isLast} />
    </li>
  );
}

export function Attempted({ attempt }: { attempt: AttemptRecord }) {
  return [
    <p>
      <AttemptBadge attempt={attempt} /> <When attempt={attempt} />
    </p>,
    <p>
      <strong>{explainAttempt(attempt)}</strong>
    </p>,
    <Answer attempt={attempt} isOpen />,
  ];
}

export function AttemptBadge({ attempt }: { attempt: Outcome }) {
  const { statusCode, error } = attempt;
  return <Badge tone={toneOf(attempt)}>{statusCode ?? (error && SHORT[error])}</Badge>;
}

function When({ attempt: { startedAtMs, durationMs } }: { attempt: AttemptRecord }) {
  return [<Time ms={startedAtMs} />, ", took ", <span class="whole">{duration(durationMs)}</span>];
}

/** Headers, which are kept of a failure, and the body. */
function Answer({ attempt, isOpen }: { attempt: AttemptRecord; isOpen: boolean }) {
  const { number, statusCode, responseBody, responseHeaders, responseTruncated } = attempt;
  if (statusCode === null) return null;
  const headers = Object.entries(responseHeaders ?? {}).map((header) => header.join(": "));
  return [
    headers.length > 0 && (
      <details>
        <summary>Its headers</summary>
        <Code label={`The headers of the answer to attempt ${number}`} text={headers.join("\n")} />
      </details>
    ),
    responseBody ? (
      <details open={isOpen}>
        <summary>Its body</summary>
        <Code label={`The answer to attempt ${number}`} text={responseBody} />
        {responseTruncated && <p class="quiet">It goes on; only its beginning is kept.</p>}
      </details>
    ) : (
      <p class="quiet">No body is kept of it.</p>
    ),
  ];
}

function toneOf({ error }: Outcome): Tone {
  if (error === null) return "good";
  return error === "interrupted" ? "warn" : "bad";
}
