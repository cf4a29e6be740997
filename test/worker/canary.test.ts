import { createExecutionContext, createMessageBatch, listDurableObjectIds } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect } from "vitest";
import worker from "../../src/index";
import { signedIn } from "../rig/worker/dashboard";
import { deliverAll, newRoutingVersion, registry, subscriber } from "../rig/worker/engine";
import { type Asked, clock, HOUR, it, log, service } from "../rig/worker/fixture";
import { inObject, withVariables } from "../rig/worker/objects";
import { leavingItToTheAlarm } from "../rig/worker/queue";
import {
  API_KEY,
  api,
  bytesOf,
  call,
  callWith,
  leadterraSignature,
  OTHER_SIGNING_SECRET,
  READ_ONLY_API_KEY,
  SIGNING_SECRET,
} from "../rig/worker/requests";

const secret = (letter: string) => `whsec_${btoa(letter.repeat(32))}`;

/** A distinct secret for every place that holds one. */
const CANARIES = {
  signingSecret: SIGNING_SECRET,
  otherSigningSecret: OTHER_SIGNING_SECRET,
  apiKey: API_KEY,
  readOnlyApiKey: READ_ONLY_API_KEY,
  wrongApiKey: "canary-of-a-wrong-api-key",
  givenSecret: secret("g"),
  rotatedSecret: secret("r"),
  refusedSecret: `${secret("x")}!`,
  headerValue: "canary-of-a-header-value",
  quotedHeaderValue: 'canary "of a\\quoted/header" value',
  changedHeaderValue: "canary-of-a-changed-header",
  refusedHeaderValue: "canary-of-a-refused-header",
  query: "canary-of-a-query",
  changedQuery: "canary-of-a-changed-query",
  refusedQuery: "canary-of-a-refused-query",
  userinfo: "canary-of-a-password",
  alertUrl: "canary-of-an-alert-url",
};
const WEBHOOK_QUERY_URL = `https://crm.example.com/in?token=${CANARIES.query}`;

/** All that was shown to somebody, with where. */
let shown: [string, string][];

beforeEach(() => {
  shown = [];
});

/** Everything that must not be found, the secrets that the relay made among it. */
function forbidden(made: string[]): string[] {
  const secrets = [...Object.values(CANARIES), ...made];
  const keys = secrets
    .filter((each) => each.startsWith("whsec_"))
    .map((each) => each.slice("whsec_".length));
  return [...secrets, ...keys].flatMap((each) => [
    each,
    JSON.stringify(each).slice(1, -1),
    encodeURIComponent(each),
  ]);
}

async function show(method: string, path: string, body?: unknown): Promise<Response> {
  const response = await api(method, path, body);
  shown.push([`${method} ${path}`, await response.clone().text()]);
  for (const [name, value] of response.headers) shown.push([`${method} ${path} ${name}`, value]);
  return response;
}

async function showTo(headers: Record<string, string>, path: string, init: RequestInit = {}) {
  const response = await call(path, { ...init, headers });
  shown.push([`${init.method ?? "GET"} ${path}`, await response.text()]);
}

/** A service that fails, and shows all that it was sent in the ways that debug pages have. */
function echo({ headers, body }: Asked): Response {
  const sent = [...headers];
  const text = [
    ...sent.map(([name, value]) => `${name}: ${value}`),
    JSON.stringify({ headers: Object.fromEntries(sent) }),
    new URLSearchParams(sent.map(([name, value]) => [name, value])).toString(),
    new TextDecoder().decode(body),
  ].join("\n");
  return new Response(text, { status: 500, headers: { "x-echo": "1" } });
}

/** A network error that names what it could not reach. */
function unreachable({ url, headers }: Asked): Response {
  throw new TypeError(`could not fetch ${url} with ${JSON.stringify([...headers])}`);
}

let sent = 0;

async function arrive(signature?: string): Promise<string> {
  const messages: { id: string; timestamp: Date; attempts: number; body: ArrayBuffer }[] = [];
  const queue = {
    send: async ({ buffer }: Uint8Array<ArrayBuffer>) => {
      const timestamp = new Date(clock.nowMs());
      messages.push({ id: crypto.randomUUID(), timestamp, attempts: 1, body: buffer });
    },
  };
  const body = bytesOf({ event: "message.sent", data: { messageId: `msg_${++sent}` } });
  const headers = { "x-leadterra-signature": signature ?? (await leadterraSignature(body)) };
  const answer = await callWith({ EVENTS: queue }, "/webhooks/leadterra", {
    method: "POST",
    headers,
    body,
  });
  shown.push(["POST /webhooks/leadterra", await answer.clone().text()]);
  if (!answer.ok) return "";
  await worker.queue(
    createMessageBatch<ArrayBuffer>("leadterra-events", messages),
    leavingItToTheAlarm(env),
    createExecutionContext(),
  );
  return (await answer.json<{ id: string }>()).id;
}

