import { env } from "cloudflare:workers";
import fc from "fast-check";
import { describe, expect, vi } from "vitest";
import { readCapped } from "../../src/capped-body";
import { eventIdOf, parseEventId } from "../../src/domain/ids";
import { sha256Hex } from "../../src/domain/signature";
import { eventually } from "../rig/eventually";
import { it, log } from "../rig/worker/fixture";
import {
  bytesOf,
  callWith,
  DOCUMENTED_REPLY,
  leadterraSignature,
  OTHER_SIGNING_SECRET,
  type Problem,
  post,
  SIGNING_SECRET,
} from "../rig/worker/requests";

const PATH = "/webhooks/leadterra";
const MAX_BODY_BYTES = 120_000;
const REPLY_ID = "evt_QNH783WW52FCCN914ZB1QAYTW0";

/** The queue takes every event and hands it to nobody; returns what it took. */
function takingQueue() {
  return vi.spyOn(env.EVENTS, "send").mockResolvedValue({
    metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } },
  });
}

function refusingQueue() {
  return vi.spyOn(env.EVENTS, "send").mockRejectedValue(new Error("the queue is full"));
}

const kvGet = () => vi.spyOn(env.IDEMPOTENCY, "get") as unknown as ReturnType<typeof vi.fn>;
const kvPut = () => vi.spyOn(env.IDEMPOTENCY, "put");

/** A signed request, with whatever is to be different about it. */
async function signed(
  body: Uint8Array | string,
  {
    headers = {},
    secret = SIGNING_SECRET,
  }: { headers?: Record<string, string>; secret?: string } = {},
): Promise<RequestInit & { method: string }> {
  const bytes = bytesOfBody(body);
  const signature = await leadterraSignature(bytes, secret);
  return {
    method: "POST",
    headers: { "x-leadterra-signature": signature, ...headers },
    body: bytes,
  };
}

const bytesOfBody = (body: Uint8Array | string) =>
  typeof body === "string" ? bytesOf(body) : body;

/** An event whose body has exactly so many bytes. */
function eventOfSize(bytes: number): Uint8Array {
  const [head, tail] = ['{"event":"size.tested","data":{"fill":"', '"}}'];
  return bytesOf(head + "x".repeat(bytes - head.length - tail.length) + tail);
}

/** A body that comes in pieces, without a Content-Length. */
function streamOf(bytes: Uint8Array, pieceBytes = 16_384): ReadableStream<Uint8Array> {
  let offset = 0;
  return new ReadableStream({
    pull(controller) {
      if (offset >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(offset, offset + pieceBytes));
      offset += pieceBytes;
    },
  });
}

/** A request to the ingest address, answered and over: what goes on behind the answer is done too. */
const relay = (init: RequestInit, bindings = {}) => callWith(bindings, PATH, init);

async function problemOf(response: Response): Promise<Problem> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = await response.json<Problem>();
  expect(problem).toEqual({
    type: `urn:leadterra-relay:problem:${problem.code}`,
    title: expect.stringMatching(/./),
    status: response.status,
    detail: expect.stringMatching(/./),
    code: problem.code,
    requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    ...(response.status === 422 ? { errors: expect.any(Array) } : {}),
  });
  return problem;
}

/** What each check refuses, together with all that the checks behind it would refuse. */
const TOO_LARGE = new Uint8Array(MAX_BODY_BYTES + 1).fill(0xff);
const NOT_UTF8 = new Uint8Array([0x7b, 0xff]);
const WRONG = { "x-leadterra-signature": "0".repeat(64) };
const GZIP = { "content-encoding": "gzip" };
const NO_SECRET = { LEADTERRA_SIGNING_SECRETS: "" };

