import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, vi } from "vitest";
import { version } from "../../package.json";
import {
  type Config,
  type ConfigVariable,
  configOf,
  readConfig,
  serviceBindings,
} from "../../src/config";
import { DAY, HOUR, it, MINUTE } from "../rig/worker/fixture";
import {
  API_KEY,
  bytesOf,
  call,
  callWith,
  DOCUMENTED_REPLY,
  leadterraSignature,
  READ_ONLY_API_KEY,
  SIGNING_SECRET,
} from "../rig/worker/requests";

/** The least that a relay needs, and every default. */
const NEEDED = { LEADTERRA_SIGNING_SECRETS: "a-signing-secret", API_KEYS: "0123456789abcdef" };
const DEFAULTS: Config = {
  signingSecrets: ["a-signing-secret"],
  apiKeys: ["0123456789abcdef"],
  readOnlyApiKeys: [],
  delivery: {
    retryScheduleMs: [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR],
    timeoutMs: 10_000,
  },
  allowPrivateDestinations: false,
  idempotencyTtlSeconds: 7 * 86_400,
  retentionMs: 30 * DAY,
  deadLetterQueue: "leadterra-dead-letters",
  alertUrl: null,
  access: null,
  silenceAlertMs: DAY,
  problems: [],
};

type Given = Partial<Record<ConfigVariable, unknown>>;

/** What a value changes of the defaults; and which variables are found wrong. */
function effectOf(given: Given) {
  const { problems, ...config } = readConfig({ ...NEEDED, ...given });
  const changed = Object.entries(config).filter(
    ([name, value]) =>
      JSON.stringify(value) !== JSON.stringify(DEFAULTS[name as keyof typeof DEFAULTS]),
  );
  return { changed: Object.fromEntries(changed), wrong: problems.map(({ name }) => name) };
}

