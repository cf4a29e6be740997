import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import { eventually } from "../rig/eventually";
import { register, registry } from "../rig/worker/engine";
import { clock, DAY, gate, it, log, MINUTE } from "../rig/worker/fixture";
import { diverted, inObject, rowsReadBy } from "../rig/worker/objects";
import {
  API_KEY,
  api,
  call,
  callWith,
  type Problem,
  READ_ONLY_API_KEY,
} from "../rig/worker/requests";

const OTHER_API_KEY = "other-key-with-all-rights";
const DRAFT = { url: "https://crm.example.com/in", events: ["*"] };

type Sent = { path?: string; body?: unknown; method?: string; apiKey?: string };

function init(key: string, { body = DRAFT, method = "POST", apiKey = API_KEY }: Sent = {}) {
  return {
    method,
    headers: { authorization: `Bearer ${apiKey}`, "idempotency-key": key },
    body: JSON.stringify(body),
  };
}

function send(key: string, { path = "/v1/webhooks", ...sent }: Sent = {}): Promise<Response> {
  return call(path, init(key, sent));
}

async function codeOf(response: Response): Promise<[number, string]> {
  return [response.status, (await response.json<Problem>()).code];
}

async function webhooks(): Promise<number> {
  const response = await api("GET", "/v1/webhooks");
  return (await response.json<{ data: unknown[] }>()).data.length;
}

describe("a POST with an Idempotency-Key", () => {
  it("gets the same answer again, secret included, and is done once", async () => {
    const first = await send("key-1");
    const again = await send("key-1");
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(first.headers.has("idempotency-replayed")).toBe(false);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(again.headers.get("content-type")).toBe(first.headers.get("content-type"));
    expect(again.headers.get("cache-control")).toBe("no-store");
    const answer = await first.text();
    expect(await again.text()).toBe(answer);
    expect(answer).toContain("whsec_");
    expect(await webhooks()).toBe(1);
  });

  it("gets the same failure again when the call was refused", async () => {
    const refused = await send("key-1", { body: { url: 1 } });
    expect(refused.status).toBe(422);
    const again = await send("key-1", { body: { url: 1 } });
    expect(again.status).toBe(422);
    expect(again.headers.get("content-type")).toBe("application/problem+json");
    // With the id of the first request, beside which the log line stands.
    expect(await again.text()).toBe(await refused.text());
  });

  it("is refused with another body, and with another path", async () => {
    const { id } = await register();
    await send("key-1");
    const reused = [422, "idempotency_key_reused"];
    const otherBody = await send("key-1", { body: { ...DRAFT, ordered: true } });
    expect(await otherBody.clone().json()).toMatchObject({
      errors: [{ path: "Idempotency-Key", message: "came with another call before" }],
    });
    expect(await codeOf(otherBody)).toEqual(reused);
    expect(await codeOf(await send("key-1", { path: `/v1/webhooks/${id}/pause` }))).toEqual(reused);
    expect(await codeOf(await send("key-1", { path: "/v1/webhooks?x=1" }))).toEqual(reused);
    expect(await webhooks()).toBe(2);
  });

  it("is refused while the first call runs, and answered once that is done", async () => {
    const { id } = await register();
    const { opened, open } = gate();
    let asked = 0;
    const slow = {
      getByName: () => ({
        discard: async () => {
          asked += 1;
          await opened;
          return { discarded: asked, next: null };
        },
      }),
    };
    const path = `/v1/webhooks/${id}/discard`;
    const discard = () => callWith({ SUBSCRIBER: slow }, path, init("key-1", { body: {} }));
    const first = discard();
    await eventually(() => expect(asked).toBe(1));
    expect(await codeOf(await discard())).toEqual([409, "idempotency_key_in_use"]);
    open();
    expect(await (await first).json()).toEqual({ discarded: 1, next: null });
    const again = await discard();
    expect(again.status).toBe(202);
    expect(await again.json()).toEqual({ discarded: 1, next: null });
    expect(asked).toBe(1);
  });

  it("is done once when it comes many times at the same moment", async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => send("key-1")));
    const statuses = answers.map(({ status }) => status);
    for (const status of statuses) expect([201, 409]).toContain(status);
    expect(statuses).toContain(201);
    expect(await webhooks()).toBe(1);
  });

  it("may be made again after a 5xx", async () => {
    const { id } = await register();
    const path = `/v1/webhooks/${id}/discard`;
    const broken = {
      getByName: () => {
        throw new Error("out of order");
      },
    };
    const failed = await callWith({ SUBSCRIBER: broken }, path, init("key-1", { body: {} }));
    expect(failed.status).toBe(503);
    const again = await send("key-1", { path, body: {} });
    expect(again.status).toBe(202);
    expect(again.headers.has("idempotency-replayed")).toBe(false);
  });

  it("is answered though the answer cannot be kept: the secret in it is shown nowhere else", async () => {
    const forgetful = diverted(env.REGISTRY, { endCall: () => Promise.reject(new Error("gone")) });
    const response = await callWith({ REGISTRY: forgetful }, "/v1/webhooks", init("key-1"));
    expect(response.status).toBe(201);
    expect(await response.text()).toContain("whsec_");
    // Nobody knows what came of it: it may have died.
    expect(await codeOf(await send("key-1"))).toEqual([409, "idempotency_key_in_use"]);
    expect(log.text()).toContain("answer.not_kept");
  });

  it("belongs to the API key that sent it", async () => {
    const bindings = { API_KEYS: `${API_KEY}, ${OTHER_API_KEY}` };
    const answers = [API_KEY, OTHER_API_KEY, API_KEY].map(async (apiKey) => {
      const response = await callWith(bindings, "/v1/webhooks", init("key-1", { apiKey }));
      return response.text();
    });
    const [mine, other] = await Promise.all(answers.slice(0, 2));
    expect(other).not.toBe(mine);
    expect(await webhooks()).toBe(2);
  });

  it("counts for 24 hours", async () => {
    const first = await (await send("key-1")).text();
    clock.advance(DAY - MINUTE);
    expect(await (await send("key-1")).text()).toBe(first);
    clock.advance(2 * MINUTE);
    expect(await (await send("key-1")).text()).not.toBe(first);
    expect(await webhooks()).toBe(2);
  });

  it("may be used anew, for anything, after 24 hours", async () => {
    await send("key-1");
    clock.advance(DAY + MINUTE);
    expect((await send("key-1", { body: { ...DRAFT, ordered: true } })).status).toBe(201);
  });

  it.each([
    ["empty", ""],
    ["256 characters", "x".repeat(256)],
    ["with a space inside", "a b"],
  ])("is refused when the key is none: %s", async (_, key) => {
    const response = await send(key);
    expect(response.status).toBe(422);
    const { errors } = await response.json<Problem>();
    expect(errors?.map(({ path }) => path)).toEqual(["Idempotency-Key"]);
    expect(await webhooks()).toBe(0);
  });

  it("may have a key of 255 characters", async () => {
    expect((await send("x".repeat(255))).status).toBe(201);
  });

  it("leaves nothing when it may not be made", async () => {
    expect((await send("key-1", { apiKey: "another-key-that-is-long" })).status).toBe(401);
    expect((await send("key-1", { apiKey: READ_ONLY_API_KEY })).status).toBe(403);
    expect((await send("key-1")).status).toBe(201);
    expect(log.text()).not.toContain("key-1");
  });
});

