/**
 * The queues: at least once, in no order, in batches; a message comes again until it is acknowledged. What has used
 * up its retries goes to the queue behind, and past the platform's retention it is gone.
 */
import { join } from "node:path";
import { unstable_readConfig } from "wrangler";
import type { Chance } from "./chance";
import type { Owner, Scheduler } from "./scheduler";

export type Enqueued = {
  readonly queue: string;
  readonly id: string;
  readonly body: Uint8Array;
  readonly atMs: number;
};
type Waiting = Enqueued & { attempts: number; readyAtMs: number };
type Delivery = { message: Waiting; verdict: "ack" | "retry" | null; delayMs: number };

export type Consumer = (batch: MessageBatch<ArrayBuffer>) => Promise<void>;

export type QueueHost = {
  scheduler: Scheduler;
  chance: Chance;
  breaks(): boolean;
  consumer(): Consumer;
  acknowledged(message: Enqueued): void;
  /** A message is gone: `deleted` when its retries were used up and there is no queue behind. */
  left(message: Enqueued, how: "deleted" | "expired"): void;
};

/** wrangler.toml: max_batch_size */
const MAX_BATCH = 100;
const MAX_CONSUMERS = 3;
/** The longest that the platform keeps a message. https://developers.cloudflare.com/queues/platform/limits/ */
const RETENTION_MS = 14 * 86_400_000;

/** What wrangler.toml says of each queue. */
const CONSUMERS: {
  queue: string;
  max_retries?: number;
  retry_delay?: number;
  dead_letter_queue?: string;
}[] = unstable_readConfig({ config: join(import.meta.dirname, "../../wrangler.toml") }).queues
  .consumers;

export class SimulatedQueue {
  readonly name: string;
  readonly #host: QueueHost;
  readonly #maxAttempts: number;
  readonly #retryDelayMs: number;
  /** Where what has used up its retries goes to; null where it is deleted. */
  readonly #behind: SimulatedQueue | null;
  #waiting: Waiting[] = [];
  readonly #running = new Map<Owner, Delivery[]>();
  #isDispatching = false;
  #sent = 0;
  #invocations = 0;

  constructor(name: string, host: QueueHost, behind: SimulatedQueue | null = null) {
    const consumer = CONSUMERS.find(({ queue }) => queue === name);
    this.name = name;
    this.#host = host;
    this.#maxAttempts = 1 + (consumer?.max_retries ?? 0);
    this.#retryDelayMs = (consumer?.retry_delay ?? 0) * 1_000;
    this.#behind = behind?.name === consumer?.dead_letter_queue ? behind : null;
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
    const id = `${this.#behind === null ? "d" : "m"}${this.#sent}`;
    const message = { queue: this.name, id, body: body.slice(), atMs: scheduler.nowMs };
    this.#put(message, 0, 0);
    return message;
  }

  #putAgain(message: Waiting, delayMs: number): void {
    if (message.attempts < this.#maxAttempts) {
      this.#put(message, message.attempts, delayMs);
      return;
    }
    this.#host.scheduler.note(`${this.name} gives up ${message.id}`);
    if (this.#behind === null) this.#host.left(message, "deleted");
    else this.#behind.send(message.body);
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
    this.#expire();
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

  #expire(): void {
    const isKept = ({ atMs }: Enqueued) => atMs + RETENTION_MS > this.#host.scheduler.nowMs;
    for (const message of this.#waiting) if (!isKept(message)) this.#host.left(message, "expired");
    this.#waiting = this.#waiting.filter(isKept);
  }

  #consume(messages: Waiting[]): void {
    const { scheduler } = this.#host;
    this.#invocations += 1;
    const owner: Owner = { name: `${this.name}#${this.#invocations}`, alive: true };
    const deliveries = messages.map((message): Delivery => {
      message.attempts += 1;
      return { message, verdict: null, delayMs: this.#retryDelayMs };
    });
    this.#running.set(owner, deliveries);
    scheduler.current = owner;
    scheduler.note(`consumes ${messages.map(({ id }) => id).join(" ")}`);
    this.#host
      .consumer()(batchOf(this.name, deliveries))
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
        this.#putAgain(message, delayMs);
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
      this.#putAgain(message, this.#host.chance.between(0, 30_000));
    }
  }
}

function batchOf(queue: string, deliveries: Delivery[]): MessageBatch<ArrayBuffer> {
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
      if (options?.delaySeconds !== undefined) delivery.delayMs = options.delaySeconds * 1_000;
    },
  }));
  const all = (call: (message: (typeof messages)[number]) => void) => () => messages.forEach(call);
  const batch = {
    queue,
    messages,
    ackAll: all((message) => message.ack()),
    retryAll: all((message) => message.retry()),
  };
  return batch as unknown as MessageBatch<ArrayBuffer>;
}