/** Every cell of what is kept about what happened; settings and the answers to repeat hold secrets by design. */
async function stored(): Promise<[string, string][]> {
  const cells: [string, string][] = [];
  for (const name of ["REGISTRY", "SUBSCRIBER", "JOURNAL", "DEAD_LETTER_STORE"] as const) {
    const namespace = env[name] as DurableObjectNamespace;
    for (const id of await listDurableObjectIds(namespace)) {
      await inObject(namespace.get(id), ({ storage: { sql } }) => {
        const tables = sql
          .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")
          .toArray()
          .filter((table) => !/^(_cf_|sqlite_|settings$|webhooks$|answers$)/.test(table.name));
        for (const table of tables) {
          for (const row of sql.exec(`SELECT * FROM ${table.name}`).toArray()) {
            const texts = Object.values(row).map((value) =>
              value instanceof ArrayBuffer ? new TextDecoder().decode(value) : String(value),
            );
            cells.push([`${name} ${table.name}`, texts.join("\n")]);
          }
        }
      });
    }
  }
  return cells;
}

type Registered = { webhook: { id: string; signingSecret: string } };

async function registered(fields: Record<string, unknown>): Promise<Registered["webhook"]> {
  const draft = { url: WEBHOOK_QUERY_URL, events: ["*"], ...fields };
  const response = await api("POST", "/v1/webhooks", draft);
  expect(response.status).toBe(201);
  return (await response.json<Registered>()).webhook;
}

/** Registers, delivers to a service that fails and echoes, looks at everything, changes and deletes. */
async function wholeJourney(): Promise<string[]> {
  service.answer = echo;
  await withVariables(registry(), {
    ALERT_URL: `https://hooks.example.com/${CANARIES.alertUrl}`,
  });
  const given = await registered({
    signingSecret: CANARIES.givenSecret,
    headers: {
      authorization: `Bearer ${CANARIES.headerValue}`,
      "x-api-key": CANARIES.headerValue,
      "x-quoted": CANARIES.quotedHeaderValue,
    },
  });
  const own = await registered({});
  await newRoutingVersion();
  await refusals(given.id);
  const eventId = await arrive();
  await deliverAll(given.id, clock);
  await deliverAll(own.id, clock);
  service.answer = unreachable;
  await arrive();
  await deliverAll(given.id, clock);
  await look(given.id, eventId);
  const made = await changes(given.id);
  service.answer = echo;
  const path = `/v1/webhooks/${given.id}/deliveries/${eventId}`;
  await show("POST", `${path}/retry`);
  await deliverAll(given.id, clock);
  service.answer = () => new Response(null, { status: 410 });
  clock.advance(HOUR);
  await deliverAll(given.id, clock);
  await look(given.id, eventId);
  expect(service.requests.some(({ url }) => url.includes(CANARIES.alertUrl))).toBe(true);
  await show("DELETE", `/v1/webhooks/${own.id}`);
  return [own.signingSecret, ...made];
}

async function refusals(id: string): Promise<void> {
  const draft = { url: WEBHOOK_QUERY_URL, events: ["*"] };
  const { refusedSecret, refusedHeaderValue, refusedQuery, userinfo, wrongApiKey } = CANARIES;
  for (const fields of [
    { signingSecret: refusedSecret },
    { headers: { "x-a": `${refusedHeaderValue}\n` } },
    { headers: { host: refusedHeaderValue } },
    { url: `https://relay.example/in?token=${refusedQuery}` },
    { url: `ftp://a.example/?token=${refusedQuery}` },
    { url: `https://user:${userinfo}@a.example/` },
    { events: [], secret: refusedSecret },
  ]) {
    expect((await show("POST", "/v1/webhooks", { ...draft, ...fields })).status).toBe(422);
    expect((await show("PATCH", `/v1/webhooks/${id}`, fields)).status).toBe(422);
  }
  const rotate = `/v1/webhooks/${id}/rotate-secret`;
  expect((await show("POST", rotate, { signingSecret: refusedSecret })).status).toBe(422);
  await showTo({ authorization: `Bearer ${wrongApiKey}` }, "/v1/webhooks");
  await showTo({ authorization: `Bearer ${READ_ONLY_API_KEY}` }, rotate, { method: "POST" });
  await arrive(SIGNING_SECRET);
}

