/**
 * Variables and secrets (docs/configuration.md) → a validated Config. A value that does not parse is never
 * guessed and breaks no more than it must: what depends on it is null here, and `problems` says what to write.
 */
import { parseDuration, parseSchedule, parseTimeout } from "./domain/schedule";
import type { TargetRules } from "./domain/target";
import { DAY_MS } from "./domain/time";

export type ConfigProblem = { name: string; message: string };

export type Config = ReturnType<typeof readConfig>;

export type AccessConfig = {
  scope: "all" | "read";
  /** The origin of the team's domain. */
  team: string;
  /** The AUD tag of the application. */
  audience: string;
};

/** What is read from the environment; every one may be missing. */
export type ConfigVariable = {
  [Name in keyof Env]: Env[Name] extends string ? Name : never;
}[keyof Env];

/** While one of these has no usable value, deliveries are held. */
const HOLDING: ReadonlySet<string> = new Set([
  "RETRY_SCHEDULE",
  "DELIVERY_TIMEOUT",
  "ALLOW_PRIVATE_DESTINATIONS",
] satisfies ConfigVariable[]);

/** Left empty too: a relay that hears nothing for a day is worth a word. */
const DEFAULT_SILENCE = "24h";

const DEFAULTS = {
  RETRY_SCHEDULE: "1m 5m 30m 2h 8h",
  DELIVERY_TIMEOUT: "10s",
  IDEMPOTENCY_TTL: "7d",
  RETENTION: "30d",
  DEAD_LETTER_QUEUE: "leadterra-dead-letters",
  ALLOW_PRIVATE_DESTINATIONS: "false",
} as const;

/** A shorter key could be guessed. */
const MIN_API_KEY_CHARACTERS = 16;
/** What `.dev.vars.example` shows. */
const PUBLIC_VALUES: ReadonlySet<string> = new Set([
  "whsec_the_secret_that_leadterra_signs_with",
  "rk_a_long_random_string_for_the_api",
  "rk_another_one_that_may_only_read",
]);
/** What is remembered or kept for longer is remembered in vain: KV refuses it, and nobody looks so far back. */
const MAX_KEPT_MS = 365 * DAY_MS;
/** https://developers.cloudflare.com/kv/api/write-key-value-pairs/#expiring-keys */
const MIN_KV_TTL_MS = 60_000;
/** https://developers.cloudflare.com/queues/platform/limits/ */
const QUEUE_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
const DURATION_FORM = 'a whole number and s, m, h or d, such as "10s" or "7d"';
const SCHEDULE_FORM = '1 to 20 durations with one space between, such as "1m 5m 30m 2h 8h"';

const configs = new WeakMap<object, Config>();

export function holdsDeliveries({ name }: ConfigProblem): boolean {
  return HOLDING.has(name);
}

/** The configuration of this environment, read once per isolate. */
export function configOf(env: object): Config {
  let config = configs.get(env);
  if (config === undefined) {
    const read = readConfig(env);
    config = { ...read, problems: [...read.problems, ...missingBindings(env)] };
    configs.set(env, config);
  }
  return config;
}

/** @property read a variable's text. @property note what is wrong with one, behind its name. */
type Given = {
  read(name: ConfigVariable): string | undefined;
  note(name: ConfigVariable, what: string): void;
};