describe("an inbound request", () => {
  it.each<{
    flaw: string;
    bindings?: { LEADTERRA_SIGNING_SECRETS?: string };
    init: () => Promise<RequestInit> | RequestInit;
    status: number;
    code: string;
    headers?: Record<string, string>;
  }>([
    {
      flaw: "another method",
      bindings: NO_SECRET,
      init: () => ({ method: "PUT", headers: { ...GZIP, ...WRONG }, body: TOO_LARGE }),
      status: 405,
      code: "method_not_allowed",
      headers: { allow: "POST" },
    },
    {
      flaw: "no signing secret configured",
      bindings: NO_SECRET,
      init: () => ({ method: "POST", headers: { ...GZIP, ...WRONG }, body: TOO_LARGE }),
      status: 503,
      code: "not_configured",
    },
    {
      flaw: "a content encoding",
      init: () => ({ method: "POST", headers: { ...GZIP, ...WRONG }, body: TOO_LARGE }),
      status: 415,
      code: "unsupported_encoding",
    },
    {
      flaw: "a body that is too large",
      init: () => ({ method: "POST", headers: WRONG, body: TOO_LARGE }),
      status: 413,
      code: "payload_too_large",
    },
    {
      flaw: "a wrong signature",
      init: () => ({ method: "POST", headers: WRONG, body: NOT_UTF8 }),
      status: 401,
      code: "invalid_signature",
    },
    {
      flaw: "bytes that are not UTF-8",
      init: () => signed(NOT_UTF8),
      status: 400,
      code: "invalid_encoding",
    },
    {
      flaw: "a text that is not JSON",
      init: () => signed('{"event":'),
      status: 400,
      code: "invalid_json",
    },
    {
      flaw: "a BOM",
      init: () => signed("\ufeff{}"),
      status: 400,
      code: "invalid_json",
    },
    {
      flaw: "33 levels of an envelope that is none",
      init: () => signed("[".repeat(33) + "]".repeat(33)),
      status: 400,
      code: "invalid_json",
    },
    {
      flaw: "an envelope that is none",
      init: () => signed('{"event":"a b"}'),
      status: 422,
      code: "invalid_event",
    },
    {
      flaw: "a queue that does not take it",
      init: () => signed('{"event":"x","data":{}}'),
      status: 503,
      code: "queue_unavailable",
      headers: { "retry-after": "30" },
    },
  ])("with $flaw is answered $status $code, before all that comes later", async (row) => {
    refusingQueue();
    const response = await relay(await row.init(), row.bindings);
    expect(response.status).toBe(row.status);
    expect(await problemOf(response)).toMatchObject({ code: row.code });
    expect(Object.fromEntries(response.headers)).toMatchObject(row.headers ?? {});
  });

  it("is answered 202 with the event id when nothing is wrong", async () => {
    const send = takingQueue();
    const put = kvPut();
    const response = await post(DOCUMENTED_REPLY);
    expect(response.status).toBe(202);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual({ id: REPLY_ID, duplicate: false });
    expect(send).toHaveBeenCalledOnce();
    await eventually(() => expect(put).toHaveResolved());
  });

  it.each(["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])(
    "by %s is answered 405 with Allow",
    async (method) => {
      const response = await relay({ method });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("POST");
      expect(await problemOf(response)).toMatchObject({ code: "method_not_allowed" });
    },
  );

  it("by HEAD is answered 405 with Allow and nothing else", async () => {
    const response = await relay({ method: "HEAD" });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
    expect(await response.text()).toBe("");
  });

  it.each(["/webhooks", "/webhooks/", "/webhooks/leadterra/x"])(
    "to %s is answered 404",
    async (path) => {
      const response = await callWith({}, path, await signed(bytesOf(DOCUMENTED_REPLY)));
      expect(response.status).toBe(404);
      expect(await problemOf(response)).toMatchObject({ code: "not_found" });
    },
  );

  it.each(["text/plain", "application/x-www-form-urlencoded", "image/png", "garbage", ""])(
    "may say that its content is %j",
    async (contentType) => {
      takingQueue();
      const headers = { "content-type": contentType };
      const response = await relay(await signed(bytesOf(DOCUMENTED_REPLY), { headers }));
      expect(response.status).toBe(202);
    },
  );

  it("never gets a header that lets a browser's script read the answer", async () => {
    takingQueue();
    const init = await signed(bytesOf(DOCUMENTED_REPLY), {
      headers: { origin: "https://evil.example" },
    });
    const names = [...(await relay(init)).headers.keys()];
    expect(names.filter((name) => name.startsWith("access-control"))).toEqual([]);
  });
});

describe("a content encoding", () => {
  it.each(["identity", "Identity", "IDENTITY"])("of %j is none", async (encoding) => {
    takingQueue();
    const init = await signed(bytesOf(DOCUMENTED_REPLY), {
      headers: { "content-encoding": encoding },
    });
    expect((await relay(init)).status).toBe(202);
  });

  it.each([
    "gzip",
    "GZIP",
    "br",
    "deflate",
    "zstd",
    "compress",
    "aws-chunked",
    "identity, gzip",
    "x",
  ])("of %j is refused with 415, though the signature is right", async (encoding) => {
    const send = takingQueue();
    const init = await signed(bytesOf(DOCUMENTED_REPLY), {
      headers: { "content-encoding": encoding },
    });
    const response = await relay(init);
    expect(response.status).toBe(415);
    expect(await problemOf(response)).toMatchObject({ code: "unsupported_encoding" });
    expect(send).not.toHaveBeenCalled();
  });
});

describe("a body", () => {
  it.each([
    ["whole", (body: Uint8Array) => body],
    ["in pieces, without Content-Length", (body: Uint8Array) => streamOf(body)],
    ["byte for byte at its end", (body: Uint8Array) => streamOf(body, body.length - 1)],
  ])("of 120,000 bytes is taken, and of one more is not: %s", async (_, form) => {
    const send = takingQueue();
    const largest = eventOfSize(MAX_BODY_BYTES);
    const init = await signed(largest);
    const taken = await relay({ ...init, body: form(largest) });
    expect(taken.status).toBe(202);
    expect(new Uint8Array(send.mock.calls[0]?.[0] as ArrayBuffer)).toEqual(largest);

    const tooLarge = eventOfSize(MAX_BODY_BYTES + 1);
    const refused = await relay({ ...(await signed(tooLarge)), body: form(tooLarge) });
    expect(refused.status).toBe(413);
    expect(await problemOf(refused)).toMatchObject({ code: "payload_too_large" });
    expect(send).toHaveBeenCalledOnce();
  });

  it("of 120,000 bytes fits into the queue", async () => {
    const response = await relay(await signed(eventOfSize(MAX_BODY_BYTES)));
    expect(response.status).toBe(202);
  });

  it.each(["0", "5", "119999", "120000"])(
    "that is too large is refused though its Content-Length says %s",
    async (length) => {
      const tooLarge = eventOfSize(MAX_BODY_BYTES + 1);
      const init = await signed(tooLarge, { headers: { "content-length": length } });
      expect((await relay({ ...init, body: streamOf(tooLarge) })).status).toBe(413);
    },
  );

  it.each(["0", "-1", "many"])(
    "that is small enough is taken though its Content-Length says %s",
    async (length) => {
      takingQueue();
      const body = bytesOf(DOCUMENTED_REPLY);
      const init = await signed(body, { headers: { "content-length": length } });
      expect((await relay({ ...init, body: streamOf(body) })).status).toBe(202);
    },
  );

  it.each(["120001", "99999999999"])(
    "is refused unread when its Content-Length says %s",
    async (length) => {
      const body = bytesOf(DOCUMENTED_REPLY);
      const init = await signed(body, { headers: { "content-length": length } });
      expect((await relay({ ...init, body: streamOf(body) })).status).toBe(413);
    },
  );

  it("without end is read no further than it has to be", async () => {
    let pieces = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pieces += 1;
        controller.enqueue(new Uint8Array(10_000));
      },
      cancel() {
        cancelled = true;
      },
    });
    const response = await relay({ method: "POST", headers: WRONG, body: endless });
    expect(response.status).toBe(413);
    expect(pieces).toBeLessThan(20);
    expect(cancelled).toBe(true);
  });

  it.each([
    ["absent", null],
    ["empty", new Uint8Array()],
  ])("that is %s is not JSON when its signature is right, and 401 when not", async (_, body) => {
    const right = await relay({ ...(await signed("")), body });
    expect(right.status).toBe(400);
    expect(await problemOf(right)).toMatchObject({ code: "invalid_json" });
    const wrong = await relay({ method: "POST", headers: WRONG, body });
    expect(wrong.status).toBe(401);
  });

  it.each([
    [
      "numbers that no double holds",
      '{"event":"x","data":{"n":12345678901234567890.10,"m":1e400}}',
    ],
    ["white space and a line break at its end", ' {"event" : "x",\r\n\t"data":{ } } \n'],
    ["two fields with one name", '{"event":"x","data":{"a":1,"a":2}}'],
    ["fields named like those of a prototype", '{"event":"x","data":{"__proto__":{"a":1}}}'],
    [
      "escapes and characters past ASCII",
      '{"event":"x","data":{"t":"\\u00e9é\\/\u{1f389}\\ud800"}}',
    ],
  ])("reaches the queue byte for byte, with nothing added: %s", async (_, text) => {
    const send = takingQueue();
    expect((await relay(await signed(text))).status).toBe(202);
    const [message, options] = send.mock.calls[0] ?? [];
    expect(new Uint8Array(message as ArrayBuffer)).toEqual(bytesOf(text));
    expect(options).toEqual({ contentType: "bytes" });
  });

  it("that is no event is refused with the paths of its mistakes and none of its values", async () => {
    const response = await relay(await signed('{"event":"hush hush","data":["hush"]}'));
    expect(response.status).toBe(422);
    const problem = await problemOf(response);
    expect(problem.errors?.map(({ path }) => path)).toEqual(["event", "data"]);
    expect(JSON.stringify(problem)).not.toContain("hush");
    expect(log.text()).not.toContain("hush");
  });

  it("of an event that does not fit its schema is taken", async () => {
    const send = takingQueue();
    for (const event of ["reply.received", "never.heard.of"]) {
      expect((await relay(await signed(bytesOf({ event, data: {} })))).status).toBe(202);
    }
    expect(send).toHaveBeenCalledTimes(2);
  });
});

