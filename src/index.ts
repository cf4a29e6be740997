import { consume } from "./consumer";
import { dashboard } from "./dashboard/mount";
import { app } from "./routes/app";
import { sweep } from "./sweep";

export { DeadLetters } from "./actors/dead-letters";
export { Journal } from "./actors/journal";
export { Lane } from "./actors/lane";
export { Registry } from "./actors/registry";
export { Subscriber } from "./actors/subscriber/subscriber";

export default {
  fetch: app.route("/dashboard", dashboard).fetch,
  queue: consume,
  scheduled: (_controller, env) => sweep(env),
} satisfies ExportedHandler<Env, ArrayBuffer>;
