/** A look into the objects of the relay, and hands to break them with. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";

/** Any object of the relay; its methods do not matter here, and their types are deep. */
export type Stub = Pick<DurableObjectStub, "id">;

export function inObject<R>(
  stub: Stub,
  look: (state: DurableObjectState) => R | Promise<R>,
): Promise<R> {
  return runInDurableObject(stub as DurableObjectStub, (_, state) => look(state));
}

/** The object's own tables. */
export function tablesOf(stub: Stub): Promise<string[]> {
  return inObject(stub, (state) =>
    state.storage.sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
      .toArray()
      .map(({ name }) => name)
      .filter((name) => !name.startsWith("_cf_") && !name.startsWith("sqlite_")),
  );
}

type Cursor = SqlStorageCursor<Record<string, SqlStorageValue>>;

/** The rows that `look` has read in all objects, of which this one starts for it: from its constructor on. */
export async function rowsReadBy(stub: Stub, look: () => Promise<unknown>): Promise<number> {
  return (await cursorsOf(stub, look)).reduce((sum, each) => sum + each.rowsRead, 0);
}

/** What each statement that `look` has led to has read, as `rowsReadBy` has it. */
export async function cursorsOf(stub: Stub, look: () => Promise<unknown>): Promise<Cursor[]> {
  const cursors: Cursor[] = [];
  const shared = await inObject(stub, ({ storage }) => Object.getPrototypeOf(storage.sql));
  const { exec } = shared;
  await evictDurableObject(stub as DurableObjectStub);
  shared.exec = function (this: SqlStorage, query: string, ...bindings: SqlStorageValue[]) {
    const cursor = exec.call(this, query, ...bindings);
    cursors.push(cursor);
    return cursor;
  };
  try {
    await look();
    return cursors;
  } finally {
    shared.exec = exec;
  }
}

/** Gives an object other variables than those that are bound, until it is evicted. */
export async function withVariables(
  stub: Stub,
  variables: Partial<Record<keyof Env, string>>,
): Promise<void> {
  await runInDurableObject(stub as DurableObjectStub, (instance) => {
    const object = instance as unknown as { env: Env };
    object.env = { ...object.env, ...variables } as Env;
  });
}

/** Gives an object other bindings, until it is evicted. */
export async function withBindings(
  stub: Stub,
  change: (env: Env) => { [Name in keyof Env]?: unknown },
): Promise<void> {
  await runInDurableObject(stub as DurableObjectStub, (instance) => {
    const object = instance as unknown as { env: Env };
    object.env = { ...object.env, ...change(object.env) } as Env;
  });
}

/** Calls to an object of this namespace that go elsewhere: `methods` of the objects named in `only`, or of all. */
export function diverted<N extends { getByName(name: string): object }>(
  namespace: N,
  methods: Record<string, (...parameters: never[]) => unknown>,
  only?: readonly string[],
): N {
  const getByName = (name: string) => {
    const stub = namespace.getByName(name);
    if (only !== undefined && !only.includes(name)) return stub;
    return new Proxy(stub, {
      get: (target, key) => methods[String(key)] ?? Reflect.get(target, key),
    });
  };
  return { getByName } as unknown as N;
}

/**
 * A call of this method, the first unless `lost` says another one, is done and its answer lost: a deploy restarts the
 * object, and `meanwhile` happens.
 */
export function answerLost<N extends { getByName(name: string): object }>(
  namespace: N,
  name: string,
  method: string,
  { lost = 1, meanwhile }: { lost?: number; meanwhile?: () => Promise<unknown> } = {},
): N {
  let calls = 0;
  const losing = async (...given: unknown[]) => {
    const stub = namespace.getByName(name) as Record<string, (...given: unknown[]) => unknown>;
    const answer = await stub[method]?.(...given);
    calls += 1;
    if (calls !== lost) return answer;
    await meanwhile?.();
    throw Object.assign(new Error("its code was updated"), { retryable: true });
  };
  return diverted(namespace, { [method]: losing }, [name]);
}

/** The next `times` statements of an object's SQL that begin with `start` fail with `message`, until it is evicted. */
export async function failStatements(
  stub: Stub,
  {
    start,
    message,
    times,
    after = 0,
  }: { start: string; message: string; times: number; after?: number },
): Promise<void> {
  await inObject(stub, (state) => {
    const { sql } = state.storage;
    const exec = sql.exec.bind(sql);
    let passed = 0;
    let left = times;
    sql.exec = ((query: string, ...bindings: SqlStorageValue[]) => {
      const fails = query.startsWith(start) && passed++ >= after && left-- > 0;
      if (fails) throw new Error(message);
      return exec(query, ...bindings);
    }) as typeof sql.exec;
  });
}

/** Nothing of an object is sure to be on disk until `disk` opens. @returns whether anybody waits for it. */
export async function holdDisk(
  stub: Stub,
  disk: { opened: Promise<void> },
): Promise<() => boolean> {
  let isWaitedFor = false;
  await inObject(stub, ({ storage }) => {
    const sync = storage.sync.bind(storage);
    storage.sync = async () => {
      isWaitedFor = true;
      await disk.opened;
      await sync();
    };
  });
  return () => isWaitedFor;
}
