/** The code that a run can be made with: today's, or that of a release, out of the bundle that was deployed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DeadLetters } from "../../src/actors/dead-letters";
import { Journal } from "../../src/actors/journal";
import { Lane } from "../../src/actors/lane";
import { Registry } from "../../src/actors/registry";
import { Subscriber } from "../../src/actors/subscriber/subscriber";
import { consume } from "../../src/consumer";
import { sweep } from "../../src/sweep";
import { releasedBuild } from "../upgrade/released";
import type { ObjectClass } from "./objects";

type Batch = MessageBatch<ArrayBuffer>;
type Context = Pick<ExecutionContext, "waitUntil">;

export type Release = {
  classes: Record<string, ObjectClass>;
  consume(batch: Batch, env: Env, context: Context): Promise<void>;
  sweep(env: Env): Promise<void>;
};

export const TODAY: Release = {
  classes: { Registry, Subscriber, Journal, DeadLetters, Lane } as unknown as Release["classes"],
  consume,
  sweep,
};

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
    classes: classes as Release["classes"],
    consume: worker.queue,
    sweep: (env) => worker.scheduled(null, env),
  };
}

function disposable(build: { directory: string; remove(): void }) {
  return { directory: build.directory, [Symbol.dispose]: () => build.remove() };
}