describe("a configuration", () => {
  it("has every default when nothing but the secrets is given", () => {
    expect(readConfig(NEEDED)).toEqual(DEFAULTS);
  });

  it("of the test environment is read once and has nothing wrong with it", () => {
    expect(configOf(env)).toBe(configOf(env));
    expect(configOf(env)).toMatchObject({ allowPrivateDestinations: true, problems: [] });
  });

  it.each<[string, Given, Partial<Config>]>([
    ["one secret", { LEADTERRA_SIGNING_SECRETS: "x" }, { signingSecrets: ["x"] }],
    [
      "several secrets with spaces around them",
      { LEADTERRA_SIGNING_SECRETS: " one ,two,\n three\n" },
      { signingSecrets: ["one", "two", "three"] },
    ],
    [
      "commas that separate nothing",
      { LEADTERRA_SIGNING_SECRETS: ",one,,two," },
      { signingSecrets: ["one", "two"] },
    ],
    [
      "several keys",
      { API_KEYS: "a-key-of-16-char,another-key-that-is-longer" },
      { apiKeys: ["a-key-of-16-char", "another-key-that-is-longer"] },
    ],
    [
      "keys that may only read",
      { READ_ONLY_API_KEYS: " a-key-that-only-reads " },
      { readOnlyApiKeys: ["a-key-that-only-reads"] },
    ],
    ["no key that may only read", { READ_ONLY_API_KEYS: "" }, {}],
    [
      "one retry",
      { RETRY_SCHEDULE: "10s" },
      { delivery: { retryScheduleMs: [10_000], timeoutMs: 10_000 } },
    ],
    [
      "twenty retries",
      { RETRY_SCHEDULE: Array(20).fill("1m").join(" ") },
      { delivery: { retryScheduleMs: Array(20).fill(MINUTE), timeoutMs: 10_000 } },
    ],
    [
      "a shorter timeout",
      { DELIVERY_TIMEOUT: "1s" },
      { delivery: { retryScheduleMs: DEFAULTS.delivery?.retryScheduleMs ?? [], timeoutMs: 1_000 } },
    ],
    [
      "secrets and keys in lines",
      {
        LEADTERRA_SIGNING_SECRETS: "one\r\ntwo\n",
        API_KEYS: "a-key-of-16-char\nanother-key-of-it",
      },
      { signingSecrets: ["one", "two"], apiKeys: ["a-key-of-16-char", "another-key-of-it"] },
    ],
    ["another dead-letter queue", { DEAD_LETTER_QUEUE: "b-2" }, { deadLetterQueue: "b-2" }],
    ["an IDEMPOTENCY_TTL of 0", { IDEMPOTENCY_TTL: "0" }, { idempotencyTtlSeconds: null }],
    ["the same with a unit", { IDEMPOTENCY_TTL: "0s" }, { idempotencyTtlSeconds: null }],
    ["the shortest IDEMPOTENCY_TTL", { IDEMPOTENCY_TTL: "60s" }, { idempotencyTtlSeconds: 60 }],
    ["the same in minutes", { IDEMPOTENCY_TTL: "1m" }, { idempotencyTtlSeconds: 60 }],
    ["a RETENTION of a year", { RETENTION: "365d" }, { retentionMs: 365 * DAY }],
    [
      "a RETENTION that is a second longer than the schedule",
      { RETENTION: `${(10 * 60 + 36) * 60 + 1}s` },
      { retentionMs: (10 * 60 + 36) * MINUTE + 1_000 },
    ],
    [
      "private destinations",
      { ALLOW_PRIVATE_DESTINATIONS: "true" },
      { allowPrivateDestinations: true },
    ],
    ["no private destinations", { ALLOW_PRIVATE_DESTINATIONS: "false" }, {}],
    [
      "an ALERT_URL",
      { ALERT_URL: "https://hooks.slack.example/services/T0/B0/x" },
      { alertUrl: "https://hooks.slack.example/services/T0/B0/x" },
    ],
    [
      "a switch that TOML wrote as true",
      { ALLOW_PRIVATE_DESTINATIONS: true },
      { allowPrivateDestinations: true },
    ],
    ["a switch that TOML wrote as false", { ALLOW_PRIVATE_DESTINATIONS: false }, {}],
    ["a 0 that TOML wrote as a number", { IDEMPOTENCY_TTL: 0 }, { idempotencyTtlSeconds: null }],
    ["no ALERT_URL", { ALERT_URL: "" }, {}],
    ["a SILENCE_ALERT", { SILENCE_ALERT: "2h" }, { silenceAlertMs: 2 * HOUR }],
    ["SILENCE_ALERT off", { SILENCE_ALERT: "off" }, { silenceAlertMs: null }],
    ["no SILENCE_ALERT", { SILENCE_ALERT: "" }, {}],
  ])("takes %s", (_, given, changed) => {
    expect(effectOf(given)).toEqual({ changed, wrong: [] });
  });

  const NOT_DURATIONS = ["", "5", "m", "10 s", " 10s", "10s ", "10S", "-10s", "1.5h", "10sec", "x"];
  const NOT_SCHEDULES = [
    "",
    "x",
    "1m 5",
    "1m,5m",
    "1m  5m",
    " 1m",
    "1m ",
    Array(21).fill("1m").join(" "),
  ];
  const held = { delivery: null };

  describe.each<{ name: ConfigVariable; bad: unknown[]; breaks: Partial<Config> }>([
    { name: "RETRY_SCHEDULE", bad: NOT_SCHEDULES, breaks: held },
    { name: "DELIVERY_TIMEOUT", bad: ["0s", "61s", "2m", ...NOT_DURATIONS], breaks: held },
    {
      name: "ALLOW_PRIVATE_DESTINATIONS",
      bad: ["", "True", "TRUE", "yes", "1", "0", "no", "on", " true", "true "],
      breaks: held,
    },
    {
      name: "IDEMPOTENCY_TTL",
      bad: ["59s", "1s", "00", "366d", "30000d", ...NOT_DURATIONS],
      breaks: { idempotencyTtlSeconds: null },
    },
    {
      name: "RETENTION",
      bad: ["0s", "0", "8h", "636m", "38160s", "366d", "3650d", ...NOT_DURATIONS],
      breaks: { retentionMs: null },
    },
    {
      name: "ALERT_URL",
      bad: ["hooks.slack.example", "ftp://hooks.slack.example/", "javascript:0", "https://", "off"],
      breaks: {},
    },
    {
      name: "SILENCE_ALERT",
      bad: ["0s", "true", "on", ...NOT_DURATIONS.filter((text) => text !== "")],
      breaks: { silenceAlertMs: null },
    },
  ])("with a $name that does not parse", ({ name, bad, breaks }) => {
    it.each(bad.map((value) => [value]))("breaks no more than it must: %j", (value) => {
      expect(effectOf({ [name]: value })).toEqual({ changed: breaks, wrong: [name] });
    });

    it.each([[7], [{}], [["1m"]]])("does not take the default instead: %j", (value) => {
      expect(effectOf({ [name]: value })).toEqual({ changed: breaks, wrong: [name] });
    });

    it("says what it should look like", () => {
      const [problem] = readConfig({ ...NEEDED, [name]: bad.at(-1) }).problems;
      expect(problem?.message).toMatch(new RegExp(`^${name} must be .+\\.$`));
    });
  });

  it("compares RETENTION with the schedule that is in force", () => {
    const short = { RETRY_SCHEDULE: "1m" };
    expect(effectOf({ ...short, RETENTION: "61s" }).wrong).toEqual([]);
    expect(effectOf({ ...short, RETENTION: "60s" }).wrong).toEqual(["RETENTION"]);
    expect(effectOf({ RETRY_SCHEDULE: "30d", RETENTION: "30d" }).wrong).toEqual(["RETENTION"]);
    expect(effectOf({ RETRY_SCHEDULE: "30d" }).wrong).toEqual(["RETENTION"]);
    expect(effectOf({ RETRY_SCHEDULE: "x", RETENTION: "1s" }).wrong).toEqual(["RETRY_SCHEDULE"]);
  });

  it.each([undefined, "", " ", ",", " , \n"])(
    "without a signing secret lacks nothing else: %j",
    (LEADTERRA_SIGNING_SECRETS) => {
      expect(effectOf({ LEADTERRA_SIGNING_SECRETS })).toEqual({
        changed: { signingSecrets: [] },
        wrong: ["LEADTERRA_SIGNING_SECRETS"],
      });
    },
  );

  it.each([undefined, "", " ", ","])("without an API key lacks nothing else: %j", (API_KEYS) => {
    expect(effectOf({ API_KEYS })).toEqual({ changed: { apiKeys: [] }, wrong: ["API_KEYS"] });
  });

  it.each(["API_KEYS", "READ_ONLY_API_KEYS"] as const)(
    "does not count a key in %s of fewer than 16 characters, and does not show it",
    (name) => {
      const given = { ...NEEDED, [name]: "a-key-of-15-cha,a-key-of-16-char" };
      const config = readConfig(given);
      expect(name === "API_KEYS" ? config.apiKeys : config.readOnlyApiKeys).toEqual([
        "a-key-of-16-char",
      ]);
      expect(config.problems).toEqual([{ name, message: expect.stringContaining("16") }]);
      expect(JSON.stringify(config.problems)).not.toContain("a-key-of");
    },
  );

  it("names everything that is wrong at once", () => {
    const bad = Object.fromEntries(
      [
        "RETRY_SCHEDULE",
        "DELIVERY_TIMEOUT",
        "IDEMPOTENCY_TTL",
        "RETENTION",
        "ALLOW_PRIVATE_DESTINATIONS",
        "ALERT_URL",
        "SILENCE_ALERT",
        "DASHBOARD_ACCESS",
        "ACCESS_TEAM",
      ].map((name) => [name, "?"]),
    );
    const names = readConfig(bad).problems.map(({ name }) => name);
    expect(names.sort()).toEqual(
      [...Object.keys(bad), "ACCESS_AUDIENCE", "LEADTERRA_SIGNING_SECRETS", "API_KEYS"].sort(),
    );
  });
});

