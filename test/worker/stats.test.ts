import { evictDurableObject, reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  accept,
  type Clock,
  deliverAll,
  newEvent,
  register,
  startClock,
  startService,
  subscriber,
} from "./engine";
import { api, silenceLog } from "./fixtures";

let clock: Clock;

beforeEach(() => {
  silenceLog();
  clock = startClock();
  startService();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

describe("the counters of a webhook", () => {
  it("count a delivery that was opened again just before an eviction", async () => {
    const { id } = await register();
    await accept(id, [await newEvent()]);
    await deliverAll(id, clock);
    const event = await newEvent();
    await accept(id, [event]);
    await deliverAll(id, clock);
    expect((await subscriber(id).stats(0)).totals.delivered).toBe(2);
    await api("POST", `/v1/webhooks/${id}/pause`);
    await subscriber(id).reopen({ deliveries: [event], by: "retry" });
    await evictDurableObject(subscriber(id));
    expect((await subscriber(id).stats(0)).totals.delivered).toBe(2);
  });
});
