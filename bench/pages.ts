/**
 * The tables of figures in the pages: between `<!-- figures NAME -->` and `<!-- /figures -->` stands what
 * bench/results.json says, and nothing by hand.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../scripts/wrangler.ts";
import type { MonthRow } from "./cost/volumes.ts";
import { rounded } from "./figure.ts";
import type { Stored } from "./results.ts";

export const PAGES = ["docs/performance.md", "docs/cost.md"];

const BLOCK = /(<!-- figures ([\w-]+) -->\n)[\s\S]*?(<!-- \/figures -->)/g;
/** What is paid, in another page than what is fast. */
const PAID = ["cost", "retry-cost"];
/** Where the processor time goes: functions in place of figures. */
const PROFILE = "profile";

const MILLION = 1e6;

/** Dollars for a million events that the sum leaves out. */
type OnTop = { duration: number; storage: number; logs: number; invocationLogs: number };

type Block = (figures: readonly Stored[]) => string;

const BLOCKS: Readonly<Record<string, Block>> = {
  speed,
  beside,
  profile,
  machine,
  cost,
  "cost-on-top": costOnTop,
  months,
};

/** @throws when it asks for a table that there is not. */
export function withFigures(page: string, figures: readonly Stored[]): string {
  return page.replaceAll(BLOCK, (_, begin: string, name: string, end: string) => {
    const block = BLOCKS[name];
    if (block === undefined) throw new Error(`there are no figures ${name}`);
    return `${begin}\n${block(figures)}\n${end}`;
  });
}

export function writePages(figures: readonly Stored[]): void {
  for (const page of PAGES) {
    const path = join(ROOT, page);
    writeFileSync(path, withFigures(readFileSync(path, "utf8"), figures));
  }
}

/** What was measured against which bar. */
function speed(figures: readonly Stored[]): string {
  const rows = figures
    .filter(isSpeed)
    .map((figure) => [
      figure.name,
      measuredOf(figure),
      ...spreadOf(figure),
      String(figure.runs),
      ...verdictOf(figure),
    ]);
  return tableOf(["figure", "measured", "median", "lowest–highest", "runs", ...VERDICT], rows);
}

/** Every number that was measured beside. */
function beside(figures: readonly Stored[]): string {
  const rows = figures
    .filter(isSpeed)
    .flatMap(({ name, details = {} }) =>
      flat(details).map(([what, value]) => [name, what, ...spreadOf(value)]),
    );
  return tableOf(["figure", "beside it", "median", "lowest–highest"], rows);
}

function profile(figures: readonly Stored[]): string {
  return figures
    .filter(({ benchmark }) => benchmark === PROFILE)
    .map(({ measured, median, details = {}, date }) => {
      const shares = Object.entries(details as Record<string, { own: number; whole: number }>);
      const rows = shares.map(([name, { own, whole }]) => [`\`${name}\``, `${own}`, `${whole}`]);
      const table = tableOf(["function", "in its own code, %", "with all that it calls, %"], rows);
      return `${measured}: ${shown(median)} (${dayOf(date)})\n\n${table}`;
    })
    .join("\n");
}

function machine(figures: readonly Stored[]): string {
  const machines = new Set(figures.filter(isSpeed).map((figure) => figure.machine));
  return [...machines].map((name) => `- ${name}\n`).join("");
}

function cost(figures: readonly Stored[]): string {
  const rows = figures
    .filter(({ benchmark }) => PAID.includes(benchmark))
    .map((figure) => [figure.name, figure.measured, shown(figure.median), ...verdictOf(figure)]);
  return tableOf(["figure", "counted", "", ...VERDICT], rows);
}

function costOnTop(figures: readonly Stored[]): string {
  const rows = figures.flatMap(({ name, details }) => {
    const { dollarsOutsideTheSum: onTop } = (details ?? {}) as { dollarsOutsideTheSum?: OnTop };
    if (onTop === undefined) return [];
    const { duration, storage, logs, invocationLogs } = onTop;
    return [[name, ...[duration, storage, logs, invocationLogs].map((each) => each.toFixed(2))]];
  });
  return tableOf(
    ["$ per million events", "object duration", "storage", "Workers Logs", "`invocation_logs`"],
    rows,
  );
}

/** Both values of `max_batch_timeout` in one cell. */
function months(figures: readonly Stored[]): string {
  const { details } = figures.find(({ name }) => name === "cost timeout") ?? {};
  const { months: all } = details as { months: MonthRow[] };
  const relays = all[0]?.timeouts[0]?.relays ?? [];
  const head = relays.map(({ webhooks }) => (webhooks === 1 ? "1 webhook" : String(webhooks)));
  const rows = all.map(({ spread, events, timeouts }) => {
    const both = (of: (at: MonthRow["timeouts"][number]) => string) => timeouts.map(of).join(" / ");
    return [
      `${events / MILLION} million, ${spread}`,
      both(({ timeout }) => String(timeout)),
      both(({ batch }) => batch.toFixed(1)),
      ...relays.map((_, index) =>
        both(({ relays: at }) => `${dollars(at[index]?.listPrice)} → ${dollars(at[index]?.bill)}`),
      ),
    ];
  });
  return tableOf(["events a month", "`max_batch_timeout`", "batch", ...head], rows);
}

function isSpeed({ benchmark }: Stored): boolean {
  return benchmark !== PROFILE && !PAID.includes(benchmark);
}

function measuredOf({ measured, changed }: Stored): string {
  return changed === undefined ? measured : `${measured} *(for measuring: ${changed})*`;
}

function dayOf(date: string): string {
  return date.slice(0, "2026-11-28".length);
}

const VERDICT = ["wanted", "", "date"];

function verdictOf({ bar, met, date }: Stored): string[] {
  return [bar, met === false ? "**missed**" : met ? "met" : "", dayOf(date)];
}

type Spread = { median: number; min: number | null; max: number | null };

function spreadOf({ median, min, max }: Spread): [median: string, range: string] {
  return [shown(median), min === null || max === null ? "" : `${shown(min)}–${shown(max)}`];
}

/** Every number in the details, by words that its path makes; lists are for the file alone. */
function flat(details: object, before: readonly string[] = []): [what: string, Spread][] {
  return Object.entries(details).flatMap(([key, value]): [string, Spread][] => {
    const path = [...before, wordsOf(key)];
    if (typeof value === "number")
      return [[path.join(" "), { median: value, min: null, max: null }]];
    if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
    return "median" in value ? [[path.join(" "), value as Spread]] : flat(value, path);
  });
}

/** `perSecondAt10` as `per second at 10`. */
function wordsOf(key: string): string {
  return key
    .replaceAll(/(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z][a-z])(?=[0-9])/g, " ")
    .toLowerCase();
}

function shown(value: number): string {
  return value >= 1_000 ? Math.round(value).toLocaleString("en") : String(rounded(value));
}

function dollars(amount = Number.NaN): string {
  return amount.toFixed(amount < 100 ? 1 : 0);
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
  return line(head) + line(head.map(() => "---")) + rows.map(line).join("");
}
