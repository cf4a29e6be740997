/**
 * The reference for ingest (./reference.ts), whose consumer makes `FAN` requests to `SINK` about each event and stores
 * nothing: what is left of a relay when only KV, queue and the requests themselves cannot be left out.
 */
import { answeredId, post } from "./post";
import reference from "./reference";

type Bindings = Parameters<typeof reference.fetch>[1] & { FAN: string; SINK: string };

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  fetch: reference.fetch,
  async queue(batch, env) {
    const requests = batch.messages.flatMap(({ body }) => {
      const bytes = new Uint8Array(body);
      const id = answeredId(bytes, env.LEADTERRA_SIGNING_SECRETS);
      return Array.from({ length: Number(env.FAN) }, () => post(env.SINK, bytes, id));
    });
    await Promise.all(requests);
  },
} satisfies ExportedHandler<Bindings, ArrayBuffer>;