describe("a signature", () => {
  const body = bytesOf(DOCUMENTED_REPLY);

  it.each([
    ["the first secret", SIGNING_SECRET],
    ["the second secret", OTHER_SIGNING_SECRET],
  ])("may be made with %s", async (_, secret) => {
    takingQueue();
    expect((await relay(await signed(body, { secret }))).status).toBe(202);
  });

  it("may be in capitals", async () => {
    takingQueue();
    const hex = (await leadterraSignature(body)).toUpperCase();
    const headers = { "x-leadterra-signature": hex };
    expect((await relay({ method: "POST", headers, body })).status).toBe(202);
  });

  it("is refused with one and the same answer, whatever is wrong with it", async () => {
    const send = takingQueue();
    const lookUp = kvGet();
    const hex = await leadterraSignature(body);
    const base64 = btoa(
      String.fromCharCode(...(hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16))),
    );
    const doubled = new Headers();
    doubled.append("x-leadterra-signature", hex);
    doubled.append("x-leadterra-signature", hex);
    const causes: HeadersInit[] = [
      {},
      { "x-leadterra-signature": "" },
      doubled,
      { "x-leadterra-signature": `sha256=${hex}` },
      { "x-leadterra-signature": `v1,${base64}` },
      { "x-leadterra-signature": base64 },
      { "x-leadterra-signature": hex.slice(0, 63) },
      { "x-leadterra-signature": `${hex}00` },
      { "x-leadterra-signature": `${hex.slice(0, 63)}z` },
      { "x-leadterra-signature": await leadterraSignature(bytesOf("another body")) },
      { "x-leadterra-signature": await leadterraSignature(body, "another secret") },
      {
        "x-leadterra-signature": await leadterraSignature(
          body,
          `${SIGNING_SECRET}, ${OTHER_SIGNING_SECRET}`,
        ),
      },
      { "x-hub-signature-256": `sha256=${hex}` },
      { authorization: `Bearer ${hex}` },
    ];
    const answers = new Set<string>();
    for (const headers of causes) {
      const response = await relay({ method: "POST", headers, body });
      expect(response.status).toBe(401);
      const { requestId: _, ...problem } = await problemOf(response);
      answers.add(JSON.stringify([problem, [...response.headers]]));
    }
    expect([...answers]).toHaveLength(1);
    expect(send).not.toHaveBeenCalled();
    expect(lookUp).not.toHaveBeenCalled();
  });

  it("of a body that was changed on its way is refused", async () => {
    const init = await signed(body);
    for (const changed of [body.slice(1), new Uint8Array([...body, 0x20]), bytesOf("")]) {
      expect((await relay({ ...init, body: changed })).status).toBe(401);
    }
  });

  it("is checked against secrets without the spaces around them", async () => {
    takingQueue();
    const bindings = { LEADTERRA_SIGNING_SECRETS: " first ,, second\n" };
    for (const secret of ["first", "second"]) {
      const response = await relay(await signed(body, { secret }), bindings);
      expect(response.status).toBeLessThan(300);
    }
    const none = await relay(await signed(body, { secret: " first " }), bindings);
    expect(none.status).toBe(401);
  });

  it("leaves neither itself nor the secrets in the log", async () => {
    takingQueue();
    const hex = await leadterraSignature(body, "another secret");
    await relay({ method: "POST", headers: { "x-leadterra-signature": hex }, body });
    await relay(await signed(body));
    expect(log.lines().map(({ code, happening }) => code ?? happening)).toContain(
      "invalid_signature",
    );
    for (const secret of [hex, SIGNING_SECRET, OTHER_SIGNING_SECRET]) {
      expect(log.text()).not.toContain(secret);
    }
  });
});

