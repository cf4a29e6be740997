/** `service:NAME/path`: a webhook that goes to another Worker or a private network through a binding. */
import { describe, expect, vi } from "vitest";
import { Attempts } from "../../src/actors/subscriber/attempt";
import { newWebhookId } from "../../src/domain/ids";
import { newWebhook } from "../../src/domain/webhook";
import {
  deliverAll,
  deliveryOf,
  register as hook,
  newEvent,
  ring,
  subscriber,
} from "../rig/worker/engine";
import { clock, it, MINUTE } from "../rig/worker/fixture";
import { consume } from "../rig/worker/queue";
import { API_KEY, bytesOf, callWith } from "../rig/worker/requests";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

function webhookFor(url: string) {
  const id = newWebhookId(1_700_000_000_000, new Uint8Array(10));
  const draft = {
    url,
    events: ["*"],
    description: null,
    filter: null,
    headers: { "x-team": "sales" },
    rateLimit: null,
    ordered: false,
    retrySchedule: null,
    relayHost: "relay.example",
  };
  return newWebhook(draft, { id, secret: SECRET, nowMs: 1_700_000_000_000 });
}

function register(bindings: object, url: string): Promise<Response> {
  return callWith(bindings, "/v1/webhooks", {
    method: "POST",
    headers: { authorization: `Bearer ${API_KEY}` },
    body: JSON.stringify({ url, events: ["*"] }),
  });
}

const SENDING = {
  eventId: "evt_QNH783WW52FCCN914ZB1QAYTW0",
  event: "reply.received",
  body: bytesOf({ event: "reply.received", data: {} }),
  attempt: 1,
};

describe("a webhook of a bound service", () => {
  it("gets the delivery through its binding, signed like any other, and nothing goes out otherwise", async () => {
    const outside = vi.spyOn(globalThis, "fetch");
    const requests: Request[] = [];
    const CRM = {
      fetch: async (url: string, init: RequestInit) => {
        requests.push(new Request(url, init));
        return new Response("taken", { status: 202 });
      },
    };
    const attempts = new Attempts({ CRM } as unknown as Env);
    const answer = await attempts.make(webhookFor("service:CRM/in?a=b"), SENDING);
    expect(answer).toMatchObject({ error: null, statusCode: 202, responseBody: "taken" });
    expect(outside).not.toHaveBeenCalled();
    const [request] = requests;
    expect(new URL(request?.url ?? "").pathname).toBe("/in");
    expect(new URL(request?.url ?? "").search).toBe("?a=b");
    expect(request?.headers.get("x-leadterra-signature")).toMatch(/^[0-9a-f]{64}$/);
    expect(request?.headers.get("webhook-signature")).toMatch(/^v1,/);
    expect(request?.headers.get("x-team")).toBe("sales");
    expect(new Uint8Array((await request?.arrayBuffer()) ?? new ArrayBuffer(0))).toEqual(
      SENDING.body,
    );
  });

  it("is reached by a test, too, while a variable that does not parse holds deliveries", async () => {
    const CRM = { fetch: async () => new Response(null, { status: 202 }) };
    for (const name of ["RETRY_SCHEDULE", "DELIVERY_TIMEOUT", "ALLOW_PRIVATE_DESTINATIONS"]) {
      const attempts = new Attempts({ CRM, [name]: "?" } as unknown as Env);
      const answer = await attempts.make(webhookFor("service:CRM/in"), SENDING);
      expect(answer, name).toMatchObject({ error: null, statusCode: 202 });
    }
  });

  it("is a forbidden target once the binding is gone, and no request is made", async () => {
    const outside = vi.spyOn(globalThis, "fetch");
    const attempts = new Attempts({} as Env);
    const answer = await attempts.make(webhookFor("service:CRM/in"), SENDING);
    expect(answer).toMatchObject({ error: "forbidden_target", statusCode: null });
    expect(outside).not.toHaveBeenCalled();
  });

  it("is registered when its binding is there", async () => {
    const response = await register({ CRM: { fetch: () => {} } }, "service:CRM/in");
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({ webhook: { url: "service:CRM/in" } });
  });

  it("is refused by an unknown name, with the names that are known", async () => {
    const response = await register({ CRM: { fetch: () => {} } }, "service:BILLING/in");
    expect(response.status).toBe(422);
    const { errors } = (await response.json()) as { errors: { path: string; message: string }[] };
    expect(errors[0]?.path).toBe("url");
    expect(errors[0]?.message).toContain("CRM");
  });

  it.each(["REGISTRY", "SUBSCRIBER", "JOURNAL", "IDEMPOTENCY", "EVENTS", "ASSETS"])(
    "is never one of the relay's own bindings: %s",
    async (name) => {
      const response = await register({}, `service:${name}/in`);
      expect(response.status).toBe(422);
    },
  );
});

describe("another Worker behind a binding", () => {
  const bound = (path: string) => `service:SECOND_WORKER${path}`;

  it("gets what was ingested, byte for byte and signed", async () => {
    const { id, signingSecret } = await hook({ url: bound("/in?a=b"), events: ["*"] });
    const event = await newEvent();
    await consume([event]);
    await deliverAll(id, clock);
    const { attemptLog } = await deliveryOf(id, event.id);
    expect(attemptLog).toMatchObject([{ number: 1, statusCode: 200, error: null }]);
    const said = JSON.parse(attemptLog[0]?.responseBody ?? "null");
    expect(said).toMatchObject({ method: "POST", pathname: "/in", search: "?a=b" });
    expect(said.body).toBe(new TextDecoder().decode(event.body));
    expect(said.headers).toMatchObject({ "webhook-id": event.id, "x-relay-attempt": "1" });
    expect(signingSecret).toMatch(/^whsec_/);
  });

  it.each([
    ["hangs", "/hangs-once", { error: "timeout", statusCode: null }],
    ["refuses", "/refuses-once", { error: "status", statusCode: 500, responseBody: "not yet" }],
    ["breaks", "/breaks-once", { error: "connection", statusCode: null }],
  ])("that %s once is asked again, by the schedule", async (_, path, first) => {
    const settings = { url: bound(path), events: ["*"], timeout: "1s", retrySchedule: "1m 5m" };
    const { id } = await hook(settings);
    const event = await newEvent();
    await consume([event]);
    await ring(subscriber(id));
    const waiting = await deliveryOf(id, event.id);
    expect(waiting).toMatchObject({ status: "pending", attempts: 1, attemptLog: [first] });
    expect(waiting.waitingFor).toBe("schedule");
    clock.advance(2 * MINUTE);
    await ring(subscriber(id));
    const delivered = await deliveryOf(id, event.id);
    expect(delivered).toMatchObject({ status: "delivered", attempts: 2, lastStatusCode: 200 });
  });
});