describe("Cloudflare Access", () => {
  const RIGHT = {
    LEADTERRA_SIGNING_SECRETS: "a-secret",
    API_KEYS: "a-key-of-some-length",
    DASHBOARD_ACCESS: "full",
    ACCESS_TEAM: "https://team.cloudflareaccess.com/",
    ACCESS_AUDIENCE: "tag",
  };
  const read = (given: Given) => {
    const { access, problems } = readConfig({ ...RIGHT, ...given });
    return { access, problems: problems.map(({ name }) => name) };
  };

  it("signs in by team, audience and scope", () => {
    const access = { scope: "all", team: "https://team.cloudflareaccess.com", audience: "tag" };
    expect(read({})).toEqual({ access, problems: [] });
    const reading = read({ DASHBOARD_ACCESS: "read-only" });
    expect(reading).toEqual({ access: { ...access, scope: "read" }, problems: [] });
  });

  it("names the variable that asks for it beside those that it lacks", () => {
    const { problems } = readConfig({ ...RIGHT, ACCESS_TEAM: "", ACCESS_AUDIENCE: "" });
    expect(problems).toHaveLength(2);
    for (const { message } of problems) expect(message).toContain("DASHBOARD_ACCESS");
  });

  it("is off unless it is asked for, whatever else is there", () => {
    for (const off of ["off", "", undefined]) {
      expect(read({ DASHBOARD_ACCESS: off, ACCESS_TEAM: "?" })).toEqual({
        access: null,
        problems: [],
      });
    }
  });

  it.each<[Given, string[]]>([
    [{ DASHBOARD_ACCESS: "yes" }, ["DASHBOARD_ACCESS"]],
    [{ ACCESS_TEAM: "" }, ["ACCESS_TEAM"]],
    [{ ACCESS_TEAM: "http://team.cloudflareaccess.com" }, ["ACCESS_TEAM"]],
    [{ ACCESS_TEAM: "https://team.cloudflareaccess.com.evil.example" }, ["ACCESS_TEAM"]],
    [{ ACCESS_TEAM: "https://team.example.com" }, ["ACCESS_TEAM"]],
    [{ ACCESS_AUDIENCE: " " }, ["ACCESS_AUDIENCE"]],
    [{ ACCESS_TEAM: "", ACCESS_AUDIENCE: "" }, ["ACCESS_TEAM", "ACCESS_AUDIENCE"]],
  ])("signs nobody in and says why with %j", (given, problems) => {
    expect(read(given)).toEqual({ access: null, problems });
  });

  it("takes any team where private destinations are allowed", () => {
    const given = { ACCESS_TEAM: "http://127.0.0.1:9", ALLOW_PRIVATE_DESTINATIONS: "true" };
    expect(read(given)).toMatchObject({ access: { team: "http://127.0.0.1:9" }, problems: [] });
  });
});

