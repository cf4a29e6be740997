/**
 * Kills a relay again and again while it delivers, and balances the account. Exits 0 only if every rule holds.
 *
 *   npm run test:crash
 *   npm run test:crash -- --kills 200 --seed 7 --hang
 */
import { randomInt } from "node:crypto";
import { readOptions, readWholeNumber, runCommand } from "../../scripts/command.ts";
import type { SideAccount } from "../rig/account.ts";
import { type CrashReport, runCrashRig } from "./rig.ts";

/** What is overdue must leave so soon after the relay is up again: the alarm stands at most 10 s ahead. */
const MAX_WAIT_AFTER_RESTART_MS = 12_000;

const USAGE = `Kills a relay with SIGKILL while it delivers, and balances the account.

  npm run test:crash -- [options]

  --kills N     default 50
  --seed N      of the moments of the kills and of what the services answer; default: a new one
  --seconds N   no kill comes later than this
  --hang        with one more webhook, which never answers`;

/** More than anyone waits for. */
const MOST = 999_999_999;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

const HEADS = [
  "webhook",
  "owed",
  "requests",
  "lost",
  "unexpected",
  "duplicates",
  "worst crash",
  "altered",
  "unsigned",
  "disorder",
];

function printTable(sides: readonly SideAccount[]): void {
  const rows = sides.map((side) => [
    side.name,
    side.owed,
    side.requests,
    side.name === "hanging" ? "–" : side.lost,
    side.unexpected,
    side.duplicates,
    side.worstCrash,
    side.altered,
    side.unsigned,
    side.name === "ordered" ? side.outOfOrder : "–",
  ]);
  for (const row of [HEADS, ...rows]) {
    print(row.map((cell, index) => padded(String(cell), index)).join("  "));
  }
}

function padded(text: string, column: number): string {
  const width = Math.max(8, HEADS[column]?.length ?? 0);
  return column === 0 ? text.padEnd(width) : text.padStart(width);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** What happened, without when and to whom: the same for every line of a kind. */
function withoutDetails(line: string): string {
  return line.replace(/;.*/, "").replaceAll(/\d+/g, "…").slice(0, 160);
}

/** @returns whether every rule holds. */
function printReport({ calm, sides, kills, startsMs, restarts, errors, problems }: CrashReport) {
  print("\nWithout a kill");
  printTable(calm);
  print(`\nAfter ${kills} kills, and one when all was done`);
  printTable(sides);
  const waits = restarts.map(({ waitedMs }) => waitedMs);
  const slowest = restarts.toSorted((a, b) => b.waitedMs - a.waitedMs)[0];
  const late = restarts.filter(({ waitedMs }) => waitedMs > MAX_WAIT_AFTER_RESTART_MS);
  const total = (field: "interrupted" | "lostAnswers") =>
    sides.reduce((sum, side) => sum + side[field], 0);
  print(`
up again after          median ${median(startsMs)} ms, at most ${Math.max(0, ...startsMs)} ms
first overdue delivery  median ${median(waits)} ms after that, at most ${slowest?.waitedMs ?? 0} ms${slowest ? ` (${slowest.service}, life ${slowest.life})` : ""}, of ${waits.length}
interrupted attempts    ${total("interrupted")} in the attempt logs
lost answers            ${total("lostAnswers")} of the duplicates, by a timeout or a lost connection
`);
  for (const [kind, its] of Map.groupBy(errors, withoutDetails)) {
    print(`  ! logged ${its.length} times: ${kind}`);
  }
  const all = [
    ...problems,
    ...late.map(
      ({ service, life, waitedMs }) =>
        `${service}: the first overdue delivery of life ${life} waited for ${waitedMs} ms`,
    ),
  ];
  for (const problem of all) print(`  ✗ ${problem}`);
  if (all.length === 0)
    print("  ✓ Nothing lost, nothing unexpected, no more repeated than may be.");
  return all.length === 0;
}

async function main(args: string[]): Promise<number> {
  const { values } = readOptions(args, {
    kills: { type: "string", default: "50" },
    seed: { type: "string", default: String(randomInt(1_000_000)) },
    seconds: { type: "string" },
    hang: { type: "boolean", default: false },
  });
  const seed = readWholeNumber("--seed", values.seed, [0, MOST]);
  const kills = readWholeNumber("--kills", values.kills, [0, MOST]);
  const seconds =
    values.seconds === undefined
      ? {}
      : { seconds: readWholeNumber("--seconds", values.seconds, [0, MOST]) };
  print(`${kills} kills, seed ${seed}${values.hang ? ", with a webhook that hangs" : ""}`);
  const report = await runCrashRig({
    kills,
    seed,
    hang: values.hang,
    ...seconds,
    onProgress: print,
  });
  return printReport(report) ? 0 : 1;
}

if (import.meta.main) await runCommand(USAGE, main);
