/**
 * Thousands of runs of the actors' own code under a scheduler that does its worst.
 *
 *     npx vitest run --project simulation             every run
 *     SEEDS=20000 npx vitest run --project simulation  more of them, other ones with FIRST=100000
 *     SEED=4711 npx vitest run --project simulation   one run, with its trace
 */
import { describe, expect, it } from "vitest";
import { type Outcome, run } from "./world";

const SEEDS = Number(process.env.SEEDS ?? 2_000);
const FIRST = Number(process.env.FIRST ?? 1);
const SEED = process.env.SEED;
const SHOWN_LINES = 40;

function report({ seed, plan, violation, trace }: Outcome): string {
  const lines = trace.slice(-SHOWN_LINES).join("\n");
  return `seed ${seed}: ${violation?.message}\n${JSON.stringify(plan)}\n${lines}\nSEED=${seed} shows all of it.\n`;
}

describe("the relay under simulation", () => {
  it.runIf(SEED !== undefined)("keeps every invariant in this run", async () => {
    const outcome = await run(Number(SEED));
    process.stdout.write(`${outcome.trace.join("\n")}\n`);
    expect(outcome.violation, report(outcome)).toBeNull();
  });

  it.skipIf(SEED !== undefined)(`keeps every invariant in ${SEEDS} runs`, async () => {
    let attempts = 0;
    let crashes = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      process.stderr.write(`seed ${seed}\n`);
      const outcome = await run(seed);
      if (outcome.violation !== null) expect.fail(report(outcome));
      attempts += outcome.attempts;
      crashes += outcome.crashes;
    }
    expect(attempts).toBeGreaterThan(SEEDS);
    expect(crashes).toBeGreaterThan(SEEDS / 10);
  });

  it.skipIf(SEED !== undefined)("does exactly the same again for the same seed", async () => {
    for (const seed of [FIRST, FIRST + 7, FIRST + 11]) {
      const once = await run(seed);
      const again = await run(seed);
      expect(again.hash, report(again)).toBe(once.hash);
    }
  });
});
