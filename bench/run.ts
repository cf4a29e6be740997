/**
 * The benchmarks: one table, and bench/results.json.
 *
 *   npm run bench
 *   npm run bench -- ingest deliver
 *   npm run bench -- soak --minutes 10
 */
import { parseArgs } from "node:util";
import { backlog } from "./backlog.ts";
import { cold } from "./cold.ts";
import { cost, retryCost } from "./cost.ts";
import { deliver } from "./deliver.ts";
import { fanOut } from "./fan-out.ts";
import type { Benchmark, Figure } from "./figure.ts";
import { ingest, ingestCode } from "./ingest.ts";
import { isolation } from "./isolation.ts";
import { latency } from "./latency.ts";
import { page } from "./page.ts";
import { writeResults } from "./results.ts";
import { soak } from "./soak.ts";
import { printTable } from "./table.ts";

const BENCHMARKS: readonly Benchmark[] = [
  ingest,
  ingestCode,
  deliver,
  fanOut,
  latency,
  isolation,
  backlog,
  page,
  cold,
  { name: "cost", run: cost },
  { name: "retry-cost", run: retryCost },
];
/** Only when it is named. */
const ON_DEMAND: readonly Benchmark[] = [soak];
const DEFAULT_MINUTES = 10;
const INTERRUPTED = 130;
const FAILED = 1;
const MISUSED = 2;

const USAGE = `npm run bench -- [NAME …] [--minutes N]

  NAME         ${BENCHMARKS.map(({ name }) => name).join(" ")}; all of them without a name
               ${ON_DEMAND.map(({ name }) => name).join(" ")}: only when named
  --minutes N  how long the soak lasts, default ${DEFAULT_MINUTES}`;

class Misuse extends Error {}

/** @throws Misuse when a name or an option is unknown. */
function parseCommand(args: string[]): { chosen: Benchmark[]; minutes: number } {
  const { values, positionals } = parsed(args);
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Misuse("--minutes must be a number greater than 0.");
  const known = [...BENCHMARKS, ...ON_DEMAND];
  const unknown = positionals.find((name) => !known.some((benchmark) => benchmark.name === name));
  if (unknown !== undefined) throw new Misuse(`There is no benchmark ${unknown}.`);
  if (positionals.length === 0) return { chosen: [...BENCHMARKS], minutes };
  return { chosen: known.filter(({ name }) => positionals.includes(name)), minutes };
}

function parsed(args: string[]) {
  const minutes = { type: "string", default: String(DEFAULT_MINUTES) } as const;
  try {
    return parseArgs({ args, allowPositionals: true, options: { minutes } });
  } catch (thrown) {
    throw new Misuse((thrown as Error).message);
  }
}

async function main(): Promise<void> {
  const { chosen, minutes } = parseCommand(process.argv.slice(2));
  const found: Figure[] = [];
  for (const benchmark of chosen) {
    try {
      const figures = await benchmark.run({ progress: console.error, minutes });
      writeResults(benchmark.name, figures);
      found.push(...figures);
    } catch (thrown) {
      // The others can be measured all the same.
      console.error(`${benchmark.name} failed:`, thrown);
      process.exitCode = FAILED;
    }
  }
  printTable(found);
}

// Everything that must go when this process ends has a listener: directories and processes.
process.setMaxListeners(0);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(INTERRUPTED));
}
await main().catch((thrown: Error) => {
  console.error(thrown instanceof Misuse ? `${thrown.message}\n\n${USAGE}` : thrown);
  process.exitCode = thrown instanceof Misuse ? MISUSED : FAILED;
});
