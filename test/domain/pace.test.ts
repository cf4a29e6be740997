import { describe, expect, it } from "vitest";
import { HEALTHY } from "../../src/domain/health";
import {
  aheadOf,
  deal,
  GATHERED,
  gatherMs,
  lanesOf,
  opensAtMs,
  planLimitOf,
  probeOpensAtMs,
  rateOpensAtMs,
  type Situation,
  slotsOf,
  spacingMs,
  troubleEndsAtMs,
  windowOf,
} from "../../src/domain/pace";

type Given = {
  terms?: Partial<Situation["terms"]>;
  health?: Partial<Situation["health"]>;
  nextStartAtMs?: number;
  meanDurationMs?: number | null;
};

function situation({ terms, health, nextStartAtMs = 0, meanDurationMs = null }: Given): Situation {
  return {
    terms: { ordered: false, rateLimit: null, concurrency: 6, frames: false, ...terms },
    health: { ...HEALTHY, ...health },
    nextStartAtMs,
    firstWaitMs: 60_000,
    meanDurationMs,
  };
}

describe("how many attempts", () => {
  it.each<[string, Given, { slots: number; window: number; plan: number }]>([
    ["any webhook", {}, { slots: 6, window: 12, plan: 100 }],
    ["an ordered one", { terms: { ordered: true } }, { slots: 1, window: 1, plan: 100 }],
    ["while probing", { health: { probing: true } }, { slots: 1, window: 12, plan: 1 }],
    ["20 a second", { terms: { rateLimit: 20 } }, { slots: 6, window: 12, plan: 40 }],
    ["0.1 a second", { terms: { rateLimit: 0.1 } }, { slots: 6, window: 12, plan: 1 }],
    ["1,000 a second", { terms: { rateLimit: 1_000 } }, { slots: 6, window: 12, plan: 100 }],
    [
      "20 a second, probing",
      { terms: { rateLimit: 20 }, health: { probing: true } },
      { slots: 1, window: 12, plan: 1 },
    ],
  ])("%s", (_, given, { slots, window, plan }) => {
    const now = situation(given);
    expect(slotsOf(now)).toBe(slots);
    expect(windowOf(now)).toBe(window);
    expect(planLimitOf(now)).toBe(plan);
  });

  it.each<[string, Given, { slots: number; plan: number }]>([
    ["while probing", { health: { probing: true } }, { slots: 6, plan: 100 }],
    [
      "of an ordered webhook while probing",
      { terms: { ordered: true }, health: { probing: true } },
      { slots: 1, plan: 100 },
    ],
    [
      "1 a second while probing",
      { terms: { rateLimit: 1 }, health: { probing: true } },
      { slots: 6, plan: 2 },
    ],
  ])("that were asked for by name: %s", (_, given, { slots, plan }) => {
    const now = situation(given);
    expect(slotsOf(now, true)).toBe(slots);
    expect(planLimitOf(now, true)).toBe(plan);
  });

  it.each<[string, Given, { lanes: number[]; ahead: number }]>([
    ["six at most", {}, { lanes: [], ahead: 6 }],
    ["twenty", { terms: { concurrency: 20 } }, { lanes: [6, 6, 2], ahead: 6 }],
    [
      "twenty, of 100 ms each",
      { terms: { concurrency: 20 }, meanDurationMs: 100 },
      { lanes: [6, 6, 2], ahead: 48 },
    ],
    [
      "twenty, of 2 s each, whose outcomes are gathered for longer",
      { terms: { concurrency: 20 }, meanDurationMs: 2_000 },
      { lanes: [6, 6, 2], ahead: 3.6 },
    ],
    [
      "a rate for which six suffice",
      { terms: { concurrency: 60, rateLimit: 50 }, meanDurationMs: 100 },
      { lanes: [], ahead: 0 },
    ],
    [
      "a rate for which six do not: what has its time needs a slot that is free then",
      { terms: { concurrency: 60, rateLimit: 50 }, meanDurationMs: 700 },
      { lanes: [6, 6, 6, 6, 6, 6, 6, 6], ahead: 0 },
    ],
    [
      "a rate, before it is known how long they take",
      { terms: { concurrency: 60, rateLimit: 50 } },
      { lanes: [6, 6], ahead: 0 },
    ],
    [
      "a rate that asks for more than the concurrency",
      { terms: { concurrency: 10, rateLimit: 50 }, meanDurationMs: 700 },
      { lanes: [4], ahead: 0 },
    ],
  ])("in Lanes, and ahead: %s", (_, given, { lanes, ahead }) => {
    const now = situation(given);
    expect(lanesOf(now)).toEqual(lanes);
    expect(aheadOf(6, now)).toBe(ahead);
  });

  it.each([
    [0, 100],
    [200, 100],
    [600, 300],
    [60_000, 500],
  ])("outcomes of attempts of %d ms in a Lane are gathered for %d ms", (durationMs, ms) => {
    expect(gatherMs(GATHERED.inLane, durationMs)).toBe(ms);
  });

  it("one probe a minute, or sooner by a shorter schedule", () => {
    const health = { probing: true, lastProbeEndedAtMs: 1_000 };
    expect(probeOpensAtMs({ ...situation({ health }), firstWaitMs: 3_600_000 })).toBe(61_000);
    expect(probeOpensAtMs({ ...situation({ health }), firstWaitMs: 5_000 })).toBe(6_000);
  });
});

