import { expect } from "vitest";
import { report } from "./seeds";
import { run } from "./world";

/** Fails at the first run that breaks an invariant, and where too little happened in all of them. */
export async function expectEveryRun(seeds: readonly number[]): Promise<void> {
  let attempts = 0;
  let crashes = 0;
  for (const seed of seeds) {
    process.stderr.write(`seed ${seed}\n`);
    const outcome = await run(seed);
    if (outcome.violation !== null) expect.fail(report(outcome));
    attempts += outcome.attempts;
    crashes += outcome.crashes;
  }
  expect(attempts).toBeGreaterThan(seeds.length);
  expect(crashes).toBeGreaterThan(seeds.length / 10);
}
