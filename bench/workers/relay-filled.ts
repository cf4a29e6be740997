/**
 * The relay, and a way to put deliveries into a Subscriber as the consumer would, without the way through ingest:
 *
 *     POST /bench/fill?webhook=wh_…&count=N    the body is that of every delivery
 */
import type { EventId } from "../../src/domain/ids";
import relay from "../../src/index";

// biome-ignore lint/performance/noBarrelFile: a Worker exports its objects.
export { DeadLetters, Journal, Lane, Registry, Subscriber } from "../../src/index";

const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ID_DIGITS = 26;
const EVENT = "reply.received";
/** What one batch of the queue holds at most. */
const MAX_BATCH = 100;

/** Ids are hashes: these are as scattered. */
function randomId(): EventId {
  const random = crypto.getRandomValues(new Uint8Array(ID_DIGITS));
  return `evt_${Array.from(random, (byte) => CROCKFORD.charAt(byte & 31)).join("")}` as EventId;
}

async function fill(request: Request, env: Env): Promise<Response> {
  const { searchParams } = new URL(request.url);
  const subscriber = env.SUBSCRIBER.getByName(searchParams.get("webhook") ?? "");
  const body = new Uint8Array(await request.arrayBuffer());
  let added = 0;
  for (let left = Number(searchParams.get("count")); left > 0; left -= MAX_BATCH) {
    const count = Math.min(left, MAX_BATCH);
    const deliveries = Array.from({ length: count }, () => ({
      id: randomId(),
      event: EVENT,
      body,
    }));
    added += (await subscriber.accept({ deliveries })).added;
  }
  return Response.json({ added });
}

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  ...relay,
  fetch: (request, env, context) =>
    new URL(request.url).pathname === "/bench/fill"
      ? fill(request, env)
      : relay.fetch(request, env, context),
} satisfies ExportedHandler<Env, ArrayBuffer>;
