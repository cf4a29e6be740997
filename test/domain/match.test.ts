import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkFilter, type Filter } from "../../src/domain/filter";
import type { WebhookId } from "../../src/domain/ids";
import { explain, explainMiss } from "../../src/domain/match";
import { compileRoute, type Route, type Webhook } from "../../src/domain/webhook";

const REPLY = {
  name: "reply.received",
  envelope: {
    event: "reply.received",
    data: {
      lead: { score: 7, tags: ["vip", "eu"], company: null },
      reply: { classification: "not_interested", threadSnippet: "n".repeat(500) },
      steps: [{ opens: 1 }, { opens: 2 }, { opens: 3 }, { opens: 4 }, { opens: 5 }],
      empty: [],
    },
  },
};

function route(filter: unknown, events: string[] = ["*"]): Route {
  return { id: "wh_00000000000000000000000000" as WebhookId, events, filter: filter as Filter };
}

describe("why an event is not wanted", () => {
  it("is nothing when it is wanted", () => {
    expect(explainMiss(route(null), REPLY)).toBeNull();
    expect(explainMiss(route({}, ["reply.received"]), REPLY)).toBeNull();
    expect(explainMiss(route({ "data.lead.score": 7 }), REPLY)).toBeNull();
  });

  it.each<[string[], string]>([
    [["message.sent"], "asks for message.sent, not for reply.received"],
    [["a", "b"], "asks for a and b, not for reply.received"],
    [["a", "b", "c", "d", "e"], "asks for a, b, c and 2 more, not for reply.received"],
  ])("names what is asked for: %j", (events, why) => {
    expect(explainMiss(route(null, events), REPLY)).toBe(why);
  });

  it("knows that * does not mean the relay's own", () => {
    const event = "relay.webhook.failing";
    const failing = { name: event, envelope: { event, data: { id: "wh_other" } } };
    expect(explainMiss(route(null), failing)).toBe(
      `asks for every event of Leadterra's, not for ${event}`,
    );
    const both = { ...route(null, ["*", event]), createdAtMs: 0 } as Webhook;
    const received = { event, webhookIds: [both.id], receivedAtMs: 1, size: 1 };
    expect(explain(both, received, failing).why).toBe(`It asks for ${event}.`);
  });

  it("does not say what an erased event of the relay was about, nor that settings have changed", () => {
    const event = "relay.webhook.failing";
    const webhook = { ...route(null, [event]), createdAtMs: 1 } as Webhook;
    const received = { event, webhookIds: [], receivedAtMs: 1, size: 1 };
    expect(explain(webhook, received, null)).toEqual({
      webhookId: webhook.id,
      matched: false,
      why: `It asks for ${event}; what the event said is gone, so there is no telling whether it was about this webhook itself.`,
    });
    const late = { ...webhook, createdAtMs: 2 };
    expect(explain(late, received, null).why).toContain("registered after it came in");
    const matched = { ...received, webhookIds: [webhook.id] };
    expect(explain(webhook, matched, null).why).toBe(`It asks for ${event}.`);
  });

  it("says the name first, whatever the filter", () => {
    expect(explainMiss(route({ "data.lead.score": 8 }, ["a"]), REPLY)).toMatch(/^asks for a,/);
  });

  it.each<[unknown, string]>([
    [
      { "data.reply.classification": "interested" },
      'data.reply.classification is "not_interested", and the filter wants "interested"',
    ],
    [{ event: "a" }, 'the event is "reply.received", and the filter wants "a"'],
    [{ "data.x": 1 }, "data.x is missing, and the filter wants 1"],
    [{ "data.empty.x": 1 }, "data.empty.x is missing, and the filter wants 1"],
    [{ "data.lead.score": "7" }, 'data.lead.score is 7, and the filter wants "7"'],
    [{ "data.lead.company": true }, "data.lead.company is null, and the filter wants true"],
    [{ "data.lead.tags": "us" }, 'data.lead.tags is ["vip","eu"], and the filter wants "us"'],
    [
      { "data.steps.opens": { $gt: 5 } },
      "data.steps.opens is 1, 2, 3 and 2 more, and the filter wants more than 5",
    ],
    [
      { "data.lead.score": { $in: [1, 2] } },
      "data.lead.score is 7, and the filter wants one of 1 and 2",
    ],
    [{ "data.lead.score": { $in: [1] } }, "data.lead.score is 7, and the filter wants 1"],
    [{ "data.lead.score": { $nin: [7] } }, "data.lead.score is 7, and the filter wants none of 7"],
    [
      { "data.lead.score": { $ne: 7 } },
      "data.lead.score is 7, and the filter wants anything but 7",
    ],
    [
      { "data.lead.score": { $gte: 5, $lt: 7 } },
      "data.lead.score is 7, and the filter wants less than 7",
    ],
    [
      { "data.lead.score": { $not: { $gt: 5 } } },
      'data.lead.score is 7, and the filter wants what does not fit {"$gt":5}',
    ],
    [{ "data.x": { $exists: true } }, "data.x is missing, and the filter wants it to be there"],
    [
      { "data.lead.score": { $exists: false } },
      "data.lead.score is 7, and the filter wants it to be missing",
    ],
    [
      { "data.reply.classification": { $startsWith: "int" } },
      'data.reply.classification is "not_interested", and the filter wants a text that starts with "int"',
    ],
    [
      { $and: [{ event: "reply.received" }, { "data.x": 1 }] },
      "data.x is missing, and the filter wants 1",
    ],
    [
      { "data.lead.score": 7, $or: [{ "data.x": 1 }, { event: "a" }] },
      'none of the 2 in $or holds: data.x is missing, and the filter wants 1; the event is "reply.received", and the filter wants "a"',
    ],
    [{ $or: [{ "data.x": 1 }] }, "data.x is missing, and the filter wants 1"],
  ])("tells the first condition that does not hold: %j", (filter, why) => {
    expect(checkFilter(filter)).toEqual([]);
    expect(explainMiss(route(filter), REPLY)).toBe(why);
  });

  it("stays short, whatever the event and the filter say", () => {
    const snippet =
      explainMiss(route({ "data.reply.threadSnippet": "y".repeat(500) }), REPLY) ?? "";
    expect(snippet).toContain(`"${"n".repeat(78)}…, and`);
    expect(snippet.length).toBeLessThan(250);
    const long = "z".repeat(200);
    const deep = { $or: [1, 2, 3].map(() => ({ $or: [1, 2, 3].map(() => ({ [long]: long })) })) };
    expect(explainMiss(route(deep), REPLY)?.length).toBeLessThanOrEqual(600);
  });

  it("does not give a number of an event that cannot be read exactly for another", () => {
    const envelope = JSON.parse(
      '{"x":8202522731445525542,"y":1e999,"z":-1e999,"n":9007199254740991,"f":1.5,"o":{"x":8202522731445525542,"y":[1e999]}}',
    );
    const why = (path: string) => explainMiss(route({ [path]: 1 }), { name: "a", envelope });
    expect(why("x")).toBe("x is about 8202522731445526000, and the filter wants 1");
    expect(why("y")).toBe("y is about Infinity, and the filter wants 1");
    expect(why("z")).toBe("z is about -Infinity, and the filter wants 1");
    expect(why("n")).toBe("n is 9007199254740991, and the filter wants 1");
    expect(why("f")).toBe("f is 1.5, and the filter wants 1");
    const inside = '{"x":"about 8202522731445526000","y":["about Infinity"]}';
    expect(why("o")).toBe(`o is ${inside}, and the filter wants 1`);
  });

  it("does not cut a character in half", () => {
    const event = { name: "a", envelope: { event: "a", x: "a".repeat(77) + "😀".repeat(20) } };
    const why = explainMiss(route({ x: 1 }), event) ?? "";
    expect(why.isWellFormed()).toBe(true);
    expect(why).toContain("a…,");
  });

  it("agrees with the routing of events, always", () => {
    const scalar = fc.oneof(
      fc.constantFrom<unknown>("a", "b", "ab", "", null, true, false, 0, 1, 2),
      fc.string({ maxLength: 3 }),
    );
    const ordered = fc.constantFrom<unknown>("a", "b", 0, 1);
    const text = fc.constantFrom("a", "b", "");
    const name = fc.constantFrom("a", "b", "0", "1", "__proto__", "constructor");
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("."));
    const { filter, value } = fc.letrec<{
      filter: unknown;
      value: unknown;
      operators: Record<string, unknown>;
    }>((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        scalar,
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(name, tie("value"), { maxKeys: 3 }),
      ),
      operators: fc
        .record(
          {
            $eq: scalar,
            $ne: scalar,
            $in: fc.array(scalar, { minLength: 1, maxLength: 5 }),
            $nin: fc.array(scalar, { maxLength: 3 }),
            $gt: ordered,
            $gte: ordered,
            $lt: ordered,
            $lte: ordered,
            $exists: fc.boolean(),
            $startsWith: text,
            $endsWith: text,
            $not: tie("operators"),
          },
          { requiredKeys: [] },
        )
        .filter((operators) => Object.keys(operators).length > 0),
      filter: fc.oneof(
        { depthSize: "small" },
        fc.dictionary(path, fc.oneof(scalar, tie("operators")), { maxKeys: 3 }),
        fc.record(
          {
            $and: fc.array(tie("filter"), { minLength: 1, maxLength: 3 }),
            $or: fc.array(tie("filter"), { minLength: 1, maxLength: 5 }),
          },
          { requiredKeys: [] },
        ),
      ),
    }));
    let missed = 0;
    let wanted = 0;
    fc.assert(
      fc.property(
        fc.option(
          filter.filter((given) => checkFilter(given).length === 0),
          { freq: 20 },
        ),
        fc.constantFrom<string[]>(["*"], ["a"], ["b", "c"]),
        fc.dictionary(name, value, { maxKeys: 3 }),
        (given, events, fields) => {
          const event = { name: "a", envelope: { ...fields, event: "a" } };
          const asked = route(given, events);
          const why = explainMiss(asked, event);
          expect(why === null).toBe(compileRoute(asked).wants(event));
          if (why === null) wanted += 1;
          else missed += 1;
          // Taken apart, it always comes down to a name or to one condition.
          if (why !== null) expect(why).toMatch(/^asks for .+, not for a$|the filter wants ./s);
        },
      ),
      { numRuns: 600 },
    );
    expect(missed).toBeGreaterThan(60);
    expect(wanted).toBeGreaterThan(60);
  });
});
