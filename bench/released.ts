/** The release before as it was released, behind one of this benchmark's entries. */
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, parse } from "node:path";
import { build, type Plugin } from "esbuild";
import { type Build, OPTIONS_FILE } from "../test/rig/workerd.ts";
import { releasedBuild } from "../test/upgrade/released.ts";

const RELEASE = "0.1.0";
const MAIN = "index.js";
/** What the entries export and that release has not. */
const SINCE = "Lane";

/** @param entry a module that imports `src/index`, absolute; none for the bundle alone. */
export async function buildReleased(entry?: string): Promise<Build> {
  const released = releasedBuild(RELEASE);
  if (entry === undefined) return released;
  const { directory } = released;
  const outfile = join(directory, `${parse(entry).name}.js`);
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    target: "esnext",
    external: ["cloudflare:*", "node:*"],
    plugins: [inPlaceOfSources(directory)],
    logLevel: "error",
  });
  // Whatever else lies there is taken for a text that is imported.
  renameSync(join(directory, MAIN), join(directory, `${MAIN}.map`));
  const options = join(directory, OPTIONS_FILE);
  const { bundle: _, ...rest } = JSON.parse(readFileSync(options, "utf8"));
  writeFileSync(options, JSON.stringify({ ...rest, bundle: parse(outfile).base }));
  return released;
}

function inPlaceOfSources(directory: string): Plugin {
  const texts = new Set(readdirSync(directory));
  return {
    name: "released",
    setup(bundler) {
      bundler.onResolve({ filter: /\/src\/index$/ }, () => ({ path: MAIN, namespace: "released" }));
      bundler.onLoad({ filter: /.*/, namespace: "released" }, () => ({
        contents: [
          `export * from "./${MAIN}";`,
          `export { default } from "./${MAIN}";`,
          `export class ${SINCE} {}`,
        ].join("\n"),
        resolveDir: directory,
      }));
      bundler.onResolve({ filter: /^\.\// }, ({ path }) =>
        path !== `./${MAIN}` && texts.has(path.slice("./".length))
          ? { path, external: true }
          : null,
      );
    },
  };
}
