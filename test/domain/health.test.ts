import { describe, expect, it } from "vitest";
import type { Outcome } from "../../src/domain/delivery";
import {
  answeredTest,
  assess,
  forgetAnswer,
  HEALTHY,
  type Health,
  isNotable,
  noteLateness,
  release,
  renew,
} from "../../src/domain/health";
import {
  type HealthState,
  type Queue,
  reportHealth,
  type Standing,
  stateOf,
} from "../../src/domain/health-report";
import type { EventId } from "../../src/domain/ids";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const T0 = Date.UTC(2026, 10, 23, 12, 0, 0);
const SUBJECT = { eventId: "evt_1" as EventId };
const OTHER = { eventId: "evt_2" as EventId };
const LATER = { startedAtMs: T0 + 5 * MINUTE };

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
const times = <T>(count: number, value: T): T[] => Array(count).fill(value);

/** Health after outcomes that come one `everyMs`. */
function healthAfter(from: Health, outcomes: Outcome[], everyMs = MINUTE): Health {
  return outcomes.reduce(
    (health, next, index) =>
      assess(health, { ...next, startedAtMs: T0 + index * everyMs }, SUBJECT),
    from,
  );
}
const afterFailures = (count: number, everyMs?: number) =>
  healthAfter(HEALTHY, times(count, failed()), everyMs);

