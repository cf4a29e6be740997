/** The processes of this machine, as far as the scripts look at others than their own. */
import { type ChildProcess, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join, resolve, sep } from "node:path";

export type ProcessInfo = { pid: number; parent: number; group: number; command: string };

/** null when there is none with this id, or nobody to ask. */
export function processInfo(pid: number): ProcessInfo | null {
  const { stdout } = spawnSync("ps", ["-o", "ppid=,pgid=,args=", "-p", String(pid)], {
    encoding: "utf8",
  });
  const [, parent, group, command] = /^\s*(\d+)\s+(\d+)\s+(.*)/.exec(stdout ?? "") ?? [];
  if (command === undefined) return null;
  return { pid, parent: Number(parent), group: Number(group), command };
}

/** A process that has ended and that nobody has asked for its exit code yet is no more alive. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (thrown) {
    // EPERM: it is there, and somebody else's.
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

function isZombie(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

const POLL_MS = 500;

/**
 * Calls `gone` when npm, which started this process, is there no more: it passes on neither a SIGHUP nor a SIGKILL,
 * nor a SIGTERM where a shell stands in between. A process that npm did not start may outlive its parent.
 */
export function whenNpmEnds(gone: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const shell = processInfo(parent);
  const isShell = /^(\S*\/)?(sh|dash|bash|zsh|ash) /.test(shell?.command ?? "");
  const npm = isShell && shell !== null ? shell.parent : parent;
  const timer = setInterval(() => {
    if (process.ppid === parent && isAlive(npm)) return;
    clearInterval(timer);
    gone();
  }, POLL_MS);
  timer.unref();
}

/** Reaches a process that was started `detached`, and all that it started: they share the group that it leads. */
export function signalGroup({ pid }: Pick<ChildProcess, "pid">, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody left in the group.
  }
}

/** When this process exits, a process that it started `detached` is killed with all its group. */
export function endsWithUs(child: ChildProcess): void {
  const kill = () => signalGroup(child, "SIGKILL");
  // Before the directories that they write into are removed.
  process.prependOnceListener("exit", kill);
  child
    .once("exit", () => process.off("exit", kill))
    .once("error", () => process.off("exit", kill));
}

/** The processes, this one left out, that have a file below the directory open. */
export function processesWithFilesIn(directory: string): number[] {
  const within = resolve(directory) + sep;
  const pids = existsSync("/proc/self/fd") ? fromProc(within) : fromLsof(within);
  return pids.filter((pid) => pid !== process.pid);
}

function fromProc(within: string): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => openFiles(pid).some((path) => path.startsWith(within))).map(Number);
}

function openFiles(pid: string): string[] {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).map((name) => linkOf(join(folder, name)));
  } catch {
    // Gone meanwhile, or somebody else's.
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function fromLsof(within: string): number[] {
  const { stdout } = spawnSync("lsof", ["-t", "+D", within], { encoding: "utf8" });
  return (stdout ?? "").split("\n").filter(Boolean).map(Number);
}
