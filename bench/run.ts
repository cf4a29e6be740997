/**
 * The benchmarks: one table, bench/results.json and bench/history/, and the tables in the pages.
 *
 *   npm run bench
 *   npm run bench -- ingest deliver
 *   npm run bench -- soak --minutes 10
 */
import { FAILED, Misuse, readOptions, readPositive, runCommand } from "../scripts/command.ts";
import { backlog } from "./backlog.ts";
import { cold } from "./cold.ts";
import { cost, retryCost } from "./cost.ts";
import { deliver } from "./deliver.ts";
import { fanOut } from "./fan-out.ts";
import type { Benchmark, Figure } from "./figure.ts";
import { ingest, ingestCode } from "./ingest.ts";
import { isolation } from "./isolation.ts";
import { lanes } from "./lanes.ts";
import { latency, small } from "./latency.ts";
import { page } from "./page.ts";
import { writePages } from "./pages.ts";
import { profile } from "./profile.ts";
import { readResults, writeResults } from "./results.ts";
import { soak } from "./soak.ts";
import { printTable } from "./table.ts";
import { through } from "./through.ts";

const BENCHMARKS: readonly Benchmark[] = [
  ingest,
  ingestCode,
  deliver,
  lanes,
  fanOut,
  latency,
  through,
  small,
  isolation,
  backlog,
  page,
  cold,
  { name: "cost", run: cost },
  { name: "retry-cost", run: retryCost },
];
/** Only when it is named. */
const ON_DEMAND: readonly Benchmark[] = [profile, soak];
const KNOWN = [...BENCHMARKS, ...ON_DEMAND];
const DEFAULT_MINUTES = 10;

const USAGE = `Measures the relay, and writes bench/results.json, bench/history/ and the tables in docs/.

  npm run bench -- [NAME …] [--minutes N]

  NAME         ${BENCHMARKS.map(({ name }) => name).join(" ")}; all of them without a name
               ${ON_DEMAND.map(({ name }) => name).join(" ")}: only when named
  --minutes N  how long the soak lasts, default ${DEFAULT_MINUTES}`;

/** @throws Misuse when a name or an option is unknown. */
function parseCommand(args: readonly string[]): { chosen: Benchmark[]; minutes: number } {
  const options = { minutes: { type: "string", default: String(DEFAULT_MINUTES) } } as const;
  const { values, positionals } = readOptions(args, options, { words: Number.POSITIVE_INFINITY });
  const minutes = readPositive("--minutes", values.minutes);
  const unknown = positionals.find((name) => !KNOWN.some((benchmark) => benchmark.name === name));
  if (unknown !== undefined) throw new Misuse(`There is no benchmark ${unknown}.`);
  if (positionals.length === 0) return { chosen: [...BENCHMARKS], minutes };
  return { chosen: KNOWN.filter(({ name }) => positionals.includes(name)), minutes };
}

async function main(args: string[]): Promise<number> {
  const { chosen, minutes } = parseCommand(args);
  const order = KNOWN.map(({ name }) => name);
  const found: Figure[] = [];
  let exitCode = 0;
  for (const benchmark of chosen) {
    try {
      const figures = await benchmark.run({ progress: console.error, minutes });
      writeResults(benchmark.name, figures, order);
      writePages(readResults());
      found.push(...figures);
    } catch (thrown) {
      // The others can be measured all the same.
      console.error(`${benchmark.name} failed:`, thrown);
      exitCode = FAILED;
    }
  }
  printTable(found);
  return exitCode;
}

// Everything that must go when this process ends has a listener: directories and processes.
process.setMaxListeners(0);
await runCommand(USAGE, main);
