import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseArguments, placeOf, variablesOf } from "../../scripts/start.ts";
import { ROOT } from "../../scripts/wrangler.ts";

describe("the variables of npm start", () => {
  it("stand in wrangler.toml, in files, and with --var, and the last of them counts", () => {
    const directory = mkdtempSync(join(tmpdir(), "start-variables-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const at = (name: string, text: string) => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    const config = at(
      "wrangler.toml",
      `[vars]\n# RETENTION = "1d"\nRETENTION = "2d" # of two\n  SILENCE_ALERT='off'\nACCESS_TEAM = 7\n\n[env.eu.vars]\nRETENTION = "3d"\n[[x]]\nRETENTION = "4d"\n`,
    );
    const files = [at("a.env", "API_KEYS=a\nRETENTION=5d\n"), at("b.env", "API_KEYS=b\n")];
    const of = (args: string[], given: string[] = []) =>
      variablesOf(parseArguments(["--config", config, ...args]), given);
    expect(of([])).toEqual([
      { where: config, vars: { RETENTION: "2d", SILENCE_ALERT: "off" } },
      { where: "--var", vars: {} },
    ]);
    const options = ["--env=eu", "--var", "A:b:c", "B:", "--x", "C:1", "--var=D:1"];
    expect(of(options, files)).toEqual([
      { where: config, vars: { RETENTION: "3d" } },
      { where: files[0], vars: { API_KEYS: "a", RETENTION: "5d" } },
      { where: files[1], vars: { API_KEYS: "b" } },
      { where: "--var", vars: { A: "b:c", B: "", D: "1" } },
    ]);
  });
});

describe("what is wrong", () => {
  const set = [
    { where: "wrangler.toml", vars: { RETENTION: "2d" } },
    { where: "a.env", vars: { API_KEYS: "a", RETENTION: "5d" } },
  ];
  it.each([
    ["in the last place that sets it", "RETENTION", "a.env"],
    ["in the env files, where nothing sets it", "LEADTERRA_SIGNING_SECRETS", null],
    ["in wrangler.toml, where it is a binding", "LANE", "wrangler.toml"],
  ])("is mended %s", (_, name, where) => {
    expect(placeOf(name, set)).toBe(where);
  });
});

// D5 of the cases from the field: own options give way, or are named as impossible, and why.
describe("the arguments of npm start", () => {
  it("default to port 8787 of this machine alone, and nothing for wrangler", () => {
    expect(parseArguments([])).toEqual({
      port: 8787,
      ip: "127.0.0.1",
      envFiles: [],
      persistTo: join(ROOT, ".wrangler/state"),
      config: join(ROOT, "wrangler.toml"),
      rawLog: false,
      passedOn: [],
    });
  });

  it.each([[["--port", "9001"]], [["--port=9001"]]])("take the port out: %j", (given) => {
    expect(parseArguments(given)).toMatchObject({ port: 9001, passedOn: [] });
  });

  it("take out the address to listen on: wrangler must not be given two", () => {
    expect(parseArguments(["--ip", "0.0.0.0", "--live-reload"])).toMatchObject({
      ip: "0.0.0.0",
      passedOn: ["--live-reload"],
    });
  });

  it("know the env files and the state, and pass everything else on in its order", () => {
    const given = [
      "--env-file",
      "my.env",
      "--x",
      "1",
      "--env-file=b.env",
      "--persist-to=state",
      "--y",
    ];
    expect(parseArguments(given)).toMatchObject({
      envFiles: [join(ROOT, "my.env"), join(ROOT, "b.env")],
      persistTo: join(ROOT, "state"),
      passedOn: ["--x", "1", "--y"],
    });
  });

  it.each([
    ["alone", ["stray"]],
    ["behind the value of an option", ["--port", "0", "stray"]],
    ["behind one of wrangler's", ["-e", "x", "stray"]],
    ["behind a value that stands in the option's own word", ["--env=x", "--y=1", "stray"]],
    ["behind an env file", ["--env-file", "a.env", "stray"]],
    ["behind an option without a value", ["--raw-log", "stray"]],
  ])("refuse a word that belongs to no option, %s", (_, given) => {
    expect(() => parseArguments(given)).toThrow('"stray" is one word too many.');
  });

  it.each([[["--var", "A:1", "B:2"]], [["--define", "A:1", "B:2"]], [["-c", "w.toml"]]])(
    "leave %j to wrangler",
    (given) => {
      expect(parseArguments(given).passedOn).toEqual(given);
    },
  );

  it("keep the state beside another wrangler.toml, as wrangler does", () => {
    expect(parseArguments(["-c", "/srv/relay/wrangler.toml"])).toMatchObject({
      persistTo: "/srv/relay/.wrangler/state",
      passedOn: ["-c", "/srv/relay/wrangler.toml"],
    });
  });

  it.each(["x", "-1", "65536", "1.5", ""])("refuse %j as a port", (port) => {
    expect(() => parseArguments([`--port=${port}`])).toThrow(/^--port (must be|needs)/);
  });

  it.each([["x"], ["-1"], ["65536"]])("refuse %j as the inspector's port", (port) => {
    expect(() => parseArguments([`--inspector-port=${port}`])).toThrow(/^--inspector-port must be/);
  });

  it.each([
    ["--port"],
    ["--port", "--live-reload"],
    ["--ip"],
    ["--env-file"],
    ["--persist-to", "--port"],
  ])("refuse %s %s without its value", (...given) => {
    expect(() => parseArguments(given)).toThrow(/^--[a-z-]+ needs a value/);
  });

  it.each([
    ["--local-protocol", "https"],
    ["--local-protocol=https", ""],
    ["--https-key-path", "key.pem"],
    ["--remote", ""],
    ["--no-remote", ""],
    ["--cwd", "/tmp"],
  ])("name %s %s as impossible, and why", (option, value) => {
    expect(() => parseArguments([option, value])).toThrow("cannot be had here");
  });
});
