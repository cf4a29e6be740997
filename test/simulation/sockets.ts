/**
 * WebSockets between a listener and its object: frames that come late and in order, sockets that a crash takes along,
 * some of them without a word to the other end. What the platform does about pings it does without the object.
 */
import type { Owner, Scheduler } from "./scheduler";
import type { ObjectStorage } from "./storage";

/** A life of the object that has the socket. */
type Life = Owner & {
  readonly object: { readonly storage: ObjectStorage };
  readonly actor: Record<string, unknown>;
};

export type SocketHost = { scheduler: Scheduler; latencyMs(): number };

/** What the listener does about what it gets. */
export type Client = {
  owner: Owner;
  got(text: string): void;
  closed(code: number | null): void;
};

const [OPEN, CLOSING, CLOSED] = [1, 2, 3];

/** As an object has it. */
export class SimulatedSocket {
  readyState = OPEN;
  instance: Life | null = null;
  client: Client | null = null;
  pingedAtMs: number | null = null;
  /** Nothing comes through any more, and neither end knows. */
  isStalled = false;
  readonly #host: SocketHost;
  #attachment: unknown = null;
  /** What was sent before the other end listened. */
  #early: string[] = [];
  #lastAtMs = 0;

  constructor(host: SocketHost) {
    this.#host = host;
  }

  // --- for the object ---------------------------------------------------------------------------------------

  serializeAttachment(value: unknown): void {
    this.#attachment = structuredClone(value);
  }

  deserializeAttachment(): unknown {
    return this.#attachment;
  }

  send(text: string): void {
    if (this.readyState !== OPEN) throw new Error("the socket is closed");
    SimulatedSocket.sent(this, text);
    this.instance?.object.storage.whenOnDisk(this.instance, () => this.#deliver(text));
  }

  close(code: number): void {
    if (this.readyState !== OPEN) return;
    this.readyState = CLOSING;
    SimulatedSocket.gone(this);
    this.#tell(code);
  }

  /** Set for one run: who looks at every frame and every end. */
  static sent: (socket: SimulatedSocket, text: string) => void = () => {};
  static heard: (socket: SimulatedSocket, text: string) => void = () => {};
  static gone: (socket: SimulatedSocket) => void = () => {};

  // --- for the platform and the listener --------------------------------------------------------------------

  get isOpen(): boolean {
    return this.readyState === OPEN;
  }

  /** Whether the object counts it as a connection. */
  isHeard(nowMs: number): boolean {
    return this.isOpen && Math.max(Number(this.#attachment), this.pingedAtMs ?? 0) + 60_000 > nowMs;
  }

  get heardAtMs(): number {
    return Math.max(Number(this.#attachment), this.pingedAtMs ?? 0);
  }

  open(client: Client): void {
    this.client = client;
    for (const text of this.#early) this.#deliver(text);
    this.#early = [];
    if (!this.isOpen) this.#tell(4000);
  }

  #deliver(text: string): void {
    if (this.client === null) {
      this.#early.push(text);
      return;
    }
    if (this.isStalled) return;
    this.#later(this.client.owner, "frame", () => this.client?.got(text));
  }

  /** The listener says something. */
  say(text: string): void {
    const { instance } = this;
    if (instance === null || this.isStalled) return;
    this.#later(instance, "frame to the object", () => {
      if (!this.isOpen) return;
      SimulatedSocket.heard(this, text);
      const handler = instance.actor.webSocketMessage as (socket: this, text: string) => void;
      handler.call(instance.actor, this, text);
    });
  }

  /** The listener's end is gone; the object hears of it, unless nothing comes through. */
  leave(): void {
    this.client = null;
    const { instance } = this;
    if (instance === null || this.isStalled) return;
    this.#later(instance, "a socket closes", () => {
      if (this.readyState === CLOSED) return;
      this.readyState = CLOSED;
      SimulatedSocket.gone(this);
      const handler = instance.actor.webSocketClose as (socket: this) => void;
      handler.call(instance.actor, this);
    });
  }

  /** The object is gone. @param told whether the listener hears of it. */
  break(told: boolean): void {
    this.readyState = CLOSED;
    this.isStalled = !told;
    if (told) this.#tell(null);
  }

  ping(): void {
    if (this.isOpen && !this.isStalled) this.pingedAtMs = this.#host.scheduler.nowMs;
  }

  #tell(code: number | null): void {
    const { client } = this;
    if (client === null || this.isStalled) return;
    this.#later(client.owner, "a socket closes", () => this.client?.closed(code));
  }

  /** In order, as one connection has it. */
  #later(owner: Owner, label: string, run: () => void): void {
    const { scheduler } = this.#host;
    this.#lastAtMs = Math.max(this.#lastAtMs + 0.001, scheduler.nowMs + this.#host.latencyMs());
    scheduler.after(this.#lastAtMs - scheduler.nowMs, owner, label, run);
  }
}
