/** The version of stored data: written with the first table, and respected where it is newer than the code. */
import {
  createExecutionContext,
  createMessageBatch,
  evictDurableObject,
  getQueueResult,
  waitOnExecutionContext,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect } from "vitest";
import worker from "../../src";
import { DEAD_LETTERS_NAME } from "../../src/domain/placement";
import { VERSION } from "../../src/storage/schema";
import { signedIn } from "../rig/worker/dashboard";
import {
  accept,
  alarmAt,
  deliverAll,
  journal,
  newEvent,
  register,
  registry,
  ring,
  subscriber,
} from "../rig/worker/engine";
import { clock, it } from "../rig/worker/fixture";
import { inObject, tablesOf } from "../rig/worker/objects";
import { api, call } from "../rig/worker/requests";

type Stub = Pick<DurableObjectStub, "id">;

function versionOf(stub: Stub): Promise<number[]> {
  return inObject(stub, ({ storage }) =>
    storage.sql
      .exec<{ number: number }>("SELECT number FROM version")
      .toArray()
      .map(({ number }) => number),
  );
}

/** The object starts again, and finds data of the release after this one. */
async function makeNewer(stub: Stub): Promise<void> {
  await inObject(stub, ({ storage }) => {
    storage.sql.exec("UPDATE version SET number = ?", VERSION + 1);
  });
  await evictDurableObject(stub as DurableObjectStub);
}

/** Every row of every table. */
function contentOf(stub: Stub): Promise<string> {
  return inObject(stub, ({ storage }) => {
    const tables = storage.sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name",
      )
      .toArray();
    return JSON.stringify(
      tables.map(({ name }) => [name, storage.sql.exec(`SELECT * FROM "${name}"`).toArray()]),
    );
  });
}

async function consume(body: Uint8Array) {
  const message = {
    id: crypto.randomUUID(),
    timestamp: new Date(clock.nowMs()),
    attempts: 1,
    body: body.slice().buffer,
  };
  const batch = createMessageBatch<ArrayBuffer>("leadterra-events", [message]);
  const context = createExecutionContext();
  await worker.queue(batch, env, context);
  await waitOnExecutionContext(context);
  return getQueueResult(batch, context);
}

const letter = {
  id: "dl_1",
  eventId: null,
  event: null,
  email: null,
  reason: "unreadable" as const,
  receivedAtMs: 1,
  failedAtMs: 2,
  webhookIds: null,
};

describe("the version of an object's data", () => {
  it("is one row, written with the first table", async () => {
    const { id } = await register();
    const event = await newEvent();
    await consume(event.body);
    const letters = env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME);
    await letters.keep({ letter, body: event.body });
    for (const stub of [registry(), subscriber(id), journal(clock.nowMs()), letters]) {
      expect(await versionOf(stub)).toEqual([VERSION]);
    }
  });

  it("is not written by reading", async () => {
    const letters = env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME);
    expect(await letters.list(null, 10)).toEqual([]);
    expect(await tablesOf(letters)).toEqual([]);
  });

  it("is not written where the local runtime alone keeps something, and no step is taken", async () => {
    const day = journal(clock.nowMs());
    expect(await day.list({ limit: 1 })).toMatchObject({ events: [] });
    const own = ["__miniflare_do_name"];
    await inObject(day, ({ storage }) => {
      for (const name of own) storage.sql.exec(`CREATE TABLE ${name} (id INTEGER PRIMARY KEY)`);
    });
    await evictDurableObject(day);
    expect(await day.list({ limit: 1 })).toMatchObject({ events: [] });
    expect(await tablesOf(day)).toEqual(own);
  });

  it("goes with a deleted webhook, of which one row stays", async () => {
    const { id } = await register();
    await accept(id, [await newEvent()]);
    await subscriber(id).remove(7);
    expect(await tablesOf(subscriber(id))).toEqual(["settings"]);
    await evictDurableObject(subscriber(id));
    await subscriber(id).check();
    expect(await tablesOf(subscriber(id))).toEqual(["settings"]);
  });
});