describe("a request that is not authenticated", () => {
  /** Throws on every use, so that a use is seen as a 5xx. */
  const untouchable = new Proxy(
    {},
    {
      get: () => {
        throw new Error("was used");
      },
    },
  );
  const bindings = Object.fromEntries(
    Object.entries(env)
      .filter(([, value]) => typeof value === "object")
      .map(([name]) => [name, untouchable]),
  );

  it.each([
    ["an event with a wrong signature", "POST", PATH, 401],
    ["a read of the ingest address", "GET", PATH, 405],
    ["a call of the API", "POST", "/v1/webhooks", 401],
    ["a read of the API", "GET", "/v1/webhooks/wh_01HZC7RQNP4XT2KM", 401],
    ["a look at the health", "GET", "/healthz", 200],
    ["a look at nothing", "GET", "/nothing", 404],
  ])("touches no storage and no object: %s", async (_, method, path, status) => {
    expect(Object.keys(bindings)).toEqual(
      expect.arrayContaining(["IDEMPOTENCY", "EVENTS", "REGISTRY", "SUBSCRIBER"]),
    );
    const response = await callWith(bindings, path, { method });
    expect(response.status).toBe(status);
  });
});

describe("an event that was sent before", () => {
  it("is answered 200 as a duplicate and not queued again", async () => {
    const send = takingQueue();
    const init = await signed(bytesOf(DOCUMENTED_REPLY));
    expect((await relay(init)).status).toBe(202);
    for (let repeat = 0; repeat < 3; repeat++) {
      const response = await relay(init);
      expect(response.status).toBe(200);
      expect(await response.json()).toEqual({ id: REPLY_ID, duplicate: true });
    }
    expect(send).toHaveBeenCalledOnce();
    expect(log.lines()).toContainEqual(
      expect.objectContaining({ happening: "event.duplicate", eventId: REPLY_ID }),
    );
  });

  it("is a duplicate though its content differs, and the log says so", async () => {
    const send = takingQueue();
    await relay(await signed(bytesOf(DOCUMENTED_REPLY)));
    const other = { ...DOCUMENTED_REPLY, timestamp: "2025-06-11T10:00:00Z" };
    const response = await relay(await signed(bytesOf(other)));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ id: REPLY_ID, duplicate: true });
    expect(send).toHaveBeenCalledOnce();
    expect(log.lines()).toContainEqual({
      level: "warning",
      happening: "event.duplicate_differs",
      eventId: REPLY_ID,
      event: "reply.received",
    });
  });

  it("is not one that was sent under another name or key", async () => {
    const send = takingQueue();
    const bodies = [
      { event: "message.sent", data: { messageId: "m1" } },
      { event: "message.sent", data: { messageId: "m2" } },
      { event: "message.bounced", data: { messageId: "m1", bounceType: "soft" } },
      { event: "message.bounced", data: { messageId: "m1", bounceType: "hard" } },
      { event: "message.clicked", data: { messageId: "m1" }, timestamp: "2025-06-11T10:00:00Z" },
      { event: "message.clicked", data: { messageId: "m1" }, timestamp: "2025-06-11T10:00:01Z" },
    ];
    for (const body of bodies) {
      expect((await relay(await signed(bytesOf(body)))).status).toBe(202);
    }
    expect(send).toHaveBeenCalledTimes(bodies.length);
  });

  it.each(["a/b/../c", "nul\0nul", "wh_x", "x".repeat(512), "x".repeat(10_240), "\ud800"])(
    "is known again by the key %j",
    async (messageId) => {
      takingQueue();
      const init = await signed(bytesOf({ event: "message.sent", data: { messageId } }));
      const first = await (await relay(init)).json<{ id: string }>();
      expect(parseEventId(first.id)).toBe(first.id);
      const again = await relay(init);
      expect(again.status).toBe(200);
      expect(await again.json()).toEqual({ id: first.id, duplicate: true });
    },
  );

  it("is answered as taken or as a duplicate when fifty come at once", async () => {
    const send = takingQueue();
    const init = await signed(bytesOf(DOCUMENTED_REPLY));
    const responses = await Promise.all(Array.from({ length: 50 }, () => relay(init)));
    const taken = responses.filter(({ status }) => status === 202);
    expect(responses.every(({ status }) => status === 202 || status === 200)).toBe(true);
    expect(send).toHaveBeenCalledTimes(taken.length);
    expect(taken.length).toBeGreaterThan(0);
    for (const response of responses) {
      expect(await response.json()).toMatchObject({ id: REPLY_ID });
    }
  });
});

