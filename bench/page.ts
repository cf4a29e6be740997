/** Whether the last page of a long list costs more than the first. */
import { atMost, type Benchmark, figureOf, interleave, median, ratios, summary } from "./figure.ts";
import { Connection, mustSucceed, wire } from "./load.ts";
import { FILLED, type Running, registerFilled, Stage } from "./stage.ts";

const DELIVERIES = 100_000;
/** The largest page that there is; the list ends with a full one. */
const PAGE = 250;
const RUNS = 7;
const REQUESTS_PER_RUN = 40;

type Page = { data: unknown[]; next: string | null };

export const page: Benchmark = {
  name: "page",
  async run({ progress }) {
    await using stage = new Stage();
    const relay = await stage.start("relayFilled");
    const sink = await stage.sink();
    const id = await registerFilled(relay.api, sink.url, DELIVERIES);
    const connection = await Connection.open(relay.url);
    try {
      const list = `/webhooks/${id}/deliveries?limit=${PAGE}`;
      const paths = { first: list, last: await lastPage(relay, list) };
      const run = (side: keyof typeof paths) => timeOf(connection, request(relay, paths[side]));
      for (const side of ["first", "last"] as const) await run(side);
      const found = await interleave(["last", "first"], RUNS, async (side) => {
        const ms = await run(side);
        progress(`page: ${side} ${ms.toFixed(2)} ms`);
        return ms;
      });
      const figure = {
        name: "page",
        measured: `last page of ${DELIVERIES} deliveries ÷ first page`,
        changed: FILLED,
        bar: atMost(1.5),
      };
      const details = { firstPageMs: summary(found.first), lastPageMs: summary(found.last) };
      return [figureOf(figure, ratios(found.last, found.first), details)];
    } finally {
      connection.close();
    }
  },
};

/** Follows `next` to the end. @returns the path of the last page, which is as full as the first. */
async function lastPage({ api }: Running, list: string): Promise<string> {
  let path = list;
  for (let seen = PAGE; ; seen += PAGE) {
    const { data, next } = await api.call<Page>(path);
    if (data.length !== PAGE) throw new Error(`a page held ${data.length} deliveries`);
    if (next === null || seen === DELIVERIES) {
      if (seen !== DELIVERIES) throw new Error(`the list ended after ${seen} deliveries`);
      return path;
    }
    path = `${list}&cursor=${encodeURIComponent(next)}`;
  }
}

function request({ api }: Running, path: string): Buffer {
  const headers = { authorization: `Bearer ${api.apiKey}` };
  return wire({ method: "GET", path: `/v1${path}`, headers });
}

/** Milliseconds from the request to the whole answer, the median of some. */
async function timeOf(connection: Connection, bytes: Buffer): Promise<number> {
  const times: number[] = [];
  for (let count = 0; count < REQUESTS_PER_RUN; count++) {
    const startMs = performance.now();
    const answer = await connection.send(bytes);
    mustSucceed(answer);
    times.push(answer.atMs - startMs);
  }
  return median(times);
}