describe("an object whose data is newer than the code", () => {
  it("answers every call that it is, and writes nothing", async () => {
    const { id } = await register();
    const event = await newEvent();
    await accept(id, [event]);
    const stub = subscriber(id);
    await makeNewer(stub);
    const before = await contentOf(stub);
    const refusal = { ok: false, failure: { code: "newer_data", object: `Subscriber ${id}` } };
    expect(await stub.accept({ deliveries: [await newEvent()] })).toEqual(refusal);
    expect(await stub.deliveries({ limit: 10 })).toEqual(refusal);
    expect(await stub.cancel(event.id)).toEqual(refusal);
    expect(await stub.check()).toEqual(refusal);
    expect(await stub.remove(9)).toEqual(refusal);
    expect(await contentOf(stub)).toBe(before);
  });

  it("is named by the API, with 503, and by the dashboard", async () => {
    const { id } = await register();
    await makeNewer(subscriber(id));
    const response = await api("GET", `/v1/webhooks/${id}/deliveries`);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      code: "newer_data",
      detail: expect.stringContaining(`Subscriber ${id}`),
    });
    const page = await (await signedIn()).get(`/dashboard/webhooks/${id}`);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain(`Subscriber ${id} holds data of a newer release`);
    expect((await call("/healthz")).status).toBe(200);
  });

  it("is named by stats and metrics, which would be wrong without it", async () => {
    const { id } = await register();
    await makeNewer(subscriber(id));
    for (const path of ["/v1/stats", "/v1/metrics", `/v1/webhooks/${id}/health`]) {
      const response = await api("GET", path);
      expect(response.status, path).toBe(503);
      expect(await response.json(), path).toMatchObject({ code: "newer_data" });
    }
  });

  it("keeps the message that would be a dead letter in the queue when it is the DeadLetters", async () => {
    const letters = env.DEAD_LETTER_STORE.getByName(DEAD_LETTERS_NAME);
    await letters.keep({ letter, body: new Uint8Array([1]) });
    await makeNewer(letters);
    const before = await contentOf(letters);
    const { retryMessages, explicitAcks } = await consume(new TextEncoder().encode("no event"));
    expect(retryMessages).toHaveLength(1);
    expect(explicitAcks).toEqual([]);
    expect(await contentOf(letters)).toBe(before);
    expect((await api("GET", "/v1/dead-letters")).status).toBe(503);
  });

  it("sets its alarm again, and goes on where it was under the release that knows its data", async () => {
    const { id } = await register();
    await accept(id, [await newEvent()]);
    const stub = subscriber(id);
    await makeNewer(stub);
    expect(await ring(stub)).toBe(true);
    expect(await alarmAt(stub)).toBeGreaterThan(clock.nowMs());
    expect(fetch).not.toHaveBeenCalled();
    await inObject(stub, ({ storage }) => {
      storage.sql.exec("UPDATE version SET number = ?", VERSION);
    });
    await evictDurableObject(stub);
    await ring(stub);
    await deliverAll(id, clock);
    expect(fetch).toHaveBeenCalledTimes(1);
  });

  it.each([
    ["Subscriber", (id: string) => subscriber(id) as Stub],
    ["Journal", () => journal(clock.nowMs()) as Stub],
    ["Registry", () => registry() as Stub],
  ])("keeps what is for it in the queue when it is a %s", async (_, stubOf) => {
    const { id } = await register();
    await consume((await newEvent()).body);
    const stub = stubOf(id);
    await makeNewer(stub);
    const before = await contentOf(stub);
    const { retryMessages, explicitAcks } = await consume((await newEvent()).body);
    expect(retryMessages).toHaveLength(1);
    expect(explicitAcks).toEqual([]);
    expect(await contentOf(stub)).toBe(before);
  });
});
