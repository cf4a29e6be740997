/**
 * Today's code in the place of a later release that was rolled back, on data that is newer than the code; then the
 * later release again.
 *
 *     SEEDS=2000 npx vitest run --project simulation test/simulation/rollback.test.ts
 *     SEED=4711 npx vitest run --project simulation test/simulation/rollback.test.ts   one run, with its trace
 */
import { describe, expect, it } from "vitest";
import { laterRelease } from "./releases";
import { report, SEED, seeds } from "./seeds";
import { runRollback } from "./world";

const SEEDS = seeds(100);

describe("a rollback under simulation", () => {
  it.runIf(SEED !== undefined)("keeps every invariant in this run", async () => {
    const outcome = await runRollback(Number(SEED), await laterRelease());
    process.stdout.write(`${outcome.trace.join("\n")}\n`);
    expect(outcome.violation, report(outcome)).toBeNull();
  });

  it.skipIf(SEED !== undefined)(
    `loses nothing, and makes nothing a dead letter, in ${SEEDS.length} runs`,
    async () => {
      const later = await laterRelease();
      const seen = { attempts: 0, deployed: 0, toReleased: 0, toToday: 0, refused: 0 };
      for (const seed of SEEDS) {
        process.stderr.write(`seed ${seed}\n`);
        const outcome = await runRollback(seed, later);
        if (outcome.violation !== null) expect.fail(report(outcome));
        const lines = outcome.trace;
        expect(lines.filter((line) => line.includes("dead_letter.kept"))).toEqual([]);
        const { deployed, toReleased, toToday } = outcome.rollout;
        seen.attempts += outcome.attempts;
        seen.deployed += deployed;
        seen.toReleased += toReleased;
        seen.toToday += toToday;
        seen.refused += lines.filter((line) => line.includes("object.newer_data")).length;
      }
      for (const count of Object.values(seen)) expect(count).toBeGreaterThan(SEEDS.length / 10);
    },
  );
});
