/**
 * The socket of a `listener:` webhook: an attempt is a frame on it, and its outcome is a frame that comes back. The
 * socket hibernates: while nothing happens on it but pings the object costs nothing.
 */
import { Buffer } from "node:buffer";
import * as z from "zod/mini";
import { earliest } from "../../domain/time";

/** Why the relay closes a socket. From 4000 on the codes are an application's own. */
const CLOSED = {
  replaced: [4000, "a newer listener has this name"],
  ended: [4001, "the webhook was deleted, or has another URL"],
  silent: [4002, "nothing was heard for 60 seconds"],
} as const;
/** Three pings. */
const SILENT_AFTER_MS = 60_000;

/** The attempt did not come to its end, and the handler behind the socket has nothing to do with it. */
export class Interruption extends Error {}

const outcomeFrame = z.object({
  type: z.literal("outcome"),
  eventId: z.string(),
  attempt: z.number(),
  statusCode: z.int().check(z.minimum(100), z.maximum(599)),
  body: z._default(z.string(), ""),
});

export type Frame = {
  eventId: string;
  attempt: number;
  headers: Record<string, string>;
  body: Uint8Array;
};

/** As much of a response as an attempt reads. */
export type Reply = Pick<Response, "status" | "headers" | "body">;

type UnderWay = {
  socket: WebSocket;
  resolve: (reply: Reply) => void;
  reject: (why: Error) => void;
};

export class Listener {
  readonly #ctx: DurableObjectState;
  /** By event and number. What is under way keeps the object from hibernating. */
  readonly #underWay = new Map<string, UnderWay>();

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
  }

  /** Whether there is a socket over which something was heard lately. */
  get isConnected(): boolean {
    return this.#open() !== null;
  }

  /** When the socket is to be looked at, Unix milliseconds; null without any. */
  get silentAtMs(): number | null {
    return earliest(...this.#sockets().map((each) => this.#heardAtMs(each) + SILENT_AFTER_MS));
  }

  /** Takes a new socket in place of the one before. */
  connect(): Response {
    const { 0: theirs, 1: ours } = new WebSocketPair();
    this.#close(this.#sockets(), CLOSED.replaced);
    this.#ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    this.#ctx.acceptWebSocket(ours);
    ours.serializeAttachment(Date.now());
    return new Response(null, { status: 101, webSocket: theirs });
  }

  /** The webhook is no listener any more. */
  end(): void {
    this.#close(this.#sockets(), CLOSED.ended);
  }

  /** A half-open socket would swallow whatever is sent. */
  closeSilent(): void {
    const silent = this.#sockets().filter((socket) => this.#isSilent(socket));
    this.#close(silent, CLOSED.silent);
  }

  /** The socket is gone: what was under way on it goes out again, and does not count. */
  closed(socket: WebSocket): void {
    for (const each of this.#underWay.values()) {
      if (each.socket === socket) each.reject(new Interruption("the listener went away"));
    }
  }

  /** What is no outcome, or of nothing that is under way on this socket, is passed over. */
  heard(socket: WebSocket, message: string | ArrayBuffer): void {
    socket.serializeAttachment(Date.now());
    const { data: outcome } = outcomeFrame.safeParse(jsonOf(message));
    if (outcome === undefined) return;
    const underWay = this.#underWay.get(keyOf(outcome));
    if (underWay?.socket !== socket) return;
    // Of every status, those without a body and below 200 too, which a Response would refuse.
    const body = outcome.body === "" ? null : new Response(outcome.body).body;
    underWay.resolve({ status: outcome.statusCode, headers: new Headers(), body });
  }

  /**
   * Sends a delivery in this turn, and waits for what is answered.
   *
   * @throws Interruption when the socket closes, or `signal` aborts and nothing has come over it since.
   */
  async deliver({ body, ...frame }: Frame, signal: AbortSignal): Promise<Reply> {
    const socket = this.#open();
    if (socket === null) throw new Error("nobody listens");
    const sentAtMs = Date.now();
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const key = keyOf(frame);
    this.#underWay.set(key, { socket, resolve, reject });
    signal.addEventListener("abort", () => {
      const isAlive = this.#heardAtMs(socket) > sentAtMs;
      reject(isAlive ? new Error("no answer in time") : new Interruption("nothing was heard"));
    });
    try {
      const text = Buffer.from(body).toString("base64");
      socket.send(JSON.stringify({ type: "delivery", ...frame, body: text }));
      return await promise;
    } finally {
      this.#underWay.delete(key);
    }
  }

  /** The one that deliveries go over. */
  #open(): WebSocket | null {
    return this.#sockets().find((socket) => !this.#isSilent(socket)) ?? null;
  }

  /** Those that were not closed; only the newest is ever left so. */
  #sockets(): WebSocket[] {
    return this.#ctx.getWebSockets().filter(({ readyState }) => readyState === WebSocket.OPEN);
  }

  #isSilent(socket: WebSocket): boolean {
    return this.#heardAtMs(socket) + SILENT_AFTER_MS <= Date.now();
  }

  /** Its attachment is when a message came, or it was made; pings are answered without the object. */
  #heardAtMs(socket: WebSocket): number {
    const pingedAtMs = this.#ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    return Math.max(Number(socket.deserializeAttachment()), pingedAtMs);
  }

  #close(sockets: readonly WebSocket[], [code, reason]: readonly [number, string]): void {
    for (const socket of sockets) {
      socket.close(code, reason);
      this.closed(socket);
    }
  }
}

/** null for what is none. */
function jsonOf(message: string | ArrayBuffer): unknown {
  try {
    return typeof message === "string" ? JSON.parse(message) : null;
  } catch {
    return null;
  }
}

function keyOf({ eventId, attempt }: { eventId: string; attempt: number }): string {
  return `${eventId} ${attempt}`;
}
