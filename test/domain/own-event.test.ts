import { describe, expect, it } from "vitest";
import {
  addNotice,
  isOwnEvent,
  MIN_GAP_MS,
  type Notice,
  OWN_EVENTS,
  seal,
  sendAtMs,
  sent,
  subjectOf,
} from "../../src/domain/own-event";

const T0 = Date.UTC(2026, 10, 23, 12, 0, 0);
const notice = (changes: Partial<Notice> = {}): Notice => ({
  event: OWN_EVENTS.undeliverable,
  about: "wh_1",
  atMs: T0,
  data: { id: "wh_1", name: "crm", delivery: { eventId: "evt_1" } },
  count: 1,
  ...changes,
});

describe("the outbox of the relay's own events", () => {
  it("sends the first at once", () => {
    const entry = addNotice(null, notice());
    expect(sendAtMs(entry)).toBe(0);
    expect(JSON.parse(seal(entry).body)).toEqual({
      event: "relay.delivery.undeliverable",
      timestamp: "2026-11-23T12:00:00.000Z",
      data: { id: "wh_1", name: "crm", delivery: { eventId: "evt_1" }, count: 1 },
    });
  });

  it("gathers what follows within the minute: the first is told, all are counted", () => {
    let entry = sent(seal(addNotice(null, notice())), T0);
    expect(sendAtMs(entry)).toBeNull();
    for (let index = 1; index <= 1_000; index++) {
      const data = { id: "wh_1", name: "crm", delivery: { eventId: `evt_${index + 1}` } };
      entry = addNotice(entry, notice({ atMs: T0 + index, data, count: 100 }));
    }
    expect(sendAtMs(entry)).toBe(T0 + MIN_GAP_MS);
    expect(JSON.parse(seal(entry).body)).toMatchObject({
      timestamp: "2026-11-23T12:00:00.001Z",
      data: { delivery: { eventId: "evt_2" }, count: 100_000 },
    });
  });

  it("sends the same body again when it is not known whether the queue took it", () => {
    const entry = seal(addNotice(null, notice()));
    const later = addNotice(entry, notice({ atMs: T0 + 5_000 }));
    expect(sendAtMs(later)).toBe(0);
    expect(seal(later).body).toBe(entry.body);
    const after = sent(seal(later), T0 + 6_000);
    expect(sendAtMs(after)).toBe(T0 + 6_000 + MIN_GAP_MS);
    expect(JSON.parse(seal(after).body)).toMatchObject({ data: { count: 1 } });
  });

  it("knows its own events, and whom they are about", () => {
    expect(isOwnEvent("relay.webhook.failing")).toBe(true);
    expect(isOwnEvent("reply.received")).toBe(false);
    expect(subjectOf("relay.webhook.failing", { id: "wh_1" })).toBe("wh_1");
    expect(subjectOf("relay.dead_letter.added", { deadLetter: {} })).toBeNull();
    expect(subjectOf("reply.received", { id: "wh_1" })).toBeNull();
  });
});
