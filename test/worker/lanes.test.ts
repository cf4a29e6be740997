/** Webhooks with more than six attempts in flight: the Subscriber's own, and those that its Lanes make. */

import { env } from "cloudflare:workers";
import { describe, expect, vi } from "vitest";
import { laneName } from "../../src/domain/placement";
import {
  accept,
  alarmAt,
  deliverAll,
  newEvents,
  register,
  ring,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, gate, it, service } from "../rig/worker/fixture";
import { api } from "../rig/worker/requests";

const lane = (id: string, number: number) => env.LANE.getByName(laneName(id, number));

/** Holds every answer back until it is opened. */
function holding() {
  const late = gate();
  service.answer = async () => {
    await late.opened;
    return answering(204)();
  };
  return late;
}

/** A webhook whose attempts are in flight, as many as it may have, each Lane in its own alarm. */
async function busy(concurrency: number, events: number) {
  const { id } = await register({ concurrency });
  const owed = await newEvents(events);
  await accept(id, owed);
  const running = [ring(subscriber(id))];
  for (let number = 0; 6 * (number + 1) < concurrency; number++) {
    const stub = lane(id, number);
    await vi.waitFor(async () => expect(await alarmAt(stub)).not.toBeNull());
    running.push(ring(stub));
  }
  await vi.waitFor(() => expect(service.requests).toHaveLength(concurrency));
  return { id, ids: owed.map((event) => event.id), running: Promise.all(running) };
}

/** Whatever Lanes still have is made, and everything else too. */
async function finish(id: string, lanes: number): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await Promise.all([
      deliverAll(id, clock),
      ...Array.from({ length: lanes }, (_, number) => ring(lane(id, number))),
    ]);
  }
}

describe("a webhook with a concurrency of 24", () => {
  it("has 24 attempts in flight and no more, six in each object, and each delivery once", async () => {
    const late = holding();
    const { id, running } = await busy(24, 60);
    await accept(id, await newEvents(5));
    expect(service.requests).toHaveLength(24);
    expect(new Set(service.ids()).size).toBe(24);
    late.open();
    await running;
    await finish(id, 3);
    expect(service.peak).toBeLessThanOrEqual(24);
    expect(await tally(id)).toEqual({ delivered: 65 });
    expect(new Set(service.ids()).size).toBe(service.requests.length);
  });

  it("leaves no alarm and no table in a Lane that rests", async () => {
    const late = holding();
    const { id, running } = await busy(12, 12);
    late.open();
    await running;
    await finish(id, 1);
    expect(await tally(id)).toEqual({ delivered: 12 });
    expect(await alarmAt(lane(id, 0))).toBeNull();
  });
});

describe("what people do while 12 are in flight", () => {
  it("a pause stops what Lanes have not started, before it is answered", async () => {
    const late = holding();
    const { id, running } = await busy(12, 40);
    expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
    late.open();
    await running;
    await finish(id, 1);
    expect(service.requests).toHaveLength(12);
    expect(await tally(id)).toEqual({ delivered: 12, pending: 28 });
  });

  it("a cancelled delivery that a Lane had not started is not sent", async () => {
    const late = holding();
    const { id, ids, running } = await busy(12, 20);
    const asked = new Set<string>(service.ids());
    const waiting = ids.filter((each) => !asked.has(each));
    for (const each of waiting) {
      const path = `/v1/webhooks/${id}/deliveries/${each}/cancel`;
      expect((await api("POST", path)).status).toBe(200);
    }
    late.open();
    await running;
    await finish(id, 1);
    expect(service.requests).toHaveLength(12);
    expect(await tally(id)).toEqual({ delivered: 12, cancelled: 8 });
  });

  it("a deleted webhook is sent nothing more", async () => {
    const late = holding();
    const { id, running } = await busy(12, 40);
    expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(204);
    late.open();
    await running;
    await finish(id, 1);
    expect(service.requests).toHaveLength(12);
  });

  it("a test takes the connection that comes free next, and is answered in its own time", async () => {
    const late = holding();
    const { id } = await register();
    await accept(id, await newEvents(8));
    const running = ring(subscriber(id));
    await vi.waitFor(() => expect(service.requests).toHaveLength(6));
    const test = api("POST", `/v1/webhooks/${id}/test`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(service.requests).toHaveLength(6);
    late.open();
    expect(await (await test).json()).toMatchObject({ statusCode: 204, error: null });
    await running;
    expect(service.peak).toBe(6);
  });
});
