import { describe, expect, it } from "vitest";
import { runCrashRig } from "./rig.ts";

/** The long form is `npm run test:crash`. */
const KILLS = 5;

describe("a relay that is killed while it delivers", () => {
  it("loses nothing, repeats no more than it may and keeps the order", async () => {
    const { kills, calm, problems } = await runCrashRig({ kills: KILLS, seed: 1, setSize: 80 });
    expect(problems).toEqual([]);
    expect(kills).toBe(KILLS);
    expect(calm.map(({ duplicates }) => duplicates)).toEqual([0, 0, 0, 0]);
  });
});
