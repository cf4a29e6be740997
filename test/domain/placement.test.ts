import { describe, expect, it } from "vitest";
import { journalDayMs, journalName, journalNames, webhookOf } from "../../src/domain/placement";

const ID = "wh_01HZB3MNPW6XT8QA0123456789";

describe("the name of an object", () => {
  it("of a Subscriber is the id of its webhook", () => {
    expect(webhookOf(ID)).toBe(ID);
  });

  it.each([undefined, "", "wh_1", `${ID}/2`, "registry"])("that is %o is no webhook's", (name) => {
    expect(() => webhookOf(name)).toThrow("no webhook");
  });

  it("of a Journal is its UTC day", () => {
    expect(journalName(Date.UTC(2026, 10, 23, 23, 59, 59, 999))).toBe("2026-11-23");
    expect(journalDayMs("2026-11-23")).toBe(Date.UTC(2026, 10, 23));
  });

  it.each([undefined, "", "2026-11-23T05", "2026-02-30", "2026-13-01", "day"])(
    "that is %o is no day's",
    (name) => {
      expect(() => journalDayMs(name)).toThrow("no day");
    },
  );

  it("is given for each day of a span, newest first", () => {
    const names = journalNames(Date.UTC(2026, 1, 27, 12), Date.UTC(2026, 2, 1));
    expect(names).toEqual(["2026-03-01", "2026-02-28", "2026-02-27"]);
  });
});
