import { evictDurableObject } from "cloudflare:test";
import { exports } from "cloudflare:workers";
import { describe, expect } from "vitest";
import { signedIn } from "../rig/worker/dashboard";
import {
  accept,
  newEvents,
  registry,
  ring,
  type ShownWebhook,
  subscriber,
} from "../rig/worker/engine";
import { answering, clock, DAY, it, MINUTE, service } from "../rig/worker/fixture";
import { inObject } from "../rig/worker/objects";
import { API_KEY, api, callWith, type Problem } from "../rig/worker/requests";

const CRM = { url: "https://crm.example.com/in?token=1", events: ["reply.received"] };

type Shown = { webhook: ShownWebhook & Record<string, unknown> };

async function shown(response: Response, status = 200) {
  expect(response.status).toBe(status);
  return (await response.json<Shown>()).webhook;
}

async function refusal(response: Response) {
  const { status, code, errors = [] } = await response.json<Problem>();
  return { status, code, paths: errors.map(({ path }) => path) };
}

async function auditActions(): Promise<string[]> {
  const { data } = await (await api("GET", "/v1/audit")).json<{ data: { action: string }[] }>();
  return data.map(({ action }) => action);
}

describe("a name", () => {
  it("stands for the id in the path of every call", async () => {
    const { id } = await shown(await api("POST", "/v1/webhooks", { ...CRM, name: "crm" }), 201);
    expect((await shown(await api("GET", "/v1/webhooks/crm"))).id).toBe(id);
    expect((await api("GET", "/v1/webhooks/crm/deliveries")).status).toBe(200);
    for (const call of ["pause", "resume", "rotate-secret", "test"]) {
      expect((await api("POST", `/v1/webhooks/crm/${call}`)).status, call).toBe(200);
    }
    const since = "2026-01-01T00:00:00Z";
    const replay = await api("POST", "/v1/webhooks/crm/replay", { since, only: "all" });
    expect(replay.status).toBe(202);
    expect((await api("POST", "/v1/webhooks/crm/discard")).status).toBe(202);
    expect((await shown(await api("PATCH", "/v1/webhooks/crm", { rateLimit: 2 }))).id).toBe(id);
    expect((await api("DELETE", "/v1/webhooks/crm")).status).toBe(204);
    expect((await api("GET", "/v1/webhooks/crm")).status).toBe(404);
  });

  it("belongs to one webhook at a time", async () => {
    await shown(await api("POST", "/v1/webhooks", { ...CRM, name: "crm" }), 201);
    const other = await shown(await api("POST", "/v1/webhooks", CRM), 201);
    expect(other).toMatchObject({ name: null });
    const taken = { status: 409, code: "name_taken", paths: [] };
    expect(await refusal(await api("POST", "/v1/webhooks", { ...CRM, name: "crm" }))).toEqual(
      taken,
    );
    const path = `/v1/webhooks/${other.id}`;
    expect(await refusal(await api("PATCH", path, { name: "crm" }))).toEqual(taken);
    await shown(await api("PATCH", "/v1/webhooks/crm", { name: "crm", ordered: true }));
    await api("PATCH", "/v1/webhooks/crm", { name: null });
    expect(await shown(await api("PATCH", path, { name: "crm" }))).toMatchObject({ name: "crm" });
  });

  it.each([
    "",
    "Crm",
    "1crm",
    "-crm",
    "c_rm",
    "crm.a",
    "c".repeat(64),
    "wh_01HZC7RQNP4XT2KM9QZ8W3V5YA",
  ])("is refused when it is none: %j", async (name) => {
    const refused = await refusal(await api("POST", "/v1/webhooks", { ...CRM, name }));
    expect(refused).toEqual({ status: 422, code: "invalid_request", paths: ["name"] });
  });
});

