import { describe, expect, it } from "vitest";
import { accountOf, type Request } from "../rig/account.ts";

const BODY = Buffer.from("{}");
const CRASHED_AT_MS = 1_000;

/** @param life that it was made in; the crash is the end of life 0. */
function request(eventId: string, number: number, life: number, answer: number): Request {
  return {
    number,
    numberOfEvent: number,
    method: "POST",
    path: "/",
    headers: { "x-relay-attempt": String(number) },
    eventId,
    body: BODY,
    atMs: life === 0 ? CRASHED_AT_MS - 10 : CRASHED_AT_MS + 10,
    signatures: { leadterra: true, standard: true },
    answer,
    life,
  };
}

/** What a webhook with six slots got: so many succeeded just before a crash, and were asked again after it. */
function repeated(count: number, answers: readonly number[]) {
  const ids = Array.from({ length: count }, (_, index) => `evt_${index}`);
  const requests = ids.flatMap((id) => [
    request(id, 1, 0, 200),
    ...answers.map((answer, index) => request(id, index + 2, 1, answer)),
  ]);
  const account = accountOf({
    name: "mailer",
    owed: ids.map((id) => ({ id, body: BODY })),
    ordered: false,
    hangs: false,
    requests,
    reported: [],
    crashes: [CRASHED_AT_MS],
  });
  return { ...account, tooMany: account.problems.filter((problem) => /crash may/.test(problem)) };
}

describe("the account of a crash", () => {
  it("allows two deliveries a slot to be repeated, and no more", () => {
    expect(repeated(12, [200])).toMatchObject({ worstCrash: 12, tooMany: [] });
    expect(repeated(13, [200]).tooMany).toEqual([
      "mailer: was repeated more than a crash may (12), such as 13 after crash 1, when it was busy",
    ]);
  });

  it("counts a repeat once, though it fails and is tried again", () => {
    expect(repeated(12, [500, 200])).toMatchObject({ worstCrash: 12, tooMany: [] });
  });
});
