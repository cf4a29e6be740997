import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  assess,
  HEALTHY,
  type Health,
  type Outcome,
  type Progress,
  release,
  reopen,
  settle,
} from "../../src/domain/delivery";
import { parseRetryAfter } from "../../src/domain/schedule";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const T0 = Date.UTC(2026, 10, 23, 12, 0, 0);
const SCHEDULE = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR];
const NO_JITTER = { schedule: SCHEDULE, random: 0 };

const OPENED: Progress = {
  status: "pending",
  attempts: 0,
  failures: 0,
  interruptions: 0,
  dueAtMs: T0,
  completedAtMs: null,
  lastStatusCode: null,
  lastError: null,
};

function outcome(changes: Partial<Outcome> = {}): Outcome {
  return {
    error: null,
    statusCode: 200,
    startedAtMs: T0,
    durationMs: 0,
    responseBody: "",
    responseTruncated: false,
    retryAfterMs: null,
    ...changes,
  };
}

const failed = (changes: Partial<Outcome> = {}) =>
  outcome({ error: "status", statusCode: 500, ...changes });
const interrupted = (changes: Partial<Outcome> = {}) =>
  outcome({ error: "interrupted", statusCode: null, ...changes });

/** Makes each attempt the moment it is due; every one takes `durationMs` and comes to the next outcome. */
function live(from: Progress, outcomes: Outcome[], { durationMs = 0, random = 0 } = {}) {
  const steps: Progress[] = [];
  let progress = from;
  for (const next of outcomes) {
    const startedAtMs = progress.dueAtMs;
    if (startedAtMs === null) throw new Error("the delivery is finished");
    progress = settle(
      progress,
      { ...next, startedAtMs, durationMs },
      { schedule: SCHEDULE, random },
    );
    steps.push(progress);
  }
  return steps;
}

const last = <T>(steps: T[]): T => {
  const step = steps.at(-1);
  if (step === undefined) throw new Error("nothing happened");
  return step;
};

const times = <T>(count: number, value: T): T[] => Array(count).fill(value);

