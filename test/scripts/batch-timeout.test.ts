/** What the deploy says of `max_batch_timeout`. */
import { createServer } from "node:http";
import { describe, expect, it, onTestFinished } from "vitest";
import { adviceFor, batchTimeoutAdvice } from "../../scripts/batch-timeout.ts";
import { closeServer, freePort, listen } from "../../scripts/loopback.ts";
import { relayApi } from "../../scripts/relay-api.ts";

const KEY = "key-of-the-relay-0000";
const TEN_MILLION_A_MONTH = 328_500;

/** A relay that answers every call so. */
async function relayWith(status: number, json: unknown) {
  const server = createServer((_, response) =>
    response.writeHead(status).end(JSON.stringify(json)),
  );
  const port = await listen(server);
  onTestFinished(() => closeServer(server));
  return relayApi(`http://127.0.0.1:${port}`, KEY);
}

describe("what max_batch_timeout costs", () => {
  it("is the same for a relay that the plan's $5 pay for", () => {
    expect(adviceFor(100, 1)).toMatch(/about \$5 with max_batch_timeout 0 and \$5 with 1; 0 costs/);
  });

  it("is less with 1 where batches fill", () => {
    const said = adviceFor(TEN_MILLION_A_MONTH, 20);
    const [at0 = 0, at1 = 0] = [...said.matchAll(/\$(\d+)/g)].map(([, dollars]) => Number(dollars));
    expect(said).toContain("328,500 events for 20 webhooks");
    expect(at1).toBeLessThan(at0 * 0.8);
    expect(said).toMatch(/1 is cheaper/);
  });

  it("grows with the webhooks, between those that were counted and beyond", () => {
    const billOf = (webhooks: number) => {
      const [, dollars] =
        /0 and \$(\d+) with 1/.exec(adviceFor(TEN_MILLION_A_MONTH, webhooks)) ?? [];
      return Number(dollars);
    };
    const bills = [1, 3, 5, 12, 20, 40].map(billOf);
    expect(bills).toEqual(bills.toSorted((a, b) => a - b));
    expect(new Set(bills).size).toBe(bills.length);
    // Each webhook more costs as much where so many were counted no more.
    const [at5 = 0, , at20 = 0, at40 = 0] = bills.slice(2);
    expect((at40 - at20) / 20).toBeGreaterThan(0.9 * ((at20 - at5) / 15));
  });
});

describe("a relay that is asked", () => {
  it("gives its events and webhooks of the last day", async () => {
    const relay = await relayWith(200, { events: 250, webhooks: [{}, {}] });
    expect(await batchTimeoutAdvice(relay)).toBe(adviceFor(250, 2));
  });

  it("says nothing when it had no event", async () => {
    expect(await batchTimeoutAdvice(await relayWith(200, { events: 0, webhooks: [] }))).toBeNull();
  });

  it("is said in one sentence not to have answered", async () => {
    expect(await batchTimeoutAdvice(await relayWith(401, {}))).toMatch(/answered 401\)\.$/);
    const gone = relayApi(`http://127.0.0.1:${await freePort()}`, KEY);
    expect(await batchTimeoutAdvice(gone)).toMatch(/cannot be reached/);
  });
});
