import { describe, expect } from "vitest";
import { it } from "../rig/worker/fixture";
import { API_KEY, api, call, DOCUMENTED_REPLY, type Problem } from "../rig/worker/requests";

async function matches(filter: unknown, event: unknown = DOCUMENTED_REPLY): Promise<boolean> {
  const response = await api("POST", "/v1/filters/test", { filter, event });
  expect(response.status).toBe(200);
  const { matches: answer, ...rest } = await response.json<{ matches: boolean }>();
  expect(rest).toEqual({});
  return answer;
}

async function mistakes(body: unknown, path = "/v1/filters/test"): Promise<Problem["errors"]> {
  const response = await api("POST", path, body);
  expect(response.status).toBe(422);
  const { code, errors } = await response.json<Problem>();
  expect(code).toBe("invalid_request");
  return errors;
}

describe("POST /v1/filters/test", () => {
  const bounce = (bounceType: string) => ({ event: "message.bounced", data: { bounceType } });

  it.each<[string, unknown, unknown, boolean]>([
    ["null", null, DOCUMENTED_REPLY, true],
    ["an empty filter", {}, DOCUMENTED_REPLY, true],
    ["an interested reply", { "data.reply.classification": "interested" }, DOCUMENTED_REPLY, true],
    ["another reply", { "data.reply.classification": "objection" }, DOCUMENTED_REPLY, false],
    ["a hard bounce", { "data.bounceType": { $in: ["hard"] } }, bounce("hard"), true],
    ["a soft bounce", { "data.bounceType": { $in: ["hard"] } }, bounce("soft"), false],
    ["the name itself", { event: { $startsWith: "message." } }, bounce("soft"), true],
    ["an event that is no event", { "data.x": 1 }, {}, false],
    ["a field named like a prototype's", { "constructor.name": "Object" }, {}, false],
  ])("answers whether the filter wants the event: %s", async (_, filter, event, wanted) => {
    expect(await matches(filter, event)).toBe(wanted);
  });

  it.each<[string, unknown]>([
    ["an unknown operator", { "data.x": { $regex: "a" } }],
    ["an empty $in", { "data.x": { $in: [] } }],
    ["an empty $or", { $or: [] }],
    ["operands that cannot be compared", { "data.x": { $gt: [1] }, "data.y": { $eq: {} } }],
    ["a number that was rounded", { "data.x": JSON.parse("8202522731445525542") }],
    ["a list", []],
    ["a string", "data.x"],
    ["more than 8 KB", { "data.x": "x".repeat(8_200) }],
    ["more than 8 levels", JSON.parse(`${'{"$and":['.repeat(9)}{"a":1}${"]}".repeat(9)}`)],
  ])("refuses a filter with the very words of registration: %s", async (_, filter) => {
    const errors = await mistakes({ filter, event: DOCUMENTED_REPLY });
    expect(errors?.length).toBeGreaterThan(0);
    for (const { path } of errors ?? []) expect(path).toMatch(/^filter($|\.)/);
    const draft = { url: "https://crm.example.com/in", events: ["*"], filter };
    expect(await mistakes(draft, "/v1/webhooks")).toEqual(errors);
  });

  it.each<[string, unknown, string[]]>([
    ["nothing", {}, ["filter", "event"]],
    ["no filter", { event: DOCUMENTED_REPLY }, ["filter"]],
    ["no event", { filter: null }, ["event"]],
    ["a list as event", { filter: null, event: [] }, ["event"]],
    ["text as event", { filter: null, event: JSON.stringify(DOCUMENTED_REPLY) }, ["event"]],
    ["null as event", { filter: null, event: null }, ["event"]],
    ["an unknown field", { filter: null, event: {}, color: "red" }, ["color"]],
  ])("answers 422 to %s", async (_, body, paths) => {
    expect((await mistakes(body))?.map(({ path }) => path)).toEqual(paths);
  });

  it("answers 400 when the body is not JSON, and 413 when it is too large", async () => {
    const send = (body: string) =>
      call("/v1/filters/test", {
        method: "POST",
        headers: { authorization: `Bearer ${API_KEY}` },
        body,
      });
    expect((await send("{")).status).toBe(400);
    expect(
      (await send(JSON.stringify({ filter: null, event: { x: "x".repeat(262_144) } }))).status,
    ).toBe(413);
  });
});
