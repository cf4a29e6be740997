/** The dashboard's own files. Their names change with their content, so a browser keeps them for good. */
import { Hono } from "hono";
import { sha256Hex } from "../../domain/signature";
import icon from "../client/icon.svg";
import script from "../client/live.js";
import style from "../client/style.css";

const HASH_DIGITS = 16;
const KEPT_FOR_GOOD = "public, max-age=31536000, immutable";

type File = { name: string; type: string; text: string };

/** Paths that a page links to. */
export type FilePaths = { style: string; script: string; icon: string };

let made: Promise<{ byName: Map<string, File>; paths: FilePaths }> | null = null;

export const files = new Hono().get("/files/:name", async (c) => {
  const { byName } = await all();
  const asked = c.req.param("name");
  const exact = byName.get(asked);
  // While a deploy spreads, a page of one version may ask the other for its files: better another than none.
  const file = exact ?? [...byName.values()].find(({ name }) => kindOf(name) === kindOf(asked));
  if (file === undefined) return c.notFound();
  return c.body(file.text, 200, {
    "content-type": file.type,
    "cache-control": exact === undefined ? "no-store" : KEPT_FOR_GOOD,
    "x-content-type-options": "nosniff",
  });
});

export async function filePaths(): Promise<FilePaths> {
  return (await all()).paths;
}

/** Once per isolate. */
function all() {
  made ??= make();
  return made;
}

async function make() {
  const [styleFile, scriptFile, iconFile] = await Promise.all([
    named("style", "css", "text/css; charset=utf-8", style),
    named("live", "js", "text/javascript; charset=utf-8", script),
    named("icon", "svg", "image/svg+xml", icon),
  ]);
  const byName = new Map([styleFile, scriptFile, iconFile].map((file) => [file.name, file]));
  const path = ({ name }: File) => `/dashboard/files/${name}`;
  const paths = { style: path(styleFile), script: path(scriptFile), icon: path(iconFile) };
  return { byName, paths };
}

async function named(base: string, suffix: string, type: string, text: string): Promise<File> {
  const hash = await sha256Hex(new TextEncoder().encode(text));
  return { name: `${base}-${hash.slice(0, HASH_DIGITS)}.${suffix}`, type, text };
}

/** `style-….css` → `style.css`. */
function kindOf(name: string): string {
  return name.replace(/-[0-9a-f]+\./, ".");
}
