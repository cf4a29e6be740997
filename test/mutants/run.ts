/**
 * Is the suite to be trusted? Plants each fault of `mutants.ts`, alone, into a copy of the project, and runs the
 * part of the suite that should catch it. A fault that survives ends this with exit code 1, and so does a suite
 * that is red without one.
 *
 *   npm run test:mutants
 *   npm run test:mutants -- alarm      only those whose name has this in it
 *   npm run test:mutants -- --each-file   those of `each-file.ts`, one for each test file that no fault above names
 */
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { styleText } from "node:util";
import { Misuse, readOptions, runCommand } from "../../scripts/command.ts";
import { endsWithUs, signalGroup } from "../../scripts/processes.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../scripts/temporary.ts";
import { collect, exitCodeOf } from "../../scripts/wrangler.ts";
import { EACH_FILE } from "./each-file.ts";
import { MUTANTS, type Mutant, type Suite, type Tests } from "./mutants.ts";

const ROOT = resolve(import.meta.dirname, "../..");
/** What is made here, installed, or this machine's alone; the suite needs the rest. */
const LEFT_OUT = new Set([".git", ".wrangler", ".dev.vars", "dist", "node_modules"]);
/** What a deploy, or the test of one, keeps for as long as it runs: it may go while the rest is copied. */
const OF_A_DEPLOY = /^wrangler\.deploy-/;
/** Runs of the simulation for each fault: a fault that hides longer is not caught well. */
const SEEDS = "400";
/** A fault may make the suite hang; a busy machine makes it slow. */
const MAX_RUN_MS = 600_000;

/** `broken`: the suite could not run, which says nothing about the fault. */
type Verdict = { colour: "red" | "green" | "broken"; detail: string };

