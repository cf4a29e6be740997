/** The dashboard's style, its pages and its script know the same classes and tokens. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "../../scripts/wrangler.ts";

const STYLE = read("public/dashboard/style.css").replaceAll(/\/\*.*?\*\//gs, "");
const PAGES = readdirSync(join(ROOT, "src/dashboard"), { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name))
  .map((name) => read(`src/dashboard/${name}`));
const DRAWN = [...PAGES, read("public/dashboard/live.js")].join("\n");

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function found(text: string, pattern: RegExp): Set<string> {
  return new Set([...text.matchAll(pattern)].map(([, name = ""]) => name));
}

it("has no class that neither a page nor the script gives", () => {
  const styled = [...found(STYLE, /\.([a-z][\w-]*)/g)];
  expect(styled.length).toBeGreaterThan(40);
  const isGiven = (name: string) => new RegExp(`["'\` ]${name}["'\` ]`).test(DRAWN);
  expect(styled.filter((name) => !isGiven(name))).toEqual([]);
});

it("has every class that a page gives", () => {
  const styled = found(STYLE, /\.([a-z][\w-]*)/g);
  const given = [...found(DRAWN, /class="([^"]+)"/g)].flatMap((names) => names.split(" "));
  expect(given.length).toBeGreaterThan(40);
  expect(given.filter((name) => !styled.has(name))).toEqual([]);
});

it("says each colour once: in a token, and each token is used", () => {
  const [, tokens = "", rest = ""] = /(:root \{.*?\n\})(.*)/s.exec(STYLE) ?? [];
  const named = found(tokens, /(--[\w-]+):/g);
  expect(found(STYLE, /var\((--[\w-]+)\)/g)).toEqual(named);
  expect([...rest.matchAll(/#[\da-f]{6}|light-dark\(/g)].map(([colour]) => colour)).toEqual([]);
});

it("names each rule once outside of the widths", () => {
  const selectors = STYLE.split("\n}").map((rule) => rule.split("{")[0]?.trim() ?? "");
  const twice = selectors.filter((each, index) => each !== "" && selectors.indexOf(each) < index);
  expect(twice.filter((each) => !each.startsWith("@"))).toEqual([]);
});
