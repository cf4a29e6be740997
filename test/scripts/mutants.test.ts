/** The planted faults can still be planted: a fault whose text has moved would prove nothing; and each test file has one. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/wrangler.ts";
import { EACH_FILE } from "../mutants/each-file.ts";
import { MUTANTS } from "../mutants/mutants.ts";

const ALL = [...MUTANTS, ...EACH_FILE];
const caughtBy = ALL.flatMap(({ suite }) => ("rig" in suite ? [] : suite.file));

describe.each(ALL)("$name", ({ file, edits, suite }) => {
  it("has each of its texts exactly once in its file, and a suite that is there", () => {
    const text = readFileSync(join(ROOT, file), "utf8");
    expect(edits.map(([find]) => text.split(find).length - 1)).toEqual(edits.map(() => 1));
    expect(existsSync(join(ROOT, "rig" in suite ? suite.rig : suite.file))).toBe(true);
  });
});

it("has a fault for every test file", () => {
  const files = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" });
  const tests = files.filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`);
  expect(tests.length).toBeGreaterThan(100);
  expect(tests.filter((name) => !caughtBy.includes(name))).toEqual([]);
});
