/** The figures in the pages are those that were measured. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PAGES, withFigures } from "../../bench/pages.ts";
import { readResults } from "../../bench/results.ts";
import { ROOT } from "../../scripts/wrangler.ts";

const figures = readResults();
const textOf = (page: string) => readFileSync(join(ROOT, page), "utf8");

describe.each(PAGES)("%s", (page) => {
  it("has the figures of bench/results.json, as `npm run figures` writes them", () => {
    expect(withFigures(textOf(page), figures)).toBe(textOf(page));
  });

  it("says which bar was missed", () => {
    const missed = figures.map((figure) => ({ ...figure, met: false }));
    const count = (text: string) => text.split("**missed**").length - 1;
    const met = figures.map((figure) => ({ ...figure, met: true }));
    expect(count(withFigures(textOf(page), missed))).toBeGreaterThan(0);
    expect(count(withFigures(textOf(page), met))).toBe(0);
  });
});

it("keeps every run that the figures come from", () => {
  for (const { benchmark, date, name, median } of figures) {
    const lines = textOf(`bench/history/${benchmark}.tsv`).trimEnd().split("\n");
    const runs = lines.map((line) => line.split("\t"));
    const run = runs.find(([at, , figure]) => at === date && figure === name);
    expect(run?.[3], `${name} of ${date}`).toBe(String(median));
  }
});
