/**
 * The relay that can be filled (`relay-filled.ts`), and that counts what Subscribers and Lanes are billed for: rows
 * written, each setting of an alarm as one, and calls, alarms among them.
 *
 *     POST /bench/counts    answers how many since the last call
 */
import * as actors from "../../src/index";
import filled from "./relay-filled";

// biome-ignore lint/performance/noBarrelFile: a Worker exports its objects.
export { DeadLetters, Journal, Registry } from "../../src/index";

let rows = 0;
let calls = 0;

/** Methods that are called from outside. */
const BILLED = ["alarm", "take", "recall", "report", "accept", "configure"];

function countCalls(prototype: object): void {
  for (const name of BILLED) {
    const method: unknown = Reflect.get(prototype, name);
    if (typeof method !== "function") continue;
    Object.defineProperty(prototype, name, {
      value(this: unknown, ...args: unknown[]) {
        calls += 1;
        return method.apply(this, args);
      },
    });
  }
}

function counted(ctx: DurableObjectState): DurableObjectState {
  const { storage } = ctx;
  const exec = storage.sql.exec.bind(storage.sql);
  storage.sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
    const cursor = exec(query, ...bindings);
    // The relay reads a cursor to its end in the turn in which it opens it.
    queueMicrotask(() => {
      rows += cursor.rowsWritten;
    });
    return cursor;
  }) as typeof storage.sql.exec;
  const setAlarm = storage.setAlarm.bind(storage);
  storage.setAlarm = async (...given) => {
    rows += 1;
    await setAlarm(...given);
  };
  return ctx;
}

export class Subscriber extends actors.Subscriber {
  static {
    countCalls(Subscriber.prototype);
  }

  constructor(ctx: DurableObjectState, env: Env) {
    super(counted(ctx), env);
  }
}

export class Lane extends actors.Lane {
  static {
    countCalls(Lane.prototype);
  }

  constructor(ctx: DurableObjectState, env: Env) {
    super(counted(ctx), env);
  }
}

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  ...filled,
  fetch: (request, env, context) => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/bench/counts") return filled.fetch(request, env, context);
    const counts = { rows, calls };
    rows = 0;
    calls = 0;
    return Response.json(counts);
  },
} satisfies ExportedHandler<Env, ArrayBuffer>;
