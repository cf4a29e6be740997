import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkFilter, compileFilter, type Filter } from "../../src/domain/filter";

const REPLY = {
  event: "reply.received",
  data: {
    campaignId: "cmp_1",
    lead: { email: "ada@example.com", score: 7, tags: ["vip", "eu"], company: null },
    reply: { classification: "interested", receivedAt: "2026-03-01T10:00:00Z" },
    steps: [{ name: "first", opens: [1, 5] }, { name: "second" }, 3],
    grid: [[{ x: 1 }], [2]],
    empty: [],
    list: { 0: "zero" },
    flag: false,
  },
};

function matchesFilter(filter: Filter, envelope: unknown): boolean {
  return compileFilter(filter)(envelope);
}

/** A filter as the API gets it: text. Literals would lose a key such as `__proto__`. */
function parsed(json: string): Filter {
  const filter = JSON.parse(json);
  expect(checkFilter(filter)).toEqual([]);
  return filter;
}

function mistakes(filter: unknown): string[] {
  return checkFilter(filter).map(({ path, message }) => `${path} ${message}`);
}

/** `depth` levels: the filter and one `$and` for each further one. */
function nested(depth: number): Filter {
  return depth === 1 ? { event: "x" } : { $and: [nested(depth - 1)] };
}

function conditions(count: number): Filter {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`data.f${at}`, at]));
}

