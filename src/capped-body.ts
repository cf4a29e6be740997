/** Reads bodies without holding more of them in memory than is allowed. */
import type { Context, Env as HonoEnv } from "hono";
import { createMiddleware } from "hono/factory";
import { isSafe } from "./access";
import { inTime } from "./deadline";
import { type FailureOf, fail, ok, type Result } from "./domain/failure";

/** More than any form or call of the API needs. */
const MAX_REQUEST_BYTES = 256 * 1024;

/** For how long a body is waited for: who sends one that never ends holds a request, with a key or without. */
const WHOLE_WITHIN_MS = 60_000;

type BodyFailure = FailureOf<"payload_too_large" | "incomplete_body">;

/**
 * Refuses bodies that are too large before they are in memory, and those that end half-way.
 *
 * @param patienceMs for how long a body is waited for, where that is less than from anybody.
 */
export function capBody<E extends HonoEnv>(
  refuse: (c: Context, failure: BodyFailure) => Response | Promise<Response>,
  patienceMs: (c: Context<E>) => Promise<number | undefined> = async () => undefined,
) {
  return createMiddleware<E>(async (c, next) => {
    // A GET has none, and may be sent with `Content-Length: 0`.
    if (isSafe(c.req.method) || c.req.raw.body === null) return next();
    const body = await readCapped(c.req.raw, MAX_REQUEST_BYTES, await patienceMs(c));
    if (!body.ok) return refuse(c, body.failure);
    c.req.raw = new Request(c.req.raw, { body: body.value });
    return next();
  });
}

/**
 * The body. One whose length is told is read in one piece, because no more can follow (RFC 9112, 6.3), and not read at
 * all when that is too much; any other is counted while it is read.
 *
 * @returns `incomplete_body` when the client went away before it was whole, or it was not whole in time.
 */
export async function readCapped(
  request: Request,
  limitBytes: number,
  withinMs = WHOLE_WITHIN_MS,
): Promise<Result<Uint8Array, BodyFailure["code"]>> {
  const told = request.headers.get("content-length") ?? "";
  const isTold = /^\d{1,15}$/.test(told);
  if (isTold && Number(told) > limitBytes) return fail({ code: "payload_too_large", limitBytes });
  try {
    const reading = isTold ? request.bytes() : readCounting(request.body, limitBytes);
    const body = await inTime<Uint8Array | null>(reading, withinMs);
    if (body !== null && body.length <= limitBytes) return ok(body);
    return fail({ code: "payload_too_large", limitBytes });
  } catch {
    return fail({ code: "incomplete_body" });
  }
}

async function readCounting(stream: ReadableStream<Uint8Array> | null, maxBytes: number) {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Whoever leaves the loop cancels the stream.
  for await (const chunk of stream ?? []) {
    length += chunk.length;
    if (length > maxBytes) return null;
    chunks.push(chunk);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
