import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkTarget,
  maskQuery,
  sameOrigin,
  type TargetCheck,
  type TargetRules,
} from "../../src/domain/target";

const PUBLIC: TargetRules = {
  allowPrivate: false,
  relayHost: "relay.example.com",
  services: ["CRM", "ORDERS_VPC"],
};
const PRIVATE: TargetRules = { ...PUBLIC, allowPrivate: true };

/** The stored form, or the reason of the refusal in brackets. */
function checked(given: string, rules: TargetRules): string {
  const check = checkTarget(given, rules);
  return check.ok ? check.url : `[${check.reason}]`;
}

const MAX_URL = `https://a.example/${"x".repeat(2048 - 18)}`;
const MAX_LABEL = "a".repeat(63);
const MAX_HOST = `${MAX_LABEL}.${MAX_LABEL}.${MAX_LABEL}.${"a".repeat(61)}`;

describe("a public target", () => {
  it.each([
    ["https://hooks.example.com", "https://hooks.example.com/"],
    [
      "https://hooks.example.com/in?token=a%20b&x=/@",
      "https://hooks.example.com/in?token=a%20b&x=/@",
    ],
    ["HTTPS://Hooks.Example.COM/In", "https://hooks.example.com/In"],
    ["https://hooks.example.com:443/", "https://hooks.example.com/"],
    ["https://hooks.example.com:/", "https://hooks.example.com/"],
    ["https://hooks.example.com:1024/", "https://hooks.example.com:1024/"],
    ["https://hooks.example.com:65535/", "https://hooks.example.com:65535/"],
    ["https://hooks.example.com./in", "https://hooks.example.com/in"],
    ["https://hooks.example.com.:8443/in", "https://hooks.example.com:8443/in"],
    ["https://hooks.example.com/a/../b/./c", "https://hooks.example.com/b/c"],
    ["https://bücher.example/é", "https://xn--bcher-kva.example/%C3%A9"],
    ["https://ex%61mple.com/", "https://example.com/"],
    ["https://例え。jp/", "https://xn--r8jz45g.jp/"],
    ["https://hooks.example.com/user@host", "https://hooks.example.com/user@host"],
    ["https://a--b.example/", "https://a--b.example/"],
    ["https://1.example/", "https://1.example/"],
    ["https://127.0.0.1.example/", "https://127.0.0.1.example/"],
    ["https://local.example/", "https://local.example/"],
    ["https://notlocal.mylocal/", "https://notlocal.mylocal/"],
    ["https://other.relay.example.com/", "https://other.relay.example.com/"],
  ])("accepts %j", (given, stored) => {
    expect(checkTarget(given, PUBLIC)).toEqual({
      ok: true,
      target: { kind: "http", url: stored },
      url: stored,
    });
  });

  it.each([
    [
      "of another scheme or form",
      "must use https:",
      [
        "",
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "wss://hooks.example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/plain,x",
        "blob:https://a.example/x",
        "hooks.example.com",
        "//hooks.example.com",
        "https:hooks.example.com",
        "https:/hooks.example.com",
        "https:///hooks.example.com",
        "https:////hooks.example.com",
        "https://",
        "https:///",
        "https://?x",
        "xhttps://hooks.example.com",
        "httpss://hooks.example.com",
      ],
    ],
    [
      "with credentials",
      "must not contain credentials",
      [
        "https://user@hooks.example.com/",
        "https://user:pass@hooks.example.com/",
        "https://:@hooks.example.com/",
        "https://@hooks.example.com/",
        "https://a@b@hooks.example.com/",
        "https://hooks.example.com@evil.example/",
      ],
    ],
    [
      "with a fragment",
      "must not have a fragment",
      [
        "https://hooks.example.com/#",
        "https://hooks.example.com/#x",
        "https://hooks.example.com#",
        "https://hooks.example.com#@evil.example/",
        "https://hooks.example.com/?q#x",
      ],
    ],
    [
      "with white space, controls or backslashes",
      "must not contain white space, control characters or backslashes",
      [
        " https://hooks.example.com/",
        "https://hooks.example.com/ ",
        "https://hooks.example.com/a b",
        "https://hooks.exa\tmple.com/",
        "https://hooks.example.com/\n",
        "ht\ntps://hooks.example.com/",
        "https://hooks.example.com/\r",
        "https://hooks.example.com/\0",
        "https://hooks.example.com/\u007f",
        "https://hooks.example.com/\u0085",
        "https://hooks.example.com/\u00a0",
        "https://hooks.example.com/\u2028",
        "https://hooks.example.com/\u3000",
        "\ufeffhttps://hooks.example.com/",
        "https:\\\\hooks.example.com\\",
        "https://hooks.example.com\\@evil.example/",
        "https://hooks.example.com/?a\\b",
      ],
    ],
    [
      "that is too long",
      "must be at most 2048 characters",
      [
        `${MAX_URL}x`,
        `${MAX_URL.slice(0, -2)}/..`,
        `https://a.example/${"é".repeat(1000)}`,
        `https://a.example/?${"x".repeat(1_000_000)}`,
      ],
    ],
    [
      "with an IP literal",
      "must name its host: IP addresses are refused",
      [
        "https://127.0.0.1/",
        "https://127.0.0.1./",
        "https://8.8.8.8/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://0/",
        "https://0x/",
        "https://1.1/",
        "https://0X7F.0.0.1/",
        "https://１２７.0.0.1/",
        "https://①②⑦.0.0.1/",
        "https://127。0。0。1/",
        "https://%31%32%37.0.0.1/",
        "https://127.0.0.1%2e/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[2606:4700::1111]/",
        "https://[0:0:0:0:0:0:0:1]:8443/",
      ],
    ],
    [
      "with a host that is no DNS name",
      "must have a DNS name as its host",
      [
        "https://a_b.example/",
        "https://-a.example/",
        "https://a-.example/",
        "https://a..example/",
        "https://.example.com/",
        "https://*.example.com/",
        "https://a~b.example/",
        "https://a!b.example/",
        "https://a,b.example/",
        "https://hooks.example.com../",
        "https://127.0.0.1../",
        "https://hooks.example.com.../",
        "https://./",
        "https://../",
        `https://a${MAX_LABEL}.example/`,
        `https://${MAX_HOST}a/`,
        `https://${MAX_HOST}a./`,
      ],
    ],
    [
      "that cannot be read",
      "must be a valid URL",
      [
        "https://[::1/",
        "https://a.b.1.2.3.4.5/",
        "https://hooks.example.99/",
        "https://hooks.example.0x7f/",
        "https://256.0.0.1/",
        "https://hooks.example.com:65536/",
        "https://hooks.example.com:x/",
        "https://hooks%2fexample.com/",
        "https://hooks%00.example.com/",
        "https://user%40hooks.example.com/",
        "https://a|b.example/",
        "https://:443/",
        "https://[fe80::1%25eth0]/",
      ],
    ],
    [
      "with a single label",
      "must have a host of two labels or more",
      [
        "https://localhost/",
        "https://localhost./",
        "https://LOCALHOST/",
        "https://intranet/",
        "https://internal/",
        "https://ｌocalhost/",
        "https://%6cocalhost/",
        "https://local\u00adhost/",
      ],
    ],
    [
      "with a private name",
      "must have a public host",
      [
        "https://printer.local/",
        "https://db.internal/",
        "https://metadata.google.internal/",
        "https://a.localhost/",
        "https://router.home.arpa/",
        "https://home.arpa/",
        "https://1.0.0.127.in-addr.arpa/",
        "https://abc.onion/",
        "https://PRINTER.LOCAL./",
        "https://printer.ｌocal/",
        "https://printer%2elocal/",
        "https://printer。local/",
      ],
    ],
    [
      "with a privileged port",
      "must use port 443 or a port from 1024",
      [
        "https://hooks.example.com:0/",
        "https://hooks.example.com:22/",
        "https://hooks.example.com:80/",
        "https://hooks.example.com:1023/",
        "https://hooks.example.com:00080/",
      ],
    ],
    [
      "that leads back to the relay",
      "must not lead back to the relay itself",
      [
        "https://relay.example.com/",
        "https://RELAY.example.com:443/webhooks/leadterra",
        "https://relay.example.com./x",
        "https://relay%2Eexample.com/",
      ],
    ],
  ])("refuses one %s", (_flaw, reason, urls) => {
    for (const url of urls) expect(checked(url, PUBLIC), url.slice(0, 99)).toContain(`[${reason}`);
  });

  it("may be as long as the limits, with a dot after the longest host", () => {
    expect(checked(MAX_URL, PUBLIC)).toBe(MAX_URL);
    for (const dot of ["", "."]) {
      expect(checked(`https://${MAX_HOST}${dot}/`, PUBLIC)).toBe(`https://${MAX_HOST}/`);
    }
  });

  it("may be the relay's name on another port", () => {
    expect(checkTarget("https://relay.example.com:8443/", PUBLIC).ok).toBe(true);
    const other = { ...PUBLIC, relayHost: "relay.example.com:8443" };
    expect(checkTarget("https://relay.example.com/", other).ok).toBe(true);
    expect(checkTarget("https://relay.example.com.:8443/", other).ok).toBe(false);
  });

  it("is compared with the relay whichever of the two has a trailing dot", () => {
    for (const relayHost of ["relay.example.com.", "relay.example.com"]) {
      expect(checkTarget("https://relay.example.com./", { ...PUBLIC, relayHost }).ok).toBe(false);
    }
    const relayHost = "relay.example.com.:8443";
    expect(checkTarget("https://relay.example.com:8443/", { ...PUBLIC, relayHost }).ok).toBe(false);
  });

  it("may be any public host when the relay's own is not known", () => {
    expect(checkTarget("https://relay.example.com/", { ...PUBLIC, relayHost: null }).ok).toBe(true);
  });
});

