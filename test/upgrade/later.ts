/** A release after today's: today's code with one more step of what it stores, for who meets data that is newer. */
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TemporaryDirectory, temporaryDirectory } from "../../scripts/temporary.ts";

/** What it calls itself. */
export const LATER_VERSION = "99.0.0";

const ROOT = join(import.meta.dirname, "../..");
const COPIED = ["src", "public", "scripts", "package.json", "tsconfig.json", "wrangler.toml"];
const LAST_STEP = "\n];\n\nconst FIRST_VERSION";
/** Of two kinds of object; the data of all of them is newer by it. */
const ONE_MORE_STEP = `
  {
    registry: [],
    subscriber: [],
    journal: [{ of: "batches", sql: "ALTER TABLE batches ADD COLUMN tomorrow TEXT" }],
    "dead-letters": [{ of: "dead_letters", sql: "ALTER TABLE dead_letters ADD COLUMN tomorrow TEXT" }],
    lane: [],
  },`;

/** The text of src/storage/schema.ts, with that step. */
export function withOneMoreStep(schema: string): string {
  if (!schema.includes(LAST_STEP)) throw new Error("the steps have another end");
  return schema.replace(LAST_STEP, `${ONE_MORE_STEP}${LAST_STEP}`);
}

/** All of it, as it would be checked out: to build, and to run its scripts. */
export function laterCheckout(): TemporaryDirectory {
  const checkout = temporaryDirectory("later");
  const inIt = (name: string) => join(checkout.directory, name);
  for (const name of COPIED) cpSync(join(ROOT, name), inIt(name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), inIt("node_modules"));
  change(inIt("src/storage/schema.ts"), withOneMoreStep);
  change(inIt("package.json"), (text) =>
    text.replace(/("version": )"[^"]*"/, `$1"${LATER_VERSION}"`),
  );
  execFileSync(process.execPath, [inIt("scripts/public.mjs")], { cwd: checkout.directory });
  return checkout;
}

function change(file: string, edit: (text: string) => string): void {
  writeFileSync(file, edit(readFileSync(file, "utf8")));
}
