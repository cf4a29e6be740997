/**
 * Writes what in public/ is made from something else, the schema of the configuration file and those of events. wrangler runs it before it bundles (wrangler.toml, `[build]`):
 * plain JavaScript, so that the Node of a wrangler that was installed elsewhere can run it too.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const ROOT = join(import.meta.dirname, "..");
const PUBLIC = join(ROOT, "public");

copyReference();
const { openApiDocument, configurationJsonSchema, eventSchemas } = await describe();
writeIfNew(join(PUBLIC, "openapi.json"), jsonOf(openApiDocument()));
writeIfNew(join(ROOT, "webhooks.schema.json"), jsonOf(configurationJsonSchema()));
writeIfNew(join(ROOT, "event-schemas.json"), jsonOf(eventSchemas()));

function jsonOf(value) {
  return `${JSON.stringify(value, null, 1)}\n`;
}

/** The page that shows the API's description, as its package comes with it. */
function copyReference() {
  const { resolve } = createRequire(import.meta.url);
  const script = join(dirname(resolve("@scalar/api-reference")), "browser", "standalone.js");
  mkdirSync(join(PUBLIC, "reference"), { recursive: true });
  writeIfNew(join(PUBLIC, "reference", "scalar.js"), readFileSync(script));
}

/** What describes the API, by the sources: they name each other without suffix, so they are bundled first. */
async function describe() {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, "scripts/openapi.ts")],
    write: false,
    bundle: true,
    format: "esm",
    platform: "node",
    logLevel: "error",
  });
  const code = Buffer.from(outputFiles[0].contents).toString("base64");
  return import(`data:text/javascript;base64,${code}`);
}

/** A file that is not touched starts no second build while wrangler watches, and may lie where nobody can write. */
function writeIfNew(path, content) {
  const bytes = Buffer.from(content);
  if (!existsSync(path) || !readFileSync(path).equals(bytes)) writeFileSync(path, bytes);
}
