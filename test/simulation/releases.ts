/** The code that a run can be made with: today's, or that of a release, out of the bundle that was deployed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build as bundle } from "esbuild";
import { DeadLetters } from "../../src/actors/dead-letters";
import { Journal } from "../../src/actors/journal";
import { Lane } from "../../src/actors/lane";
import { Registry } from "../../src/actors/registry";
import { Subscriber } from "../../src/actors/subscriber/subscriber";
import { consume } from "../../src/consumer";
import { VERSION } from "../../src/storage/schema";
import { sweep } from "../../src/sweep";
import { withOneMoreStep } from "../upgrade/later";
import { releasedBuild } from "../upgrade/released";
import type { Code, ObjectClass } from "./objects";

type Batch = MessageBatch<ArrayBuffer>;
type Context = Pick<ExecutionContext, "waitUntil">;

export type Release = {
  /** Of what it stores. */
  version: number;
  classes: Record<string, ObjectClass>;
  consume(batch: Batch, env: Env, context: Context): Promise<void>;
  sweep(env: Env): Promise<void>;
};

export const TODAY: Release = {
  version: VERSION,
  classes: { Registry, Subscriber, Journal, DeadLetters, Lane } as unknown as Release["classes"],
  consume,
  sweep,
};

/** The version of what a release stores; with a new step those before it get theirs here. */
const STORED_VERSIONS: Readonly<Record<string, number>> = { "0.1.0": 1 };

/** What the bundle is, as a module of Node. */
type Bundle = Record<string, ObjectClass> & {
  default: {
    queue(batch: Batch, env: Env, context: Context): Promise<void>;
    scheduled(controller: null, env: Env): Promise<void>;
  };
};

const PLATFORM_IMPORT = /import\{DurableObject as ([\w$]+)\}from"cloudflare:workers";/g;
/** Of the pages, which nobody looks at here. */
const TEXT_IMPORT = /import ([\w$]+) from"\.\/[^"]*";/g;

export async function releaseOf(version: string): Promise<Release> {
  using build = disposable(releasedBuild(version));
  const code = readFileSync(join(build.directory, "index.js"), "utf8")
    .replace(PLATFORM_IMPORT, "var $1=class{constructor(ctx,env){this.ctx=ctx;this.env=env}};")
    .replace(TEXT_IMPORT, 'var $1="";');
  const url = `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`;
  const { default: worker, ...classes } = (await import(/* @vite-ignore */ url)) as Bundle;
  return {
    version: STORED_VERSIONS[version] ?? VERSION,
    classes: classes as Release["classes"],
    consume: worker.queue,
    sweep: (env) => worker.scheduled(null, env),
  };
}

export function codeOf({ version, classes }: Release, className: string): Code {
  const Class = classes[className];
  if (Class === undefined) throw new Error(`no class ${className}`);
  return { className, Class, version, isReleased: version < VERSION };
}

const ROOT = join(import.meta.dirname, "../..");
const ITS_CODE = `
export { DeadLetters } from "./src/actors/dead-letters";
export { Journal } from "./src/actors/journal";
export { Lane } from "./src/actors/lane";
export { Registry } from "./src/actors/registry";
export { Subscriber } from "./src/actors/subscriber/subscriber";
export { consume } from "./src/consumer";
export { sweep } from "./src/sweep";
`;

/** Today's code with one more step of what it stores, as a release after it may have. */
export async function laterRelease(): Promise<Release> {
  const { outputFiles } = await bundle({
    stdin: { contents: ITS_CODE, resolveDir: ROOT, loader: "ts" },
    alias: { "cloudflare:workers": join(import.meta.dirname, "workers-stub.ts") },
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    plugins: [
      {
        name: "one more step",
        setup: (build) =>
          build.onLoad({ filter: /src\/storage\/schema\.ts$/ }, ({ path }) => {
            return { contents: withOneMoreStep(readFileSync(path, "utf8")), loader: "ts" };
          }),
      },
    ],
  });
  const [{ contents } = { contents: "" }] = outputFiles;
  const url = `data:text/javascript;base64,${Buffer.from(contents).toString("base64")}`;
  const { consume, sweep, ...classes } = await import(/* @vite-ignore */ url);
  return { version: VERSION + 1, classes, consume, sweep };
}

function disposable(build: { directory: string; remove(): void }) {
  return { directory: build.directory, [Symbol.dispose]: () => build.remove() };
}
