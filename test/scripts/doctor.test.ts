import { createServer } from "node:http";
import { describe, expect, it, onTestFinished } from "vitest";
import openApi from "../../public/openapi.json";
import { examine, sendSample, versionFinding } from "../../scripts/doctor.ts";
import { closeServer, freePort, listen, readBody } from "../../scripts/loopback.ts";
import { startRelay } from "../../scripts/relay.ts";
import { ownVersion, relayApi } from "../../scripts/relay-api.ts";
import { runScript } from "./run.ts";

const NOW_MS = Date.parse("2026-11-27T12:00:00Z");
const API_KEY = "doctor-key-with-all-rights";
const SECRET = "whsec_of_the_doctor";
const WEBHOOK = {
  id: "wh_1",
  name: "crm",
  url: "https://crm.example.com/?…",
  status: "active",
  statusReason: null,
  createdAt: "2026-11-01T12:00:00.000Z",
  concurrency: 12,
};
const FIGURES = { id: "wh_1", pending: 0, undeliverable: 0, failingSince: null };
const version = ownVersion();
const storedData = openApi.info["x-stored-data"];
/** As a relay that stands on data of a newer release. */
const NEWER_DATA = {
  status: 503,
  json: { code: "newer_data", detail: "The data here are of a newer release.", requestId: "r_1" },
};
const BROKEN = {
  status: 503,
  json: { code: "unavailable", detail: "Something did not answer.", requestId: "r_2" },
};

/** What a relay answers that is well, by path, with its query where that counts. */
const WELL: Record<string, { status?: number; json: unknown }> = {
  "/healthz": { json: { status: "ok", version, problems: [] } },
  "/openapi.json": { json: { info: { "x-stored-data": storedData } } },
  "/v1/filters/test": { json: { matches: false } },
  "/v1/webhooks": { json: { data: [WEBHOOK], next: null } },
  "/v1/stats": {
    json: {
      lastEventAt: "2026-11-27T11:59:00Z",
      webhooks: [FIGURES],
      queues: {
        events: { backlog: 0, oldestAt: null },
        deadLetters: { backlog: 0, oldestAt: "1970-01-01T00:00:00.000Z" },
      },
      alerts: null,
    },
  },
  "/v1/dead-letters": { json: { data: [], next: null } },
};

/** A relay that answers so; its clock stands at `nowMs`, or is not told. */
async function relayWith(answers: typeof WELL, nowMs: number | null = NOW_MS) {
  const server = createServer(async (request, response) => {
    await readBody(request);
    const { url = "" } = request;
    const all = { ...WELL, ...answers };
    const { status = 200, json } = all[url] ??
      all[url.replace(/\?.*/, "")] ?? { status: 404, json: {} };
    response.sendDate = false;
    response
      .writeHead(status, {
        "Content-Type": "application/json",
        ...(nowMs === null ? {} : { Date: new Date(nowMs).toUTCString() }),
      })
      .end(JSON.stringify(json));
  });
  const port = await listen(server);
  onTestFinished(() => closeServer(server));
  return relayApi(`http://127.0.0.1:${port}`, API_KEY);
}

const now = () => NOW_MS;

async function wrongAt(answers: typeof WELL, nowMs?: number) {
  const findings = await examine(await relayWith(answers, nowMs), { now });
  return findings.filter(({ remedy }) => remedy !== null);
}

const stats = (fields: object) => ({
  "/v1/stats": { json: { ...(WELL["/v1/stats"]?.json as object), ...fields } },
});

