/** The rules for a webhook's custom headers. They are sent with every delivery, and never shown again. */
import { isObject } from "./event";

const MAX_HEADERS = 50;
/** An HTTP token: RFC 9110 §5.6.2. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/;
/** 1 to 4,096 printable ASCII characters, spaces inside. */
const VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?$/;
/** Ours (README, "Verify a delivery"), hop-by-hop (RFC 9110 §7.6.1), and what the platform or a cookie jar sets. */
const RESERVED =
  /^(x-leadterra-signature|x-leadterra-event|x-relay-attempt|webhook-(id|timestamp|signature)|user-agent|host|cookie|expect|connection|keep-alive|proxy-(authenticate|authorization|connection)|te|trailer|transfer-encoding|upgrade|(content|cf|x-forwarded)-.*)$/i;

/** What is wrong: with a header by its name, or with all of them. */
type HeaderMistake = { name: string | null; message: string };

/** Every mistake in `given`; empty when they may be sent. */
export function checkHeaders(given: unknown): HeaderMistake[] {
  if (!isObject(given)) return [{ name: null, message: "must be an object of names and values" }];
  const names = Object.keys(given);
  if (names.length > MAX_HEADERS) {
    return [{ name: null, message: `must be at most ${MAX_HEADERS} headers` }];
  }
  const seen = new Set<string>();
  const mistakes: HeaderMistake[] = [];
  for (const name of names) {
    const message = mistakeIn(name, given[name], seen);
    if (message !== null) mistakes.push({ name, message });
    seen.add(name.toLowerCase());
  }
  return mistakes;
}

function mistakeIn(name: string, value: unknown, seen: ReadonlySet<string>): string | null {
  if (!NAME.test(name)) return "must be an HTTP token";
  if (RESERVED.test(name)) return "is a reserved header";
  if (seen.has(name.toLowerCase())) return "must be given once, whatever its case";
  if (typeof value === "string" && VALUE.test(value)) return null;
  return "must be 1 to 4,096 printable ASCII characters, spaces inside";
}

/** Headers that passed the check, by lower-case name. */
export function headersOf(given: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

type AttemptHead = {
  eventId: string;
  event: string;
  /** Its number, from 1 on. */
  attempt: number;
  unixSeconds: number;
  /** The two signatures, as `createSigner` makes them. */
  leadterra: string;
  standard: string;
  /** The relay's. */
  version: string;
};

/** The headers that every attempt carries, in lower case; they stand above the webhook's own (README, "Verify a delivery"). */
export function standardHeaders(head: AttemptHead): Record<string, string> {
  return {
    "content-type": "application/json",
    "user-agent": `leadterra-relay/${head.version}`,
    "x-leadterra-signature": head.leadterra,
    "webhook-id": head.eventId,
    "webhook-timestamp": String(head.unixSeconds),
    "webhook-signature": head.standard,
    "x-leadterra-event": head.event,
    "x-relay-attempt": String(head.attempt),
  };
}
