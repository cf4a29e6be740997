/** JSON of rows that another release wrote: less than today's, more, or other. */
import { describe, expect, it } from "vitest";
import { HEALTHY } from "../../src/domain/health";
import { decodeLog, encodeLog } from "../../src/storage/attempt-log";
import { eventIdsOf, hourOf, runOf, webhookIdsOf, webhookOf } from "../../src/storage/stored-json";

describe("a stored object that lacks fields", () => {
  it("gets the default of each, at every depth", () => {
    expect(runOf("{}")).toMatchObject({ health: HEALTHY, ended: 0, head: { seq: 0, index: 0 } });
    expect(runOf('{"health":{"probing":true},"ended":3}')).toEqual({
      ...runOf("{}"),
      health: { ...HEALTHY, probing: true },
      ended: 3,
    });
    expect(webhookOf('{"url":"https://a.example/","secrets":[{"value":"whsec_a"}]}')).toMatchObject(
      {
        events: [],
        filter: null,
        ordered: false,
        secrets: [{ value: "whsec_a", expiresAtMs: null }],
      },
    );
    expect(hourOf('{"atMs":5,"latency":{"3":1}}')).toMatchObject({ steps: [], delivered: 0 });
  });

  it("is nothing undefined, wherever a field is read", () => {
    const holes = (value: unknown): boolean =>
      value === undefined ||
      (typeof value === "object" && value !== null && Object.values(value).some(holes));
    const lease = '{"lease":{"attempts":[{"id":"evt_1","number":1}]},"health":{"lastFailure":{}}}';
    for (const value of [runOf(lease), webhookOf("{}"), hourOf("{}"), decodeLog("[[1]]")]) {
      expect(holes(value), JSON.stringify(value)).toBe(false);
    }
  });
});

describe("a stored object with fields of a newer release", () => {
  it("keeps them when it is written back", () => {
    const stored = '{"ended":3,"later":[{"id":7}],"health":{"probing":true,"mood":"good"}}';
    expect(JSON.parse(JSON.stringify(runOf(stored)))).toMatchObject(JSON.parse(stored));
    expect(webhookOf('{"id":"wh_1","colour":"red"}')).toMatchObject({ colour: "red" });
  });

  it("is held where its status is one that this release does not know", () => {
    expect(webhookOf('{"status":"sleeping"}').status).toBe("paused");
  });
});

describe("an attempt log", () => {
  it("is read from shorter and longer lines than today's", () => {
    const full = [4, "manual", 10, 20, 503, "status", "busy", 1, { "retry-after": "1" }];
    const [short, long] = decodeLog(JSON.stringify([full.slice(0, 3), [...full, { later: true }]]));
    expect(short).toEqual({
      number: 4,
      trigger: "manual",
      startedAtMs: 10,
      durationMs: 0,
      statusCode: null,
      error: null,
      responseHeaders: null,
      responseBody: null,
      responseTruncated: false,
    });
    expect(long).toMatchObject({ statusCode: 503, error: "status", responseTruncated: true });
    expect(encodeLog(long === undefined ? [] : [long])).toBe(JSON.stringify([full]));
  });
});

describe("what is no JSON, or JSON of another kind", () => {
  it.each(["", "null", "7", '"text"', "[]", "{"])("is read as nothing: %s", (json) => {
    expect(runOf(json)).toEqual(runOf("{}"));
    expect(eventIdsOf(json)).toEqual([]);
    expect(webhookIdsOf(json)).toEqual([]);
    expect(decodeLog(json)).toEqual([]);
  });
});
