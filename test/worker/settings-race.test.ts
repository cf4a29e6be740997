import { describe, expect, vi } from "vitest";
import {
  accept,
  deliverAll,
  deliveryOf,
  newEvents,
  patch,
  register,
  ring,
  settingsOf,
  subscriber,
} from "../rig/worker/engine";
import { answering, clock, gate, it, service } from "../rig/worker/fixture";

describe("a change of URL while an attempt is in flight", () => {
  it.each([
    [410, {}],
    [503, { "retry-after": "3600" }],
  ])("does not blame the new service for the old one's late %i", async (status, headers) => {
    const { id } = await register({ url: "https://old.example.com/in", retrySchedule: "1s 1s 1s" });
    const late = gate();
    service.answer = async ({ url }) => {
      if (!url.includes("old.example")) return answering(204)();
      await late.opened;
      return answering(status, { headers })();
    };
    const [event] = await newEvents(1);
    await accept(
      id,
      [event].flatMap((each) => each ?? []),
    );
    const running = ring(subscriber(id));
    await vi.waitFor(() => expect(service.requests).toHaveLength(1));
    expect((await patch(id, { url: "https://new.example.com/in" })).status).toBe(200);
    late.open();
    await running;
    clock.advance(2_000);
    await deliverAll(id, clock);
    expect(await settingsOf(id)).toMatchObject({ status: "active", statusReason: null });
    expect(await deliveryOf(id, event?.id ?? "")).toMatchObject({
      status: "delivered",
      attempts: 2,
    });
  });
});
