/** The relay, with ways to bring about what takes long: a dead letter (20 failed retries), an alert (15 minutes). */
import relay from "../../src/index";
import { sweep } from "../../src/sweep";

// biome-ignore lint/performance/noBarrelFile: a Worker exports its objects.
export { DeadLetters, Journal, Lane, Registry, Subscriber } from "../../src/index";

type Given = { id: string; event: string | null; reason: string; webhookIds: string[] | null };

const DEAD_LETTER_PATH = "/test/dead-letters";
const SWEEP_PATH = "/test/sweep-later";
/** For so long a service fails before somebody is woken, and some more. */
const LATER_MS = 20 * 60_000;

// biome-ignore lint/style/noDefaultExport: a Worker is a default export.
export default {
  ...relay,
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
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