type Report = {
  numPassedTests: number;
  testResults: {
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
};

async function runSuite(directory: string, suite: Suite): Promise<Verdict> {
  return "rig" in suite ? runRig(directory, suite.rig) : runTests(directory, suite);
}

async function runRig(directory: string, rig: string): Promise<Verdict> {
  const { status, stdout, stderr } = await run(directory, [rig]);
  const [, wrong] = stdout.split("WRONG:\n");
  if (wrong !== undefined) return { colour: "red", detail: `${rig}\n${firstLine(wrong)}` };
  if (status !== 0) return { colour: "broken", detail: stderr };
  return { colour: "green", detail: firstLine(stdout) };
}

/** `status` is null when it took too long and was killed, with all that it had started. */
async function run(
  directory: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
) {
  const child = spawn(process.execPath, args, {
    cwd: directory,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  endsWithUs(child);
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  const timer = setTimeout(() => signalGroup(child, "SIGKILL"), MAX_RUN_MS);
  const exitCode = await exitCodeOf(child).finally(() => clearTimeout(timer));
  const status = child.signalCode === null ? exitCode : null;
  return { status, stdout: stdout(), stderr: stderr() };
}

async function runTests(
  directory: string,
  { project, file, name, seeds }: Tests,
): Promise<Verdict> {
  const reportFile = join(directory, "report.json");
  rmSync(reportFile, { force: true });
  const vitest = join(directory, "node_modules/vitest/vitest.mjs");
  const options = ["--bail=1", "--retry=0", "--reporter=json", `--outputFile=${reportFile}`];
  const only = name === undefined ? [] : ["--testNamePattern", name];
  const { status, stderr } = await run(
    directory,
    [vitest, "run", file, "--project", project, ...options, ...only],
    { SEEDS: seeds === "usual" ? undefined : SEEDS, SEED: undefined },
  );
  if (status === null) {
    return { colour: "broken", detail: `vitest did not end in ${MAX_RUN_MS / 1_000} s` };
  }
  if (!existsSync(reportFile)) return { colour: "broken", detail: stderr };
  return verdictOf(JSON.parse(readFileSync(reportFile, "utf8")));
}

function verdictOf({ numPassedTests, testResults }: Report): Verdict {
  for (const { fullName, failureMessages, status } of testResults.flatMap(
    ({ assertionResults }) => assertionResults,
  )) {
    if (status === "failed") {
      return { colour: "red", detail: `${fullName}\n${firstLine(failureMessages[0])}` };
    }
  }
  const [message] = testResults.flatMap((result) => (result.message === "" ? [] : result.message));
  if (message !== undefined) return { colour: "broken", detail: firstLine(message) };
  if (numPassedTests === 0) return { colour: "broken", detail: "no test was run" };
  return { colour: "green", detail: `${numPassedTests} passed` };
}

const titleOf = (suite: Suite) =>
  "rig" in suite ? suite.rig : [suite.file, suite.name].filter(Boolean).join(", ");

function firstLine(text = ""): string {
  return (text.split("\n")[0] ?? "").slice(0, 200);
}

/** @throws when the code has changed so that the fault cannot be planted any more. */
function plant(source: string, { name, file, edits }: Mutant): string {
  let text = source;
  for (const [find, replace] of edits) {
    const parts = text.split(find);
    if (parts.length !== 2) {
      throw new Error(`"${name}": ${parts.length - 1} times in ${file}, not once: ${find}`);
    }
    text = parts.join(replace);
  }
  return text;
}

function copyProject(): TemporaryDirectory {
  const copy = temporaryDirectory("mutants");
  const { directory } = copy;
  const isCopied = (name: string) => !LEFT_OUT.has(name) && !OF_A_DEPLOY.test(name);
  for (const name of readdirSync(ROOT).filter(isCopied)) {
    cpSync(join(ROOT, name), join(directory, name), { recursive: true });
  }
  makeRepository(directory);
  symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
  return copy;
}

/** Some suites ask git which files there are. */
function makeRepository(directory: string): void {
  const author = ["-c", "user.name=mutants", "-c", "user.email=mutants@localhost"];
  for (const args of [
    ["init", "--quiet"],
    ["add", "."],
    [...author, "commit", "--quiet", "--message", "All"],
  ]) {
    spawnSync("git", args, { cwd: directory });
  }
}

/** @returns what is wrong with the suites without a fault: then they cannot judge one. */
async function checkUnmutated(directory: string, mutants: readonly Mutant[]): Promise<string[]> {
  const suites = new Map(mutants.map(({ suite }) => [JSON.stringify(suite), suite]));
  const red: string[] = [];
  for (const suite of suites.values()) {
    const { colour, detail } = await runSuite(directory, suite);
    const title = titleOf(suite);
    print(colour === "green" ? "  ok   " : "  RED  ", colour === "green", title, detail);
    if (colour !== "green") red.push(title);
  }
  return red;
}

async function judge(directory: string, mutant: Mutant): Promise<boolean> {
  const path = join(directory, mutant.file);
  const source = readFileSync(path, "utf8");
  writeFileSync(path, plant(source, mutant));
  const startedAtMs = Date.now();
  const { colour, detail } = await runSuite(directory, mutant.suite);
  writeFileSync(path, source);
  const caught = colour === "red";
  const word = { red: "  caught   ", green: "  SURVIVED ", broken: "  BROKEN   " }[colour];
  const seconds = ((Date.now() - startedAtMs) / 1_000).toFixed(1);
  print(word, caught, `${mutant.name} (${seconds} s)`, colour === "green" ? "" : detail);
  return caught;
}

function print(word: string, good: boolean, title: string, detail: string): void {
  const indented = detail === "" ? "" : `\n${detail.replaceAll(/^/gm, "             ")}`;
  const line = `${styleText(good ? "green" : "red", word)}${title}${styleText("dim", indented)}\n`;
  process.stdout.write(line);
}

const USAGE = `Plants faults, one at a time, and shows which the suite catches.

  npm run test:mutants -- [--each-file] [WORD]

  --each-file  one for each test file that the usual ones do not name
  WORD         only those whose name has this in it`;

async function main(args: string[]): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    { "each-file": { type: "boolean", default: false } },
    { words: 1 },
  );
  const [wanted = ""] = positionals;
  const mutants = (values["each-file"] ? EACH_FILE : MUTANTS).filter(({ name }) =>
    name.includes(wanted),
  );
  if (mutants.length === 0) throw new Misuse(`No fault has "${wanted}" in its name.`);
  const { directory, remove } = copyProject();
  try {
    // All of them first: a table that lags behind the code shows before the long part.
    for (const mutant of mutants) plant(readFileSync(join(directory, mutant.file), "utf8"), mutant);
    process.stdout.write("Without a fault:\n");
    const red = await checkUnmutated(directory, mutants);
    process.stdout.write("With one:\n");
    let survivors = 0;
    for (const mutant of mutants) if (!(await judge(directory, mutant))) survivors++;
    process.stdout.write(
      `${mutants.length - survivors} of ${mutants.length} faults are caught${red.length === 0 ? "" : `, but ${red.length} suites are red without one`}.\n`,
    );
    return survivors === 0 && red.length === 0 ? 0 : 1;
  } finally {
    remove();
  }
}

await runCommand(USAGE, main);
