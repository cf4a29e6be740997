import { spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EVENT_KINDS } from "../../scripts/leadterra.ts";
import {
  type LeadterraApi,
  type SecretPlacement,
  startLeadterraApi,
} from "../../scripts/leadterra-api.ts";
import { closeServer, freePort, listen, readBody } from "../../scripts/loopback.ts";
import {
  parseApiKey,
  parseCommand,
  type RegisterCommand,
  register,
  type Wrangler,
} from "../../scripts/register.ts";
import { ROOT } from "../../scripts/wrangler.ts";

const API_KEY = "sk_live_canary_of_the_test";
const RELAY = "https://my-relay.example.workers.dev";
const SECRET_NAME = "LEADTERRA_SIGNING_SECRETS";
const BY_HAND = `npx wrangler secret put ${SECRET_NAME}`;
/** Where Leadterra's answer may carry the secret. */
const PLACEMENTS = (["signingSecret", "signing_secret", "secret"] as const).flatMap((field) =>
  (["webhook", "beside"] as const).map((place) => ({ field, place })),
);

let leadterra: LeadterraApi | undefined;
/** Everything that a person would see. */
let output: string[];
let wranglerCalls: { args: readonly string[]; input: string | undefined }[];

beforeEach(() => {
  output = [];
  wranglerCalls = [];
});

afterEach(async () => {
  await leadterra?.close();
  leadterra = undefined;
});

async function startLeadterra(secret?: SecretPlacement): Promise<LeadterraApi> {
  leadterra = await startLeadterraApi({
    apiKey: API_KEY,
    ...(secret === undefined ? {} : { secret }),
  });
  return leadterra;
}

/** A Worker with these secrets, that `secret put` fails on the given number of times. */
function wranglerWith(names: readonly string[], putFailures = 0): Wrangler {
  let failuresLeft = putFailures;
  return async (args, input) => {
    wranglerCalls.push({ args, input });
    if (args[1] === "list") {
      const secrets = names.map((name) => ({ name, type: "secret_text" }));
      return {
        exitCode: 0,
        stdout: `A new version is out!\n${JSON.stringify(secrets)}`,
        stderr: "",
      };
    }
    failuresLeft -= 1;
    if (failuresLeft < 0) return { exitCode: 0, stdout: "Success!", stderr: "" };
    return { exitCode: 1, stdout: "", stderr: `cannot put ${input}` };
  };
}

type Options = {
  api: string;
  command?: Partial<RegisterCommand>;
  wrangler?: Wrangler;
  apiKey?: string;
};

/** @returns the message of the failure; null when it did what it should. */
async function run({ api, command, wrangler, apiKey = API_KEY }: Options): Promise<string | null> {
  const events = EVENT_KINDS;
  const whole = { relay: RELAY, api, events, replace: false, worker: [], ...command };
  const around = {
    apiKey,
    wrangler: wrangler ?? wranglerWith(["API_KEYS"]),
    say: (line: string) => output.push(line),
    putAgainAfterMs: [1, 1],
  };
  try {
    await register(whole, around);
    return null;
  } catch (thrown) {
    const { message } = thrown as Error;
    output.push(message);
    return message;
  }
}

function puts() {
  return wranglerCalls.filter(({ args }) => args[1] === "put");
}

function expectNoSecretIn(text: string): void {
  const secrets = leadterra?.registrations.map(({ signingSecret }) => signingSecret) ?? [];
  for (const secret of [API_KEY, ...secrets]) expect(text).not.toContain(secret);
}

/** A Leadterra that gives one answer. */
async function answering(status: number, body: string): Promise<{ url: string; server: Server }> {
  const server = createServer((_, response) => response.writeHead(status).end(body));
  return { url: `http://127.0.0.1:${await listen(server)}`, server };
}

async function runAgainst(status: number, body: string): Promise<string | null> {
  const { url, server } = await answering(status, body);
  try {
    return await run({ api: url });
  } finally {
    await closeServer(server);
  }
}

