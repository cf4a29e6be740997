import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../scripts/loopback.ts";
import type { Attempt, LoggedDelivery, RegisteredWebhook } from "../rig/api.ts";
import {
  type Answer,
  answering,
  GENUINE,
  hungUp,
  inTurn,
  type Receiver,
  raw,
  reset,
  silence,
  startReceiver,
  verdicts,
} from "../rig/receiver.ts";
import { type JourneyRelay, startRelay } from "./relay.ts";

const TIMEOUT_MS = 2_000;
/** No retry within this test: an hour is long enough. */
const WAIT_MS = 3_600_000;
const MAX_JITTER_MS = WAIT_MS / 10;
const MAX_RETRY_AFTER_MS = 8 * 3_600_000;
const KIB = 1024;
/** Far more than socket buffers hold, far less than passes in two seconds. */
const MANY_BYTES = 64 * KIB * KIB;

let relay: JourneyRelay;

beforeAll(async () => {
  relay = await startRelay({ DELIVERY_TIMEOUT: "2s", RETRY_SCHEDULE: "1h" });
});

afterAll(() => relay?.close());

let eventsMade = 0;

function newEvent() {
  const n = ++eventsMade;
  return { event: `test.event-${n}`, timestamp: new Date().toISOString(), data: { n } };
}

type Attempted = {
  receiver: Receiver;
  webhook: RegisteredWebhook;
  delivery: LoggedDelivery;
  attempt: Attempt;
};

/** What the record says after the first attempt at a service that answers so. */
async function attemptAt(answer: Answer, draft: Record<string, unknown> = {}): Promise<Attempted> {
  const receiver = await startReceiver(answer);
  const event = newEvent();
  const webhook = await relay.register({ url: receiver.url, events: [event.event], ...draft });
  const id = await relay.accept(event);
  const delivery = await relay.attempted(webhook.id, id);
  const [attempt] = delivery.attemptLog;
  if (attempt === undefined) throw new Error("no attempt");
  return { receiver, webhook, delivery, attempt };
}

function endedAtMs({ startedAt, durationMs }: Attempt): number {
  return Date.parse(startedAt) + durationMs;
}

/** The next attempt is due on the schedule: no earlier, and at most a tenth later. */
function expectOnSchedule({ delivery, attempt }: Attempted): void {
  const waitMs = Date.parse(String(delivery.nextAttemptAt)) - endedAtMs(attempt);
  expect(waitMs).toBeGreaterThanOrEqual(WAIT_MS);
  expect(waitMs).toBeLessThanOrEqual(WAIT_MS + MAX_JITTER_MS);
}

function expectFailed(attempted: Attempted, outcome: Partial<Attempt>): void {
  const { delivery, attempt, receiver } = attempted;
  expect(attempt).toMatchObject({ number: 1, trigger: "scheduled", ...outcome });
  expect(delivery).toMatchObject({
    status: "pending",
    attempts: 1,
    completedAt: null,
    lastStatusCode: attempt.statusCode,
    lastError: attempt.error,
  });
  expect(delivery.attemptLog).toHaveLength(1);
  expect(receiver.requests.length).toBeLessThanOrEqual(1);
  expectOnSchedule(attempted);
}

function expectDelivered({ delivery, attempt }: Attempted, outcome: Partial<Attempt>): void {
  expect(attempt).toMatchObject({ number: 1, trigger: "scheduled", error: null, ...outcome });
  expect(delivery).toMatchObject({
    status: "delivered",
    attempts: 1,
    nextAttemptAt: null,
    completedAt: new Date(endedAtMs(attempt)).toISOString(),
    lastStatusCode: attempt.statusCode,
    lastError: null,
  });
  expect(delivery.attemptLog).toHaveLength(1);
}

const NO_ANSWER = { statusCode: null, responseBody: null, responseTruncated: false };

