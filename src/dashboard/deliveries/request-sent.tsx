/** The request that a delivery makes, put together again from the event, the webhook and an attempt. */
import type { Child } from "hono/jsx";
import type { LoggedDelivery } from "../../domain/delivery";
import { visible } from "../../domain/foreign-text";
import { standardHeaders } from "../../domain/headers";
import { prettyJson } from "../../domain/pretty-json";
import { maskQuery } from "../../domain/target";
import type { Webhook } from "../../domain/webhook";
import { VERSION } from "../../version";
import { Code, Copy } from "../ui/parts";
import { Unknown } from "../ui/unanswered";
import { curlOf } from "./curl";

/** Four times what an event may have: laid out in lines it is longer. */
const MAX_PRETTY_CHARACTERS = 480_000;

const SECRET_VALUE = "<not shown>";
const LEADTERRA_SIGNATURE = "<hex HMAC-SHA256 of the body>";
const STANDARD_SIGNATURE = "v1,<base64 HMAC-SHA256 of id.timestamp.body>";

type RequestProps = {
  webhook: Webhook;
  /** Its last attempt is shown, or the first that is to come. */
  delivery: LoggedDelivery;
  /** null when it was erased or is past its retention, or `isUnknown`. */
  body: Uint8Array | null;
  isUnknown: boolean;
};

/** Secrets, values of the webhook's own headers and the URL's query are left out. */
export function RequestSent(request: RequestProps) {
  const { webhook, body, isUnknown } = request;
  const url = maskQuery(webhook.url);
  const headers = headersOf(request);
  const lines = headers.map((header) => header.join(": "));
  const text = body === null ? null : new TextDecoder().decode(body);
  return [
    <h3>Headers</h3>,
    <Code label="The headers of the request" text={[`POST ${url}`, ...lines].join("\n")} />,
    <h3>Body</h3>,
    isUnknown && <Unknown />,
    text === null ? (
      !isUnknown && <p class="quiet">The event's payload was erased, or is past its retention.</p>
    ) : (
      <>
        <JsonText label="The body of the request" text={text} />
        <p class="quiet">
          Laid out to be read. What is sent, and signed, are the bytes that Leadterra sent.{" "}
          <Copy text={text}>Copy the bytes</Copy>
        </p>
        {/* A binding or a listener has no address that curl could reach. */}
        {url.startsWith("http") && <AsCurl url={url} headers={headers} body={text} />}
      </>
    ),
  ];
}

function headersOf({ webhook, delivery }: RequestProps): [name: string, value: string][] {
  const { eventId, event, attemptLog } = delivery;
  const last = attemptLog.at(-1);
  const standard = standardHeaders({
    eventId,
    event,
    version: VERSION,
    attempt: last?.number ?? 1,
    unixSeconds: Math.floor((last?.startedAtMs ?? Date.now()) / 1_000),
    leadterra: LEADTERRA_SIGNATURE,
    standard: STANDARD_SIGNATURE,
  });
  const own = Object.keys(webhook.headers).map((name): [string, string] => [name, SECRET_VALUE]);
  return [...own, ...Object.entries(standard)];
}

function AsCurl(request: Parameters<typeof curlOf>[0]) {
  const command = curlOf(request);
  const hasSecrets =
    request.url.includes("?") || request.headers.some(([, v]) => v === SECRET_VALUE);
  return (
    <details>
      <summary>As a curl command</summary>
      <p class="quiet">
        Put in the signatures{hasSecrets && ", and what is not shown here,"} yourself: with the
        placeholders a service that verifies refuses it.
      </p>
      <p class="actions">
        <Copy text={command}>Copy as curl</Copy>
      </p>
      <Code label="The request as a curl command" text={command} />
    </details>
  );
}

/** A JSON document laid out in lines, which fold and can be searched; as it is when that would be too long. */
export function JsonText({ label, text }: { label: string; text: string }) {
  const pretty = prettyJson(text, MAX_PRETTY_CHARACTERS);
  if (pretty === null) return <Code label={label} text={text} />;
  return [
    <input
      type="search"
      class="find"
      placeholder="Search"
      aria-label={`Search: ${label}`}
      data-find={label}
      hidden
    />,
    <section class="code json" aria-label={label} tabindex={0}>
      <Lines of={visible(pretty).split("\n")} />
    </section>,
  ];
}

/** A line that opens a bracket folds what is between it and the line that closes it. */
function Lines({ of }: { of: readonly string[] }): Child {
  const shown: Child[] = [];
  for (let index = 0; index < of.length; index++) {
    const line = of[index] ?? "";
    const end = /[{[]$/.test(line) ? endOf(of, index) : index;
    if (end === index) {
      shown.push(<div class="line">{line}</div>);
      continue;
    }
    shown.push(
      <details open>
        <summary class="line">{line}</summary>
        <Lines of={of.slice(index + 1, end)} />
        <div class="line">{of[end]}</div>
      </details>,
    );
    index = end;
  }
  return <>{shown}</>;
}

/** The line that closes what this one opens: the next that is not further in. */
function endOf(lines: readonly string[], index: number): number {
  const depth = depthOf(lines[index]);
  let end = index + 1;
  while (end < lines.length && depthOf(lines[end]) > depth) end += 1;
  return end < lines.length ? end : index;
}

function depthOf(line = ""): number {
  return line.length - line.trimStart().length;
}
