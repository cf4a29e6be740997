/** The only place where the relay makes a request to a service. */
import { Buffer } from "node:buffer";
import type { AttemptError, Outcome } from "../../domain/delivery";
import { redact } from "../../domain/redaction";
import { parseRetryAfter } from "../../domain/schedule";
import type { Target } from "../../domain/target";
import type { Deadlines } from "./deadlines";
import { Interruption, type Reply } from "./listener";

/** At most this much of an answer is read, decompressed: a debug page, not a download. */
const MAX_READ_BYTES = 16 * 1024;
const MAX_KEPT_OF_SUCCESS_BYTES = 1024;
const MAX_KEPT_HEADERS_BYTES = 1024;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/**
 * What the platform says when it will not make a request; the service has nothing to do with it.
 * https://developers.cloudflare.com/workers/platform/limits/#subrequests
 */
const REFUSALS = /too many subrequests|too many worker invocations|subrequest depth limit/i;
const RETRY_AFTER_STATUSES: ReadonlySet<number> = new Set([429, 503]);

export type Outgoing = {
  target: Target;
  headers: Record<string, string>;
  body: Uint8Array;
  /** In the turn in which it is signed, Unix milliseconds. */
  startedAtMs: number;
  timeoutMs: number;
  deadlines: Deadlines;
  /** Delivers over the socket of a listener, where the target is one. */
  overSocket: (signal: AbortSignal) => Promise<Reply>;
  /** What must not be kept of an answer that echoes the request. */
  secrets: () => readonly string[];
};

/** An outcome, and whether the platform would not make the request: this invocation has made its share. */
export type Answer = Outcome & { refused: boolean };

/**
 * Makes one request and never throws. The clock starts with the request; the status line must come within
 * `timeoutMs`, and the body is read within what is left of it and never changes the outcome.
 */
export async function send(outgoing: Outgoing, env: object): Promise<Answer> {
  const { startedAtMs } = outgoing;
  const deadline = outgoing.deadlines.begin(outgoing.timeoutMs);
  try {
    const response = await request(outgoing, env, deadline.signal);
    const succeeded = response.status >= 200 && response.status <= 299;
    const read = await readBody(response, succeeded ? MAX_KEPT_OF_SUCCESS_BYTES : MAX_READ_BYTES);
    const endedAtMs = Date.now();
    return {
      error: succeeded ? null : errorOf(response.status),
      statusCode: response.status,
      startedAtMs,
      durationMs: endedAtMs - startedAtMs,
      responseBody:
        read.text === null ? null : shown(read.text, outgoing.secrets(), read.truncated),
      responseTruncated: read.truncated,
      responseHeaders: succeeded ? null : headersOf(response, outgoing.secrets()),
      retryAfterMs: RETRY_AFTER_STATUSES.has(response.status)
        ? parseRetryAfter(response.headers.get("retry-after"), endedAtMs)
        : null,
      refused: false,
    };
  } catch (thrown) {
    const refused = thrown instanceof Error && REFUSALS.test(thrown.message);
    const isInterrupted = refused || thrown instanceof Interruption;
    const ranOut = deadline.signal.aborted;
    const error = ranOut ? "timeout" : "connection";
    return {
      ...unanswered(isInterrupted ? "interrupted" : error, startedAtMs),
      ranOut,
      durationMs: Date.now() - startedAtMs,
      refused,
    };
  } finally {
    outgoing.deadlines.end(deadline);
  }
}

/** Without secrets; nothing at all where they cannot be told apart: the status has decided. */
function shown(text: string, secrets: readonly string[], isTruncated: boolean): string | null {
  try {
    return redact(text, secrets, isTruncated);
  } catch {
    return null;
  }
}

export function unanswered(error: AttemptError, startedAtMs: number): Outcome {
  return {
    error,
    statusCode: null,
    startedAtMs,
    durationMs: 0,
    responseBody: null,
    responseTruncated: false,
    responseHeaders: null,
    retryAfterMs: null,
  };
}

function request(
  { target, headers, body, overSocket }: Outgoing,
  env: object,
  signal: AbortSignal,
): Promise<Reply> {
  if (target.kind === "listener") return overSocket(signal);
  const init: RequestInit = { method: "POST", headers, body, redirect: "manual", signal };
  if (target.kind === "http") return fetch(target.url, init);
  const service = (env as Record<string, Fetcher>)[target.binding];
  if (service === undefined) throw new Error("no such binding");
  return service.fetch(`https://${target.binding.toLowerCase()}${target.path}`, init);
}

/** Those that still fit, names and values; a cookie is a secret of the service. */
function headersOf(response: Reply, secrets: readonly string[]): Record<string, string> {
  const kept: [name: string, value: string][] = [];
  let left = MAX_KEPT_HEADERS_BYTES;
  for (const [name, value] of response.headers) {
    if (name === "set-cookie") continue;
    const clean = shown(value, secrets, false);
    if (clean === null) continue;
    const length = name.length + clean.length;
    if (length > left) continue;
    left -= length;
    kept.push([name, clean]);
  }
  return Object.fromEntries(kept);
}

function errorOf(status: number): AttemptError {
  return REDIRECTS.has(status) ? "redirect" : "status";
}

async function readBody(response: Reply, keepBytes: number) {
  // In this order: a stream is made when it is asked for.
  if (response.headers.get("content-length") === "0" || response.body === null) {
    return { text: null, truncated: false };
  }
  const reader = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  let complete = false;
  try {
    while (length <= MAX_READ_BYTES) {
      const { done, value } = await reader.read();
      if (done) {
        complete = true;
        break;
      }
      chunks.push(value);
      length += value.length;
    }
    if (!complete) await reader.cancel();
  } catch {
    // A body that stops half-way: what came is kept, and the status has already decided.
  }
  if (length === 0) return { text: null, truncated: !complete };
  const kept = Buffer.concat(chunks).subarray(0, keepBytes);
  // As of a stream: a character that is cut in two is left out.
  const text = new TextDecoder().decode(kept, { stream: true });
  return { text, truncated: !complete || length > keepBytes };
}