describe("a filter", () => {
  it.each<[string, boolean]>([
    ["{}", true],
    ['{"event":"reply.received"}', true],
    ['{"event":"message.sent"}', false],
    ['{"data.lead.score":7}', true],
    ['{"data.lead.score":"7"}', false],
    ['{"data.flag":false}', true],
    ['{"data.flag":0}', false],
    ['{"data.lead.email":"ada@example.com","event":"message.sent"}', false],
    // $eq and $ne
    ['{"data.lead.score":{"$eq":7}}', true],
    ['{"data.lead.score":{"$eq":8}}', false],
    ['{"data.lead.score":{"$ne":8}}', true],
    ['{"data.lead.score":{"$ne":7}}', false],
    ['{"data.nothing":{"$ne":7}}', true],
    // null and what is missing
    ['{"data.lead.company":null}', true],
    ['{"data.nothing":null}', true],
    ['{"data.nothing":{"$eq":null}}', true],
    ['{"data.nothing.further":null}', true],
    ['{"event.further":null}', true],
    ['{"data.lead.score":null}', false],
    ['{"data.nothing":{"$ne":null}}', false],
    ['{"data.lead.company":{"$ne":null}}', false],
    ['{"data.lead.score":{"$ne":null}}', true],
    // $in and $nin
    ['{"data.lead.score":{"$in":[1,7]}}', true],
    ['{"data.lead.score":{"$in":["7"]}}', false],
    ['{"data.nothing":{"$in":[1,null]}}', true],
    ['{"data.nothing":{"$in":[1]}}', false],
    ['{"data.lead.score":{"$nin":[1,2]}}', true],
    ['{"data.lead.score":{"$nin":[1,7]}}', false],
    ['{"data.nothing":{"$nin":[1]}}', true],
    ['{"data.nothing":{"$nin":[null]}}', false],
    ['{"data.lead.score":{"$nin":[]}}', true],
    // order
    ['{"data.lead.score":{"$gt":6}}', true],
    ['{"data.lead.score":{"$gt":7}}', false],
    ['{"data.lead.score":{"$gte":7}}', true],
    ['{"data.lead.score":{"$gte":7.5}}', false],
    ['{"data.lead.score":{"$lt":8}}', true],
    ['{"data.lead.score":{"$lt":7}}', false],
    ['{"data.lead.score":{"$lte":7}}', true],
    ['{"data.lead.score":{"$lte":6}}', false],
    ['{"data.lead.score":{"$gt":5,"$lt":9}}', true],
    ['{"data.lead.score":{"$gt":5,"$lt":6}}', false],
    ['{"data.reply.receivedAt":{"$gte":"2026-03-01T00:00:00Z","$lt":"2026-03-02"}}', true],
    ['{"data.lead.score":{"$gt":"6"}}', false],
    ['{"data.lead.score":{"$lt":"8"}}', false],
    ['{"data.reply.receivedAt":{"$gt":0}}', false],
    ['{"data.flag":{"$lt":1}}', false],
    ['{"data.lead.company":{"$lte":0}}', false],
    ['{"data.nothing":{"$lt":1}}', false],
    // $exists
    ['{"data.lead.company":{"$exists":true}}', true],
    ['{"data.empty":{"$exists":true}}', true],
    ['{"data.lead":{"$exists":true}}', true],
    ['{"data.nothing":{"$exists":true}}', false],
    ['{"data.nothing":{"$exists":false}}', true],
    ['{"data.lead.score":{"$exists":false}}', false],
    // $startsWith and $endsWith
    ['{"data.lead.email":{"$startsWith":"ada@"}}', true],
    ['{"data.lead.email":{"$startsWith":"da@"}}', false],
    ['{"data.lead.email":{"$startsWith":"ADA"}}', false],
    ['{"data.lead.email":{"$startsWith":""}}', true],
    ['{"data.lead.email":{"$endsWith":"@example.com"}}', true],
    ['{"data.lead.email":{"$endsWith":"@example"}}', false],
    ['{"data.lead.email":{"$endsWith":".*"}}', false],
    ['{"data.lead.score":{"$startsWith":"7"}}', false],
    ['{"data.nothing":{"$endsWith":""}}', false],
    // $not
    ['{"data.lead.score":{"$not":{"$gt":7}}}', true],
    ['{"data.lead.score":{"$not":{"$gt":6}}}', false],
    ['{"data.lead.score":{"$not":{"$gt":6,"$lt":7}}}', true],
    ['{"data.lead.score":{"$not":{"$not":{"$gt":6}}}}', true],
    ['{"data.lead.score":{"$gt":6,"$not":{"$eq":7}}}', false],
    ['{"data.nothing":{"$not":{"$gt":7}}}', true],
    // $and and $or
    ['{"$and":[{"event":"reply.received"},{"data.lead.score":7}]}', true],
    ['{"$and":[{"event":"reply.received"},{"data.lead.score":8}]}', false],
    ['{"$or":[{"event":"message.sent"},{"data.lead.score":7}]}', true],
    ['{"$or":[{"event":"message.sent"},{"data.lead.score":8}]}', false],
    ['{"$or":[{"event":"message.sent"},{}]}', true],
    ['{"event":"message.sent","$or":[{"data.lead.score":7}]}', false],
    ['{"$or":[{"$and":[{"event":"x"}]},{"$or":[{"data.flag":false}]}]}', true],
  ])("%s matches: %j", (json, matches) => {
    const filter = parsed(json);
    expect(matchesFilter(filter, REPLY)).toBe(matches);
  });

  it.each<[string, boolean]>([
    ['{"data.lead.tags":"eu"}', true],
    ['{"data.lead.tags":"us"}', false],
    ['{"data.lead.tags":{"$ne":"eu"}}', false],
    ['{"data.lead.tags":{"$nin":["us","eu"]}}', false],
    ['{"data.lead.tags":{"$in":["us","eu"]}}', true],
    ['{"data.lead.tags":{"$not":{"$startsWith":"e"}}}', false],
    ['{"data.lead.tags":{"$startsWith":"e"}}', true],
    ['{"data.lead.tags.1":"eu"}', true],
    ['{"data.lead.tags.0":"eu"}', false],
    ['{"data.lead.tags.2":null}', true],
    ['{"data.lead.tags.2":{"$exists":false}}', true],
    ['{"data.lead.tags.01":{"$exists":false}}', true],
    ['{"data.lead.tags.-1":{"$exists":false}}', true],
    ['{"data.lead.tags.length":{"$exists":false}}', true],
    ['{"data.list.0":"zero"}', true],
    ['{"data.steps.name":"second"}', true],
    ['{"data.steps.name":{"$ne":"second"}}', false],
    ['{"data.steps.1.name":"first"}', false],
    ['{"data.steps.opens":5}', true],
    ['{"data.steps.opens":{"$gt":4,"$lt":2}}', true],
    ['{"data.steps.opens":{"$not":{"$gt":4,"$lt":2}}}', false],
    ['{"data.steps.opens":null}', true],
    ['{"data.steps.opens":{"$exists":true}}', true],
    ['{"data.steps.opens":{"$exists":false}}', false],
    ['{"data.steps.name":null}', false],
    ['{"data.grid.x":{"$exists":false}}', true],
    ['{"data.grid.0.x":1}', true],
    ['{"data.grid":2}', false],
    ['{"data.grid.1":2}', true],
    ['{"data.empty":null}', false],
    ['{"data.empty":{"$ne":"x"}}', true],
    ['{"data.empty.name":{"$exists":false}}', true],
  ])("%s looks into arrays: %j", (json, matches) => {
    expect(matchesFilter(parsed(json), REPLY)).toBe(matches);
  });

  it.each([
    "__proto__",
    "constructor",
    "toString",
    "data.constructor.name",
    "event.length",
    "data.empty.length",
  ])("does not reach beyond own properties with %s", (path) => {
    const json = `{"${path}":{"$exists":true}}`;
    expect(matchesFilter(parsed(json), REPLY)).toBe(false);
  });

  it("reads names such as __proto__ where the event has them", () => {
    const envelope = JSON.parse('{"data":{"__proto__":{"constructor":"mine"}}}');
    expect(matchesFilter(parsed('{"data.__proto__.constructor":"mine"}'), envelope)).toBe(true);
    expect(matchesFilter(parsed('{"data.__proto__.constructor":"other"}'), envelope)).toBe(false);
    expect(
      matchesFilter(parsed('{"__proto__":{"$exists":true}}'), JSON.parse('{"__proto__":1}')),
    ).toBe(true);
  });

  it("compares numbers that JSON reads as infinite", () => {
    expect(matchesFilter({ n: { $gt: 1 } }, JSON.parse('{"n":1e999}'))).toBe(true);
    expect(matchesFilter({ n: 0 }, JSON.parse('{"n":-0}'))).toBe(true);
    expect(matchesFilter({ n: { $in: [0] } }, JSON.parse('{"n":-0}'))).toBe(true);
  });

  it.each<[string, string]>([
    ['{"data.id":8202522731445525542}', "filter.data.id"],
    ['{"data.id":{"$ne":-9007199254740993}}', "filter.data.id.$ne"],
    ['{"data.id":{"$in":[1,9007199254740992]}}', "filter.data.id.$in"],
    ['{"data.id":{"$not":{"$gt":1e300}}}', "filter.data.id.$not.$gt"],
  ])("refuses a number that JSON does not give exactly, unless it is stored: %s", (json, path) => {
    const filter = JSON.parse(json);
    expect(checkFilter(filter)).toMatchObject([{ path }]);
    expect(() => compileFilter(filter)).not.toThrow();
  });

  it("takes the largest numbers that are exact", () => {
    expect(mistakes({ a: 9007199254740991, b: { $gte: -9007199254740991 }, c: 0.1 })).toEqual([]);
  });

  it.each([null, true, 5, "text", [], [REPLY], {}])("evaluates over %j too", (envelope) => {
    expect(matchesFilter({ event: { $exists: true } }, envelope)).toBe(
      Array.isArray(envelope) && envelope.length > 0,
    );
  });

  it("follows a path of thousands of names without exhausting the stack", () => {
    let envelope: unknown = 1;
    for (let level = 0; level < 4_000; level += 1) envelope = [{ a: envelope }];
    const path = `${"a.".repeat(3_999)}a`;
    expect(checkFilter({ [path]: 1 })).toEqual([]);
    expect(matchesFilter({ [path]: 1 }, envelope)).toBe(true);
  });

  it("visits nested arrays in linear time", () => {
    let envelope: unknown = 1;
    for (let level = 0; level < 30; level += 1) envelope = { 0: [envelope, envelope] };
    const path = `${"0.".repeat(60)}0`;
    expect(matchesFilter({ [path]: 1, "0.0.0.0": { $exists: true } }, envelope)).toBe(false);
  });
});

