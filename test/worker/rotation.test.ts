import { env } from "cloudflare:workers";
import { describe, expect, vi } from "vitest";
import type { Registry } from "../../src/actors/registry";
import { REGISTRY_NAME } from "../../src/domain/placement";
import {
  accept,
  deliverAll,
  newEvents,
  register,
  type ShownWebhook,
  settingsOf,
} from "../rig/worker/engine";
import { type Asked, clock, DAY, HOUR, it, SECOND, service } from "../rig/worker/fixture";
import { diverted } from "../rig/worker/objects";
import { API_KEY, api, callWith, leadterraSignature, type Problem } from "../rig/worker/requests";

/** Standard Webhooks 1.0, by WebCrypto alone: `v1,` and the base64 HMAC-SHA256 of id, seconds and body. */
async function standardSignature({ headers, body }: Asked, secret: string): Promise<string> {
  const prefix = `${headers.get("webhook-id")}.${headers.get("webhook-timestamp")}.`;
  const bytes = Uint8Array.from(atob(secret.slice("whsec_".length)), (char) => char.charCodeAt(0));
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes, algorithm, false, ["sign"]);
  const signed = new Uint8Array([...new TextEncoder().encode(prefix), ...body]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, signed));
  return `v1,${btoa(String.fromCharCode(...mac))}`;
}

async function rotate(id: string, body?: unknown): Promise<ShownWebhook> {
  const response = await api("POST", `/v1/webhooks/${id}/rotate-secret`, body);
  expect(response.status).toBe(200);
  return (await response.json<{ webhook: ShownWebhook }>()).webhook;
}

/** The next delivery as the service gets it. */
async function next(id: string): Promise<Asked> {
  await accept(id, await newEvents(1));
  await deliverAll(id, clock);
  return service.requests.at(-1) as Asked;
}

/** @param secrets those that sign, newest first. */
async function expectSigned(asked: Asked, secrets: string[]): Promise<void> {
  const expected = await Promise.all(secrets.map((secret) => standardSignature(asked, secret)));
  expect(asked.headers.get("webhook-signature")).toBe(expected.join(" "));
  expect(asked.headers.get("x-leadterra-signature")).toBe(
    await leadterraSignature(asked.body, secrets.at(-1)),
  );
}

