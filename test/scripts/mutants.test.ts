/** The planted faults can still be planted: a fault whose text has moved would prove nothing. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/wrangler.ts";
import { MUTANTS } from "../mutants/mutants.ts";

describe.each(MUTANTS)("$name", ({ file, edits, suite }) => {
  it("has each of its texts exactly once in its file, and a suite that is there", () => {
    const text = readFileSync(join(ROOT, file), "utf8");
    expect(edits.map(([find]) => text.split(find).length - 1)).toEqual(edits.map(() => 1));
    expect(existsSync(join(ROOT, "rig" in suite ? suite.rig : suite.file))).toBe(true);
  });
});
