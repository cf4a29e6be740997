/**
 * Variables and secrets (README, "Configuration") → a validated Config. A value that does not parse is never
 * guessed and breaks no more than it must: what depends on it is null here, and `problems` says what to write.
 */
import { parseDuration, parseSchedule, parseTimeout } from "./domain/schedule";

export type ConfigProblem = { name: string; message: string };

export type Config = {
  /** Leadterra's signing secrets; empty when none is configured. */
  signingSecrets: readonly string[];
  apiKeys: readonly string[];
  readOnlyApiKeys: readonly string[];
  /** null holds all deliveries. */
  delivery: DeliveryConfig | null;
  /** Strict when the variable does not parse. */
  allowPrivateDestinations: boolean;
  /** Lifetime of a KV key in seconds; null leaves KV out. */
  idempotencyTtlSeconds: number | null;
  /** null stops deletion. */
  retentionMs: number | null;
  /** The queue in which the platform puts what never reached the code. */
  deadLetterQueue: string;
  alertUrl: string | null;
  /** null when the alert is off. */
  silenceAlertMs: number | null;
  problems: readonly ConfigProblem[];
};

export type DeliveryConfig = {
  retryScheduleMs: readonly number[];
  timeoutMs: number;
};

/** What is read from the environment; every one may be missing. */
export type ConfigVariable =
  | "LEADTERRA_SIGNING_SECRETS"
  | "API_KEYS"
  | "READ_ONLY_API_KEYS"
  | "RETRY_SCHEDULE"
  | "DELIVERY_TIMEOUT"
  | "IDEMPOTENCY_TTL"
  | "RETENTION"
  | "DEAD_LETTER_QUEUE"
  | "ALLOW_PRIVATE_DESTINATIONS"
  | "ALERT_URL"
  | "SILENCE_ALERT";

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
/** https://developers.cloudflare.com/kv/api/write-key-value-pairs/#expiring-keys */
const MIN_KV_TTL_MS = 60_000;
/** https://developers.cloudflare.com/queues/platform/limits/ */
const QUEUE_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
const DURATION_FORM = 'a whole number and s, m, h or d, such as "10s" or "7d"';
const SCHEDULE_FORM = '1 to 20 durations with one space between, such as "1m 5m 30m 2h 8h"';

const configs = new WeakMap<object, Config>();

/** The configuration of this environment, read once per isolate. */
export function configOf(env: object): Config {
  let config = configs.get(env);
  if (config === undefined) {
    config = readConfig(env);
    configs.set(env, config);
  }
  return config;
}

/** @param env the Worker's environment, or the `[vars]` and secrets that it will have. */
export function readConfig(env: Partial<Record<ConfigVariable, unknown>>): Config {
  const problems: ConfigProblem[] = [];
  const read = (name: ConfigVariable) => textOf(env[name]);
  const parse = <T>(
    name: keyof typeof DEFAULTS,
    parser: (text: string) => T | null,
    form: string,
  ) => {
    const value = parser(read(name) ?? DEFAULTS[name]);
    if (value === null) problems.push({ name, message: `${name} must be ${form}.` });
    return value;
  };

  const signingSecrets = listOf(read("LEADTERRA_SIGNING_SECRETS"));
  if (signingSecrets.length === 0) {
    problems.push({
      name: "LEADTERRA_SIGNING_SECRETS",
      message: "LEADTERRA_SIGNING_SECRETS is missing: no event is accepted without it.",
    });
  }
  const apiKeys = keysOf("API_KEYS", read("API_KEYS"), problems);
  if (apiKeys.length === 0) {
    problems.push({
      name: "API_KEYS",
      message: "API_KEYS holds no usable key: the API is closed.",
    });
  }
  const readOnlyApiKeys = keysOf("READ_ONLY_API_KEYS", read("READ_ONLY_API_KEYS"), problems);

  const retryScheduleMs = parse("RETRY_SCHEDULE", parseSchedule, SCHEDULE_FORM);
  const timeoutMs = parse("DELIVERY_TIMEOUT", parseTimeout, `${DURATION_FORM}, from 1s to 60s`);
  const allowPrivate = parse("ALLOW_PRIVATE_DESTINATIONS", parseSwitch, '"true" or "false"');
  const idempotencyTtl = parse(
    "IDEMPOTENCY_TTL",
    parseKvTtl,
    `0, or ${DURATION_FORM}, of 60s or more`,
  );
  const shortest = retryScheduleMs?.reduce((sum, wait) => sum + wait, 0) ?? 0;
  const retentionMs = parse(
    "RETENTION",
    (text) => durationOver(text, shortest),
    `${DURATION_FORM}, and longer than RETRY_SCHEDULE in all`,
  );
  const deadLetterQueue = parse("DEAD_LETTER_QUEUE", parseQueueName, "the name of a queue");
  const holds = retryScheduleMs === null || timeoutMs === null || allowPrivate === null;
  return {
    signingSecrets,
    apiKeys,
    readOnlyApiKeys,
    delivery: holds ? null : { retryScheduleMs, timeoutMs },
    allowPrivateDestinations: allowPrivate ?? false,
    idempotencyTtlSeconds: idempotencyTtl === null ? null : idempotencyTtl / 1_000 || null,
    retentionMs,
    deadLetterQueue: deadLetterQueue ?? DEFAULTS.DEAD_LETTER_QUEUE,
    alertUrl: readAlertUrl(read("ALERT_URL"), problems),
    silenceAlertMs: readSilenceAlert(read("SILENCE_ALERT"), problems),
    problems,
  };
}

