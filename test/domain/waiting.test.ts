import { describe, expect, it } from "vitest";
import { type Gates, type WaitingFor, waiting } from "../../src/domain/waiting";

const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);
const SOON = NOW + 30_000;
const LATER = NOW + 60_000;
const LATEST = NOW + 90_000;

const OPEN: Gates = {
  inFlight: false,
  held: false,
  connected: true,
  behind: false,
  isNext: true,
  byRetry: false,
  dueAtMs: NOW,
  probe: null,
  postponedUntilMs: null,
  rateAtMs: null,
};
const SHUT: Partial<Gates> = {
  behind: true,
  isNext: false,
  dueAtMs: LATER,
  probe: { atMs: LATER },
  postponedUntilMs: LATEST,
  rateAtMs: LATEST,
};

describe("what a delivery waits for", () => {
  it.each<[string, Partial<Gates>, WaitingFor, number | null]>([
    [
      "an attempt under way",
      { ...SHUT, inFlight: true, held: true, connected: false },
      "attempt",
      null,
    ],
    ["a hold", { ...SHUT, held: true, connected: false }, "hold", null],
    ["a listener", { ...SHUT, connected: false }, "listener", null],
    ["its turn in the order", SHUT, "order", null],
    ["the probe of another", { ...SHUT, behind: false }, "probe", null],
    ["its own probe", { dueAtMs: SOON, probe: { atMs: LATER } }, "probe", LATER],
    ["its own wait before its probe", { dueAtMs: LATER, probe: { atMs: SOON } }, "probe", LATER],
    [
      "a pause before its probe",
      { probe: { atMs: SOON }, postponedUntilMs: LATER },
      "probe",
      LATER,
    ],
    ["the rate before its probe", { probe: { atMs: SOON }, rateAtMs: LATER }, "probe", LATER],
    ["the end of the probe under way", { probe: { atMs: null } }, "probe", null],
    ["nothing but a slot when its probe is due", { probe: { atMs: NOW } }, "turn", null],
    ["its wait", { dueAtMs: SOON }, "schedule", SOON],
    ["its wait, also when others go before it", { dueAtMs: SOON, isNext: false }, "schedule", SOON],
    ["a pause", { postponedUntilMs: LATER }, "retry_after", LATER],
    [
      "a pause that is longer than its wait",
      { dueAtMs: SOON, postponedUntilMs: LATER },
      "retry_after",
      LATER,
    ],
    [
      "a pause that is as long as its wait",
      { dueAtMs: SOON, postponedUntilMs: SOON },
      "retry_after",
      SOON,
    ],
    [
      "its wait, which is longer than the pause",
      { dueAtMs: LATER, postponedUntilMs: SOON },
      "schedule",
      LATER,
    ],
    ["the rate limit", { rateAtMs: SOON }, "rate_limit", SOON],
    ["the rate limit, behind another", { rateAtMs: SOON, isNext: false }, "rate_limit", null],
    [
      "its wait, longer than the rate limit",
      { dueAtMs: LATER, rateAtMs: SOON, isNext: false },
      "schedule",
      LATER,
    ],
    ["a slot", {}, "turn", null],
    [
      "a slot, when all gates opened long ago",
      { dueAtMs: 5, rateAtMs: 7, postponedUntilMs: 6 },
      "turn",
      null,
    ],
    [
      "a slot, though the service is probed, when asked for by name",
      { byRetry: true, isNext: false, probe: { atMs: LATER }, postponedUntilMs: LATEST },
      "turn",
      null,
    ],
    [
      "the rate limit, though asked for by name",
      { byRetry: true, probe: { atMs: LATER }, rateAtMs: SOON },
      "rate_limit",
      SOON,
    ],
  ])("is %s", (_, changes, waitingFor, nextAttemptAtMs) => {
    expect(waiting({ ...OPEN, ...changes }, NOW)).toEqual({ waitingFor, nextAttemptAtMs });
  });
});