describe("the bindings that a webhook may reach", () => {
  it("are those of services, and none of the relay's own", () => {
    const service = { fetch: () => undefined };
    const own = ["IDEMPOTENCY", "EVENTS", "DEAD_LETTERS", "REGISTRY", "SUBSCRIBER", "JOURNAL"];
    const bound = [...own, "DEAD_LETTER_STORE", "CRM", "ORDERS_VPC"];
    const bindings = Object.fromEntries(bound.map((name) => [name, service]));
    expect(serviceBindings(bindings)).toEqual(["CRM", "ORDERS_VPC"]);
    expect(serviceBindings({ TEXT: "fetch", NOTHING: null, NUMBER: 1, OTHER: {} })).toEqual([]);
  });
});

describe("/healthz", () => {
  it("answers 200 without a key when nothing is wrong", async () => {
    const response = await call("/healthz");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toEqual({ status: "ok", version, problems: [] });
  });

  it.each([
    ["LEADTERRA_SIGNING_SECRETS", ""],
    ["API_KEYS", ""],
    ["API_KEYS", `${API_KEY},too-short-a-key`],
    ["READ_ONLY_API_KEYS", "too-short-a-key"],
    ["RETRY_SCHEDULE", "1m, 5m"],
    ["DELIVERY_TIMEOUT", "10 seconds"],
    ["IDEMPOTENCY_TTL", "59s"],
    ["RETENTION", "1h"],
    ["ALLOW_PRIVATE_DESTINATIONS", "yes"],
    ["ALERT_URL", "hush-hush.example/T0/B0"],
    ["SILENCE_ALERT", "daily"],
  ])("answers 503 and names %s when it is %j", async (name, value) => {
    const response = await callWith({ [name]: value }, "/healthz");
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      status: "misconfigured",
      version,
      problems: [{ name, message: expect.stringContaining(name) }],
    });
  });

  it("shows no secret, not even a wrong one", async () => {
    const bindings = {
      API_KEYS: `${API_KEY},too-short-a-key`,
      READ_ONLY_API_KEYS: `${READ_ONLY_API_KEY},also-too-short`,
      ALERT_URL: "hush-hush.example/T0/B0",
    };
    const text = await (await callWith(bindings, "/healthz")).text();
    for (const secret of [
      API_KEY,
      "too-short-a-key",
      READ_ONLY_API_KEY,
      "also-too-short",
      "hush-hush",
      SIGNING_SECRET,
    ]) {
      expect(text).not.toContain(secret);
    }
  });
});

