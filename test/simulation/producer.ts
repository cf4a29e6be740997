/**
 * The relay as a producer of its queue: what an object sends leaves once what was written before it is on disk, and
 * may be lost, late, or taken without its hearing so.
 */
import type { Chance } from "./chance";
import { ownEventOf, type SourceEvent } from "./events";
import type { Instance } from "./objects";
import type { Scheduler } from "./scheduler";

export type ProducerHost = {
  scheduler: Scheduler;
  chance: Chance;
  breaks(): boolean;
  leaves(event: SourceEvent): void;
  /** The queue has it. */
  taken(event: SourceEvent): void;
  /** Its producer knows, and had not given up waiting. */
  heard(event: SourceEvent): void;
};

/** Half of what src/actors/outbox.ts waits: whoever hears later may have given up, and did not before. */
const IN_TIME_MS = 5_000;
const LATE_MS = 20_000;

export class Producer {
  readonly #host: ProducerHost;

  constructor(host: ProducerHost) {
    this.#host = host;
  }

  send(sender: Instance, body: Uint8Array): Promise<void> {
    const { scheduler, chance, breaks } = this.#host;
    const event = ownEventOf(body.slice());
    const sentAtMs = scheduler.nowMs;
    const fate = breaks() ? chance.weighted(FATES) : "taken";
    const [outMs, backMs] = [this.#latencyMs(), this.#latencyMs()];
    return new Promise((resolve, reject) => {
      const answer = () => {
        if (fate !== "taken") return reject(new Error("Queue send failed"));
        if (scheduler.nowMs - sentAtMs < IN_TIME_MS) this.#host.heard(event);
        resolve();
      };
      sender.object.storage.whenOnDisk(sender, () => {
        this.#host.leaves(event);
        scheduler.after(outMs, scheduler.platform, "sent to the queue", () => {
          if (fate !== "lost") this.#host.taken(event);
          scheduler.after(backMs, sender, `${fate} by the queue`, answer);
        });
      });
    });
  }

  #latencyMs(): number {
    const { chance, breaks } = this.#host;
    return breaks() && chance.happens(0.03) ? LATE_MS : chance.between(0, 50);
  }
}

const FATES = [
  [12, "taken"],
  [1, "taken unheard"],
  [2, "lost"],
] as const;
