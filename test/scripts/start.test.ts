import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseArguments } from "../../scripts/start.ts";
import { ROOT } from "../../scripts/wrangler.ts";

describe("the arguments of npm start", () => {
  it("default to port 8787 and nothing for wrangler", () => {
    expect(parseArguments([])).toEqual({ port: 8787, envFiles: [], passedOn: [], help: false });
  });

  it.each([[["--port", "9001"]], [["--port=9001"]]])("take the port out: %j", (given) => {
    expect(parseArguments(given)).toMatchObject({ port: 9001, passedOn: [] });
  });

  it("pass everything else on, and know the env files", () => {
    const given = ["--env-file", "my.env", "--port", "0", "--persist-to=state", "--live-reload"];
    expect(parseArguments(given)).toEqual({
      port: 0,
      envFiles: [join(ROOT, "my.env")],
      passedOn: ["--env-file", "my.env", "--persist-to=state", "--live-reload"],
      help: false,
    });
  });

  it.each(["x", "-1", "65536", "1.5"])("refuse %s as a port", (port) => {
    expect(() => parseArguments(["--port", port])).toThrow("--port must be a number");
  });
});
