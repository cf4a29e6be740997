/**
 * Where a webhook may deliver to. The same check runs at registration, on change and before every attempt, on
 * what the URL parser made of the text: what is checked is what would be connected to. A public name that
 * resolves to a private address is not seen here.
 */

export type TargetRules = {
  /** `ALLOW_PRIVATE_DESTINATIONS`: also `http:`, private hosts, IP literals and any port. */
  allowPrivate: boolean;
  /** `URL.host` of the registering request, the scheme's default port left out. */
  relayHost: string | null;
  /** Names of the service and VPC bindings that `service:NAME/path` reaches; never the relay's own. */
  services: readonly string[];
};

export type Target =
  | { kind: "http"; url: string }
  /** `path` starts with `/` and brings its query along. */
  | { kind: "service"; binding: string; path: string }
  /** No address: whoever listens gets frames over a socket. */
  | { kind: "listener" };

export type TargetCheck =
  | {
      ok: true;
      target: Target;
      /** The normalised form, which is stored and shown; checked again it stays as it is. */
      url: string;
    }
  /** Reads on from the field's name ("must use https: …"); repeats nothing of what was given. */
  | { ok: false; reason: string };

const MAX_URL_CHARACTERS = 2048;
const TOO_LONG = `must be at most ${MAX_URL_CHARACTERS} characters long, also once it is percent-encoded`;
/** RFC 1035 §2.3.4, in the text form without the trailing dot. */
const MAX_HOST_CHARACTERS = 253;
/** RFC 1123 §2.1: lower case, because the parser has seen the host. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** The URL standard's "ends in a number": such a host is an IPv4 address or nothing. */
const ENDS_IN_NUMBER = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/;
/** Names that only mean something inside a network or a machine; `arpa` covers `home.arpa`. */
const PRIVATE_SUFFIXES = [".local", ".internal", ".localhost", ".arpa", ".onion"];
const FIRST_UNPRIVILEGED_PORT = 1024;