describe("a Worker that is misconfigured", () => {
  beforeEach(() => {
    vi.spyOn(env.EVENTS, "send").mockResolvedValue({
      metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } },
    });
  });
  const WRONG_IN_ALL = {
    API_KEYS: "short",
    RETRY_SCHEDULE: "?",
    DELIVERY_TIMEOUT: "?",
    IDEMPOTENCY_TTL: "?",
    RETENTION: "?",
    ALLOW_PRIVATE_DESTINATIONS: "?",
    ALERT_URL: "?",
    SILENCE_ALERT: "?",
    DASHBOARD_ACCESS: "?",
  };

  it("takes events as long as it has a signing secret", async () => {
    const body = bytesOf(DOCUMENTED_REPLY);
    const headers = { "x-leadterra-signature": await leadterraSignature(body) };
    const init = { method: "POST", headers, body };
    expect((await callWith(WRONG_IN_ALL, "/webhooks/leadterra", init)).status).toBe(202);
  });

  it("answers its API without a signing secret", async () => {
    const headers = { authorization: `Bearer ${API_KEY}` };
    const bindings = { ...WRONG_IN_ALL, API_KEYS: API_KEY, LEADTERRA_SIGNING_SECRETS: "" };
    expect((await callWith(bindings, "/v1/webhooks", { headers })).status).toBe(200);
  });

  it("does not allow private destinations by mistake", async () => {
    const response = await callWith({ ALLOW_PRIVATE_DESTINATIONS: "yes" }, "/v1/webhooks", {
      method: "POST",
      headers: { authorization: `Bearer ${API_KEY}` },
      body: JSON.stringify({ url: "http://127.0.0.1:1/", events: ["*"] }),
    });
    expect(response.status).toBe(422);
  });
});

describe("a key that nobody can present, or everybody", () => {
  it.each([
    ["white space inside", "a key of 16 chars"],
    ["quotes around it", '"a-key-of-16-char"'],
    ["quotes around it that an editor made", "“a-key-of-16-char”"],
    ["a scheme", "Bearer a-key-of-16-char"],
    ["a name", "API_KEYS=a-key-of-16-char"],
    ["a zero-width space", "a-key-of-16-char\u200b"],
    ["the example's value", "rk_a_long_random_string_for_the_api"],
  ])("(%s) does not count, and is named and not shown", (_, key) => {
    const { apiKeys, problems } = readConfig({ ...NEEDED, API_KEYS: `${key},a-key-that-counts` });
    expect(apiKeys).toEqual(["a-key-that-counts"]);
    expect(problems).toMatchObject([{ name: "API_KEYS" }]);
    expect(problems[0]?.message).toContain("value 1 of 2 does not count");
    expect(problems[0]?.message).not.toContain(key);
  });

  it("is none that only looks like one: what can be presented counts", () => {
    const keys = ["bearer-key-of-16-chars", "a-key=of-16-chars", "o'key-of-16-chars"];
    const { apiKeys, problems } = readConfig({ ...NEEDED, API_KEYS: keys.join() });
    expect({ apiKeys, problems }).toEqual({ apiKeys: keys, problems: [] });
    const API_KEYS = "Bearer a-key-of-16-chars";
    expect(readConfig({ ...NEEDED, API_KEYS }).problems[0]?.message).toContain('"Bearer"');
  });

  it("is one at each end of a list that has quotes around it", () => {
    const list = "a-key-of-16-chars,a-key-that-counts,another-key-of-16";
    const { apiKeys, problems } = readConfig({ ...NEEDED, API_KEYS: ` "${list}"\n` });
    expect(apiKeys).toEqual(["a-key-that-counts"]);
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^API_KEYS: value 1 of 3 does not count; .*quotes/),
      expect.stringMatching(/^API_KEYS: value 3 of 3 does not count; .*quotes/),
    ]);
    expect(readConfig({ ...NEEDED, LEADTERRA_SIGNING_SECRETS: "'one,two'" })).toMatchObject({
      signingSecrets: [],
      problems: Array.from({ length: 3 }, () => ({ name: "LEADTERRA_SIGNING_SECRETS" })),
    });
  });

  it("is no signing secret either", () => {
    const LEADTERRA_SIGNING_SECRETS = "whsec_the_secret_that_leadterra_signs_with,'quoted',fine";
    const { signingSecrets, problems } = readConfig({ ...NEEDED, LEADTERRA_SIGNING_SECRETS });
    expect(signingSecrets).toEqual(["fine"]);
    expect(problems).toHaveLength(2);
  });
});

describe("a binding that is missing", () => {
  it("is named", () => {
    const { JOURNAL: _, ...rest } = env;
    expect(configOf(env).problems).toEqual([]);
    expect(configOf(rest).problems).toMatchObject([{ name: "JOURNAL" }]);
  });
});
