/**
 * Durable Objects as the platform runs them: one instance at a time, made by the first event; calls between
 * objects that are copied, late, and may be lost; the output gate; alarms at least once; crashes.
 */
import { VERSION } from "../../src/storage/schema";
import { Look } from "./look";
import type { Owner, Scheduler, Task } from "./scheduler";
import type { SimulatedSocket } from "./sockets";
import { ObjectStorage } from "./storage";

export type ObjectClass = new (ctx: DurableObjectState, env: Env) => object;

/** What an object is made of, which version of data it knows, and whether an earlier release wrote it. */
export type Code = { className: string; Class: ObjectClass; version: number; isReleased: boolean };

/** What of the world an object needs; chance and faults are decided there. */
export type ObjectHost = {
  scheduler: Scheduler;
  env: Env;
  latencyMs(): number;
  commitLatencyMs(): number;
  alarmLatenessMs(): number;
  /** Whether a call is lost on its way to the object, or its answer on the way back. */
  losesCall(): boolean;
  /** Whether the other end of a socket hears that the object is gone. */
  tellsListener(): boolean;
  /** Whether a call between a Subscriber and its Lane comes twice. */
  repeatsCall(): boolean;
  /** Why a write fails; null when it does not. */
  refusesWrite(object: SimulatedObject, sql: string): string | null;
  /** A method begins to run; and how many tables it made in an object that had none. */
  called(object: SimulatedObject, method: string, args: unknown[]): void;
  ran(method: string, tablesMade: number): void;
  alarmThrew(object: SimulatedObject, thrown: unknown): void;
};

type Call = { fail: (message: string) => void };

/** One life of an object. */
export class Instance implements Owner {
  readonly name: string;
  readonly object: SimulatedObject;
  alive = true;
  ready = true;
  readonly calls = new Set<Call>();
  actor: Record<string, unknown> = {};

  constructor(name: string, object: SimulatedObject) {
    this.name = name;
    this.object = object;
  }
}

/** A handler that throws is run again so often, then the alarm is dropped for good. */
const ALARM_RETRY_MS = [2_000, 4_000, 9_000, 19_000, 36_000, 66_000];

export class SimulatedObject {
  readonly className: string;
  readonly name: string;
  readonly storage: ObjectStorage;
  readonly sockets = new Set<SimulatedSocket>();
  instance: Instance | null = null;
  lives = 0;
  crashes = 0;
  readonly #host: ObjectHost;
  #code: Code;
  /** The life that was last here was one of a release: its alarm stands until the next. */
  wasReleased = false;
  wasBehind = false;
  /** What such a life left: it stands until one whose code knows the data has set another. */
  #behindAlarmAtMs: number | null = null;
  #alarmTask: Task | null = null;
  #alarmTaskIsForMs: number | null = null;
  #handler: Instance | null = null;
  #alarmFailures = 0;

  constructor(host: ObjectHost, code: Code, name: string) {
    this.#host = host;
    this.#code = code;
    this.className = code.className;
    this.name = name;
    this.storage = new ObjectStorage({
      scheduler: host.scheduler,
      commitLatencyMs: () => host.commitLatencyMs(),
      refuses: (sql) => host.refusesWrite(this, sql),
      committed: () => this.#arm(),
    });
  }

  /** Not of today's code. */
  get isReleased(): boolean {
    return this.#code.isReleased;
  }

  /** Of a release that stores an older version: what came with this one it does not know. */
  get isOlder(): boolean {
    return this.version < VERSION;
  }

  get version(): number {
    return this.#code.version;
  }

  /** Its data is newer than its code, or than the code of the life that was last here: its alarm is of that one. */
  get isBehind(): boolean {
    const { alarmAtMs } = this.storage;
    if (alarmAtMs !== null && alarmAtMs === this.#behindAlarmAtMs) return true;
    return this.wasBehind || Look.at(this.storage, "live").version() > this.version;
  }

  get isInAlarm(): boolean {
    return this.#handler !== null;
  }

  // --- events -----------------------------------------------------------------------------------------------

  /** Brings an event to the object, which is started for it if need be. */
  visit(
    delayMs: number,
    label: string,
    run: (instance: Instance) => void,
    failed: (thrown: unknown) => void,
  ): void {
    const { scheduler } = this.#host;
    scheduler.after(delayMs, scheduler.platform, label, () => {
      try {
        this.instance ??= this.#start();
      } catch (thrown) {
        this.#host.scheduler.note(`cannot start: ${String(thrown)}`);
        failed(thrown);
        return;
      }
      const { instance } = this;
      if (!instance.ready) {
        this.visit(0, label, run, failed);
        return;
      }
      scheduler.current = instance;
      run(instance);
    });
  }

  #start(): Instance {
    this.lives += 1;
    const instance = new Instance(`${this.className} ${this.name}#${this.lives}`, this);
    this.#host.scheduler.current = instance;
    this.#host.scheduler.note("starts");
    this.wasReleased = this.isReleased;
    this.wasBehind = Look.at(this.storage, "live").version() > this.version;
    const isEmpty = this.storage.tablesMade === 0;
    const ctx = this.#context(instance);
    instance.actor = new this.#code.Class(ctx, this.#host.env) as Record<string, unknown>;
    if (isEmpty) this.#host.ran("constructor", this.storage.tablesMade);
    return instance;
  }

