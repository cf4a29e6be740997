import relay from "../../src/index";
import { inMemory } from "./in-memory";

// biome-ignore lint/performance/noBarrelFile: a Worker exports its objects.
export { DeadLetters, Journal, Lane, Registry, Subscriber } from "../../src/index";

let standIns: Env | null = null;

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  fetch(request, env, context) {
    standIns ??= inMemory(env);
    return relay.fetch(request, standIns, context);
  },
} satisfies ExportedHandler<Env>;
