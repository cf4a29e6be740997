/** What axe finds on a page that somebody with a disability would be stopped or slowed by. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const STANDARDS = {
  type: "tag",
  values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
};
export const COLOURS = { type: "rule", values: ["color-contrast"] };

export type Violation = { id: string; target: string; summary: string };

type Found = {
  id: string;
  impact: string;
  nodes: { target: string[]; failureSummary: string }[];
};

export async function violationsOf(page: Page, rules: object): Promise<Violation[]> {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate<{ violations: Found[] }>(
    `axe.run(document, ${JSON.stringify({ resultTypes: ["violations"], runOnly: rules })})`,
  );
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => {
        return { id, target: target.join(" "), summary: failureSummary };
      }),
    );
}
