/**
 * The load: requests made ready beforehand as the bytes that go over the wire, on plain sockets that stay open. An
 * HTTP client would need as much of the machine as the Worker that is measured.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** A timer may fire so much too late. */
const TIMER_SLACK_MS = 2;
const MICROSECONDS_PER_MS = 1_000;

export type RequestParts = {
  method: "GET" | "POST" | "PUT";
  path: string;
  headers?: Readonly<Record<string, string>>;
  body?: Uint8Array;
};

/** An answer, and when its last byte came, `performance.now()`. */
export type Answer = { status: number; body: string; atMs: number };

/** The bytes of a request to a server on this machine. */
export function wire({ method, path, headers = {}, body }: RequestParts): Buffer {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    "host: 127.0.0.1",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  if (body !== undefined) lines.push(`content-length: ${body.length}`);
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), body ?? Buffer.alloc(0)]);
}

/** One connection, one request at a time. */
export class Connection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #waiting: PromiseWithResolvers<Answer> | null = null;
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#take(chunk));
    socket.on("error", (thrown) => this.#waiting?.reject(thrown));
    socket.on("close", () => {
      this.#closed = true;
      this.#waiting?.reject(new Error("the connection was closed"));
    });
  }

  static async open(url: string): Promise<Connection> {
    const { hostname, port } = new URL(url);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = connect(Number(port), hostname, resolve).once("error", reject);
    await promise;
    return new Connection(socket);
  }

  /** A server closes what was idle for long. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** @throws when the connection breaks. */
  send(request: Buffer): Promise<Answer> {
    if (this.#closed) return Promise.reject(new Error("the connection is closed"));
    this.#waiting = Promise.withResolvers<Answer>();
    this.#socket.write(request);
    return this.#waiting.promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const answer = parseAnswer(this.#received);
    if (answer === null) return;
    this.#received = Buffer.alloc(0);
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve({ ...answer, atMs: performance.now() });
  }
}

/** A whole answer with a Content-Length, or chunked as workerd does it; null while something is missing. */
function parseAnswer(bytes: Buffer): { status: number; body: string } | null {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  const head = bytes.toString("latin1", 0, headEnd);
  const status = Number(head.slice("HTTP/1.1 ".length, "HTTP/1.1 200".length));
  const rest = bytes.subarray(headEnd + 4);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) {
    return rest.length < Number(length) ? null : { status, body: rest.toString("utf8") };
  }
  if (status === 204 || status === 304) return { status, body: "" };
  return rest.subarray(-5).equals(LAST_CHUNK) ? { status, body: unchunk(rest) } : null;
}

const LAST_CHUNK = Buffer.from("0\r\n\r\n");

function unchunk(bytes: Buffer): string {
  const parts: Buffer[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const sizeEnd = bytes.indexOf("\r\n", offset);
    const size = Number.parseInt(bytes.toString("latin1", offset, sizeEnd), 16);
    parts.push(bytes.subarray(sizeEnd + 2, sizeEnd + 2 + size));
    offset = sizeEnd + 2 + size + 2;
  }
  return Buffer.concat(parts).toString("utf8");
}

export type Saturated = {
  /** Requests per second. */
  perSecond: number;
  /** Processor time of this process by the time that went by: near 1, it would be the load that is measured. */
  generatorShare: number;
};

/** Sends them all, a fixed number at a time. @throws on anything but 2xx. */
export async function saturate(
  url: string,
  requests: readonly Buffer[],
  connections: number,
): Promise<Saturated> {
  const open = await Promise.all(Array.from({ length: connections }, () => Connection.open(url)));
  let next = 0;
  const work = async (connection: Connection) => {
    for (let request = requests[next++]; request !== undefined; request = requests[next++]) {
      mustSucceed(await connection.send(request));
    }
  };
  try {
    const startMs = performance.now();
    const usedBefore = process.cpuUsage();
    await Promise.all(open.map(work));
    const tookMs = performance.now() - startMs;
    const { user, system } = process.cpuUsage(usedBefore);
    return {
      perSecond: (requests.length * 1_000) / tookMs,
      generatorShare: (user + system) / MICROSECONDS_PER_MS / tookMs,
    };
  } finally {
    for (const connection of open) connection.close();
  }
}

/** When a request left, and its answer; `performance.now()`. */
export type Paced = { sentAtMs: number; answer: Answer };

/**
 * Sends at an even pace whatever the answers do: a slow answer does not slow the sending.
 *
 * @param rate requests per second.
 */
export async function pace(
  url: string,
  requests: Iterable<Buffer>,
  rate: number,
): Promise<Paced[]> {
  const idle: Connection[] = [];
  const opened: Connection[] = [];
  const startMs = performance.now();
  const sending: Promise<Paced>[] = [];
  for (const request of requests) {
    await sleepUntil(startMs + (sending.length * 1_000) / rate);
    const connection = takeOpen(idle) ?? (await Connection.open(url));
    if (!opened.includes(connection)) opened.push(connection);
    const sentAtMs = performance.now();
    const sent = connection.send(request).then((answer) => {
      mustSucceed(answer);
      idle.push(connection);
      return { sentAtMs, answer };
    });
    // Told at the end; until then nobody looks.
    sent.catch(() => {});
    sending.push(sent);
  }
  try {
    return await Promise.all(sending);
  } finally {
    for (const connection of opened) connection.close();
  }
}

function takeOpen(idle: Connection[]): Connection | undefined {
  let connection = idle.pop();
  while (connection?.isClosed) connection = idle.pop();
  return connection;
}

/** Sleeps most of the time and spins the rest. */
async function sleepUntil(atMs: number): Promise<void> {
  const waitMs = atMs - performance.now();
  if (waitMs > TIMER_SLACK_MS) await sleep(waitMs - TIMER_SLACK_MS);
  while (performance.now() < atMs) await sleep(0);
}

export function mustSucceed({ status, body }: Answer): void {
  if (status < 200 || status > 299) throw new Error(`a request was answered ${status} ${body}`);
}
