import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { unstable_getVarsForDev } from "wrangler";
import {
  DEV_VARS_EXAMPLE,
  firstOf,
  makeDevVars,
  readVars,
  writeVars,
} from "../../scripts/dev-vars.ts";
import { ROOT } from "../../scripts/wrangler.ts";

const EXAMPLE = join(ROOT, DEV_VARS_EXAMPLE);

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dev-vars-"));
  path = join(directory, ".dev.vars");
});
afterEach(() => rmSync(directory, { recursive: true }));

/** The variables of `wrangler dev --env-file`. */
function asWranglerReads(file: string): Record<string, unknown> {
  const bindings = unstable_getVarsForDev(undefined, [file], {}, undefined, true);
  return Object.fromEntries(
    Object.entries(bindings).map(([name, binding]) => [
      name,
      "value" in binding ? binding.value : binding,
    ]),
  );
}

describe(".dev.vars", () => {
  it("is made with random secrets and allows local receivers", () => {
    expect(makeDevVars(path, EXAMPLE)).toBe(true);
    const first = readVars(path);
    expect(first).toEqual({
      LEADTERRA_SIGNING_SECRETS: expect.stringMatching(/^whsec_[\w-]{43}$/),
      API_KEYS: expect.stringMatching(/^rk_[\w-]{43}$/),
      READ_ONLY_API_KEYS: expect.stringMatching(/^rk_[\w-]{43}$/),
      ALLOW_PRIVATE_DESTINATIONS: "true",
    });
    expect(first.API_KEYS).not.toBe(first.READ_ONLY_API_KEYS);

    rmSync(path);
    makeDevVars(path, EXAMPLE);
    expect(readVars(path).API_KEYS).not.toBe(first.API_KEYS);
  });

  it("shows every other name of the example as a comment", () => {
    makeDevVars(path, EXAMPLE);
    const text = readFileSync(path, "utf8");
    for (const name of Object.keys(readVars(EXAMPLE))) {
      expect(text).toMatch(new RegExp(`^(# )?${name}=`, "m"));
    }
    expect(text).toContain("# RETRY_SCHEDULE=1m 5m 30m 2h 8h\n");
  });

  it("is readable by its owner only", () => {
    makeDevVars(path, EXAMPLE);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("is never overwritten", () => {
    writeFileSync(path, "API_KEYS=my own\n");
    expect(makeDevVars(path, EXAMPLE)).toBe(false);
    expect(readFileSync(path, "utf8")).toBe("API_KEYS=my own\n");
  });

  it("counts as empty while it does not exist", () => {
    expect(readVars(path)).toEqual({});
  });
});

// D7 of the cases from the field: a value comes out as it went in, whatever stands in it and whatever wrote the file.
describe("an env file", () => {
  it("gives back what was written", () => {
    const vars = { A: "1s 1s 2s", B: "one, two", C: `it's # "quoted"`, D: "", E: "two\nlines" };
    writeVars(path, vars);
    expect(readVars(path)).toEqual(vars);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("keeps every dollar sign from what wrangler puts in its place", () => {
    const vars = {
      A: "pa$HOME",
      B: ["$", "{A}$$ $1 \\$A"].join(""),
      C: "it's a $5 `note`",
      D: "a\\b $ c",
    };
    writeVars(path, vars);
    expect(asWranglerReads(path)).toEqual(vars);
  });

  it("is read as it is meant when an editor of Windows wrote it: a byte order mark, CRLF", () => {
    writeFileSync(path, "\uFEFFAPI_KEYS=a$HOME\r\nALERT_URL='https://a.example/$1'\r\n");
    const vars = readVars(path);
    expect(vars).toEqual({ API_KEYS: "a$HOME", ALERT_URL: "https://a.example/$1" });
    const written = join(directory, "vars.env");
    writeVars(written, vars as Record<string, string>);
    expect(asWranglerReads(written)).toEqual(vars);
  });

  it.each(["ends with a \\", "all of ' \" `", "a\rreturn"])("refuses %j, naming it", (value) => {
    expect(() => writeVars(path, { MY_NAME: value })).toThrow("MY_NAME cannot be written");
  });
});

describe("the first of a list", () => {
  it.each([
    ["one", "one"],
    [" one , two", "one"],
    [",two", "two"],
    ["one\ntwo", "one"],
    ["\r\n one\r\ntwo,three", "one"],
    ["", undefined],
    [undefined, undefined],
  ])("of %j is %j", (list, first) => {
    expect(firstOf(list)).toBe(first);
  });
});