describe("a private target", () => {
  it.each([
    ["http://localhost:8080/in", "http://localhost:8080/in"],
    ["http://localhost", "http://localhost/"],
    ["HTTP://receiver.internal:80/", "http://receiver.internal/"],
    ["https://printer.local:22/", "https://printer.local:22/"],
    ["http://127.0.0.1:9000/", "http://127.0.0.1:9000/"],
    ["http://0x7f.1/", "http://127.0.0.1/"],
    ["http://127.0.0.1./", "http://127.0.0.1/"],
    ["http://[::1]:9000/", "http://[::1]:9000/"],
    ["http://localhost./", "http://localhost/"],
    ["https://hooks.example.com:443/", "https://hooks.example.com/"],
    ["https://8.8.8.8/", "https://8.8.8.8/"],
  ])("is accepted as %j where private destinations are allowed", (given, stored) => {
    expect(checked(given, PRIVATE)).toBe(stored);
  });

  it.each([
    ["ftp://localhost/", "must use https: or http:"],
    ["http:/localhost/", "must use https: or http:"],
    ["http:localhost", "must use https: or http:"],
    ["http://user:pass@localhost/", "must not contain credentials"],
    ["http://@localhost/", "must not contain credentials"],
    ["http://localhost/#x", "must not have a fragment"],
    ["http://localhost/ ", "must not contain white space"],
    ["http://localhost\\x", "must not contain white space"],
    ["http://127.0.0.1../", "must have a DNS name"],
    ["http://local_host/", "must have a DNS name"],
    ["http://./", "must have a DNS name"],
    ["http://localhost:65536/", "must be a valid URL"],
    ["http://relay.example.com/", "must not lead back to the relay itself"],
  ])("keeps the other rules: %j", (given, reason) => {
    expect(checked(given, PRIVATE)).toContain(`[${reason}`);
  });

  it("keeps the limits of length", () => {
    const long = `http://localhost/${"x".repeat(2048)}`;
    expect(checked(long, PRIVATE)).toContain("[must be at most 2048 characters");
    expect(checked(`http://a${MAX_LABEL}/`, PRIVATE)).toContain("[must have a DNS name");
  });

  it.each([
    ["localhost:8787", "http://localhost:8787/x"],
    ["127.0.0.1:8787", "http://0x7f.1:8787/"],
    ["[::1]:8787", "http://[0::1]:8787/"],
  ])("is not the relay itself at %s", (relayHost, url) => {
    expect(checked(url, { ...PRIVATE, relayHost })).toContain("[must not lead back to the relay");
    expect(checkTarget(url.replace("8787", "8788"), { ...PRIVATE, relayHost }).ok).toBe(true);
  });
});

