/** People who listen: they come and go, answer well, badly, twice, late and never; and the witness of their frames. */
import type { Chance } from "./chance";
import { Look } from "./look";
import type { Ending, Request, Witness } from "./network";
import { Instance, type SimulatedObject } from "./objects";
import type { Owner, Scheduler } from "./scheduler";
import { SimulatedSocket } from "./sockets";

const PING_MS = 20_000;
/** Once the faults are over a listener goes when it had nothing for so long, and nothing waits for it. */
const IDLE_PINGS = 60;

export type ListenersHost = {
  scheduler: Scheduler;
  chance: Chance;
  isCalm(): boolean;
  /** The object of a webhook. */
  subscriber(id: string): SimulatedObject;
};

type Flight = { request: Request; key: string; sentAtMs: number };

export class Listeners {
  readonly #host: ListenersHost;
  readonly #witness: Witness;
  readonly #flights = new Map<SimulatedSocket, Map<string, Flight>>();
  #count = 0;
  #frames = 0;
  /** Of the attempt that is being made. */
  #deadline: AbortSignal | null = null;

  constructor(host: ListenersHost, witness: Witness) {
    this.#host = host;
    this.#witness = witness;
    SimulatedSocket.sent = (socket, text) => this.#sent(socket, text);
    SimulatedSocket.heard = (socket, text) => this.#heard(socket, text);
    SimulatedSocket.gone = (socket) => this.#gone(socket);
  }

  /** Stands in for `AbortController`: a frame is sent in the turn in which its clock starts. */
  get Controller(): typeof AbortController {
    const began = (signal: AbortSignal) => {
      this.#deadline = signal;
    };
    return class extends AbortController {
      constructor() {
        super();
        began(this.signal);
      }
    };
  }

  /** Somebody listens to a webhook, for a while or until nothing is left. */
  come(id: string): void {
    const { scheduler, chance } = this.#host;
    this.#count += 1;
    const owner: Owner = { name: `listener#${this.#count}`, alive: true };
    const mood = this.#host.isCalm() ? "good" : chance.pick(MOODS);
    this.#host.subscriber(id).connect(owner, (socket) => {
      if (socket === null) return;
      const again = () => {
        const delayMs = chance.pick([0, 500, chance.between(0, 40_000)]);
        if (owner.alive)
          scheduler.after(delayMs, scheduler.platform, "comes again", () => this.come(id));
        owner.alive = false;
      };
      socket.open({
        owner,
        got: (text) => this.#answer(socket, JSON.parse(text), mood, owner),
        closed: (code) => {
          if (code === null || code === 4002) again();
          else owner.alive = false;
        },
      });
      this.#stay(socket, owner, again);
    });
  }

  /** Pings, and goes at some time: with a word, without, or by a network that swallows everything. */
  #stay(socket: SimulatedSocket, owner: Owner, again: () => void): void {
    const { scheduler, chance } = this.#host;
    let idle = 0;
    let frames = this.#frames;
    const go = () => {
      if (!owner.alive || this.#host.isCalm()) return;
      if (chance.happens(0.3)) socket.isStalled = true;
      else socket.leave();
      again();
    };
    const stayMs = chance.pick([20, 400, 5_000, 30_000, 200_000]);
    scheduler.after(chance.between(0, stayMs), owner, "goes", go);
    const ping = () => {
      idle = frames === this.#frames ? idle + 1 : 0;
      frames = this.#frames;
      if (idle > IDLE_PINGS && !hasSomethingFor(socket)) {
        socket.leave();
        owner.alive = false;
      } else {
        socket.ping();
        scheduler.after(PING_MS, owner, "ping", ping);
      }
    };
    scheduler.after(PING_MS, owner, "ping", ping);
  }

  #answer(
    socket: SimulatedSocket,
    { eventId, attempt }: { eventId: string; attempt: number },
    mood: Mood,
    owner: Owner,
  ): void {
    const { scheduler, chance } = this.#host;
    if (mood === "silent" || (mood === "forgetful" && chance.happens(0.4))) return;
    const statusCode = mood === "bad" ? chance.pick([500, 404, 503, 302, 100]) : 200;
    const body = chance.happens(0.5) ? { body: "so it was" } : {};
    const said = JSON.stringify({ type: "outcome", eventId, attempt, statusCode, ...body });
    const delayMs = chance.happens(0.2) ? chance.between(0, 12_000) : chance.between(0, 50);
    const times = mood === "twice" ? 2 : 1;
    for (let time = 0; time < times; time++) {
      scheduler.after(delayMs, owner, "answers", () => socket.say(said));
    }
    if (mood === "twice")
      scheduler.after(delayMs, owner, "says more", () => socket.say("nonsense"));
  }

  // --- what is seen of frames -------------------------------------------------------------------------------

  #sent(socket: SimulatedSocket, text: string): void {
    const { scheduler } = this.#host;
    const instance = scheduler.current;
    if (!(instance instanceof Instance)) throw new Error(`${instance.name} may not send frames`);
    const { eventId, attempt, headers, body } = JSON.parse(text);
    this.#frames += 1;
    const request: Request = {
      number: -this.#frames,
      instance,
      url: new URL("listener:"),
      method: "POST",
      headers: new Headers(headers),
      body: new Uint8Array(Buffer.from(body, "base64")),
      startedAtMs: scheduler.nowMs,
      left: false,
      answered: false,
      ended: false,
    };
    this.#witness.starts(request);
    instance.object.storage.whenOnDisk(instance, () => {
      if (request.ended) return;
      request.left = true;
      this.#witness.leaves(request);
    });
    const flight = { request, key: `${eventId} ${attempt}`, sentAtMs: scheduler.nowMs };
    const flights = this.#flights.get(socket) ?? new Map<string, Flight>();
    this.#flights.set(socket, flights.set(flight.key, flight));
    this.#deadline?.addEventListener("abort", () => {
      const isAlive = socket.heardAtMs > flight.sentAtMs;
      const reason = isAlive ? "timeout" : "refused";
      this.#end(socket, flight, { status: null, reason, ranOut: true });
    });
  }

  /** The object is about to hear `text`. */
  #heard(socket: SimulatedSocket, text: string): void {
    if (!text.startsWith("{")) return;
    const { eventId, attempt, statusCode } = JSON.parse(text);
    const flight = this.#flights.get(socket)?.get(`${eventId} ${attempt}`);
    if (flight !== undefined) this.#end(socket, flight, { status: statusCode, reason: "answer" });
  }

  #gone(socket: SimulatedSocket): void {
    for (const flight of this.#flights.get(socket)?.values() ?? []) {
      this.#end(socket, flight, { status: null, reason: "refused" });
    }
  }

  #end(
    socket: SimulatedSocket,
    { request, key }: Flight,
    ending: Omit<Ending, "retryAfterMs">,
  ): void {
    if (request.ended || !request.instance.alive) return;
    request.ended = true;
    this.#flights.get(socket)?.delete(key);
    this.#witness.answered(request, { ...ending, retryAfterMs: null });
    this.#witness.ends(request);
  }
}

/** Whether anything waits that will come; what is held does not. */
function hasSomethingFor({ instance }: SimulatedSocket): boolean {
  if (instance === null) return false;
  const look = Look.at(instance.object.storage, "live");
  const settings = look.settings();
  const isActive = settings !== null && "status" in settings && settings.status === "active";
  return isActive && look.hasPending;
}

const MOODS = ["good", "good", "bad", "twice", "forgetful", "silent"] as const;
type Mood = (typeof MOODS)[number];