describe("npm run register", () => {
  it.each(PLACEMENTS)("puts the secret into the Worker: $field, $place", async (placement) => {
    const { url, registrations } = await startLeadterra(placement);
    expect(await run({ api: url })).toBeNull();
    expect(registrations).toEqual([
      expect.objectContaining({ url: `${RELAY}/webhooks/leadterra`, events: [...EVENT_KINDS] }),
    ]);
    expect(puts()).toEqual([
      { args: ["secret", "put", SECRET_NAME], input: registrations[0]?.signingSecret },
    ]);
    expect(output.join("\n")).toContain(registrations[0]?.id);
    expectNoSecretIn(output.join("\n"));
    for (const { args } of wranglerCalls) expectNoSecretIn(args.join(" "));
  });

  it("stops with the names that were there, when the answer has no secret", async () => {
    const { url, registrations } = await startLeadterra("none");
    const message = await run({ api: url, command: { worker: ["--env", "staging"] } });
    expect(message).toContain(
      "webhook, webhook.id, webhook.url, webhook.events, webhook.status, webhook.createdAt",
    );
    expect(message).toContain(`${BY_HAND} --env staging`);
    expect(message).not.toContain(registrations[0]?.createdAt);
    expect(puts()).toEqual([]);
  });

  it.each([
    ['{"webhook":{"id":"wh_1","signingKey":"canary"},"token":"canary"}', "webhook.signingKey"],
    ['{"webhook":{"secret":""}}', "webhook.secret"],
    ['{"webhook":{"secret":{"value":"canary"}}}', "webhook.secret"],
    ['{"webhook":{"secret":"canary, canary"}}', "a comma or a space"],
    ['{"webhook":{"\\u001b[2Jkey":"canary"}}', "webhook.?[2Jkey"],
    ["canary", "nothing that can be read"],
    ["[]", "nothing that can be read"],
  ])("shows no value of an answer without a usable secret: %s", async (body, named) => {
    const message = await runAgainst(201, body);
    expect(message).toContain(named);
    expect(message).toContain(BY_HAND);
    expect(output.join("\n")).not.toContain("canary");
    expect(puts()).toEqual([]);
  });

  it("asks for some events only, and tells wrangler which Worker is meant", async () => {
    const { url, registrations } = await startLeadterra();
    const worker = ["--name", "other-relay"];
    expect(await run({ api: url, command: { events: ["reply.received"], worker } })).toBeNull();
    expect(registrations[0]?.events).toEqual(["reply.received"]);
    expect(wranglerCalls.map(({ args }) => args.slice(-2))).toEqual([worker, worker]);
  });

  it("registers nothing when the key is refused", async () => {
    const { url, registrations } = await startLeadterra();
    const wrong = "sk_live_wrong";
    const message = await run({ api: url, apiKey: wrong });
    expect(message).toContain("401 (bad API key). Is LEADTERRA_API_KEY right?");
    expect(message).not.toContain(wrong);
    expect(registrations).toEqual([]);
    expect(puts()).toEqual([]);
  });

  it.each([
    [
      422,
      `{"message":"no such key ${API_KEY}","webhook":{"secret":"canary"}}`,
      "422 (no such key ***)",
    ],
    [500, "canary", "500."],
    [302, "canary", "302."],
  ])("shows the reason of a failure and nothing else: %i", async (status, body, shown) => {
    const message = await runAgainst(status, body);
    expect(message).toContain(`Leadterra answered ${shown}`);
    expect(message).not.toContain("canary");
    expectNoSecretIn(output.join("\n"));
  });

  it("says where Leadterra was not reached", async () => {
    const api = `http://127.0.0.1:${await freePort()}`;
    expect(await run({ api })).toBe(
      `Leadterra cannot be reached at ${api} (nothing listens there, ECONNREFUSED).`,
    );
    expect(puts()).toEqual([]);
  });
});

describe("the secret that the Worker has already", () => {
  it("is kept, and nothing is registered, without --replace", async () => {
    const { url, registrations } = await startLeadterra();
    const message = await run({ api: url, wrangler: wranglerWith([SECRET_NAME]) });
    expect(message).toContain("--replace");
    expect(message).toContain("separated by commas");
    expect(registrations).toEqual([]);
    expect(puts()).toEqual([]);
  });

  it("is replaced with --replace, and a warning", async () => {
    const { url } = await startLeadterra();
    const command = { replace: true };
    expect(await run({ api: url, command, wrangler: wranglerWith([SECRET_NAME]) })).toBeNull();
    expect(puts()).toHaveLength(1);
    expect(output.join("\n")).toContain("will be refused");
  });

  it("is not risked when wrangler cannot tell", async () => {
    const { url, registrations } = await startLeadterra();
    const wrangler: Wrangler = async () => ({ exitCode: 1, stdout: "", stderr: "not logged in" });
    expect(await run({ api: url, wrangler })).toMatch(/^Nothing was registered.*not logged in$/s);
    expect(registrations).toEqual([]);
  });
});

