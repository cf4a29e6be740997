import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { LICENCES_FILE, licences, packageOf } from "../../scripts/licences.ts";

describe("LICENCES.md", () => {
  it("names what is in the bundles now", { timeout: 180_000 }, async () => {
    expect(readFileSync(LICENCES_FILE, "utf8")).toBe(await licences());
  });

  it.each([
    ["src/index.ts", null],
    ["node_modules/hono/dist/hono.js", "hono"],
    ["../node_modules/@a/b/node_modules/@c/d/index.js", "@c/d"],
  ])("takes %s for a file of %s", (path, name) => {
    expect(packageOf(path)).toBe(name);
  });
});
