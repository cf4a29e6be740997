import { describe, expect, it } from "vitest";
import { JsonText, stringify } from "../../src/domain/json-text";

describe("JSON that is put in as it came", () => {
  it.each([
    '{"id":8202522731445525542}',
    '{"price":1.10,"none":-0,"much":1e999}',
    '{"twice":1,"twice":2}',
    ' { "spaced" : "$& $1 \\u2028" } ',
  ])("is not read and written again: %s", (text) => {
    expect(stringify({ a: 1, payload: new JsonText(text), list: [new JsonText("0")] })).toBe(
      `{"a":1,"payload":${text},"list":[0]}`,
    );
  });

  it("is left out of nothing else", () => {
    expect(stringify({ a: "x", b: null, c: undefined })).toBe('{"a":"x","b":null}');
  });
});
