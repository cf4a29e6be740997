import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { curlOf, quoted } from "../../src/dashboard/deliveries/curl.ts";

function shell(command: string): string {
  return execFileSync("/bin/sh", ["-c", command], { encoding: "utf8" });
}

describe("a word of the shell", () => {
  it("is what it was made of, whatever that is", () => {
    const word = fc.string({ unit: "binary" }).map((text) => text.replaceAll("\0", ""));
    fc.assert(
      fc.property(fc.array(word, { maxLength: 20 }), (words) => {
        const said = shell(`printf '%s\\0' ${words.map(quoted).join(" ")} ''`);
        expect(said).toBe([...words, ""].map((text) => `${text}\0`).join(""));
      }),
      { numRuns: 30 },
    );
  });
});

describe("a request as a curl command", () => {
  it("passes each header and the body as they are", () => {
    const body = `{"a":"it's $HOME \`id\` \\ \\n"}\n`;
    const command = curlOf({
      url: "https://crm.example.com/in?a=[1-3]&b",
      headers: [["x-a", "';id;'"]],
      body,
    });
    const said = shell(command.replace(/^curl/, "printf '%s\\0'"));
    expect(said.split("\0").slice(0, -1)).toEqual([
      "--globoff",
      "--request",
      "POST",
      "https://crm.example.com/in?a=[1-3]&b",
      "--header",
      "x-a: ';id;'",
      "--data-binary",
      body,
    ]);
  });
});
