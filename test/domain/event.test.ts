import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { conforms, EVENT_TYPES, parseEvent, type RelayEvent } from "../../src/domain/event";
import { eventIdOf } from "../../src/domain/ids";

const utf8 = new TextEncoder();
const textOf = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

/** The outcome of reading a body: an event, or the code of the failure with its paths. */
async function read(value: unknown) {
  const body = value instanceof Uint8Array ? value : utf8.encode(textOf(value));
  const event = await parseEvent(body);
  if (event.ok) return event.value;
  const { failure } = event;
  return "errors" in failure
    ? { code: failure.code, paths: failure.errors.map(({ path }) => path) }
    : { code: failure.code };
}

async function eventOf(value: unknown): Promise<RelayEvent> {
  const event = await parseEvent(utf8.encode(textOf(value)));
  if (!event.ok) throw new Error(`is no event: ${JSON.stringify(event.failure)}`);
  return event.value;
}

/** The key of an event without one of its own: the SHA-256 of its bytes. */
const bodyKey = (value: unknown) => createHash("sha256").update(textOf(value)).digest("hex");

const DOCUMENTED_REPLY = {
  event: "reply.received",
  timestamp: "2025-06-11T09:14:35Z",
  webhookId: "wh_01HZC7RQNP4XT2KM",
  data: {
    campaignId: "camp_01HZA1TPNQ8RD4KF",
    lead: { email: "ava@acmecorp.com", firstName: "Ava", lastName: "Chen" },
    reply: {
      id: "rpl_01HZB3MNPW6XT8QA",
      classification: "interested",
      receivedAt: "2025-06-11T09:14:32Z",
      threadSnippet: "Hey, this actually looks relevant — can we jump on a call Thursday?",
    },
  },
};

