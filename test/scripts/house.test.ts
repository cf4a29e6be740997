/** What the linter cannot count: the rooms stay small. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "../../scripts/wrangler.ts";

const MAX_LINES = 400;

it.each([
  ["src", 100],
  ["scripts", 20],
  ["bench", 20],
])("has no file of code in %s/ of more than 400 lines", (folder, least) => {
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    // Generated.
    .filter((name) => /\.tsx?$/.test(name) && name !== "env.d.ts");
  expect(files.length).toBeGreaterThan(least);
  const lines = (name: string) =>
    readFileSync(join(ROOT, folder, name), "utf8").split("\n").length - 1;
  expect(files.filter((name) => lines(name) > MAX_LINES)).toEqual([]);
});

it("has objects called by name in one file alone, beside the actors themselves", () => {
  const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const calling = files.filter(
    (name) =>
      /\.tsx?$/.test(name) && readFileSync(join(ROOT, "src", name), "utf8").includes(".getByName("),
  );
  expect(calling.filter((name) => !name.startsWith("actors/"))).toEqual(["operations/objects.ts"]);
});

it("evaluates no page and no schema of the API as the Worker starts", () => {
  const started = new Set<string>();
  const start = (file: string) => {
    if (started.has(file) || file.endsWith(".json")) return;
    started.add(file);
    const text = readFileSync(join(ROOT, "src", `${file}.ts`), "utf8");
    const imports = text.matchAll(/^(?:(?:import|export) (?!type )[^;"]*from )"(\.[^"]+)";$/gm);
    for (const [, from = ""] of imports) start(join(dirname(file), from));
  };
  start("index");
  expect(started).toContain("operations/ingest");
  expect([...started].filter((file) => /^(contract|dashboard)\//.test(file)).sort()).toEqual([
    "contract/problem",
    "dashboard/mount",
  ]);
});

// What a browser renders with, and JSON Schemas, would be in the bundle again: 23 KB of it.
it("takes zod in its smaller form, and of hono/jsx nothing but types", () => {
  const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const larger = /^(?:import (?!type )[^;"]*|\} )from "(?:zod|hono\/jsx)";$|toJSONSchema/m;
  const heavy = files.filter(
    (name) => /\.tsx?$/.test(name) && larger.test(readFileSync(join(ROOT, "src", name), "utf8")),
  );
  expect(heavy).toEqual([]);
});

it("waits in a test for as long as a busy machine takes: vitest's own limit is a second", () => {
  const files = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" });
  const waiting = files.filter(
    (name) =>
      name.endsWith(".ts") &&
      /\bvi\s*\.\s*wait(For|Until)\b/.test(readFileSync(join(ROOT, "test", name), "utf8")),
  );
  expect(waiting).toEqual(["rig/eventually.ts"]);
});
