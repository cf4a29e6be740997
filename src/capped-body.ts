/** Reads bodies without holding more of them in memory than is allowed. */
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { isSafe } from "./access";

/** More than any form or call of the API needs. */
const MAX_REQUEST_BYTES = 256 * 1024;

/** Refuses bodies that are too large before they are in memory. @param refuse makes the answer. */
export function capBody(refuse: (c: Context, limitBytes: number) => Response | Promise<Response>) {
  return createMiddleware(async (c, next) => {
    // A GET has none, and may be sent with `Content-Length: 0`.
    if (isSafe(c.req.method) || c.req.raw.body === null) return next();
    const body = await readCapped(c.req.raw, MAX_REQUEST_BYTES);
    if (body === null) return refuse(c, MAX_REQUEST_BYTES);
    c.req.raw = new Request(c.req.raw, { body });
    return next();
  });
}

/**
 * The body; null when it is too large. One whose length is told is read in one piece, because no more can follow
 * (RFC 9112 §6.3); any other is counted while it is read.
 */
export async function readCapped(request: Request, maxBytes: number): Promise<Uint8Array | null> {
  const told = request.headers.get("content-length");
  if (told === null || !/^\d{1,15}$/.test(told) || Number(told) > maxBytes) {
    return request.body === null ? new Uint8Array() : readCounting(request.body, maxBytes);
  }
  const body = new Uint8Array(await request.arrayBuffer());
  return body.length > maxBytes ? null : body;
}

async function readCounting(
  stream: ReadableStream<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array | null> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maxBytes) {
      await reader.cancel();
      return null;
    }
    chunks.push(value);
  }
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  return body;
}
