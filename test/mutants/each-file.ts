/**
 * A fault for each test file that `mutants.ts` does not name: it breaks what the title of this file promises, and as
 * little else as can be, so that a file that catches nothing any more shows.
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