describe("the memory of events", () => {
  const body = bytesOf(DOCUMENTED_REPLY);

  it("holds the event id with the SHA-256 of the body for IDEMPOTENCY_TTL", async () => {
    takingQueue();
    const put = kvPut();
    await relay(await signed(body));
    expect(put.mock.calls).toEqual([
      [REPLY_ID, await sha256Hex(body), { expirationTtl: 7 * 86_400 }],
    ]);
    expect(await env.IDEMPOTENCY.get(REPLY_ID)).toBe(await sha256Hex(body));
  });

  it.each([
    ["60s", 60],
    ["24h", 86_400],
  ])("lasts for an IDEMPOTENCY_TTL of %s", async (IDEMPOTENCY_TTL, expirationTtl) => {
    takingQueue();
    const put = kvPut();
    await relay(await signed(body), { IDEMPOTENCY_TTL });
    expect(put.mock.calls.map(([, , options]) => options)).toEqual([{ expirationTtl }]);
  });

  it.each([
    ["is switched off", "0"],
    ["does not parse", "a week"],
  ])("is left out when IDEMPOTENCY_TTL %s", async (_, IDEMPOTENCY_TTL) => {
    const send = takingQueue();
    const get = kvGet();
    const put = kvPut();
    for (let repeat = 0; repeat < 2; repeat++) {
      const response = await relay(await signed(body), { IDEMPOTENCY_TTL });
      expect(response.status).toBe(202);
    }
    expect(send).toHaveBeenCalledTimes(2);
    expect(get).not.toHaveBeenCalled();
    expect(put).not.toHaveBeenCalled();
  });

  it("is written only after the queue has taken the event", async () => {
    let take: () => void = () => undefined;
    const send = takingQueue();
    const metadata = { metrics: { backlogCount: 0, backlogBytes: 0 } };
    send.mockImplementation(
      () =>
        new Promise((resolve) => {
          take = () => resolve({ metadata });
        }),
    );
    const put = kvPut();
    const answered = vi.fn();
    const answer = relay(await signed(body)).then((response) => {
      answered();
      return response;
    });
    await eventually(() => expect(send).toHaveBeenCalledOnce());
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(put).not.toHaveBeenCalled();
    expect(answered).not.toHaveBeenCalled();
    take();
    expect((await answer).status).toBe(202);
    expect(put).toHaveBeenCalledOnce();
  });

  it("stays empty when the queue does not take the event, so that the next one is no duplicate", async () => {
    const send = refusingQueue();
    const put = kvPut();
    const refused = await relay(await signed(body));
    expect(refused.status).toBe(503);
    expect(await problemOf(refused)).toMatchObject({ code: "queue_unavailable" });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(put).not.toHaveBeenCalled();
    expect(await env.IDEMPOTENCY.list()).toMatchObject({ keys: [] });

    send.mockRestore();
    takingQueue();
    expect((await relay(await signed(body))).status).toBe(202);
  });

  it.each<[string, () => Promise<never>]>([
    ["rejects", () => Promise.reject(new Error("KV is down"))],
    [
      "throws",
      () => {
        throw new Error("KV is down");
      },
    ],
    ["never answers", () => new Promise(() => undefined)],
  ])("counts as empty when looking it up %s", async (_, lookUp) => {
    takingQueue();
    await relay(await signed(body));
    kvGet().mockImplementation(lookUp);
    const response = await relay(await signed(body));
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({ id: REPLY_ID, duplicate: false });
  });

  it("does not spoil the answer when it cannot be written", async () => {
    takingQueue();
    kvPut().mockRejectedValue(new Error("KV is down"));
    const response = await relay(await signed(body));
    expect(response.status).toBe(202);
    expect(log.lines()).toContainEqual(
      expect.objectContaining({ happening: "event.not_remembered", eventId: REPLY_ID }),
    );
  });

  it("keeps nothing of what was refused", async () => {
    takingQueue();
    const put = kvPut();
    await relay({ method: "POST", headers: WRONG, body });
    await relay(await signed('{"event":"a b","data":{}}'));
    expect(put).not.toHaveBeenCalled();
  });
});