describe("a rotated secret", () => {
  it("may be to the newest secret itself: the others end by the grace period that was asked for", async () => {
    const { id, signingSecret: old } = await register();
    const { signingSecret: fresh } = await rotate(id, { gracePeriodSeconds: 3_600 });
    await rotate(id, { signingSecret: fresh, gracePeriodSeconds: 0 });
    const values = (await settingsOf(id)).secrets.map(({ value }) => value);
    expect(values).toContain(fresh);
    expect(values).not.toContain(old);
  });

  it("signs first, with the old one behind it, until the grace period ends", async () => {
    const { id, signingSecret: old } = await register();
    await expectSigned(await next(id), [old]);
    const { signingSecret: fresh } = await rotate(id, { gracePeriodSeconds: 3_600 });
    expect(fresh).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(fresh).not.toBe(old);
    await expectSigned(await next(id), [fresh, old]);
    clock.advance(HOUR - 30 * SECOND);
    await expectSigned(await next(id), [fresh, old]);
    clock.advance(31 * SECOND);
    await expectSigned(await next(id), [fresh]);
  });

  it("has a day of grace unless told otherwise", async () => {
    const { id, signingSecret: old } = await register();
    const { signingSecret: fresh } = await rotate(id);
    clock.advance(DAY - 30 * SECOND);
    await expectSigned(await next(id), [fresh, old]);
    clock.advance(31 * SECOND);
    await expectSigned(await next(id), [fresh]);
  });

  it("signs alone at once when the grace period is 0", async () => {
    const { id } = await register();
    const { signingSecret: fresh } = await rotate(id, { gracePeriodSeconds: 0 });
    await expectSigned(await next(id), [fresh]);
  });

  it("twice within the grace has three sign, and each old one ends in its own time", async () => {
    const { id, signingSecret: first } = await register();
    const { signingSecret: second } = await rotate(id, { gracePeriodSeconds: 3_600 });
    clock.advance(1_800 * SECOND);
    const { signingSecret: third } = await rotate(id, { gracePeriodSeconds: 7_200 });
    await expectSigned(await next(id), [third, second, first]);
    clock.advance(1_801 * SECOND);
    await expectSigned(await next(id), [third, second]);
    clock.advance(7_200 * SECOND);
    await expectSigned(await next(id), [third]);
  });

  it("without grace ends those that were still in theirs", async () => {
    const { id } = await register();
    await rotate(id, { gracePeriodSeconds: 604_800 });
    const { signingSecret: third } = await rotate(id, { gracePeriodSeconds: 0 });
    await expectSigned(await next(id), [third]);
  });

  it("signs a retry of what was first signed with the old one", async () => {
    const { id, signingSecret: old } = await register({ retrySchedule: "1m" });
    service.answer = () => new Response(null, { status: 500 });
    await expectSigned(await next(id), [old]);
    const { signingSecret: fresh } = await rotate(id, { gracePeriodSeconds: 0 });
    clock.advance(66 * SECOND);
    await deliverAll(id, clock);
    expect(service.requests).toHaveLength(2);
    await expectSigned(service.requests[1] as Asked, [fresh]);
  });

  it.each([0, 1, 604_800])("takes a grace period of %i s", async (gracePeriodSeconds) => {
    const { id } = await register();
    await rotate(id, { gracePeriodSeconds });
  });

  it.each([-1, 604_801, 1.5, "60", null])(
    "takes no grace period of %j, and stays as it is",
    async (gracePeriodSeconds) => {
      const { id, signingSecret } = await register();
      const response = await api("POST", `/v1/webhooks/${id}/rotate-secret`, {
        gracePeriodSeconds,
      });
      expect(response.status).toBe(422);
      await expectSigned(await next(id), [signingSecret]);
    },
  );

  it.each([24, 32, 64])("may be given: %i bytes", async (length) => {
    const { id, signingSecret: old } = await register();
    const given = `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(length))))}`;
    expect((await rotate(id, { signingSecret: given })).signingSecret).toBe(given);
    await expectSigned(await next(id), [given, old]);
  });

  it.each([23, 65])("may not have %i bytes", async (length) => {
    const { id } = await register();
    const given = `whsec_${btoa("x".repeat(length))}`;
    const response = await api("POST", `/v1/webhooks/${id}/rotate-secret`, {
      signingSecret: given,
    });
    expect(response.status).toBe(422);
  });

  it("is shown once, and in no list, audit or later answer", async () => {
    const { id, signingSecret: old } = await register();
    const { signingSecret: fresh } = await rotate(id);
    for (const path of ["/v1/webhooks", `/v1/webhooks/${id}`, "/v1/audit"]) {
      const text = await (await api("GET", path)).text();
      for (const secret of [old, fresh]) expect(text).not.toContain(secret);
    }
  });
});

describe("a given secret", () => {
  it("at registration signs from the first delivery on", async () => {
    const given = `whsec_${btoa("a secret of thirty-two bytes ok!")}`;
    const { id, signingSecret } = await register({ signingSecret: given });
    expect(signingSecret).toBe(given);
    await expectSigned(await next(id), [given]);
  });
});

