/**
 * E-mail addresses as people write them, in one normal form: what erasure and search compare.
 *
 * Both sides are taken NFC, without invisible characters, full-width letters as the narrow ones, the local part without regard to case, the domain as
 * punycode in lower case without a dot at the end. An address stands in a text as a whole: `java@a.example` is not
 * `ava@a.example`.
 */

/** The two parts in normal form. */
export type Address = { local: string; domain: string };

/** A line end or a tab is seen: it ends what stands before it. */
const INVISIBLE = /[\p{Cf}\p{Default_Ignorable_Code_Point}]|(?![\s\u0085])\p{Cc}/gu;
/** What would make a local part longer; anything else before it begins the address. */
const OF_LOCAL = /[\p{L}\p{N}._%+-]/u;
/** `<o'brien`: a local part from its beginning on. Behind a blank it may be an elision, as in `d'ava@…`. */
const IN_LOCAL = /(?:^|["<:;,=(])[\p{L}\p{N}._%+-]+['\u2019]$/u;
const MAX_LOCAL_CHARACTERS = 64;
/** A name as it is written, or with an underscore: no host has one, and some addresses do. Or an address in brackets. */
const DOMAINS = [
  ...["\\p{L}\\p{N}\\p{M}", "\\p{L}\\p{N}\\p{M}_"].map((letters) => {
    const label = `[${letters}]+(?:-+[${letters}]+)*`;
    return new RegExp(`^${label}(?:[.\u3002\uFF0E\uFF61]${label})*`, "u");
  }),
  /^\[[a-z\d.:]+\]/,
];
/** As an input method for Chinese, Japanese or Korean types what is narrow in ASCII. */
const FULL_WIDTH = /[\uFF01-\uFF5E]/g;
const WIDER_BY = 0xfee0;
/** Of JSON. */
const ESCAPE = /\\(?:u([\dA-Fa-f]{4})|(.))/g;

/** What else stands in a text makes it several addresses, or one with words around it: neither stands anywhere as a whole. */
const ONE =
  /^(?:".+"|(?!['\u2019])[^\s"\u2018\u201C-\u201F«»‹›(),:;<>@[\]\\]+)@[^\s"'\u2018-\u201F«»‹›!(),;<>@\\]+$/;

const ENTITY =
  /&(?:#(\d{1,7});?|#[xX]([\da-fA-F]{1,6});|(amp|apos|commat|lowbar|period|plus|quot|shy|zwnj|zwj);)/g;
/** What is invisible goes: it keeps an address from becoming a link. */
const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  apos: "'",
  commat: "@",
  lowbar: "_",
  period: ".",
  plus: "+",
  quot: '"',
};

/** @param text may have a name and brackets, `mailto:`, spaces around it. @returns null when it is not one address. */
export function addressOf(text: string): Address | null {
  const plain = narrowOf(plainOf(text)).trim();
  const bare = (/<([^<>]*)>$/.exec(plain)?.[1] ?? plain).trim().replace(/^mailto:/, "");
  const at = bare.lastIndexOf("@");
  const domain = ONE.test(bare) ? domainOf(bare.slice(at + 1)) : null;
  return domain === null ? null : { local: bare.slice(0, at), domain };
}

/** As text, which is its own normal form; null when it is no address. */
export function normalAddress(text: string): string | null {
  const address = addressOf(text);
  return address && `${address.local}@${address.domain}`;
}

export function sameAddress(a: Address | null, b: Address): boolean {
  return a !== null && oneSigma(a.local) === oneSigma(b.local) && a.domain === b.domain;
}

/**
 * Whether the address stands in any string of a body, keys included, also of a key that stands twice, also in a string
 * that is JSON itself; in a body that is no JSON, in its text.
 */
export function mentions(body: Uint8Array | string, address: Address): boolean {
  const text = typeof body === "string" ? body : new TextDecoder().decode(body);
  const strings = text.replace(ESCAPE, meaningOf);
  if (standsIn(strings, address)) return true;
  return strings.includes("\\") && standsIn(strings.replace(ESCAPE, meaningOf), address);
}

function meaningOf(_: string, unit: string | undefined, character: string): string {
  if (unit !== undefined) return String.fromCharCode(Number.parseInt(unit, 16));
  return "bfnrt".includes(character) ? "\n" : character;
}

/** As it is, or as a mail has it. */
function standsIn(text: string, address: Address): boolean {
  if (isInOrEscaped(text, address)) return true;
  const read = ofHtml(ofQuotedPrintable(text));
  return read !== text && isInOrEscaped(read, address);
}

/** As it is, or escaped as in the query of a link, or of a link that a link leads to. */
function isInOrEscaped(text: string, address: Address): boolean {
  if (/[@\uFF20]/.test(text) && isIn(text, address)) return true;
  if (!text.includes("%")) return false;
  const once = unescaped(text);
  return isIn(once, address) || (once.includes("%") && isIn(unescaped(once), address));
}

/** Where nothing but an `=` and digits speaks for it, it is a query: `?n=20ava@…` is another's address. */
function ofQuotedPrintable(text: string): string {
  if (!/=(?:3[CDE]|40|[C-F][\dA-F]=[89AB]|[ \t]*\r?\n)/.test(text)) return text;
  const joined = text.replace(/=[ \t]*(?:\r?\n){1,2}/g, "");
  return unescaped(joined.replace(/=(?=[\dA-F]{2})/g, "%"));
}

function ofHtml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(ENTITY, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? "";
    const code = decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function isIn(text: string, address: Address): boolean {
  const plain = plainOf(text);
  if (isInPlain(plain, address)) return true;
  const narrow = narrowOf(plain);
  return narrow !== plain && isInPlain(narrow, address);
}

function isInPlain(plain: string, { local, domain }: Address): boolean {
  const wanted = `${oneSigma(local)}@`;
  const locals = oneSigma(plain);
  for (let at = locals.indexOf(wanted); at >= 0; at = locals.indexOf(wanted, at + 1)) {
    if (at > 0 && OF_LOCAL.test(characterBefore(plain, at))) continue;
    const rest = plain.slice(at + wanted.length);
    for (const run of new Set(DOMAINS.map((form) => form.exec(rest)?.[0] ?? ""))) {
      if (domainOf(run) !== domain) continue;
      const before = plain.slice(Math.max(0, at - MAX_LOCAL_CHARACTERS), at);
      // `b'ava@acme.example'` is a quotation all the same.
      if (!IN_LOCAL.test(before) || /^['\u2019]/.test(rest.slice(run.length))) return true;
    }
  }
  return false;
}

function unescaped(text: string): string {
  return text.replace(/(?:%[\dA-Fa-f]{2})+/g, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return escapes;
    }
  });
}

function characterBefore(text: string, at: number): string {
  return Array.from(text.slice(Math.max(0, at - 2), at)).at(-1) ?? "";
}

function plainOf(text: string): string {
  return text.replaceAll(INVISIBLE, "").normalize("NFC").toLowerCase();
}

/** Both are the small letter of Σ; in a domain they are two. */
function oneSigma(local: string): string {
  return local.replaceAll("ς", "σ");
}

function narrowOf(text: string): string {
  return text.replace(FULL_WIDTH, (wide) => String.fromCharCode(wide.charCodeAt(0) - WIDER_BY));
}

function domainOf(text: string): string | null {
  const domain = text.replace(/[.\u3002\uFF0E\uFF61]+$/, "");
  // Most are their own punycode: a text may have 60,000 of them.
  if (/^[a-z.-]+$/.test(domain)) return domain;
  return domain === "" ? null : (URL.parse(`http://${domain}/`)?.hostname ?? domain);
}
