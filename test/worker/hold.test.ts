import { describe, expect } from "vitest";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf,
  newEvents,
  register,
  retry,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, HOUR, it, service } from "../rig/worker/fixture";
import { api } from "../rig/worker/requests";

async function paused(fields: Record<string, unknown> = {}): Promise<string> {
  const { id } = await register(fields);
  expect((await api("POST", `/v1/webhooks/${id}/pause`)).status).toBe(200);
  return id;
}

async function resume(id: string): Promise<void> {
  expect((await api("POST", `/v1/webhooks/${id}/resume`)).status).toBe(200);
}

const cancel = (id: string, eventId: string) =>
  api("POST", `/v1/webhooks/${id}/deliveries/${eventId}/cancel`);

describe("a paused webhook", () => {
  it("accepts events, starts nothing, and sends all on resume, oldest first", async () => {
    const id = await paused({ ordered: true });
    const events = [...(await newEvents(2)), ...(await newEvents(3))];
    await accept(id, events.slice(0, 2));
    await accept(id, events.slice(2));
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
    for (const event of events) {
      expect(await deliveryOf(id, event.id)).toMatchObject({
        status: "pending",
        nextAttemptAt: null,
        waitingFor: "hold",
      });
    }
    await resume(id);
    await deliverAll(id, clock);
    expect(service.ids()).toEqual(events.map((event) => event.id));
    expect(await tally(id)).toEqual({ delivered: 5 });
  });

  it.each([1, 2, 3])(
    "sends the rest when the first %i of a batch were cancelled",
    async (first) => {
      const id = await paused();
      const events = await newEvents(5);
      await accept(id, events);
      for (const event of events.slice(0, first)) {
        expect((await cancel(id, event.id)).status).toBe(200);
      }
      await resume(id);
      expect(await alarmAt(subscriber(id))).not.toBeNull();
      await deliverAll(id, clock);
      expect(service.ids().sort()).toEqual(
        events
          .slice(first)
          .map((event) => event.id)
          .sort(),
      );
      expect(await tally(id)).toEqual({ cancelled: first, delivered: 5 - first });
    },
  );

  it("sends the rest when some of a batch were cancelled and a rate limit plans but a few", async () => {
    const id = await paused({ rateLimit: 50 });
    const events = await newEvents(10);
    await accept(id, events.slice(0, 7));
    await accept(id, events.slice(7));
    for (const event of events.slice(0, 3)) await cancel(id, event.id);
    expect((await api("PATCH", `/v1/webhooks/${id}`, { rateLimit: 2 })).status).toBe(200);
    expect((await api("PATCH", `/v1/webhooks/${id}`, { rateLimit: 50 })).status).toBe(200);
    await resume(id);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ cancelled: 3, delivered: 7 });
  });

  it("waits with a manual retry for the resume, and sends the rest of the batch too", async () => {
    const id = await paused();
    const events = await newEvents(3);
    await accept(id, events);
    expect((await retry(id, events[0]?.id ?? "")).status).toBe(202);
    await deliverAll(id, clock);
    expect(service.requests).toEqual([]);
    await resume(id);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 3 });
  });
});

describe("an ordered webhook", () => {
  it("rests until a failing delivery is due when one behind it is asked for", async () => {
    const { id } = await register({ ordered: true, retrySchedule: "1h 1h" });
    service.answer = answering(500);
    const [first, second] = await newEvents(2);
    await accept(
      id,
      [first, second].flatMap((event) => event ?? []),
    );
    await deliverAll(id, clock);
    expect((await retry(id, second?.id ?? "")).status).toBe(202);
    await deliverAll(id, clock);
    expect(service.ids()).toEqual([first?.id]);
    expect(await alarmAt(subscriber(id))).toBeGreaterThan(clock.nowMs() + HOUR / 2);
  });

  it("keeps its order when a pause that the service asked for is overridden for a later delivery", async () => {
    const { id } = await register({ ordered: true, retrySchedule: "1s 1s" });
    service.answer = answering(503, { headers: { "retry-after": "3600" } });
    const [first, second] = await newEvents(2);
    await accept(
      id,
      [first, second].flatMap((event) => event ?? []),
    );
    await deliverAll(id, clock);
    service.answer = answering(204);
    expect((await retry(id, second?.id ?? "")).status).toBe(202);
    await deliverAll(id, clock);
    expect(service.ids()).toEqual([first?.id]);
  });
});
