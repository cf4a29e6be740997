import { Webhook } from "standardwebhooks";
import { afterEach, describe, expect, it } from "vitest";
import { sign } from "../../scripts/leadterra.ts";
import {
  type Behaviour,
  checkSignatures,
  describeSignatures,
  failing,
  failingEachEvent,
  good,
  hanging,
  type Receiver,
  scripted,
  startReceiver,
} from "../../scripts/receiver.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAbcDEfghIJk=";
const OTHER_SECRET = "whsec_AAAQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAbcDEfghIJk=";
const BODY = '{"event":"reply.received","data":{"note":"– 👍"}}';
const NOW_MS = Date.parse("2026-11-02T10:00:00Z");

/** The headers of a delivery; the library of Standard Webhooks signs. */
function deliveryHeaders(secret = SECRET, atMs = NOW_MS): Record<string, string> {
  return {
    "x-leadterra-signature": sign(BODY, secret),
    "webhook-id": "evt_QNH783WW52FCCN914ZB1QAYTW0",
    "webhook-timestamp": String(atMs / 1_000),
    "webhook-signature": new Webhook(secret).sign(
      "evt_QNH783WW52FCCN914ZB1QAYTW0",
      new Date(atMs),
      BODY,
    ),
  };
}

function check(headers: Record<string, string>, body = BODY) {
  return checkSignatures(Buffer.from(body), headers, SECRET, NOW_MS);
}

describe("the check of signatures", () => {
  it("accepts what the library of Standard Webhooks and Leadterra's code sign", () => {
    expect(check(deliveryHeaders())).toEqual({ leadterra: true, standard: true });
  });

  it("refuses a body with one byte changed", () => {
    expect(check(deliveryHeaders(), BODY.replace("note", "Note"))).toEqual({
      leadterra: false,
      standard: false,
    });
  });

  it("refuses the signatures of another secret", () => {
    expect(check(deliveryHeaders(OTHER_SECRET))).toEqual({ leadterra: false, standard: false });
  });

  it("refuses missing signatures, and ones of another length", () => {
    expect(check({})).toEqual({ leadterra: false, standard: false });
    const headers = deliveryHeaders();
    expect(
      check({ ...headers, "x-leadterra-signature": "00", "webhook-signature": "v1,AA==" }),
    ).toEqual({ leadterra: false, standard: false });
  });

  it("accepts one good signature among several, as during a rotation", () => {
    const old = deliveryHeaders(OTHER_SECRET)["webhook-signature"];
    const headers = deliveryHeaders();
    headers["webhook-signature"] = `${old} ${headers["webhook-signature"]}`;
    expect(check(headers).standard).toBe(true);
  });

  it("binds the id and the time, and allows five minutes of difference", () => {
    const headers = deliveryHeaders();
    expect(check({ ...headers, "webhook-id": "evt_other" }).standard).toBe(false);
    expect(check({ ...headers, "webhook-timestamp": "1793613601" }).standard).toBe(false);
    expect(check(deliveryHeaders(SECRET, NOW_MS - 299_000)).standard).toBe(true);
    expect(check(deliveryHeaders(SECRET, NOW_MS - 301_000)).standard).toBe(false);
    expect(check(deliveryHeaders(SECRET, NOW_MS + 301_000)).standard).toBe(false);
  });

  it("is told in words", () => {
    expect(describeSignatures(null)).toBe("signatures not checked");
    expect(describeSignatures({ leadterra: true, standard: true })).toBe("both signatures verify");
    expect(describeSignatures({ leadterra: true, standard: false })).toBe(
      "WRONG webhook-signature",
    );
  });
});

describe("a receiver", () => {
  let receiver: Receiver;
  afterEach(() => receiver.close());

  async function start(behaviour: Behaviour, secret?: string): Promise<void> {
    receiver = await startReceiver({ behaviour, ...(secret === undefined ? {} : { secret }) });
  }

  async function deliver(headers: Record<string, string> = {}, body: BodyInit = BODY) {
    const response = await fetch(`${receiver.url}/in?a=1`, { method: "POST", headers, body });
    return response.status;
  }

  it("records method, path, headers, time and the raw bytes", async () => {
    await start(good);
    const bytes = Uint8Array.from([0, 255, 13, 10, 0xc3]);
    expect(await deliver({ "webhook-id": "evt_1", "x-own": "yes" }, bytes)).toBe(200);
    const [request] = receiver.requests;
    expect(request).toMatchObject({
      number: 1,
      method: "POST",
      path: "/in?a=1",
      eventId: "evt_1",
      signatures: null,
      answer: 200,
    });
    expect(request?.headers["x-own"]).toBe("yes");
    expect(Buffer.from(bytes).equals(request?.body ?? Buffer.of())).toBe(true);
    expect(Math.abs(Date.now() - (request?.atMs ?? 0))).toBeLessThan(5_000);
  });

  it("checks signatures from when it knows the secret", async () => {
    await start(good);
    const nowMs = Math.floor(Date.now() / 1_000) * 1_000;
    await deliver(deliveryHeaders(SECRET, nowMs));
    receiver.secret = SECRET;
    await deliver(deliveryHeaders(SECRET, nowMs));
    await deliver(deliveryHeaders(SECRET, nowMs), BODY.replace("note", "Note"));
    expect(receiver.requests.map(({ signatures }) => signatures)).toEqual([
      null,
      { leadterra: true, standard: true },
      { leadterra: false, standard: false },
    ]);
  });

  it("can fail its first requests", async () => {
    await start(failing(2, 500));
    expect([await deliver(), await deliver(), await deliver()]).toEqual([500, 500, 200]);
  });

  it("can fail the first requests for each event", async () => {
    await start(failingEachEvent(1));
    const statuses = [];
    for (const id of ["evt_1", "evt_2", "evt_1", "evt_2"])
      statuses.push(await deliver({ "webhook-id": id }));
    expect(statuses).toEqual([503, 503, 200, 200]);
  });

  it("can follow a list of answers, and is good when it ends", async () => {
    await start(scripted([410, { status: 429, headers: { "Retry-After": "1" } }, "reset"]));
    expect([await deliver(), await deliver()]).toEqual([410, 429]);
    await expect(deliver()).rejects.toThrow();
    expect(await deliver()).toBe(200);
  });

  it("can hang, and still be closed", async () => {
    await start(hanging);
    const answer = deliver().then(
      () => "answered",
      () => "cut",
    );
    await expect.poll(() => receiver.requests.length).toBe(1);
    await receiver.close();
    expect(await answer).toBe("cut");
  });
});
