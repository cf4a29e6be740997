/**
 * Names what a deploy brings to Cloudflare that others wrote, with its licence: LICENCES.md. What is bundled is read
 * from the bundles themselves.
 *
 *   npm run licences
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readOptions, runCommand } from "./command.ts";
import { temporaryDirectory } from "./temporary.ts";
import { folderOfPackage, ROOT, runWrangler } from "./wrangler.ts";

export const LICENCES_FILE = join(ROOT, "LICENCES.md");
const REFERENCE = "@scalar/api-reference";

type Package = { name: string; version: string; licence: string; folder: string };

/** The package that a bundled file comes from; null for the relay's own. */
export function packageOf(path: string): string | null {
  return /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? null;
}

/** @param from where the packages are looked for: a package's own copies come first. */
function packagesOf(paths: readonly string[], from: string): Package[] {
  const names = new Set(paths.flatMap((path) => packageOf(path) ?? []));
  return [...names].sort().map((name) => packageIn(name, from));
}

/** Some of what the reference page's maker has bundled comes with no package of its own. */
function packageIn(name: string, from: string): Package {
  const folder = folderIfThere(name, from);
  if (folder === null) return { name, version: "–", licence: "not said", folder: from };
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return { name, version, licence: license ?? "not said", folder };
}

function folderIfThere(name: string, from: string): string | null {
  try {
    return folderOfPackage(name, from);
  } catch {
    return null;
  }
}

/** What the Worker's bundle is made of. */
async function workerPackages(): Promise<Package[]> {
  const { directory, remove } = temporaryDirectory("licences");
  try {
    const args = ["deploy", "--dry-run", "--outdir", directory, "--metafile"];
    const { exitCode, stdout, stderr } = await runWrangler(args);
    if (exitCode !== 0) throw new Error(`The Worker cannot be bundled.\n${stdout}${stderr}`);
    const { inputs } = JSON.parse(readFileSync(join(directory, "bundle-meta.json"), "utf8"));
    return packagesOf(Object.keys(inputs), ROOT);
  } finally {
    remove();
  }
}

/** What the script of the API's reference page is made of, beside its own package. */
function referencePackages(): Package[] {
  const folder = folderOfPackage(REFERENCE);
  const map = join(folder, "dist/browser/standalone.js.map");
  const { sources } = JSON.parse(readFileSync(map, "utf8"));
  return [packageIn(REFERENCE, ROOT), ...packagesOf(sources, folder)];
}

function table(packages: readonly Package[]): string {
  const rows = packages.map(
    ({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`,
  );
  return ["| package | version | licence |", "|---|---|---|", ...rows].join("\n");
}

function textOf({ name, folder }: Package): string {
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  return file === undefined
    ? ""
    : `### ${name}\n\n\`\`\`\n${readFileSync(join(folder, file), "utf8").trim()}\n\`\`\`\n`;
}

/** The file as it should be now. */
export async function licences(): Promise<string> {
  const worker = await workerPackages();
  return `# Licences

The relay itself is under the [MIT licence](LICENSE). \`npm run licences\` writes this page anew.

## In the Worker

${table(worker)}

${worker.map(textOf).filter(Boolean).join("\n")}
## In the script of the reference page

\`/docs\` loads one script, which its maker has bundled from these packages.

${table(referencePackages())}
`;
}

const USAGE = `Names what a deploy brings that others wrote, with its licence, in LICENCES.md.

  npm run licences`;

async function main(args: string[]): Promise<number> {
  readOptions(args, {});
  writeFileSync(LICENCES_FILE, await licences());
  console.log(`Wrote ${LICENCES_FILE}`);
  return 0;
}

if (import.meta.main) await runCommand(USAGE, main);
