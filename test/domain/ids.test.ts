import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  eventIdOf,
  newWebhookId,
  parseEventId,
  parseWebhookId,
  randomEventId,
} from "../../src/domain/ids";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const NO_RANDOM = new Uint8Array(10);
const ALL_RANDOM = new Uint8Array(10).fill(0xff);

/** The rule of the design by another way: one big number, its first 130 bits, 26 digits to the base 32. */
function expectedEventId(name: string, key: string): string {
  const digest = createHash("sha256").update(`${name}\0${key}`).digest("hex");
  let bits = BigInt(`0x${digest}`) >> 126n;
  let digits = "";
  for (let digit = 0; digit < 26; digit++) {
    digits = ALPHABET.charAt(Number(bits & 31n)) + digits;
    bits >>= 5n;
  }
  return `evt_${digits}`;
}

describe("an event id", () => {
  it("of the documented reply is the documented one", async () => {
    await expect(eventIdOf("reply.received", "rpl_01HZB3MNPW6XT8QA")).resolves.toBe(
      "evt_QNH783WW52FCCN914ZB1QAYTW0",
    );
  });

  it("is the first 130 bits of SHA-256(name, NUL, key) in 26 Crockford digits", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ minLength: 1 }),
        fc.string({ unit: "grapheme", minLength: 1 }),
        async (name, key) => {
          const id = await eventIdOf(name, key);
          expect(id).toBe(expectedEventId(name, key));
          expect(parseEventId(id)).toBe(id);
        },
      ),
    );
  });

  it("differs by name and by key", async () => {
    const ids = await Promise.all([
      eventIdOf("message.sent", "m1"),
      eventIdOf("message.sent", "m2"),
      eventIdOf("message.bounced", "m1"),
      eventIdOf("message", ".sentm1"),
    ]);
    expect(new Set(ids).size).toBe(4);
  });

  it("takes keys of any length and content", async () => {
    for (const key of ["a/b", "../..", "a\0b", "evt_x", "x".repeat(10_240), "é", "\u{1f389}"]) {
      await expect(eventIdOf("message.sent", key)).resolves.toMatch(/^evt_[0-9A-HJKMNP-TV-Z]{26}$/);
    }
  });

  it("can be made of 16 random bytes for what is no event of the source", () => {
    const zeros = randomEventId(new Uint8Array(16));
    const ones = randomEventId(new Uint8Array(16).fill(0xff));
    expect(zeros).toBe(`evt_${"0".repeat(26)}`);
    expect(ones).toMatch(/^evt_Z{25}/);
    expect(parseEventId(ones)).toBe(ones);
  });
});

describe("a webhook id", () => {
  it.each([
    ["the first moment", 0, "0000000000"],
    ["the example of the ULID specification", 1_469_918_176_385, "01ARYZ6S41"],
    ["the last moment of a ULID", 2 ** 48 - 1, "7ZZZZZZZZZ"],
  ])("begins with %s as a ULID", (_, nowMs, time) => {
    expect(newWebhookId(nowMs, NO_RANDOM)).toBe(`wh_${time}${"0".repeat(16)}`);
    expect(newWebhookId(nowMs, ALL_RANDOM)).toBe(`wh_${time}${"Z".repeat(16)}`);
  });

  it("uses all 80 random bits, each once", () => {
    const ids = Array.from({ length: 80 }, (_, bit) => {
      const random = new Uint8Array(10);
      random[bit >> 3] = 1 << (bit & 7);
      return newWebhookId(0, random);
    });
    expect(new Set(ids).size).toBe(80);
    expect(ids).not.toContain(newWebhookId(0, NO_RANDOM));
  });

  it("sorts by the time of creation, whatever the random part", () => {
    const time = fc.integer({ min: 0, max: 2 ** 48 - 2 });
    const random = fc.uint8Array({ minLength: 10, maxLength: 10 });
    fc.assert(
      fc.property(time, time, random, random, (a, b, randomA, randomB) => {
        fc.pre(a !== b);
        expect(newWebhookId(a, randomA) < newWebhookId(b, randomB)).toBe(a < b);
      }),
    );
  });

  it("reads back as itself", () => {
    const id = newWebhookId(1_469_918_176_385, ALL_RANDOM);
    expect(parseWebhookId(id)).toBe(id);
  });
});

describe.each([
  { noun: "event", prefix: "evt_", parse: parseEventId },
  { noun: "webhook", prefix: "wh_", parse: parseWebhookId },
])("a text that is not the id of a $noun", ({ prefix, parse }) => {
  const digits = ALPHABET.slice(0, 26);

  it.each([
    ["empty", ""],
    ["the prefix alone", prefix],
    ["the digits alone", digits],
    ["one digit short", prefix + digits.slice(1)],
    ["one digit long", `${prefix + digits}0`],
    ["in lower case", prefix + digits.toLowerCase()],
    ["with an I", `${prefix}I${digits.slice(1)}`],
    ["with an L", `${prefix}L${digits.slice(1)}`],
    ["with an O", `${prefix}O${digits.slice(1)}`],
    ["with a U", `${prefix}U${digits.slice(1)}`],
    ["with a slash", `${prefix}/${digits.slice(1)}`],
    ["with a NUL", `${prefix}\0${digits.slice(1)}`],
    ["with a line break behind", `${prefix + digits}\n`],
    ["with a space in front", ` ${prefix + digits}`],
    ["with another prefix", `dl_${digits}`],
    ["with its prefix in capitals", prefix.toUpperCase() + digits],
    ["10 KB", prefix + "0".repeat(10_240)],
  ])("is refused: %s", (_, text) => {
    expect(parse(prefix + digits)).toBe(prefix + digits);
    expect(parse(text)).toBeNull();
  });
});
