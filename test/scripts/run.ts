/** Runs the scripts of package.json as a terminal would. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { collect, exitCodeOf, type Finished, ROOT } from "../../scripts/wrangler.ts";

export const SCRIPTS: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(join(ROOT, "package.json"), "utf8"),
).scripts;

export type RunOptions = {
  env?: Readonly<Record<string, string>>;
  /** The folder of the project; default the one that is tested. */
  cwd?: string;
  input?: string;
};

/** Runs `npm run NAME -- ARGS` to its end, without npm itself: the command that package.json names. */
export async function runScript(
  name: string,
  args: readonly string[],
  { env, cwd = ROOT, input = "" }: RunOptions = {},
): Promise<Finished> {
  const [, ...words] = (SCRIPTS[name] ?? "").split(" ");
  const child = spawn(process.execPath, [...words, ...args], {
    cwd,
    env: { ...process.env, ...env },
  });
  child.stdin.on("error", () => {}).end(input);
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  return { exitCode: await exitCodeOf(child), stdout: stdout(), stderr: stderr() };
}

/** Resolves with what the process has printed once `text` is part of it. */
export async function printed(child: ChildProcess, text: string): Promise<string> {
  let all = "";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  for (const stream of [child.stdout, child.stderr]) {
    // A chunk may end within a character.
    const decoder = new TextDecoder();
    stream?.on("data", (chunk: Buffer | string) => {
      all += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
      if (all.includes(text)) resolve(all);
    });
  }
  child.once("close", () => reject(new Error(`It ended without saying "${text}":\n${all}`)));
  return promise;
}
