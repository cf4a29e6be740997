/**
 * What every test inside workerd has: a quiet log that can be asked, a clock, a service that answers as it is told,
 * and a relay that is empty again afterwards. `it` sets them up; functions beside a test import them.
 */
import { reset } from "cloudflare:test";
import { it as base, type MockInstance, vi } from "vitest";
import { bytesOf } from "./requests";

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Those of the test that runs. */
export let log: Log;
export let clock: Clock;
export let service: Service;

export const it = base
  .extend("log", { auto: true }, ({ onTestFinished }) => {
    onTestFinished(async () => {
      vi.restoreAllMocks();
      await reset();
    });
    log = silenceLog();
    return log;
  })
  .extend("clock", { auto: true }, () => startClock())
  .extend("service", { auto: true }, () => {
    service = startService();
    return service;
  });

// --- the log ------------------------------------------------------------------------------------------------

/** What the relay said. */
export type Log = { lines: () => Record<string, unknown>[]; text: () => string };

/** Keeps the relay's log out of the test report, until `vi.restoreAllMocks()`. */
export function silenceLog(): Log {
  const spies = (["log", "warn", "error"] as const).map((method) =>
    vi.spyOn(console, method).mockImplementation(() => undefined),
  );
  const said = () => spies.flatMap((spy) => spy.mock.calls.map(([line]) => String(line)));
  return { lines: () => said().map((line) => JSON.parse(line)), text: () => said().join("\n") };
}

// --- the service --------------------------------------------------------------------------------------------

/** A request as the service got it. */
export type Asked = {
  url: string;
  eventId: string;
  attempt: number;
  headers: Headers;
  body: Uint8Array;
  atMs: number;
};
type Answering = (asked: Asked) => Response | Promise<Response>;

export type Service = {
  requests: Asked[];
  /** The most requests that were open at the same time. */
  peak: number;
  answer: Answering;
  /** The event ids in the order in which they were sent. */
  ids(): string[];
};

export const answering = (status: number, init: ResponseInit = {}) => {
  return () => new Response(null, { ...init, status });
};

function startService(answer: Answering = answering(204)): Service {
  let open = 0;
  const started: Service = {
    requests: [],
    peak: 0,
    answer,
    ids: () => started.requests.map(({ eventId }) => eventId),
  };
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const headers = new Headers(init?.headers);
    const asked: Asked = {
      url: String(input),
      eventId: headers.get("webhook-id") ?? "",
      attempt: Number(headers.get("x-relay-attempt")),
      headers,
      body: bodyOf(init?.body),
      atMs: Date.now(),
    };
    started.requests.push(asked);
    open += 1;
    started.peak = Math.max(started.peak, open);
    try {
      return await started.answer(asked);
    } finally {
      open -= 1;
    }
  });
  return started;
}

function bodyOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body.slice();
  return typeof body === "string" ? bytesOf(body) : new Uint8Array();
}

/** Holds answers back until it is opened. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** The service holds every answer back until it is opened. */
export function holding(): ReturnType<typeof gate> {
  const late = gate();
  service.answer = async () => {
    await late.opened;
    return answering(204)();
  };
  return late;
}

// --- the clock ----------------------------------------------------------------------------------------------

export type Clock = {
  advance(ms: number): void;
  setTo(ms: number): void;
  nowMs(): number;
  /** From now on nothing but `advance` and `setTo` moves it: for what is held to the second. */
  freeze(): void;
};

let spied: MockInstance<() => number> | null = null;

/**
 * A clock that runs more than an hour ahead, and further when told: what it arms lies in the platform's future, so
 * alarms run only when a test runs them. It begins a quarter past or to an hour: none ends within a test, and no
 * minute and no day, unless the test lets it.
 */
export function startClock(aheadMs?: number): Clock {
  spied?.mockRestore();
  const real = Date.now.bind(Date);
  const quarterMs = (Math.ceil((real() + HOUR) / (30 * MINUTE)) + 0.5) * 30 * MINUTE;
  let offsetMs = aheadMs ?? quarterMs - real();
  let frozenAtMs: number | null = null;
  const nowMs = () => frozenAtMs ?? real() + offsetMs;
  spied = vi.spyOn(Date, "now").mockImplementation(nowMs);
  const setTo = (ms: number) => {
    if (frozenAtMs !== null) frozenAtMs = ms;
    offsetMs = ms - real();
  };
  clock = {
    advance: (ms) => setTo(nowMs() + ms),
    setTo,
    nowMs,
    freeze: () => {
      frozenAtMs = nowMs();
    },
  };
  return clock;
}
