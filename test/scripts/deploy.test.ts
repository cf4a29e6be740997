import { describe, expect, it } from "vitest";
import { addressesIn } from "../../scripts/deploy.ts";
import { problemsOfVars } from "../../scripts/deploy-check.ts";
import { optionOf } from "../../scripts/wrangler.ts";

describe("the check before a deploy", () => {
  it("finds nothing in the defaults, nor in good values", async () => {
    expect(await problemsOfVars({})).toEqual([]);
    expect(await problemsOfVars({ RETRY_SCHEDULE: "1s 2m", RETENTION: "90d" })).toEqual([]);
  });

  it.each([
    ["RETRY_SCHEDULE", "1m, 5m"],
    ["DELIVERY_TIMEOUT", "10"],
    ["IDEMPOTENCY_TTL", "5s"],
    ["RETENTION", "forever"],
    ["ALLOW_PRIVATE_DESTINATIONS", "yes"],
    ["SILENCE_ALERT", "a day"],
  ])("names %s when it does not parse", async (name, value) => {
    expect(await problemsOfVars({ [name]: value })).toEqual([
      expect.stringMatching(new RegExp(`^${name} must be`)),
    ]);
  });

  it("names what is missing where people are to sign in by Access", async () => {
    const problems = await problemsOfVars({ DASHBOARD_ACCESS: "full" });
    expect(problems.map((problem) => problem.split(" ")[0])).toEqual([
      "ACCESS_TEAM",
      "ACCESS_AUDIENCE",
    ]);
    const whole = { ACCESS_TEAM: "https://a.cloudflareaccess.com", ACCESS_AUDIENCE: "tag" };
    expect(await problemsOfVars({ DASHBOARD_ACCESS: "read-only", ...whole })).toEqual([]);
  });

  it("refuses a number where text is read", async () => {
    expect((await problemsOfVars({ IDEMPOTENCY_TTL: 0 })).join()).toContain("put quotes around it");
  });

  it("refuses a secret among the variables, without showing it", async () => {
    const problems = await problemsOfVars({ API_KEYS: "a-key-that-is-long-enough" });
    expect(problems.join()).toContain("wrangler secret put API_KEYS");
    expect(problems.join()).not.toContain("long-enough");
  });

  it("refuses a name that nobody reads", async () => {
    expect((await problemsOfVars({ RETRY_SHEDULE: "1m" })).join()).toContain("misspelt");
  });
});

describe("an option", () => {
  it.each([
    [["--env", "staging"], "staging"],
    [["-e", "staging"], "staging"],
    [["--dry-run", "--env=a=b"], "a=b"],
    [["--environment", "x"], undefined],
  ])("is found in %j", (args, value) => {
    expect(optionOf(args, ["--env", "-e"])).toBe(value);
  });
});

describe("wrangler's report", () => {
  it("gives the addresses, and none of the other targets", () => {
    const lines = [
      { type: "wrangler-session" },
      {
        type: "deploy",
        targets: [
          "https://leadterra-relay.example.workers.dev",
          "relay.example.com (custom domain)",
          "schedule: */5 * * * *",
          "Producer for leadterra-events",
          "example.com/hooks/* (zone name: example.com)",
        ],
      },
    ];
    const report = `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`;
    expect(addressesIn(report)).toEqual([
      "https://leadterra-relay.example.workers.dev",
      "https://relay.example.com",
    ]);
  });
});
