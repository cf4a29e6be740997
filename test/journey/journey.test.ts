import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { version } from "../../package.json";
import { DOCUMENTED_REPLY, EVENT_KINDS, exampleEvent } from "../../scripts/leadterra.ts";
import {
  answering,
  GENUINE,
  type ReceivedRequest,
  silence,
  startReceiver,
  verdicts,
} from "../rig/receiver.ts";
import { type JourneyRelay, READ_ONLY_API_KEY, SIGNING_SECRET, startRelay } from "./relay.ts";

/** Longer than a test is patient: nothing here may hang on a timeout. */
const DELIVERY_TIMEOUT = "60s";
/** What HTTP itself and the local platform add. */
const TRANSPORT_HEADERS = new Set(["host", "content-length", "connection", "cf-worker"]);
const ISO_TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

let relay: JourneyRelay;

beforeAll(async () => {
  relay = await startRelay({ DELIVERY_TIMEOUT });
});

afterAll(() => relay?.close());

let eventsMade = 0;

/** An event that no other test sends, of a name that no other test asks for unless it is given. */
function newEvent(name = `test.event-${++eventsMade}`, data: Record<string, unknown> = {}) {
  return { event: name, timestamp: new Date().toISOString(), data: { n: ++eventsMade, ...data } };
}

function eventIds(requests: readonly ReceivedRequest[]): unknown[] {
  return requests.map(({ headers }) => headers["webhook-id"]);
}

