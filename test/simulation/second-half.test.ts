/** The other half of the usual runs, side by side with those of `simulation.test.ts`. */
import { describe, it } from "vitest";
import { expectEveryRun } from "./every-run";
import { secondHalf } from "./seeds";

describe.skipIf(secondHalf.length === 0)("the relay under simulation, on", () => {
  it(`keeps every invariant in ${secondHalf.length} runs more`, async () => {
    await expectEveryRun(secondHalf);
  });
});