describe("a service target", () => {
  it.each([
    ["service:CRM", "CRM", "/"],
    ["service:CRM/", "CRM", "/"],
    ["SERVICE:CRM/in?a=1&b=?", "CRM", "/in?a=1&b=?"],
    ["service:ORDERS_VPC/v1/hooks", "ORDERS_VPC", "/v1/hooks"],
    ["service:CRM/a/../../b", "CRM", "/b"],
    ["service:CRM//evil.example/x", "CRM", "//evil.example/x"],
    ["service:CRM/@user:x", "CRM", "/@user:x"],
    ["service:CRM/é", "CRM", "/%C3%A9"],
  ])("accepts %j", (given, binding, path) => {
    for (const rules of [PUBLIC, PRIVATE]) {
      expect(checkTarget(given, rules)).toEqual({
        ok: true,
        target: { kind: "service", binding, path },
        url: `service:${binding}${path}`,
      });
    }
  });

  it.each([
    ["service:", "must name a configured binding"],
    ["service:/x", "must name a configured binding"],
    ["service://CRM/x", "must name a configured binding"],
    ["service:crm/x", "must name a configured binding"],
    ["service:EVENTS/x", "must name a configured binding"],
    ["service:__proto__/x", "must name a configured binding"],
    ["service:0/x", "must name a configured binding"],
    ["service:user@CRM/x", "must name a configured binding"],
    ["service:CRM:80/x", "must name a configured binding"],
    ["service:CRM?x=1", "must have a path that starts with /"],
    ["service:CRM/#x", "must not have a fragment"],
    ["service:CRM/a b", "must not contain white space"],
    ["service:CRM/\u0001", "must not contain white space"],
    ["service:CRM\\x", "must not contain white space"],
  ])("refuses %j", (given, reason) => {
    expect(checked(given, PUBLIC)).toContain(`[${reason}`);
    expect(checked(given, PRIVATE)).toContain(`[${reason}`);
  });

  it("is told which bindings there are", () => {
    expect(checked("service:NOPE/x", PUBLIC)).toContain("CRM, ORDERS_VPC");
    expect(checked("service:NOPE/x", { ...PUBLIC, services: [] })).toContain(
      "no service or VPC binding",
    );
  });

  it("may be as long as the limit, in the form that is stored", () => {
    expect(checkTarget(`service:CRM/${"x".repeat(2048 - 12)}`, PUBLIC).ok).toBe(true);
    for (const path of ["x".repeat(2048 - 11), "é".repeat(400)]) {
      expect(checked(`service:CRM/${path}`, PUBLIC)).toContain("[must be at most 2048 characters");
    }
  });
});