describe("PUT of a webhook", () => {
  const put = (body: object, name = "crm") => api("PUT", `/v1/webhooks/${name}`, body);

  it("refuses the relay under the host that the webhook was registered over", async () => {
    await shown(await put(CRM), 201);
    const request = new Request("https://other.example/v1/webhooks/crm", {
      method: "PUT",
      headers: { authorization: `Bearer ${API_KEY}` },
      body: JSON.stringify({ ...CRM, url: "https://relay.example/" }),
    });
    const wrong = { status: 422, code: "invalid_request", paths: ["url"] };
    expect(await refusal(await exports.default.fetch(request))).toEqual(wrong);
  });

  it("registers it where there is none, with its secret and the place where it is", async () => {
    const response = await put({ ...CRM, status: "paused" });
    expect(response.headers.get("location")).toMatch(/^\/v1\/webhooks\/wh_/);
    const webhook = await shown(response, 201);
    expect(webhook).toMatchObject({ name: "crm", status: "paused" });
    expect(webhook.signingSecret).toMatch(/^whsec_/);
    expect(await auditActions()).toEqual(["webhook.created"]);
  });

  it("changes nothing the second time, and writes nothing down", async () => {
    const body = { ...CRM, headers: { "X-Token": "abc" }, filter: { "data.a": 1 } };
    const first = await shown(await put(body), 201);
    clock.advance(MINUTE);
    const second = await shown(await put(body));
    expect(second.signingSecret).toBeUndefined();
    expect(second.updatedAt).toBe(first.updatedAt);
    expect(await auditActions()).toEqual(["webhook.created"]);
  });

  it("knows the same body by what it says, whatever the order of its fields", async () => {
    const or = (...names: string[]) => ({ $or: names.map((a) => ({ "data.a": a, "data.b": 1 })) });
    const body = { ...CRM, headers: { A: "1", B: "2" }, filter: { ...or("x", "y"), "data.c": 1 } };
    const { updatedAt } = await shown(await put(body), 201);
    clock.advance(MINUTE);
    const turned = {
      headers: { b: "2", a: "1" },
      filter: {
        "data.c": 1,
        $or: ["x", "y"].map((a) => ({ "data.b": 1, "data.a": a })),
      },
    };
    expect((await shown(await put({ ...turned, ...CRM }))).updatedAt).toBe(updatedAt);
    const other = await shown(await put({ ...body, filter: { ...or("y", "x"), "data.c": 1 } }));
    expect(other.updatedAt).not.toBe(updatedAt);
  });

  it("gives a field that is left out its default, headers too, and leaves status and secret", async () => {
    const full = {
      ...CRM,
      description: "The CRM",
      headers: { "X-Token": "abc" },
      rateLimit: 2,
      ordered: true,
      concurrency: 12,
      timeout: "5s",
      retrySchedule: "1m",
      giveUpOn: [404],
    };
    await put(full);
    await api("POST", "/v1/webhooks/crm/pause");
    const after = await shown(await put({ ...CRM, status: "active" }));
    expect(after).toMatchObject({
      description: null,
      headers: [],
      rateLimit: null,
      ordered: false,
      concurrency: 6,
      timeout: null,
      retrySchedule: null,
      giveUpOn: [],
      status: "paused",
    });
    expect(after.signingSecret).toBeUndefined();
  });

  it("gives another origin a new secret, unless the service has moved", async () => {
    const first = await shown(await put(CRM), 201);
    const moved = { ...CRM, url: "https://crm2.example.com/in", headers: { a: "b" } };
    const kept = await shown(await put({ ...moved, sameService: true }));
    expect(kept).toMatchObject({ url: moved.url, headers: ["a"] });
    expect(kept.signingSecret).toBeUndefined();
    const changed = await shown(await put({ ...CRM, url: "https://crm3.example.com/in" }));
    expect(changed.signingSecret).toMatch(/^whsec_/);
    expect(changed.signingSecret).not.toBe(first.signingSecret);
  });

  it("is refused under another name, and where no name can be", async () => {
    expect(await refusal(await put({ ...CRM, name: "erp" }))).toMatchObject({ paths: ["name"] });
    expect((await put(CRM, "Crm")).status).toBe(404);
    expect((await put(CRM, "wh_01HZC7RQNP4XT2KM9QZ8W3V5YA")).status).toBe(404);
    expect((await put({ ...CRM, name: "crm" })).status).toBe(201);
  });
});

describe("a change of origin by PATCH", () => {
  it("keeps secret and headers when the service has moved", async () => {
    const { id } = await shown(
      await api("POST", "/v1/webhooks", { ...CRM, headers: { a: "b" } }),
      201,
    );
    const change = { url: "https://crm2.example.com/in", sameService: true };
    const moved = await shown(await api("PATCH", `/v1/webhooks/${id}`, change));
    expect(moved).toMatchObject({ url: change.url, headers: ["a"] });
    expect(moved.signingSecret).toBeUndefined();
  });
});

describe("what would change nothing", () => {
  it("is answered and not written: an empty PATCH, the same values, a resume of one that is well", async () => {
    const { id, updatedAt } = await shown(await api("POST", "/v1/webhooks", CRM), 201);
    clock.advance(MINUTE);
    const path = `/v1/webhooks/${id}`;
    for (const [method, call, body] of [
      ["PATCH", path, {}],
      ["PATCH", path, undefined],
      ["PATCH", path, CRM],
      ["POST", `${path}/resume`, undefined],
    ] as const) {
      expect((await shown(await api(method, call, body))).updatedAt).toBe(updatedAt);
    }
    expect(await auditActions()).toEqual(["webhook.created"]);
  });

  it("is no resume of one that fails", async () => {
    service.answer = answering(500);
    const { id } = await shown(await api("POST", "/v1/webhooks", CRM), 201);
    await accept(id, await newEvents(1));
    await ring(subscriber(id));
    expect(service.requests).toHaveLength(1);
    await shown(await api("POST", `/v1/webhooks/${id}/resume`));
    expect(await auditActions()).toEqual(["webhook.resumed", "webhook.created"]);
  });
});

