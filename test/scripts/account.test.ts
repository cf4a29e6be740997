import { describe, expect, it } from "vitest";
import { accountOf, type Side } from "../../scripts/account.ts";
import type { ReceivedRequest } from "../../scripts/receiver.ts";

const EVENT = { id: "evt_1", event: "message.sent", body: '{"a": 1}' };

function request(answer: number, changes: Partial<ReceivedRequest> = {}): ReceivedRequest {
  return {
    number: 1,
    numberOfEvent: 1,
    method: "POST",
    path: "/",
    headers: {},
    eventId: EVENT.id,
    body: Buffer.from(EVENT.body),
    atMs: 0,
    signatures: { leadterra: true, standard: true },
    answer,
    ...changes,
  };
}

/** A service that fails once and then takes the event; all is well. */
const BALANCED: Side = {
  name: "mailer",
  expected: [EVENT],
  answers: [503, 200],
  requests: [request(503), request(200)],
  reported: [
    {
      eventId: EVENT.id,
      status: "delivered",
      attempts: 2,
      attemptLog: [
        { number: 1, statusCode: 503 },
        { number: 2, statusCode: 200 },
      ],
    },
  ],
};

function problemsWith(changes: Partial<Side>): string {
  return accountOf({ ...BALANCED, ...changes }).problems.join("\n");
}

describe("the account", () => {
  it("finds nothing when each event came once, whole and signed", () => {
    expect(accountOf(BALANCED)).toEqual({
      name: "mailer",
      expected: 1,
      received: 1,
      duplicates: 0,
      requests: 2,
      verified: 2,
      identical: 2,
      problems: [],
    });
  });

  it("finds an event that never came", () => {
    expect(problemsWith({ requests: [request(503)] })).toContain("received 0 of 1 events");
    expect(problemsWith({ requests: [], reported: [] })).toContain("has status none");
  });

  it("finds an event that came twice", () => {
    const requests = [...BALANCED.requests, request(200)];
    expect(problemsWith({ requests })).toContain("1 events more than once");
  });

  it("finds an event that was not asked for, here and at the relay", () => {
    const stranger = request(200, { eventId: "evt_2" });
    expect(problemsWith({ requests: [...BALANCED.requests, stranger] })).toContain("another event");
    const reported = BALANCED.reported.map((delivery) => ({ ...delivery, eventId: "evt_2" }));
    expect(problemsWith({ reported: [...BALANCED.reported, ...reported] })).toContain(
      "a delivery of evt_2",
    );
  });

  it("finds a changed byte", () => {
    const requests = [request(503), request(200, { body: Buffer.from('{"a":1}') })];
    expect(problemsWith({ requests })).toContain("1 requests carry other bytes");
  });

  it.each([{ leadterra: false, standard: true }, { leadterra: true, standard: false }, null])(
    "finds a signature that does not verify: %j",
    (signatures) => {
      const requests = [request(503), request(200, { signatures })];
      expect(problemsWith({ requests })).toContain("a signature of 1 requests");
    },
  );

  it("finds a relay that reports other attempts", () => {
    const reported = BALANCED.reported.map((delivery) => ({
      ...delivery,
      attempts: 1,
      attemptLog: delivery.attemptLog.slice(1),
    }));
    const problems = problemsWith({ reported });
    expect(problems).toContain("message.sent has attempts 1, not 2");
    expect(problems).toContain("has an attempt log of 200, not 503 200");
  });
});