describe("a mistake in a filter", () => {
  const comparable = "must be a string, a number, true, false or null";
  it.each<[string, string[]]>([
    ["null", ["filter must be an object"]],
    ["[]", ["filter must be an object"]],
    ['"x"', ["filter must be an object"]],
    // operators where they do not belong
    ['{"$eq":1}', ["filter.$eq must stand under a path"]],
    ['{"$not":{"a":1}}', ["filter.$not must stand under a path"]],
    ['{"$nor":[{"a":1}]}', ["filter.$nor is not an operator"]],
    ['{"$where":"1"}', ["filter.$where is not an operator"]],
    ['{"$data.x":1}', ["filter.$data.x is not an operator"]],
    ['{"a":{"$and":[{"b":1}]}}', ["filter.a.$and must stand beside paths"]],
    ['{"a":{"$regex":"x"}}', ["filter.a.$regex is not an operator"]],
    ['{"a":{"$__proto__":1}}', ["filter.a.$__proto__ is not an operator"]],
    ['{"a":{"$EQ":1}}', ["filter.a.$EQ is not an operator"]],
    ['{"a":{"$gt":1,"b":1}}', ["filter.a.b is not an operator"]],
    ['{"a":{"$gt":1,"__proto__":1}}', ["filter.a.__proto__ is not an operator"]],
    // lists
    ['{"$and":[]}', ["filter.$and must be a list of one filter or more"]],
    ['{"$or":[]}', ["filter.$or must be a list of one filter or more"]],
    ['{"$or":{"a":1}}', ["filter.$or must be a list of one filter or more"]],
    ['{"$and":[{"a":1},null]}', ["filter.$and.1 must be an object"]],
    ['{"$and":[[{"a":1}]]}', ["filter.$and.0 must be an object"]],
    [
      '{"$and":[{"data.bounceType":{"$in":[]}}]}',
      ["filter.$and.0.data.bounceType.$in must be a list"],
    ],
    ['{"a":{"$in":"hard"}}', ["filter.a.$in must be a list"]],
    ['{"a":{"$in":[1,[2]]}}', ["filter.a.$in must be a list"]],
    ['{"a":{"$in":[{}]}}', ["filter.a.$in must be a list"]],
    ['{"a":{"$nin":null}}', ["filter.a.$nin must be a list"]],
    ['{"a":{"$nin":[1e999]}}', ["filter.a.$nin must be a list"]],
    // operands
    ['{"a":{}}', [`filter.a ${comparable}`]],
    ['{"a":{"b":1}}', [`filter.a ${comparable}`]],
    ['{"a":[1]}', [`filter.a ${comparable}`]],
    ['{"a":1e999}', [`filter.a ${comparable}`]],
    ['{"a":{"$eq":{}}}', [`filter.a.$eq ${comparable}`]],
    ['{"a":{"$ne":[]}}', [`filter.a.$ne ${comparable}`]],
    ['{"a":{"$gt":null}}', ["filter.a.$gt must be a number or a string"]],
    ['{"a":{"$gte":true}}', ["filter.a.$gte must be a number or a string"]],
    ['{"a":{"$lt":[1]}}', ["filter.a.$lt must be a number or a string"]],
    ['{"a":{"$lte":-1e999}}', ["filter.a.$lte must be a number or a string"]],
    ['{"a":{"$exists":1}}', ["filter.a.$exists must be true or false"]],
    ['{"a":{"$startsWith":1}}', ["filter.a.$startsWith must be a string"]],
    ['{"a":{"$endsWith":null}}', ["filter.a.$endsWith must be a string"]],
    ['{"a":{"$not":1}}', ["filter.a.$not must be an object of operators"]],
    ['{"a":{"$not":[]}}', ["filter.a.$not must be an object of operators"]],
    ['{"a":{"$not":{}}}', [`filter.a.$not ${comparable}`]],
    ['{"a":{"$not":{"$gt":null}}}', ["filter.a.$not.$gt must be a number or a string"]],
    // paths
    ['{"":1}', ["filter. must be a path"]],
    ['{"a..b":1}', ["filter.a..b must be a path"]],
    ['{".a":1}', ["filter..a must be a path"]],
    ['{"a.":{"$gt":1}}', ["filter.a. must be a path"]],
    // all of them
    [
      '{"a":[],"$or":[{"b":{"$x":1,"$gt":null}},{"c":1}],"d":1}',
      [
        `filter.a ${comparable}`,
        "filter.$or.0.b.$x is not an operator",
        "filter.$or.0.b.$gt must be a number or a string",
      ],
    ],
  ])("is named with its place: %s", (json, expected) => {
    const found = mistakes(JSON.parse(json));
    expect(found).toHaveLength(expected.length);
    for (const [at, start] of expected.entries()) expect(found[at]).toContain(start);
  });

  it("is a ninth level, counting the filter, $and, $or and $not", () => {
    expect(mistakes(nested(8))).toEqual([]);
    expect(mistakes(nested(9))).toEqual([
      expect.stringMatching(/^filter(\.\$and\.0){7}\.\$and is nested too deeply/),
    ]);
    const not = '{"$or":[{"a":{"$not":{"$not":{"$not":{"$not":{"$not":{"$not":{"$eq":1}}}}}}}}]}';
    expect(mistakes(JSON.parse(not))).toEqual([]);
    expect(mistakes({ $and: [JSON.parse(not)] })).toEqual([
      expect.stringMatching(/^filter\.\$and\.0\.\$or\.0\.a(\.\$not){6} is nested too deeply/),
    ]);
  });

  it("is a 65th condition, wherever the conditions stand", () => {
    expect(mistakes(conditions(64))).toEqual([]);
    expect(mistakes(conditions(65))).toEqual(["filter must have at most 64 conditions"]);
    const ranges = (count: number) => ({
      $or: Array.from({ length: count }, () => ({ n: { $gt: 1, $not: { $lt: 5 } } })),
    });
    expect(mistakes(ranges(32))).toEqual([]);
    expect(mistakes(ranges(33))).toEqual(["filter must have at most 64 conditions"]);
    expect(mistakes({ a: { $in: Array.from({ length: 999 }, (_, at) => at) } })).toEqual([]);
  });

  it("is a byte too many, in UTF-8", () => {
    const overhead = '{"a":""}'.length;
    expect(mistakes({ a: "x".repeat(8192 - overhead) })).toEqual([]);
    expect(mistakes({ a: "x".repeat(8193 - overhead) })).toEqual([
      "filter must be JSON of at most 8192 bytes",
    ]);
    expect(mistakes({ a: "é".repeat(4092) })).toEqual([]);
    expect(mistakes({ a: "é".repeat(4093) })).toHaveLength(1);
  });

  it("is a value that is no JSON, or nested without end", () => {
    const cycle: Record<string, unknown> = {};
    cycle.a = cycle;
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level += 1) deep = { $and: [deep] };
    for (const value of [undefined, 1n, () => 1, cycle, deep])
      expect(mistakes(value)).toHaveLength(1);
  });

  it("is one of at most 64, however many there are", () => {
    const unknown = Array.from({ length: 500 }, (_, at) => [`$${at}`, 1]);
    expect(mistakes({ a: Object.fromEntries(unknown) })).toHaveLength(64);
  });

  it("stops a filter from being run", () => {
    const filter = { a: { $regex: "x" } } as unknown as Filter;
    expect(() => compileFilter(filter)).toThrow("filter.a.$regex is not an operator");
  });
});

