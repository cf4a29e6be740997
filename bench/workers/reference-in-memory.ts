import { inMemory } from "./in-memory";
import reference from "./reference";

type Bindings = Parameters<typeof reference.fetch>[1];

let standIns: Bindings | null = null;

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  fetch(request, env, context) {
    standIns ??= inMemory(env);
    return reference.fetch(request, standIns, context);
  },
} satisfies ExportedHandler<Bindings>;
