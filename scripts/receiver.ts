/**
 * An internal service that takes what the relay delivers: a real HTTP server on 127.0.0.1 that records every
 * request, checks both signatures and answers as it is told to, well or badly.
 *
 *   npm run receiver -- --port 9000
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import { Misuse, readOptions, readPort, readWholeNumber, runCommand } from "./command.ts";
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

const DEFAULT_PORT = 9_000;
/** The service is gone for good: the relay disables its webhook. */
const GONE = 410;
const MAX_DELAY_MS = 600_000;

const USAGE = `A service on 127.0.0.1 that takes deliveries, prints one line for each and checks the signatures.

  npm run receiver -- [options]

  --port N          default ${DEFAULT_PORT}
  --secret whsec_…  the webhook's signing secret, as the relay answered at registration; or RECEIVER_SECRET
  --fail N          answers the first N requests with 503, or with --status
  --status CODE     answers every request with this status; with --fail, the first N only
  --gone            answers 410: the relay disables the webhook
  --delay MS        waits so long before each answer
  --hang            never answers`;

/** How a receiver of the command line behaves. @throws Misuse for what makes no sense. */
export function parseBehaviour(args: readonly string[]): {
  port: number;
  secret: string | undefined;
  behaviour: Behaviour;
} {
  const { values } = readOptions(args, {
    port: { type: "string", default: String(DEFAULT_PORT) },
    secret: { type: "string" },
    fail: { type: "string" },
    status: { type: "string" },
    gone: { type: "boolean", default: false },
    delay: { type: "string", default: "0" },
    hang: { type: "boolean", default: false },
  });
  const secret = values.secret ?? process.env.RECEIVER_SECRET;
  if (secret !== undefined && !secret.startsWith(SECRET_PREFIX)) {
    throw new Misuse(`--secret must start with ${SECRET_PREFIX}.`);
  }
  const chosen = [values.hang, values.gone, values.status !== undefined].filter(Boolean);
  if (chosen.length > 1) throw new Misuse("One of --status, --gone and --hang, not several.");
  const delayMs = readWholeNumber("--delay", values.delay, [0, MAX_DELAY_MS]);
  const failures =
    values.fail === undefined ? null : readWholeNumber("--fail", values.fail, [0, 99_999]);
  const told = values.gone ? GONE : null;
  const given =
    values.status === undefined ? told : readWholeNumber("--status", values.status, [200, 599]);
  const status = given ?? (failures === null ? 200 : 503);
  return {
    port: readPort(values.port),
    secret,
    behaviour: ({ number }) => {
      const isOver = failures !== null && number > failures;
      if (values.hang && !isOver) return "hang";
      return { status: isOver ? 200 : status, delayMs };
    },
  };
}

async function main(args: string[]): Promise<number> {
  const { port, secret, behaviour } = parseBehaviour(args);
  const { url } = await startReceiver({
    ...(secret === undefined ? {} : { secret }),
    behaviour,
    port,
    onRequest: printRequest,
  }).catch((thrown: Error) => {
    throw new Misuse(
      `Port ${port} cannot be used (${thrown.message}); choose another one with --port.`,
    );
  });
  const unchecked = secret === undefined ? "; signatures are not checked without --secret" : "";
  console.log(`Receiving at ${url}/ (Ctrl-C stops it)${unchecked}`);
  return 0;
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
    styleText(statusOf(answer) === 200 ? "green" : "yellow", `→ ${statusOf(answer)}`),
  ];
  console.log(cells.join("  "));
}

function statusOf(answer: Answer): number | string {
  return typeof answer === "object" ? answer.status : answer;
}

if (import.meta.main) await runCommand(USAGE, main);
