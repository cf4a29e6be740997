import { describe, expect, it, onTestFinished, vi } from "vitest";
import { addressOf, mentions, normalAddress, sameAddress } from "../../src/domain/address";

const ava = { local: "ava", domain: "acme.example" };
const body = (data: unknown) =>
  new TextEncoder().encode(JSON.stringify({ event: "message.sent", data }));
const finds = (data: unknown, wanted = "ava@acme.example") => {
  const address = addressOf(wanted);
  return address !== null && mentions(body(data), address);
};

describe("an address", () => {
  it.each([
    "ava@acme.example",
    " Ava@Acme.Example ",
    "Ava <ava@acme.example>",
    "mailto:ava@acme.example",
    "ava@acme.example.",
    "a\u200Bva@acme\u00AD.example",
    "a\u034Fva\uFE0F@acme\u3164.example",
  ])("has one normal form: %j", (written) => {
    expect(addressOf(written)).toEqual(ava);
    expect(finds({ lead: { email: written } })).toBe(true);
  });

  it.each(["ΝΙΚΟΣ.ΠΑΠΑΣ@acme.gr", "νικος.παπας@acme.gr", "νικοσ.παπασ@acme.gr"])(
    "in Greek is the same, whichever sigma it is written with: %j",
    (written) => {
      const wanted = addressOf("Νικος.Παπας@acme.gr");
      expect(wanted && sameAddress(addressOf(written), wanted)).toBe(true);
      expect(finds({ text: `an ${written}.` }, "Νικος.Παπας@acme.gr")).toBe(true);
    },
  );

  it("in Greek is shown as it is written", () => {
    expect(normalAddress("Νίκος@acme.gr")).toBe("νίκος@acme.gr");
  });

  it("in Greek has the domain that it is written with", () => {
    const written = "νικος@νικος.gr";
    expect(addressOf(written)?.domain).toBe("xn--uxachkp.gr");
    expect(finds({ text: written }, "νικος@xn--uxachkp.gr")).toBe(true);
    expect(finds({ text: "νικος@νικοσ.gr" }, written)).toBe(false);
  });

  it.each(["", "ava", "@acme.example", "ava@", "ava@."])("is none: %j", (text) => {
    expect(addressOf(text)).toBeNull();
  });

  it.each([
    "ava@acme.example, bo@b.example",
    "ava@acme.example; bo@b.example",
    "ava@acme.example bo@b.example",
    "Ava ava@acme.example",
    "ava@acme.example (Ava)",
    "Ava <ava@acme.example> (work)",
    "ava@acme.example,",
    "'ava@acme.example'",
    '"ava@acme.example"',
    "to:ava@acme.example",
    "“ava@acme.example”",
    "‘ava@acme.example’",
    "«ava@acme.example»",
    "'ava@acme.example",
    "ava@acme.example’",
    "ava@acme.example!",
  ])("is not one, so that nobody takes it for a person of whom there is nothing: %j", (text) => {
    expect(addressOf(text)).toBeNull();
  });

  it("may have a local part in quotes", () => {
    expect(finds({ email: '"ava, or bo"@acme.example' }, '"Ava, or Bo"@acme.example')).toBe(true);
  });
});