describe("a service that is slow", () => {
  it("times out when it never answers, and is hung up on", async () => {
    const attempted = await attemptAt(silence);

    expectFailed(attempted, { error: "timeout", ...NO_ANSWER });
    expect(attempted.attempt.durationMs).toBeGreaterThanOrEqual(TIMEOUT_MS);
    await attempted.receiver.disconnected();
  });

  it("times out when it answers too late", async () => {
    // A relay that is more patient than it should be gets its answer before the test gives up.
    const attempted = await attemptAt(async ({ response, socket }) => {
      await Promise.race([hungUp(socket), pause(3 * TIMEOUT_MS)]);
      response.writeHead(200).end("late");
    });

    expectFailed(attempted, { error: "timeout", ...NO_ANSWER });
  });

  it("times out when its status line does not end", async () => {
    const attempted = await attemptAt(({ socket }) => {
      socket.write("HTTP/1.1 200 O");
    });

    expectFailed(attempted, { error: "timeout", ...NO_ANSWER });
  });

  it.each([
    [200, null, "delivered"],
    [500, "status", "pending"],
  ])(
    "is judged by its status %i when the body comes a byte a second",
    async (status, error, is) => {
      const attempted = await attemptAt(async ({ response, socket }) => {
        response.writeHead(status).write("x");
        while (!socket.destroyed) {
          await pause(1_000);
          response.write("x");
        }
      });

      const outcome = { statusCode: status, responseTruncated: true };
      if (error === null) expectDelivered(attempted, outcome);
      else expectFailed(attempted, { ...outcome, error });
      expect(attempted.delivery.status).toBe(is);
      expect(attempted.attempt.responseBody).toMatch(/^x+$/);
      await attempted.receiver.disconnected();
    },
  );
});

describe("a service that answers too much", () => {
  it.each([
    [200, KIB],
    [500, 16 * KIB],
  ])(
    "is hung up on: of an endless body after status %i, %i bytes are kept",
    async (status, kept) => {
      let sentBytes = 0;
      const attempted = await attemptAt(async ({ response, socket }) => {
        response.writeHead(status);
        const chunk = "0123456789abcdef".repeat(4 * KIB);
        while (!socket.destroyed) {
          sentBytes += chunk.length;
          if (!response.write(chunk)) await drained(response, socket);
        }
      });

      const outcome = { statusCode: status, responseTruncated: true };
      if (status === 200) expectDelivered(attempted, outcome);
      else expectFailed(attempted, { ...outcome, error: "status" });
      expect(attempted.attempt.responseBody).toBe("0123456789abcdef".repeat(kept / 16));
      await attempted.receiver.disconnected();
      expect(sentBytes).toBeLessThan(MANY_BYTES);
    },
  );

  it.each([
    [200, KIB],
    [500, 16 * KIB],
  ])(
    "keeps the record small: of a compressed bomb after status %i, %i bytes are kept",
    async (status, kept) => {
      const bomb = gzipSync(Buffer.alloc(MANY_BYTES, "boom"));
      const attempted = await attemptAt(
        answering(status, { headers: { "content-encoding": "gzip" }, body: bomb }),
      );

      const outcome = { statusCode: status, responseTruncated: true };
      if (status === 200) expectDelivered(attempted, outcome);
      else expectFailed(attempted, { ...outcome, error: "status" });
      expect(attempted.attempt.responseBody).toBe("boom".repeat(kept / 4));
    },
  );

  it.each([
    [200, KIB, false],
    [200, KIB + 1, true],
    [500, 16 * KIB, false],
    [500, 16 * KIB + 1, true],
  ])("of status %i with %i bytes is cut: %s", async (status, length, cut) => {
    const { attempt } = await attemptAt(answering(status, { body: "x".repeat(length) }));

    expect(attempt.statusCode).toBe(status);
    expect(attempt.responseTruncated).toBe(cut);
    expect(attempt.responseBody).toBe("x".repeat(cut ? length - 1 : length));
  });

  it("fails when its headers do not end", async () => {
    const attempted = await attemptAt(async ({ socket }) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      while (!socket.destroyed) {
        if (!socket.write(`x-more: ${"x".repeat(64 * KIB)}\r\n`)) await drained(socket, socket);
      }
    });

    expect(["connection", "timeout"]).toContain(attempted.attempt.error);
    expectFailed(attempted, { error: attempted.attempt.error, ...NO_ANSWER });
  });
});