describe("the doctor", () => {
  it("finds nothing wrong with a relay that is well, and says what it looked at", async () => {
    const findings = await examine(await relayWith({}), { now });
    expect(findings.filter(({ remedy }) => remedy !== null)).toEqual([]);
    expect(findings.map(({ what }) => what).join("\n")).toMatchInlineSnapshot(`
      "The configuration is whole
      It runs ${version}, and this checkout is ${version}: npm run deploy leaves stored data as it is (version ${storedData})
      The clocks agree
      The key may change things
      The last event came 60 s ago
      The queue of events holds 0
      The queue of dead letters holds 0
      No alert was refused
      crm (https://crm.example.com/?…): healthy, 0 waiting, 0 undeliverable
      There are no dead letters"
    `);
  });

  type Fault = [name: string, answers: typeof WELL, what: string, remedy: string];
  const faults: Fault[] = [
    [
      "an address of something else",
      { "/healthz": { json: "hello" } },
      "not as a relay does",
      "its address",
    ],
    [
      "a bad variable",
      {
        "/healthz": {
          status: 503,
          json: { version, problems: [{ name: "RETENTION", message: "RETENTION must be 1d." }] },
        },
      },
      "RETENTION must be",
      "Set RETENTION",
    ],
    [
      "a key that is none",
      { "/v1/filters/test": { status: 401, json: {} } },
      "does not know the key",
      "Give RELAY_API_KEY one of API_KEYS in .dev.vars, or unset it: then that file is read.",
    ],
    [
      "silence",
      stats({ lastEventAt: "2026-11-25T12:00:00Z" }),
      "No event has come for 48 hours",
      "npm run register",
    ],
    ["no event at all", stats({ lastEventAt: null }), "No event has come yet", "--send"],
    [
      "a queue that stands",
      stats({
        queues: {
          events: { backlog: 7, oldestAt: "2026-11-27T11:00:00Z" },
          deadLetters: { backlog: 0, oldestAt: null },
        },
      }),
      "The queue of events holds 7, the oldest for 60 minutes",
      "wrangler tail",
    ],
    [
      "alerts that are refused",
      stats({ alerts: { refusedSince: "2026-11-27T01:00:00Z", statusCode: 404 } }),
      "ALERT_URL answers 404",
      "secret put ALERT_URL",
    ],
    [
      "a failing webhook",
      stats({ webhooks: [{ ...FIGURES, pending: 3, failingSince: "2026-11-27T04:12:00Z" }] }),
      "failing since 2026-11-27T04:12:00Z, 3 waiting",
      "/dashboard/webhooks/wh_1",
    ],
    [
      "a webhook whose health says so",
      stats({
        webhooks: [
          {
            ...FIGURES,
            health: {
              state: "probing",
              since: "2026-11-27T04:30:00Z",
              pending: 9,
              undeliverable: 0,
            },
          },
        ],
      }),
      "probing since 2026-11-27T04:30:00Z, 9 waiting",
      "/dashboard/webhooks/wh_1",
    ],
    [
      "the last answer of a failing webhook",
      stats({
        webhooks: [
          {
            ...FIGURES,
            health: { state: "failing", lastFailure: { statusCode: 503, eventId: "evt_1" } },
          },
        ],
      }),
      "crm (https://crm.example.com/?…): failing",
      "It said 503. When the service is mended: POST /v1/webhooks/wh_1/deliveries/evt_1/retry sends that one,",
    ],
    [
      "a webhook that failed three times in a row, soon after a success",
      stats({
        webhooks: [
          {
            ...FIGURES,
            health: {
              state: "failing",
              pending: 3,
              lastSuccessAt: "2026-11-27T11:50:00.000Z",
              lastFailure: { at: "2026-11-27T11:55:00.000Z", statusCode: 503, eventId: "evt_1" },
            },
          },
        ],
      }),
      "; its last attempt failed, at least the third in a row",
      "It said 503",
    ],
    ...["2026-11-27T11:49:59.999Z", null].map(
      (lastSuccessAt): Fault => [
        `a webhook that failed with its last success at ${lastSuccessAt}`,
        stats({
          webhooks: [
            {
              ...FIGURES,
              health: {
                state: "failing",
                pending: 3,
                lastSuccessAt,
                lastFailure: { at: "2026-11-27T11:55:00.000Z", statusCode: 503, eventId: "evt_1" },
              },
            },
          ],
        }),
        "; its last attempt failed, and none succeeded in the five minutes before it",
        "It said 503",
      ],
    ),
    [
      "a webhook whose service is not there",
      stats({
        webhooks: [
          {
            ...FIGURES,
            health: {
              state: "failing",
              lastFailure: { statusCode: null, error: "connection", eventId: "evt_1" },
            },
          },
        ],
      }),
      "crm (https://crm.example.com/?…): failing",
      "There was no answer (connection). When the service is mended: POST /v1/webhooks/wh_1/",
    ],
    [
      "a webhook that is late",
      stats({ webhooks: [{ ...FIGURES, health: { state: "late", pending: 900 } }] }),
      "late, 900 waiting",
      'PATCH /v1/webhooks/wh_1 {"concurrency":24}',
    ],
    [
      "a webhook that is late, and answers too slowly for its rate limit to matter",
      {
        ...stats({
          webhooks: [
            {
              ...FIGURES,
              latencyMs: { p50: 30_000 },
              health: { state: "late", pending: 900 },
            },
          ],
        }),
        "/v1/webhooks": { json: { data: [{ ...WEBHOOK, rateLimit: 10 }] } },
      },
      "late, 900 waiting",
      'PATCH /v1/webhooks/wh_1 {"concurrency":24}',
    ],
    [
      "a webhook that its rate limit makes late",
      {
        ...stats({ webhooks: [{ ...FIGURES, health: { state: "late", pending: 900 } }] }),
        "/v1/webhooks": { json: { data: [{ ...WEBHOOK, rateLimit: 0.5 }] } },
      },
      "late, 900 waiting",
      'PATCH /v1/webhooks/wh_1 {"rateLimit":1}',
    ],
    [
      "a webhook that its order makes late",
      {
        ...stats({ webhooks: [{ ...FIGURES, health: { state: "late", pending: 900 } }] }),
        "/v1/webhooks": { json: { data: [{ ...WEBHOOK, ordered: true }] } },
      },
      "late, 900 waiting",
      'PATCH /v1/webhooks/wh_1 {"ordered":false}',
    ],
    [
      "a webhook whose order waits for one that failed",
      {
        ...stats({
          webhooks: [
            {
              ...FIGURES,
              health: {
                state: "late",
                pending: 900,
                lastSuccessAt: "2026-11-29T10:00:00.000Z",
                lastFailure: { at: "2026-11-29T10:00:01.000Z", statusCode: 503, eventId: "evt_1" },
              },
            },
          ],
        }),
        "/v1/webhooks": { json: { data: [{ ...WEBHOOK, ordered: true }] } },
      },
      "late, 900 waiting",
      "It said 503. When the service is mended: POST /v1/webhooks/wh_1/deliveries/evt_1/retry",
    ],
    [
      "a webhook that a variable holds",
      stats({ webhooks: [{ ...FIGURES, health: { state: "misconfigured", pending: 4 } }] }),
      "misconfigured, 4 waiting",
      "named above",
    ],
    [
      "a newer relay than the checkout",
      { "/healthz": { json: { version: "99.0.0", problems: [] } } },
      "this checkout is older",
      "Check out 99.0.0",
    ],
    [
      "a disabled webhook",
      {
        "/v1/webhooks": {
          json: { data: [{ ...WEBHOOK, status: "disabled", statusReason: "gone" }] },
        },
      },
      "disabled (gone)",
      "/v1/webhooks/wh_1/resume",
    ],
    [
      "a webhook that is disabled for one of the two reasons, and by which",
      {
        "/v1/webhooks": {
          json: { data: [{ ...WEBHOOK, status: "disabled", statusReason: "failing" }] },
        },
      },
      "held: no attempt succeeded for five days",
      "/v1/webhooks/wh_1/resume",
    ],
    [
      "that a probing webhook has nothing to probe with",
      stats({
        webhooks: [{ ...FIGURES, health: { state: "probing", pending: 0, undeliverable: 1 } }],
      }),
      "; it fails, and nothing waits: the next event is the next try",
      "Its last answers",
    ],
    [
      "a disabled webhook beyond the first page",
      {
        "/v1/webhooks": { json: { data: [WEBHOOK], next: "second" } },
        "/v1/webhooks?limit=250&cursor=second": {
          json: { data: [{ ...WEBHOOK, id: "wh_2", status: "disabled" }], next: null },
        },
      },
      "disabled",
      "/v1/webhooks/wh_2/resume",
    ],
    [
      "undeliverable ones",
      stats({ webhooks: [{ ...FIGURES, undeliverable: 13 }] }),
      "13 undeliverable",
      '/v1/webhooks/wh_1/replay {"since": "2026-11-01T12:00:00.000Z", "only": "undeliverable"}',
    ],
    [
      "undeliverable ones of a failing webhook for which nothing waits any more",
      stats({
        webhooks: [
          {
            ...FIGURES,
            health: {
              state: "probing",
              pending: 0,
              undeliverable: 13,
              lastFailure: { statusCode: 500, eventId: "evt_1" },
            },
          },
        ],
      }),
      "13 undeliverable; it fails, and nothing waits: the next event is the next try",
      'It said 500. When the service is mended: POST /v1/webhooks/wh_1/replay {"since": "2026-11-01T12:00:00.000Z", "only": "undeliverable"}.',
    ],
    [
      "no webhook",
      { "/v1/webhooks": { json: { data: [] } } },
      "No webhook is registered",
      "Register one",
    ],
    [
      "dead letters",
      {
        "/v1/dead-letters": {
          json: { data: [{ failedAt: "2026-11-27T03:00:00Z", reason: "full" }], next: "more" },
        },
      },
      "1 or more dead letters (full), the newest of 2026-11-27T03:00:00Z. The storage",
      'POST /v1/dead-letters/redrive {"reason": "full"}',
    ],
    [
      "a dead letter that nobody can read",
      { "/v1/dead-letters": { json: { data: [{ id: "dl_1", reason: "unreadable" }] } } },
      "1 dead letter (unreadable)",
      "DELETE /v1/dead-letters/dl_1",
    ],
    [
      "data of a newer release than the checkout's",
      { "/openapi.json": { json: { info: { "x-stored-data": storedData + 1 } } } },
      `with data of version ${storedData + 1}, and this checkout is older`,
      "newer_data",
    ],
    [
      "a configuration that is not well, without a word of it",
      { "/healthz": { status: 503, json: { version, problems: [] } } },
      "/healthz answered 503",
      "wrangler tail",
    ],
    ...(
      [
        ["/v1/filters/test", "POST /v1/filters/test"],
        ["/v1/stats", "/v1/stats"],
        ["/v1/webhooks", "/v1/webhooks"],
        ["/v1/dead-letters", "/v1/dead-letters"],
      ] as const
    ).flatMap(([path, call]): typeof faults => [
      [
        `${path} that answers 503`,
        { [path]: BROKEN },
        `${call} answered 503 unavailable: Something did not answer`,
        "npx wrangler tail, with the requestId r_2",
      ],
      [
        `newer data behind ${path}`,
        { [path]: NEWER_DATA },
        `${call} answered 503 newer_data: The data here are of a newer release`,
        "A newer release has run here: check it out",
      ],
      [
        `${path} that answers with a page`,
        { [path]: { status: 200, json: "<html>" } },
        `${call} answered 200`,
        "wrangler tail",
      ],
    ]),
    [
      "the second page of webhooks that answers 503",
      {
        "/v1/webhooks": { json: { data: [WEBHOOK], next: "second" } },
        "/v1/webhooks?limit=250&cursor=second": BROKEN,
      },
      "/v1/webhooks answered 503",
      "wrangler tail",
    ],
    [
      "a refusal that is none of the relay's",
      { "/v1/filters/test": { status: 403, json: {} } },
      "POST /v1/filters/test answered 403",
      "wrangler tail",
    ],
  ];
  it("says of a key that is none what mends it on Cloudflare", async () => {
    const api = await relayWith({ "/v1/filters/test": { status: 401, json: {} } });
    const findings = await examine({ ...api, origin: "https://relay.example" }, { now });
    expect(findings.at(-1)?.remedy).toContain("npx wrangler secret put API_KEYS");
  });

  it.each(faults)("names %s and what mends it", async (_, answers, what, remedy) => {
    const found = await wrongAt(answers);
    expect(found).toMatchObject([
      { what: expect.stringContaining(what), remedy: expect.stringContaining(remedy) },
    ]);
    expect(found[0]?.what).not.toMatch(/\.$/); // it is printed with a full stop
  });

  const unknown: [name: string, answers: typeof WELL, what: string][] = [
    [
      "what a queue holds",
      stats({ queues: { events: { backlog: null, oldestAt: null } } }),
      "What the queue of events holds cannot be told",
    ],
    [
      "what alerts do, of a release that does not say",
      stats({ alerts: undefined }),
      "Whether alerts are taken cannot be told",
    ],
    [
      "how a webhook is doing of which there are no figures",
      stats({ webhooks: [] }),
      "crm (https://crm.example.com/?…): how it is doing cannot be told",
    ],
    [
      "what a deploy does to data of which nothing is known",
      { "/openapi.json": BROKEN },
      "npm run deploy does what cannot be told",
    ],
  ];
  it("does not say to change the pace of a webhook that is late only because its service was away", async () => {
    const late = { ...FIGURES, latencyMs: { p50: 100 }, health: { state: "late", pending: 900 } };
    const findings = await examine(await relayWith(stats({ webhooks: [late] })), { now });
    const finding = findings.find(({ what }) => what.includes("late, 900 waiting"));
    expect(finding).toMatchObject({ remedy: null, isTold: true });
  });

  it.each(unknown)("does not call well %s", async (_, answers, what) => {
    const findings = await examine(await relayWith(answers), { now });
    const untold = findings.filter(({ isTold }) => !isTold);
    expect(untold[0]).toMatchObject({ what: expect.stringContaining(what), remedy: null });
  });

  it("says what an upgrade would do to stored data, whatever the release calls itself", () => {
    const release = (name: string, data: number | null) => ({ version: name, data });
    for (const own of [release("0.2.0", 2), release("0.1.0", 2)]) {
      const { what, remedy } = versionFinding(release("0.1.0", 1), own);
      expect(remedy).toBeNull();
      expect(what).toMatch(/from version 1 to 2 .* cannot be rolled back/);
    }
    const between = (relay: number, own: number) =>
      versionFinding(release("0.2.0", relay), release("0.10.0", own));
    expect(between(2, 2).what).toMatch(/as it is \(version 2\), and can be rolled back/);
    expect(between(2, 3).what).toMatch(/from version 2 to 3 .* can be rolled back/);
    expect(between(3, 2).remedy).toMatch(/newer_data/);
    expect(versionFinding(release("0.10.0", 2), release("0.2.0", 2)).remedy).toMatch(/newer_data/);
  });

  it("calls a webhook that nobody listens to neither wrong nor well", async () => {
    const unconnected = { ...FIGURES, health: { state: "unconnected", pending: 2 } };
    const found = await examine(await relayWith(stats({ webhooks: [unconnected] })), { now });
    const told = found.filter(({ what }) => what.includes("unconnected"));
    expect(told).toEqual([
      {
        what: expect.stringMatching(/ 2 waiting.*nobody is connected .*npm run listen/),
        remedy: null,
        isTold: false,
      },
    ]);
  });

  it("names a clock that is off", async () => {
    expect(await wrongAt({}, NOW_MS - 240_000)).toMatchObject([
      { what: "The clock of this machine and the relay's differ by 4 minutes" },
    ]);
  });

  it("asks no clock of a relay on this machine, and says so of another that tells no time", async () => {
    const api = await relayWith({}, null);
    const here = await examine(api, { now });
    expect(here).toContainEqual({
      what: "The relay runs on this machine, by the same clock",
      remedy: null,
      isTold: true,
    });
    const elsewhere = await examine({ ...api, origin: "https://relay.example.com" }, { now });
    expect(elsewhere.filter(({ isTold }) => !isTold)).toEqual([
      {
        what: "Whether the clocks agree cannot be told: the relay's answers have no Date",
        remedy: null,
        isTold: false,
      },
    ]);
  });

  it("tells a key that only reads, and goes on", async () => {
    expect(
      await wrongAt({ "/v1/filters/test": { status: 403, json: { code: "insufficient_scope" } } }),
    ).toEqual([]);
  });

  const samples: [name: string, answers: typeof WELL, what: string, remedy: string][] = [
    [
      "a signature that is refused",
      { "/webhooks/leadterra": { status: 401, json: { code: "invalid_signature" } } },
      "refused the signature of a sample event",
      "secret put LEADTERRA_SIGNING_SECRETS",
    ],
    [
      "an ingest that takes nothing",
      { "/webhooks/leadterra": { status: 503, json: { code: "queue_unavailable" } } },
      "Ingest answered 503",
      "wrangler tail",
    ],
    [
      "a journal that does not answer",
      {
        "/webhooks/leadterra": { status: 202, json: { id: "evt_1", duplicate: false } },
        "/v1/events/evt_1": BROKEN,
      },
      "/v1/events/evt_1 answered 503 unavailable",
      "requestId r_2",
    ],
  ];
  it.each(samples)("names %s of a sample event", async (_, answers, what, remedy) => {
    expect(await sendSample(await relayWith(answers), SECRET)).toMatchObject({
      what: expect.stringContaining(what),
      remedy: expect.stringContaining(remedy),
    });
  });

  it("says that there is no secret to sign a sample event with", async () => {
    expect(await sendSample(await relayWith({}), undefined)).toMatchObject({
      what: expect.stringContaining("no secret to sign it with"),
      remedy: expect.stringContaining("LEADTERRA_SIGNING_SECRETS in the environment"),
    });
  });

  it("says that nothing listens", async () => {
    const relay = `http://127.0.0.1:${await freePort()}`;
    const { exitCode, stdout } = await runScript("doctor", ["--relay", relay], {
      env: { RELAY_API_KEY: API_KEY },
    });
    expect(stdout).toContain(
      `✗ ${relay} cannot be reached: nothing listens there, ECONNREFUSED.\n  Is this its address?`,
    );
    expect(exitCode).toBe(1);
  });

  it("follows a sample event through a real relay to its journal", {
    timeout: 180_000,
  }, async () => {
    const vars = {
      API_KEYS: API_KEY,
      LEADTERRA_SIGNING_SECRETS: SECRET,
      ALLOW_PRIVATE_DESTINATIONS: "true",
    };
    const relay = await startRelay({ vars });
    onTestFinished(relay.stop);
    const api = relayApi(relay.url, API_KEY);
    expect(await sendSample(api, "whsec_of_somebody_else")).toMatchObject({
      remedy: expect.stringContaining("secret put LEADTERRA_SIGNING_SECRETS"),
    });
    const webhook = { url: `http://127.0.0.1:${await freePort()}/`, events: ["reply.received"] };
    expect((await api.call("POST", "/v1/webhooks", webhook)).status).toBe(201);
    expect(await sendSample(api, SECRET)).toMatchObject({ remedy: null });
    const { exitCode, stdout, stderr } = await runScript(
      "doctor",
      ["--relay", relay.url, "--send"],
      {
        env: { RELAY_API_KEY: API_KEY, LEADTERRA_SIGNING_SECRETS: SECRET },
      },
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/A sample event was in the journal after \d+ ms/);
  });
});
