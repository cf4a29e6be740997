/** What Linux says of a workerd: its memory, and whether it still works. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Running } from "./stage.ts";

const KIB_PER_MB = 1024;
const LOOK_EVERY_MS = 100;
/** Nothing was done for so long. */
const QUIET_LOOKS = 5;
/** Of the kernel's ticks. */
const IDLE_TICKS = 0;
const MS_PER_TICK = 10;
const GIVE_UP_AFTER_MS = 120_000;
/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html counts from 1: `utime`, `stime`. */
const FIELDS_BEFORE_UTIME = 11;

/** Resident memory in MB. */
export function memoryOf(workerd: Running): number {
  return sum(
    childrenOf(workerd).map((child) => {
      const status = readFileSync(`/proc/${child}/status`, "utf8");
      return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) / KIB_PER_MB;
    }),
  );
}

/**
 * Resolves when it has nothing left to do: what it was asked for and answered may still be under way, as the writes
 * to KV that no answer waits for. @returns how long that took, in milliseconds.
 */
export async function quiet(workerd: Running): Promise<number> {
  const startMs = performance.now();
  let before = ticksOf(workerd);
  for (let looks = 0; looks < QUIET_LOOKS; ) {
    if (performance.now() - startMs > GIVE_UP_AFTER_MS) throw new Error("workerd does not rest");
    await sleep(LOOK_EVERY_MS);
    const now = ticksOf(workerd);
    looks = now - before <= IDLE_TICKS ? looks + 1 : 0;
    before = now;
  }
  return performance.now() - startMs - QUIET_LOOKS * LOOK_EVERY_MS;
}

/** Processor time that it has used so far, in milliseconds. */
export function processorMsOf(workerd: Running): number {
  return ticksOf(workerd) * MS_PER_TICK;
}

function ticksOf(workerd: Running): number {
  return sum(
    childrenOf(workerd).map((child) => {
      // The name, in brackets, may hold spaces.
      const fields = readFileSync(`/proc/${child}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      return Number(fields[FIELDS_BEFORE_UTIME]) + Number(fields[FIELDS_BEFORE_UTIME + 1]);
    }),
  );
}

/** The processes that miniflare started: that is workerd. */
function childrenOf({ processId }: Running): string[] {
  const tasks = `/proc/${processId}/task`;
  return readdirSync(tasks)
    .flatMap((task) => readFileSync(`${tasks}/${task}/children`, "utf8").trim().split(" "))
    .filter((child) => child !== "");
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
