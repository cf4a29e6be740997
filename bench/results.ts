/**
 * What was measured: bench/results.json has the last figures of each benchmark, bench/history/ a line for every figure
 * of every run.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { type Figure, rounded } from "./figure.ts";

const FILE = join(import.meta.dirname, "results.json");
const HISTORY_HEAD = ["date", "commit", "figure", "median", "min", "max"];
const WORKERD = join(import.meta.dirname, "../node_modules/workerd/package.json");

export type Stored = {
  benchmark: string;
  name: string;
  measured: string;
  /** What is not as it is deployed. */
  changed?: string;
  median: number;
  min: number | null;
  max: number | null;
  runs: number;
  bar: string;
  met: boolean | null;
  /** ISO 8601. */
  date: string;
  /** What was checked out; with a plus when files had changed since. */
  commit: string;
  machine: string;
  details?: Record<string, unknown>;
};

export function readResults(): Stored[] {
  return (JSON.parse(readFileSync(FILE, "utf8")) as { figures: Stored[] }).figures;
}

/**
 * Replaces what is known of this benchmark, and adds the run to its history; the others stay.
 *
 * @param order names of benchmarks, as the file has them.
 */
export function writeResults(
  benchmark: string,
  figures: readonly Figure[],
  order: readonly string[],
): void {
  const run = { benchmark, date: new Date().toISOString(), commit: commit(), machine: machine() };
  const measured = figures.map((figure) => storedOf(figure, run));
  const others = readResults().filter((stored) => stored.benchmark !== benchmark);
  const sorted = [...others, ...measured].sort(
    (a, b) => order.indexOf(a.benchmark) - order.indexOf(b.benchmark),
  );
  writeFileSync(FILE, `${JSON.stringify({ figures: sorted }, null, 2)}\n`);
  remember(benchmark, measured);
}

/** A line for each figure: `bench/history/NAME.tsv`. */
function remember(benchmark: string, measured: readonly Stored[]): void {
  const file = join(import.meta.dirname, "history", `${benchmark}.tsv`);
  mkdirSync(dirname(file), { recursive: true });
  const lines = measured.map(({ date, commit, name, median, min, max }) => [
    ...[date, commit, name, median],
    ...[min ?? median, max ?? median],
  ]);
  const rows = existsSync(file) ? lines : [HISTORY_HEAD, ...lines];
  appendFileSync(file, rows.map((cells) => `${cells.join("\t")}\n`).join(""));
}

type Run = Pick<Stored, "benchmark" | "date" | "commit" | "machine">;

function storedOf(figure: Figure, { benchmark, ...run }: Run): Stored {
  const { name, measured, changed, value, spread, runs, bar, met, details } = figure;
  const [min, max] = spread === null ? [null, null] : spread.map(rounded);
  return {
    benchmark,
    name,
    measured,
    ...(changed === undefined ? {} : { changed }),
    median: rounded(value),
    min: min ?? null,
    max: max ?? null,
    runs,
    bar,
    met,
    ...run,
    ...(details === undefined ? {} : { details }),
  };
}

function machine(): string {
  const { version } = JSON.parse(readFileSync(WORKERD, "utf8")) as { version: string };
  const [cpu] = cpus();
  return `${cpus().length} cores of ${cpu?.model.trim()}, workerd ${version}, Node ${process.version}`;
}

/** `-` outside a repository. */
function commit(): string {
  const git = (...args: string[]) =>
    execFileSync("git", args, {
      cwd: import.meta.dirname,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no", "--", "../src");
    return git("rev-parse", "--short", "HEAD") + (changed === "" ? "" : "+");
  } catch {
    return "-";
  }
}
