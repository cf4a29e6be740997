/** What the relay costs (`npm run bench -- cost`): an operation more for each event or delivery shows here. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  APART,
  type Measured,
  type MeasuredFailure,
  measure,
  measureFailure,
  sumOf,
  usageOf,
  usagePerEvent,
} from "../../bench/cost/measure.ts";
import { buildMeteredWorker, type Counts } from "../../bench/cost/metered-relay.ts";
import type { Build } from "../rig/workerd.ts";

let build: Build;

beforeAll(async () => {
  build = await buildMeteredWorker();
});

afterAll(() => build.remove());

/** What is billed of `counts`; rows read are a thousandth of a row written, and only bounded. */
function billed(counts: Counts) {
  return {
    worker: sumOf(counts, "worker"),
    kv: sumOf(counts, "kv"),
    queue: sumOf(counts, "queue"),
    registry: sumOf(counts, "rpc.Registry", "alarm.Registry", "written.Registry"),
    journalCalls: sumOf(counts, "rpc.Journal"),
    journalRows: sumOf(counts, "written.Journal"),
    subscriberCalls: sumOf(counts, "rpc.Subscriber"),
    subscriberAlarms: sumOf(counts, "alarm.Subscriber"),
    subscriberRows: sumOf(counts, "written.Subscriber"),
  };
}

describe("a relay with two webhooks", () => {
  const webhooks = 2;
  let measured: Measured;
  const batch = (size: number) => measured.batches.get(size) ?? {};

  beforeAll(async () => {
    measured = await measure(build, { webhooks });
  });

  it("counts a full batch", () => {
    expect(billed(batch(100))).toEqual({
      worker: 101,
      kv: 200,
      queue: 300,
      registry: 1,
      journalCalls: 1,
      journalRows: 101,
      subscriberCalls: webhooks,
      subscriberAlarms: webhooks,
      // Each delivery on arrival and with its outcome, the arrival, a lease, an alarm.
      subscriberRows: webhooks * 203,
    });
  });

  it("counts a batch of one", () => {
    expect(billed(batch(1))).toEqual({
      worker: 2,
      kv: 2,
      queue: 3,
      registry: 1,
      journalCalls: 1,
      journalRows: 2,
      subscriberCalls: webhooks,
      subscriberAlarms: webhooks,
      // The arrival is the lease.
      subscriberRows: webhooks * 4,
    });
  });

  it("counts events that come one at a time: the further apart, the less they share", () => {
    const [close, far] = APART.map((seconds) => billed(measured.alone.get(seconds) ?? {})) as [
      ReturnType<typeof billed>,
      ReturnType<typeof billed>,
    ];
    const { subscriberAlarms, subscriberRows, ...same } = far;
    expect(close).toMatchObject(same);
    expect(close.subscriberAlarms).toBeLessThan(subscriberAlarms);
    expect(close.subscriberRows).toBeLessThan(subscriberRows);
    // On top of a batch of one: the row of the run, which each 32 arrivals write once.
    const { subscriberRows: alone, ...others } = billed(batch(1));
    expect(far).toMatchObject(others);
    expect(subscriberRows).toBeCloseTo(alone + webhooks / 32);
  });

  it("costs so much an event and so much a batch, whatever the size", () => {
    const { rowsRead: _, logLines: __, ...perEvent } = usagePerEvent(measured, 10);
    const counted = usageOf(batch(10));
    for (const [resource, amount] of Object.entries(perEvent)) {
      expect(10 * amount, resource).toBeCloseTo(counted[resource as keyof typeof perEvent]);
    }
  });

  it("logs what was delivered in groups", () => {
    const lines = [1, 10, 100].map((size) => usageOf(batch(size)).logLines / webhooks);
    expect(lines).toEqual([1, 1, 2]);
    // One at a time they share it for ten seconds.
    const [close = 0, far] = APART.map(
      (seconds) => usageOf(measured.alone.get(seconds) ?? {}).logLines / webhooks,
    );
    expect(close).toBeLessThan(0.15);
    expect(far).toBe(1);
  });

  it("reads few rows, with every table that retention keeps", () => {
    expect(sumOf(batch(100), "read") / 100).toBeLessThan(15 * webhooks);
    expect(sumOf(batch(1), "read")).toBeLessThan(250 * webhooks);
  });

  it("counts what a new hour, day and period and a sweep cost", () => {
    const { hour, day, period, sweep } = measured.over;
    // The hour that ended, and the run with a new one.
    expect(sumOf(hour, "written")).toBe(2 * webhooks);
    // Three tables and that of the version with its row, a list of webhooks, the alarm that deletes it all; and, once the
    // day is over, the alarm that tells the Registry its totals, and their row there.
    expect(sumOf(day, "written")).toBe(13);
    // Three tables with their indexes; the oldest are dropped, and so is a Journal.
    expect(sumOf(period, "written")).toBeLessThanOrEqual(13 * webhooks);
    expect(period).toMatchObject({ "dropped.Subscriber": 3 * webhooks, "dropped.Journal": 1 });
    // The Registry is asked for the webhooks, told what was found, and made to repeat what failed.
    expect(billed(sweep)).toMatchObject({ worker: 1, registry: 3, subscriberCalls: webhooks });
    expect(sumOf(sweep, "written")).toBe(0);
  });
});

describe("an event that fails all six times", () => {
  let failure: MeasuredFailure;

  beforeAll(async () => {
    failure = await measureFailure(build);
  });

  it("counts every attempt", () => {
    const rows = failure.steps.map(({ counts }) => sumOf(counts, "written"));
    // The first attempt goes out with the arrival; then its alarm rings, and is set to the first retry. The last ends in a
    // row more: that the Registry was told of it. Each retry is a row in the list of attempts.
    expect(rows).toEqual([9, 1, 7, 7, 7, 7, 6]);
    const alarms = failure.steps.map(({ counts }) => sumOf(counts, "alarm"));
    expect(alarms).toEqual([0, 1, 1, 1, 1, 1, 1]);
  });

  it("counts all of it", () => {
    expect(billed(failure.total)).toMatchObject({ journalRows: 2, subscriberRows: 42 });
  });
});
