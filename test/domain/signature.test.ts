import { createHmac, timingSafeEqual } from "node:crypto";
import fc from "fast-check";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  createSigner,
  importHmacKey,
  newSecret,
  SECRET,
  secretsEqual,
  sha256Hex,
  verifyLeadterra,
} from "../../src/domain/signature";

const utf8 = new TextEncoder();
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const repeated = (hexByte: string, count: number) => bytes(hexByte.repeat(count));

/** `whsec_` and the base64 of so many bytes, all of them `fill`. */
const secretOf = (length: number, fill = 7) =>
  `whsec_${Buffer.alloc(length, fill).toString("base64")}`;

const OLD_SECRET = secretOf(32, 1);
const MIDDLE_SECRET = secretOf(24, 2);
const NEW_SECRET = secretOf(64, 3);

async function verify(secret: string | Uint8Array, header: string | null, body: Uint8Array) {
  return verifyLeadterra([await importHmacKey(secret)], header, body);
}

describe("the signature of Leadterra", () => {
  it.each([
    {
      vector: "RFC 4231, test case 1",
      key: repeated("0b", 20),
      body: utf8.encode("Hi There"),
      mac: "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    },
    {
      vector: "RFC 4231, test case 2",
      key: "Jefe",
      body: utf8.encode("what do ya want for nothing?"),
      mac: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    },
    {
      vector: "RFC 4231, test case 3",
      key: repeated("aa", 20),
      body: repeated("dd", 50),
      mac: "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    },
    {
      vector: "RFC 4231, test case 4",
      key: bytes("0102030405060708090a0b0c0d0e0f10111213141516171819"),
      body: repeated("cd", 50),
      mac: "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    },
    {
      vector: "RFC 4231, test case 6",
      key: repeated("aa", 131),
      body: utf8.encode("Test Using Larger Than Block-Size Key - Hash Key First"),
      mac: "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    },
    {
      vector: "RFC 4231, test case 7",
      key: repeated("aa", 131),
      body: utf8.encode(
        "This is a test using a larger than block-size key and a larger than block-size data. " +
          "The key needs to be hashed before being used by the HMAC algorithm.",
      ),
      mac: "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    },
    {
      vector: "GitHub's example",
      key: "It's a Secret to Everybody",
      body: utf8.encode("Hello, World!"),
      mac: "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    },
  ])("verifies $vector", async ({ key, body, mac }) => {
    await expect(verify(key, mac, body)).resolves.toBe(true);
    await expect(verify(key, mac.toUpperCase(), body)).resolves.toBe(true);
    await expect(verify(key, mac, new Uint8Array([...body, 0]))).resolves.toBe(false);
    await expect(verify(`${key}.`, mac, body)).resolves.toBe(false);
  });

  it("reads the secret as UTF-8", async () => {
    const secret = "schlüssel-🔑";
    const mac = createHmac("sha256", secret).update("body").digest("hex");
    await expect(verify(secret, mac, utf8.encode("body"))).resolves.toBe(true);
  });

  it("holds when any of several secrets made it", async () => {
    const keys = await Promise.all(["first", "second", "third"].map(importHmacKey));
    const body = utf8.encode("{}");
    for (const secret of ["first", "second", "third"]) {
      const mac = createHmac("sha256", secret).update(body).digest("hex");
      await expect(verifyLeadterra(keys, mac, body)).resolves.toBe(true);
    }
    const foreign = createHmac("sha256", "fourth").update(body).digest("hex");
    await expect(verifyLeadterra(keys, foreign, body)).resolves.toBe(false);
  });

  it("never holds without a secret", async () => {
    await expect(verifyLeadterra([], "0".repeat(64), new Uint8Array())).resolves.toBe(false);
  });

  describe("in a malformed header", () => {
    const body = utf8.encode("Hello, World!");
    const mac = createHmac("sha256", "secret").update(body).digest();
    const hex = mac.toString("hex");

    it.each<[string, string | null]>([
      ["missing", null],
      ["empty", ""],
      ["doubled", `${hex}, ${hex}`],
      ["doubled without a space", `${hex},${hex}`],
      ["written twice in a row", hex + hex],
      ["prefixed with sha256=", `sha256=${hex}`],
      ["prefixed with v1,", `v1,${hex}`],
      ["prefixed with 0x", `0x${hex}`],
      ["in base64", mac.toString("base64")],
      ["in base64url", mac.toString("base64url")],
      ["in quotes", `"${hex}"`],
      ["one digit short", hex.slice(1)],
      ["one digit long", `${hex}0`],
      ["cut to the first half", hex.slice(0, 32)],
      ["with a space in front", ` ${hex}`],
      ["with a line break behind", `${hex}\n`],
      ["with a digit that is none", `${hex.slice(0, 63)}g`],
      ["with a full-width digit", `${hex.slice(0, 63)}１`],
      ["with colons", (hex.match(/../g) ?? []).join(":")],
      ["with one bit turned", `${hex.slice(0, 63)}${(Number(`0x${hex[63]}`) ^ 1).toString(16)}`],
      ["all zeros", "0".repeat(64)],
    ])("does not hold: %s", async (_, header) => {
      await expect(verify("secret", hex, body)).resolves.toBe(true);
      await expect(verify("secret", header, body)).resolves.toBe(false);
    });

    it("does not hold, and throws nothing, whatever the header is", async () => {
      const key = await importHmacKey("secret");
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: "binary", maxLength: 80 }), async (header) => {
          expect(await verifyLeadterra([key], header, body)).toBe(false);
        }),
      );
    });
  });
});

/** The sample of Leadterra's page, word for word: what a handler behind the relay may run. */
function verifySignature(rawBody: Uint8Array, signatureHeader: string, signingSecret: string) {
  const expected = createHmac("sha256", signingSecret).update(rawBody).digest("hex");
  return timingSafeEqual(Buffer.from(expected), Buffer.from(signatureHeader));
}

describe("a signer", () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.UTC(2026, 10, 23, 12), toFake: ["Date"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("gives the published vector of Standard Webhooks", async () => {
    const sign = createSigner(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    const body = utf8.encode('{"test": 2432232314}');
    expect(sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)).toMatchObject({
      standard: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    });
  });

  it("satisfies the Standard Webhooks library with each live secret", async () => {
    const sign = createSigner([OLD_SECRET, MIDDLE_SECRET, NEW_SECRET]);
    const unixSeconds = Date.now() / 1_000;
    const body = '{"event":"message.sent","data":{"text":"é — 🎉"}}';
    const { standard } = sign("evt_1", unixSeconds, utf8.encode(body));
    const headers = {
      "webhook-id": "evt_1",
      "webhook-timestamp": String(unixSeconds),
      "webhook-signature": standard,
    };
    for (const secret of [OLD_SECRET, MIDDLE_SECRET, NEW_SECRET]) {
      expect(new StandardWebhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    }
    expect(() => new StandardWebhook(secretOf(32, 9)).verify(body, headers)).toThrow();
    expect(() => new StandardWebhook(NEW_SECRET).verify(`${body} `, headers)).toThrow();
    expect(() =>
      new StandardWebhook(NEW_SECRET).verify(body, { ...headers, "webhook-id": "evt_2" }),
    ).toThrow();
    expect(() =>
      new StandardWebhook(NEW_SECRET).verify(body, {
        ...headers,
        "webhook-timestamp": String(unixSeconds - 1),
      }),
    ).toThrow();
  });

  it("signs for Standard Webhooks with the newest secret first", async () => {
    const sign = createSigner([OLD_SECRET, MIDDLE_SECRET, NEW_SECRET]);
    const { standard } = sign("evt_1", 1_700_000_000, utf8.encode("{}"));
    const expected = [NEW_SECRET, MIDDLE_SECRET, OLD_SECRET].map((secret) =>
      new StandardWebhook(secret).sign("evt_1", new Date(1_700_000_000_000), "{}"),
    );
    expect(standard.split(" ")).toEqual(expected);
  });

  it("signs Leadterra's header with the whole string of the oldest secret", async () => {
    const body = utf8.encode('{"event":"reply.received"}');
    const sign = createSigner([OLD_SECRET, MIDDLE_SECRET, NEW_SECRET]);
    const { leadterra } = sign("evt_1", 1_700_000_000, body);
    expect(verifySignature(body, leadterra, OLD_SECRET)).toBe(true);
    expect(verifySignature(body, leadterra, NEW_SECRET)).toBe(false);
  });

  it("signs any bytes so that both judges agree", async () => {
    const sign = createSigner([OLD_SECRET]);
    const standard = new StandardWebhook(OLD_SECRET);
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme" }), fc.nat(), async (text, unixSeconds) => {
        const body = utf8.encode(text);
        const signed = sign("evt_1", unixSeconds, body);
        expect(verifySignature(body, signed.leadterra, OLD_SECRET)).toBe(true);
        expect(signed.standard).toBe(standard.sign("evt_1", new Date(unixSeconds * 1_000), text));
      }),
    );
  });

  it("signs a body that is a view into a larger buffer by its own bytes only", async () => {
    const sign = createSigner([OLD_SECRET]);
    const view = utf8.encode("before{}after").subarray(6, 8);
    expect(sign("evt_1", 1, view)).toEqual(sign("evt_1", 1, utf8.encode("{}")));
  });

  it("makes signatures that the relay's own verification accepts", async () => {
    const sign = createSigner([OLD_SECRET]);
    const body = utf8.encode("{}");
    const { leadterra } = sign("evt_1", 1, body);
    await expect(verify(OLD_SECRET, leadterra, body)).resolves.toBe(true);
  });

  it("needs a secret", () => {
    expect(() => createSigner([])).toThrow();
  });
});