/** @param env the Worker's environment, or the `[vars]` and secrets that it will have. */
export function readConfig(env: Partial<Record<ConfigVariable, unknown>>) {
  const problems: ConfigProblem[] = [];
  const given: Given = {
    read: (name) => textOf(env[name]),
    note: (name, what) => void problems.push({ name, message: `${name}${what}.` }),
  };
  const { read, note } = given;
  const parse = <T>(
    name: keyof typeof DEFAULTS,
    parser: (text: string) => T | null,
    form: string,
  ) => {
    const value = parser(read(name) ?? DEFAULTS[name]);
    if (value === null) note(name, ` must be ${form}`);
    return value;
  };

  const signingSecrets = usable("LEADTERRA_SIGNING_SECRETS", given);
  if (signingSecrets.length === 0) {
    note("LEADTERRA_SIGNING_SECRETS", " is missing: no event is accepted without it");
  }
  const apiKeys = usable("API_KEYS", given, tooShort);
  if (apiKeys.length === 0) note("API_KEYS", " holds no usable key: the API is closed");
  const readOnlyApiKeys = usable("READ_ONLY_API_KEYS", given, tooShort);

  const retryScheduleMs = parse("RETRY_SCHEDULE", parseSchedule, SCHEDULE_FORM);
  const timeoutMs = parse("DELIVERY_TIMEOUT", parseTimeout, `${DURATION_FORM}, from 1s to 60s`);
  const allowPrivate = parse("ALLOW_PRIVATE_DESTINATIONS", parseSwitch, '"true" or "false"');
  const idempotencyTtl = parse(
    "IDEMPOTENCY_TTL",
    (text) =>
      text === "0" || parseDuration(text) === 0 ? 0 : durationOver(text, MIN_KV_TTL_MS - 1),
    `0, or ${DURATION_FORM}, from 60s to 365d`,
  );
  const shortest = retryScheduleMs?.reduce((sum, wait) => sum + wait, 0) ?? 0;
  const retentionMs = parse(
    "RETENTION",
    (text) => durationOver(text, shortest),
    `${DURATION_FORM}, longer than RETRY_SCHEDULE in all and at most 365d`,
  );
  const deadLetterQueue = parse(
    "DEAD_LETTER_QUEUE",
    (text) => (QUEUE_NAME.test(text) ? text : null),
    "the name of a queue",
  );
  return {
    /** Leadterra's; empty when none is configured. */
    signingSecrets,
    apiKeys,
    readOnlyApiKeys,
    /** null holds all deliveries. */
    delivery:
      retryScheduleMs === null || timeoutMs === null || problems.some(holdsDeliveries)
        ? null
        : { retryScheduleMs, timeoutMs },
    /** Strict when the variable does not parse. */
    allowPrivateDestinations: allowPrivate ?? false,
    /** Lifetime of a KV key; null leaves KV out. */
    idempotencyTtlSeconds: idempotencyTtl === null ? null : idempotencyTtl / 1_000 || null,
    /** null stops deletion. */
    retentionMs,
    /** The queue in which the platform puts what never reached the code. */
    deadLetterQueue: deadLetterQueue ?? DEFAULTS.DEAD_LETTER_QUEUE,
    alertUrl: readAlertUrl(given),
    /** null when the alert is off. */
    silenceAlertMs: readSilenceAlert(given),
    /** Who comes to the dashboard through Cloudflare Access; null when nobody is signed in so. */
    access: readAccess(given, allowPrivate ?? false),
    problems,
  };
}

/** wrangler.toml may hold `true` or `0` without quotes; anything else that is no text will not parse. */
function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
  return JSON.stringify(value);
}