describe("a wrangler that fails to put the secret", () => {
  it("is given two more chances", async () => {
    const { url, registrations } = await startLeadterra();
    expect(await run({ api: url, wrangler: wranglerWith([], 2) })).toBeNull();
    const secret = registrations[0]?.signingSecret;
    expect(puts().map(({ input }) => input)).toEqual([secret, secret, secret]);
    expectNoSecretIn(output.join("\n"));
  });

  it("is quoted without the secret, and the command by hand is shown", async () => {
    const { url } = await startLeadterra();
    const message = await run({ api: url, wrangler: wranglerWith([], 3) });
    expect(message).toContain("cannot put ***");
    expect(message).toContain(BY_HAND);
    expectNoSecretIn(output.join("\n"));
  });
});

describe("the arguments of npm run register", () => {
  it("default to Leadterra and all events", () => {
    expect(parseCommand(["--relay", `${RELAY}/`])).toEqual({
      relay: RELAY,
      api: "https://app.leadterra.co",
      events: [...EVENT_KINDS],
      replace: false,
      worker: [],
    });
  });

  it("choose events, and the Worker as wrangler does", () => {
    const args = ["--relay", RELAY, "--events", "message.sent, reply.received", "-e", "staging"];
    expect(parseCommand(args)).toMatchObject({
      events: ["message.sent", "reply.received"],
      worker: ["--env", "staging"],
    });
  });

  it.each([
    [[], "--relay is missing"],
    [["--relay", "http://relay.example.com"], "--relay must start with https://"],
    [["--relay", "relay.example.com"], "--relay must start with https://"],
    [["--relay", `${RELAY}/webhooks/leadterra`], `--relay must be an origin such as ${RELAY}`],
    [["--relay", "https://canary:canary@relay.example.com"], "--relay must be an origin"],
    [["--relay", `${RELAY}?key=canary`], "--relay must be an origin"],
    [["--relay", RELAY, "--api", "http://app.leadterra.co"], "--api must start with https://"],
    [["--relay", RELAY, "--events", "message.opened"], "--events: campaign.started"],
  ])("refuse %j", (args, message) => {
    expect(() => parseCommand(args)).toThrow(message);
    expect(() => parseCommand(args)).not.toThrow("canary");
  });

  it.each([undefined, "", " ", "canary\ncanary", "cänary"])("refuse %j as a key", (key) => {
    expect(() => parseApiKey(key)).toThrow("LEADTERRA_API_KEY must be in the environment");
    expect(() => parseApiKey(key)).not.toThrow(/c[aä]nary/);
  });
});

/** Cloudflare's API as far as `wrangler secret` needs it. */
async function startCloudflare() {
  const secrets: { name: string; text: string }[] = [];
  const server = createServer(async (request, response) => {
    const body = (await readBody(request)).toString();
    const isPut = request.method === "PUT";
    if (isPut) secrets.push(JSON.parse(body));
    const result = isPut ? {} : secrets.map(({ name }) => ({ name, type: "secret_text" }));
    const json = { success: true, errors: [], messages: [], result };
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(json));
  });
  return { url: `http://127.0.0.1:${await listen(server)}`, secrets, server };
}

describe("npm run register with wrangler itself", () => {
  it("brings the secret to Cloudflare, and shows it nowhere", { timeout: 300_000 }, async () => {
    const { url, registrations } = await startLeadterra({ field: "secret", place: "webhook" });
    const cloudflare = await startCloudflare();
    const script = join(ROOT, "scripts/register.ts");
    const child = spawn(process.execPath, [script, "--relay", RELAY, "--api", url], {
      env: {
        ...process.env,
        LEADTERRA_API_KEY: API_KEY,
        CLOUDFLARE_API_BASE_URL: cloudflare.url,
        CLOUDFLARE_API_TOKEN: "token-of-the-test",
        CLOUDFLARE_ACCOUNT_ID: "account-of-the-test",
      },
    });
    let shown = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        shown += text;
      });
    }
    const exitCode = await new Promise((resolve) => child.once("close", resolve));
    await closeServer(cloudflare.server);
    expect(shown).toContain(`${SECRET_NAME} is in the Worker.`);
    expect(exitCode).toBe(0);
    const text = registrations[0]?.signingSecret;
    expect(cloudflare.secrets).toEqual([{ name: SECRET_NAME, text, type: "secret_text" }]);
    expectNoSecretIn(shown);
  });
});
