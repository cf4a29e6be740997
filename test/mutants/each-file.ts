/**
 * A fault for each test file that `mutants.ts` does not name: one that breaks what this file promises, and what as few
 * others as can be hold too. What no file catches any more when one is taken away is what that one is for.
 */
import { DASHBOARD } from "./each-file/dashboard.ts";
import { DOMAIN } from "./each-file/domain.ts";
import { JOURNEYS } from "./each-file/journeys.ts";
import { RIGS } from "./each-file/rigs.ts";
import { SCRIPTS } from "./each-file/scripts.ts";
import { WORKER } from "./each-file/worker.ts";
import type { Mutant } from "./mutants.ts";

export const EACH_FILE: readonly Mutant[] = [
  ...DOMAIN,
  ...WORKER,
  ...DASHBOARD,
  ...SCRIPTS,
  ...JOURNEYS,
  ...RIGS,
];