describe("the health of a webhook", () => {
  it("has nothing worth a row of its own in one more success", () => {
    const after = assess(HEALTHY, outcome({ durationMs: 5 }), SUBJECT);
    expect(after).toEqual({ ...HEALTHY, lastSuccessAtMs: T0 + 5 });
    expect(isNotable(HEALTHY, after)).toBe(false);
    expect(isNotable(HEALTHY, afterFailures(1))).toBe(true);
    expect(isNotable(afterFailures(1), healthAfter(afterFailures(1), [outcome()]))).toBe(true);
  });

  it("stays the same object through an interruption", () => {
    const failing = afterFailures(9);
    expect(assess(failing, interrupted(), SUBJECT)).toBe(failing);
    expect(assess(HEALTHY, interrupted(), SUBJECT)).toBe(HEALTHY);
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
    expect(assess(afterFailures(10), probe, SUBJECT)).toMatchObject({
      probing: true,
      lastProbeEndedAtMs: T0 + HOUR + 10 * SECOND,
    });
  });

  it("is whole again after the first success, and remembers what failed last", () => {
    for (const failures of [3, 25]) {
      const before = afterFailures(failures);
      const endedAtMs = T0 + DAY + 5;
      expect(assess(before, outcome({ startedAtMs: T0 + DAY, durationMs: 5 }), SUBJECT)).toEqual({
        ...HEALTHY,
        lastFailure: before.lastFailure,
        lastSuccessAtMs: endedAtMs,
        wellFromMs: endedAtMs,
      });
    }
  });

  it("fails since the end of the first failure", () => {
    const first = assess(HEALTHY, failed({ durationMs: 10 * SECOND }), SUBJECT);
    expect(first).toMatchObject({ failingSinceMs: T0 + 10 * SECOND, failuresSince: 1 });
    const second = assess(first, failed({ startedAtMs: T0 + HOUR }), SUBJECT);
    expect(second).toMatchObject({ failingSinceMs: T0 + 10 * SECOND, failuresSince: 2 });
  });

  describe("after five days without a success", () => {
    const failing = (failures: number, lastAtMs: number) =>
      assess(afterFailures(failures - 1, SECOND), failed({ startedAtMs: lastAtMs }), SUBJECT);

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
      expect(assess(ninth, failed({ startedAtMs: T0 + 21 * DAY }), SUBJECT).disabled).toBe(
        "failing",
      );
    });

    it("does not disable for interruptions alone", () => {
      const outcomes = times(20, interrupted());
      expect(healthAfter(HEALTHY, outcomes, DAY).disabled).toBeNull();
    });

    it("counts both anew from the first failure after a success", () => {
      const recovered = assess(
        afterFailures(50, HOUR),
        outcome({ startedAtMs: T0 + 4 * DAY }),
        SUBJECT,
      );
      const again = assess(recovered, failed({ startedAtMs: T0 + 6 * DAY }), SUBJECT);
      expect(again).toMatchObject({
        disabled: null,
        failingSinceMs: T0 + 6 * DAY,
        failuresSince: 1,
      });
    });
  });

  it("is gone with the first 410", () => {
    expect(assess(HEALTHY, failed({ statusCode: 410 }), SUBJECT).disabled).toBe("gone");
  });

  it.each([404, 411, 400, 500])("is not gone with %i", (statusCode) => {
    expect(assess(HEALTHY, failed({ statusCode }), SUBJECT).disabled).toBeNull();
  });

  it("keeps the reason that came first, also through a success that was on its way", () => {
    const gone = assess(HEALTHY, failed({ statusCode: 410 }), SUBJECT);
    const failingToo = healthAfter(gone, times(20, failed()), DAY);
    expect(failingToo.disabled).toBe("gone");
    expect(assess(failingToo, outcome(), SUBJECT).disabled).toBe("gone");
  });

  it("is postponed as a whole by Retry-After, by the longest that was asked for", () => {
    const asked = assess(HEALTHY, failed({ statusCode: 503, retryAfterMs: T0 + HOUR }), SUBJECT);
    expect(asked.postponedUntilMs).toBe(T0 + HOUR);
    const shorter = assess(asked, failed({ statusCode: 429, retryAfterMs: T0 + MINUTE }), SUBJECT);
    expect(shorter.postponedUntilMs).toBe(T0 + HOUR);
    const longer = assess(asked, failed({ statusCode: 429, retryAfterMs: T0 + 2 * HOUR }), SUBJECT);
    expect(longer.postponedUntilMs).toBe(T0 + 2 * HOUR);
    expect(assess(asked, failed(), SUBJECT).postponedUntilMs).toBe(T0 + HOUR);
  });

  it("is no longer postponed after a success, unless that was under way when the pause was asked for", () => {
    const asked = assess(
      HEALTHY,
      failed({ statusCode: 429, startedAtMs: T0 + 10, durationMs: 10, retryAfterMs: T0 + HOUR }),
      SUBJECT,
    );
    expect(asked.postponedFromMs).toBe(T0 + 20);
    const underWay = assess(asked, outcome({ startedAtMs: T0 + 15, durationMs: 50 }), SUBJECT);
    expect(underWay.postponedUntilMs).toBe(T0 + HOUR);
    const later = assess(asked, outcome({ startedAtMs: T0 + 21 }), SUBJECT);
    expect(later.postponedUntilMs).toBeNull();
  });

  describe("when a person releases the webhook", () => {
    it("probes after it was disabled, the first at once", () => {
      const gone = assess(HEALTHY, failed({ statusCode: 410 }), SUBJECT);
      expect(release(gone, true, T0 + HOUR)).toMatchObject({
        disabled: null,
        probing: true,
        lastProbeEndedAtMs: null,
      });
    });

    it("does not probe after a mere pause", () => {
      expect(release(afterFailures(3), false, T0 + HOUR)).toMatchObject({ probing: false });
    });

    it("probes at once after a pause while it probed", () => {
      expect(release(afterFailures(12), false, T0 + HOUR)).toMatchObject({
        probing: true,
        probingFromMs: T0 + 9 * MINUTE,
        lastProbeEndedAtMs: null,
      });
    });

    it("starts the failure clock anew", () => {
      const failing = healthAfter(HEALTHY, times(10, failed()), 12 * HOUR);
      const released = release(failing, false, T0 + HOUR);
      expect(released).toMatchObject({ failingSinceMs: null, failuresSince: 0, disabled: null });
      const next = assess(released, failed({ startedAtMs: T0 + 6 * DAY }), SUBJECT);
      expect(next).toMatchObject({
        failingSinceMs: T0 + 6 * DAY,
        failuresSince: 1,
        disabled: null,
      });
    });

    it("still waits for the end of a pause that the service asked for", () => {
      const asked = assess(HEALTHY, failed({ statusCode: 503, retryAfterMs: T0 + HOUR }), SUBJECT);
      expect(release(asked, false, T0 + HOUR).postponedUntilMs).toBe(T0 + HOUR);
    });

    it("ends the row of failures from before with the next success", () => {
      const released = release(afterFailures(9), false, T0 + HOUR);
      expect(assess(released, outcome(), SUBJECT)).toMatchObject({
        failuresInARow: 0,
        probing: false,
      });
      const failedOnce = healthAfter(released, [outcome(), failed()]);
      expect(failedOnce).toMatchObject({ failuresInARow: 1, probing: false });
    });

    it("is whole again after the first success of a probe", () => {
      const gone = assess(HEALTHY, failed({ statusCode: 410 }), SUBJECT);
      const whole = assess(
        release(gone, true, T0 + HOUR),
        outcome({ startedAtMs: T0 + DAY }),
        SUBJECT,
      );
      expect(whole).toEqual({
        ...HEALTHY,
        lastFailure: gone.lastFailure,
        lastSuccessAtMs: T0 + DAY,
        wellFromMs: T0 + DAY,
      });
    });
  });

  it("keeps the last failure with the first kilobyte of its answer, in whole characters", () => {
    const { lastFailure } = assess(
      HEALTHY,
      failed({ responseBody: `${"x".repeat(1_023)}é and on`, durationMs: 7 }),
      SUBJECT,
    );
    expect(lastFailure).toEqual({
      atMs: T0 + 7,
      eventId: "evt_1",
      statusCode: 500,
      error: "status",
      responseBody: "x".repeat(1_023),
    });
  });

  it("forgets what an answer said of an event that is erased, and no other", () => {
    const before = assess(HEALTHY, failed({ responseBody: "ava@acme.example" }), SUBJECT);
    const without = (id: string) => forgetAnswer(before, ({ eventId }) => eventId === id);
    expect(without(SUBJECT.eventId).lastFailure).toMatchObject({ responseBody: null });
    expect(without(OTHER.eventId)).toBe(before);
  });

  it("does not go by the answers of a webhook's giveUpOn", () => {
    const before = afterFailures(9);
    expect(assess(before, failed({ statusCode: 422 }), { ...SUBJECT, givenUp: true })).toBe(before);
  });

  it("brings the next probe to now when a test is answered", () => {
    expect(answeredTest(afterFailures(10)).lastProbeEndedAtMs).toBeNull();
    expect(answeredTest(HEALTHY)).toBe(HEALTHY);
  });

  it("begins anew with another URL, but for what was last heard", () => {
    const before = healthAfter(HEALTHY, [outcome(), ...times(12, failed())]);
    const { lastSuccessAtMs, lastFailure } = before;
    expect(renew(before, false, T0 + DAY)).toEqual({
      ...HEALTHY,
      lastSuccessAtMs,
      lastFailure,
    });
    expect(renew(before, true, T0 + DAY)).toMatchObject({
      probing: true,
      probingFromMs: T0 + DAY,
      lastProbeEndedAtMs: null,
    });
  });
});