describe("a service with a broken connection", () => {
  it("that nobody listens for is a failed connection", async () => {
    const url = `http://127.0.0.1:${await freePort()}/`;
    const event = newEvent();
    const webhook = await relay.register({ url, events: [event.event] });

    const id = await relay.accept(event);
    const delivery = await relay.attempted(webhook.id, id);

    expect(delivery).toMatchObject({ status: "pending", lastStatusCode: null });
    expect(delivery.attemptLog).toMatchObject([{ number: 1, error: "connection", ...NO_ANSWER }]);
  });

  it.each<[string, Answer]>([
    ["is reset before the headers", reset()],
    ["is reset within the status line", reset("HTTP/1.")],
    ["is reset within the headers", reset("HTTP/1.1 200 OK\r\nContent-Type: text/pl")],
    ["ends before the headers", raw("")],
    ["ends within the headers", raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")],
    ["brings garbage", raw("\0\x01garbage\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")],
    ["brings random bytes", raw(Buffer.concat([Buffer.from([0xff]), randomBytes(4_096)]))],
    ["brings another protocol", raw("220 mail.example.com ESMTP\r\n")],
    ["brings a status that is no number", raw("HTTP/1.1 two hundred\r\n\r\n")],
    ["brings a status of two digits", raw("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n")],
    ["brings only an interim answer", raw("HTTP/1.1 100 Continue\r\n\r\n")],
  ])("that %s is a failed connection", async (_, answer) => {
    expectFailed(await attemptAt(answer), { error: "connection", ...NO_ANSWER });
  });

  it("that is reset before it has read the request is a failed connection", async () => {
    const receiver = await startReceiver();
    receiver.onConnection((socket) => socket.resetAndDestroy());
    const event = newEvent();
    const webhook = await relay.register({ url: receiver.url, events: [event.event] });

    const id = await relay.accept(event);
    const { attemptLog } = await relay.attempted(webhook.id, id);

    expect(attemptLog).toMatchObject([{ number: 1, error: "connection", ...NO_ANSWER }]);
    expect(receiver.requests).toEqual([]);
  });

  const CUT_BODY = "Content-Length: 100\r\n\r\nonly this";
  it.each<[string, Answer]>([
    ["is reset", reset(`HTTP/1.1 200 OK\r\n${CUT_BODY}`)],
    ["ends", raw(`HTTP/1.1 200 OK\r\n${CUT_BODY}`)],
    [
      "turns to garbage",
      raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\nzz\r\n"),
    ],
  ])("that %s within the body has succeeded with its status", async (_, answer) => {
    const attempted = await attemptAt(answer);

    expectDelivered(attempted, { statusCode: 200, responseTruncated: true });
    expect("only this").toContain(attempted.attempt.responseBody ?? "");
  });

  it.each<[string, Answer]>([
    ["is reset", reset(`HTTP/1.1 503 Busy\r\n${CUT_BODY}`)],
    ["ends", raw(`HTTP/1.1 503 Busy\r\n${CUT_BODY}`)],
  ])("that %s within the body has failed with its status", async (_, answer) => {
    const attempted = await attemptAt(answer);

    expectFailed(attempted, { statusCode: 503, error: "status", responseTruncated: true });
    expect("only this").toContain(attempted.attempt.responseBody ?? "");
  });

  it.each([
    ["gzip", "this is not gzip"],
    ["gzip", gzipSync("cut off, and therefore not complete").subarray(0, 30)],
    ["br", "\xff\xff this is not brotli"],
    ["no-such-coding", "whatever"],
  ])("that lies about its %s encoding has succeeded with its status", async (encoding, body) => {
    const attempted = await attemptAt(
      answering(200, { headers: { "content-encoding": encoding }, body }),
    );

    expectDelivered(attempted, { statusCode: 200 });
  });
});

describe("a status", () => {
  it.each([200, 201, 202, 203, 206, 226, 299])("%i is a success", async (status) => {
    const attempted = await attemptAt(answering(status, { body: "thanks" }));

    expectDelivered(attempted, {
      statusCode: status,
      responseBody: "thanks",
      responseTruncated: false,
    });
  });

  it.each([200, 204, 205])("%i without a body is a success", async (status) => {
    const answer = answering(status, status === 200 ? { headers: { "content-length": "0" } } : {});

    const attempted = await attemptAt(answer);

    expectDelivered(attempted, {
      statusCode: status,
      responseBody: null,
      responseTruncated: false,
    });
  });

  it.each([400, 401, 403, 404, 408, 409, 413, 418, 422, 451, 500, 501, 502, 504, 507, 599])(
    "%i is a failure",
    async (status) => {
      const attempted = await attemptAt(answering(status, { body: "no" }));

      expectFailed(attempted, { statusCode: status, error: "status", responseBody: "no" });
    },
  );

  it.each([600, 777, 999])("%i, which HTTP does not know, is a failure", async (status) => {
    const attempted = await attemptAt(
      raw(`HTTP/1.1 ${status} Odd\r\nContent-Length: 3\r\n\r\nodd`),
    );

    expectFailed(attempted, { statusCode: status, error: "status", responseBody: "odd" });
  });

  it.each([301, 302, 303, 307, 308])("%i is a redirect, and is not followed", async (status) => {
    const target = await startReceiver();
    const headers = { location: `${target.url}/elsewhere` };

    const attempted = await attemptAt(answering(status, { headers, body: "moved" }));

    expectFailed(attempted, { statusCode: status, error: "redirect", responseBody: "moved" });
    expect(attempted.receiver.requests).toHaveLength(1);
    expect(target.requests).toEqual([]);
  });

  it("302 to the service itself is not followed either", async () => {
    const attempted = await attemptAt(
      inTurn(answering(302, { headers: { location: "/elsewhere" } }), answering(200)),
    );

    expectFailed(attempted, { statusCode: 302, error: "redirect" });
    expect(attempted.receiver.requests).toHaveLength(1);
  });

  it.each([300, 304, 305, 306])("%i is a failure and no redirect", async (status) => {
    const target = await startReceiver();

    const attempted = await attemptAt(answering(status, { headers: { location: target.url } }));

    expectFailed(attempted, { statusCode: status, error: "status" });
    expect(target.requests).toEqual([]);
  });

  it.each([
    [100, "Continue"],
    [102, "Processing"],
    [103, "Early Hints"],
  ])("%i does not count: the one that follows does", async (status, reason) => {
    const interim = `HTTP/1.1 ${status} ${reason}\r\nlink: </x>\r\n\r\n`;

    const good = await attemptAt(raw(`${interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`));
    const bad = await attemptAt(raw(`${interim}HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno`));

    expectDelivered(good, { statusCode: 200, responseBody: "ok" });
    expectFailed(bad, { statusCode: 500, error: "status", responseBody: "no" });
  });

  it("101 is a failure", async () => {
    const attempted = await attemptAt(
      raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    );

    expectFailed(attempted, { statusCode: 101, error: "status" });
  });

  it("410 holds the delivery: it stays pending, and no further attempt starts", async () => {
    const retrySchedule = "1s 1s";
    const gone = await attemptAt(answering(410, { body: "gone" }), { retrySchedule });
    const [name] = gone.webhook.events as string[];
    const second = await relay.accept({ ...newEvent(), event: name });
    const witness = await attemptAt(answering(500), { retrySchedule });
    await relay.finished(witness.webhook.id, witness.delivery.eventId);

    expect(gone.attempt).toMatchObject({ statusCode: 410, error: "status", responseBody: "gone" });
    expect(gone.receiver.requests).toHaveLength(1);
    const { webhook, delivery } = gone;
    expect(await relay.delivery(webhook.id, delivery.eventId)).toMatchObject({
      status: "pending",
      attempts: 1,
      nextAttemptAt: null,
      completedAt: null,
      lastStatusCode: 410,
      lastError: "status",
    });
    expect(await relay.delivery(webhook.id, second)).toMatchObject({
      status: "pending",
      attempts: 0,
      nextAttemptAt: null,
      attemptLog: [],
    });
  });
});

describe("Retry-After", () => {
  const DELAY_MS = 3 * WAIT_MS;
  const seconds = String(DELAY_MS / 1_000);

  it.each([429, 503])("in seconds on %i postpones, without jitter", async (status) => {
    const { attempt, delivery } = await attemptAt(
      answering(status, { headers: { "retry-after": seconds }, body: "later" }),
    );

    expect(attempt).toMatchObject({ statusCode: status, error: "status", responseBody: "later" });
    expect(Date.parse(String(delivery.nextAttemptAt))).toBe(endedAtMs(attempt) + DELAY_MS);
  });

  it.each([429, 503])("as an HTTP date on %i postpones until then", async (status) => {
    const until = new Date(Math.ceil((Date.now() + DELAY_MS) / 1_000) * 1_000);

    const { attempt, delivery } = await attemptAt(
      answering(status, { headers: { "retry-after": until.toUTCString() } }),
    );

    expect(attempt).toMatchObject({ statusCode: status, error: "status" });
    expect(delivery.nextAttemptAt).toBe(until.toISOString());
  });

  it.each([
    ["seconds", "999999999"],
    ["a date", "Fri, 31 Dec 9999 23:59:59 GMT"],
  ])("of far too much in %s postpones by eight hours", async (_, retryAfter) => {
    const { attempt, delivery } = await attemptAt(
      answering(503, { headers: { "retry-after": retryAfter } }),
    );

    const waitMs = Date.parse(String(delivery.nextAttemptAt)) - endedAtMs(attempt);
    expect(waitMs).toBe(MAX_RETRY_AFTER_MS);
  });

  it.each([
    ["zero", "0"],
    ["less than the schedule", "60"],
    ["a past date", "Sun, 06 Nov 1994 08:49:37 GMT"],
    ["an empty value", ""],
    ["a word", "soon"],
    ["a negative number", "-7200"],
    ["a fraction", "7200.5"],
    ["a number with a unit", "7200s"],
    ["a number in hexadecimal", "0x1c20"],
    ["a number with an exponent", "72e2"],
    ["two numbers", "7200, 7200"],
    ["an ISO date", "2999-01-01T00:00:00Z"],
    ["another zone", "Fri, 31 Dec 2999 23:59:59 PST"],
    ["markup", "<b>7200</b>"],
  ])("of %s leaves the schedule as it is", async (_, retryAfter) => {
    const attempted = await attemptAt(
      answering(429, { headers: { "retry-after": retryAfter }, body: "later" }),
    );

    expectFailed(attempted, { statusCode: 429, error: "status", responseBody: "later" });
  });

  it.each([400, 500, 502, 504])("on %i means nothing", async (status) => {
    const attempted = await attemptAt(answering(status, { headers: { "retry-after": seconds } }));

    expectFailed(attempted, { statusCode: status, error: "status" });
  });

  it("on 301 and 410 means nothing either", async () => {
    const headers = { "retry-after": seconds };
    const moved = await attemptAt(answering(301, { headers }));
    const gone = await attemptAt(answering(410, { headers }));

    expectFailed(moved, { statusCode: 301, error: "redirect" });
    expect(gone.delivery.nextAttemptAt).toBeNull();
  });

  it("postpones the whole webhook: what arrives later waits too", async () => {
    const asked = await attemptAt(answering(503, { headers: { "retry-after": seconds } }));
    const witness = await startReceiver();
    const [name] = asked.webhook.events as string[];
    const other = await relay.register({ url: witness.url, events: [String(name)] });

    const id = await relay.accept({ ...newEvent(), event: name });

    await relay.finished(other.id, id);
    const waiting = await relay.delivery(asked.webhook.id, id);
    expect(waiting).toMatchObject({
      status: "pending",
      attempts: 0,
      nextAttemptAt: asked.delivery.nextAttemptAt,
      attemptLog: [],
    });
    expect(asked.receiver.requests).toHaveLength(1);
  });
});

describe("an answer", () => {
  it("in HTML is kept as text", async () => {
    const body = '<!doctype html><title>Oops</title><script>alert("x")</script>';

    const attempted = await attemptAt(
      answering(502, { headers: { "content-type": "text/html; charset=utf-8" }, body }),
    );

    expectFailed(attempted, { statusCode: 502, error: "status", responseBody: body });
  });

  it("in another alphabet is kept as text, also where the cut goes through a character", async () => {
    const whole = await attemptAt(answering(500, { body: "Ошибка: 你好 👍" }));
    const cut = await attemptAt(answering(200, { body: `${"x".repeat(KIB - 1)}👍 and more` }));

    expectFailed(whole, { statusCode: 500, error: "status", responseBody: "Ошибка: 你好 👍" });
    expectDelivered(cut, { statusCode: 200, responseTruncated: true });
    expect(cut.attempt.responseBody).toMatch(/^x{1023}\ufffd?$/);
  });

  it.each([200, 500])("in binary after status %i is kept as far as it is text", async (status) => {
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const headers = { "content-type": "application/octet-stream" };

    const attempted = await attemptAt(answering(status, { headers, body: everyByte }));

    if (status === 200) expectDelivered(attempted, { statusCode: status });
    else expectFailed(attempted, { statusCode: status, error: "status" });
    expect(attempted.attempt.responseBody).toBe(everyByte.toString("utf8"));
  });

  it("in gzip is kept as what it says", async () => {
    const body = gzipSync('{"error":"no disk"}');

    const attempted = await attemptAt(
      answering(500, { headers: { "content-encoding": "gzip" }, body }),
    );

    expectFailed(attempted, {
      statusCode: 500,
      error: "status",
      responseBody: '{"error":"no disk"}',
      responseTruncated: false,
    });
  });
});

describe("an answer that echoes our secrets", () => {
  const TOKEN = "Bearer t0ken/of+the=service & more";
  const draft = { headers: { authorization: TOKEN, "x-key": "exactly8", "x-short": "seven77" } };

  /** Echoes with the webhook's secret, which the service knows. */
  function echoing(
    status: number,
    pageOf: (known: { headers: Record<string, string>; secret: string }) => string,
    wire: (status: number, page: string) => Answer = (code, page) =>
      answering(code, { body: page }),
  ): { answer: Answer; draft: Record<string, unknown> } {
    const signingSecret = `whsec_${randomBytes(32).toString("base64")}`;
    return {
      draft: { ...draft, signingSecret },
      answer: (exchange) => {
        const headers = exchange.request.headers as Record<string, string>;
        return wire(status, pageOf({ headers, secret: signingSecret }))(exchange);
      },
    };
  }

  /** Nothing of four characters or more from the start of a secret is left. */
  function expectClean(
    { attempt, receiver, webhook }: Attempted,
    { atEnd = false }: { atEnd?: boolean } = {},
  ): void {
    const [request] = receiver.requests;
    const headers = request?.headers ?? {};
    const secrets = [
      webhook.signingSecret,
      webhook.signingSecret.slice("whsec_".length),
      String(headers["x-leadterra-signature"]),
      String(headers["webhook-signature"]).slice("v1,".length),
      TOKEN,
      "exactly8",
    ];
    expect(request && verdicts(request, webhook.signingSecret)).toEqual(GENUINE);
    const body = String(attempt.responseBody);
    expect(body).toContain("***");
    for (const secret of secrets) {
      expect(body).not.toContain(secret);
      if (atEnd) expect(body).not.toContain(secret.slice(0, 8));
    }
  }

  it.each([200, 500])("is kept without them after status %i", async (status) => {
    const { answer, draft } = echoing(status, ({ headers, secret }) =>
      JSON.stringify({ note: "kept", headers, secret, bare: secret.slice("whsec_".length) }),
    );

    const attempted = await attemptAt(answer, draft);

    expect(attempted.attempt.statusCode).toBe(status);
    expectClean(attempted);
    const page = JSON.parse(String(attempted.attempt.responseBody));
    const [request] = attempted.receiver.requests;
    expect(page).toMatchObject({
      note: "kept",
      secret: "***",
      bare: "***",
      headers: {
        authorization: "***",
        "webhook-id": request?.headers["webhook-id"],
        "webhook-signature": expect.stringMatching(/^(?:v1,)?\*\*\*$/),
        "webhook-timestamp": request?.headers["webhook-timestamp"],
        "x-key": "***",
        "x-leadterra-signature": "***",
        "x-short": "seven77",
      },
    });
  });

  it.each<[string, (text: string) => string]>([
    ["as they are, many times", (text) => `${text}${text} ${text}`],
    ["in a URL", encodeURIComponent],
    [
      "in a URL in lower case",
      (text) => encodeURIComponent(text).replace(/%../g, (hex) => hex.toLowerCase()),
    ],
    ["in a form", (text) => new URLSearchParams({ "": text }).toString().slice(1)],
    ["in HTML", (text) => text.replaceAll("&", "&amp;")],
    ["in HTML by Handlebars", (text) => text.replaceAll("&", "&amp;").replaceAll("=", "&#x3D;")],
    ["in HTML by Go", (text) => text.replaceAll("&", "&amp;").replaceAll("+", "&#43;")],
    ["in JSON by PHP", (text) => JSON.stringify(text).replaceAll("/", "\\/")],
    ["in JSON by Go", (text) => JSON.stringify(text).replaceAll("&", "\\u0026")],
    ["in JSON by .NET", (text) => JSON.stringify(text).replace(/[&+]/g, unicodeEscape)],
  ])("is kept without them when they stand there %s", async (_, spell) => {
    const signingSecret = `whsec_${Buffer.alloc(32, 0xfb).toString("base64")}`;
    const { answer, draft } = echoing(500, ({ headers }) =>
      [signingSecret, headers.authorization, headers["webhook-signature"], "exactly8"]
        .map((text) => `(${spell(String(text))})`)
        .join("\n"),
    );

    const attempted = await attemptAt(answer, { ...draft, signingSecret });

    expectClean(attempted);
    expect(attempted.attempt.responseBody).toMatch(/^(?:[\s("*)]|v1(?:,|%2c))+$/i);
  });

  const SECRETS: [
    string,
    (known: { headers: Record<string, string>; secret: string }) => string,
  ][] = [
    ["signing secret", ({ secret }) => secret],
    ["bare signing secret", ({ secret }) => secret.slice("whsec_".length)],
    ["Leadterra signature", ({ headers }) => String(headers["x-leadterra-signature"])],
    ["Standard Webhooks signature", ({ headers }) => String(headers["webhook-signature"])],
    ["header value", () => TOKEN],
  ];
  const CUTS = SECRETS.flatMap(([name, secretOf]) =>
    [200, 500].map((status) => [name, status, secretOf] as const),
  );

  it.each(CUTS)(
    "is kept without a %s that the cut after status %i goes through",
    async (_, status, secretOf) => {
      const kept = status === 200 ? KIB : 16 * KIB;
      const { answer, draft } = echoing(status, (known) => {
        return `${"-".repeat(kept - 20)}${secretOf(known)}${"-".repeat(kept)}`;
      });

      const attempted = await attemptAt(answer, draft);

      expect(attempted.attempt).toMatchObject({ statusCode: status, responseTruncated: true });
      expect(attempted.attempt.responseBody).toMatch(new RegExp(`^-{${kept - 20}}(?:v1,)?[*]{3}$`));
      expectClean(attempted, { atEnd: true });
    },
  );

  it("is kept without a secret that a lost connection goes through", async () => {
    const { answer, draft } = echoing(
      500,
      ({ secret }) => `echo: ${secret.slice(0, 30)}`,
      (_, page) => raw(`HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n${page}`),
    );

    const attempted = await attemptAt(answer, draft);

    expect(attempted.attempt).toMatchObject({ statusCode: 500, responseTruncated: true });
    expect(attempted.attempt.responseBody).toBe("echo: ***");
  });

  it("is kept without a secret that comes in two parts", async () => {
    const signingSecret = `whsec_${randomBytes(32).toString("base64")}`;
    const attempted = await attemptAt(
      ({ response, socket }) => {
        socket.setNoDelay(true);
        response.writeHead(500).write(`echo: ${signingSecret.slice(0, 20)}`);
        setTimeout(() => response.end(`${signingSecret.slice(20)} end`), 50);
      },
      { signingSecret },
    );

    expect(attempted.attempt.responseBody).toBe("echo: *** end");
  });
});

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

function pause(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, ms);
  return promise;
}

/** Resolves when more may be written, or nobody listens any more. */
async function drained(
  stream: NodeJS.EventEmitter,
  socket: Parameters<typeof hungUp>[0],
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once("drain", () => resolve());
  await Promise.race([promise, hungUp(socket)]);
}