describe("an event", () => {
  it("arrives byte for byte as Leadterra's page shows it, with signatures that its own check and Standard Webhooks accept", async () => {
    const receiver = await startReceiver();
    const webhook = await relay.register({ url: receiver.url, events: ["reply.received"] });

    const answer = await relay.post(DOCUMENTED_REPLY);

    expect(answer).toEqual({
      status: 202,
      body: { id: "evt_QNH783WW52FCCN914ZB1QAYTW0", duplicate: false },
    });
    const [request] = await receiver.received();
    expect(request?.body).toEqual(Buffer.from(DOCUMENTED_REPLY));
    expect(request && verdicts(request, webhook.signingSecret)).toEqual(GENUINE);
    expect(request && verdicts(request, SIGNING_SECRET).leadterra).toBe(false);
  });

  it("arrives byte for byte when no serializer would write it so", async () => {
    const receiver = await startReceiver();
    const { event } = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: [event] });
    const body = `\r\n\t{ "data" : {"n":1.0e2,"big":12345678901234567890,"s":"\\u00e9é\\/","n":2},\n"event":"${event}" } \n`;

    await relay.accept(body);

    const request = await receiver.last();
    expect(request.body).toEqual(Buffer.from(body));
    expect(verdicts(request, webhook.signingSecret)).toEqual(GENUINE);
  });

  it("arrives with the headers of the contract and no others", async () => {
    const receiver = await startReceiver();
    const event = newEvent();
    const webhook = await relay.register({
      url: `${receiver.url}/in/leadterra?team=sales`,
      events: [event.event],
    });

    const beforeMs = Date.now();
    const id = await relay.accept(event);

    const request = await receiver.last();
    expect(request.method).toBe("POST");
    expect(request.path).toBe("/in/leadterra?team=sales");
    const names = request.rawHeaders
      .filter((_, index) => index % 2 === 0)
      .map((name) => name.toLowerCase())
      .filter((name) => !TRANSPORT_HEADERS.has(name));
    expect(names.sort()).toEqual([
      "content-type",
      "user-agent",
      "webhook-id",
      "webhook-signature",
      "webhook-timestamp",
      "x-leadterra-event",
      "x-leadterra-signature",
      "x-relay-attempt",
    ]);
    expect(request.headers).toMatchObject({
      "content-length": String(request.body.length),
      "content-type": "application/json",
      "user-agent": `leadterra-relay/${version}`,
      "webhook-id": id,
      "webhook-signature": expect.stringMatching(/^v1,[A-Za-z0-9+/]{43}=$/),
      "webhook-timestamp": expect.stringMatching(/^\d{10}$/),
      "x-leadterra-event": event.event,
      "x-leadterra-signature": expect.stringMatching(/^[0-9a-f]{64}$/),
      "x-relay-attempt": "1",
    });
    const timestamp = Number(request.headers["webhook-timestamp"]);
    expect(timestamp).toBeGreaterThanOrEqual(Math.floor(beforeMs / 1_000));
    expect(timestamp).toBeLessThanOrEqual(request.receivedAtMs / 1_000);
    expect(verdicts(request, webhook.signingSecret)).toEqual(GENUINE);
  });

  it("is delivered once when Leadterra sends it fifty times at once", async () => {
    const receiver = await startReceiver();
    const reply = exampleEvent("reply.received");
    const webhook = await relay.register({
      url: receiver.url,
      events: ["reply.received", "test.marker"],
    });

    const answers = await Promise.all(Array.from({ length: 50 }, () => relay.post(reply)));
    const id = answers[0]?.body.id;
    const marker = await relay.accept(newEvent("test.marker"));

    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    for (const { status, body } of answers) expect(status).toBe(body.duplicate ? 200 : 202);
    expect(answers.some(({ status }) => status === 202)).toBe(true);
    await relay.finished(webhook.id, marker);
    await relay.finished(webhook.id, String(id));
    expect(eventIds(receiver.requests).sort()).toEqual([id, marker].sort());
    const deliveries = await relay.deliveries(webhook.id);
    expect(deliveries.map(({ eventId, attempts }) => [eventId, attempts]).sort()).toEqual(
      [
        [id, 1],
        [marker, 1],
      ].sort(),
    );
  });

  it("is delivered once when it comes again later, and the answer says that it is a duplicate", async () => {
    const receiver = await startReceiver();
    const sent = exampleEvent("message.sent");
    const webhook = await relay.register({
      url: receiver.url,
      events: ["message.sent", "test.marker"],
    });

    const id = await relay.accept(sent);
    await relay.finished(webhook.id, id);
    const again = await relay.post({ ...sent, timestamp: new Date(0).toISOString() });
    const marker = await relay.accept(newEvent("test.marker"));
    await relay.finished(webhook.id, marker);

    expect(again.body.id).toBe(id);
    expect(eventIds(receiver.requests)).toEqual([id, marker]);
  });

  it("that is forged is refused, and leaves nothing: the genuine one is new", async () => {
    const receiver = await startReceiver();
    const event = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: ["*"] });

    const signatures = ["", "0".repeat(64), "sha256=abc", webhook.signingSecret];
    const forged = await Promise.all(signatures.map((signature) => relay.post(event, signature)));
    const genuine = await relay.post(event);

    for (const { status, body } of forged) {
      expect(status).toBe(401);
      expect(body).toMatchObject({ code: "invalid_signature" });
    }
    expect(genuine).toMatchObject({ status: 202, body: { duplicate: false } });
    await relay.finished(webhook.id, genuine.body.id);
    expect(eventIds(receiver.requests)).toEqual([genuine.body.id]);
    expect(await relay.deliveries(webhook.id)).toHaveLength(1);
  });

  it("goes to whoever asked for its name or for all, whether the name is known or not", async () => {
    const names = [...EVENT_KINDS, "lead.unsubscribed"];
    const receivers = await Promise.all([...names, "*"].map(() => startReceiver()));
    const webhooks = await Promise.all(
      [...names, "*"].map((name, index) =>
        relay.register({ url: `${receivers[index]?.url}/`, events: [name] }),
      ),
    );
    const nothing = await startReceiver();
    await relay.register({ url: nothing.url, events: ["campaign.finished", "campaign"] });

    const ids = await Promise.all([
      ...EVENT_KINDS.map((kind) => relay.accept(exampleEvent(kind))),
      relay.accept(newEvent("lead.unsubscribed")),
    ]);

    const everything = webhooks.at(-1);
    for (const id of ids) await relay.finished(String(everything?.id), id);
    for (const [index, id] of ids.entries()) {
      await relay.finished(String(webhooks[index]?.id), id);
      expect(eventIds(receivers[index]?.requests ?? [])).toEqual([id]);
      expect(receivers[index]?.requests[0]?.headers["x-leadterra-event"]).toBe(names[index]);
    }
    expect(eventIds(receivers.at(-1)?.requests ?? []).sort()).toEqual([...ids].sort());
    expect(nothing.requests).toEqual([]);
  });

  it("goes only where the filter lets it", async () => {
    const [hard, all] = [await startReceiver(), await startReceiver()];
    const events = ["message.bounced"];
    const filtered = await relay.register({
      url: hard.url,
      events,
      filter: { "data.bounceType": { $in: ["hard"] }, "data.messageId": { $startsWith: "msg_" } },
    });
    const unfiltered = await relay.register({ url: all.url, events });

    const soft = await relay.accept(exampleEvent("message.bounced", { bounceType: "soft" }));
    const wanted = await relay.accept(exampleEvent("message.bounced", { bounceType: "hard" }));

    for (const id of [soft, wanted]) await relay.finished(unfiltered.id, id);
    await relay.finished(filtered.id, wanted);
    expect(eventIds(hard.requests)).toEqual([wanted]);
    expect(eventIds(all.requests).sort()).toEqual([soft, wanted].sort());
    expect(await relay.delivery(filtered.id, soft)).toBeNull();
  });

  it("reaches a good service while another one hangs with a backlog", async () => {
    const [hanging, good] = [await startReceiver(silence), await startReceiver()];
    const { event: name } = newEvent();
    await relay.register({ url: hanging.url, events: [name] });
    const webhook = await relay.register({ url: good.url, events: [name] });

    const ids = await Promise.all(Array.from({ length: 12 }, () => relay.accept(newEvent(name))));

    for (const id of ids) await relay.finished(webhook.id, id);
    expect(eventIds(good.requests).sort()).toEqual([...ids].sort());
    await hanging.received();
  });
});

