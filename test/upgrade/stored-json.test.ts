/** JSON of rows that another release wrote: less than today's, more, or other. */
import { describe, expect, it } from "vitest";
import { HEALTHY } from "../../src/domain/health";
import { encodeLog } from "../../src/storage/attempt-log";
import { hourOf, jsonOfRun, runOf } from "../../src/storage/run";
import { attemptsOf, eventIdsOf, webhookIdsOf, webhookOf } from "../../src/storage/stored-json";

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
    for (const value of [runOf(lease), webhookOf("{}"), hourOf("{}"), attemptsOf("[[1]]")]) {
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
    const [short, long] = attemptsOf(
      JSON.stringify([full.slice(0, 3), [...full, { later: true }]]),
    );
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

const runWith = (fields: Record<string, unknown>) => runOf(JSON.stringify(fields));

describe("an element of a list that lacks a field, or has it in another form", () => {
  const whole = {
    id: "share",
    lane: 2,
    slots: 6,
    lastStartAtMs: 10,
    closesAtMs: 20,
    urlVersion: 1,
    attempts: [["evt_1", 3, "manual", 7, 1]],
  };
  const attempts = [{ id: "evt_1", number: 3, trigger: "manual", fresh: { seq: 7, index: 1 } }];

  it.each(["lane", "slots", "lastStartAtMs", "closesAtMs", "urlVersion", "attempts"])(
    "is a share with a default of its %s, and its neighbours as they were",
    (field) => {
      const { shares } = runWith({
        shares: [whole, { ...whole, id: "other", [field]: {} }, whole],
      });
      expect(shares.map(({ id }) => id)).toEqual(["share", "other", "share"]);
      expect(shares[0]).toEqual({ ...whole, attempts });
      const fallback = { slots: 6, attempts: [] }[field] ?? 0;
      expect(shares[1]).toEqual({ ...whole, id: "other", attempts, [field]: fallback });
    },
  );

  it("is a share without an id, whose deliveries are not lost: no Lane knows the one it gets", () => {
    const { shares } = runWith({ shares: [whole, { ...whole, id: 5 }, { attempts: 1 }, 7] });
    expect(shares.map(({ attempts: { length } }) => length)).toEqual([1, 1, 0, 0]);
    expect(new Set(shares.map(({ id }) => id)).size).toBe(4);
    expect(shares[0]?.id).toBe("share");
    expect(runOf(jsonOfRun(runWith({ shares: [{ ...whole, id: 5 }] }))).shares).toHaveLength(1);
  });

  it("is an attempt: without a number the first, and passed over alone without an id", () => {
    const lease = {
      window: 4,
      attempts: [{ id: "evt_1" }, { number: 2 }, { id: "evt_3", number: 3 }],
    };
    const told = runWith({ lease }).lease.attempts.map(({ id, number }) => [id, number]);
    expect(told).toEqual([
      ["evt_1", 1],
      ["evt_3", 3],
    ]);
    const tuples = [["evt_1"], [null, 2], 7, ["evt_3", 3, "later"]];
    const [share] = runWith({ shares: [{ ...whole, attempts: tuples }] }).shares;
    expect(share?.attempts).toEqual([
      { id: "evt_1", number: 1, trigger: "scheduled", fresh: null },
      { id: "evt_3", number: 3, trigger: "scheduled", fresh: null },
    ]);
  });

  it("is a happening: once without a count, and passed over alone without a name", () => {
    const happening = { event: "relay.webhook.failing", count: 4, eventId: null };
    const given = [happening, { event: "relay.webhook.recovered" }, { count: 2 }, happening];
    const read = [
      happening,
      { event: "relay.webhook.recovered", count: 1, eventId: null },
      happening,
    ];
    expect(runWith({ happenings: given, told: given })).toMatchObject({
      happenings: read,
      told: read,
    });
  });

  it("is one of a webhook's, an hour's or a total's, and costs no other", () => {
    expect(
      webhookOf('{"events":["a",7,"b"],"headers":{"x-a":"1","x-b":2},"giveUpOn":[404,"x"]}'),
    ).toMatchObject({ events: ["a", "b"], headers: { "x-a": "1" }, giveUpOn: [404] });
    expect(hourOf('{"steps":[[1,2],[3],[4,5]],"latency":{"1":2,"3":null}}')).toMatchObject({
      steps: [
        [1, 2],
        [4, 5],
      ],
      latency: { "1": 2 },
    });
    const { totals } = runWith({
      totals: { attempts: { success: 3, later: "x" }, durations: [1, null, 3] },
    });
    expect(totals).toMatchObject({ attempts: { success: 3 }, durations: [1, 0, 3] });
  });

  it("keeps its place where places count", () => {
    expect(eventIdsOf('["evt_1",7,"evt_3"]')).toEqual(["evt_1", "", "evt_3"]);
    expect(attemptsOf('[[1],{"number":2},[3]]').map(({ number }) => number)).toEqual([1, 3]);
  });
});

describe("what is only of use whole", () => {
  it("is the last failure with its event, whatever the error was", () => {
    const lastFailure = { atMs: 5, eventId: "evt_1", statusCode: 503, responseBody: null };
    expect(runWith({ health: { lastFailure } }).health.lastFailure).toEqual({
      ...lastFailure,
      error: "status",
    });
    const { health } = runWith({ health: { probing: true, lastFailure: { error: "timeout" } } });
    expect(health).toEqual({ ...HEALTHY, probing: true });
  });

  it("is a way of retention, which it reserves anew", () => {
    const moving = { from: 1, to: 2, seq: 3, atMs: 4 };
    expect(runWith({ moving, ended: 3 })).toMatchObject({ moving, ended: 3 });
    for (const field of Object.keys(moving)) {
      const { [field as "from"]: _, ...rest } = moving;
      expect(runWith({ moving: rest, ended: 3 })).toMatchObject({ moving: null, ended: 3 });
    }
  });
});

describe("what is no JSON, or JSON of another kind", () => {
  it.each(["", "null", "7", '"text"', "[]", "{"])("is read as nothing: %s", (json) => {
    expect(runOf(json)).toEqual(runOf("{}"));
    expect(eventIdsOf(json)).toEqual([]);
    expect(webhookIdsOf(json)).toEqual([]);
    expect(attemptsOf(json)).toEqual([]);
  });
});