describe("a change of origin", () => {
  const patch = async (id: string, changes: unknown) => {
    const response = await api("PATCH", `/v1/webhooks/${id}`, changes);
    expect(response.status).toBe(200);
    return (await response.json<{ webhook: ShownWebhook & { headers: string[] } }>()).webhook;
  };

  it("rotates at once, without grace, answers the new secret and drops the headers", async () => {
    const { id, signingSecret: old } = await register({
      headers: { "x-token": "for-the-old-one" },
    });
    expect((await next(id)).headers.get("x-token")).toBe("for-the-old-one");
    const changed = await patch(id, { url: "https://other.example.com/in" });
    expect(changed.signingSecret).toMatch(/^whsec_/);
    expect(changed.signingSecret).not.toBe(old);
    expect(changed.headers).toEqual([]);
    const asked = await next(id);
    expect(asked.url).toBe("https://other.example.com/in");
    expect(asked.headers.get("x-token")).toBeNull();
    await expectSigned(asked, [changed.signingSecret]);
  });

  it("during a grace period ends it", async () => {
    const { id } = await register();
    await rotate(id);
    const changed = await patch(id, { url: "https://other.example.com/in" });
    await expectSigned(await next(id), [changed.signingSecret]);
  });

  it("keeps the headers that are given anew with it", async () => {
    const { id } = await register({ headers: { "x-token": "for-the-old-one" } });
    const headers = { "x-other": "for-the-new-one" };
    const changed = await patch(id, { url: "https://other.example.com/in", headers });
    expect(changed.headers).toEqual(["x-other"]);
    const asked = await next(id);
    expect(asked.headers.get("x-other")).toBe("for-the-new-one");
    expect(asked.headers.get("x-token")).toBeNull();
  });

  it.each([
    ["another port", "https://crm.example.com:8443/in", true],
    ["another host", "https://crm2.example.com/in", true],
    ["another path", "https://crm.example.com/other", false],
    ["another query", "https://crm.example.com/in?x=1", false],
  ])("being %s: %s", async (_, url, isAnother) => {
    const { id, signingSecret: old } = await register({
      headers: { "x-token": "for-the-old-one" },
    });
    const changed = await patch(id, { url });
    expect(changed.signingSecret !== undefined).toBe(isAnother);
    const asked = await next(id);
    await expectSigned(asked, [isAnother ? changed.signingSecret : old]);
    expect(asked.headers.has("x-token")).toBe(!isAnother);
  });
});

