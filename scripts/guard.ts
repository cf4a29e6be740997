/**
 * Loaded into wrangler's processes before wrangler: when the process that started them is gone, however it went,
 * they end with it. Where they have a process group of their own, workerd and esbuild end at once, too.
 */
import { rmSync } from "node:fs";
import { isAlive } from "./processes.ts";
import { GUARDED, STARTED_BY, TEMPORARY_DIRECTORY } from "./wrangler.ts";

/** 0 is the caller's own group, `kill(2)`. */
const OWN_GROUP = 0;

/** Whom the channel leads to may be gone a moment later than the channel. */
const LOOK_EVERY_MS = 20;

/** wrangler also lets go of the channel itself, when it is done: that is no reason to end it. */
function watch(): void {
  const starter = Number(process.env[STARTED_BY]);
  setInterval(() => {
    if (!isAlive(starter)) endAll();
  }, LOOK_EVERY_MS).unref();
}

if (process.connected === false) watch();
else process.once("disconnect", watch);
// Only the channel's end is waited for: it keeps nobody alive.
process.channel?.unref();

function endAll(): void {
  const directory = process.env[TEMPORARY_DIRECTORY];
  if (directory) rmSync(directory, { recursive: true, force: true });
  process.kill(process.env[GUARDED] === "group" ? OWN_GROUP : process.pid, "SIGKILL");
}
