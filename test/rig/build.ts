/** Before the tests of a project: the Worker is bundled once for all of its files. */

import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { ROOT } from "../../scripts/wrangler.ts";
import { buildWorker } from "./workerd.ts";

/** What begins in place of the relay's own entry, by project. */
const ENTRIES: Readonly<Record<string, string>> = {
  browser: join(ROOT, "test/browser/worker.ts"),
};

declare module "vitest" {
  interface ProvidedContext {
    /** The directory with the bundled Worker. */
    build: string;
  }
}

/** @returns what removes it in the end. */
export async function setup(project: TestProject): Promise<() => void> {
  const entry = ENTRIES[project.name];
  const build = await buildWorker(entry === undefined ? {} : { entry });
  project.provide("build", build.directory);
  return build.remove;
}