describe("a new secret whose answer is lost, as the Registry is restarted by a deploy", () => {
  const authorization = { authorization: `Bearer ${API_KEY}` };

  const GIVEN = `whsec_${btoa("a secret of thirty-two bytes ok!")}`;

  type Sent = [method: string, path: string, body: unknown];

  /** The call is done each time that it is asked for; the first answer is lost. @param retryable what the platform says. */
  async function restarted(
    [method, path, body]: Sent,
    { retryable = true } = {},
  ): Promise<Response> {
    let isLost = true;
    const names = ["register", "put", "update", "rotateSecret"] as const;
    const losing =
      (name: (typeof names)[number]) =>
      async (...given: unknown[]) => {
        const done = env.REGISTRY.getByName(REGISTRY_NAME)[name] as (
          ...given: unknown[]
        ) => Promise<unknown>;
        const answer = await done(...given);
        if (!isLost) return answer;
        isLost = false;
        throw Object.assign(new Error("its code was updated"), { retryable });
      };
    const methods = Object.fromEntries(names.map((name) => [name, losing(name)]));
    const init = { method, headers: authorization, body: JSON.stringify(body) };
    return callWith({ REGISTRY: diverted(env.REGISTRY, methods) }, path, init);
  }

  async function rotations(): Promise<number> {
    const { data } = await (await api("GET", "/v1/audit")).json<{ data: { action: string }[] }>();
    return data.filter(({ action }) => action === "webhook.secret_rotated").length;
  }

  it.each([
    ["POST", "/v1/webhooks", { url: "https://new.example.com/in", events: ["*"] }, 201],
    [
      "POST",
      "/v1/webhooks",
      { url: "https://new.example.com/in", events: ["*"], name: "new" },
      201,
    ],
    ["PUT", "/v1/webhooks/new", { url: "https://new.example.com/in", events: ["*"] }, 201],
    [
      "PUT",
      "/v1/webhooks/new",
      { url: "https://new.example.com/in", events: ["*"], signingSecret: GIVEN },
      201,
    ],
    ["PUT", "/v1/webhooks/crm", { url: "https://other.example.com/in", events: ["*"] }, 200],
    ["PATCH", "/v1/webhooks/crm", { url: "https://other.example.com/in" }, 200],
    ["POST", "/v1/webhooks/crm/rotate-secret", { gracePeriodSeconds: 0 }, 200],
  ])("is shown all the same: %s %s", async (method, path, body, status) => {
    await register({ name: "crm" });
    const response = await restarted([method, path, body]);
    expect(response.status).toBe(status);
    const { webhook } = await response.json<{ webhook: ShownWebhook }>();
    expect((await settingsOf(webhook.id)).secrets.map(({ value }) => value)).toEqual([
      webhook.signingSecret,
    ]);
    const { data } = await (await api("GET", "/v1/webhooks")).json<{ data: unknown[] }>();
    expect(data).toHaveLength(status === 201 ? 2 : 1);
  });

  it("is shown as that of a webhook that was made, also where the Registry of the release before made it", async () => {
    let calls = 0;
    const put = async (...[draft, options, ...by]: Parameters<Registry["put"]>) => {
      const { id, ...known } = options;
      calls += 1;
      const registry = env.REGISTRY.getByName(REGISTRY_NAME);
      if (calls > 1) return registry.put(draft, options, ...by);
      // It gives the webhook an id of its own.
      await registry.put(draft, known, ...by);
      throw Object.assign(new Error("its code was updated"), { retryable: true });
    };
    const body = JSON.stringify({ url: "https://new.example.com/in", events: ["*"] });
    const init = { method: "PUT", headers: authorization, body };
    const bindings = { REGISTRY: diverted(env.REGISTRY, { put }) };
    const response = await callWith(bindings, "/v1/webhooks/new", init);
    expect([calls, response.status]).toEqual([2, 201]);
    const { webhook } = await response.json<{ webhook: ShownWebhook }>();
    expect((await settingsOf("new")).secrets).toMatchObject([{ value: webhook.signingSecret }]);
  });

  it.each<Sent>([
    ["PUT", "/v1/webhooks/new", { url: "https://new.example.com/in", events: ["*"] }],
    ["PUT", "/v1/webhooks/crm", { url: "https://other.example.com/in", events: ["*"] }],
    ["PATCH", "/v1/webhooks/crm", { url: "https://other.example.com/in" }],
    ["POST", "/v1/webhooks/crm/rotate-secret", {}],
  ])("comes with the 503 where it is not asked for again: %s %s", async (...sent) => {
    await register({ name: "crm" });
    const response = await restarted(sent, { retryable: false });
    expect(response.status).toBe(503);
    const { code, signingSecret } = await response.json<Problem & { signingSecret: string }>();
    expect(code).toBe("not_yet_in_force");
    const [, , , name = ""] = sent[1].split("/");
    expect((await settingsOf(name)).secrets.at(-1)?.value).toBe(signingSecret);
  });

  it("is none where a change makes none, nor where the call was not done", async () => {
    await register({ name: "crm" });
    const changed = await restarted(["PATCH", "/v1/webhooks/crm", { ordered: true }]);
    expect(changed.status).toBe(200);
    expect(await changed.text()).not.toContain("signingSecret");
    const draft = { url: "https://crm.example.com/in", events: ["*"] };
    const gone = diverted(env.REGISTRY, { register: () => Promise.reject(new Error("gone")) });
    const init = { method: "POST", headers: authorization, body: JSON.stringify(draft) };
    expect((await callWith({ REGISTRY: gone }, "/v1/webhooks", init)).status).toBe(503);
  });

  it("does not use up the secrets that may be live at once, and is audited once", async () => {
    await register({ name: "crm" });
    const path = "/v1/webhooks/crm/rotate-secret";
    for (let times = 0; times < 3; times++) await api("POST", path);
    const response = await restarted(["POST", path, {}]);
    expect(response.status).toBe(200);
    expect(await rotations()).toBe(4);
  });

  it("is audited once also where the others end at once, or are to end a moment later each time", async () => {
    await register({ name: "crm" });
    const path = "/v1/webhooks/crm/rotate-secret";
    const nowMs = Date.now();
    const now = vi.spyOn(Date, "now");
    let calls = 0;
    now.mockImplementation(() => nowMs + calls++);
    for (const gracePeriodSeconds of [60, 0]) {
      expect((await restarted(["POST", path, { gracePeriodSeconds }])).status).toBe(200);
    }
    expect(await rotations()).toBe(2);
    // Who asks for another end of the old ones changes something.
    const given = { signingSecret: GIVEN, gracePeriodSeconds: 60 };
    for (const fields of [given, { ...given, gracePeriodSeconds: 0 }])
      await api("POST", path, fields);
    expect(await rotations()).toBe(4);
  });
});
