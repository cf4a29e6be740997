import { describe, expect } from "vitest";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  newEvents,
  type Owed,
  register,
  resume,
  retry,
  ring,
  settingsOf,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, DAY, gate, it, MINUTE, SECOND, service } from "../rig/worker/fixture";
import { api } from "../rig/worker/requests";

const HOURS = "2h 8h 8h";

/** A webhook whose service failed ten times; `waiting` more arrived since. */
async function probed(
  waiting: number,
  fields: Record<string, unknown> = { retrySchedule: HOURS },
): Promise<{ id: string; waiting: Owed[] }> {
  const { id } = await register(fields);
  const failed = await newEvents(10);
  service.answer = answering(500);
  await accept(id, failed);
  await deliverAll(id, clock);
  expect(service.requests).toHaveLength(10);
  const more = await newEvents(waiting);
  await accept(id, more);
  return { id, waiting: more };
}

describe("a dead service", () => {
  it("is asked once a minute, however long the schedule waits first", async () => {
    clock.freeze();
    const { id } = await probed(5);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(10);
    for (const minute of [1, 2, 3]) {
      clock.advance(MINUTE - SECOND);
      await deliverAll(id, clock);
      expect(service.requests).toHaveLength(10 + minute - 1);
      clock.advance(SECOND);
      await deliverAll(id, clock);
      expect(service.requests).toHaveLength(10 + minute);
    }
  });

  it("is asked sooner by a shorter schedule", async () => {
    const { id } = await probed(5, { retrySchedule: "5s 2h" });
    clock.advance(6 * SECOND);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(11);
  });

  it("is asked at once by a retry, which counts as a probe", async () => {
    const { id, waiting } = await probed(5);
    const [, , asked] = waiting as [Owed, Owed, Owed];
    clock.advance(30 * SECOND);
    expect((await retry(id, asked.id)).status).toBe(202);
    await deliverAll(id, clock);
    expect(service.ids().slice(10)).toEqual([asked.id]);
    clock.advance(59 * SECOND);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(11);
    clock.advance(2 * SECOND);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(12);
  });

  it("is asked by a retry beside a probe that hangs, and by no other", async () => {
    const { id, waiting } = await probed(3);
    const [first, second] = waiting as [Owed, Owed];
    const hanging = gate();
    service.answer = async ({ eventId }) => {
      if (eventId === first.id) await hanging.opened;
      return answering(500)();
    };
    clock.advance(MINUTE);
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(11));
    expect((await retry(id, second.id)).status).toBe(202);
    await eventually(() => expect(service.requests).toHaveLength(12));
    expect(service.ids().slice(10, 12)).toEqual([first.id, second.id]);
    hanging.open();
    await running;
    expect(service.requests).toHaveLength(12);
  });

  it("is found by a retry that succeeds: what waited goes out", async () => {
    const { id, waiting } = await probed(5);
    const [asked] = waiting as [Owed];
    service.answer = answering(204);
    await retry(id, asked.id);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 5, pending: 10 });
  });

  it("is probed at once when a test is answered, and not when it is refused", async () => {
    const { id } = await probed(5);
    clock.advance(10 * SECOND);
    const waitsMs = await alarmAt(subscriber(id));
    expect((await api("POST", `/v1/webhooks/${id}/test`)).status).toBe(200);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(11);
    expect(await alarmAt(subscriber(id))).toBe(waitsMs);
    service.answer = answering(204);
    await api("POST", `/v1/webhooks/${id}/test`);
    await deliverAll(id, clock);
    expect(await tally(id)).toEqual({ delivered: 5, pending: 10 });
  });

  it("is probed at once on resume", async () => {
    const { id } = await probed(5);
    await api("POST", `/v1/webhooks/${id}/pause`);
    await api("POST", `/v1/webhooks/${id}/resume`);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(11);
  });
});

describe("a webhook that is disabled", () => {
  it("is so after five days without a success, and not a second earlier", async () => {
    clock.freeze();
    const { id } = await probed(5);
    clock.advance(5 * DAY - SECOND);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(11);
    expect(await settingsOf(id)).toMatchObject({ status: "active" });
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(12);
    expect(await settingsOf(id)).toMatchObject({ status: "disabled", statusReason: "failing" });
    clock.advance(DAY);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(12);
  });

  it("is probed one at a time when it is resumed, though it never failed ten times", async () => {
    const { id } = await register();
    service.answer = answering(410);
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    expect(await settingsOf(id)).toMatchObject({ status: "disabled", statusReason: "gone" });
    await accept(id, await newEvents(8));
    service.answer = answering(500);
    expect((await resume(id)).status).toBe(200);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(2);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(3);
    service.answer = answering(204);
    clock.advance(MINUTE);
    await deliverAll(id, clock);
    expect(await tally(id)).toMatchObject({ delivered: expect.any(Number) });
    expect(service.requests.length).toBeGreaterThan(8);
  });
});