describe("any request at all", () => {
  const envelope = fc.record(
    {
      event: fc.oneof(fc.constantFrom("reply.received", "message.sent", "x"), fc.jsonValue()),
      data: fc.oneof(
        fc.dictionary(
          fc.constantFrom("messageId", "bounceType", "reply", "__proto__"),
          fc.jsonValue(),
        ),
        fc.jsonValue(),
      ),
      timestamp: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  const anyBody = fc.oneof(
    fc.uint8Array({ maxLength: 2_000 }),
    fc.string({ unit: "binary" }).map(bytesOf),
    fc.json().map(bytesOf),
    envelope.map(bytesOf),
    fc.integer({ min: MAX_BODY_BYTES - 2, max: MAX_BODY_BYTES + 2 }).map(eventOfSize),
    fc.nat({ max: 60_000 }).map((depth) => bytesOf("[".repeat(depth))),
  );
  const anyHeaders = fc.dictionary(
    fc.constantFrom("content-type", "content-encoding", "x-leadterra-signature", "accept", "range"),
    fc.oneof(
      fc.constantFrom("identity", "gzip", "", "*/*", "0".repeat(64)),
      fc.stringMatching(/^[\x20-\x7e]{0,80}$/),
    ),
  );
  const anyMethod = fc.oneof(
    { weight: 6, arbitrary: fc.constant("POST") },
    { weight: 1, arbitrary: fc.constantFrom("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH") },
  );
  const signer = fc.constantFrom(
    SIGNING_SECRET,
    SIGNING_SECRET,
    OTHER_SIGNING_SECRET,
    "wrong",
    null,
  );
  const DOCUMENTED: Record<number, string[]> = {
    200: ["duplicate"],
    202: ["accepted"],
    400: ["invalid_encoding", "invalid_json"],
    401: ["invalid_signature"],
    405: ["method_not_allowed"],
    413: ["payload_too_large"],
    415: ["unsupported_encoding"],
    422: ["invalid_event"],
  };

  async function outcomeOf(response: Response, method: string): Promise<string> {
    if (method === "HEAD") return "method_not_allowed";
    if (response.status >= 400) return (await problemOf(response)).code;
    const { id, duplicate } = await response.json<{ id: string; duplicate: boolean }>();
    expect(parseEventId(id)).toBe(id);
    return duplicate ? "duplicate" : "accepted";
  }

  it("gets an answer that is documented, and never a 5xx", async () => {
    const send = takingQueue();
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(
        anyBody,
        anyHeaders,
        anyMethod,
        signer,
        fc.boolean(),
        async (bytes, headers, method, secret, inPieces) => {
          const hasBody = method !== "GET" && method !== "HEAD";
          const signature =
            secret === null
              ? {}
              : { "x-leadterra-signature": await leadterraSignature(bytes, secret) };
          const response = await relay({
            method,
            headers: { ...headers, ...signature },
            ...(hasBody && { body: inPieces ? streamOf(bytes) : bytes }),
          });
          const outcome = await outcomeOf(response, method);
          expect(DOCUMENTED[response.status]).toContain(outcome);
          if (outcome === "accepted") accepted += 1;
        },
      ),
      { numRuns: 400 },
    );
    expect(accepted).toBeGreaterThan(0);
    expect(send).toHaveBeenCalledTimes(accepted);
  }, 60_000);

  it("gets the id of its event, the same from every worker", async () => {
    takingQueue();
    await fc.assert(
      fc.asyncProperty(fc.string({ minLength: 1, maxLength: 512 }), async (messageId) => {
        fc.pre(messageId.isWellFormed());
        const response = await relay(
          await signed(bytesOf({ event: "message.sent", data: { messageId } })),
        );
        expect(await response.json()).toMatchObject({
          id: await eventIdOf("message.sent", messageId),
        });
      }),
      { numRuns: 50 },
    );
  }, 60_000);
});

describe("a sender that is a little different", () => {
  it("may put a slash at the end", async () => {
    takingQueue();
    const response = await callWith({}, `${PATH}/`, await signed(bytesOf(DOCUMENTED_REPLY)));
    expect(response.status).toBe(202);
    expect((await callWith({}, `${PATH}/`, { method: "GET" })).status).toBe(405);
  });

  it("that goes away in the middle of a body is answered like any other, without an error line", async () => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytesOf('{"event":'));
        controller.error(new Error("the client hung up"));
      },
    });
    const answer = await readCapped(
      new Request("https://relay.example", { method: "POST", body }),
      100,
    );
    expect(answer).toMatchObject({ ok: false, failure: { code: "incomplete_body" } });
  });

  it("that tells of too much is refused before anything is read", async () => {
    let isRead = false;
    const body = new ReadableStream(
      {
        pull() {
          isRead = true;
        },
      },
      { highWaterMark: 0 },
    );
    const headers = { "content-length": "200000" };
    const request = new Request("https://relay.example", { method: "POST", body, headers });
    expect(await readCapped(request, MAX_BODY_BYTES)).toMatchObject({
      failure: { code: "payload_too_large", limitBytes: MAX_BODY_BYTES },
    });
    expect(isRead).toBe(false);
  });
});
