import { evictDurableObject } from "cloudflare:test";
import { describe, expect } from "vitest";
import { type HourCounters, sum } from "../../src/domain/counters";
import {
  accept,
  deliverAll,
  newEvent,
  newEvents,
  register,
  subscriber,
} from "../rig/worker/engine";
import { clock, it } from "../rig/worker/fixture";
import { inObject } from "../rig/worker/objects";
import { api } from "../rig/worker/requests";

async function countDelivered(webhookId: string): Promise<number> {
  const { hours } = await subscriber(webhookId).stats(0);
  // An RPC answer widens tuples to arrays.
  return sum(hours as HourCounters[]).delivered;
}

describe("the counters of a webhook", () => {
  it("count a delivery that was opened again just before an eviction", async () => {
    const { id } = await register();
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    const event = await newEvent();
    await accept(id, [event]);
    await deliverAll(id, clock);
    expect(await countDelivered(id)).toBe(2);
    await api("POST", `/v1/webhooks/${id}/pause`);
    await subscriber(id).reopen({ deliveries: [event], by: "retry" });
    await evictDurableObject(subscriber(id));
    expect(await countDelivered(id)).toBe(2);
    expect((await subscriber(id).stats(0)).pending).toBe(1);
  });

  it("counts anew when a release that does not know the count went on without it", async () => {
    const { id } = await register();
    await accept(id, await newEvents(3));
    await deliverAll(id, clock);
    await api("POST", `/v1/webhooks/${id}/pause`);
    await accept(id, await newEvents(2));
    await inObject(subscriber(id), ({ storage: { sql } }) => {
      const { state } = sql.exec<{ state: string }>("SELECT state FROM run").one();
      const run = JSON.parse(state);
      // It saved the row twice, three deliveries ended meanwhile, and `ended` is what it was.
      sql.exec(
        "UPDATE run SET state = ?",
        JSON.stringify({ ...run, saved: run.saved + 2, ended: 0 }),
      );
    });
    await evictDurableObject(subscriber(id));
    expect((await subscriber(id).stats(0)).pending).toBe(2);
    await evictDurableObject(subscriber(id));
    expect((await subscriber(id).stats(0)).pending).toBe(2);
  });
});
