import { describe, expect, it } from "vitest";
import {
  DOCUMENTED_REPLY,
  EVENT_KINDS,
  exampleEvent,
  RETRY_WAITS_MS,
  type SendOptions,
  send,
  sign,
} from "../../scripts/leadterra.ts";
import {
  type Behaviour,
  hanging,
  scripted,
  startReceiver,
  verifySignature,
} from "../../scripts/receiver.ts";

const SECRET = "whsec_a_secret_of_leadterra";

/** Sends one event to a receiver that behaves so; the clock only writes down how long it was asked to wait. */
async function sendTo(behaviour: Behaviour, options: SendOptions = {}) {
  const receiver = await startReceiver({ behaviour });
  const waitsMs: number[] = [];
  const sleep = async (ms: number) => {
    waitsMs.push(ms);
  };
  try {
    const sent = await send(receiver.url, DOCUMENTED_REPLY, SECRET, { sleep, ...options });
    return { sent, waitsMs, requests: receiver.requests };
  } finally {
    await receiver.close();
  }
}

describe("Leadterra's signature", () => {
  it("is the hex HMAC-SHA256 of RFC 4231, test case 2", () => {
    expect(sign("what do ya want for nothing?", "Jefe")).toBe(
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    );
  });

  it("passes the check that Leadterra's page shows", () => {
    expect(verifySignature(DOCUMENTED_REPLY, sign(DOCUMENTED_REPLY, SECRET), SECRET)).toBe(true);
  });

  it("does not pass it for another body or another secret", () => {
    const signature = sign(DOCUMENTED_REPLY, SECRET);
    expect(verifySignature(`${DOCUMENTED_REPLY} `, signature, SECRET)).toBe(false);
    expect(verifySignature(DOCUMENTED_REPLY, signature, `${SECRET}x`)).toBe(false);
  });
});

describe("example events", () => {
  it.each(EVENT_KINDS)("carry the envelope and an id of their own: %s", (kind) => {
    const nowMs = Date.parse("2026-11-02T10:00:00Z");
    const first = exampleEvent(kind, { nowMs });
    expect(first).toMatchObject({ event: kind, timestamp: "2026-11-02T10:00:00.000Z" });
    expect(first.data.campaignId).toMatch(/^camp_[0-9A-F]{16}$/);
    expect(exampleEvent(kind, { nowMs })).not.toEqual(first);
  });

  it("carry the fields that the page names", () => {
    expect(exampleEvent("message.sent").data).toMatchObject({
      messageId: expect.stringMatching(/^msg_/),
      sequenceStep: 1,
    });
    expect(exampleEvent("message.bounced", { bounceType: "soft" }).data).toMatchObject({
      messageId: expect.stringMatching(/^msg_/),
      bounceType: "soft",
      bounceReason: expect.any(String),
    });
    expect(exampleEvent("reply.received", { classification: "not_interested" }).data).toMatchObject(
      {
        lead: { email: expect.stringContaining("@") },
        reply: { id: expect.stringMatching(/^rpl_/), classification: "not_interested" },
      },
    );
  });

  it("include the documented reply", () => {
    expect(JSON.parse(DOCUMENTED_REPLY)).toMatchObject({
      event: "reply.received",
      data: { reply: { id: "rpl_01HZB3MNPW6XT8QA", classification: "interested" } },
    });
  });
});

describe("sending", () => {
  it("posts the raw body with its signature", async () => {
    const { sent, waitsMs, requests } = await sendTo(() => 202);
    expect(sent).toMatchObject({
      accepted: true,
      attempts: [{ number: 1, status: 202, nextInMs: null }],
    });
    expect(waitsMs).toEqual([]);
    const [request] = requests;
    expect(request?.method).toBe("POST");
    expect(request?.headers["content-type"]).toBe("application/json");
    expect(request?.headers["x-leadterra-signature"]).toBe(sign(DOCUMENTED_REPLY, SECRET));
    expect(request?.body.toString()).toBe(DOCUMENTED_REPLY);
  });

  it("gives up after retries at 1 m, 5 m, 30 m, 2 h and 8 h", async () => {
    const { sent, waitsMs, requests } = await sendTo(() => 500);
    expect(waitsMs).toEqual([60_000, 300_000, 1_800_000, 7_200_000, 28_800_000]);
    expect(waitsMs).toEqual(RETRY_WAITS_MS);
    expect(sent.accepted).toBe(false);
    expect(sent.attempts.map(({ nextInMs }) => nextInMs)).toEqual([...waitsMs, null]);
    expect(requests).toHaveLength(6);
  });

  it("counts everything but 2xx as a failure, follows no redirect, and stops at the first success", async () => {
    const moved = { status: 302, headers: { Location: "/elsewhere" } };
    const { sent, waitsMs, requests } = await sendTo(scripted([404, moved, 204]));
    expect(sent.accepted).toBe(true);
    expect(sent.attempts.map(({ status }) => status)).toEqual([404, 302, 204]);
    expect(waitsMs).toEqual([60_000, 300_000]);
    expect(requests.map(({ path }) => path)).toEqual(["/", "/", "/"]);
  });

  it("counts no answer in time, and no connection, as failures", async () => {
    const hung = await sendTo(hanging, { timeoutMs: 50, waitsMs: [] });
    expect(hung.sent.attempts).toMatchObject([{ status: null, error: "timeout" }]);
    const cut = await sendTo(() => "reset", { waitsMs: [] });
    expect(cut.sent.attempts).toMatchObject([{ status: null, error: "connection" }]);
  });

  it("tells of each attempt as it ends", async () => {
    const seen: (number | null)[] = [];
    await sendTo(scripted([503]), { onAttempt: ({ status }) => seen.push(status) });
    expect(seen).toEqual([503, 200]);
  });
});
