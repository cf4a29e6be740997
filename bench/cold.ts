/** What a request waits when it needs a new isolate, beside the same for an empty Worker and for 0.1.0; and the size of the bundle. */
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { type Build, modulesOf } from "../test/rig/workerd.ts";
import { atMost, type Benchmark, figureOf, interleave, summary } from "./figure.ts";
import { Connection, mustSucceed, wire } from "./load.ts";
import { buildReleased } from "./released.ts";
import { build, type Running, Stage } from "./stage.ts";

const STARTS = 15;
const WARM_UP_STARTS = 3;
/** Nothing is called for it: what is measured is the code that must be loaded. */
const PATH = "healthz";
const BYTES_PER_KB = 1_000;
/** What PATH asks for: that they are there. */
const BINDINGS = [
  ...["IDEMPOTENCY", "EVENTS", "DEAD_LETTERS", "ASSETS"],
  ...["REGISTRY", "SUBSCRIBER", "JOURNAL", "DEAD_LETTER_STORE", "LANE"],
];

export const cold: Benchmark = {
  name: "cold",
  async run({ progress }) {
    await using stage = new Stage();
    const loader = await stage.start("loader");
    const bundles = {
      relay: await build("relay"),
      released: await buildReleased(),
      empty: await build("empty"),
    };
    const connection = await Connection.open(loader.url);
    try {
      for (const [name, bundle] of Object.entries(bundles)) {
        const body = Buffer.from(JSON.stringify(workerOf(bundle, loader)));
        mustSucceed(await connection.send(wire({ method: "PUT", path: `/${name}`, body })));
      }
      const start = (side: string) => startOnce(connection, side);
      for (let time = 0; time < WARM_UP_STARTS; time++) await start("relay");
      const found = await interleave(["relay", "released", "empty"], STARTS, start);
      const over = found.relay.map((ms, index) => ms - (found.empty[index] ?? Number.NaN));
      progress(`cold: ${summary(found.relay).median} ms, empty ${summary(found.empty).median} ms`);
      const details = {
        relayMs: summary(found.relay),
        releasedMs: summary(found.released),
        emptyMs: summary(found.empty),
      };
      return [
        figureOf(
          {
            name: "cold",
            measured: "new isolate to first answer, over an empty Worker, ms",
            changed: "a Worker loader starts each isolate; an ordinary start is the platform's",
            bar: atMost(100, " ms"),
          },
          over,
          details,
        ),
        sizeOf(bundles.relay),
      ];
    } finally {
      connection.close();
    }
  },
};

/** Milliseconds from the request to the answer of an isolate that was made for it. */
async function startOnce(connection: Connection, name: string): Promise<number> {
  const request = wire({ method: "GET", path: `/${name}/${PATH}` });
  const startMs = performance.now();
  const answer = await connection.send(request);
  mustSucceed(answer);
  return answer.atMs - startMs;
}

function workerOf({ directory }: Build, { api }: Running) {
  const modules = modulesOf(directory).map(({ type, path }) => {
    const contents = readFileSync(path, "utf8");
    const name = path.slice(directory.length + 1);
    return [name, type === "Text" ? { text: contents } : contents] as const;
  });
  return {
    mainModule: modules[0]?.[0],
    modules: Object.fromEntries(modules),
    env: {
      ...Object.fromEntries(BINDINGS.map((name) => [name, {}])),
      LEADTERRA_SIGNING_SECRETS: api.signingSecret,
      API_KEYS: api.apiKey,
    },
  };
}

function sizeOf({ directory }: Build) {
  const sources = modulesOf(directory).map(({ path }) => readFileSync(path));
  const raw = sources.reduce((sum, source) => sum + source.length, 0);
  const zipped = sources.reduce((sum, source) => sum + gzipSync(source).length, 0);
  const figure = { name: "bundle", measured: "all modules, gzip, KB", bar: atMost(200, " KB") };
  return figureOf(figure, [zipped / BYTES_PER_KB], { rawBytes: raw, gzipBytes: zipped });
}
