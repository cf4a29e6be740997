/**
 * The relay, with ways to bring about what takes long, a dead letter (90 failed retries), an alert (15 minutes) or
 * silence (a day), and to break something in it.
 */
import relay, { DeadLetters, Journal } from "../../src/index";
import { sweep } from "../../src/sweep";

// biome-ignore lint/performance/noBarrelFile: a Worker exports its objects.
export { DeadLetters, Journal, Lane, Registry, Subscriber } from "../../src/index";

type Given = { id: string; event: string | null; reason: string; webhookIds: string[] | null };

const DEAD_LETTER_PATH = "/test/dead-letters";
const SWEEP_PATH = "/test/sweep-later";
const BROKEN_PATH = "/test/broken";
const CAME_PATH = "/test/came-ago";
/** For so long a service fails before somebody is woken, and some more. */
const LATER_MS = 20 * 60_000;

/** Until it is mended: Journals do not answer, dead letters cannot be read. */
let broken: { journal?: boolean; letters?: boolean } = {};
/** So long ago came what comes now, in milliseconds. */
let agoMs = 0;

const { record } = Journal.prototype;
Journal.prototype.record = async function (given) {
  while (broken.journal) await scheduler.wait(100);
  return record.call(this, given);
};
const { list } = DeadLetters.prototype;
DeadLetters.prototype.list = function (...given) {
  if (broken.letters) throw new Error("the disk is broken");
  return list.apply(this, given);
};

// biome-ignore lint/style/noDefaultExport: a Worker is a default export.
export default {
  ...relay,
  queue: (batch, env, context) => relay.queue(agoMs === 0 ? batch : earlier(batch), env, context),
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === BROKEN_PATH) {
      broken = await request.json();
      return new Response(null, { status: 204 });
    }
    if (pathname === CAME_PATH) {
      agoMs = await request.json();
      return new Response(null, { status: 204 });
    }
    if (pathname === SWEEP_PATH) {
      await sweep(failingForLong(env));
      return new Response(null, { status: 204 });
    }
    if (pathname !== DEAD_LETTER_PATH) return relay.fetch(request, env, context);
    const { id, event, reason, webhookIds } = await request.json<Given>();
    const letter = {
      id,
      event,
      eventId: event === null ? null : "evt_QNH783WW52FCCN914ZB1QAYTW0",
      email: null,
      reason,
      receivedAtMs: Date.now() - 60_000,
      failedAtMs: Date.now(),
      webhookIds,
    };
    const body = new TextEncoder().encode("{}");
    await env.DEAD_LETTER_STORE.getByName("dead-letters").keep({
      letter,
      body,
    } as unknown as Parameters<DeadLetterStore["keep"]>[0]);
    return new Response(null, { status: 204 });
  },
} satisfies ExportedHandler<Env, ArrayBuffer>;

function earlier({ queue, messages }: MessageBatch<ArrayBuffer>): MessageBatch<ArrayBuffer> {
  const came = messages.map((message) => ({
    id: message.id,
    attempts: message.attempts,
    body: message.body,
    timestamp: new Date(message.timestamp.getTime() - agoMs),
    ack: () => message.ack(),
    retry: (options?: QueueRetryOptions) => message.retry(options),
  }));
  return { queue, messages: came } as unknown as MessageBatch<ArrayBuffer>;
}

/** Whoever asks an object how it is doing hears of failures that began so much earlier; all else is as it is. */
function failingForLong(env: Env): Env {
  const getByName = (name: string) => {
    const stub = env.SUBSCRIBER.getByName(name);
    const check = async () => {
      const { failingSinceMs, ...report } = await stub.check();
      return { ...report, failingSinceMs: failingSinceMs && failingSinceMs - LATER_MS };
    };
    return { check };
  };
  return { ...env, SUBSCRIBER: { getByName } as unknown as Env["SUBSCRIBER"] };
}

type DeadLetterStore = ReturnType<Env["DEAD_LETTER_STORE"]["getByName"]>;
