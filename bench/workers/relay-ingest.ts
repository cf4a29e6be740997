/** The relay, but for its consumer: what is measured is ingest, and the reference has no consumer either. */
import relay from "../../src/index";

// biome-ignore lint/performance/noBarrelFile: a Worker exports its objects.
export { DeadLetters, Journal, Lane, Registry, Subscriber } from "../../src/index";

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  fetch: relay.fetch,
  queue: () => {},
} satisfies ExportedHandler<Env>;
