import { consume } from "./consumer";
import { app } from "./routes/app";
import { sweep } from "./sweep";

export { Registry } from "./actors/registry";
export { Subscriber } from "./actors/subscriber";

export default {
  fetch: app.fetch,
  queue: consume,
  scheduled: (_controller, env) => sweep(env),
} satisfies ExportedHandler<Env, ArrayBuffer>;
