/** Directories that go with the process that made them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory that is removed when this process ends, if not before. */
export type TemporaryDirectory = { directory: string; remove(): void };

export function temporaryDirectory(name: string): TemporaryDirectory {
  const directory = mkdtempSync(join(tmpdir(), `leadterra-relay-${name}-`));
  return { directory, remove: removesAtExit(directory) };
}

/** @returns the way to remove the file or directory earlier. */
export function removesAtExit(path: string): () => void {
  const remove = () => {
    process.off("exit", remove);
    rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once("exit", remove);
  return remove;
}
