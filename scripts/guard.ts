/**
 * Loaded into wrangler's processes before wrangler: when the process that started them is gone, however it went,
 * they end with it, and workerd and esbuild too. All of them share one process group.
 */
import { rmSync } from "node:fs";
import { TEMPORARY_DIRECTORY } from "./wrangler.ts";

/** 0 is the caller's own group, `kill(2)`. */
const OWN_GROUP = 0;

process.once("disconnect", () => {
  const directory = process.env[TEMPORARY_DIRECTORY];
  if (directory) rmSync(directory, { recursive: true, force: true });
  process.kill(OWN_GROUP, "SIGKILL");
});
// Only the channel's end is waited for: it keeps nobody alive.
process.channel?.unref();