  /** The instance is gone at once, with all that it waited for and all that was not on disk. */
  crash(): void {
    const { instance } = this;
    if (instance === null) return;
    this.crashes += 1;
    this.instance = null;
    this.#handler = null;
    this.#host.scheduler.dropTasksOf(instance);
    this.storage.crash();
    if (this.wasBehind) this.#behindAlarmAtMs = this.storage.alarmOnDiskAtMs;
    for (const socket of this.sockets) socket.break(this.#host.tellsListener());
    this.sockets.clear();
    for (const call of instance.calls) call.fail("the Durable Object was reset");
    this.#alarmTaskIsForMs = null;
    this.#arm();
  }

  /** A deploy ends the instance; the next one is made of other code, on what is stored. */
  deploy(code: Code): void {
    this.crash();
    this.#code = code;
  }

  /** Somebody connects; null when the object has no socket for them, or the way to it is broken. */
  connect(owner: Owner, connected: (socket: SimulatedSocket | null) => void): void {
    const { scheduler } = this.#host;
    const back = (socket: SimulatedSocket | null) =>
      scheduler.after(this.#host.latencyMs(), owner, "is connected", () => connected(socket));
    const ask = async (instance: Instance) => {
      const asking = instance.actor.fetch as () => Promise<{ webSocket?: SimulatedSocket }>;
      const { webSocket = null } = await asking.call(instance.actor);
      this.storage.whenOnDisk(instance, () => back(webSocket));
    };
    this.visit(
      this.#host.latencyMs(),
      `${owner.name} connects to ${this.name}`,
      (instance) => void ask(instance).catch(() => back(null)),
      () => back(null),
    );
  }

  /** Whether there is a socket over which something was heard lately. */
  get isListenedTo(): boolean {
    return [...this.sockets].some((socket) => socket.isHeard(this.#host.scheduler.nowMs));
  }

  /** Calls a method for `caller`; what goes in and out is copied as RPC does it. */
  call(caller: Owner, method: string, args: unknown[]): Promise<unknown> {
    const { scheduler } = this.#host;
    const label = `${this.className} ${this.name}.${method}`;
    const sent = structuredClone(args);
    return new Promise((resolve, reject) => {
      const back = (what: string, finish: () => void) => {
        if (!caller.alive) return;
        scheduler.after(this.#host.latencyMs(), caller, `${what} ${label}`, finish);
      };
      const fail = (message: string) => back("failure of", () => reject(new Error(message)));
      const leave = () => {
        if (this.#host.losesCall()) {
          fail("Network connection lost.");
          return;
        }
        const run = (instance: Instance) =>
          this.#run(instance, method, sent, { back, fail, resolve });
        this.visit(this.#host.latencyMs(), label, run, (thrown) => fail(String(thrown)));
      };
      if (caller instanceof Instance) caller.object.storage.whenOnDisk(caller, leave);
      else leave();
    });
  }

  #run(
    instance: Instance,
    method: string,
    args: unknown[],
    {
      back,
      fail,
      resolve,
    }: Call & {
      back: (what: string, finish: () => void) => void;
      resolve: (value: unknown) => void;
    },
  ): void {
    const call: Call = { fail };
    instance.calls.add(call);
    const answer = (finish: () => void) => {
      this.storage.whenOnDisk(instance, () => {
        instance.calls.delete(call);
        if (this.#host.losesCall()) fail("Network connection lost.");
        else finish();
      });
    };
    const work = async () => {
      const target = instance.actor[method];
      if (typeof target !== "function") {
        this.#host.scheduler.note(`has no ${method}`);
        throw new TypeError(`The RPC receiver does not implement the method "${method}".`);
      }
      return structuredClone(await target.apply(instance.actor, args));
    };
    const isEmpty = this.storage.tablesMade === 0;
    this.#host.called(this, method, args);
    const working = work();
    if (/^(take|recall|report)$/.test(method) && this.#host.repeatsCall()) {
      const again = () => work().catch(() => {});
      this.#host.scheduler.after(
        this.#host.latencyMs(),
        instance,
        `again ${method}`,
        () => void again(),
      );
    }
    if (isEmpty) this.#host.ran(method, this.storage.tablesMade);
    working.then(
      (value) => answer(() => back("answer of", () => resolve(value))),
      (thrown) => answer(() => fail(thrown instanceof Error ? thrown.message : String(thrown))),
    );
  }

  // --- what the object sees ---------------------------------------------------------------------------------

  #context(instance: Instance): DurableObjectState {
    const { storage } = this;
    const { scheduler } = this.#host;
    const living = () => {
      if (!instance.alive) throw new Error("the simulation ran code of a crashed instance");
      return storage;
    };
    const context = {
      id: { name: this.name, toString: () => this.name, equals: () => false },
      storage: {
        sql: {
          exec: (sql: string, ...bindings: never[]) => living().exec(sql, bindings),
          get databaseSize() {
            return living().databaseSize;
          },
        },
        getAlarm: async () => (living().alarmFiring ? null : storage.alarmAtMs),
        setAlarm: async (at: number | Date) => living().setAlarm(Number(at)),
        deleteAlarm: async () => living().setAlarm(null),
        deleteAll: async () => living().deleteAll(),
        sync: () =>
          new Promise<void>((resolve) => {
            living().whenOnDisk(instance, () => {
              scheduler.after(0, instance, "synced", resolve);
            });
          }),
        transactionSync: <T>(work: () => T) => living().transaction(work),
      },
      blockConcurrencyWhile: async <T>(work: () => Promise<T>) => {
        instance.ready = false;
        const value = await work();
        instance.ready = true;
        return value;
      },
      waitUntil: () => {},
      acceptWebSocket: (socket: SimulatedSocket) => {
        socket.instance = instance;
        this.sockets.add(socket);
      },
      getWebSockets: () => [...this.sockets],
      setWebSocketAutoResponse: () => {},
      getWebSocketAutoResponseTimestamp: ({ pingedAtMs }: SimulatedSocket) =>
        pingedAtMs === null ? null : new Date(pingedAtMs),
    };
    return context as unknown as DurableObjectState;
  }

  // --- alarms -----------------------------------------------------------------------------------------------

  #arm(): void {
    const { scheduler } = this.#host;
    const atMs = this.storage.alarmOnDiskAtMs;
    if (this.#handler !== null || atMs === this.#alarmTaskIsForMs) return;
    if (this.#alarmTask !== null) scheduler.cancel(this.#alarmTask);
    this.#alarmTask = null;
    this.#alarmTaskIsForMs = atMs;
    if (atMs === null) return;
    const delayMs = Math.max(0, atMs - scheduler.nowMs) + this.#host.alarmLatenessMs();
    this.#armIn(delayMs);
  }

  #armIn(delayMs: number): void {
    const { scheduler } = this.#host;
    const label = `alarm for ${this.className} ${this.name}`;
    this.#alarmTask = scheduler.after(delayMs, scheduler.platform, label, () => {
      this.#alarmTask = null;
      this.#alarmTaskIsForMs = null;
      this.visit(
        0,
        label,
        (instance) => this.#fire(instance, false),
        () => this.#arm(),
      );
    });
  }

  /** An alarm that comes although none is due: at least once is not exactly once. */
  fireAgain(): void {
    this.visit(
      0,
      `repeated alarm for ${this.className} ${this.name}`,
      (instance) => this.#fire(instance, true),
      () => {},
    );
  }

  #fire(instance: Instance, repeated: boolean): void {
    const { storage } = this;
    const { alarm } = instance.actor;
    if (this.#handler !== null || typeof alarm !== "function") return;
    const isDue = storage.alarmAtMs !== null && storage.alarmAtMs <= this.#host.scheduler.nowMs;
    if (!isDue && !repeated) {
      // It was changed, and the change is not on disk yet: what is on disk then counts.
      storage.whenOnDisk(this.#host.scheduler.platform, () => this.#arm());
      return;
    }
    this.#host.scheduler.note("alarm()");
    this.#handler = instance;
    storage.alarmFiring = isDue;
    Promise.resolve(alarm.call(instance.actor, { isRetry: false, retryCount: 0 })).then(
      () => this.#handled(),
      (thrown) => this.#threw(thrown),
    );
  }

  #handled(): void {
    this.#handler = null;
    this.#alarmFailures = 0;
    if (this.storage.alarmFiring) this.storage.setAlarm(null);
    this.#arm();
  }

  #threw(thrown: unknown): void {
    this.#host.alarmThrew(this, thrown);
    this.#handler = null;
    const waitMs = ALARM_RETRY_MS[this.#alarmFailures];
    if (!this.storage.alarmFiring) {
      this.#arm();
    } else if (waitMs === undefined) {
      this.storage.setAlarm(null);
    } else {
      this.#alarmFailures += 1;
      this.storage.alarmFiring = false;
      this.#alarmTaskIsForMs = this.storage.alarmOnDiskAtMs;
      this.#armIn(waitMs);
    }
  }
}

/** `env.NAME` as a namespace of objects; calls are put down to whoever runs now. */
export function namespaceOf(
  scheduler: Scheduler,
  objectNamed: (name: string) => SimulatedObject,
): DurableObjectNamespace {
  const stub = (name: string) =>
    new Proxy(
      { name },
      {
        get: (_, method) => {
          if (typeof method !== "string" || method === "then") return undefined;
          return (...args: unknown[]) => objectNamed(name).call(scheduler.current, method, args);
        },
      },
    );
  const namespace = {
    getByName: stub,
    idFromName: (name: string) => ({ name, toString: () => name }),
    get: (id: { name: string }) => stub(id.name),
  };
  return namespace as unknown as DurableObjectNamespace;
}
