/**
 * What ingest cannot leave out, by hand and nothing more: read the body, verify the HMAC, look into KV, send to the
 * queue, answer, remember in KV. No framework, no parsing, no checks; the signature stands in for the event id.
 */
const HMAC = { name: "HMAC", hash: "SHA-256" };
/** What the relay reads and remembers with (src/storage/seen.ts, `IDEMPOTENCY_TTL`). */
const CACHE_TTL_SECONDS = 30;
const REMEMBER_SECONDS = 7 * 86_400;

type Bindings = Pick<Env, "IDEMPOTENCY" | "EVENTS"> & { LEADTERRA_SIGNING_SECRETS: string };

let key: Promise<CryptoKey> | null = null;

function importKey(secret: string): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", new TextEncoder().encode(secret), HMAC, false, ["verify"]);
}

async function accept(
  request: Request,
  env: Bindings,
  context: ExecutionContext,
): Promise<Response> {
  key ??= importKey(env.LEADTERRA_SIGNING_SECRETS);
  const signature = request.headers.get("x-leadterra-signature") ?? "";
  const body = new Uint8Array(await request.arrayBuffer());
  const signed = await crypto.subtle.verify("HMAC", await key, Buffer.from(signature, "hex"), body);
  if (!signed) return Response.json({}, { status: 401 });
  const seen = await env.IDEMPOTENCY.get(signature, { cacheTtl: CACHE_TTL_SECONDS });
  if (seen !== null) return Response.json({ id: signature, duplicate: true });
  await env.EVENTS.send(body, { contentType: "bytes" });
  context.waitUntil(env.IDEMPOTENCY.put(signature, signature, { expirationTtl: REMEMBER_SECONDS }));
  return Response.json({ id: signature, duplicate: false }, { status: 202 });
}

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  fetch: accept,
  /** Takes the messages and does nothing: what is measured is ingest. */
  queue: () => {},
} satisfies ExportedHandler<Bindings>;
