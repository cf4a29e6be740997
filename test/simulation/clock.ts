/** Replaces, for one run, every global through which the code reaches time, chance, the network and the console. */
import { createHash, createHmac } from "node:crypto";
import type { Chance } from "./chance";
import type { Scheduler, Task } from "./scheduler";
import { SimulatedSocket, type SocketHost } from "./sockets";

type Globals = {
  scheduler: Scheduler;
  chance: Chance;
  /** Whether hashes take their time, the consumer's of each event too: WebCrypto promises no more than a promise. */
  slowCrypto: boolean;
  fetch: (input: unknown, init?: RequestInit) => Promise<Response>;
  sockets: SocketHost;
  AbortController: typeof AbortController;
  log: (line: string) => void;
};

/** @returns what puts everything back. */
export function takeOver({
  scheduler,
  chance,
  slowCrypto,
  fetch,
  sockets,
  AbortController: Controller,
  log,
}: Globals): () => void {
  const later = (run: () => void) => {
    if (slowCrypto) scheduler.after(0, scheduler.current, "crypto", run);
    else run();
  };
  const startTimer = (run: () => void, delayMs = 0): Task =>
    scheduler.after(delayMs, scheduler.current, "timer", run);
  const stopTimer = (task?: Task) => {
    if (task !== undefined) scheduler.cancel(task);
  };
  const timeoutSignal = (delayMs: number) => {
    const controller = new AbortController();
    startTimer(() => controller.abort(), delayMs);
    return controller.signal;
  };
  const restores = [
    replace(Date, "now", () => scheduler.nowMs),
    replace(Math, "random", () => chance.fraction()),
    replace(globalThis, "setTimeout", startTimer),
    replace(globalThis, "clearTimeout", stopTimer),
    replace(globalThis, "fetch", fetch),
    replace(globalThis, "AbortController", Controller),
    replace(globalThis, "Response", SwitchingResponse),
    replace(globalThis, "WebSocketPair", pairsOf(sockets)),
    replace(globalThis, "WebSocketRequestResponsePair", class {}),
    replace(globalThis, "crypto", cryptoOf(chance, later)),
    replace(AbortSignal, "timeout", timeoutSignal),
    replace(console, "log", log),
    replace(console, "warn", log),
    replace(console, "error", log),
  ];
  return () => {
    for (const restore of restores) restore();
  };
}

/** With the status and the socket that only the platform's own has. */
class SwitchingResponse extends Response {
  override readonly webSocket: WebSocket | null;

  constructor(body?: BodyInit | null, init: ResponseInit = {}) {
    super(body, init.status === 101 ? {} : init);
    this.webSocket = Object(init).webSocket ?? null;
  }
}

/** Both ends of a socket are one object here. */
function pairsOf(host: SocketHost): unknown {
  return class {
    readonly 0: SimulatedSocket;
    readonly 1: SimulatedSocket;

    constructor() {
      this[0] = new SimulatedSocket(host);
      this[1] = this[0];
    }
  };
}

function replace(owner: object, name: string, value: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, { value, configurable: true, writable: true });
  return () => {
    if (before === undefined) Reflect.deleteProperty(owner, name);
    else Object.defineProperty(owner, name, before);
  };
}

type Key = { bytes: Uint8Array };

/** In workerd every result is there at once, so that its promise costs microtasks and no turn; `later` decides. */
function cryptoOf(chance: Chance, later: (run: () => void) => void) {
  const hmac = ({ bytes }: Key, data: Uint8Array) =>
    toArrayBuffer(createHmac("sha256", bytes).update(data).digest());
  return {
    getRandomValues: (bytes: Uint8Array) => {
      for (let index = 0; index < bytes.length; index++) bytes[index] = chance.between(0, 255);
      return bytes;
    },
    subtle: {
      importKey: async (_format: string, bytes: Uint8Array): Promise<Key> => ({
        bytes: bytes.slice(),
      }),
      sign: (_algorithm: unknown, key: Key, data: Uint8Array) =>
        new Promise((resolve) => later(() => resolve(hmac(key, data)))),
      verify: async (_algorithm: unknown, key: Key, signature: Uint8Array, data: Uint8Array) =>
        Buffer.from(hmac(key, data)).equals(signature),
      digest: (_algorithm: unknown, data: Uint8Array) =>
        new Promise((resolve) =>
          later(() => resolve(toArrayBuffer(createHash("sha256").update(data).digest()))),
        ),
    },
  };
}

function toArrayBuffer(buffer: Buffer): ArrayBuffer {
  return new Uint8Array(buffer).buffer;
}