/** wrangler.toml may hold `true` or `0` without quotes; anything else that is no text will not parse. */
function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
  return JSON.stringify(value);
}

function listOf(text: string | undefined): string[] {
  return (text ?? "")
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function keysOf(
  name: ConfigVariable,
  text: string | undefined,
  problems: ConfigProblem[],
): string[] {
  const keys = listOf(text);
  return keys.filter((key, index) => {
    if (key.length >= MIN_API_KEY_CHARACTERS) return true;
    const which = keys.length === 1 ? "the key" : `key ${index + 1} of ${keys.length}`;
    problems.push({
      name,
      message: `${name}: ${which} does not count; a key must have at least ${MIN_API_KEY_CHARACTERS} characters.`,
    });
    return false;
  });
}

function parsePositiveDuration(text: string): number | null {
  return parseDuration(text) || null;
}

function parseSwitch(text: string): boolean | null {
  if (text === "true") return true;
  return text === "false" ? false : null;
}

function parseQueueName(text: string): string | null {
  return QUEUE_NAME.test(text) ? text : null;
}

function parseKvTtl(text: string): number | null {
  const ms = text === "0" ? 0 : parseDuration(text);
  return ms === 0 || (ms !== null && ms >= MIN_KV_TTL_MS) ? ms : null;
}

function durationOver(text: string, shortestMs: number): number | null {
  const ms = parseDuration(text);
  return ms !== null && ms > shortestMs ? ms : null;
}

function readAlertUrl(given: string | undefined, problems: ConfigProblem[]): string | null {
  const text = given?.trim();
  if (text === undefined || text === "") return null;
  const url = URL.parse(text);
  if (url !== null && (url.protocol === "https:" || url.protocol === "http:")) return text;
  problems.push({ name: "ALERT_URL", message: "ALERT_URL must be an https: URL, or be left out." });
  return null;
}

function readSilenceAlert(given: string | undefined, problems: ConfigProblem[]): number | null {
  if (given === "off") return null;
  const ms = parsePositiveDuration(given || DEFAULT_SILENCE);
  if (ms === null) {
    problems.push({
      name: "SILENCE_ALERT",
      message: `SILENCE_ALERT must be "off", or ${DURATION_FORM}.`,
    });
  }
  return ms;
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

/** Names of the service and VPC bindings that a webhook may reach as `service:NAME/path`. */
export function serviceBindings(env: object): string[] {
  return Object.entries(env)
    .filter(([name, value]) => !OWN_BINDINGS.has(name) && isFetcher(value))
    .map(([name]) => name);
}

function isFetcher(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    "fetch" in value &&
    typeof value.fetch === "function"
  );
}