describe("a webhook", () => {
  it("is registered as at Leadterra, and answered with its secret", async () => {
    const { status, body } = await relay.request("POST", "/v1/webhooks", {
      url: "https://your-app.com/webhooks/leadterra",
      events: ["campaign.started", "message.sent", "message.bounced", "reply.received"],
    });

    expect(status).toBe(201);
    expect(body).toEqual({
      webhook: {
        id: expect.stringMatching(/^wh_[0-9A-HJKMNP-TV-Z]{26}$/),
        name: null,
        url: "https://your-app.com/webhooks/leadterra",
        events: ["campaign.started", "message.sent", "message.bounced", "reply.received"],
        description: null,
        filter: null,
        headers: [],
        rateLimit: null,
        ordered: false,
        concurrency: 6,
        timeout: null,
        retrySchedule: null,
        giveUpOn: [],
        status: "active",
        statusReason: null,
        createdAt: ISO_TIME,
        updatedAt: ISO_TIME,
        signingSecret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
      },
    });
    const { webhook } = body as { webhook: { id: string } };
    expect((await relay.request("DELETE", `/v1/webhooks/${webhook.id}`)).status).toBe(204);
  });

  it("signs with a secret that was given", async () => {
    const receiver = await startReceiver();
    const event = newEvent();
    const signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    await relay.register({ url: receiver.url, events: [event.event], signingSecret });

    await relay.accept(event);

    expect(verdicts(await receiver.last(), signingSecret)).toEqual(GENUINE);
  });

  it("sends its own headers along", async () => {
    const receiver = await startReceiver();
    const event = newEvent();
    const webhook = await relay.register({
      url: receiver.url,
      events: [event.event],
      headers: { Authorization: "Bearer s3cret token", "X-Team": "sales" },
    });

    await relay.accept(event);

    const request = await receiver.last();
    expect(request.headers).toMatchObject({
      authorization: "Bearer s3cret token",
      "x-team": "sales",
      "content-type": "application/json",
      "x-relay-attempt": "1",
    });
    expect(verdicts(request, webhook.signingSecret)).toEqual(GENUINE);
  });

  it.each([
    "Content-Type",
    "X-LEADTERRA-SIGNATURE",
    "webhook-id",
    "Webhook-Timestamp",
    "webhook-signature",
    "x-leadterra-event",
    "X-Relay-Attempt",
    "user-agent",
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "CF-Connecting-IP",
    "X-Forwarded-For",
    "Cookie",
    "Expect",
  ])("may not replace the header %s, at registration or later", async (name) => {
    const receiver = await startReceiver();
    const event = newEvent();
    const draft = { url: receiver.url, events: [event.event] };
    const webhook = await relay.register(draft);

    const answers = [
      await relay.request("POST", "/v1/webhooks", { ...draft, headers: { [name]: "x" } }),
      await relay.request("PATCH", `/v1/webhooks/${webhook.id}`, { headers: { [name]: "x" } }),
    ];

    for (const { status, body } of answers) {
      expect(status).toBe(422);
      const path = expect.stringContaining("headers");
      expect(body).toMatchObject({ code: "invalid_request", errors: [{ path }] });
    }
    await relay.accept(event);
    expect(verdicts(await receiver.last(), webhook.signingSecret)).toEqual(GENUINE);
  });

  it.each([
    ["of another scheme", "ftp://crm.example.com/in", /https:/],
    ["with credentials", "https://user:pass@crm.example.com/in", /credentials/],
    ["with a fragment", "https://crm.example.com/in#part", /fragment/],
    ["with white space", "https://crm.example.com/in in", /white space/],
    ["with a backslash", "https://crm.example.com\\in", /backslash/],
    ["of an unknown binding", "service:CRM/in", /binding/],
    ["that is too long", `https://crm.example.com/${"a".repeat(2048)}`, /2048/],
    ["that is none", "crm.example.com/in", /https:/],
  ])("is refused with the reason for a URL %s", async (_, url, reason) => {
    const { status, body } = await relay.request("POST", "/v1/webhooks", { url, events: ["*"] });

    expect(status).toBe(422);
    expect(body).toMatchObject({
      code: "invalid_request",
      status: 422,
      errors: [{ path: "url", message: expect.stringMatching(reason) }],
    });
  });

  it("is refused for a URL of the relay itself", async () => {
    const url = `${relay.url}/webhooks/leadterra`;

    const { status, body } = await relay.request("POST", "/v1/webhooks", { url, events: ["*"] });

    expect(status).toBe(422);
    const message = expect.stringContaining("relay itself");
    expect(body).toMatchObject({ errors: [{ path: "url", message }] });
  });

  it("delivers the next event to a changed path, with the same secret and headers", async () => {
    const receiver = await startReceiver();
    const { event: name } = newEvent();
    const webhook = await relay.register({
      url: `${receiver.url}/old`,
      events: [name],
      headers: { "x-team": "sales" },
    });
    await relay.accept(newEvent(name));
    await receiver.received(1);

    const changed = await relay.change(webhook.id, { url: `${receiver.url}/new` });
    await relay.accept(newEvent(name));

    const [, request] = await receiver.received(2);
    expect(changed).toMatchObject({ url: `${receiver.url}/new`, headers: ["x-team"] });
    expect(changed).not.toHaveProperty("signingSecret");
    expect(receiver.requests.map(({ path }) => path)).toEqual(["/old", "/new"]);
    expect(request?.headers["x-team"]).toBe("sales");
    expect(request && verdicts(request, webhook.signingSecret)).toEqual(GENUINE);
  });

  it("delivers the next event to another origin, with a new secret and without the old headers", async () => {
    const [before, after] = [await startReceiver(), await startReceiver()];
    const { event: name } = newEvent();
    const webhook = await relay.register({
      url: before.url,
      events: [name],
      headers: { authorization: "Bearer for-the-first-service" },
    });
    await relay.accept(newEvent(name));
    await before.received(1);

    const changed = await relay.change(webhook.id, { url: after.url });
    await relay.accept(newEvent(name));

    const request = await after.last();
    expect(changed).toMatchObject({ url: `${after.url}/`, headers: [] });
    expect(changed.signingSecret).toMatch(/^whsec_/);
    expect(changed.signingSecret).not.toBe(webhook.signingSecret);
    expect(request.headers).not.toHaveProperty("authorization");
    expect(verdicts(request, String(changed.signingSecret))).toEqual(GENUINE);
    expect(verdicts(request, webhook.signingSecret)).toEqual({ leadterra: false, standard: false });
    expect(before.requests).toHaveLength(1);
  });

  it("sends the next event with changed headers", async () => {
    const receiver = await startReceiver();
    const { event: name } = newEvent();
    const webhook = await relay.register({
      url: receiver.url,
      events: [name],
      headers: { "x-one": "1", "x-two": "2" },
    });

    await relay.change(webhook.id, { headers: { "X-Two": "zwei", "x-three": "3" } });
    await relay.accept(newEvent(name));
    const [changed] = await receiver.received(1);
    await relay.change(webhook.id, { headers: null });
    await relay.accept(newEvent(name));
    const [, unset] = await receiver.received(2);

    expect(changed?.headers).toMatchObject({ "x-two": "zwei", "x-three": "3" });
    expect(changed?.headers).not.toHaveProperty("x-one");
    for (const header of ["x-one", "x-two", "x-three"]) {
      expect(unset?.headers).not.toHaveProperty(header);
    }
  });

  it("gets the next event by its changed names and filter", async () => {
    const receiver = await startReceiver();
    const [old, next] = [newEvent().event, newEvent().event];
    const webhook = await relay.register({ url: receiver.url, events: [old] });
    const first = await relay.accept(newEvent(old));
    await relay.finished(webhook.id, first);

    await relay.change(webhook.id, { events: [next], filter: { "data.kind": "wanted" } });
    await relay.accept(newEvent(old, { kind: "wanted" }));
    await relay.accept(newEvent(next, { kind: "unwanted" }));
    const wanted = await relay.accept(newEvent(next, { kind: "wanted" }));
    await relay.finished(webhook.id, wanted);
    await relay.change(webhook.id, { filter: null });
    const unfiltered = await relay.accept(newEvent(next, { kind: "unwanted" }));
    await relay.finished(webhook.id, unfiltered);

    expect(eventIds(receiver.requests)).toEqual([first, wanted, unfiltered]);
  });

  it("that is deleted gets nothing more and is not found any more", async () => {
    const [receiver, witness] = [await startReceiver(), await startReceiver()];
    const { event: name } = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: [name] });
    const other = await relay.register({ url: witness.url, events: [name] });
    const first = await relay.accept(newEvent(name));
    await relay.finished(webhook.id, first);

    const deleted = await relay.request("DELETE", `/v1/webhooks/${webhook.id}`);
    const second = await relay.accept(newEvent(name));
    await relay.finished(other.id, second);

    expect(deleted).toMatchObject({ status: 204, text: "" });
    expect(eventIds(receiver.requests)).toEqual([first]);
    for (const path of ["", "/deliveries", `/deliveries/${first}`]) {
      const { status, body } = await relay.request("GET", `/v1/webhooks/${webhook.id}${path}`);
      expect([path, status]).toEqual([path, 404]);
      expect(body).toMatchObject({ code: "not_found" });
    }
    const { body } = await relay.request("GET", "/v1/webhooks?limit=250");
    expect(JSON.stringify(body)).not.toContain(webhook.id);
    expect((await relay.request("DELETE", `/v1/webhooks/${webhook.id}`)).status).toBe(404);
  });

  it("to a private host is held to the rules that are in force when the attempt starts", async () => {
    const [receiver, { event: name }] = [await startReceiver(), newEvent()];
    const webhook = await relay.register({ url: receiver.url, events: [name] });

    await relay.redeploy({ DELIVERY_TIMEOUT, ALLOW_PRIVATE_DESTINATIONS: "false" });
    try {
      const id = await relay.accept(newEvent(name));
      const delivery = await relay.attempted(webhook.id, id);
      const refused = await relay.request("POST", "/v1/webhooks", {
        url: receiver.url,
        events: ["*"],
      });

      expect(delivery).toMatchObject({ status: "pending", lastError: "forbidden_target" });
      expect(delivery.attemptLog).toMatchObject([{ number: 1, statusCode: null }]);
      expect(receiver.requests).toEqual([]);
      expect(refused.status).toBe(422);
      expect(refused.body).toMatchObject({ errors: [{ path: "url" }] });
    } finally {
      await relay.redeploy({ DELIVERY_TIMEOUT });
    }
  });
});

