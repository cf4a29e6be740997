/**
 * Writes what in public/ is made from something else. wrangler runs it before it bundles (wrangler.toml, `[build]`):
 * plain JavaScript, so that the Node of a wrangler that was installed elsewhere can run it too.
 */
import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const PUBLIC = join(import.meta.dirname, "..", "public");

copyReference();

/** The page that shows the API's description, as its package comes with it. */
function copyReference() {
  const { resolve } = createRequire(import.meta.url);
  const script = join(dirname(resolve("@scalar/api-reference")), "browser", "standalone.js");
  mkdirSync(join(PUBLIC, "reference"), { recursive: true });
  copyFileSync(script, join(PUBLIC, "reference", "scalar.js"));
}
