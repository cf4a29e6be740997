/** Every identifier of the relay is made and parsed here; elsewhere it is an opaque branded string. */

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** `evt_` and 26 Crockford base32 digits; the same event has the same id on every machine. */
export type EventId = Branded<"EventId">;
/** `wh_` and a ULID: ids sort by creation. */
export type WebhookId = Branded<"WebhookId">;

const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ID_DIGITS = 26;
const BITS_PER_DIGIT = 5;
export const EVENT_ID = /^evt_[0-9A-HJKMNP-TV-Z]{26}$/;
export const WEBHOOK_ID = /^wh_[0-9A-HJKMNP-TV-Z]{26}$/;
/** What people call a webhook; never an id. */
export const WEBHOOK_NAME = /^[a-z][a-z0-9-]{0,62}$/;
const ULID_TIME_DIGITS = 10;
const ULID_RANDOM_BYTES = 10;

const utf8 = new TextEncoder();

/**
 * The event id (docs/contract.md): the first 130 bits of SHA-256(event name, NUL, key).
 *
 * @param key the idempotency key, well-formed text: lone surrogates would all hash alike.
 */
export async function eventIdOf(eventName: string, key: string): Promise<EventId> {
  const digest = await crypto.subtle.digest("SHA-256", utf8.encode(`${eventName}\0${key}`));
  return `evt_${crockford(new Uint8Array(digest), ID_DIGITS)}` as EventId;
}

/** @param random 16 random bytes: a test event's id, which stands for no event of the source. */
export function randomEventId(random: Uint8Array): EventId {
  const padded = new Uint8Array(17);
  padded.set(random.subarray(0, 16));
  return `evt_${crockford(padded, ID_DIGITS)}` as EventId;
}

export function parseEventId(text: string): EventId | null {
  return EVENT_ID.test(text) ? (text as EventId) : null;
}

/**
 * Of 48 bits of Unix milliseconds, then 80 random bits: https://github.com/ulid/spec
 *
 * @param random at least 10 random bytes.
 */
export function newWebhookId(nowMs: number, random: Uint8Array): WebhookId {
  const digits = nowMs.toString(32).padStart(ULID_TIME_DIGITS, "0");
  const time = digits.replace(/./g, (digit) => CROCKFORD.charAt(Number.parseInt(digit, 32)));
  return `wh_${time}${crockford(random.subarray(0, ULID_RANDOM_BYTES), 16)}` as WebhookId;
}

export function parseWebhookId(text: string): WebhookId | null {
  return WEBHOOK_ID.test(text) ? (text as WebhookId) : null;
}

/** The first `digits` × 5 bits of `bytes`, most significant first. */
function crockford(bytes: Uint8Array, digits: number): string {
  let text = "";
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= BITS_PER_DIGIT && text.length < digits) {
      bits -= BITS_PER_DIGIT;
      text += CROCKFORD.charAt((buffer >> bits) & 31);
    }
    buffer &= (1 << bits) - 1;
    if (text.length === digits) break;
  }
  return text;
}