/** One number of an IPv4 address in the spellings that a URL parser reads: decimal, octal, hexadecimal. */
const radix = fc.constantFrom(
  (part: number) => String(part),
  (part: number) => `0${part.toString(8)}`,
  (part: number) => `0x${part.toString(16)}`,
  (part: number) => `0X000${part.toString(16).toUpperCase()}`,
);
const byte = fc.integer({ min: 0, max: 255 });
const address = fc.oneof(
  fc.tuple(byte, byte, byte, byte),
  fc.tuple(fc.constantFrom(0, 10, 127), byte, byte, byte),
  fc.constantFrom([169, 254, 169, 254], [192, 168, 0, 1], [172, 16, 0, 1], [100, 64, 0, 1]),
);
const disguise = fc.constantFrom(
  (host: string) => host,
  (host: string) => `${host}.`,
  (host: string) => host.replaceAll(".", "。"),
  (host: string) => host.replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
  (host: string) => host.replace(/[0-9]/g, (digit) => `%3${digit}`),
  (host: string) => host.replace(/\d/, (digit) => `\u00ad${digit}`),
);

/** An IPv4 address, and a way to write it: each of 1 to 4 parts in its own radix, the last one taking the rest. */
const ipv4 = fc
  .record({
    address,
    parts: fc.integer({ min: 1, max: 4 }),
    spellings: fc.tuple(radix, radix, radix, radix),
    disguise,
  })
  .map(({ address: bytes, parts, spellings, disguise: hide }) => {
    const rest = bytes.slice(parts - 1).reduce((sum, part) => sum * 256 + part, 0);
    const numbers = [...bytes.slice(0, parts - 1), rest];
    const written = numbers.map((part, at) => spellings[at]?.(part)).join(".");
    return { canonical: bytes.join("."), host: hide(written) };
  });

const ipv6 = fc
  .record({
    address,
    prefix: fc.constantFrom("::ffff:", "::", "64:ff9b::", "2002:7f00:1::", "fe80::"),
  })
  .map(({ address: bytes, prefix }) => `[${prefix}${bytes.join(".")}]`);

const ending = fc.constantFrom("", "/", ":8443/in", "/in?x=1");

describe("an address in disguise", () => {
  it("is refused in every spelling of IPv4, and read as that address where it is allowed", () => {
    fc.assert(
      fc.property(ipv4, ending, ({ canonical, host }, end) => {
        expect(checked(`https://${host}${end}`, PUBLIC)).toContain("[must name its host");
        const allowed = checkTarget(`http://${host}${end}`, PRIVATE);
        expect(allowed.ok && new URL(allowed.url).hostname).toBe(canonical);
      }),
      { numRuns: 500 },
    );
  });

  it("is refused inside IPv6", () => {
    fc.assert(
      fc.property(ipv6, ending, (host, end) => {
        expect(checked(`https://${host}${end}`, PUBLIC)).toContain("[must name its host");
        expect(checkTarget(`http://${host}${end}`, PRIVATE).ok).toBe(true);
      }),
    );
  });

  it("is refused as a name below a private suffix", () => {
    const suffix = fc
      .constantFrom("local", "internal", "localhost", "home.arpa", "arpa", "onion")
      .chain((name) => fc.mixedCase(fc.constant(name)));
    const dot = fc.constantFrom(".", "。", "．", "｡", "%2e");
    fc.assert(
      fc.property(fc.domain(), suffix, dot, fc.constantFrom("", "."), (name, tail, by, end) => {
        const host = `${name}${by}${tail}${end}`;
        expect(checked(`https://${host}/`, PUBLIC)).toContain("[must have a public host");
      }),
    );
  });
});

