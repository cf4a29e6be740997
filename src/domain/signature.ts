/**
 * The two signatures: Leadterra's (`X-Leadterra-Signature`, hex HMAC-SHA256 of the raw body) and Standard
 * Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
 */
import { Buffer } from "node:buffer";
import { createHmac, createSecretKey } from "node:crypto";

const HMAC = { name: "HMAC", hash: "SHA-256" };
const SIGNATURE_HEX = /^[0-9a-fA-F]{64}$/;
const SECRET_PREFIX = "whsec_";
const SECRET_BYTES = 32;
/** The base64 of 24 to 64 bytes, without stray bits in its last digit: some libraries refuse to decode them. */
export const SECRET =
  /^whsec_(([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?|([A-Za-z0-9+/]{4}){21}([A-Za-z0-9+/][AQgw]==)?)$/;

const utf8 = new TextEncoder();

/** @param secret not empty: WebCrypto refuses an empty HMAC key. */
export function importHmacKey(secret: string | Uint8Array): Promise<CryptoKey> {
  const bytes = typeof secret === "string" ? utf8.encode(secret) : secret;
  return crypto.subtle.importKey("raw", bytes, HMAC, false, ["sign", "verify"]);
}

/**
 * Whether `header` signs `body` under any of `keys`. WebCrypto compares in constant time.
 * A header that is missing, doubled, prefixed or not 64 hex digits is just not a signature.
 */
export async function verifyLeadterra(
  keys: readonly CryptoKey[],
  header: string | null,
  body: Uint8Array,
): Promise<boolean> {
  if (header === null || !SIGNATURE_HEX.test(header)) return false;
  const signature = Buffer.from(header, "hex");
  for (const key of keys) {
    if (await crypto.subtle.verify("HMAC", key, signature, body)) return true;
  }
  return false;
}

/** As Leadterra signs. @param secret not empty. */
export function signLeadterra(secret: string, body: Uint8Array): string {
  return createHmac("sha256", secret).update(body).digest("hex");
}

/** Signs a delivery; made once for the live secrets of a webhook and kept while they live. */
export type Signer = ReturnType<typeof createSigner>;

/**
 * With node:crypto, whose calls are no promises: an attempt is signed and leaves in the same turn, so nothing that is
 * in force can change in between.
 *
 * @param secrets the live signing secrets, oldest first, at least one. Leadterra's header is keyed with the
 *   whole string of the oldest; Standard Webhooks with the decoded bytes of each, newest first.
 */
export function createSigner(secrets: readonly string[]) {
  const [oldest] = secrets;
  if (oldest === undefined) throw new Error("a signer needs at least one secret");
  const leadterraKey = createSecretKey(utf8.encode(oldest));
  const standardKeys = secrets.map((secret) => createSecretKey(secretBytes(secret))).reverse();
  return (eventId: string, unixSeconds: number, body: Uint8Array) => {
    const head = `${eventId}.${unixSeconds}.`;
    return {
      leadterra: createHmac("sha256", leadterraKey).update(body).digest("hex"),
      standard: standardKeys
        .map((key) => `v1,${createHmac("sha256", key).update(head).update(body).digest("base64")}`)
        .join(" "),
    };
  };
}

/** A new signing secret: `whsec_` and the base64 of 32 random bytes. */
export function newSecret(): string {
  const bytes = crypto.getRandomValues(Buffer.alloc(SECRET_BYTES));
  return SECRET_PREFIX + bytes.toString("base64");
}

export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  return Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).toString("hex");
}

/** Whether two secrets are equal, in a time that does not depend on where they differ. */
export async function secretsEqual(a: string, b: string): Promise<boolean> {
  const key = await importHmacKey(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));
  const mac = await crypto.subtle.sign("HMAC", key, utf8.encode(a));
  return crypto.subtle.verify("HMAC", key, mac, utf8.encode(b));
}

function secretBytes(secret: string): Uint8Array {
  return Buffer.from(secret.slice(SECRET_PREFIX.length), "base64");
}