describe("the record of deliveries", () => {
  it("shows a delivery with its attempts, field by field", async () => {
    const receiver = await startReceiver(answering(201, { body: '{"stored":true}' }));
    const event = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: [event.event] });

    const id = await relay.accept(event);
    const delivery = await relay.finished(webhook.id, id);

    expect(delivery).toEqual({
      webhookId: webhook.id,
      eventId: id,
      event: event.event,
      status: "delivered",
      attempts: 1,
      createdAt: ISO_TIME,
      nextAttemptAt: null,
      waitingFor: null,
      completedAt: ISO_TIME,
      lastStatusCode: 201,
      lastError: null,
      attemptLog: [
        {
          number: 1,
          trigger: "scheduled",
          startedAt: ISO_TIME,
          durationMs: expect.any(Number),
          statusCode: 201,
          error: null,
          responseHeaders: null,
          responseBody: '{"stored":true}',
          responseTruncated: false,
        },
      ],
    });
    const { attemptLog, ...flat } = delivery;
    expect(await relay.deliveries(webhook.id)).toEqual([flat]);
    const [attempt] = attemptLog;
    const startedAtMs = Date.parse(String(attempt?.startedAt));
    expect(startedAtMs).toBeGreaterThanOrEqual(Date.parse(delivery.createdAt));
    expect(Date.parse(String(delivery.completedAt))).toBe(
      startedAtMs + Number(attempt?.durationMs),
    );
  });

  it("shows a failed attempt and when the next one is due", async () => {
    const receiver = await startReceiver(answering(500, { body: "no disk" }));
    const event = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: [event.event] });

    const id = await relay.accept(event);
    const delivery = await relay.attempted(webhook.id, id);

    expect(delivery).toEqual({
      webhookId: webhook.id,
      eventId: id,
      event: event.event,
      status: "pending",
      attempts: 1,
      createdAt: ISO_TIME,
      nextAttemptAt: ISO_TIME,
      waitingFor: "schedule",
      completedAt: null,
      lastStatusCode: 500,
      lastError: "status",
      attemptLog: [
        {
          number: 1,
          trigger: "scheduled",
          startedAt: ISO_TIME,
          durationMs: expect.any(Number),
          statusCode: 500,
          error: "status",
          responseHeaders: expect.objectContaining({ connection: "keep-alive" }),
          responseBody: "no disk",
          responseTruncated: false,
        },
      ],
    });
  });

  it("lists the newest first, by pages, and by status and event", async () => {
    const receiver = await startReceiver();
    const [one, two] = [newEvent().event, newEvent().event];
    const webhook = await relay.register({ url: receiver.url, events: [one, two] });
    const ids: string[] = [];
    for (const name of [one, two, one]) {
      const id = await relay.accept(newEvent(name));
      await relay.finished(webhook.id, id);
      ids.unshift(id);
    }
    receiver.answer = answering(500);
    const failing = await relay.accept(newEvent(two));
    await relay.attempted(webhook.id, failing);
    ids.unshift(failing);

    const pages: string[][] = [];
    let next: string | null = "";
    while (next !== null) {
      const cursor: string = next === "" ? "" : `&cursor=${encodeURIComponent(next)}`;
      const path = `/v1/webhooks/${webhook.id}/deliveries?limit=3${cursor}`;
      const { body } = await relay.request("GET", path);
      const page = body as { data: { eventId: string }[]; next: string | null };
      pages.push(page.data.map(({ eventId }) => eventId));
      next = page.next;
    }

    expect(pages.flat()).toEqual(ids);
    expect(pages[0]).toHaveLength(3);
    const idsOf = async (query: string) =>
      (await relay.deliveries(webhook.id, query)).map(({ eventId }) => eventId);
    expect(await idsOf("?status=pending")).toEqual([failing]);
    expect(await idsOf("?status=delivered")).toEqual(ids.slice(1));
    expect(await idsOf(`?event=${two}`)).toEqual([ids[0], ids[2]]);
    expect(await idsOf(`?event=${two}&status=delivered`)).toEqual([ids[2]]);
  });
});