/** Pieces that URL parsers disagree on, in any order. */
const wild = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "https://",
        "http://",
        "service:",
        "CRM",
        "a.example",
        "relay.example.com",
        "localhost",
        "127.0.0.1",
        "0x7f",
        "[::1]",
        ":",
        "@",
        "/",
        "//",
        "?",
        "#",
        ".",
        "..",
        "%2e",
        "%40",
        "\\",
        "\t",
        "。",
        "8443",
        "xn--",
        "_",
        "-",
        "é",
        "\ud800",
      ),
      fc.string({ unit: "binary", maxLength: 4 }),
    ),
    { maxLength: 9 },
  )
  .map((pieces) => pieces.join(""));

function expectAllowed(check: TargetCheck & { ok: true }, rules: TargetRules): void {
  expect(checkTarget(check.url, rules)).toEqual(check);
  const { protocol, username, password, hash, host, pathname } = new URL(check.url);
  expect({ username, password, hash }).toEqual({ username: "", password: "", hash: "" });
  expect(host).not.toBe(rules.relayHost);
  if (check.target.kind === "service") {
    expect(rules.services).toContain(check.target.binding);
    expect(pathname).toContain("/");
  } else if (!rules.allowPrivate) {
    expect(protocol).toBe("https:");
    expect(host).toMatch(/^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d{4,5})?$/);
  }
}

describe("any text", () => {
  it("is refused with a sentence, or accepted in a form that keeps every rule and passes again unchanged", () => {
    const text = fc.oneof(
      wild,
      wild.map((tail) => `https://a.example${tail}`),
      fc.webUrl(),
    );
    fc.assert(
      fc.property(text, fc.constantFrom(PUBLIC, PRIVATE), (given, rules) => {
        const check = checkTarget(given, rules);
        if (!check.ok) expect(check.reason).toMatch(/^must /);
        else expectAllowed(check, rules);
      }),
      { numRuns: 3_000 },
    );
  });

  it("is never repeated in a reason", () => {
    const secret = "s3cr3t";
    for (const url of [
      `https://user:${secret}@a.example/`,
      `https://${secret}@[/`,
      `https://u:${secret}/x@a.example/`,
      `http://a.example/?${secret}`,
      `https://localhost/?t=${secret}`,
      `${secret}://x`,
      `service:${secret}/x`,
      `service:CRM?${secret}`,
      `https://a.example/?${secret}#`,
    ]) {
      expect(checked(url, PUBLIC)).toMatch(/^\[must /);
      expect(checked(url, PUBLIC)).not.toContain(secret);
    }
  });
});

describe("an origin", () => {
  it.each([
    ["https://a.example/x", "https://a.example/y?z", true],
    ["https://a.example/", "https://a.example:443/", true],
    ["http://a.example/", "http://a.example:80/", true],
    ["https://a.example/", "http://a.example/", false],
    ["https://a.example/", "https://a.example:8443/", false],
    ["https://a.example/", "https://b.example/", false],
    ["https://a.example/", "https://x.a.example/", false],
    ["service:CRM/x", "service:CRM/y?z", true],
    ["service:CRM/", "service:ORDERS_VPC/", false],
    ["service:CRM/", "service:CRM2/", false],
    ["service:CRM/", "https://crm/", false],
    ["not a url", "not a url", false],
    ["data:x", "data:x", false],
  ])("of %j and %j is the same: %j", (a, b, same) => {
    expect(sameOrigin(a, b)).toBe(same);
    expect(sameOrigin(b, a)).toBe(same);
  });
});

describe("a masked URL", () => {
  it.each([
    ["https://a.example/x?token=1", "https://a.example/x?…"],
    ["https://a.example/?a?b", "https://a.example/?…"],
    ["https://a.example/x", "https://a.example/x"],
    ["service:CRM/x?token=1", "service:CRM/x?…"],
    ["", ""],
  ])("shows %j as %j, and stays so", (url, masked) => {
    expect(maskQuery(url)).toBe(masked);
    expect(maskQuery(masked)).toBe(masked);
  });
});
