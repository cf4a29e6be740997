/** A service that gets what the relay delivers: a real HTTP server that records each request and misbehaves at will. */
import { createHmac, timingSafeEqual } from "node:crypto";
import {
  createServer,
  type IncomingHttpHeaders,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Socket } from "node:net";
import { Webhook } from "standardwebhooks";
import { onTestFinished } from "vitest";
import { closeServer, listen, readBody } from "../../scripts/loopback.ts";
import { PATIENCE_MS } from "./api.ts";

export type ReceivedRequest = {
  method: string;
  /** Path and query. */
  path: string;
  headers: IncomingHttpHeaders;
  /** Names and values by turns, as they came. */
  rawHeaders: string[];
  body: Buffer;
  receivedAtMs: number;
  /** When an answer that ended was handed to the network; null before. */
  answeredAtMs: number | null;
  /** Of that answer. */
  answeredStatus: number | null;
};

/** What came in, and both ways to answer: as HTTP, or with any bytes on the wire. */
export type Exchange = { request: ReceivedRequest; response: ServerResponse; socket: Socket };

/** Answers one request, or does not. What it throws is ignored: the connection may be gone. */
export type Answer = (exchange: Exchange) => void | Promise<void>;

/** An answer as a service gives it. */
export function answering(
  status: number,
  { headers = {}, body = "" }: { headers?: Record<string, string>; body?: string | Buffer } = {},
): Answer {
  return ({ response }) => {
    response.writeHead(status, headers).end(body);
  };
}

/** The first request gets the first answer, and so on; the last answer stays. */
export function inTurn(...answers: [Answer, ...Answer[]]): Answer {
  let turn = 0;
  return (exchange) => {
    const answer = answers[Math.min(turn, answers.length - 1)] ?? answers[0];
    turn += 1;
    return answer(exchange);
  };
}

/** Bytes on the wire, and the end of the connection. */
export function raw(bytes: string | Buffer): Answer {
  return ({ socket }) => {
    socket.end(bytes);
  };
}

/** Bytes on the wire, then a reset once they are on their way. */
export function reset(bytes: string | Buffer = ""): Answer {
  return ({ socket }) => {
    if (bytes.length === 0) socket.resetAndDestroy();
    // Data that a reset overtakes is thrown away by the other side, so the bytes get a head start.
    else socket.write(bytes, () => setTimeout(() => socket.resetAndDestroy(), 100));
  };
}

export const silence: Answer = () => {};

/** Resolves when the other side hangs up. */
export function hungUp(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (socket.destroyed) resolve();
  else socket.once("close", () => resolve());
  return promise;
}

export class Receiver {
  readonly url: string;
  readonly requests: ReceivedRequest[] = [];
  /** Connections that have ended, by whoever ended them. */
  closedConnections = 0;
  answer: Answer;
  readonly #server: Server;
  #changed = Promise.withResolvers<void>();

  constructor(server: Server, port: number, answer: Answer) {
    this.#server = server;
    this.url = `http://127.0.0.1:${port}`;
    this.answer = answer;
    server.on("connection", (socket) => {
      socket.on("error", () => {});
      socket.on("close", () => {
        this.closedConnections += 1;
        this.#notify();
      });
    });
    server.on("request", async (incoming, response) => {
      const body = await readBody(incoming).catch(() => Buffer.alloc(0));
      const request: ReceivedRequest = {
        method: incoming.method ?? "",
        path: incoming.url ?? "",
        headers: incoming.headers,
        rawHeaders: incoming.rawHeaders,
        body,
        receivedAtMs: Date.now(),
        answeredAtMs: null,
        answeredStatus: null,
      };
      response.on("finish", () => {
        request.answeredAtMs = Date.now();
        request.answeredStatus = response.statusCode;
      });
      this.requests.push(request);
      this.#notify();
      try {
        await this.answer({ request, response, socket: incoming.socket });
      } catch {
        // The relay has hung up in the middle of the answer.
      }
    });
  }

  /** The first `count` requests, as soon as there are so many. */
  async received(count = 1): Promise<ReceivedRequest[]> {
    await this.#until(() => this.requests.length >= count, `${count} requests`);
    return this.requests.slice(0, count);
  }

  /** The request that came last, once there is one. */
  async last(): Promise<ReceivedRequest> {
    await this.received();
    return this.requests.at(-1) as ReceivedRequest;
  }

  /** Resolves when so many connections have ended. */
  disconnected(count = 1): Promise<void> {
    return this.#until(() => this.closedConnections >= count, `${count} closed connections`);
  }

  /** Does this first with each new connection, before anything is read. */
  onConnection(greet: (socket: Socket) => void): void {
    this.#server.prependListener("connection", greet);
  }

  /** Cuts what is open. */
  close(): Promise<void> {
    return closeServer(this.#server);
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #until(isTrue: () => boolean, what: string): Promise<void> {
    const patience = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => patience.reject(new Error(`waited in vain for ${what} at ${this.url}`)),
      PATIENCE_MS,
    );
    try {
      while (!isTrue()) await Promise.race([this.#changed.promise, patience.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Starts a receiver on a free port of 127.0.0.1; it stops with the test. */
export async function startReceiver(answer: Answer = answering(200)): Promise<Receiver> {
  const server = createServer({ requestTimeout: 0, headersTimeout: 0 });
  const receiver = new Receiver(server, await listen(server), answer);
  onTestFinished(() => receiver.close());
  return receiver;
}

/** The check of Leadterra's page ("Webhook security"), letter for letter but for the types. */
function verifySignature(
  rawBody: string | Buffer,
  signatureHeader: string,
  signingSecret: string,
): boolean {
  const expected = createHmac("sha256", signingSecret).update(rawBody).digest("hex");

  return timingSafeEqual(Buffer.from(expected), Buffer.from(signatureHeader));
}

/** Whether a handler written from Leadterra's page, and one with the library of Standard Webhooks, take the request. */
export function verdicts(
  { body, headers }: ReceivedRequest,
  signingSecret: string,
): { leadterra: boolean; standard: boolean } {
  return {
    leadterra: isTrue(() =>
      verifySignature(body, String(headers["x-leadterra-signature"]), signingSecret),
    ),
    standard: isTrue(() => {
      new Webhook(signingSecret).verify(body, headers as Record<string, string>);
      return true;
    }),
  };
}

export const GENUINE = { leadterra: true, standard: true };

function isTrue(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}