const name = fc.constantFrom("a", "b", "0", "1", "__proto__", "constructor", "length");
const scalar = fc.oneof(fc.constantFrom(null, true, 0, 1, "", "a"), fc.string(), fc.double());

/** JSON whose keys meet those of the filters. */
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 5 },
    scalar,
    fc.array(tie("json"), { maxLength: 3 }),
    fc.dictionary(name, tie("json"), { maxKeys: 4 }),
  ),
}));

const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("."));
const finite = fc.oneof(
  fc.constantFrom(null, true, false, "a"),
  fc.integer(),
  fc.string({ maxLength: 5 }),
);
const ordered = fc.oneof(fc.integer(), fc.string({ maxLength: 5 }));

const grammar = fc.letrec<{ operators: object; filter: Filter }>((tie) => ({
  operators: fc.oneof(
    { maxDepth: 3 },
    fc.record({ $eq: finite, $ne: finite, $exists: fc.boolean() }, { requiredKeys: ["$eq"] }),
    fc.record({
      $in: fc.array(finite, { minLength: 1, maxLength: 3 }),
      $nin: fc.array(finite, { maxLength: 3 }),
    }),
    fc.record(
      { $gt: ordered, $gte: ordered, $lt: ordered, $lte: ordered },
      { requiredKeys: ["$gt"] },
    ),
    fc.record(
      { $startsWith: fc.string(), $endsWith: fc.string() },
      { requiredKeys: ["$endsWith"] },
    ),
    fc.record({ $not: tie("operators") }),
  ),
  filter: fc.oneof(
    { maxDepth: 3 },
    fc.dictionary(path, fc.oneof(finite, tie("operators")), { maxKeys: 3 }),
    fc.record({ $and: fc.array(tie("filter"), { minLength: 1, maxLength: 2 }) }),
    fc.record({ $or: fc.array(tie("filter"), { minLength: 1, maxLength: 2 }) }),
  ) as fc.Arbitrary<Filter>,
}));

