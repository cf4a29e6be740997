/** A service that takes everything at once and remembers when: the end of every way that is measured. */
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { closeServer, listen } from "../scripts/loopback.ts";

const LOOK_EVERY_MS = 5;

export type Sink = {
  url: string;
  /** By `webhook-id`, when its headers came first, `performance.now()`, in the order of arrival. */
  arrivals: Map<string, number>;
  /** How many requests came in all, repeated ones too. */
  requests: number;
  /** Called with each request, after it was counted. */
  onArrival: ((eventId: string) => void) | null;
  /** Resolves when so many different ones came. @throws when they do not come in time. */
  arrived(count: number, withinMs: number): Promise<void>;
  /** Forgets what came. */
  clear(): void;
  close(): Promise<void>;
};

/** @param delayMs how long it takes to answer, each time anew. */
export async function startSink(delayMs: () => number = () => 0): Promise<Sink> {
  const server = createServer((incoming, response) => {
    const atMs = performance.now();
    const id = String(incoming.headers["webhook-id"]);
    sink.requests += 1;
    if (!sink.arrivals.has(id)) sink.arrivals.set(id, atMs);
    incoming.resume();
    const answer = () => response.writeHead(200, { "content-length": 0 }).end();
    const afterMs = delayMs();
    if (afterMs === 0) answer();
    else setTimeout(answer, afterMs);
    sink.onArrival?.(id);
  });
  server.keepAliveTimeout = 0;
  const port = await listen(server);
  const sink: Sink = {
    url: `http://127.0.0.1:${port}/`,
    arrivals: new Map(),
    requests: 0,
    onArrival: null,
    async arrived(count, withinMs) {
      const endsAtMs = performance.now() + withinMs;
      while (sink.arrivals.size < count) {
        if (performance.now() > endsAtMs) {
          throw new Error(`${sink.arrivals.size} of ${count} deliveries arrived in time`);
        }
        await sleep(LOOK_EVERY_MS);
      }
    },
    clear() {
      sink.arrivals.clear();
      sink.requests = 0;
    },
    close: () => closeServer(server),
  };
  return sink;
}

/** Arrivals per second, from the first to the last. */
export function arrivalsPerSecond(arrivals: ReadonlyMap<string, number>): number {
  const times = [...arrivals.values()];
  const [first = Number.NaN, last = Number.NaN] = [times[0], times.at(-1)];
  return ((times.length - 1) * 1_000) / (last - first);
}
