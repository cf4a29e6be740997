/**
 * The way of an event with nothing in it that the contract could do without: ingest as in ./reference.ts, one object
 * that stores the event, then `FAN` objects that each store a delivery, make its request to `SINK` once that is on disk,
 * and write down with the next one that it is done. No signatures, schedules, retries, settings or figures.
 */
import { DurableObject } from "cloudflare:workers";
import { answeredId, post } from "./post";
import reference from "./reference";

type Bindings = Parameters<typeof reference.fetch>[1] & {
  FAN: string;
  SINK: string;
  STORED: DurableObjectNamespace<Stored>;
};

export class Stored extends DurableObject<Bindings> {
  readonly #sql = this.ctx.storage.sql;
  #done: string[] = [];

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env);
    this.#sql.exec(
      "CREATE TABLE IF NOT EXISTS bodies (id TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID",
    );
  }

  /** Durable when it returns. */
  store(id: string, body: Uint8Array): void {
    this.#sql.exec("INSERT OR IGNORE INTO bodies VALUES (?, ?)", id, body);
  }

  /** The same; the request is made once it is on disk. */
  async deliver(id: string, body: Uint8Array): Promise<void> {
    this.store(id, body);
    for (const done of this.#done.splice(0)) {
      this.#sql.exec("UPDATE bodies SET body = NULL WHERE id = ?", done);
    }
    await this.ctx.storage.sync();
    this.ctx.waitUntil(post(this.env.SINK, body, id).then(() => this.#done.push(id)));
  }
}

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  fetch: reference.fetch,
  async queue(batch, env) {
    const handedOver = batch.messages.map(async ({ body }) => {
      const bytes = new Uint8Array(body);
      const id = answeredId(bytes, env.LEADTERRA_SIGNING_SECRETS);
      await env.STORED.getByName("event").store(id, bytes);
      const objects = Array.from({ length: Number(env.FAN) }, (_, each) =>
        env.STORED.getByName(`delivery-${each}`).deliver(id, bytes),
      );
      await Promise.all(objects);
    });
    await Promise.all(handedOver);
  },
} satisfies ExportedHandler<Bindings, ArrayBuffer>;
