/** What the relay logs, for people: one line of JSON for each happening becomes a line that can be read. */
import { stripVTControlCharacters, styleText } from "node:util";

type Happening = { level: string; happening: string } & Record<string, unknown>;

/** wrangler puts a badge before what a Worker prints as a warning or an error, and empty lines behind it. */
const BADGED = /^(\S+ \[(?:ERROR|WARNING)\] )?(\{"level":.*\})\s*$/;
/** What workerd says of a name that does not resolve, in two lines with empty ones behind each; the attempt says so too. */
const LOOKUP =
  /^\S+ \[ERROR\] e = rust\/worker\/ffi\.rs:\d+: failed: failed to lookup address information: /;
const STACK = /^ +stack: \S*workerd\S*@/;
/** wrangler starts another runtime then, and says that it is ready: nothing answers any more. */
const CRASHED = /^(\S+ )?(\[\w+\] )?The Workers runtime crashed unexpectedly/;
const MARKS: Readonly<Record<string, string>> = {
  info: styleText("dim", "·"),
  warning: styleText("yellow", "▲"),
  error: styleText("red", "✘"),
};

/**
 * Takes output as it comes, in pieces of any size, and gives it on in whole lines.
 * @param now for the clock time before each happening.
 */
export function readableLog(
  write: (text: string) => void,
  now: () => Date = () => new Date(),
): (chunk: string) => void {
  let rest = "";
  let afterBadge = false;
  const isNoise = lookupNoise();
  return (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const plain = stripVTControlCharacters(line);
      const [, badge, json = ""] = BADGED.exec(plain) ?? [];
      const happening = parse(json);
      const isPadding = afterBadge && line.trim() === "";
      const isSkipped = isNoise(plain) || isPadding;
      if (happening !== null) write(`${describeHappening(happening, now())}\n`);
      else if (!isSkipped) write(`${line}\n`);
      afterBadge = isSkipped || (happening !== null && badge !== undefined);
    }
  };
}

/** Takes output as it comes, and hears what wrangler itself says: the path of a request may have the same words. */
export function onCrash(crashed: () => void): (chunk: string) => void {
  let rest = "";
  return (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (lines.some((line) => CRASHED.test(stripVTControlCharacters(line)))) crashed();
  };
}

/** @returns whether a line, as they come, is one of those two. */
function lookupNoise(): (line: string) => boolean {
  let expectsStack = false;
  return (line) => {
    const isStack = expectsStack && STACK.test(line);
    const isLookup = LOOKUP.test(line);
    expectsStack = isLookup || (expectsStack && line.trim() === "");
    return isLookup || isStack;
  };
}

function parse(json: string): Happening | null {
  try {
    const { level, happening, ...fields } = JSON.parse(json);
    return typeof happening === "string" ? { level, happening, ...fields } : null;
  } catch {
    return null;
  }
}

/** `12:00:03 ▲ attempt failed: 500 after 12 ms, attempt 2 · reply.received evt_… to wh_…` */
export function describeHappening(entry: Happening, at: Date): string {
  const { level, happening, ...fields } = entry;
  const name = happening.replaceAll(/[._]/g, " ");
  const told = happening === "attempt.failed" || happening === "delivery.undeliverable";
  const about = told ? attemptText(fields) : fieldsText(fields);
  const text = about === "" ? name : `${name}: ${about}`;
  return `${styleText("dim", at.toLocaleTimeString("en-GB"))} ${MARKS[level] ?? level} ${text}`;
}

function attemptText(fields: Record<string, unknown>): string {
  const { webhookId, eventId, event, attempt, statusCode, error, durationMs, status, ...others } =
    fields;
  const answer = statusCode === null || statusCode === undefined ? error : statusCode;
  const cells = [
    `${answer} after ${durationMs} ms, attempt ${attempt}`,
    `${event} ${eventId} to ${webhookId}`,
    fieldsText(others),
  ];
  return cells.filter((cell) => cell !== "").join(" · ");
}

/** `webhookId wh_…, events 3` */
function fieldsText(fields: Record<string, unknown>): string {
  return Object.entries(fields)
    .map(([name, value]) => [name, Array.isArray(value) ? value.join(" ") : (value ?? "")])
    .filter(([, text]) => text !== "")
    .map(([name, text]) => `${name} ${text}`)
    .join(", ");
}
