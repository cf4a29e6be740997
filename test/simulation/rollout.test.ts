/**
 * Today's code deployed over a release in the middle of a run, on the state that the release has stored.
 *
 *     SEEDS=2000 npx vitest run --project simulation test/simulation/rollout.test.ts
 *     SEED=4711 npx vitest run --project simulation test/simulation/rollout.test.ts   one run, with its trace
 */
import { describe, expect, it } from "vitest";
import { RELEASES } from "../upgrade/released";
import { releaseOf } from "./releases";
import { report, SEED, seeds } from "./seeds";
import { run } from "./world";

const SEEDS = seeds(200);

describe.each(RELEASES)("a deploy over %s under simulation", (release) => {
  it.runIf(SEED !== undefined)("keeps every invariant in this run", async () => {
    const outcome = await run(Number(SEED), await releaseOf(release));
    process.stdout.write(`${outcome.trace.join("\n")}\n`);
    expect(outcome.violation, report(outcome)).toBeNull();
  });

  it.skipIf(SEED !== undefined)(`loses nothing in ${SEEDS.length} runs`, async () => {
    const before = await releaseOf(release);
    const seen = { attempts: 0, deployed: 0, toReleased: 0, toToday: 0, refused: 0 };
    for (const seed of SEEDS) {
      process.stderr.write(`seed ${seed}\n`);
      const outcome = await run(seed, before);
      if (outcome.violation !== null) expect.fail(report(outcome));
      const { deployed, toReleased, toToday } = outcome.rollout;
      seen.attempts += outcome.attempts;
      seen.deployed += deployed;
      seen.toReleased += toReleased;
      seen.toToday += toToday;
      seen.refused += outcome.trace.filter((line) => / has no (\w+)$/.test(line)).length;
    }
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(SEEDS.length / 10);
  });

  it.skipIf(SEED !== undefined)("does exactly the same again for the same seed", async () => {
    const before = await releaseOf(release);
    for (const seed of SEEDS.slice(0, 3)) {
      const once = await run(seed, before);
      const again = await run(seed, before);
      expect(again.hash, report(again)).toBe(once.hash);
    }
  });
});