async function changes(id: string): Promise<string[]> {
  const { changedHeaderValue, changedQuery, rotatedSecret } = CANARIES;
  const path = `/v1/webhooks/${id}`;
  await api("POST", `${path}/rotate-secret`, { signingSecret: rotatedSecret });
  const rotated = await api("POST", `${path}/rotate-secret`, {});
  await api("PATCH", path, { headers: { "x-a": changedHeaderValue } });
  const moved = await api("PATCH", path, {
    url: `https://sales.example.com/in?token=${changedQuery}`,
    headers: { "x-a": changedHeaderValue },
  });
  const answers = [rotated, moved].map((response) => response.json<Registered>());
  return (await Promise.all(answers)).map(({ webhook }) => webhook.signingSecret);
}

async function look(id: string, eventId: string): Promise<void> {
  for (const path of [
    "/v1/webhooks",
    `/v1/webhooks/${id}/deliveries`,
    `/v1/webhooks/${id}/deliveries/${eventId}`,
    "/v1/events",
    `/v1/events/${eventId}`,
    "/v1/event-types",
    "/v1/dead-letters",
    "/v1/audit",
    "/v1/stats",
    "/v1/nothing",
    "/healthz",
    "/openapi.json",
    "/docs",
  ]) {
    await show("GET", path);
  }
  await showTo({ authorization: `Bearer ${READ_ONLY_API_KEY}` }, `/v1/webhooks/${id}`);
  await browse(id, eventId);
}

/** Every page of the dashboard, as whoever may change things sees it and as whoever may only read. */
async function browse(id: string, eventId: string): Promise<void> {
  for (const key of [API_KEY, READ_ONLY_API_KEY]) {
    const visitor = await signedIn(key);
    for (const page of [
      "",
      "/webhooks",
      "/webhooks/new",
      `/webhooks/${id}`,
      `/webhooks/${id}/edit`,
      `/webhooks/${id}/attempts`,
      `/webhooks/${id}/deliveries/${eventId}`,
      "/deliveries",
      "/events",
      `/events/${eventId}`,
      "/dead-letters",
      "/audit",
    ]) {
      const response = await visitor.get(`/dashboard${page}`);
      const text = await response.text();
      const mayLook = key === API_KEY || !/\/(new|edit)$/.test(page);
      expect(`${page} ${response.status}`).toBe(`${page} ${mayLook ? 200 : 403}`);
      expect(text).toContain("</html>");
      // A page of HTML may write what it shows in HTML's own way.
      const plain = text
        .replaceAll("&quot;", '"')
        .replaceAll("&#39;", "'")
        .replaceAll("&amp;", "&");
      shown.push([`page ${page}`, plain]);
    }
  }
}

describe("a secret", () => {
  it("is in no log line, list, error, page or stored attempt, whatever services answer", async () => {
    const made = await wholeJourney();
    const secrets = forbidden(made);
    expect(made).toHaveLength(3);
    expect(log.lines().length).toBeGreaterThan(20);
    expect(shown.length).toBeGreaterThan(60);
    const attempts = shown.filter(([, text]) => text.includes("x-relay-attempt"));
    expect(attempts.length, "an echo was kept").toBeGreaterThan(0);
    const places: [string, string][] = [
      ...log
        .text()
        .split("\n")
        .map((line): [string, string] => ["log", line]),
      ...shown,
      ...(await stored()),
    ];
    const leaks = places.flatMap(([place, text]) =>
      secrets.filter((each) => text.includes(each)).map((each) => `${place}: ${each}`),
    );
    expect([...new Set(leaks)]).toEqual([]);
  }, 60_000);

  // Departures blacken header values and signing secrets; the query of the URL is left in what a service echoes.
  it("is in no stored attempt when it was in the URL's query and the service shows that", async () => {
    service.answer = ({ url }) => new Response(`GET ${url}: no such page`, { status: 404 });
    const { id } = await registered({});
    await newRoutingVersion();
    const eventId = await arrive();
    await deliverAll(id, clock);
    const attempts = await show("GET", `/v1/webhooks/${id}/deliveries/${eventId}`);
    const text = await attempts.text();
    expect(text).toContain("no such page");
    expect(text).not.toContain(CANARIES.query);
  });

  it("is found by this search where it is shown on purpose", async () => {
    await registered({ headers: { "x-a": CANARIES.headerValue } });
    const created = await show("POST", "/v1/webhooks", {
      url: WEBHOOK_QUERY_URL,
      events: ["*"],
      signingSecret: CANARIES.givenSecret,
    });
    const { webhook } = await created.json<Registered>();
    await show("GET", `/v1/webhooks/${webhook.id}`);
    const texts = shown.map(([, text]) => text).join("\n");
    expect(forbidden([]).filter((each) => texts.includes(each))).toEqual(
      expect.arrayContaining([CANARIES.givenSecret, CANARIES.query]),
    );
    const settings = await inObject(subscriber(webhook.id), ({ storage }) =>
      JSON.stringify(storage.sql.exec("SELECT * FROM settings").toArray()),
    );
    expect(settings).toContain(CANARIES.givenSecret);
  });
});
