/** The other half of the usual runs, side by side with those of `simulation.test.ts`. */
import { describe, expect, it } from "vitest";
import { expectEveryRun } from "./every-run";
import { firstHalf, secondHalf } from "./seeds";

describe.skipIf(secondHalf.length === 0)("the relay under simulation, on", () => {
  it("makes none of the runs of the first half", () => {
    expect(secondHalf.filter((seed) => firstHalf.includes(seed))).toEqual([]);
  });

  it(`keeps every invariant in ${secondHalf.length} runs more`, async () => {
    await expectEveryRun(secondHalf);
  });
});
