/**
 * Writes the tables of figures in the pages from bench/results.json; `npm run bench` does so when it has measured.
 *
 *   npm run figures
 */
import { readOptions, runCommand } from "../scripts/command.ts";
import { writePages } from "./pages.ts";
import { readResults } from "./results.ts";

const USAGE = `Writes the tables of figures in the pages from bench/results.json.

  npm run figures`;

await runCommand(USAGE, async (args) => {
  readOptions(args, {});
  writePages(readResults());
  return 0;
});
