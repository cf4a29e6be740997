/**
 * The services at the other end, and `fetch`. A request leaves once what was written before it is on disk; what
 * the service does with it and what the sender hears of it are two things.
 */
import type { Chance } from "./chance";
import { Instance } from "./objects";
import type { Owner, Scheduler } from "./scheduler";

/** How a service behaves, by the first part of its path. */
export const TEMPERS = ["good", "slow", "flaky", "throttled", "dead", "late", "leaving"] as const;
export type Temper = (typeof TEMPERS)[number];

export type Request = {
  readonly number: number;
  readonly instance: Instance;
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
  readonly startedAtMs: number;
  left: boolean;
  answered: boolean;
  ended: boolean;
};

/** What the sender learns. `status` null: no answer. */
export type Ending = {
  status: number | null;
  reason: string;
  retryAfterMs: number | null;
  /** It was not the other end that went away: the time was over. */
  ranOut?: boolean;
};

export type Witness = {
  starts(request: Request): void;
  leaves(request: Request): void;
  /** The service has it, and answers so. */
  arrives(request: Request, status: number | null): void;
  /** The sender has the status line, or will never have it. */
  answered(request: Request, ending: Ending): void;
  /** The body is read, or given up on: the attempt is over for the sender. */
  ends(request: Request): void;
};

export type NetworkHost = {
  scheduler: Scheduler;
  chance: Chance;
  /** While false, services answer, no request is lost and none is refused. */
  breaks(): boolean;
  /** After the faults: the services that can heal have healed. */
  isCalm(): boolean;
  latencyMs(): number;
};

type Answer = {
  status: number;
  headers?: Record<string, string>;
  body?: string;
  delayMs?: number;
  /** The body stops half-way, or never ends. */
  bodyBreaks?: "error" | "hang";
};
type Fate = Answer | "unreachable" | "reset" | "hang";

const RETRY_AFTERS = ["1", "30", "120", "7200", "90000", "0", "-5", "soon", "date"] as const;

export class Network {
  readonly #host: NetworkHost;
  readonly #witness: Witness;
  readonly #wire: Owner = { name: "service", alive: true };
  #requests = 0;

  constructor(host: NetworkHost, witness: Witness) {
    this.#host = host;
    this.#witness = witness;
  }

  /** Stands in for `fetch`. */
  fetch(input: unknown, init: RequestInit = {}): Promise<Response> {
    const { scheduler, chance } = this.#host;
    const sender = scheduler.current;
    if (!(sender instanceof Instance)) throw new Error(`${sender.name} may not make requests`);
    this.#requests += 1;
    const request: Request = {
      number: this.#requests,
      instance: sender,
      url: new URL(String(input)),
      method: init.method ?? "GET",
      headers: new Headers(init.headers),
      body: bytesOf(init.body),
      startedAtMs: scheduler.nowMs,
      left: false,
      answered: false,
      ended: false,
    };
    if (init.redirect !== "manual") throw new Error("redirects are followed");
    this.#witness.starts(request);
    const refused = this.#host.breaks() && chance.happens(0.01);
    return new Promise((resolve, reject) => {
      const fail = (reason: string, error: Error) => {
        if (request.ended || request.answered) return;
        this.#witness.answered(request, { status: null, reason, retryAfterMs: null });
        this.#end(request);
        reject(error);
      };
      if (refused) {
        fail("refused", new Error("Too many subrequests."));
        return;
      }
      init.signal?.addEventListener("abort", () => fail("timeout", new Error("aborted")));
      sender.object.storage.whenOnDisk(sender, () => {
        if (request.ended) return;
        this.#leave(request, { resolve, fail, signal: init.signal ?? null });
      });
    });
  }