const HTTP_FORM = /^(https?):\/\/([^/?#]+)/i;
const SERVICE_FORM = /^service:([^/?]*)(.*)$/i;
const IS_SERVICE = /^service:/i;
/** The URL of a webhook whose deliveries go to whoever listens. */
export const LISTENER = "listener:";
/** What `URL.origin` says of `data:` and its like. */
const OPAQUE_ORIGIN = "null";

/** Whether `given` may be delivered to, and in which form it is kept. */
export function checkTarget(given: string, rules: TargetRules): TargetCheck {
  const flaw = textFlaw(given);
  if (flaw !== null) return refuse(flaw);
  if (given.toLowerCase() === LISTENER) {
    return { ok: true, target: { kind: "listener" }, url: LISTENER };
  }
  const check = IS_SERVICE.test(given) ? checkService(given, rules) : checkHttp(given, rules);
  // Percent-encoding and punycode make a URL longer, and the stored form has to pass the next check too.
  return check.ok && check.url.length > MAX_URL_CHARACTERS ? refuse(TOO_LONG) : check;
}

/**
 * Whether two stored URLs lead to the same scheme, host and port, or to the same binding. What cannot be read
 * has no origin, so it is the same as nothing.
 */
export function sameOrigin(a: string, b: string): boolean {
  const origin = originOf(a);
  return origin !== null && origin === originOf(b);
}

/** The URL with its query, which may hold a token, shown as `?…`; unchanged if it has none. */
export function maskQuery(url: string): string {
  const queryAt = url.indexOf("?");
  return queryAt === -1 ? url : `${url.slice(0, queryAt)}?…`;
}

/** What the URL parser would drop or turn into something else, so it has to be seen before. */
function textFlaw(given: string): string | null {
  if (given.length > MAX_URL_CHARACTERS) return TOO_LONG;
  if (/[\s\p{Cc}\\]/u.test(given)) {
    return "must not contain white space, control characters or backslashes";
  }
  if (given.includes("#")) return "must not have a fragment (#…), because it is never sent";
  return null;
}

function checkHttp(given: string, rules: TargetRules): TargetCheck {
  const [, scheme, authority] = HTTP_FORM.exec(given) ?? [];
  if (scheme === undefined || authority === undefined) return refuse(schemeReason(rules));
  if (scheme.toLowerCase() !== "https" && !rules.allowPrivate) return refuse(schemeReason(rules));
  if (authority.includes("@")) {
    return refuse("must not contain credentials (user:password@); send them as a custom header");
  }
  const url = URL.parse(given);
  if (url === null) return refuse("must be a valid URL: its host or its port cannot be read");

  const host = withoutTrailingDot(url.hostname);
  const flaw = hostFlaw(host, rules) ?? portFlaw(url.port, rules);
  if (flaw !== null) return refuse(flaw);
  if (host !== url.hostname) url.hostname = host;
  if (rules.relayHost !== null && url.host === withoutTrailingDot(rules.relayHost)) {
    return refuse("must not lead back to the relay itself");
  }
  return { ok: true, target: { kind: "http", url: url.href }, url: url.href };
}

function schemeReason({ allowPrivate }: TargetRules): string {
  return allowPrivate
    ? "must use https: or http: (https://host/path), name a binding (service:NAME/path), or be listener:"
    : "must use https: (https://host/path), name a binding (service:NAME/path), or be listener:";
}

/** @param host as the parser gives it, without its trailing dot: IPv4 in any spelling has become a dotted quad. */
function hostFlaw(host: string, { allowPrivate }: TargetRules): string | null {
  if (host.startsWith("[") || ENDS_IN_NUMBER.test(host)) {
    return allowPrivate ? null : "must name its host: IP addresses are refused in every spelling";
  }
  const labels = host.split(".");
  if (host.length > MAX_HOST_CHARACTERS || !labels.every((label) => LABEL.test(label))) {
    return (
      "must have a DNS name as its host: labels of 1 to 63 letters, digits and inner hyphens, " +
      `${MAX_HOST_CHARACTERS} characters in all`
    );
  }
  if (allowPrivate) return null;
  if (labels.length < 2) return "must have a host of two labels or more, such as hooks.example.com";
  if (PRIVATE_SUFFIXES.some((suffix) => host.endsWith(suffix))) {
    return `must have a public host: names that end in ${PRIVATE_SUFFIXES.join(", ")} are refused`;
  }
  return null;
}

/** @param port as the parser gives it: empty for the scheme's default. */
function portFlaw(port: string, { allowPrivate }: TargetRules): string | null {
  const allowed = allowPrivate || port === "" || Number(port) >= FIRST_UNPRIVILEGED_PORT;
  return allowed ? null : `must use port 443 or a port from ${FIRST_UNPRIVILEGED_PORT} up`;
}

function checkService(given: string, { services }: TargetRules): TargetCheck {
  const [, binding = "", rest = ""] = SERVICE_FORM.exec(given) ?? [];
  if (!services.includes(binding)) {
    return refuse(
      services.length === 0
        ? "must not name a binding: no service or VPC binding is configured"
        : `must name a configured binding (service:NAME/path); known are ${services.join(", ")}`,
    );
  }
  if (rest !== "" && !rest.startsWith("/")) {
    return refuse("must have a path that starts with / after the binding's name");
  }
  const url = URL.parse(`https://binding${rest}`);
  if (url === null) return refuse("must be a valid URL: its path cannot be read");
  const path = url.pathname + url.search;
  return { ok: true, target: { kind: "service", binding, path }, url: `service:${binding}${path}` };
}

/** `host` or `host:port`; one dot only, so that the label rule meets what is left of several. */
function withoutTrailingDot(host: string): string {
  return host.replace(/\.(?=(?::\d+)?$)/, "");
}

function originOf(stored: string): string | null {
  if (stored === LISTENER) return LISTENER;
  const service = SERVICE_FORM.exec(stored);
  if (service !== null) return `service:${service[1]}`;
  const origin = URL.parse(stored)?.origin ?? OPAQUE_ORIGIN;
  return origin === OPAQUE_ORIGIN ? null : origin;
}

function refuse(reason: string): TargetCheck {
  return { ok: false, reason };
}