describe("the state of a webhook", () => {
  const standing = (changes: Partial<Standing> = {}): Standing => ({
    status: "active",
    statusSinceMs: null,
    misconfigured: false,
    unconnected: null,
    health: HEALTHY,
    ...changes,
  });
  const postponed = assess(
    HEALTHY,
    failed({ statusCode: 429, retryAfterMs: T0 + HOUR, durationMs: 3 }),
    SUBJECT,
  );
  const gone = assess(HEALTHY, failed({ statusCode: 410, durationMs: 4 }), SUBJECT);
  const everything: Partial<Standing> = {
    misconfigured: true,
    unconnected: { sinceMs: T0 + 5 },
    health: { ...afterFailures(10), postponedUntilMs: T0 + HOUR, postponedFromMs: T0 + 3 },
  };
  const nowMs = T0 + 30 * MINUTE;
  const lateMs = T0 + 29 * MINUTE;

  it.each<[string, Partial<Standing>, number | null, HealthState, number | null]>([
    ["disabled", { ...everything, status: "disabled", statusSinceMs: T0 }, lateMs, "disabled", T0],
    ["disabled, and the Registry does not know yet", { health: gone }, null, "disabled", T0 + 4],
    [
      "paused",
      { ...everything, status: "paused", statusSinceMs: T0 + 1 },
      lateMs,
      "paused",
      T0 + 1,
    ],
    ["paused since before that was kept", { status: "paused" }, null, "paused", null],
    ["held by a bad variable", everything, lateMs, "misconfigured", null],
    ["without a listener", { ...everything, misconfigured: false }, lateMs, "unconnected", T0 + 5],
    ["without a listener, ever", { unconnected: { sinceMs: null } }, null, "unconnected", null],
    ["probing", { health: everything.health ?? HEALTHY }, lateMs, "probing", T0 + 9 * MINUTE],
    ["postponed", { health: postponed }, lateMs, "postponed", T0 + 3],
    ["failing", { health: afterFailures(2) }, lateMs, "failing", T0],
    ["late", {}, lateMs, "late", lateMs + MINUTE],
    [
      "late since the service is back",
      { health: { ...HEALTHY, lateFromMs: T0, wellFromMs: T0 + 6 } },
      lateMs,
      "late",
      T0 + 6,
    ],
    ["late for long", { health: { ...HEALTHY, lateFromMs: T0 } }, lateMs, "late", T0],
    ["not late yet", { health: { ...HEALTHY, lateFromMs: T0 } }, lateMs + 1, "healthy", null],
    ["well", {}, null, "healthy", null],
    ["well since the resume", { statusSinceMs: T0 + 2 }, null, "healthy", T0 + 2],
  ])("is told by the first that fits: %s", (_, changes, oldestDueAtMs, state, sinceMs) => {
    expect(stateOf(standing(changes), oldestDueAtMs, nowMs)).toEqual({ state, sinceMs });
  });

  it.each<[string, Outcome[], HealthState, number | null]>([
    ["the first attempt ever failed", [failed()], "failing", T0],
    ["one failed after a success a minute before", [outcome(), failed()], "healthy", null],
    ["two failed", [outcome(), failed(), failed()], "healthy", null],
    ["three failed in a row", [outcome(), ...times(3, failed())], "failing", T0 + 3 * MINUTE],
    ["the failures go on", [outcome(), ...times(5, failed())], "failing", T0 + 3 * MINUTE],
    [
      "one succeeded then",
      [outcome(), ...times(5, failed()), outcome()],
      "healthy",
      T0 + 6 * MINUTE,
    ],
    ["interruptions came between", [outcome(), ...times(9, interrupted())], "healthy", null],
  ])("goes by the last attempts: %s", (_, outcomes, state, sinceMs) => {
    const health = healthAfter(HEALTHY, outcomes);
    expect(stateOf(standing({ health }), null, nowMs)).toEqual({ state, sinceMs });
  });

  it("is failing when one fails and none succeeded in the five minutes before", () => {
    const after = (ms: number) =>
      assess(
        assess(HEALTHY, outcome(), SUBJECT),
        failed({ startedAtMs: T0 + ms, durationMs: 1 }),
        SUBJECT,
      );
    const stateAfter = (ms: number) => stateOf(standing({ health: after(ms) }), null, nowMs).state;
    expect(stateAfter(5 * MINUTE - 1)).toBe("healthy");
    expect(stateAfter(5 * MINUTE)).toBe("failing");
  });

  it("is well again when the pause that the service asked for is over and the next attempt succeeds", () => {
    const overMs = T0 + HOUR;
    expect(stateOf(standing({ health: postponed }), null, overMs - 1).state).toBe("postponed");
    const still = stateOf(standing({ health: postponed }), null, overMs);
    expect(still).toEqual({ state: "failing", sinceMs: T0 + 3 });
    const health = assess(postponed, outcome({ startedAtMs: overMs }), SUBJECT);
    expect(stateOf(standing({ health }), null, overMs)).toEqual({
      state: "healthy",
      sinceMs: overMs,
    });
  });

  it("is late from a minute after the first was due, until what is sent is not late any more", () => {
    const late = noteLateness(HEALTHY, T0, T0 + MINUTE);
    expect(late.lateFromMs).toBe(T0 + MINUTE);
    expect(noteLateness(late, T0 + HOUR, T0 + 2 * HOUR)).toBe(late);
    expect(noteLateness(HEALTHY, T0, T0 + MINUTE - 1)).toBe(HEALTHY);
    expect(noteLateness(late, T0 + DAY, T0 + DAY)).toMatchObject({
      lateFromMs: null,
      wellFromMs: T0 + DAY,
    });
  });

  it("is well since the last of what was late has gone out, also when the next is sent long after", () => {
    const caughtUp = assess(
      noteLateness(HEALTHY, T0, T0 + 5 * MINUTE),
      outcome({ startedAtMs: T0 + 5 * MINUTE, durationMs: 7 }),
      SUBJECT,
    );
    const since = { state: "healthy", sinceMs: T0 + 5 * MINUTE + 7 };
    expect(stateOf(standing({ health: caughtUp }), null, T0 + HOUR)).toEqual(since);
    const next = noteLateness(caughtUp, T0 + HOUR, T0 + HOUR);
    expect(stateOf(standing({ health: next }), null, T0 + HOUR)).toEqual(since);
  });

  it("is late since what waits now is, whatever was late long ago and has gone out", () => {
    const caughtUp = assess(noteLateness(HEALTHY, T0, T0 + 5 * MINUTE), outcome(LATER), SUBJECT);
    const since = { state: "late", sinceMs: T0 + HOUR + MINUTE };
    const lookMs = T0 + HOUR + 2 * MINUTE;
    expect(stateOf(standing({ health: caughtUp }), T0 + HOUR, lookMs)).toEqual(since);
    const sent = noteLateness(caughtUp, T0 + HOUR, lookMs);
    expect(stateOf(standing({ health: sent }), T0 + HOUR, lookMs)).toEqual(since);
    const answered = assess(sent, outcome({ startedAtMs: lookMs }), SUBJECT);
    expect(stateOf(standing({ health: answered }), T0 + HOUR, lookMs)).toEqual(since);
  });

  it("stands in the report with what waits, what failed last and what succeeded last", () => {
    const queue: Queue = {
      nextAttemptAtMs: T0 + HOUR,
      pending: 7,
      undeliverable: 2,
      oldestDueAtMs: T0,
    };
    const health = healthAfter(HEALTHY, [outcome(), ...times(3, failed())]);
    expect(reportHealth(standing({ health }), queue, nowMs)).toEqual({
      ...queue,
      state: "failing",
      sinceMs: T0 + 3 * MINUTE,
      lastSuccessAtMs: T0,
      lastFailure: health.lastFailure,
    });
  });
});
