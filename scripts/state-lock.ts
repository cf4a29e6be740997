/**
 * One relay for each state directory: two would both deliver what is in it. The lock is SQLite's own on a file in
 * the directory, so it ends with the process that holds it, however that ends.
 */
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import {
  isAlive,
  type ProcessInfo,
  processesWithFilesIn,
  processInfo,
  signalGroup,
} from "./processes.ts";

const LOCK_FILE = "relay.lock";
const PID_FILE = "relay.pid";

/** Held here, or the garbage collection would close them. */
const held = new Set<DatabaseSync>();

/** What has to be said before the relay starts, and the way to let go. */
export type StateLock = { notices: string[]; release(): void };

/**
 * Takes the directory for this process, and ends what a relay that is no more left running on it.
 * @throws when another one has it, with its process id.
 */
export function lockState(directory: string): StateLock {
  mkdirSync(directory, { recursive: true });
  return lockDirectory(realpathSync(directory));
}

/** @param directory by the name under which the system knows the files that are open in it. */
function lockDirectory(directory: string): StateLock {
  const lock = new DatabaseSync(join(directory, LOCK_FILE));
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch {
    lock.close();
    throw taken(directory, readPid(directory));
  }
  try {
    const notices = endOrphans(directory);
    writeFileSync(join(directory, PID_FILE), `${process.pid}\n`);
    held.add(lock);
    return { notices, release: () => releaseLock(lock) };
  } catch (thrown) {
    lock.close();
    throw thrown;
  }
}

function releaseLock(lock: DatabaseSync): void {
  if (held.delete(lock)) lock.close();
}

function readPid(directory: string): number | null {
  try {
    return Number(readFileSync(join(directory, PID_FILE), "utf8")) || null;
  } catch {
    return null;
  }
}

function taken(directory: string, pid: number | null): Error {
  const who = pid === null ? "Another process" : `Process ${pid}`;
  const end = pid === null ? "it" : `it (kill ${pid})`;
  return new Error(
    `${who} runs a relay on ${directory} already; a second one would deliver everything twice.\nEnd ${end}, or give this one a state of its own: --persist-to DIR --port N`,
  );
}

function endOrphans(directory: string): string[] {
  const holders = processesWithFilesIn(directory).flatMap((pid) => processInfo(pid) ?? []);
  const groups = new Map(holders.map((holder) => [holder.group, holder]));
  return [...groups.values()].map((holder) => {
    const { pid, group, command } = holder;
    if (!isOrphan(holder)) throw taken(directory, pid);
    signalGroup({ pid: group }, "SIGKILL");
    return `Ended process ${pid}, which a relay that is no more had left running: ${command.slice(0, 60)}`;
  });
}

/** A workerd whose wrangler, or whose wrangler's starter, is gone: its group has been handed to init. */
function isOrphan({ group, command }: ProcessInfo): boolean {
  const leader = processInfo(group);
  const isOurs = /workerd|wrangler/.test(command);
  if (leader === null) return isOurs;
  return isOurs && (leader.parent === 1 || !isAlive(leader.parent));
}