describe("a secret", () => {
  it("is in no answer to a GET, and in no log line", async () => {
    const receiver = await startReceiver(answering(500));
    const event = newEvent();
    const webhook = await relay.register({
      url: `${receiver.url}/in?token=query-secret`,
      events: [event.event],
      headers: { authorization: "Bearer header-secret" },
    });
    const id = await relay.accept(event);
    await relay.attempted(webhook.id, id);
    await relay.post(event, "forged");
    await relay.request("GET", "/v1/webhooks", undefined, "wrong-key-that-nobody-has");

    const path = `/v1/webhooks/${webhook.id}`;
    const paths = ["/v1/webhooks", path, `${path}/deliveries`, `${path}/deliveries/${id}`];
    const answers = await Promise.all(paths.map((each) => relay.request("GET", each)));

    const secrets = [
      webhook.signingSecret.slice("whsec_".length),
      "header-secret",
      SIGNING_SECRET,
      READ_ONLY_API_KEY,
    ];
    for (const { status, text } of answers) {
      expect(status).toBe(200);
      for (const secret of secrets) expect(text).not.toContain(secret);
    }
    expect(relay.logs.join("\n")).toContain(webhook.id);
    for (const secret of [...secrets, "query-secret", "wrong-key-that-nobody-has"]) {
      expect(relay.logs.join("\n")).not.toContain(secret);
    }
    expect(answers[1]?.body).toMatchObject({ webhook: { headers: ["authorization"] } });
  });

  it("in a URL's query is shown to a full key that reads the one webhook, and to nobody else", async () => {
    const url = "https://crm.example.com/in?token=query-secret";
    const webhook = await relay.register({ url, events: ["test.never"] });
    const path = `/v1/webhooks/${webhook.id}`;

    const whole = await relay.request("GET", path);
    const readOnly = await relay.request("GET", path, undefined, READ_ONLY_API_KEY);
    const list = await relay.request("GET", "/v1/webhooks?limit=250");

    expect(whole.body).toMatchObject({ webhook: { url } });
    expect(readOnly.body).toMatchObject({ webhook: { url: "https://crm.example.com/in?…" } });
    expect(readOnly.text).not.toContain("query-secret");
    expect(list.text).toContain("https://crm.example.com/in?…");
    expect(list.text).not.toContain("query-secret");
  });
});
