/** bench/results.json: the last figures of each benchmark, and the machine that they were measured on. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { type Figure, rounded } from "./figure.ts";

const FILE = join(import.meta.dirname, "results.json");
const WORKERD = join(import.meta.dirname, "../node_modules/workerd/package.json");

type Stored = {
  benchmark: string;
  name: string;
  measured: string;
  median: number;
  min: number | null;
  max: number | null;
  runs: number;
  bar: string;
  met: boolean | null;
  /** ISO 8601. */
  date: string;
  details?: Record<string, unknown>;
};

type Results = {
  date: string;
  node: string;
  workerd: string;
  cpu: string;
  cores: number;
  figures: Stored[];
};

/** Replaces what is known of this benchmark; the others stay. */
export function writeResults(benchmark: string, figures: readonly Figure[]): void {
  const date = new Date().toISOString();
  const before: Stored[] = existsSync(FILE)
    ? (JSON.parse(readFileSync(FILE, "utf8")) as Results).figures
    : [];
  const at = before.findIndex((stored) => stored.benchmark === benchmark);
  const others = before.filter((stored) => stored.benchmark !== benchmark);
  others.splice(
    at < 0 ? others.length : at,
    0,
    ...figures.map((figure) => storedOf(figure, benchmark, date)),
  );
  const [cpu] = cpus();
  const { version } = JSON.parse(readFileSync(WORKERD, "utf8")) as { version: string };
  const results: Results = {
    date,
    node: process.version,
    workerd: version,
    cpu: cpu?.model.trim() ?? "",
    cores: cpus().length,
    figures: others,
  };
  writeFileSync(FILE, `${JSON.stringify(results, null, 2)}\n`);
}

function storedOf(figure: Figure, benchmark: string, date: string): Stored {
  const { name, measured, value, spread, runs, bar, met, details } = figure;
  const [min, max] = spread === null ? [null, null] : spread.map(rounded);
  return {
    benchmark,
    name,
    measured,
    median: rounded(value),
    min: min ?? null,
    max: max ?? null,
    runs,
    bar,
    met,
    date,
    ...(details === undefined ? {} : { details }),
  };
}
