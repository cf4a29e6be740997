/** The queue: at least once, in no order, in batches; a message comes again until it is acknowledged. */
import type { Chance } from "./chance";
import type { Owner, Scheduler } from "./scheduler";

export type Enqueued = { readonly id: string; readonly body: Uint8Array; readonly atMs: number };
type Waiting = Enqueued & { attempts: number; readyAtMs: number };
type Delivery = { message: Waiting; verdict: "ack" | "retry" | null; delayMs: number };

export type Consumer = (batch: MessageBatch<ArrayBuffer>) => Promise<void>;

export type QueueHost = {
  scheduler: Scheduler;
  chance: Chance;
  breaks(): boolean;
  consumer(): Consumer;
  acknowledged(message: Enqueued): void;
};

const MAX_BATCH = 20;
const MAX_CONSUMERS = 3;
/** wrangler.toml: max_retries */
const MAX_ATTEMPTS = 101;

export class SimulatedQueue {
  readonly #host: QueueHost;
  #waiting: Waiting[] = [];
  readonly #running = new Map<Owner, Delivery[]>();
  #isDispatching = false;
  #sent = 0;
  #invocations = 0;

  constructor(host: QueueHost) {
    this.#host = host;
  }

  /** Messages that are not acknowledged. */
  get backlog(): number {
    let count = this.#waiting.length;
    for (const deliveries of this.#running.values()) count += deliveries.length;
    return count;
  }

  get consumers(): Owner[] {
    return [...this.#running.keys()];
  }

  /** Durable when it returns. */
  send(body: Uint8Array): Enqueued {
    const { scheduler } = this.#host;
    this.#sent += 1;
    const message = { id: `m${this.#sent}`, body: body.slice(), atMs: scheduler.nowMs };
    this.#put(message, 0, 0);
    return message;
  }

  #put(message: Enqueued, attempts: number, delayMs: number): void {
    const { scheduler, chance } = this.#host;
    const waitMs = delayMs + chance.between(0, 20);
    this.#waiting.push({ ...message, attempts, readyAtMs: scheduler.nowMs + waitMs });
    scheduler.after(waitMs, scheduler.platform, "queue", () => this.#dispatch());
  }

  /** Looks for more at once; a consumer that comes free looks too. */
  #dispatchSoon(): void {
    const { scheduler } = this.#host;
    if (this.#isDispatching) return;
    this.#isDispatching = true;
    scheduler.after(0, scheduler.platform, "queue", () => {
      this.#isDispatching = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    const { scheduler, chance } = this.#host;
    const ready = this.#waiting.filter(({ readyAtMs }) => readyAtMs <= scheduler.nowMs);
    if (ready.length === 0 || this.#running.size >= MAX_CONSUMERS) return;
    const batch: Waiting[] = [];
    const size = Math.min(ready.length, chance.between(1, MAX_BATCH));
    while (batch.length < size) {
      const message = chance.pick(ready);
      ready.splice(ready.indexOf(message), 1);
      batch.push(message);
    }
    this.#waiting = this.#waiting.filter((message) => !batch.includes(message));
    if (ready.length > 0) this.#dispatchSoon();
    this.#consume(batch);
  }

  #consume(messages: Waiting[]): void {
    const { scheduler } = this.#host;
    this.#invocations += 1;
    const owner: Owner = { name: `consumer#${this.#invocations}`, alive: true };
    const deliveries = messages.map((message): Delivery => {
      message.attempts += 1;
      if (message.attempts > MAX_ATTEMPTS) throw new Error("the platform gave the message up");
      return { message, verdict: null, delayMs: 0 };
    });
    this.#running.set(owner, deliveries);
    scheduler.current = owner;
    scheduler.note(`consumes ${messages.map(({ id }) => id).join(" ")}`);
    this.#host
      .consumer()(batchOf(deliveries))
      .then(
        () => this.#finish(owner, deliveries, "ack"),
        () => this.#finish(owner, deliveries, "retry"),
      );
  }

  #finish(owner: Owner, deliveries: Delivery[], silent: "ack" | "retry"): void {
    const { chance } = this.#host;
    this.#running.delete(owner);
    this.#dispatchSoon();
    for (const { message, verdict, delayMs } of deliveries) {
      if ((verdict ?? silent) === "retry") {
        this.#put(message, message.attempts, delayMs);
        continue;
      }
      this.#host.acknowledged(message);
      const again = this.#host.breaks() && chance.happens(0.1);
      if (again) this.#put(message, message.attempts, chance.between(0, 600_000));
    }
  }

  /** The isolate is gone: what it acknowledged was not heard. */
  crash(owner: Owner): void {
    const deliveries = this.#running.get(owner);
    if (deliveries === undefined) return;
    this.#running.delete(owner);
    this.#dispatchSoon();
    this.#host.scheduler.dropTasksOf(owner);
    for (const { message } of deliveries) {
      this.#put(message, message.attempts, this.#host.chance.between(0, 30_000));
    }
  }
}

function batchOf(deliveries: Delivery[]): MessageBatch<ArrayBuffer> {
  const messages = deliveries.map((delivery) => ({
    id: delivery.message.id,
    timestamp: new Date(delivery.message.atMs),
    body: delivery.message.body.slice().buffer,
    attempts: delivery.message.attempts,
    ack: () => {
      delivery.verdict ??= "ack";
    },
    retry: (options?: { delaySeconds?: number }) => {
      delivery.verdict ??= "retry";
      delivery.delayMs = (options?.delaySeconds ?? 1) * 1_000;
    },
  }));
  const all = (call: (message: (typeof messages)[number]) => void) => () => messages.forEach(call);
  const batch = {
    queue: "leadterra-events",
    messages,
    ackAll: all((message) => message.ack()),
    retryAll: all((message) => message.retry()),
  };
  return batch as unknown as MessageBatch<ArrayBuffer>;
}
