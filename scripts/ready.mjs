/**
 * Runs before every script of package.json, on whatever Node there is: when what they need was not installed, it
 * ends the command with what to do instead of a stack trace. Plain JavaScript, because an old Node reads this too.
 */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** The oldest Node that runs `.ts` files as they are. */
const NEEDED = "22.18";

/** npm, pnpm or yarn: whoever runs this script. */
const manager = /^(pnpm|yarn)\//.exec(process.env.npm_config_user_agent ?? "")?.[1] ?? "npm";
const rebuild = {
  npm: "npm rebuild",
  pnpm: "pnpm rebuild",
  yarn: "yarn rebuild",
}[manager];

/** As Node looks for a package: in every node_modules from there upwards. */
function folderOf(name, from = root) {
  for (let folder = from; ; folder = dirname(folder)) {
    const found = join(folder, "node_modules", name);
    if (existsSync(join(found, "package.json"))) return realpathSync(found);
    if (folder === dirname(folder)) return null;
  }
}

/** What Cloudflare's runtime brings for this machine alone; it is looked for from the runtime, as pnpm hides it elsewhere. */
function lacksRuntime() {
  const workerd = folderOf("workerd", folderOf("wrangler"));
  const system = process.platform === "win32" ? "windows" : process.platform;
  const architecture = process.arch === "x64" ? "64" : process.arch;
  return (
    workerd !== null && folderOf(`@cloudflare/workerd-${system}-${architecture}`, workerd) === null
  );
}

/** What the install script of the package brings. */
function hasBinary(own) {
  return ["node", "node.exe"].some((file) => existsSync(join(own, "bin", file)));
}

/** What is wrong, and what mends it; null when nothing is. */
function complaint() {
  const { devDependencies, dependencies } = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8"),
  );
  const isThere = (name) => folderOf(name) !== null;
  if (!Object.keys({ ...devDependencies, ...dependencies }).some(isThere)) {
    return `Nothing is installed yet. Run this first:\n  ${manager} install`;
  }
  if (!isThere("wrangler")) {
    return `Only what the relay itself imports is installed, without the tools that run it (NODE_ENV=production or --omit=dev leave them out). Run:\n  ${manager} install ${{ npm: "--include=dev", pnpm: "--prod=false", yarn: "--production=false" }[manager]}`;
  }
  if (lacksRuntime()) {
    return `Cloudflare's runtime for this machine (${process.platform}, ${process.arch}) is not installed: --omit=optional leaves it out. Run:\n  ${manager} install${manager === "npm" ? " --include=optional" : ""}`;
  }
  if (process.features.typescript) return null;
  const own = folderOf("node");
  const what = `Node ${NEEDED} or newer runs these scripts, and this is Node ${process.versions.node}.`;
  if (own === null)
    return `${what} Install a newer one, or the project's own:\n  ${manager} install`;
  if (process.env.npm_lifecycle_event === undefined && hasBinary(own)) {
    return `${what} The project brings its own, which ${manager} takes: run this by ${manager}.`;
  }
  return `${what} The project brings its own, but its install script was not run (--ignore-scripts, or a manager that asks first). Run:\n  ${rebuild} node`;
}

const said = complaint();
if (said !== null) {
  console.error(said);
  process.exit(1);
}
