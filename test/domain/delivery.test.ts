import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isGivenUp, type Outcome, type Progress, reopen, settle } from "../../src/domain/delivery";
import { parseRetryAfter } from "../../src/domain/schedule";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const T0 = Date.UTC(2026, 10, 23, 12, 0, 0);
const SCHEDULE = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR];
const NO_JITTER = { schedule: SCHEDULE, giveUpOn: [], interruptible: false, random: 0 };

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
    responseHeaders: null,
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
    progress = settle(progress, { ...next, startedAtMs, durationMs }, { ...NO_JITTER, random });
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

describe("an answer that the webhook gives up on", () => {
  const policy = { ...NO_JITTER, giveUpOn: [400, 422] };
  const refused = outcome({ error: "status", statusCode: 422 });

  it("ends the delivery at the first failure, and no other status does", () => {
    const after = settle(OPENED, refused, policy);
    expect(after).toMatchObject({ status: "undeliverable", failures: 1, dueAtMs: null });
    const other = settle(OPENED, { ...refused, statusCode: 409 }, policy);
    expect(other).toMatchObject({ status: "pending", failures: 1 });
  });

  it("is told from every other", () => {
    expect(isGivenUp(refused, policy)).toBe(true);
    expect(isGivenUp({ ...refused, statusCode: 500 }, policy)).toBe(false);
    expect(isGivenUp({ ...refused, statusCode: null }, policy)).toBe(false);
  });
});

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
    const context = { ...NO_JITTER, schedule: [MINUTE] };
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

    it("never counts while it is a listener that goes away, and does when its time ran out", () => {
      const policy = { ...NO_JITTER, interruptible: true };
      const settled = (outcomes: Outcome[]) =>
        outcomes.reduce((before, each) => settle(before, each, policy), OPENED);
      const ranOut = interrupted({ ranOut: true });
      expect(settled(times(9, interrupted()))).toMatchObject({ attempts: 9, failures: 0 });
      expect(settled(times(4, ranOut))).toMatchObject({ attempts: 4, failures: 1 });
      const both = [...times(5, interrupted()), ...times(3, ranOut), interrupted()];
      expect(settled(both)).toMatchObject({ attempts: 9, failures: 0 });
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
    expect(settle(OPENED, later, { ...NO_JITTER, random: 0.99 }).dueAtMs).toBe(T0 + 2 * MINUTE);
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
          const context = { ...NO_JITTER, random };
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
