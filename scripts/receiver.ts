/**
 * An internal service that takes what the relay delivers: a real HTTP server on 127.0.0.1 that records every
 * request, checks both signatures and answers as it is told to, well or badly.
 *
 *   node scripts/receiver.ts --port 9000
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs, styleText } from "node:util";
import { closeServer, listen, readBody } from "./loopback.ts";

/** How far from now a `webhook-timestamp` may be; the tolerance of the Standard Webhooks libraries. */
const TIMESTAMP_TOLERANCE_SECONDS = 300;
const SECRET_PREFIX = "whsec_";

/** The handler's check as Leadterra's page shows it ("Webhook security"): throws when the lengths differ. */
export function verifySignature(
  rawBody: string | Uint8Array,
  signatureHeader: string,
  signingSecret: string,
): boolean {
  const expected = createHmac("sha256", signingSecret).update(rawBody).digest("hex");

  return timingSafeEqual(Buffer.from(expected), Buffer.from(signatureHeader));
}

/**
 * Standard Webhooks 1.0 by hand: one of the `v1,<base64>` in `webhook-signature` is the HMAC-SHA256 of
 * `<id>.<timestamp>.<body>`, keyed with the decoded bytes of the secret.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export function verifyStandard(
  body: Uint8Array,
  headers: IncomingHttpHeaders,
  secret: string,
  nowMs: number,
): boolean {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  const signatures = headers["webhook-signature"];
  if (typeof id !== "string" || typeof timestamp !== "string" || typeof signatures !== "string")
    return false;
  const ageSeconds = Math.abs(nowMs / 1_000 - Number(timestamp));
  if (!/^\d+$/.test(timestamp) || ageSeconds > TIMESTAMP_TOLERANCE_SECONDS) return false;
  const key = Buffer.from(secret.slice(SECRET_PREFIX.length), "base64");
  const mac = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  return signatures.split(" ").some((signature) => isEqual(signature, `v1,${mac}`));
}

function verifyLeadterra(body: Uint8Array, headers: IncomingHttpHeaders, secret: string): boolean {
  const header = headers["x-leadterra-signature"];
  if (typeof header !== "string") return false;
  try {
    return verifySignature(body, header, secret);
  } catch {
    return false;
  }
}

function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Whether each of the two signatures verifies. */
export type Signatures = { leadterra: boolean; standard: boolean };

/** A request as it came in. */
export type ReceivedRequest = {
  /** Counts this receiver's requests from 1. */
  number: number;
  /** Counts the requests with this `webhook-id` from 1. */
  numberOfEvent: number;
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  /** `webhook-id`; null when there is none. */
  eventId: string | null;
  body: Buffer;
  atMs: number;
  /** null when no secret is known. */
  signatures: Signatures | null;
  answer: Answer;
};

/** A status, or more of an answer; `hang` never answers, `reset` closes the connection. */
export type Answer =
  | number
  | { status: number; headers?: Record<string, string>; body?: string; delayMs?: number }
  | "hang"
  | "reset";

/** Decides how to answer a request. */
export type Behaviour = (request: Omit<ReceivedRequest, "answer">) => Answer;

export const good: Behaviour = () => 200;
export const hanging: Behaviour = () => "hang";

/** Fails its first `times` requests, then is good. */
export function failing(times: number, status = 503): Behaviour {
  return ({ number }) => (number <= times ? status : 200);
}

/** Fails the first `times` requests for each event, then is good. */
export function failingEachEvent(times: number, status = 503): Behaviour {
  return ({ numberOfEvent }) => (numberOfEvent <= times ? status : 200);
}

/** Answers as listed, then is good. */
export function scripted(answers: readonly Answer[]): Behaviour {
  return ({ number }) => answers[number - 1] ?? 200;
}

export type ReceiverOptions = {
  /** `whsec_…`, as the relay answered at registration; can be set later, with `receiver.secret`. */
  secret?: string;
  behaviour?: Behaviour;
  port?: number;
  /** Called before the request is answered. */
  onRequest?: (request: ReceivedRequest) => void;
};

export type Receiver = {
  url: string;
  /** In the order in which they were complete. */
  requests: ReceivedRequest[];
  secret: string | undefined;
  behaviour: Behaviour;
  /** Stops at once: open connections are cut. */
  close(): Promise<void>;
};

