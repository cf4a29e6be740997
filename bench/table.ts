/** The figures as a person reads them. */
import { type Figure, rounded } from "./figure.ts";

const HEAD = ["name", "measured", "median", "min–max", "runs", "bar", ""];

export function printTable(figures: readonly Figure[]): void {
  const rows = [HEAD, ...figures.map(cellsOf)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  }
}

function cellsOf({ name, measured, value, spread, runs, bar, met }: Figure): string[] {
  const verdict = met === null ? "" : met ? "met" : "MISSED";
  const range = spread === null ? "" : spread.map(shown).join("–");
  return [name, measured, shown(value), range, String(runs), bar, verdict];
}

function shown(value: number): string {
  return value >= 1_000 ? String(Math.round(value)) : String(rounded(value));
}
