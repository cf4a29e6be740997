/**
 * Writes the tables of figures in the pages from bench/results.json; `npm run bench` does so when it has measured.
 *
 *   npm run figures
 */
import { writePages } from "./pages.ts";
import { readResults } from "./results.ts";

writePages(readResults());
