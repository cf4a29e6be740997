/** Before the browser tests: which browser runs them. */
import type { TestProject } from "vitest/node";
import { findChromium } from "../../scripts/chromium.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the browser is; null skips the tests. */
    chromium: string | null;
  }
}

/** @throws when there is none and `REQUIRE_BROWSER` says that there must be. */
export function setup(project: TestProject): void {
  const chromium = findChromium();
  if (chromium === null) {
    const message = "No Chromium here: install one, or name one with CHROMIUM.";
    if ((process.env.REQUIRE_BROWSER ?? "") !== "") throw new Error(message);
    process.stdout.write(`The browser tests are skipped. ${message}\n`);
  }
  project.provide("chromium", chromium);
}