/** Values with filter-like keys, most of them wrong somewhere. */
const { hostile } = fc.letrec((tie) => ({
  hostile: fc.oneof(
    { maxDepth: 6 },
    scalar,
    fc.array(tie("hostile"), { maxLength: 3 }),
    fc.dictionary(
      fc.oneof(
        path,
        fc.constantFrom("$and", "$or", "$not", "$in", "$nin", "$gt", "$exists", "$eq", "$x", ""),
      ),
      tie("hostile"),
      { maxKeys: 3 },
    ),
  ),
}));

describe("any filter", () => {
  it("is judged without throwing, and evaluates over any JSON when it is valid", () => {
    const value = fc.oneof(hostile, fc.jsonValue(), fc.anything());
    fc.assert(
      fc.property(value, fc.oneof(json, fc.jsonValue()), (filter, envelope) => {
        if (checkFilter(filter).length === 0) {
          expect(typeof matchesFilter(filter as Filter, envelope)).toBe("boolean");
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("is valid when it follows the grammar, and evaluates the same after a round trip as JSON", () => {
    fc.assert(
      fc.property(grammar.filter, json, (filter, envelope) => {
        expect(checkFilter(filter)).toEqual([]);
        const matches = matchesFilter(filter, envelope);
        expect(matchesFilter(JSON.parse(JSON.stringify(filter)), envelope)).toBe(matches);
      }),
      { numRuns: 500 },
    );
  });

  it("agrees with its negation and with what it is short for", () => {
    fc.assert(
      fc.property(path, finite, json, (at, operand, envelope) => {
        const equal = matchesFilter({ [at]: { $eq: operand } }, envelope);
        expect(matchesFilter({ [at]: operand }, envelope)).toBe(equal);
        expect(matchesFilter({ [at]: { $in: [operand] } }, envelope)).toBe(equal);
        expect(matchesFilter({ [at]: { $ne: operand } }, envelope)).toBe(!equal);
        expect(matchesFilter({ [at]: { $nin: [operand] } }, envelope)).toBe(!equal);
        expect(matchesFilter({ [at]: { $not: { $eq: operand } } }, envelope)).toBe(!equal);
        expect(matchesFilter({ [at]: { $exists: true } }, envelope)).toBe(
          !matchesFilter({ [at]: { $exists: false } }, envelope),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("leaves the envelope as it is", () => {
    fc.assert(
      fc.property(grammar.filter, json, (filter, envelope) => {
        const before = JSON.stringify(envelope);
        matchesFilter(filter, envelope);
        expect(JSON.stringify(envelope)).toBe(before);
      }),
      { numRuns: 100 },
    );
  });
});