describe("a delivery", () => {
  it("is delivered by a success, at the end of the attempt", () => {
    expect(settle(OPENED, outcome({ statusCode: 204, durationMs: 120 }), NO_JITTER)).toEqual({
      ...OPENED,
      status: "delivered",
      attempts: 1,
      dueAtMs: null,
      completedAtMs: T0 + 120,
      lastStatusCode: 204,
    });
  });

  it("is attempted six times by the documented schedule, to the second", () => {
    const steps = live(OPENED, times(6, failed()));
    expect(steps.map(({ status, attempts, dueAtMs }) => ({ status, attempts, dueAtMs }))).toEqual([
      { status: "pending", attempts: 1, dueAtMs: T0 + 60 * SECOND },
      { status: "pending", attempts: 2, dueAtMs: T0 + 360 * SECOND },
      { status: "pending", attempts: 3, dueAtMs: T0 + 2_160 * SECOND },
      { status: "pending", attempts: 4, dueAtMs: T0 + 9_360 * SECOND },
      { status: "pending", attempts: 5, dueAtMs: T0 + 38_160 * SECOND },
      { status: "undeliverable", attempts: 6, dueAtMs: null },
    ]);
    expect(last(steps)).toMatchObject({
      completedAtMs: T0 + 38_160 * SECOND,
      lastStatusCode: 500,
      lastError: "status",
    });
  });

  it("waits from the end of the attempt before, not from its start", () => {
    const steps = live(OPENED, times(6, failed({ error: "timeout", statusCode: null })), {
      durationMs: 10 * SECOND,
    });
    expect(steps.map(({ dueAtMs }) => dueAtMs)).toEqual([
      T0 + (60 + 10) * SECOND,
      T0 + (360 + 20) * SECOND,
      T0 + (2_160 + 30) * SECOND,
      T0 + (9_360 + 40) * SECOND,
      T0 + (38_160 + 50) * SECOND,
      null,
    ]);
    expect(last(steps).completedAtMs).toBe(T0 + (38_160 + 60) * SECOND);
  });

  it("is stretched by its jitter, a tenth at most", () => {
    const steps = live(OPENED, times(5, failed()), { random: 0.5 });
    expect(steps.map(({ dueAtMs }) => dueAtMs)).toEqual([
      T0 + 63 * SECOND,
      T0 + 378 * SECOND,
      T0 + 2_268 * SECOND,
      T0 + 9_828 * SECOND,
      T0 + 40_068 * SECOND,
    ]);
  });

  it("can succeed at its sixth attempt", () => {
    expect(last(live(OPENED, [...times(5, failed()), outcome()]))).toMatchObject({
      status: "delivered",
      attempts: 6,
      lastStatusCode: 200,
      lastError: null,
    });
  });

  it("has as many retries as its schedule has waits", () => {
    const context = { schedule: [MINUTE], random: 0 };
    const once = settle(OPENED, failed(), context);
    expect(once).toMatchObject({ status: "pending", dueAtMs: T0 + MINUTE });
    expect(settle(once, failed(), context)).toMatchObject({ status: "undeliverable", attempts: 2 });
  });

  it.each([
    ["timeout", null],
    ["connection", null],
    ["redirect", 307],
    ["status", 304],
    ["status", 999],
    ["forbidden_target", null],
  ] as const)("counts a failure: %s, status %s", (error, statusCode) => {
    expect(settle(OPENED, outcome({ error, statusCode }), NO_JITTER)).toEqual({
      ...OPENED,
      attempts: 1,
      failures: 1,
      dueAtMs: T0 + MINUTE,
      lastStatusCode: statusCode,
      lastError: error,
    });
  });

  it("is not changed in place", () => {
    const before = Object.freeze({ ...OPENED });
    expect(settle(before, failed(), NO_JITTER)).not.toBe(before);
  });

  describe("that is interrupted", () => {
    it("goes out again at once, up to three times in a row, and none of them counts", () => {
      const steps = live(OPENED, times(3, interrupted()), { durationMs: 2 * SECOND });
      expect(steps.map(({ attempts, failures, dueAtMs }) => [attempts, failures, dueAtMs])).toEqual(
        [
          [1, 0, T0 + 2 * SECOND],
          [2, 0, T0 + 4 * SECOND],
          [3, 0, T0 + 6 * SECOND],
        ],
      );
      expect(last(steps)).toMatchObject({ status: "pending", lastError: "interrupted" });
    });

    it("counts from the fourth in a row on, and every one after it", () => {
      const steps = live(OPENED, times(9, interrupted()));
      expect(steps.map(({ failures }) => failures)).toEqual([0, 0, 0, 1, 2, 3, 4, 5, 6]);
      expect(steps[3]?.dueAtMs).toBe(T0 + MINUTE);
      expect(last(steps)).toMatchObject({
        status: "undeliverable",
        attempts: 9,
        lastError: "interrupted",
      });
    });

    it("has three free ones again after any other outcome", () => {
      const steps = live(OPENED, [
        ...times(3, interrupted()),
        failed(),
        ...times(3, interrupted()),
      ]);
      expect(last(steps)).toMatchObject({ status: "pending", attempts: 7, failures: 1 });
    });

    it("keeps its place in the schedule", () => {
      const steps = live(OPENED, [failed(), failed(), interrupted(), failed()]);
      const third = steps[2]?.dueAtMs ?? 0;
      expect(third).toBe(T0 + 6 * MINUTE);
      expect(steps[3]).toMatchObject({ failures: 3, dueAtMs: third + 30 * MINUTE });
    });

    it("can succeed", () => {
      expect(last(live(OPENED, [interrupted(), outcome()]))).toMatchObject({
        status: "delivered",
        attempts: 2,
        interruptions: 0,
      });
    });
  });

  it("stays pending and uncounted when the service says 410, however often", () => {
    const gone = failed({ statusCode: 410 });
    const steps = live(OPENED, [failed(), ...times(10, gone)]);
    expect(last(steps)).toMatchObject({
      status: "pending",
      attempts: 11,
      failures: 1,
      lastStatusCode: 410,
      lastError: "status",
    });
    expect(last(steps).dueAtMs).not.toBeNull();
  });

  it("is postponed by Retry-After where that is later than the schedule", () => {
    const later = failed({ statusCode: 503, retryAfterMs: T0 + 2 * MINUTE });
    expect(settle(OPENED, later, NO_JITTER).dueAtMs).toBe(T0 + 2 * MINUTE);
    expect(settle(OPENED, later, { schedule: SCHEDULE, random: 0.99 }).dueAtMs).toBe(
      T0 + 2 * MINUTE,
    );
    const earlier = failed({ statusCode: 429, retryAfterMs: T0 + 59 * SECOND });
    expect(settle(OPENED, earlier, NO_JITTER).dueAtMs).toBe(T0 + MINUTE);
  });

  it("ends with its schedule, whatever Retry-After says", () => {
    const steps = live(OPENED, times(6, failed({ statusCode: 503, retryAfterMs: T0 + DAY })));
    expect(last(steps)).toMatchObject({ status: "undeliverable", dueAtMs: null });
  });

  it("is only ever delayed by Retry-After", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 5 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.oneof(fc.nat({ max: 40_000 }).map(String), fc.string(), fc.constant(null)),
        (failures, random, header) => {
          const before = { ...OPENED, attempts: failures, failures };
          const context = { schedule: SCHEDULE, random };
          const without = settle(before, failed({ statusCode: 429 }), context);
          const retryAfterMs = parseRetryAfter(header, T0);
          const postponed = settle(before, failed({ statusCode: 429, retryAfterMs }), context);
          expect(postponed.status).toBe(without.status);
          if (without.dueAtMs === null) {
            expect(postponed.dueAtMs).toBeNull();
          } else {
            expect(postponed.dueAtMs).toBe(Math.max(without.dueAtMs, retryAfterMs ?? 0));
          }
        },
      ),
    );
  });

  it("counts every attempt, and has a due time exactly while it is pending", () => {
    const next = fc.constantFrom(
      failed(),
      interrupted(),
      failed({ statusCode: 410 }),
      failed({ statusCode: 503, retryAfterMs: T0 + HOUR }),
      outcome(),
    );
    fc.assert(
      fc.property(fc.array(next, { maxLength: 30 }), (outcomes) => {
        let progress = OPENED;
        for (const [index, result] of outcomes.entries()) {
          const startedAtMs = progress.dueAtMs ?? 0;
          progress = settle(progress, { ...result, startedAtMs }, NO_JITTER);
          expect(progress.attempts).toBe(index + 1);
          expect(progress.dueAtMs === null).toBe(progress.status !== "pending");
          expect(progress.completedAtMs === null).toBe(progress.status === "pending");
          if (progress.dueAtMs === null) return;
          expect(progress.dueAtMs).toBeGreaterThanOrEqual(startedAtMs);
        }
      }),
    );
  });

  it("starts a fresh schedule when it is opened again, attempt numbers going on", () => {
    const ended = last(live(OPENED, times(6, failed())));
    const reopened = reopen(ended, T0 + 2 * DAY);
    expect(reopened).toEqual({
      ...OPENED,
      attempts: 6,
      dueAtMs: T0 + 2 * DAY,
      lastStatusCode: 500,
      lastError: "status",
    });
    const steps = live(reopened, times(6, failed()));
    expect(steps[0]?.dueAtMs).toBe(T0 + 2 * DAY + MINUTE);
    expect(last(steps)).toMatchObject({ status: "undeliverable", attempts: 12 });
  });

  it("has three free interruptions again when it is opened again", () => {
    const ended = last(live(OPENED, times(9, interrupted())));
    const steps = live(reopen(ended, T0), times(3, interrupted()));
    expect(last(steps)).toMatchObject({ status: "pending", failures: 0, attempts: 12 });
  });

  it("can be opened again after it was delivered", () => {
    const delivered = settle(OPENED, outcome(), NO_JITTER);
    expect(reopen(delivered, T0 + HOUR)).toMatchObject({
      status: "pending",
      dueAtMs: T0 + HOUR,
      completedAtMs: null,
      attempts: 1,
    });
  });
});

