/**
 * Takes secrets out of what a service answered: a debug page may echo the request, in whatever spelling its template
 * engine, JSON encoder or URL library gives it.
 */

const REDACTED = "***";
/** What is left of a secret that the end of the text cut in two is taken out from this length on. */
const MIN_CUT_CHARACTERS = 4;
/** So much of a long secret tells it from anything else. */
const MAX_CUT_CHARACTERS = 256;
/** The longest spelling of one character, such as `&#x0003D;`. */
const MAX_SPELLING_CHARACTERS = 10;
const NAMED_ENTITIES: Record<string, string> = {
  "&": "amp",
  "<": "lt",
  ">": "gt",
  '"': "quot",
  "'": "apos",
};

/**
 * @param secrets printable ASCII, not empty.
 * @param truncated whether the text goes on behind its end.
 * @returns the text with each secret, and what the end left of one, as `***`.
 */
export function redact(text: string, secrets: readonly string[], truncated: boolean): string {
  let clean = text;
  // The longest first: what another one begins or holds would leave the rest of it.
  for (const secret of secrets.toSorted((a, b) => b.length - a.length)) {
    if (!/[A-Za-z0-9]/.test(secret)) {
      clean = clean.replaceAll(secret, REDACTED);
    } else if (mayContain(clean, secret)) {
      clean = clean.replaceAll(new RegExp(Array.from(secret, spellings).join(""), "g"), REDACTED);
    }
    if (truncated) clean = withoutCut(clean, secret);
  }
  return clean;
}

/** Letters and digits are spelled one way only, so a run of them is in the text or the secret is not. */
function mayContain(text: string, secret: string): boolean {
  if (text.length < secret.length) return false;
  const longest = (secret.match(/[A-Za-z0-9]+/g) ?? [""]).reduce((a, b) =>
    b.length > a.length ? b : a,
  );
  return text.includes(longest);
}

/** Plain or escaped, in JSON, in a URL or a form, in HTML by name or number: as a pattern. */
function spellings(character: string): string {
  if (/[A-Za-z0-9]/.test(character)) return character;
  const code = character.charCodeAt(0);
  if (code > 0x7f) {
    const unit = code.toString(16).padStart(4, "0");
    return `(?:\\u${unit}|\\\\u${unit}|${encodeURIComponent(character.toWellFormed())})`;
  }
  const digits = code.toString(16).padStart(2, "0");
  const hex = digits.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`);
  const ways = [`\\\\?\\x${digits}`, `%${hex}`, `&#0*${code};`, `&#[xX]0*${hex};`, `\\\\u00${hex}`];
  if (character === " ") ways.push("\\+");
  if (NAMED_ENTITIES[character] !== undefined) ways.push(`&${NAMED_ENTITIES[character]};`);
  return `(?:${ways.join("|")})`;
}

/** The text without the beginning of a secret that it ends with. */
function withoutCut(text: string, secret: string): string {
  const characters = Array.from(
    secret.slice(0, MAX_CUT_CHARACTERS),
    (character) => new RegExp(spellings(character), "y"),
  );
  const first = Math.max(0, text.length - secret.length * MAX_SPELLING_CHARACTERS);
  for (let start = first; start <= text.length - MIN_CUT_CHARACTERS; start++) {
    if (endsWithin(text, start, characters)) return text.slice(0, start) + REDACTED;
  }
  return text;
}

/** Whether the text from `start` to its end is the beginning of the secret, the last spelling perhaps cut itself. */
function endsWithin(text: string, start: number, characters: readonly RegExp[]): boolean {
  let index = start;
  for (const character of characters) {
    if (index >= text.length) return true;
    character.lastIndex = index;
    if (!character.test(text))
      return index - start >= MIN_CUT_CHARACTERS && isCut(text.slice(index));
    index = character.lastIndex;
  }
  // The text goes on as the rest of a long secret does; a whole one has been taken out before.
  return characters.length === MAX_CUT_CHARACTERS;
}

/** The beginning of an escape that the end of the text cut: `%`, `&#x3`, `\u00`. */
function isCut(rest: string): boolean {
  return rest.length < MAX_SPELLING_CHARACTERS && /^(?:%[\dA-Fa-f]?|&#?\w*|\\u?\w*)$/.test(rest);
}
