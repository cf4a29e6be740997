import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { prettyJson } from "../../src/domain/pretty-json";

const ENOUGH = 1_000_000;

describe("pretty JSON", () => {
  it("is laid out as JSON.stringify does, whatever the document and its white space", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
        const given = JSON.stringify(value, null, indent);
        expect(prettyJson(given, ENOUGH)).toBe(JSON.stringify(value, null, 2));
      }),
    );
  });

  it("keeps every digit of a number and every escape of a string", () => {
    const given = String.raw`{"id":12345678901234567890,"x":1.10e+2,"s":"\u00e9\"{,}\\"}`;
    expect(prettyJson(given, ENOUGH)).toBe(
      String.raw`{
  "id": 12345678901234567890,
  "x": 1.10e+2,
  "s": "\u00e9\"{,}\\"
}`,
    );
  });

  it("is given up on where it would become too long", () => {
    const deep = `${"[".repeat(30)}${"0,".repeat(100)}0${"]".repeat(30)}`;
    expect(prettyJson(deep, 5_000)).toBeNull();
    expect(prettyJson(deep, ENOUGH)).not.toBeNull();
  });

  it("does not take ever longer for what is no JSON", () => {
    const startedMs = Date.now();
    prettyJson(`"${"\\".repeat(100_001)}`, ENOUGH);
    prettyJson('"'.repeat(100_001), ENOUGH);
    expect(Date.now() - startedMs).toBeLessThan(1_000);
  });
});
