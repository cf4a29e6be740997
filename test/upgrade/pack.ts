/** A directory as one file: gzipped JSON of path → base64. */
import {
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { gunzipSync, gzipSync } from "node:zlib";

/** Source maps are left out. */
export function pack(directory: string, file: string): void {
  const files: Record<string, string> = {};
  for (const name of globSync("**/*", { cwd: directory }).sort()) {
    const path = join(directory, name);
    if (statSync(path).isFile() && !name.endsWith(".map"))
      files[name] = readFileSync(path).toString("base64");
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, gzipSync(JSON.stringify(files), { level: 9 }));
}

export function unpack(file: string, directory: string): void {
  const files = JSON.parse(gunzipSync(readFileSync(file)).toString()) as Record<string, string>;
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), Buffer.from(content, "base64"));
  }
}

/** Brings what a killed workerd left beside its databases into them; nobody may have them open. */
export function settleDatabases(directory: string): void {
  for (const path of databasesIn(directory)) {
    const database = new DatabaseSync(path);
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    database.close();
  }
  rmSync(join(directory, "cache"), { recursive: true, force: true });
}

export function databasesIn(directory: string): string[] {
  return existsSync(directory)
    ? globSync("**/*.sqlite", { cwd: directory })
        .sort()
        .map((name) => join(directory, name))
    : [];
}