describe("when an attempt may start", () => {
  it.each<[string, Given, { probe?: number; rate?: number; pause?: number }]>([
    ["with nothing in the way", {}, {}],
    ["with a start that no limit asks for", { nextStartAtMs: 5_000 }, {}],
    ["under a limit", { terms: { rateLimit: 1 }, nextStartAtMs: 5_000 }, { rate: 5_000 }],
    ["the first probe", { health: { probing: true } }, {}],
    ["the next probe", { health: { probing: true, lastProbeEndedAtMs: 1_000 } }, { probe: 61_000 }],
    ["after the last probe", { health: { lastProbeEndedAtMs: 1_000 } }, {}],
    ["in a pause", { health: { postponedUntilMs: 9_000 } }, { pause: 9_000 }],
    [
      "with all of them",
      {
        terms: { rateLimit: 1 },
        nextStartAtMs: 70_000,
        health: { probing: true, lastProbeEndedAtMs: 1_000, postponedUntilMs: 99_000 },
      },
      { rate: 70_000, probe: 61_000, pause: 99_000 },
    ],
  ])("%s", (_, given, { probe = 0, rate = 0, pause = 0 }) => {
    const now = situation(given);
    expect(probeOpensAtMs(now)).toBe(probe);
    expect(rateOpensAtMs(now)).toBe(rate);
    expect(troubleEndsAtMs(now)).toBe(Math.max(probe, pause));
    expect(opensAtMs(now, true)).toBe(rate);
    expect(opensAtMs(now, false)).toBe(Math.max(probe, rate, pause));
  });

  it("is spaced by the rate limit, fractions too", () => {
    expect([null, 4, 0.5].map(spacingMs)).toEqual([0, 250, 2_000]);
    expect(spacingMs(3)).toBeCloseTo(1_000 / 3);
  });
});

describe("attempts are dealt to objects", () => {
  /** How many each of the objects gets. */
  const dealt = (count: number, rooms: number[]) => {
    const of = deal(count, rooms);
    return rooms.map((_, index) => of.filter((each) => each === index).length);
  };

  it.each([
    ["as many to each where all have the same room", 36, [20, 20, 20], [12, 12, 12]],
    [
      "most to those that have least to do, so that all end together",
      40,
      [40, 10, 30],
      [25, 0, 15],
    ],
    ["no more than there is room for", 100, [8, 2, 5], [8, 2, 5]],
    ["to no more of them than have six each to make", 12, [20, 20, 20], [6, 6, 0]],
    ["to others where those have no room", 12, [4, 1, 20], [4, 1, 7]],
    ["none where there is none", 0, [20, 20], [0, 0]],
  ])("%s", (_, count, rooms, expected) => {
    expect(dealt(count, rooms)).toEqual(expected);
  });
});