  #leave(
    request: Request,
    sender: {
      resolve: (response: Response) => void;
      fail: (reason: string, error: Error) => void;
      signal: AbortSignal | null;
    },
  ): void {
    const { scheduler, latencyMs } = this.#host;
    request.left = true;
    this.#witness.leaves(request);
    const fate = this.#fateOf(request);
    const lost = () => sender.fail("connection", new TypeError("Network connection lost."));
    if (fate === "unreachable") {
      scheduler.after(latencyMs(), request.instance, `request ${request.number} lost`, lost);
      return;
    }
    scheduler.after(latencyMs(), this.#wire, `request ${request.number} arrives`, () => {
      this.#witness.arrives(request, typeof fate === "string" ? null : fate.status);
      if (fate === "hang") return;
      if (fate === "reset") {
        scheduler.after(latencyMs(), request.instance, `request ${request.number} reset`, lost);
        return;
      }
      const delayMs = (fate.delayMs ?? 0) + latencyMs();
      scheduler.after(delayMs, request.instance, `answer ${fate.status} to ${request.number}`, () =>
        this.#answer(request, fate, sender),
      );
    });
  }

  #answer(
    request: Request,
    answer: Answer,
    { resolve, signal }: { resolve: (response: Response) => void; signal: AbortSignal | null },
  ): void {
    if (request.ended) return;
    request.answered = true;
    const headers = new Headers(answer.headers);
    const retryAfterMs = readRetryAfter(headers.get("retry-after"), this.#host.scheduler.nowMs);
    this.#witness.answered(request, {
      status: answer.status,
      reason: "answer",
      retryAfterMs: answer.status === 429 || answer.status === 503 ? retryAfterMs : null,
    });
    const body = answer.body === undefined ? null : this.#bodyOf(request, answer, signal);
    if (body === null) this.#end(request);
    const ok = answer.status >= 200 && answer.status <= 299;
    resolve({ status: answer.status, ok, headers, body } as unknown as Response);
  }

  /** As much of a ReadableStream as a reader of bodies uses. */
  #bodyOf(request: Request, answer: Answer, signal: AbortSignal | null) {
    const { scheduler, latencyMs } = this.#host;
    const text = new TextEncoder().encode(answer.body);
    const chunks = [text.slice(0, text.length / 2), text.slice(text.length / 2)];
    let failed: ((error: Error) => void) | null = null;
    const over = (error: Error) => {
      this.#end(request);
      failed?.(error);
    };
    signal?.addEventListener("abort", () => over(new Error("aborted")));
    const cancel = async () => this.#end(request);
    const read = () =>
      new Promise<{ done: boolean; value?: Uint8Array }>((resolve, reject) => {
        failed = reject;
        if (request.ended) reject(new Error("aborted"));
        const next = chunks.length === 1 ? answer.bodyBreaks : undefined;
        if (next === "hang") return;
        scheduler.after(latencyMs(), request.instance, `body of ${request.number}`, () => {
          if (next === "error") over(new TypeError("Network connection lost."));
          const value = chunks.shift();
          if (value === undefined) this.#end(request);
          resolve(value === undefined ? { done: true } : { done: false, value });
        });
      });
    return { getReader: () => ({ read, cancel }), cancel };
  }

  #end(request: Request): void {
    if (request.ended) return;
    request.ended = true;
    this.#witness.ends(request);
  }

  // --- how services behave ----------------------------------------------------------------------------------

  #fateOf(request: Request): Fate {
    const { chance } = this.#host;
    const temper = request.url.pathname.split("/")[1] as Temper;
    const { nowMs, startMs } = this.#host.scheduler;
    if (this.#host.isCalm()) return temper === "dead" ? { status: 500, body: "no" } : fine(chance);
    const fate = this.#moodOf(temper, nowMs - startMs, request);
    const breaks = fate === "unreachable" || fate === "reset" || fate === "hang";
    const late = typeof fate !== "string" && (fate.delayMs ?? 0) >= 9_000;
    return (breaks || late) && !this.#host.breaks() ? { status: 500, body: "broken" } : fate;
  }

  #moodOf(temper: Temper, ageMs: number, request: Request): Fate {
    const { chance } = this.#host;
    switch (temper) {
      case "good":
        return chance.happens(0.03) ? this.#trouble(request) : fine(chance);
      case "slow":
        return { ...fine(chance), delayMs: chance.between(200, 14_000) };
      case "flaky":
        return chance.happens(0.5) ? this.#trouble(request) : fine(chance);
      case "throttled":
        return chance.happens(0.5) ? this.#throttle() : fine(chance);
      case "dead":
        return chance.happens(0.7) ? { status: 500, body: "no" } : this.#trouble(request);
      case "late":
        return ageMs < 240_000 ? { status: 503, body: "starting" } : fine(chance);
      case "leaving":
        return chance.happens(0.15) ? { status: 410, body: "gone" } : fine(chance);
    }
  }

  #trouble(request: Request): Fate {
    return this.#host.chance.weighted<Fate>([
      [4, { status: this.#host.chance.pick([500, 502, 404, 400, 401, 999, 199, 304]) }],
      [2, { status: 500, body: echo(request) }],
      [1, { status: this.#host.chance.pick([301, 302, 303, 307, 308]), body: "elsewhere" }],
      [1, this.#throttle()],
      [1, { status: 200, body: "half", bodyBreaks: this.#host.breaks() ? "error" : undefined }],
      [1, { status: 200, body: "half", bodyBreaks: this.#host.breaks() ? "hang" : undefined }],
      [2, "unreachable"],
      [2, "reset"],
      [2, "hang"],
      [1, { status: 200, delayMs: 11_000 }],
    ] as [number, Fate][]);
  }

  #throttle(): Answer {
    const { chance, scheduler } = this.#host;
    const form = chance.pick(RETRY_AFTERS);
    const inFiveMinutes = new Date(scheduler.nowMs + 300_000).toUTCString();
    return {
      status: chance.pick([429, 503]),
      headers: { "retry-after": form === "date" ? inFiveMinutes : form },
    };
  }
}

function fine(chance: Chance): Answer {
  const delayMs = chance.happens(0.3) ? chance.between(0, 300) : 0;
  return chance.happens(0.7)
    ? { status: chance.pick([200, 201, 202, 204]), delayMs }
    : { status: 200, body: "thank you", delayMs };
}

/** A debug page that shows the request, secrets and all. */
function echo({ headers }: Request): string {
  return [...headers].map(([name, value]) => `${name}: ${value}`).join("\n");
}

function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body.slice();
  if (body instanceof ArrayBuffer) return new Uint8Array(body.slice(0));
  return new TextEncoder().encode(String(body ?? ""));
}

/** Until when docs/contract.md has the webhook wait; written anew here, as the judge of the code's own reading. */
function readRetryAfter(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  const untilMs = /^\d+$/.test(header) ? nowMs + Number(header) * 1_000 : Date.parse(header);
  if (!/^\d+$/.test(header) && !header.endsWith("GMT")) return null;
  return untilMs > nowMs ? Math.min(untilMs, nowMs + 8 * 3_600_000) : null;
}
