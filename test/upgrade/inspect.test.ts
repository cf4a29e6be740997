import { describe, expect, it } from "vitest";
import { inspect } from "../../scripts/inspect.ts";
import { accountOf, releasedState } from "./released.ts";

const { directory } = releasedState("0.1.0");
const { webhooks } = accountOf("0.1.0");
const told = (name: string) => inspect(directory, String(webhooks[name])).join("\n");

describe("npm run inspect", () => {
  it("tells version, lease, head, health and what is due", () => {
    expect(told("waiting")).toMatch(/^version {4}1 \(no row\)$/m);
    expect(told("waiting")).toMatch(/^head {7}\{"seq":[1-9]\d*,"index":\d+\}$/m);
    expect(told("waiting")).not.toMatch(/behind/);
    expect(told("waiting")).toMatch(/^health .*"failuresInARow":3/m);
    expect(told("waiting").match(/^ {2}due .* attempts 1, last 500$/gm)).toHaveLength(3);
    expect(told("hanging")).toMatch(/^lease .*"attempts":\[\{"id":"evt_/m);
    expect(told("held")).toMatch(/^webhook .*paused$/m);
  });

  it("tells nothing secret", () => {
    expect(told("every-field")).not.toMatch(/whsec_|hidden|a-secret/);
  });

  it("says when there is no such object", () => {
    expect(() => inspect(directory, `wh_${"0".repeat(26)}`)).toThrow(/No object/);
  });
});