describe("a body", () => {
  it.each<[string, unknown]>([
    ["in data.email", { email: "ava@acme.example" }],
    ["in data.to", { to: ["bo@acme.example", "ava@acme.example"] }],
    ["in a lead that is text", { lead: "Ava <AVA@acme.example>" }],
    [
      "in a list of leads",
      { leads: [{ email: "bo@acme.example" }, { email: "ava@acme.example" }] },
    ],
    ["in the middle of a sentence", { note: "Write to ava@acme.example, please." }],
    ["in a query", { link: "https://a.example/?to=ava@acme.example&x=1" }],
    ["escaped in a query", { link: "https://a.example/?to=Ava%40acme.example&x=1" }],
    ["escaped whole", { link: "https://a.example/?to=%22Ava%22%20%3Cava%40acme%2Eexample%3E" }],
    ["behind what is escaped", { link: "https://a.example/?q=to%3Dava@acme.example&x=%ff" }],
    ["at the beginning of a line", { text: "write to\nava@acme.example" }],
    ["at the end of a line", { text: "ava@acme.example\r\nThanks" }],
    ["between tabs", { text: "bo@b.example\tava@acme.example\tx" }],
    ["before dots", { text: "I am ava@acme.example...and here" }],
    ["before hyphens", { text: "ava@acme.example-- Ava" }],
    ["in a quotation", { text: '"ava@acme.example"\\' }],
    ["in JSON within JSON", { raw: JSON.stringify({ text: "write to\nava@acme.example" }) }],
    ["as a key", { "ava@acme.example": 1 }],
    [
      "in the link of a link",
      { link: "https://a.example/?u=https%3A%2F%2Fb.example%2F%3Fto%3Dava%2540acme.example" },
    ],
    ["in HTML", { text: "Hi ava&#64;acme.example, bye" }],
    ["in HTML, in hexadecimal", { text: "<p>ava&#x40;acme&#x2E;example</p>" }],
    ["in HTML, by names", { text: "Ava &lt;ava&commat;acme&period;example&gt;" }],
    ["in HTML, letter by letter", { text: "&#97;&#118;&#97;&#64;&#97;cme.example" }],
    ["in HTML that keeps it from being a link", { text: "ava&zwnj;@acme&#8203;.example" }],
    ["in full-width letters", { email: "\uFF41\uFF56\uFF41\uFF20acme\uFF0Eexample" }],
    ["in full-width letters, escaped", { link: "?to=ava%EF%BC%A0acme.example" }],
    ["behind a full-width dash", { text: "\u30E1\u30FC\u30EB\uFF0Dava@acme.example" }],
    ["in quoted-printable", { text: "ava=40acme.example" }],
    ["in quoted-printable, broken", { text: "Please write to ava@acm=\r\ne.example" }],
    ["in quoted-printable, in brackets", { text: "From: Ava =3Cava@acme.example=3E" }],
    ["in quoted-printable, behind a space", { text: "Gr=C3=BC=C3=9Fe=20ava@acme.example" }],
    ["in quoted-printable, after a letter", { text: "to=3Dava@acme.example" }],
    ["in HTML in quoted-printable", { text: '<a class=3D"x">ava&#6=\r\n4;acme.example</a>' }],
    ["in single quotes", { text: "repr: {'email': 'ava@acme.example'}" }],
    ["in single quotes behind a letter", { text: "b'ava@acme.example'" }],
    ["behind an elision", { text: "R\u00e9ponse d'ava@acme.example" }],
    ["before an underscore", { file: "ava@acme.example_2026.pdf" }],
    ["in an encoded word", { from: "=?UTF-8?Q?Ava_=3Cava=40acme.example=3E?=" }],
  ])("is a person's when the address stands %s", (_, data) => {
    expect(finds(data)).toBe(true);
  });

  it.each<[string, unknown]>([
    ["a longer local part", { email: "java@acme.example" }],
    ["a longer local part, escaped", { link: "https://a.example/?to=java%40acme.example" }],
    ["a local part with a dot", { email: "x.ava@acme.example" }],
    ["a longer domain", { email: "ava@acme.example.org" }],
    ["a subdomain", { email: "ava@mail.acme.example" }],
    ["a letter outside the BMP before it", { email: "\u{1D44E}ava@acme.example" }],
    ["digits before it in a query", { link: "https://a.example/?to=20ava@acme.example" }],
    ["a longer local part in HTML", { text: "j&#97;va&#64;acme.example" }],
    ["a longer local part in quoted-printable", { text: "java=40acme.example" }],
    ["a longer domain in HTML", { text: "ava&#64;acme.example&#46;org" }],
    ["a longer domain in quoted-printable", { text: "ava=40acme.example=2Eorg" }],
    ["a number that is no letter", { text: "ava&#9999999;acme.example" }],
  ])("is not when it has %s", (_, data) => {
    expect(finds(data)).toBe(false);
  });

  it("is not when an apostrophe makes the local part longer", () => {
    expect(finds({ email: "o'brien@acme.example" }, "brien@acme.example")).toBe(false);
    expect(finds({ email: "O\u2019Brien <o\u2019brien@acme.example>" }, "brien@acme.example")).toBe(
      false,
    );
    expect(finds({ email: "o'brien@acme.example" }, "o'brien@acme.example")).toBe(true);
  });

  it.each([
    ["o'brien@acme.example", "Write to o&apos;brien@acme.example"],
    ["r&d@acme.example", '<a href="mailto:r&amp;d@acme.example">'],
    ["ava+news@acme.example", "&lt;ava&plus;news&commat;acme&period;example&gt;"],
    ["ava_chen@acme.example", "ava&lowbar;chen&commat;acme.example"],
    ['"ava chen"@acme.example', "&quot;ava chen&quot;@acme.example"],
  ])("is %s in HTML that names what is in it: %s", (wanted, text) => {
    expect(finds({ text }, wanted)).toBe(true);
  });

  it("is a person's when the domain has an underscore", () => {
    expect(finds({ email: "ava@mail_eu.acme.example" }, "ava@mail_eu.acme.example")).toBe(true);
    expect(finds({ email: "ava@mail_eu.acme.example" }, "ava@mail.acme.example")).toBe(false);
  });

  it("is a person's when the domain is an address in brackets", () => {
    for (const address of ["ava@[192.0.2.7]", "ava@[IPv6:2001:db8::7]"]) {
      expect(finds({ text: `Write to ${address}, please.` }, address)).toBe(true);
    }
    expect(finds({ email: "ava@[192.0.2.7]" }, "ava@[192.0.2.70]")).toBe(false);
    expect(finds({ email: "java@[192.0.2.7]" }, "ava@[192.0.2.7]")).toBe(false);
  });

  it("is given in full-width letters, too", () => {
    expect(finds({ email: "ava@acme.example" }, "\uFF41va\uFF20acme\uFF0Eexample")).toBe(true);
    expect(finds({ email: "\uFF4Aava\uFF20acme.example" })).toBe(false);
  });

  it("takes composed letters, and a domain as its punycode", () => {
    expect(finds({ email: "zoe\u0308@acme.example" }, "zo\u00EB@acme.example")).toBe(true);
    expect(finds({ email: "zoe\u034F\u0308@acme.example" }, "zo\u00EB@acme.example")).toBe(true);
    expect(finds({ email: "ava@b\u00FCcher.example" }, "ava@xn--bcher-kva.example")).toBe(true);
    expect(finds({ email: "ava@xn--bcher-kva.example" }, "ava@B\u00DCCHER.example")).toBe(true);
  });

  it("is a person's when it stands in the first of two keys of one name", () => {
    const body = '{"email":"ava@acme.example","email":"bo@b.example"}';
    expect(mentions(body, ava)).toBe(true);
  });

  it("is a person's, or not, by what escapes of JSON mean", () => {
    expect(mentions('{"email":"\\u0061va\\u0040acme.example"}', ava)).toBe(true);
    expect(mentions('{"email":"ava@acme.example\\u002eorg"}', ava)).toBe(false);
    expect(mentions('{"email":"j\\u0061va@acme.example"}', ava)).toBe(false);
  });

  it("is searched as text where it is no JSON", () => {
    expect(mentions("hello\nava@acme.example\nbye", ava)).toBe(true);
    expect(mentions(new TextEncoder().encode('{"to":"Ava@acme.example'), ava)).toBe(true);
  });

  it("is looked for in what is full of addresses without reading each domain as that of a URL", () => {
    const parse = vi.spyOn(URL, "parse");
    onTestFinished(() => parse.mockRestore());
    expect(finds({ text: "a@a".repeat(40_000).replaceAll("aa", "a,a") }, "a@acme.example")).toBe(
      false,
    );
    expect(finds({ text: "a@".repeat(59_000) }, "a@acme.example")).toBe(false);
    expect(parse.mock.calls.length).toBeLessThan(10);
  });
});
