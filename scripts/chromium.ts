/** A Chromium of this machine, for the browser tests and the screenshots; nothing is downloaded. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { removesAtExit, temporaryDirectory } from "./temporary.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"] as const;
/** Nothing but pages: a browser that is driven has no business of its own on the network. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
] as const;

/** `CHROMIUM` in the environment, else the first of the usual names on the path; null when there is none. */
export function findChromium(environment: NodeJS.ProcessEnv = process.env): string | null {
  const { CHROMIUM: named = "" } = environment;
  if (named !== "") return named;
  const folders = [...(environment.PATH ?? "").split(delimiter), "/usr/bin"];
  const paths = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return paths.find(isExecutable) ?? null;
}

/** @param executablePath as `findChromium` found it. */
export async function launchChromium(executablePath: string): Promise<Browser> {
  // Signals are the command's to answer, which ends; a browser goes with it.
  const signals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
  const { directory } = temporaryDirectory("chromium");
  const env = { ...process.env, TMPDIR: directory } as Record<string, string>;
  const options = { executablePath, headless: true, args: [...FLAGS], env, ...signals };
  const browser = await chromium.launch(options);
  // Once more when it has been killed, which comes after what was asked for before it was started.
  removesAtExit(directory);
  return browser;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
