/**
 * Thousands of runs of the actors' own code under a scheduler that does its worst.
 *
 *     npx vitest run --project simulation             every run; those from 1,001 on in second-half.test.ts
 *     SEEDS=20000 npx vitest run --project simulation  more of them, other ones with FIRST=100000
 *     SEED=4711 npx vitest run --project simulation   one run, with its trace
 */
import { describe, expect, it } from "vitest";
import { expectEveryRun } from "./every-run";
import { firstHalf, report, SEED } from "./seeds";
import { run } from "./world";

describe("the relay under simulation", () => {
  it.runIf(SEED !== undefined)("keeps every invariant in this run", async () => {
    const outcome = await run(Number(SEED));
    process.stdout.write(`${outcome.trace.join("\n")}\n`);
    expect(outcome.violation, report(outcome)).toBeNull();
  });

  it.skipIf(SEED !== undefined)(`keeps every invariant in ${firstHalf.length} runs`, async () => {
    await expectEveryRun(firstHalf);
  });

  it.skipIf(SEED !== undefined)("does exactly the same again for the same seed", async () => {
    const [first = 1] = firstHalf;
    for (const seed of [first, first + 7, first + 11]) {
      const once = await run(seed);
      const again = await run(seed);
      expect(again.hash, report(again)).toBe(once.hash);
    }
  });
});
