/** The queue, batch by batch. */
import {
  createExecutionContext,
  createMessageBatch,
  getQueueResult,
  waitOnExecutionContext,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import worker from "../../../src";
import type { Arrival } from "../../../src/storage/delivery-tables";

export type Consumed = {
  /** The ids of the messages that were acknowledged. */
  acked: string[];
  /** The delay in seconds of each message that is to come again. */
  retried: Record<string, number | undefined>;
};

/** Attempts begin when the test rings, not when events are handed over. */
export function leavingItToTheAlarm(given: Env): Env {
  const getByName = (name: string) => {
    const stub = given.SUBSCRIBER.getByName(name);
    return { accept: ({ deliveries }: { deliveries: Arrival[] }) => stub.accept({ deliveries }) };
  };
  return { ...given, SUBSCRIBER: { getByName } as unknown as Env["SUBSCRIBER"] };
}

/** Runs one batch of the queue; messages are `m0`, `m1`, … unless named. */
export async function consume(
  bodies: readonly (Uint8Array | { body: Uint8Array })[],
  options: { atMs?: number; attempts?: number; env?: Env; queue?: string; name?: string } = {},
): Promise<Consumed> {
  const { atMs = Date.now(), attempts = 1, queue = "leadterra-events", name = "m" } = options;
  const messages = bodies.map((given, index) => ({
    id: `${name}${index}`,
    timestamp: new Date(atMs),
    attempts,
    body: (given instanceof Uint8Array ? given : given.body).slice().buffer as ArrayBuffer,
  }));
  const batch = createMessageBatch<ArrayBuffer>(queue, messages);
  // The result of a batch does not tell the delay.
  const delays: Record<string, number | undefined> = {};
  for (const message of batch.messages) {
    const retry = message.retry.bind(message);
    message.retry = (retryOptions) => {
      delays[message.id] = retryOptions?.delaySeconds;
      retry(retryOptions);
    };
  }
  const context = createExecutionContext();
  await worker.queue(batch, leavingItToTheAlarm(options.env ?? env), context);
  await waitOnExecutionContext(context);
  const { explicitAcks, retryMessages } = await getQueueResult(batch, context);
  const retried = retryMessages.map(({ msgId }) => [msgId, delays[msgId]]);
  return { acked: [...explicitAcks].sort(), retried: Object.fromEntries(retried) };
}
