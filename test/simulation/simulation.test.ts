/**
 * Thousands of runs of the actors' own code under a scheduler that does its worst.
 *
 *     npx vitest run --project simulation             every run
 *     SEEDS=20000 npx vitest run --project simulation  more of them, other ones with FIRST=100000
 *     SEED=4711 npx vitest run --project simulation   one run, with its trace
 */
import { describe, expect, it } from "vitest";
import { report, SEED, seeds } from "./seeds";
import { run } from "./world";

const SEEDS = seeds(2_000);

describe("the relay under simulation", () => {
  it.runIf(SEED !== undefined)("keeps every invariant in this run", async () => {
    const outcome = await run(Number(SEED));
    process.stdout.write(`${outcome.trace.join("\n")}\n`);
    expect(outcome.violation, report(outcome)).toBeNull();
  });

  it.skipIf(SEED !== undefined)(`keeps every invariant in ${SEEDS.length} runs`, async () => {
    let attempts = 0;
    let crashes = 0;
    for (const seed of SEEDS) {
      process.stderr.write(`seed ${seed}\n`);
      const outcome = await run(seed);
      if (outcome.violation !== null) expect.fail(report(outcome));
      attempts += outcome.attempts;
      crashes += outcome.crashes;
    }
    expect(attempts).toBeGreaterThan(SEEDS.length);
    expect(crashes).toBeGreaterThan(SEEDS.length / 10);
  });

  it.skipIf(SEED !== undefined)("does exactly the same again for the same seed", async () => {
    const [first = 1] = SEEDS;
    for (const seed of [first, first + 7, first + 11]) {
      const once = await run(seed);
      const again = await run(seed);
      expect(again.hash, report(again)).toBe(once.hash);
    }
  });
});