describe("an event", () => {
  it("is read from the documented reply", async () => {
    await expect(read(DOCUMENTED_REPLY)).resolves.toEqual({
      id: "evt_QNH783WW52FCCN914ZB1QAYTW0",
      name: "reply.received",
      envelope: DOCUMENTED_REPLY,
    });
  });

  it.each([
    ["white space around it", '\r\n\t {"event":"x","data":{}} \r\n\t'],
    ["escapes in its name", '{"event":"\\u0078","data":{}}'],
    ["fields that nobody knows", '{"event":"x","data":{},"more":[1,{"a":null}]}'],
    ["a name that nobody knows", '{"event":"lead.clicked","data":{}}'],
    ["numbers that no double holds", '{"event":"x","data":{"n":12345678901234567890.10}}'],
    ["an escaped NUL", '{"event":"x","data":{"n":"\\u0000"}}'],
    ["an escaped lone surrogate", '{"event":"x","data":{"n":"\\ud800"}}'],
    ["a BOM inside a string", '{"event":"x","data":{"n":"\ufeff"}}'],
  ])("may have %s", async (_, body) => {
    await expect(read(body)).resolves.toMatchObject({ id: expect.stringMatching(/^evt_/) });
  });

  it("is whatever it is, read without throwing", async () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map((text) => utf8.encode(text)),
      fc
        .record({ event: fc.jsonValue(), data: fc.jsonValue() })
        .map((value) => utf8.encode(JSON.stringify(value))),
    );
    await fc.assert(
      fc.asyncProperty(anything, async (body) => {
        const event = await parseEvent(body);
        expect(event.ok || /^invalid_(encoding|json|event)$/.test(event.failure.code)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe("bytes that are not UTF-8", () => {
  const around = (...inner: number[]) =>
    new Uint8Array([...utf8.encode('{"event":"x","data":{"n":"'), ...inner, ...utf8.encode('"}}')]);

  it.each([
    ["a lone continuation byte", around(0x80)],
    ["a byte that UTF-8 never has", around(0xff)],
    ["an overlong slash", around(0xc0, 0xaf)],
    ["a surrogate", around(0xed, 0xa0, 0x80)],
    ["a code point past the last", around(0xf4, 0x90, 0x80, 0x80)],
    ["a character cut short", around(0xe2, 0x82)],
    ["Latin-1", around(0xe9)],
    ["a character cut short by the end", utf8.encode('{"event":"x","data":{}}é').slice(0, -1)],
    ["UTF-16", new Uint8Array(Buffer.from('\ufeff{"event":"x","data":{}}', "utf16le"))],
    ["broken JSON at that", new Uint8Array([0x7b, 0xff])],
  ])("are refused before the JSON is looked at: %s", async (_, body) => {
    await expect(read(body)).resolves.toEqual({ code: "invalid_encoding" });
  });
});

describe("a text that is not one JSON document", () => {
  const whole = '{"event":"x","data":{}}';

  it.each([
    ["nothing", ""],
    ["white space", " \n"],
    ["a BOM in front", `\ufeff${whole}`],
    ["a BOM behind", `${whole}\ufeff`],
    ["a NUL behind", `${whole}\0`],
    ["two documents", whole + whole],
    ["one per line", `${whole}\n${whole}`],
    ["cut short", whole.slice(0, -1)],
    ["one bracket too many", `${whole}}`],
    ["a trailing comma", '{"event":"x","data":{},}'],
    ["single quotes", "{'event':'x','data':{}}"],
    ["a comment", `${whole}//`],
    ["NaN", '{"event":"x","data":{"n":NaN}}'],
    ["a raw line break in a string", '{"event":"x","data":{"n":"\n"}}'],
    ["a non-breaking space", `\u00a0${whole}`],
    ["a form", "event=x&data=%7B%7D"],
    ["brackets that close first", `${"]".repeat(50)}${"[".repeat(50)}`],
    ["brackets without end", "[".repeat(119_999)],
    ["a string without end", `"${"[".repeat(100)}`],
  ])("is refused: %s", async (_, body) => {
    await expect(read(body)).resolves.toEqual({ code: "invalid_json" });
  });
});

describe("the depth of a document", () => {
  /** An event of so many levels; the envelope is the first, `data` the second. */
  const arrays = (levels: number) =>
    `{"event":"x","data":{"n":${"[".repeat(levels - 2)}${"]".repeat(levels - 2)}}}`;
  const objects = (levels: number) =>
    `{"event":"x","data":${'{"n":'.repeat(levels - 2)}{}${"}".repeat(levels - 2)}}`;
  const mixed = (levels: number) =>
    `{"event":"x","data":{"n":${'[{"n":'.repeat((levels - 2) / 2)}0${"}]".repeat((levels - 2) / 2)}}}`;
  const late = (levels: number) =>
    `{"event":"x","data":{"a":[[[]]],"b":{},"n":${"[".repeat(levels - 2)}${"]".repeat(levels - 2)}}}`;

  it.each([
    ["arrays", arrays(32), arrays(33)],
    ["objects", objects(32), objects(33)],
    ["arrays and objects in turn", mixed(32), mixed(34)],
    ["arrays after shallow neighbours", late(32), late(33)],
  ])("may be 32 and not more: %s", async (_, within, beyond) => {
    await expect(read(within)).resolves.toMatchObject({ name: "x" });
    await expect(read(beyond)).resolves.toEqual({ code: "invalid_json" });
  });

  it.each([
    ["many neighbours", `{"event":"x","data":{"n":[${Array(500).fill("[{}]").join(",")}]}}`],
    ["brackets in a string", `{"event":"x","data":{"n":"${"[{".repeat(100)}"}}`],
    ["brackets in a key", `{"event":"x","data":{"${"{[".repeat(100)}":0}}`],
    ["brackets behind an escaped quote", `{"event":"x","data":{"n":"\\"${"[".repeat(100)}"}}`],
    ['brackets behind \\\\\\"', `{"event":"x","data":{"n":"\\\\\\"${"[".repeat(100)}"}}`],
  ])("does not grow by %s", async (_, body) => {
    await expect(read(body)).resolves.toMatchObject({ name: "x" });
  });

  it("goes on counting behind a string that ends in an escaped backslash", async () => {
    const body = (levels: number) =>
      `{"event":"x","data":{"s":"\\\\","n":${"[".repeat(levels - 2)}${"]".repeat(levels - 2)}}}`;
    await expect(read(body(32))).resolves.toMatchObject({ name: "x" });
    await expect(read(body(33))).resolves.toEqual({ code: "invalid_json" });
  });

  it("is that of the parsed value, for any JSON", async () => {
    const depthOf = (value: unknown): number =>
      typeof value === "object" && value !== null
        ? 1 + Math.max(0, ...Object.values(value).map(depthOf))
        : 0;
    const text = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom("[", "{", '"', "\\") }));
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 40, depthSize: 40 },
        text,
        fc.array(tie("tree"), { minLength: 1, maxLength: 1 }),
        fc.dictionary(text, tie("tree"), { minKeys: 1, maxKeys: 1 }),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(tree, fc.integer({ min: 0, max: 34 }), async (value, wraps) => {
        let data: unknown = { value };
        for (let wrap = 0; wrap < wraps; wrap++) data = { data };
        const envelope = { event: "x", data };
        const event = await read(envelope);
        if (depthOf(envelope) <= 32) expect(event).toMatchObject({ name: "x" });
        else expect(event).toEqual({ code: "invalid_json" });
      }),
    );
  });
});

describe("an envelope", () => {
  it.each<[string, unknown, string[]]>([
    ["null", "null", [""]],
    ["a string", '"x"', [""]],
    ["a number", "1", [""]],
    ["a list", [{ event: "x", data: {} }], [""]],
    ["empty", {}, ["event", "data"]],
    ["without event", { data: {} }, ["event"]],
    ["without data", { event: "x" }, ["data"]],
    ["with event null", { event: null, data: {} }, ["event"]],
    ["with a number as event", { event: 1, data: {} }, ["event"]],
    ["with a list as event", { event: ["x"], data: {} }, ["event"]],
    ["with an empty event", { event: "", data: {} }, ["event"]],
    ["with an event of 129 characters", { event: "x".repeat(129), data: {} }, ["event"]],
    ["with a space in event", { event: "a b", data: {} }, ["event"]],
    ["with a slash in event", { event: "a/b", data: {} }, ["event"]],
    ["with a star as event", { event: "*", data: {} }, ["event"]],
    ["with a line break behind event", { event: "x\n", data: {} }, ["event"]],
    ["with a NUL in event", { event: "x\0", data: {} }, ["event"]],
    ["with a letter past ASCII in event", { event: "é", data: {} }, ["event"]],
    ["with data null", { event: "x", data: null }, ["data"]],
    ["with a list as data", { event: "x", data: [] }, ["data"]],
    ["with a string as data", { event: "x", data: "{}" }, ["data"]],
    ["with both wrong", { event: 1, data: 1 }, ["event", "data"]],
    [
      "with its fields in the prototype",
      '{"__proto__":{"event":"x","data":{}}}',
      ["event", "data"],
    ],
    ["with its fields in other letters", { Event: "x", DATA: {} }, ["event", "data"]],
    ["with the second of two events wrong", '{"event":"x","event":1,"data":{}}', ["event"]],
  ])("is refused: %s", async (_, body, paths) => {
    await expect(read(body)).resolves.toEqual({ code: "invalid_event", paths });
  });

  it("is refused without repeating a value", async () => {
    const event = await parseEvent(
      utf8.encode(textOf({ event: "secret one", data: "secret two", secretThree: 1 })),
    );
    expect(event.ok).toBe(false);
    expect(JSON.stringify(event)).not.toContain("secret");
  });

  it.each([
    ["one character", "x"],
    ["128 characters", "x".repeat(128)],
    ["every kind of character", "AZaz09._-"],
    ["the name of the prototype", "__proto__"],
    ["the name of the constructor", "constructor"],
    ["the name of a method", "toString"],
    ["only dots", ".."],
  ])("may name its event with %s", async (_, name) => {
    await expect(read({ event: name, data: {} })).resolves.toMatchObject({ name });
  });

  it("counts the last of two fields with one name, as every JSON parser behind does", async () => {
    const event = await eventOf('{"event":"a","event":"b","data":1,"data":{"n":2}}');
    expect(event).toMatchObject({ name: "b", envelope: { event: "b", data: { n: 2 } } });
  });

  it("may have fields named like those of a prototype, and changes none", async () => {
    const body =
      '{"event":"x","data":{"__proto__":{"polluted":1},"constructor":{}},"__proto__":{}}';
    const { envelope } = await eventOf(body);
    expect(JSON.stringify(envelope)).toBe(body);
    expect({}).not.toHaveProperty("polluted");
  });
});

describe("the key of an event", () => {
  const sent = (data: unknown) => ({ event: "message.sent", data });
  const bounced = (data: unknown) => ({ event: "message.bounced", data });
  const reply = (data: unknown) => ({ event: "reply.received", data });

  it.each<[string, { event: string; data: unknown }, string]>([
    ["reply.id of reply.received", reply({ reply: { id: "r1" }, messageId: "m1" }), "r1"],
    ["messageId of message.sent", sent({ messageId: "m1", reply: { id: "r1" } }), "m1"],
    [
      "messageId and bounceType of message.bounced",
      bounced({ messageId: "m1", bounceType: "hard" }),
      "m1\0hard",
    ],
    [
      "any bounceType, known or not",
      bounced({ messageId: "m1", bounceType: "blocked" }),
      "m1\0blocked",
    ],
    ["one character", sent({ messageId: "x" }), "x"],
    ["white space", sent({ messageId: " " }), " "],
    ["512 characters", sent({ messageId: "x".repeat(512) }), "x".repeat(512)],
    ["512 characters past ASCII", sent({ messageId: "é".repeat(512) }), "é".repeat(512)],
    ["an emoji", sent({ messageId: "\u{1f389}" }), "\u{1f389}"],
    ["slashes and NULs", sent({ messageId: "../a\0b" }), "../a\0b"],
    [
      "both parts at 512 characters",
      bounced({ messageId: "m".repeat(512), bounceType: "b".repeat(512) }),
      `${"m".repeat(512)}\0${"b".repeat(512)}`,
    ],
  ])("is %s", async (_, body, key) => {
    await expect(eventOf(body)).resolves.toMatchObject({ id: await eventIdOf(body.event, key) });
  });

  const badParts: [string, unknown][] = [
    ["missing", undefined],
    ["empty", ""],
    ["null", null],
    ["a number", 7],
    ["true", true],
    ["a list", ["m1"]],
    ["an object", { id: "m1" }],
    ["513 characters", "x".repeat(513)],
    ["10 KB", "x".repeat(10_240)],
    ["a lone high surrogate", "\ud83c"],
    ["a lone low surrogate", "m\udf89"],
  ];
  const places: [string, (part: unknown) => { event: string; data: unknown }][] = [
    ["reply.id", (part) => reply({ reply: { id: part } })],
    ["messageId of a sent message", (part) => sent({ messageId: part })],
    ["messageId of a bounce", (part) => bounced({ messageId: part, bounceType: "hard" })],
    ["bounceType", (part) => bounced({ messageId: "m1", bounceType: part })],
  ];

  describe.each(places)("with a %s that does not count", (_, bodyWith) => {
    it.each(badParts)("is the body itself: %s", async (_name, part) => {
      const body = bodyWith(part);
      const id = await eventIdOf(body.event, bodyKey(body));
      await expect(eventOf(body)).resolves.toMatchObject({ id });
    });
  });

  it.each<[string, unknown]>([
    ["campaign.started", { event: "campaign.started", data: { campaignId: "c1" } }],
    ["an unknown event", { event: "message.clicked", data: { messageId: "m1" } }],
    ["an event in other letters", { event: "Message.Sent", data: { messageId: "m1" } }],
    ["a reply that is null", reply({ reply: null })],
    ["a reply that is a string", reply({ reply: "r1" })],
    ["a reply that is a list", reply({ reply: [{ id: "r1" }] })],
    ["a reply without data of its own", reply({ id: "r1" })],
    ["a messageId beside data", { ...sent({}), messageId: "m1" }],
    [
      "a messageId in the prototype",
      '{"event":"message.sent","data":{"__proto__":{"messageId":"m1"}}}',
    ],
    [
      "a reply in the prototype",
      '{"event":"reply.received","data":{"__proto__":{"reply":{"id":"r1"}}}}',
    ],
    [
      "a reply.id in the prototype",
      '{"event":"reply.received","data":{"reply":{"__proto__":{"id":"r1"}}}}',
    ],
  ])("is the body itself for %s", async (_, body) => {
    const event = await eventOf(body);
    expect(event.id).toBe(await eventIdOf(event.name, bodyKey(body)));
  });

  it("tells a soft bounce from a hard one, and either from the message sent", async () => {
    const events = await Promise.all([
      eventOf(sent({ messageId: "m1" })),
      eventOf(bounced({ messageId: "m1", bounceType: "soft" })),
      eventOf(bounced({ messageId: "m1", bounceType: "hard" })),
    ]);
    expect(new Set(events.map(({ id }) => id)).size).toBe(3);
  });

  it("is the same however the rest of the event reads", async () => {
    const first = await eventOf(sent({ messageId: "m1", sequenceStep: 1 }));
    const again = await eventOf(
      ' {"data":{"sequenceStep":2,"messageId":"\\u006d1"},"event":"message.sent","more":1}',
    );
    expect(again.id).toBe(first.id);
  });

  it("differs between two bodies without one of their own, by a single byte", async () => {
    const first = await eventOf('{"event":"message.clicked","data":{}}');
    const other = await eventOf('{"event":"message.clicked","data":{} }');
    expect(other.id).not.toBe(first.id);
  });
});

describe("an event conforms", () => {
  const timestamp = "2025-06-11T09:14:35Z";
  const replyWith = (changes: object) => ({
    ...DOCUMENTED_REPLY,
    data: { ...DOCUMENTED_REPLY.data, reply: { ...DOCUMENTED_REPLY.data.reply, ...changes } },
  });
  const sent = (data: unknown) => ({ event: "message.sent", timestamp, data });
  const bounced = (data: unknown) => ({ event: "message.bounced", timestamp, data });

  it.each<[string, unknown]>([
    ["the documented reply", DOCUMENTED_REPLY],
    ["campaign.started", { event: "campaign.started", timestamp, data: {} }],
    ["message.sent", sent({ messageId: "m1", sequenceStep: 0 })],
    ["a hard bounce", bounced({ bounceType: "hard", bounceReason: "550 5.1.1" })],
    ["a soft bounce", bounced({ bounceType: "soft", bounceReason: "" })],
    ["an unknown classification", replyWith({ classification: "on_sabbatical" })],
    ["unknown fields", { ...replyWith({ more: 1 }), more: 2 }],
    ["an unknown event", { event: "message.clicked", timestamp, data: { x: 1 } }],
    ["an event named like a method", { event: "toString", timestamp, data: {} }],
    ["an event named like the prototype", { event: "__proto__", timestamp, data: {} }],
    ["no webhookId", { event: "x", timestamp, data: {} }],
    [
      "a timestamp with an offset",
      { event: "x", timestamp: "2025-06-11T11:14:35+02:00", data: {} },
    ],
    [
      "a timestamp with a fraction",
      { event: "x", timestamp: "2025-06-11T09:14:35.123456Z", data: {} },
    ],
  ])("with %s", async (_, body) => {
    expect(conforms(await eventOf(body))).toBe(true);
  });

  it.each<[string, unknown]>([
    ["no timestamp", { event: "x", data: {} }],
    ["timestamp null", { event: "x", timestamp: null, data: {} }],
    ["a number as timestamp", { event: "x", timestamp: 1_749_633_275, data: {} }],
    ["a timestamp without a time", { event: "x", timestamp: "2025-06-11", data: {} }],
    ["a timestamp without an offset", { event: "x", timestamp: "2025-06-11T09:14:35", data: {} }],
    ["a timestamp on no day", { event: "x", timestamp: "2025-02-30T09:14:35Z", data: {} }],
    ["a timestamp in words", { event: "x", timestamp: "Wed, 11 Jun 2025 09:14:35 GMT", data: {} }],
    ["a number as webhookId", { event: "x", timestamp, webhookId: 1, data: {} }],
    ["webhookId null", { event: "x", timestamp, webhookId: null, data: {} }],
    ["no messageId", sent({ sequenceStep: 1 })],
    ["a number as messageId", sent({ messageId: 1, sequenceStep: 1 })],
    ["no sequenceStep", sent({ messageId: "m1" })],
    ["a string as sequenceStep", sent({ messageId: "m1", sequenceStep: "1" })],
    ["an unknown bounceType", bounced({ bounceType: "blocked", bounceReason: "x" })],
    ["no bounceType", bounced({ bounceReason: "x" })],
    ["no bounceReason", bounced({ bounceType: "hard" })],
    [
      "no campaignId",
      { ...DOCUMENTED_REPLY, data: { ...DOCUMENTED_REPLY.data, campaignId: undefined } },
    ],
    ["no lead", { ...DOCUMENTED_REPLY, data: { ...DOCUMENTED_REPLY.data, lead: undefined } }],
    ["no reply", { ...DOCUMENTED_REPLY, data: { ...DOCUMENTED_REPLY.data, reply: undefined } }],
    ["no reply.id", replyWith({ id: undefined })],
    ["no classification", replyWith({ classification: undefined })],
    ["no receivedAt", replyWith({ receivedAt: undefined })],
    ["a receivedAt that is no time", replyWith({ receivedAt: "yesterday" })],
    ["no threadSnippet", replyWith({ threadSnippet: undefined })],
  ])("not with %s, and is read all the same", async (_, body) => {
    expect(conforms(await eventOf(body))).toBe(false);
  });

  it("for no more names than those that Leadterra documents", () => {
    expect(Object.keys(EVENT_TYPES)).toEqual([
      "campaign.started",
      "message.sent",
      "message.bounced",
      "reply.received",
    ]);
  });
});