describe("the health of a webhook", () => {
  /** Health after outcomes that come one `everyMs`. */
  function healthAfter(from: Health, outcomes: Outcome[], everyMs = MINUTE): Health {
    return outcomes.reduce(
      (health, next, index) => assess(health, { ...next, startedAtMs: T0 + index * everyMs }),
      from,
    );
  }
  const afterFailures = (count: number, everyMs?: number) =>
    healthAfter(HEALTHY, times(count, failed()), everyMs);

  it("stays the same object through a success, so that nothing needs to be written", () => {
    expect(assess(HEALTHY, outcome())).toBe(HEALTHY);
    const postponed: Health = { ...HEALTHY, postponedUntilMs: T0 + HOUR };
    expect(assess(postponed, outcome())).toBe(postponed);
  });

  it("stays the same object through an interruption", () => {
    const failing = afterFailures(9);
    expect(assess(failing, interrupted())).toBe(failing);
    expect(assess(HEALTHY, interrupted())).toBe(HEALTHY);
  });

  it("begins to probe with the tenth failure in a row", () => {
    expect(afterFailures(9)).toMatchObject({ failuresInARow: 9, probing: false });
    expect(afterFailures(9).lastProbeEndedAtMs).toBeNull();
    expect(afterFailures(10)).toMatchObject({
      failuresInARow: 10,
      probing: true,
      lastProbeEndedAtMs: T0 + 9 * MINUTE,
    });
  });

  it("counts in a row over different deliveries, and interruptions neither way", () => {
    const health = healthAfter(HEALTHY, [
      ...times(9, failed()),
      ...times(5, interrupted()),
      failed(),
    ]);
    expect(health).toMatchObject({ failuresInARow: 10, probing: true });
  });

  it("does not begin to probe when a success comes between", () => {
    const health = healthAfter(HEALTHY, [...times(9, failed()), outcome(), ...times(9, failed())]);
    expect(health).toMatchObject({ failuresInARow: 9, probing: false });
  });

  it("notes the end of each probe", () => {
    const probe = failed({ error: "timeout", startedAtMs: T0 + HOUR, durationMs: 10 * SECOND });
    expect(assess(afterFailures(10), probe)).toMatchObject({
      probing: true,
      lastProbeEndedAtMs: T0 + HOUR + 10 * SECOND,
    });
  });

  it("is whole again after the first success", () => {
    expect(assess(afterFailures(25), outcome())).toEqual(HEALTHY);
    expect(assess(afterFailures(3), outcome())).toEqual(HEALTHY);
  });

  it("fails since the end of the first failure", () => {
    const first = assess(HEALTHY, failed({ durationMs: 10 * SECOND }));
    expect(first).toMatchObject({ failingSinceMs: T0 + 10 * SECOND, failuresSince: 1 });
    const second = assess(first, failed({ startedAtMs: T0 + HOUR }));
    expect(second).toMatchObject({ failingSinceMs: T0 + 10 * SECOND, failuresSince: 2 });
  });

  describe("after five days without a success", () => {
    const failing = (failures: number, lastAtMs: number) =>
      assess(afterFailures(failures - 1, SECOND), failed({ startedAtMs: lastAtMs }));

    it.each([
      ["ten failures over five days", 10, T0 + 5 * DAY, "failing"],
      ["many failures over more", 500, T0 + 6 * DAY, "failing"],
      ["nine failures over five days", 9, T0 + 5 * DAY, null],
      ["ten failures over almost five days", 10, T0 + 5 * DAY - 1, null],
      ["many failures in an hour", 500, T0 + HOUR, null],
    ])("comes to: %s", (_, failures, lastAtMs, disabled) => {
      expect(failing(failures, lastAtMs).disabled).toBe(disabled);
    });

    it("disables with the tenth failure, when the five days passed before it", () => {
      const ninth = failing(9, T0 + 20 * DAY);
      expect(ninth.disabled).toBeNull();
      expect(assess(ninth, failed({ startedAtMs: T0 + 21 * DAY })).disabled).toBe("failing");
    });

    it("does not disable for interruptions alone", () => {
      const outcomes = times(20, interrupted());
      expect(healthAfter(HEALTHY, outcomes, DAY).disabled).toBeNull();
    });

    it("counts both anew from the first failure after a success", () => {
      const recovered = assess(afterFailures(50, HOUR), outcome({ startedAtMs: T0 + 4 * DAY }));
      const again = assess(recovered, failed({ startedAtMs: T0 + 6 * DAY }));
      expect(again).toMatchObject({
        disabled: null,
        failingSinceMs: T0 + 6 * DAY,
        failuresSince: 1,
      });
    });
  });

  it("is gone with the first 410", () => {
    expect(assess(HEALTHY, failed({ statusCode: 410 })).disabled).toBe("gone");
  });

  it.each([404, 411, 400, 500])("is not gone with %i", (statusCode) => {
    expect(assess(HEALTHY, failed({ statusCode })).disabled).toBeNull();
  });

  it("keeps the reason that came first, also through a success that was on its way", () => {
    const gone = assess(HEALTHY, failed({ statusCode: 410 }));
    const failingToo = healthAfter(gone, times(20, failed()), DAY);
    expect(failingToo.disabled).toBe("gone");
    expect(assess(failingToo, outcome()).disabled).toBe("gone");
  });

  it("is postponed as a whole by Retry-After, by the longest that was asked for", () => {
    const asked = assess(HEALTHY, failed({ statusCode: 503, retryAfterMs: T0 + HOUR }));
    expect(asked.postponedUntilMs).toBe(T0 + HOUR);
    const shorter = assess(asked, failed({ statusCode: 429, retryAfterMs: T0 + MINUTE }));
    expect(shorter.postponedUntilMs).toBe(T0 + HOUR);
    const longer = assess(asked, failed({ statusCode: 429, retryAfterMs: T0 + 2 * HOUR }));
    expect(longer.postponedUntilMs).toBe(T0 + 2 * HOUR);
    expect(assess(asked, failed()).postponedUntilMs).toBe(T0 + HOUR);
    expect(assess(asked, outcome()).postponedUntilMs).toBe(T0 + HOUR);
  });

  describe("when a person releases the webhook", () => {
    it("probes after it was disabled, the first at once", () => {
      const gone = assess(HEALTHY, failed({ statusCode: 410 }));
      expect(release(gone, true)).toMatchObject({
        disabled: null,
        probing: true,
        lastProbeEndedAtMs: null,
      });
    });

    it("does not probe after a mere pause", () => {
      expect(release(afterFailures(3), false)).toMatchObject({ probing: false });
    });

    it("goes on probing at its pace after a pause while it probed", () => {
      expect(release(afterFailures(12), false)).toMatchObject({
        probing: true,
        lastProbeEndedAtMs: T0 + 11 * MINUTE,
      });
    });

    it("starts the failure clock anew", () => {
      const failing = healthAfter(HEALTHY, times(10, failed()), 12 * HOUR);
      const released = release(failing, false);
      expect(released).toMatchObject({ failingSinceMs: null, failuresSince: 0, disabled: null });
      const next = assess(released, failed({ startedAtMs: T0 + 6 * DAY }));
      expect(next).toMatchObject({
        failingSinceMs: T0 + 6 * DAY,
        failuresSince: 1,
        disabled: null,
      });
    });

    it("still waits for the end of a pause that the service asked for", () => {
      const asked = assess(HEALTHY, failed({ statusCode: 503, retryAfterMs: T0 + HOUR }));
      expect(release(asked, false).postponedUntilMs).toBe(T0 + HOUR);
    });

    it("ends the row of failures from before with the next success", () => {
      const released = release(afterFailures(9), false);
      expect(assess(released, outcome())).toEqual(HEALTHY);
      const failedOnce = healthAfter(released, [outcome(), failed()]);
      expect(failedOnce).toMatchObject({ failuresInARow: 1, probing: false });
    });

    it("is whole again after the first success of a probe", () => {
      const gone = assess(HEALTHY, failed({ statusCode: 410 }));
      expect(assess(release(gone, true), outcome())).toEqual(HEALTHY);
    });
  });
});
