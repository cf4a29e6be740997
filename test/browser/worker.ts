/** The relay, with a way to bring about what would take 20 failed retries: a dead letter. */
import relay from "../../src/index";

// biome-ignore lint/performance/noBarrelFile: a Worker exports its objects.
export { DeadLetters, Journal, Lane, Registry, Subscriber } from "../../src/index";

type Given = { id: string; event: string | null; reason: string; webhookIds: string[] | null };

const DEAD_LETTER_PATH = "/test/dead-letters";

// biome-ignore lint/style/noDefaultExport: a Worker is a default export.
export default {
  ...relay,
  async fetch(request, env, context) {
    if (new URL(request.url).pathname !== DEAD_LETTER_PATH) {
      return relay.fetch(request, env, context);
    }
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

type DeadLetterStore = ReturnType<Env["DEAD_LETTER_STORE"]["getByName"]>;