describe("a signing secret", () => {
  it("is new each time, and 32 bytes long", () => {
    const secrets = Array.from({ length: 100 }, newSecret);
    expect(new Set(secrets).size).toBe(100);
    for (const secret of secrets) {
      expect(SECRET.test(secret)).toBe(true);
      expect(Buffer.from(secret.slice("whsec_".length), "base64")).toHaveLength(32);
    }
  });

  it.each(Array.from({ length: 67 }, (_, length) => [length, length >= 24 && length <= 64]))(
    "of %i bytes is one: %s",
    (length, expected) => {
      expect(SECRET.test(secretOf(length))).toBe(expected);
    },
  );

  it("may be the one of Standard Webhooks' documentation", () => {
    expect(SECRET.test("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).toBe(true);
  });

  it.each([
    ["empty", ""],
    ["the prefix alone", "whsec_"],
    ["without its prefix", secretOf(32).slice("whsec_".length)],
    ["with another prefix", secretOf(32).replace("whsec_", "whpk_")],
    ["with its prefix in capitals", secretOf(32).replace("whsec_", "WHSEC_")],
    ["with its prefix twice", `whsec_${secretOf(32)}`],
    ["without its padding", secretOf(32).replace("=", "")],
    ["with too much padding", `${secretOf(32)}=`],
    ["with padding inside", `whsec_${"AA==".repeat(8)}${"A".repeat(32)}`],
    ["in base64url", `whsec_${"-_".repeat(16)}`],
    ["in hex with dashes", `whsec_${"ab-".repeat(16)}`],
    ["with a space in front", ` ${secretOf(32)}`],
    ["with a space inside", `whsec_ ${secretOf(33).slice("whsec_".length)}`],
    ["with a line break behind", `${secretOf(32)}\n`],
    ["two of them", `${secretOf(32)},${secretOf(32)}`],
  ])("is none when it is %s", (_, text) => {
    expect(SECRET.test(text)).toBe(false);
  });

  it("equals itself and nothing else", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.string(), async (a, b) => {
        expect(await secretsEqual(a, a)).toBe(true);
        expect(await secretsEqual(a, b)).toBe(a === b);
        expect(await secretsEqual(a, `${a}x`)).toBe(false);
      }),
    );
  });
});

describe("the SHA-256 of bytes", () => {
  it.each([
    ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ])("of %j is the one of FIPS 180", async (text, digest) => {
    await expect(sha256Hex(utf8.encode(text))).resolves.toBe(digest);
  });
});
