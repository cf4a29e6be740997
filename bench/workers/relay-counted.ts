/**
 * The relay that can be filled (`relay-filled.ts`), and that counts the rows which Subscribers and Lanes write, each
 * setting of an alarm as one:
 *
 *     POST /bench/rows    answers how many since the last call
 */
import * as actors from "../../src/index";
import filled from "./relay-filled";

// biome-ignore lint/performance/noBarrelFile: a Worker exports its objects.
export { DeadLetters, Journal, Registry } from "../../src/index";

let rows = 0;

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
  constructor(ctx: DurableObjectState, env: Env) {
    super(counted(ctx), env);
  }
}

export class Lane extends actors.Lane {
  constructor(ctx: DurableObjectState, env: Env) {
    super(counted(ctx), env);
  }
}

// biome-ignore lint/style/noDefaultExport: the entry of a Worker.
export default {
  ...filled,
  fetch: (request, env, context) => {
    if (new URL(request.url).pathname !== "/bench/rows") return filled.fetch(request, env, context);
    const written = rows;
    rows = 0;
    return Response.json({ written });
  },
} satisfies ExportedHandler<Env, ArrayBuffer>;