/** Starts a receiver on 127.0.0.1, on a free port unless one is given. */
export async function startReceiver(options: ReceiverOptions = {}): Promise<Receiver> {
  const { behaviour = good, secret, port: wantedPort, onRequest } = options;
  const countOfEvent = new Map<string | null, number>();
  const server = createServer((incoming, response) => {
    void receive(receiver, incoming, countOfEvent).then((request) => {
      if (request === null) return;
      receiver.requests.push(request);
      onRequest?.(request);
      return respond(response, request.answer);
    });
  });
  const port = await listen(server, wantedPort);
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}`,
    requests: [],
    secret,
    behaviour,
    close: () => closeServer(server),
  };
  return receiver;
}

/** @returns null when the connection broke before the body was complete. */
async function receive(
  receiver: Receiver,
  incoming: IncomingMessage,
  countOfEvent: Map<string | null, number>,
): Promise<ReceivedRequest | null> {
  const body = await readBody(incoming).catch(() => null);
  if (body === null) return null;
  const { headers, method = "", url: path = "" } = incoming;
  const { secret, requests, behaviour } = receiver;
  const atMs = Date.now();
  const header = headers["webhook-id"];
  const eventId = typeof header === "string" ? header : null;
  const numberOfEvent = (countOfEvent.get(eventId) ?? 0) + 1;
  countOfEvent.set(eventId, numberOfEvent);
  const request = {
    number: requests.length + 1,
    numberOfEvent,
    method,
    path,
    headers,
    eventId,
    body,
    atMs,
    signatures: secret === undefined ? null : checkSignatures(body, headers, secret, atMs),
  };
  return { ...request, answer: behaviour(request) };
}

/** Checks both signatures of a delivery with the webhook's signing secret. */
export function checkSignatures(
  body: Uint8Array,
  headers: IncomingHttpHeaders,
  secret: string,
  nowMs: number,
): Signatures {
  return {
    leadterra: verifyLeadterra(body, headers, secret),
    standard: verifyStandard(body, headers, secret, nowMs),
  };
}

async function respond(response: ServerResponse, answer: Answer): Promise<void> {
  if (answer === "hang") return;
  if (answer === "reset") {
    response.destroy();
    return;
  }
  const { status, headers, body, delayMs } =
    typeof answer === "number" ? { status: answer } : answer;
  if (delayMs !== undefined) await sleep(delayMs);
  response.writeHead(status, headers).end(body);
}

/** `both signatures verify`, or which does not. */
export function describeSignatures(signatures: Signatures | null): string {
  if (signatures === null) return "signatures not checked";
  const { leadterra, standard } = signatures;
  if (leadterra && standard) return "both signatures verify";
  const wrong = [leadterra ? "" : "X-Leadterra-Signature", standard ? "" : "webhook-signature"];
  return `WRONG ${wrong.filter((name) => name !== "").join(", ")}`;
}

const USAGE = `A service on 127.0.0.1 that takes deliveries, prints one line for each and checks the signatures.

  node scripts/receiver.ts [options]

  --port N          default 9000
  --secret whsec_…  the webhook's signing secret, as the relay answered at registration; or RECEIVER_SECRET
  --fail N          answer the first N requests with 503`;

async function runCommand(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: "string", default: "9000" },
      secret: { type: "string" },
      fail: { type: "string", default: "0" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const secret = values.secret ?? process.env.RECEIVER_SECRET;
  if (secret !== undefined && !secret.startsWith(SECRET_PREFIX)) {
    throw new Error(`--secret must start with ${SECRET_PREFIX}.`);
  }
  const port = parseCount("--port", values.port);
  const { url } = await startReceiver({
    ...(secret === undefined ? {} : { secret }),
    behaviour: failing(parseCount("--fail", values.fail)),
    port,
    onRequest: printRequest,
  }).catch((thrown: Error) => {
    throw new Error(
      `Port ${port} cannot be used (${thrown.message}); choose another one with --port.`,
    );
  });
  const unchecked = secret === undefined ? "; signatures are not checked without --secret" : "";
  console.log(`Receiving at ${url}/ (Ctrl-C stops it)${unchecked}`);
}

function parseCount(option: string, text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new Error(`${option} must be a whole number, not ${text}.`);
}

function printRequest({ path, headers, body, eventId, signatures, answer }: ReceivedRequest): void {
  const isGood = signatures === null || (signatures.leadterra && signatures.standard);
  const cells = [
    new Date().toLocaleTimeString("en-GB"),
    path.replace(/\?.*/, "?…"),
    String(headers["x-leadterra-event"] ?? "no event name").padEnd(16),
    eventId ?? "no webhook-id",
    styleText("dim", `attempt ${headers["x-relay-attempt"] ?? "?"}`),
    styleText("dim", `${body.length} bytes`),
    styleText(isGood ? "green" : "red", describeSignatures(signatures)),
    styleText(answer === 200 ? "green" : "yellow", `→ ${answer}`),
  ];
  console.log(cells.join("  "));
}

if (import.meta.main) {
  await runCommand(process.argv.slice(2)).catch((thrown: unknown) => {
    console.error(thrown instanceof Error ? thrown.message : thrown);
    process.exitCode = 2;
  });
}