function listOf(text: string): string[] {
  return text
    .split(/[,\r\n]/)
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function tooShort(key: string): string | null {
  if (key.length >= MIN_API_KEY_CHARACTERS) return null;
  return `a key must have at least ${MIN_API_KEY_CHARACTERS} characters`;
}

/** The values of a list that can ever match; of the others it is said which and why, never what. */
function usable(
  name: ConfigVariable,
  { read, note }: Given,
  alsoWrong: (value: string) => string | null = () => null,
): string[] {
  const text = read(name) ?? "";
  const values = listOf(text);
  const isQuoted = IN_QUOTES.test(text.trim());
  return values.filter((value, index) => {
    const isEnd = index === 0 || index === values.length - 1;
    const wrong = (isQuoted && isEnd ? QUOTED : mistakeIn(value)) ?? alsoWrong(value);
    if (wrong === null) return true;
    const which = values.length === 1 ? "the value" : `value ${index + 1} of ${values.length}`;
    note(name, `: ${which} does not count; ${wrong}`);
    return false;
  });
}

/** A value, or a whole list. */
const IN_QUOTES = /^["'`“”‘’„«»].*["'`“”‘’„«»]$/s;
const QUOTED = "there are quotes around it, or around the list";

/** Why nobody can present this, or nobody should. */
function mistakeIn(value: string): string | null {
  if (PUBLIC_VALUES.has(value))
    return "it stands in .dev.vars.example, where everybody can read it";
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(value)) return "it has invisible characters in it";
  if (/^bearer\s/i.test(value)) return 'it begins with "Bearer", which is no part of a key';
  if (/\s/.test(value))
    return "it has white space in it; values are separated by commas or line ends";
  if (IN_QUOTES.test(value)) return QUOTED;
  if (/^[A-Z_]+=[^=]/.test(value)) return "it begins with the name of a variable";
  return null;
}

function parseSwitch(text: string): boolean | null {
  if (text === "true") return true;
  return text === "false" ? false : null;
}

function durationOver(text: string, shortestMs: number): number | null {
  const ms = parseDuration(text);
  return ms !== null && ms > shortestMs && ms <= MAX_KEPT_MS ? ms : null;
}

function readAlertUrl({ read, note }: Given): string | null {
  const text = read("ALERT_URL")?.trim() ?? "";
  if (text === "") return null;
  const url = URL.parse(text);
  if (url !== null && (url.protocol === "https:" || url.protocol === "http:")) return text;
  note("ALERT_URL", " must be an https: URL, or be left out");
  return null;
}

function readSilenceAlert({ read, note }: Given): number | null {
  const text = read("SILENCE_ALERT");
  if (text === "off") return null;
  const ms = parseDuration(text || DEFAULT_SILENCE) || null;
  if (ms === null) note("SILENCE_ALERT", ` must be "off", or ${DURATION_FORM}`);
  return ms;
}

const ACCESS_SCOPES: Readonly<Record<string, AccessConfig["scope"]>> = {
  full: "all",
  "read-only": "read",
};
const ACCESS_TEAM = /^https:\/\/[a-z0-9][a-z0-9-]*\.cloudflareaccess\.com$/;

/** @param anyTeam for tests: a team of their own. */
function readAccess({ read, note }: Given, anyTeam: boolean): AccessConfig | null {
  const given = read("DASHBOARD_ACCESS")?.trim() || "off";
  if (given === "off") return null;
  const wrong = (name: ConfigVariable, what: string) =>
    note(name, ` must be ${what}: DASHBOARD_ACCESS signs nobody in`);
  const scope = ACCESS_SCOPES[given];
  const team = read("ACCESS_TEAM")?.trim().replace(/\/$/, "") ?? "";
  const audience = read("ACCESS_AUDIENCE")?.trim() ?? "";
  const isTeam = ACCESS_TEAM.test(team) || (anyTeam && URL.parse(team)?.origin === team);
  if (scope === undefined) wrong("DASHBOARD_ACCESS", '"full", "read-only" or "off"');
  if (!isTeam) wrong("ACCESS_TEAM", "https://TEAM.cloudflareaccess.com");
  if (audience === "") wrong("ACCESS_AUDIENCE", "the AUD tag of the Access application");
  return scope === undefined || !isTeam || audience === "" ? null : { scope, team, audience };
}

/** What the relay itself is bound to; never a target. */
const OWN_BINDINGS: ReadonlySet<string> = new Set([
  "IDEMPOTENCY",
  "EVENTS",
  "DEAD_LETTERS",
  "REGISTRY",
  "SUBSCRIBER",
  "JOURNAL",
  "DEAD_LETTER_STORE",
  "LANE",
  "ASSETS",
]);

function missingBindings(env: object): ConfigProblem[] {
  return [...OWN_BINDINGS]
    .filter((name) => !(name in env))
    .map((name) => ({
      name,
      message: `${name} is not bound: wrangler.toml has the binding; an [env] needs its own.`,
    }));
}

/** Names of the service and VPC bindings that a webhook may reach as `service:NAME/path`. */
export function serviceBindings(env: object): string[] {
  return Object.entries(env)
    .filter(([name, value]) => !OWN_BINDINGS.has(name) && isFetcher(value))
    .map(([name]) => name);
}

/** By what a URL is checked. @param relayHost as `TargetRules` has it. */
export function targetRules(env: object, relayHost: string): TargetRules {
  const { allowPrivateDestinations: allowPrivate } = configOf(env);
  return { allowPrivate, relayHost, services: serviceBindings(env) };
}

function isFetcher(value: unknown): boolean {
  return typeof value === "object" && typeof Object(value).fetch === "function";
}