describe("the answers that are kept", () => {
  const old = () =>
    inObject(
      registry(),
      ({ storage: { sql } }) =>
        sql.exec<{ n: number }>("SELECT count(*) AS n FROM answers WHERE caller = 'old'").one().n,
    );

  it("go after 24 hours, some with each call, and no call looks through them all", async () => {
    await send("key-1");
    await inObject(registry(), ({ storage: { sql } }) => {
      sql.exec(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO answers (caller, key, call, at, status, type, body) SELECT 'old', i, 'a call', ?, 201, '', '' FROM n",
        clock.nowMs() - DAY - MINUTE,
      );
    });
    expect(await rowsReadBy(registry(), () => send("key-2"))).toBeLessThan(500);
    expect(await old()).toBeGreaterThan(2_000);
    for (let calls = 0; calls < 40; calls++) await registry().beginCall("new", `${calls}`, "call");
    expect(await old()).toBe(0);
  });
});

describe("an Idempotency-Key", () => {
  it.each(["PATCH", "GET", "DELETE"])("means nothing to %s", async (method) => {
    const { id } = await register();
    const { body: _, ...rest } = init("key-1", { method });
    const sent = method === "PATCH" ? { ...rest, body: '{"ordered":true}' } : rest;
    const first = await call(`/v1/webhooks/${id}`, sent);
    expect(first.ok).toBe(true);
    const again = await call(`/v1/webhooks/${id}`, sent);
    expect(again.headers.has("idempotency-replayed")).toBe(false);
    if (method === "DELETE") expect(again.status).toBe(404);
  });
});
