import { abortAllDurableObjects } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { journalName } from "../../src/domain/placement";
import { journalOf, registry } from "../../src/operations/objects";

/** A Registry whose first `failures` calls end as the platform ends them. */
function failing(failures: number, flags: { retryable?: boolean; overloaded?: boolean }) {
  const asked: string[] = [];
  const call = (method: string) => async () => {
    asked.push(method);
    if (asked.length <= failures) throw Object.assign(new Error("the object is gone"), flags);
    return [];
  };
  const getByName = () => new Proxy({}, { get: (_, method) => call(String(method)) });
  return { asked, env: { ...env, REGISTRY: { getByName } as unknown as Env["REGISTRY"] } };
}

describe("a call to an object", () => {
  it("is made once more when the object was restarted", async () => {
    const { asked, env: given } = failing(1, { retryable: true });
    expect(await registry(given).all()).toEqual([]);
    expect(asked).toEqual(["all", "all"]);
  });

  it("is made twice and no more", async () => {
    const { asked, env: given } = failing(2, { retryable: true });
    await expect(registry(given).all()).rejects.toThrow("gone");
    expect(asked).toEqual(["all", "all"]);
  });

  it.each([{ retryable: true, overloaded: true }, { retryable: false }, {}])(
    "is not repeated after %o",
    async (flags) => {
      const { asked, env: given } = failing(1, flags);
      await expect(registry(given).all()).rejects.toThrow("gone");
      expect(asked).toEqual(["all"]);
    },
  );

  it("is not repeated when it may have been done already and would be done twice", async () => {
    const { asked, env: given } = failing(1, { retryable: true });
    await expect(registry(given).beginCall("0123abcd", "key-1", "call")).rejects.toThrow("gone");
    expect(asked).toEqual(["beginCall"]);
  });

  it("finds the object again after a restart", async () => {
    const journal = journalOf(env, journalName(Date.now()));
    expect(await journal.list({ limit: 1 })).toEqual({ events: [], next: null });
    await abortAllDurableObjects();
    expect(await journal.list({ limit: 1 })).toEqual({ events: [], next: null });
  });
});
