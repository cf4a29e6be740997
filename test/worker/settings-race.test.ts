import { describe, expect } from "vitest";
import { eventually } from "../rig/eventually";
import {
  accept,
  alarmAt,
  deliverAll,
  deliveryOf,
  newEvents,
  patch,
  register,
  ring,
  settingsOf,
  subscriber,
  tally,
} from "../rig/worker/engine";
import { answering, clock, gate, holding, it, service } from "../rig/worker/fixture";
import { tablesOf } from "../rig/worker/objects";
import { api, leadterraSignature } from "../rig/worker/requests";

describe("a change of URL while an attempt is in flight", () => {
  it.each([
    [410, {}],
    [503, { "retry-after": "3600" }],
  ])("does not blame the new service for the old one's late %i", async (status, headers) => {
    const { id } = await register({ url: "https://old.example.com/in", retrySchedule: "1s 1s 1s" });
    const late = gate();
    service.answer = async ({ url }) => {
      if (!url.includes("old.example")) return answering(204)();
      await late.opened;
      return answering(status, { headers })();
    };
    const [event] = await newEvents(1);
    await accept(
      id,
      [event].flatMap((each) => each ?? []),
    );
    const running = ring(subscriber(id));
    await eventually(() => expect(service.requests).toHaveLength(1));
    expect((await patch(id, { url: "https://new.example.com/in" })).status).toBe(200);
    late.open();
    await running;
    clock.advance(2_000);
    await deliverAll(id, clock);
    expect(await settingsOf(id)).toMatchObject({ status: "active", statusReason: null });
    expect(await deliveryOf(id, event?.id ?? "")).toMatchObject({
      status: "delivered",
      attempts: 2,
    });
  });
});

describe("a rate limit that comes while the webhook sends", () => {
  it.each([
    ["where there was none", null],
    ["after a faster one", 2],
  ])("keeps what is next, and says until when: %s", async (_, rateLimit) => {
    const { id } = await register({ rateLimit });
    await accept(id, await newEvents(1));
    await deliverAll(id, clock);
    const [first] = service.requests;
    expect((await patch(id, { rateLimit: 0.01 })).status).toBe(200);
    const [next] = await newEvents(1);
    await accept(
      id,
      [next].flatMap((each) => each ?? []),
    );
    await deliverAll(id, clock);
    const opensAtMs = (first?.atMs ?? 0) + 100_000;
    const waits = await deliveryOf(id, next?.id ?? "");
    expect(waits).toMatchObject({ status: "pending", waitingFor: "rate_limit" });
    expect(Math.abs(Date.parse(waits.nextAttemptAt ?? "") - opensAtMs)).toBeLessThan(1_000);
    clock.advance(101_000);
    await deliverAll(id, clock);
    expect(await deliveryOf(id, next?.id ?? "")).toMatchObject({ status: "delivered" });
  });
});

describe("what is answered while six attempts are in flight and more wait", () => {
  /** Six hang until the gate is opened; six more are due. */
  async function busy() {
    const webhook = await register();
    const late = holding();
    await accept(webhook.id, await newEvents(12));
    const running = ring(subscriber(webhook.id));
    await eventually(() => expect(service.requests).toHaveLength(6));
    return { ...webhook, late, running };
  }

  it("a rotation without grace signs all that starts afterwards, and nothing else", async () => {
    const { id, signingSecret, late, running } = await busy();
    const rotated = await api("POST", `/v1/webhooks/${id}/rotate-secret`, {
      gracePeriodSeconds: 0,
    });
    expect(rotated.status).toBe(200);
    const { webhook } = await rotated.json<{ webhook: { signingSecret: string } }>();
    late.open();
    await running;
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(12);
    const signed = await Promise.all(
      service.requests.map(async ({ headers, body }) => {
        const signature = headers.get("x-leadterra-signature");
        const secrets = [signingSecret, webhook.signingSecret];
        const all = await Promise.all(secrets.map((each) => leadterraSignature(body, each)));
        return all.indexOf(signature ?? "");
      }),
    );
    expect(signed).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    expect(await tally(id)).toEqual({ delivered: 12 });
  });

  it("a deletion starts nothing more, and leaves nothing behind", async () => {
    const { id, late, running } = await busy();
    expect((await api("DELETE", `/v1/webhooks/${id}`)).status).toBe(204);
    late.open();
    await running;
    await ring(subscriber(id));
    expect(service.requests).toHaveLength(6);
    expect(await tablesOf(subscriber(id))).toEqual(["settings"]);
    expect(await alarmAt(subscriber(id))).toBeNull();
  });
});
