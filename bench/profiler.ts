/** Where the processor time of a Worker's isolate goes, as V8's own sampling tells it over the inspector. */

/** Between two samples, in microseconds. */
const SAMPLE_EVERY_US = 500;
/**
 * V8 takes samples while the isolate runs. What lies longer between two of them was the rest of workerd's (disk, sockets,
 * calls between objects) or another process's: the function that was sampled next did not take it.
 */
const MOST_BETWEEN_US = 2 * SAMPLE_EVERY_US;

type Frame = { functionName: string; lineNumber: number };
type Node = { id: number; callFrame: Frame; children?: number[] };
type Profile = { nodes: Node[]; samples: number[]; timeDeltas: number[] };

/** A function, what its own code took, and what it took with all that it called; shares of the time that was busy. */
export type Share = { name: string; own: number; whole: number };

/** `busy`: the share of the time in which the isolate ran anything at all. */
export type Profiled = { busy: number; shares: Share[] };

/** Samples while `work` goes on. */
export async function profiled(inspectorUrl: string, work: () => Promise<void>): Promise<Profiled> {
  const inspector = await Inspector.open(inspectorUrl);
  try {
    await inspector.ask("Profiler.enable");
    await inspector.ask("Profiler.setSamplingInterval", { interval: SAMPLE_EVERY_US });
    await inspector.ask("Profiler.start");
    await work();
    const { profile } = (await inspector.ask("Profiler.stop")) as { profile: Profile };
    return digest(profile);
  } finally {
    inspector.close();
  }
}

/** https://chromedevtools.github.io/devtools-protocol/v8/Profiler/ */
class Inspector {
  readonly #socket: WebSocket;
  readonly #asked = new Map<number, (result: unknown) => void>();
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const { id, result } = JSON.parse(String(data));
      this.#asked.get(id)?.(result);
      this.#asked.delete(id);
    });
  }

  static async open(inspectorUrl: string): Promise<Inspector> {
    const { host } = new URL(inspectorUrl);
    const targets = (await (await fetch(`http://${host}/json`)).json()) as {
      id: string;
      webSocketDebuggerUrl: string;
    }[];
    const target = targets.find(({ id }) => id.includes("leadterra-relay")) ?? targets[0];
    if (target === undefined) throw new Error("nothing can be inspected");
    const socket = new WebSocket(target.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", reject, { once: true });
    });
    return new Inspector(socket);
  }

  ask(method: string, params: object = {}): Promise<unknown> {
    this.#lastId += 1;
    const id = this.#lastId;
    this.#socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => this.#asked.set(id, resolve));
  }

  close(): void {
    this.#socket.close();
  }
}

const IDLE: ReadonlySet<string> = new Set(["(idle)", "(root)"]);

function digest({ nodes, samples, timeDeltas }: Profile): Profiled {
  const nodeOf = new Map(nodes.map((node) => [node.id, node]));
  const parentOf = new Map(
    nodes.flatMap(({ id, children }) => (children ?? []).map((child) => [child, id])),
  );
  const own = new Map<string, number>();
  const whole = new Map<string, number>();
  let [allUs, busyUs] = [0, 0];
  for (const [index, id] of samples.entries()) {
    const sinceUs = Math.max(0, timeDeltas[index] ?? 0);
    allUs += sinceUs;
    const tookUs = Math.min(sinceUs, MOST_BETWEEN_US);
    const leaf = nodeOf.get(id);
    if (leaf === undefined || IDLE.has(leaf.callFrame.functionName)) continue;
    busyUs += tookUs;
    add(own, nameOf(leaf.callFrame), tookUs);
    const stack = new Set<string>();
    for (let at: number | undefined = id; at !== undefined; at = parentOf.get(at)) {
      const node = nodeOf.get(at);
      if (node !== undefined) stack.add(nameOf(node.callFrame));
    }
    for (const name of stack) add(whole, name, tookUs);
  }
  const shares = [...whole].map(([name, us]) => ({
    name,
    own: (own.get(name) ?? 0) / busyUs,
    whole: us / busyUs,
  }));
  return { busy: busyUs / allUs, shares: shares.sort((a, b) => b.own - a.own) };
}

function nameOf({ functionName, lineNumber }: Frame): string {
  return functionName === "" ? `(a function in line ${lineNumber + 1})` : functionName;
}

function add(sums: Map<string, number>, name: string, value: number): void {
  sums.set(name, (sums.get(name) ?? 0) + value);
}
