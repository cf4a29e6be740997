/** The same bindings with a KV and a queue that cost next to nothing: what is left to measure is the code around them. */
export function inMemory<Bindings extends Pick<Env, "IDEMPOTENCY" | "EVENTS">>(
  bindings: Bindings,
): Bindings {
  const values = new Map<string, string>();
  const get = async (key: string) => values.get(key) ?? null;
  const put = async (key: string, value: string) => {
    values.set(key, value);
  };
  const send = async () => {};
  return { ...bindings, IDEMPOTENCY: { get, put }, EVENTS: { send } } as unknown as Bindings;
}