describe("what the relay cannot keep to", () => {
  it.each(["?…", "?%E2%80%A6"])("is a URL whose query was not shown: %s", async (query) => {
    const { id } = await shown(await api("POST", "/v1/webhooks", CRM), 201);
    const url = `https://crm.example.com/in${query}`;
    const refused = await refusal(await api("PATCH", `/v1/webhooks/${id}`, { url }));
    expect(refused).toEqual({ status: 422, code: "invalid_request", paths: ["url"] });
  });

  it("is a schedule that outlasts the retention", async () => {
    const ask = (method: string, path: string, body: object) =>
      callWith({ RETENTION: "11h" }, path, {
        method,
        headers: { authorization: `Bearer ${API_KEY}` },
        body: JSON.stringify(body),
      });
    const long = { retrySchedule: "3h 8h" };
    const { id } = await shown(await api("POST", "/v1/webhooks", CRM), 201);
    for (const [method, path, body] of [
      ["POST", "/v1/webhooks", { ...CRM, ...long }],
      ["PATCH", `/v1/webhooks/${id}`, long],
      ["PUT", "/v1/webhooks/crm", { ...CRM, ...long }],
    ] as const) {
      expect((await refusal(await ask(method, path, body))).paths, method).toEqual([
        "retrySchedule",
      ]);
    }
    expect((await ask("PATCH", `/v1/webhooks/${id}`, { retrySchedule: "2h 8h" })).status).toBe(200);
  });

  it("is a sixth secret that would sign along", async () => {
    const { id } = await shown(await api("POST", "/v1/webhooks", CRM), 201);
    const rotate = (body: object = {}) => api("POST", `/v1/webhooks/${id}/rotate-secret`, body);
    for (let times = 0; times < 4; times++) expect((await rotate()).status).toBe(200);
    expect(await refusal(await rotate())).toMatchObject({ status: 409, code: "too_many_secrets" });
    expect((await rotate({ gracePeriodSeconds: 0 })).status).toBe(200);
    clock.advance(DAY);
    expect((await rotate()).status).toBe(200);
  });

  it("is one secret twice: it signs once", async () => {
    const signingSecret = `whsec_${btoa("s".repeat(32))}`;
    const { id } = await shown(await api("POST", "/v1/webhooks", { ...CRM, signingSecret }), 201);
    await api("POST", `/v1/webhooks/${id}/rotate-secret`, { signingSecret });
    await api("POST", `/v1/webhooks/${id}/test`);
    expect(service.requests.at(-1)?.headers.get("webhook-signature")?.split(" ")).toHaveLength(1);
  });

  it.each([
    ["stray bits in its last digit", `${`whsec_${btoa("s".repeat(32))}`.slice(0, -2)}d=`],
    ["the example of the documentation", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0ISE="],
  ])("is a secret with %s", async (_, signingSecret) => {
    const refused = await refusal(await api("POST", "/v1/webhooks", { ...CRM, signingSecret }));
    expect(refused).toEqual({ status: 422, code: "invalid_request", paths: ["signingSecret"] });
  });

  it("is more than 500 webhooks, on the page too, which keeps what was typed", async () => {
    const { id } = await shown(await api("POST", "/v1/webhooks", CRM), 201);
    await inObject(registry(), ({ storage }) => {
      for (let n = 1; n < 500; n++) {
        const other = `wh_${String(n).padStart(26, "0")}`;
        storage.sql.exec(
          "INSERT INTO webhooks (id, version, acknowledged, data) SELECT ?, version, version, replace(data, id, ?) FROM webhooks WHERE id = ?",
          other,
          other,
          id,
        );
      }
    });
    await evictDurableObject(registry());
    const many = { status: 409, code: "too_many_webhooks", paths: [] };
    expect(await refusal(await api("POST", "/v1/webhooks", CRM))).toEqual(many);
    expect(await refusal(await api("PUT", "/v1/webhooks/crm", CRM))).toEqual(many);
    const typed = { url: "https://kept.example/in", events: "*" };
    const response = await (await signedIn()).post("/dashboard/webhooks", typed);
    const page = await response.text();
    expect(page).toContain("There are 500 webhooks, and no more may be: delete one first.");
    expect(page).toContain('value="https://kept.example/in"');
    await api("DELETE", `/v1/webhooks/${id}`);
    expect((await api("PUT", "/v1/webhooks/crm", CRM)).status).toBe(201);
  });
});
